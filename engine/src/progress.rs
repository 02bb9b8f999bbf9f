//! How the engine speaks to whoever runs it: progress, warnings, and the wish to stop.

use std::sync::atomic::{AtomicU64, Ordering};

/// Receives what an operation has to say while it runs; called from many threads.
pub trait Monitor: Sync {
    /// Something happened that the user should know; the operation goes on and ends with "warnings".
    fn warning(&self, _path: &[u8], _message: &str) {}

    /// Something worth saying that is no warning: a socket was skipped, a slow path was taken.
    fn note(&self, _message: &str) {}

    /// One entry was handled; `status` is borg's letter for it (`A`, `M`, `U`, `C`, `E`, `d`, `s`, `-` …).
    fn entry(&self, _status: char, _path: &[u8]) {}

    /// Counters that grow while the operation runs, for a progress display.
    fn counters(&self) -> Option<&Counters> {
        None
    }

    /// Whether the user asked to stop; polled between files and blocks.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Numbers that a progress display shows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries handled.
    pub entries: AtomicU64,
    /// Bytes handled.
    pub bytes: AtomicU64,
    /// Bytes expected, 0 if unknown.
    pub total_bytes: AtomicU64,
    /// Bytes written to the repository.
    pub stored_bytes: AtomicU64,
}

impl Counters {
    /// Adds to one counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

/// A monitor that hears nothing and never stops anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {}
