//! What compaction needs to know.
