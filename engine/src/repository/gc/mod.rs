//! What compaction needs to know.

mod counts;
#[allow(dead_code, reason = "compaction uses it")]
pub(crate) mod live;
mod saved;
