//! What it costs to forget: a year of nights in vault, borg and restic, then the same keep rules (docs/performance.md).

use std::path::PathBuf;

use crate::tools::Tool;

pub mod nights;
pub mod report;

mod prepare;
mod tools;
mod trial;

pub use prepare::prepare;
pub use tools::NAMES;
pub use trial::retention;

/// What to compare.
#[derive(Clone, Debug)]
pub struct RetentionOptions {
    /// Files of the volume.
    pub files: u64,
    /// How many nights are archived before anything is forgotten.
    pub nights: u32,
    /// Where the volume is written; it stays, and so does a note beside it.
    pub volume: PathBuf,
    /// Where the repositories with all nights are made; they stay.
    pub repositories: PathBuf,
    /// An empty folder for copies, that the caller removes.
    pub scratch: PathBuf,
    /// How often; medians are shown.
    pub runs: u32,
    /// What was found.
    pub tools: Vec<Tool>,
}
