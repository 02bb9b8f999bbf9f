//! Repair: whatever was damaged, nothing that could be read before is lost by it, and what is left is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use vault_engine::id::ArchiveId;
use vault_engine::ops::archives;
use vault_engine::ops::check::{CheckOptions, Severity, check};
use vault_engine::ops::compact::{CompactOptions, compact};
use vault_engine::ops::quarantine;
use vault_engine::ops::repair::{Remedy, RepairOptions, RepairReport, repair};
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{FaultyStore, Key, Kind, MemoryStore, Snapshot, Store};

use crate::sample::{self, Files, Readable, noise};

mod damages;
mod interrupted;
mod losses;
mod replica;

const YES: RepairOptions<'static> = RepairOptions { from: None, dry_run: false, jobs: Some(2) };

/// Three nights of a small tree, the first of which is protected.
struct Sample {
    _folder: TempDir,
    source: PathBuf,
    nights: BTreeMap<ArchiveId, Files>,
    snapshot: Snapshot,
}

impl Sample {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("inner")).unwrap();
        let store = sample::memory();
        let repository = sample::open(store.clone());
        let mut nights = BTreeMap::new();
        for night in 0..3 {
            fs::write(source.join("large"), noise(night, 700_000)).unwrap();
            fs::write(source.join("noise"), noise(night + 10, 70_000)).unwrap();
            fs::write(source.join(format!("inner/text {night}")), format!("{night} many words ").repeat(500)).unwrap();
            fs::write(source.join("inner/same"), noise(50, 3000)).unwrap();
            let archive = sample::archive(&repository, &source).archive.unwrap().id;
            if night == 0 {
                repository.protect(archive).unwrap();
            }
            nights.insert(archive, sample::files(&source));
        }
        Self { _folder: folder, source, nights, snapshot: store.snapshot() }
    }

    fn store(&self) -> MemoryStore {
        MemoryStore::from_snapshot(&self.snapshot)
    }

    fn of(&self, kind: Kind) -> Vec<Key> {
        self.snapshot.keys().filter(|key| key.kind() == kind).cloned().collect()
    }

    /// Every file of every archive that comes back right; no wrong byte ever does.
    #[track_caller]
    fn readable(&self, store: &MemoryStore, what: &str) -> Readable {
        sample::readable(store, &self.nights, &self.source, what)
    }

    /// Everything of archives that are still listed.
    fn everything(&self) -> Readable {
        self.nights.iter().flat_map(|(id, files)| files.keys().map(|path| (*id, path.clone()))).collect()
    }

    /// Repairs a damaged store, and asserts all that must be true of it whatever the damage was.
    #[track_caller]
    fn assert_repaired(&self, store: &MemoryStore, what: &str) -> RepairReport {
        let before = self.readable(store, what);
        let damaged = store.snapshot();
        let repository = sample::open(store.clone());
        let report = repair(&repository, YES, &Silent).unwrap_or_else(|error| panic!("{what}: {error}"));
        let after = self.readable(store, what);
        assert!(after.is_superset(&before), "{what}: {:?} was readable before", before.difference(&after));
        assert_settled(&repository, what);
        assert_kept(&damaged, store, what);
        // What was lost is stored again by the next night, and a compaction takes nothing of what is left.
        sample::archive(&sample::open(store.clone()), &self.source);
        let healed = self.readable(store, what);
        assert!(healed.is_superset(&after), "{what}");
        compact(&sample::open(store.clone()), &CompactOptions { threshold: 0, ..CompactOptions::default() }, &Silent)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(self.readable(store, what), healed, "{what}");
        assert_settled(&sample::open(store.clone()), what);
        report
    }
}

/// Nothing is wrong but what is recorded as lost, and a second repair has nothing to do.
#[track_caller]
fn assert_settled(repository: &Repository, what: &str) {
    let report = sample::check_data(repository);
    let errors: Vec<_> = report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
    let again = repair(repository, YES, &Silent).unwrap();
    let done = again.treatments.iter().filter(|one| one.remedy != Remedy::Leave).collect::<Vec<_>>();
    assert!(done.is_empty() && again.salvaged == 0, "{what}: {done:?}");
}

/// The bytes of every file that has gone are in the quarantine, if they were those of no other file that stands. Sound segments are
/// replaced, gc records finished.
#[track_caller]
fn assert_kept(before: &Snapshot, store: &MemoryStore, what: &str) {
    let after = store.snapshot();
    let standing: BTreeSet<&[u8]> = after.values().map(AsRef::as_ref).collect();
    for (key, bytes) in before.iter().filter(|(key, _)| ![Kind::Sessions, Kind::Gc, Kind::Index].contains(&key.kind()))
    {
        assert!(standing.contains(bytes.as_ref()), "{what}: the bytes of {key} are nowhere");
    }
}
