//! Compaction.

pub(crate) mod patience;
