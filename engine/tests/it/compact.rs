//! Compaction through the engine: what it frees, what it must never lose, whatever else happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use vault_engine::crypto::Purpose;
use vault_engine::error::Result;
use vault_engine::format::file::{Class, open_file, seal_file};
use vault_engine::format::mark::Mark;
use vault_engine::format::records::GcRecord;
use vault_engine::format::segment::Segment;
use vault_engine::id::{ArchiveId, FileId, ObjectId, PackId};
use vault_engine::ops::archives;
use vault_engine::ops::check::{CheckOptions, Finding, Severity, check};
use vault_engine::ops::compact::{CompactOptions, CompactReport, compact};
use vault_engine::ops::create::{CreateOptions, create};
use vault_engine::progress::Silent;
use vault_engine::repository::{PackState, Repository};
use vault_engine::store::{Key, Kind, MemoryStore, Operation, Store};

use crate::sample::{self, noise};

mod cached;
mod crashes;
mod damage;
mod duplicates;
mod frees;
mod hooked;
mod limited;
mod limits;
mod nights;
mod races;
mod random;

/// Patient with nobody, so that a test sees everything that a compaction does.
pub(crate) const AT_ONCE: CompactOptions = CompactOptions {
    threshold: 10,
    max_repack: None,
    max_duration: None,
    grace: Duration::ZERO,
    dry_run: false,
    jobs: Some(2),
};

/// Everything that is dead at all goes.
pub(crate) const THOROUGH: CompactOptions = CompactOptions { threshold: 0, ..AT_ONCE };

type Files = BTreeMap<PathBuf, Vec<u8>>;
/// Archives that must restore, and what to.
pub(crate) type Kept = BTreeMap<ArchiveId, Files>;

/// A source, a repository, and what was archived of the one in the other.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) store: MemoryStore,
    pub(crate) kept: Kept,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: TempDir::new().unwrap(), store: sample::memory(), kept: Kept::new() };
        fs::create_dir(world.source()).unwrap();
        world
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.source().join(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.source().join(name)).unwrap();
    }

    /// Archives the source as it is now.
    pub(crate) fn archive(&mut self) -> ArchiveId {
        let options = self.options();
        self.archive_as(&options)
    }

    fn archive_as(&mut self, options: &CreateOptions) -> ArchiveId {
        let created = create(&sample::open(self.store.clone()), options, None, &Silent).unwrap();
        let id = created.archive.unwrap().id;
        self.kept.insert(id, sample::files(&self.source()));
        id
    }

    fn options(&self) -> CreateOptions {
        sample::options(&[&self.source()])
    }

    pub(crate) fn delete(&mut self, id: ArchiveId) {
        self.kept.remove(&id).expect("an archive that counts");
        delete(&self.store, id);
    }

    fn compact(&self, options: &CompactOptions) -> CompactReport {
        try_compact(&self.store, options).unwrap()
    }

    /// The repository as it is, for one who may do with it what he likes.
    pub(crate) fn copy(&self) -> MemoryStore {
        MemoryStore::from_snapshot(&self.store.snapshot())
    }

    #[track_caller]
    fn assert_whole(&self) {
        assert_whole(&self.store, &self.kept, &self.source());
    }
}

