//! `check --repair`: makes a repository whole again as far as its bytes allow, and says what is lost. docs/repair.md.
//!
//! 1. *Diagnose*: a check that reads all data; what is to be done about each file that it found. A dry run ends here.
//! 2. *Small files*: gc records, index segments, slots, events, manifests and marks, one by one (repository/mend.rs).
//! 3. *Packs*: those that are damaged are kept aside and then leave by a compaction's steps: condemned, looked at, what can be read of
//!    them copied, the index replaced, removed. So other hosts may write and compact meanwhile.
//! 4. *Objects* that no pack holds any more: from another repository, if there is one; the others are recorded, archive by archive.
//!
//! Nothing that can be read is ever removed: a file's bytes stay in the quarantine, and what is recorded as lost is taken up again by
//! whoever stores it again. Cut off after any step, the next repair goes on from what it finds.

use std::time::Duration;

use crate::clock::Stopwatch;
use crate::error::{Error, Result, StoreError};
use crate::id::{ArchiveId, FileId};
use crate::ops::check::{self, CheckOptions, CheckReport};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::store::{Key, Kind};
use crate::sync;

mod diagnose;
mod objects;
mod packs;

pub use diagnose::{Remedy, Treatment};

/// How to repair.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairOptions<'a> {
    /// Where objects may be taken from that are lost here: a repository with the same keys.
    pub from: Option<&'a Repository>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Worker threads; one a core without it.
    pub jobs: Option<usize>,
}

/// An archive of which something is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Which.
    pub archive: ArchiveId,
    /// How many objects it lacks.
    pub objects: u64,
    /// The paths that need them; at most a thousand for each object.
    pub paths: Vec<Vec<u8>>,
}

/// What a repair found and did.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// What the check before it found.
    pub found: CheckReport,
    /// What was done about each file, or would be.
    pub treatments: Vec<Treatment>,
    /// Objects that were copied out of damaged packs.
    pub salvaged: u64,
    /// Objects that were taken from the other repository.
    pub fetched: u64,
    /// Archives that stay incomplete: they are kept, and marked.
    pub incomplete: Vec<Incomplete>,
    /// What the structure looks like now; `None` on a dry run.
    pub left: Option<CheckReport>,
    /// How long it took.
    pub duration: Duration,
}

/// Repairs a repository. Other hosts may create, prune and compact at the same time.
///
/// # Errors
/// A file cannot be read or written: that is no verdict on its bytes, so nothing is done about it. What was done stays done.
pub fn repair(repository: &Repository, options: RepairOptions<'_>, monitor: &dyn Monitor) -> Result<RepairReport> {
    repository.check_writable()?;
    if options.from.is_some_and(|from| from.ring().domain() != repository.ring().domain()) {
        return Err(Error::Usage(
            "the other repository has other keys: what it holds cannot be recognised here. A copy of this repository will do, or one \
             that was made with `vault init --like`"
                .to_owned(),
        ));
    }
    let watch = Stopwatch::start();
    let pool = sync::pool(options.jobs)?;
    let mut report = pool.install(|| Repair { repository, options, monitor, report: RepairReport::default() }.run())?;
    report.duration = watch.elapsed();
    Ok(report)
}

struct Repair<'a> {
    repository: &'a Repository,
    options: RepairOptions<'a>,
    monitor: &'a dyn Monitor,
    report: RepairReport,
}

impl Repair<'_> {
    fn run(mut self) -> Result<RepairReport> {
        let thorough = CheckOptions { read_data: true, jobs: self.options.jobs };
        self.report.found = check::check(self.repository, thorough, self.monitor)?;
        if let Some((pack, kind)) = self.report.found.unread.first() {
            return Err(Error::Store(StoreError::new("read", Key::pack(*pack).to_string(), *kind)));
        }
        self.report.treatments = diagnose::treatments(self.repository, &self.report.found)?;
        if self.options.dry_run {
            return Ok(self.report);
        }
        self.small_files()?;
        self.report.salvaged = packs::replace(self.repository, &self.damaged_packs(), self.monitor)?;
        let (fetched, lacking) = objects::complete(self.repository, self.options.from, self.monitor)?;
        self.report.fetched = fetched;
        self.report.incomplete = objects::record(self.repository, lacking)?;
        let structure = CheckOptions { read_data: false, jobs: self.options.jobs };
        self.report.left = Some(check::check(self.repository, structure, self.monitor)?);
        Ok(self.report)
    }

    fn damaged_packs(&self) -> Vec<Key> {
        let salvaged = self.report.treatments.iter().filter(|treatment| treatment.remedy == Remedy::Salvage);
        salvaged.map(|treatment| treatment.key.clone()).collect()
    }

    /// In the order of [`Kind`]s that makes each step readable for the next: first the gc records, without which nothing can be listed;
    /// then the index; then what archives are.
    fn small_files(&self) -> Result<()> {
        let of = |kind: Kind| self.report.treatments.iter().filter(move |treatment| treatment.key.kind() == kind);
        of(Kind::Gc).try_for_each(|treatment| self.treat(treatment))?;
        of(Kind::Index).filter(|treatment| treatment.remedy != Remedy::SetAside).try_for_each(|one| self.treat(one))?;
        // Packs that no segment names that can be read get one, before the damaged segments go.
        let damaged = || of(Kind::Index).filter(|treatment| treatment.remedy == Remedy::SetAside);
        let ids = damaged().filter_map(|treatment| FileId::from_hex(treatment.key.name())).collect();
        self.repository.load_index_and_adopt_without(&ids)?;
        damaged().try_for_each(|treatment| self.treat(treatment))?;
        for kind in [Kind::Keys, Kind::Events, Kind::Archives] {
            of(kind).try_for_each(|treatment| self.treat(treatment))?;
        }
        Ok(())
    }

    fn treat(&self, treatment: &Treatment) -> Result<()> {
        let (repository, key) = (self.repository, &treatment.key);
        if self.monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        match &treatment.remedy {
            Remedy::PutInPlace(right) => repository.put_in_place(key, right),
            Remedy::MarkAgain(archive, mark) => repository.put_mark(*mark, *archive),
            Remedy::SetAside => {
                repository.core().set_aside(key)?;
                // The marks of an archive say nothing without it.
                let archive = ArchiveId::from_hex(key.name()).filter(|_| key.kind() == Kind::Archives);
                let marks = archive.into_iter().flat_map(|id| [Key::ok_mark(id), Key::deleted_mark(id)]);
                marks.into_iter().try_for_each(|mark| repository.core().set_aside(&mark))
            }
            Remedy::Salvage | Remedy::Forget | Remedy::Leave => Ok(()),
        }
    }
}
