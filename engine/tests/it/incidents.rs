//! What went wrong elsewhere and must not here (docs/incidents.md): the cases that no other test would notice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use vault_engine::error::{Error, Result, StoreErrorKind};
use vault_engine::id::{ArchiveId, FileId, PackId};
use vault_engine::ops::check::{CheckOptions, check};
use vault_engine::ops::compact::{CompactOptions, compact};
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{Fault, FaultMode, FaultThen, FaultyStore, Key, Kind, MemoryStore, Store};

use crate::compact::{self, Kept, THOROUGH, World};
use crate::sample::{self, noise};

mod caches;
mod features;
mod index;
mod questions;
mod seals;
mod segments;
mod times;
mod twice;

/// Archives the source with what a cache remembers.
#[track_caller]
fn archive(store: &MemoryStore, cache: Option<&Path>, source: &Path) -> ArchiveId {
    sample::archive(&sample::try_open(store.clone(), cache).unwrap(), source).archive.unwrap().id
}

/// These archives and one more, of the source as it is now.
fn and(kept: &Kept, id: ArchiveId, source: &Path) -> Kept {
    kept.iter().map(|(id, files)| (*id, files.clone())).chain([(id, sample::files(source))]).collect()
}

/// Whatever a check finds harms no archive.
#[track_caller]
fn assert_unharmed(store: &MemoryStore) {
    let found = sample::check_data(&sample::open(store.clone())).findings;
    let harmful: Vec<_> = found.iter().filter(|finding| !finding.harms.is_empty()).collect();
    assert!(harmful.is_empty(), "{harmful:#?}");
}

/// A compaction that is cut off at each of its operations, each state that it leaves once, the one that it ends with last.
fn each_state_of_a_compaction(world: &World, options: CompactOptions, mut look: impl FnMut(&MemoryStore, u64)) {
    let mut seen = HashSet::new();
    for at in 0.. {
        let store = world.copy();
        let faulty = FaultyStore::new(Arc::new(store.clone()));
        let repository = sample::open(faulty.clone());
        faulty.take_operations();
        faulty.inject(Fault::crash(at));
        let done = compact(&repository, &CompactOptions { jobs: Some(1), ..options }, &Silent);
        drop(repository);
        let finished = !faulty.is_crashed();
        let mut operations = faulty.take_operations();
        operations.truncate(usize::try_from(at).unwrap());
        let folder = |change: &String| change.split('/').next().unwrap_or_default().to_owned();
        if finished || seen.insert(compact::changes(&operations).iter().map(folder).collect::<Vec<_>>()) {
            look(&store, at);
        }
        if finished {
            done.unwrap();
            break;
        }
        assert!(at < 2000, "it never ends");
    }
    assert!(seen.len() > 8, "{} states are too few for a compaction", seen.len());
}