fn try_compact(store: &(impl Store + Clone + 'static), options: &CompactOptions) -> Result<CompactReport> {
    compact(&sample::open(store.clone()), options, &Silent)
}

fn delete(store: &dyn Store, id: ArchiveId) {
    store.put(&Key::deleted_mark(id), &Mark::Deleted.encode(id)).unwrap();
}

/// Puts a gc record, as a compaction would that ended there.
pub(crate) fn condemn(repository: &Repository, store: &dyn Store, packs: Vec<PackId>, pending: Vec<ArchiveId>) {
    let payload = GcRecord { packs, pending, session: [2; 16] }.encode();
    let bytes = seal_file(repository.ring(), Class::Gc, [2; 16], &payload).unwrap();
    let name = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
    store.put(&Key::file(Kind::Gc, name), &bytes).unwrap();
}

/// How often a loop runs that could run for longer: docs/testing.md.
fn times(usually: usize) -> usize {
    let factor = std::env::var("VAULT_TEST_FACTOR").ok().and_then(|factor| factor.parse::<usize>().ok());
    usually * factor.unwrap_or(1)
}

pub(crate) fn names(store: &dyn Store, kind: Kind) -> BTreeSet<String> {
    store.list(kind).unwrap().into_iter().map(|file| file.name).collect()
}

pub(crate) fn packs(store: &dyn Store) -> BTreeSet<PackId> {
    names(store, Kind::Packs).iter().map(|name| PackId::from_hex(name).unwrap()).collect()
}

/// The packs that each index segment names.
fn segments(store: &MemoryStore) -> BTreeMap<FileId, Vec<PackId>> {
    let repository = sample::open(store.clone());
    let read = |name: &String| {
        let bytes = store.read(&Key::listed(Kind::Index, name), 1 << 30).unwrap();
        let payload = open_file(repository.ring(), Class::Index, &bytes).unwrap();
        let packs = Segment::decode(&payload).unwrap().packs;
        (FileId::from_hex(name).unwrap(), packs.iter().map(|pack| pack.id).collect())
    };
    names(store, Kind::Index).iter().map(read).collect()
}

/// Every copy of an object that a segment names.
pub(crate) fn objects(store: &MemoryStore) -> Vec<(Purpose, ObjectId)> {
    let repository = sample::open(store.clone());
    let mut copies = Vec::new();
    for name in names(store, Kind::Index) {
        let bytes = store.read(&Key::listed(Kind::Index, name), 1 << 30).unwrap();
        let payload = open_file(repository.ring(), Class::Index, &bytes).unwrap();
        for pack in Segment::decode(&payload).unwrap().packs {
            let purpose = if pack.class == Class::Meta { Purpose::Meta } else { Purpose::Data };
            let entries = pack.blocks().unwrap().into_iter().flat_map(|block| block.entries);
            copies.extend(entries.map(|entry| (purpose, entry.id)));
        }
    }
    copies.sort_unstable();
    copies
}

/// Takes over what somebody else has put at the same time.
fn absorb(store: &MemoryStore, other: &MemoryStore) {
    for (key, bytes) in other.snapshot() {
        store.insert_raw(key, bytes);
    }
}

/// Bytes of packs and index segments.
fn bytes(store: &dyn Store) -> u64 {
    let listed = [Kind::Packs, Kind::Index].map(|kind| store.list(kind).unwrap());
    listed.iter().flatten().map(|file| file.size).sum()
}

/// Exactly these archives count, each restores to what was archived, and nothing that was stored is damaged.
#[track_caller]
pub(crate) fn assert_whole(store: &MemoryStore, kept: &Kept, source: &Path) {
    assert_restores(store, None, kept, source);
    sample::assert_sound(&sample::open(store.clone()));
}

/// Exactly these archives count, and each restores to what was archived, whatever this cache remembers.
#[track_caller]
pub(crate) fn assert_restores(store: &MemoryStore, cache: Option<&Path>, kept: &Kept, source: &Path) {
    let repository = sample::try_open(store.clone(), cache).unwrap();
    let found: Vec<_> = archives::list(&repository, &Silent).unwrap();
    let counting: BTreeSet<ArchiveId> = found.iter().map(|archive| archive.id).collect();
    assert_eq!(counting, kept.keys().copied().collect(), "the archives that count");
    for archive in found {
        let target = TempDir::new().unwrap();
        let (restored, heard) = sample::try_restore(&repository, &archive, target.path()).unwrap();
        assert_eq!((restored.warnings, restored.damaged), (0, 0), "{}: {:?}", archive.id, heard.warnings());
        let files = sample::files(&sample::inside(target.path(), source));
        assert!(files == kept[&archive.id], "{} has other files than were archived", archive.id);
    }
}

/// A check that reads no data has nothing to say that is an error, but for entries of the index that have outlived their packs and that
/// nobody needs: whoever is overtaken by a compaction leaves such entries behind, and the next compaction takes them away.
#[track_caller]
pub(crate) fn assert_in_order(store: &MemoryStore) {
    let options = CheckOptions { read_data: false, jobs: Some(2) };
    let report = check(&sample::open(store.clone()), options, &Silent).unwrap();
    let outlived = |finding: &Finding| finding.harms.is_empty() && finding.message.starts_with("the pack is missing");
    let bad = report.findings.iter().filter(|finding| finding.severity == Severity::Error && !outlived(finding));
    let bad: Vec<_> = bad.collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// What is left after a compaction that was not disturbed: archives with their marks, packs that the index names, and nothing else.
#[track_caller]
pub(crate) fn assert_settled(store: &MemoryStore, kept: &Kept) {
    assert_eq!(names(store, Kind::Gc), BTreeSet::new(), "gc records");
    let marked = |id: &ArchiveId| [id.to_hex(), format!("{}.ok", id.to_hex())];
    assert_eq!(names(store, Kind::Archives), kept.keys().flat_map(marked).collect(), "manifests and marks");
    let index = sample::open(store.clone()).load_index().unwrap();
    let named = index.packs();
    assert!(named.iter().all(|pack| matches!(pack.state, PackState::Good(_))), "the index names packs that are gone");
    assert_eq!(
        named.iter().map(|pack| pack.id).collect::<BTreeSet<_>>(),
        packs(store),
        "the packs that the index names"
    );
}

pub(crate) fn changes(operations: &[Operation]) -> Vec<String> {
    operations.iter().filter(|operation| operation.verb.is_change()).map(ToString::to_string).collect()
}
