//! What a restore has done, and what it could not do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, FileError, Result};
use crate::ops::restore::Restored;
use crate::progress::{Counters, Monitor};
use crate::source::{Unset, UnsetAttribute};

/// One path, why it could not be set there, and how often that was so.
type Example = (Vec<u8>, String, u64);

/// Counts, and speaks to the monitor.
pub(super) struct Report<'a> {
    monitor: &'a dyn Monitor,
    /// Whether the archive has been purged, so that what is missing is no damage.
    is_purged: &'a (dyn Fn() -> bool + Sync),
    purged: AtomicBool,
    files: AtomicU64,
    directories: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    deleted: AtomicU64,
    warnings: AtomicU64,
    damaged: AtomicU64,
    /// What could not be set, with one path and reason as an example, and how often.
    unset: Mutex<BTreeMap<String, Example>>,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl<'a> Report<'a> {
    pub(super) fn new(monitor: &'a dyn Monitor, is_purged: &'a (dyn Fn() -> bool + Sync)) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            monitor,
            is_purged,
            purged: AtomicBool::new(false),
            files: zero(),
            directories: zero(),
            bytes: zero(),
            skipped: zero(),
            deleted: zero(),
            warnings: zero(),
            damaged: zero(),
            unset: Mutex::default(),
        }
    }

    pub(super) fn cancelled(&self) -> bool {
        self.purged() || self.monitor.cancelled()
    }

    /// Whether something was missing because the archive was purged: nothing more of it can be had.
    pub(super) fn purged(&self) -> bool {
        self.purged.load(Ordering::Relaxed)
    }

    pub(super) fn warn(&self, path: &[u8], message: &str) {
        add(&self.warnings, 1);
        self.monitor.warning(path, message);
    }

    pub(super) fn note(&self, path: &[u8], message: &str) {
        self.monitor.note(&format!("{}: {message}", String::from_utf8_lossy(path)));
    }

    /// One entry cannot be made: a warning. A target on which nothing more can be made ends the restore.
    pub(super) fn file_error(&self, path: &[u8], error: &FileError) -> Result<()> {
        use std::io::ErrorKind;
        if matches!(
            error.source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem
        ) {
            let source = std::io::Error::from(error.source.kind());
            return Err(Error::Target(FileError { action: error.action, path: error.path.clone(), source }));
        }
        self.warn(path, &error.chain());
        Ok(())
    }

    /// The repository no longer has what this file needs.
    pub(super) fn damaged(&self, path: &[u8], message: &str) {
        // Asked after it was missed: a compaction deletes the manifest before any pack.
        if self.purged() || (self.is_purged)() {
            self.purged.store(true, Ordering::Relaxed);
            return;
        }
        add(&self.damaged, 1);
        self.monitor.warning(path, message);
    }

    pub(super) fn directory(&self, path: &[u8]) {
        add(&self.directories, 1);
        self.entry('d', path, 0);
    }

    pub(super) fn made(&self, path: &[u8], bytes: u64) {
        add(&self.files, 1);
        add(&self.bytes, bytes);
        self.entry('A', path, bytes);
    }

    pub(super) fn skipped(&self, path: &[u8]) {
        add(&self.skipped, 1);
        self.entry('U', path, 0);
    }

    pub(super) fn planned(&self, path: &[u8]) {
        add(&self.files, 1);
        self.entry('+', path, 0);
    }

    pub(super) fn deleted(&self, path: &[u8]) {
        add(&self.deleted, 1);
        self.entry('-', path, 0);
    }

    fn entry(&self, status: char, path: &[u8], bytes: u64) {
        self.monitor.entry(status, path);
        if let Some(counters) = self.monitor.counters() {
            Counters::add(&counters.entries, 1);
            Counters::add(&counters.bytes, bytes);
        }
    }

    /// Collects what could not be set, so that an ordinary user's restore does not print a line a file.
    pub(super) fn unset(&self, path: &[u8], unset: Vec<Unset>) {
        let mut all = self.unset.lock().unwrap_or_else(PoisonError::into_inner);
        for one in unset {
            let what = match one.attribute {
                UnsetAttribute::Owner => "owner".to_owned(),
                UnsetAttribute::Group => "group".to_owned(),
                UnsetAttribute::Mode => "mode".to_owned(),
                UnsetAttribute::Xattr(name) => format!("extended attribute {}", String::from_utf8_lossy(&name)),
                UnsetAttribute::Flags => "file flags".to_owned(),
                UnsetAttribute::Mtime => "time of modification".to_owned(),
            };
            let place = all.entry(what).or_insert_with(|| (path.to_vec(), one.error.to_string(), 0));
            place.2 += 1;
        }
    }

    /// One warning for each kind of attribute that could not be set.
    pub(super) fn say_unset(&self) {
        let all = std::mem::take(&mut *self.unset.lock().unwrap_or_else(PoisonError::into_inner));
        for (what, (path, reason, count)) in all {
            let others = if count > 1 { format!(", nor of {} more", count - 1) } else { String::new() };
            self.warn(&path, &format!("cannot set the {what} of it{others}: {reason}"));
        }
    }

    pub(super) fn counts(&self) -> Restored {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Restored {
            files: load(&self.files),
            directories: load(&self.directories),
            bytes: load(&self.bytes),
            skipped: load(&self.skipped),
            deleted: load(&self.deleted),
            warnings: load(&self.warnings),
            damaged: load(&self.damaged),
            duration: std::time::Duration::ZERO,
        }
    }
}
