//! `check`: whether every archive can be restored. It finds, names whom it harms, and changes nothing.
//!
//! 1. Structure (structure.rs, archives.rs, small.rs): every segment opens; every pack that the index names exists with the right size;
//!    every object that an archive refers to has a copy in such a pack; slots, marks, events and gc records are what their names say;
//!    no archive that this client has seen is gone unexplained.
//! 2. With `read_data` packs are read (packs.rs): their names, every block, every id; all of them, or a slice (slice.rs).
//! 3. All archives are walked on all cores (survey.rs). If anything is wrong with one, it is traced to archives and paths (trace.rs).
//!
//! Who has no key can verify every file by its name (files.rs).
//!
//! A finding says what to do, or that nobody is harmed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::error::{Error, Result, StoreErrorKind};
use crate::id::{ArchiveId, ObjectId, PackId};
use crate::progress::Monitor;
use crate::repository::{Archive, Look, Reader, Repository};

mod archives;
mod files;
mod packs;
mod slice;
mod small;
mod structure;
mod survey;
mod trace;
mod uncounted;

use packs::Reading;
use trace::Unread;

pub use files::{FilesReport, check_files};
pub use slice::{Share, Slice, Verified};

/// So often the structure is looked at while others move things.
const ATTEMPTS: u32 = 5;
/// What to do about most of what is found.
const REPAIR: &str = "run `vault check --repair`";

/// What to check.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Read and verify every block.
    pub read_data: bool,
    /// Worker threads; one a core without it.
    pub jobs: Option<usize>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is lost.
    Warning,
    /// Something cannot be restored, or could not be if another copy were lost.
    Error,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file of the repository.
    pub file: String,
    /// The object, if one is meant.
    pub object: Option<ObjectId>,
    /// What is wrong, and what to do.
    pub message: String,
    /// The archives that it harms, and the paths in them.
    pub harms: Vec<(ArchiveId, Vec<u8>)>,
}

/// What a check saw.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Archives that were walked.
    pub archives: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Packs that no segment names: left by a run that was cut off; the next create puts them into a segment.
    pub unindexed_packs: u64,
    /// Manifests without a mark.
    pub pending_archives: u64,
    /// Objects whose existence was verified, or, if packs were read, whose content was.
    pub objects: u64,
    /// Packs that were read.
    pub packs_read: u64,
    /// Bytes of packs that were read.
    pub bytes_read: u64,
    /// Packs that should have been read, but the time was over.
    pub packs_left: u64,
    /// Their bytes.
    pub bytes_left: u64,
    /// Packs that the store failed to read, which says nothing of their bytes, and how it failed.
    pub unread: Vec<(PackId, StoreErrorKind)>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub duration: Duration,
}

impl CheckReport {
    fn finding(
        &mut self,
        severity: Severity,
        file: impl Into<String>,
        object: Option<ObjectId>,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding { severity, file: file.into(), object, message: message.into(), harms: Vec::new() });
    }

    /// The worst finding, if there is any.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Copies of objects that cannot be had: in which pack, and the finding that says so.
type Lost = HashMap<ObjectId, Vec<(PackId, usize)>>;

/// Checks a repository. Others may write and compact meanwhile: what was only moved under its hands is looked at again.
///
/// # Errors
/// Only what makes checking impossible: the store cannot be listed, the user asked to stop. All else is a finding.
pub fn check(repository: &Repository, options: CheckOptions, monitor: &dyn Monitor) -> Result<CheckReport> {
    if options.read_data {
        return check_slice(repository, Slice::default(), options.jobs, &mut Verified::default(), monitor);
    }
    let mut reading = CheckReport::default();
    small::files(repository, &mut reading)?;
    structure_of_now(repository, options.jobs, monitor, &reading, &Lost::new(), Stopwatch::start())
}

/// The same, and of the packs a slice is read. `verified` says which were verified when, and is brought up to date, also when the user
/// stops it.
///
/// # Errors
/// As [`check`].
pub fn check_slice(
    repository: &Repository,
    slice: Slice,
    jobs: Option<usize>,
    verified: &mut Verified,
    monitor: &dyn Monitor,
) -> Result<CheckReport> {
    let watch = Stopwatch::start();
    let mut reading = CheckReport::default();
    small::files(repository, &mut reading)?;
    let mut lost = Lost::new();
    let mut look = Look::index_for_check(repository.core())?;
    let packs = structure::packs(repository, &mut look)?;
    Reading { repository, slice, jobs, watch, monitor }.read(&look, &packs, verified, &mut reading, &mut lost)?;
    structure_of_now(repository, jobs, monitor, &reading, &lost, watch)
}

/// The structure, until it stood still while it was looked at.
fn structure_of_now(
    repository: &Repository,
    jobs: Option<usize>,
    monitor: &dyn Monitor,
    reading: &CheckReport,
    lost: &Lost,
    watch: Stopwatch,
) -> Result<CheckReport> {
    for attempt in 1.. {
        let mut report = reading.clone();
        let before = structure::check(repository, jobs, monitor, &mut report, lost.clone())?;
        let sound = report.findings.len() == reading.findings.len();
        if sound || attempt == ATTEMPTS || !structure::has_moved(repository, &before)? {
            report.duration = watch.elapsed();
            return Ok(report);
        }
    }
    Err(Error::Internal("a check that never ended".to_owned()))
}

/// What of one archive no pack holds, as far as the index can tell: path and problem.
pub(crate) fn losses(
    repository: &Repository,
    archive: &Archive,
    monitor: &dyn Monitor,
) -> Result<Vec<(Vec<u8>, String)>> {
    let reader = Reader::new(repository, Arc::new(repository.load_index_to_read()?));
    let mut report = CheckReport::default();
    trace::archives(&reader, std::slice::from_ref(archive), monitor, &mut report, &Lost::new(), Unread::IsFound)?;
    let harms = report.findings.into_iter().flat_map(|finding| {
        let message = finding.message;
        finding.harms.into_iter().map(move |(_, path)| (path, message.clone()))
    });
    Ok(harms.collect())
}

/// What these archives need and no pack holds: one finding an object. What cannot be said of an object is left to a check.
///
/// # Errors
/// A tree or a list cannot be read, and is not known to be damaged: what it names might be lost or not.
pub(crate) fn absences(reader: &Reader<'_>, archives: &[Archive], monitor: &dyn Monitor) -> Result<Vec<Finding>> {
    let mut report = CheckReport::default();
    trace::archives(reader, archives, monitor, &mut report, &Lost::new(), Unread::EndsAll)?;
    report.findings.retain(|finding| finding.severity == Severity::Error && finding.object.is_some());
    Ok(report.findings)
}

/// The archives that need one of these objects and can have it from no pack but the one named.
pub(crate) fn harmed(
    repository: &Repository,
    archives: &[Archive],
    lost: &[(PackId, ObjectId)],
    monitor: &dyn Monitor,
) -> Result<Vec<ArchiveId>> {
    let reader = Reader::new(repository, Arc::new(repository.load_index_to_read()?));
    let mut report = CheckReport::default();
    report.finding(Severity::Error, "packs/", None, "damaged");
    let lost = lost.iter().map(|(pack, id)| (*id, vec![(*pack, 0)])).collect();
    trace::archives(&reader, archives, monitor, &mut report, &lost, Unread::IsFound)?;
    let mut harmed: Vec<_> = report.findings.into_iter().flat_map(|finding| finding.harms).map(|(id, _)| id).collect();
    harmed.sort_unstable();
    harmed.dedup();
    Ok(harmed)
}

/// Trees and lists that have been walked without anything to say.
type Seen = HashSet<ObjectId>;
