//! A repository of which it is known what every archive must restore, and what a check says of it is compared with what restores do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vault_engine::format::config::Profile;
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::mark::Mark;
use vault_engine::format::records::{GcRecord, SessionRecord, Verb};
use vault_engine::format::split::SplitRule;
use vault_engine::id::{ArchiveId, FileId, PackId};
use vault_engine::meta::Timestamp;
use vault_engine::ops::{archives, key};
use vault_engine::process::ProcessId;
use vault_engine::progress::Silent;
use vault_engine::repository::{InitOptions, Repository, Secret};
use vault_engine::store::{Key, Kind, MemoryStore, Snapshot, Store};

use crate::sample::{self, noise};

/// What stands in a tree, directories left out: bytes of a file, or where a link points.
pub(super) type Tree = BTreeMap<Vec<u8>, Vec<u8>>;
/// An archive, and a path in it.
type Pair = (ArchiveId, Vec<u8>);

/// A repository, and what its archives hold.
pub(super) struct World {
    _folder: TempDir,
    pub(super) snapshot: Snapshot,
    /// Archives that count, with what they hold, oldest first.
    pub(super) archives: Vec<(ArchiveId, Tree)>,
}

/// What a check said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The repository does not open, or a finding.
    Detected,
    /// Nothing.
    Nothing,
}

impl World {
    /// One file, one archive, and one file of each kind beside it.
    pub(super) fn smallest() -> Self {
        let (folder, source) = source();
        fs::write(source.join("file"), "content").unwrap();
        let store = sample::memory();
        let repository = sample::open(store.clone());
        let archives = [sample::archive(&repository, &source), sample::archive(&repository, &source)];
        let [kept, deleted] = archives.map(|created| created.archive.unwrap().id);
        delete(&store, deleted);
        add_small_files(&repository, &store, kept, 1);
        let tree = tree_of(&source);
        Self { _folder: folder, snapshot: store.snapshot(), archives: vec![(kept, tree)] }
    }

    /// Two files of each kind at least; trees and content lists of several parts.
    pub(super) fn varied() -> Self {
        let (folder, source) = source();
        let store = MemoryStore::new();
        let rule = SplitRule { minimum: 2, bits: 1, maximum: 6 };
        let profile = Profile { cdc_log2: 12, tree_split: rule, list_split: rule, ..Profile::default() };
        let secret = Some(sample::secret());
        let options = InitOptions { encrypted: true, secret, slot_name: "one".to_owned(), like: None, profile };
        Repository::init(&store, &options).unwrap();
        let repository = sample::open(store.clone());
        let mut archives = Vec::new();
        for night in 0..3 {
            plant(&source, night);
            let created = sample::archive(&repository, &source);
            archives.push((created.archive.unwrap().id, tree_of(&source)));
        }
        let (deleted, _) = archives.remove(1);
        delete(&store, deleted);
        key::add(&repository, &Secret::KeyFile(vec![7; 64].into()), "two").unwrap();
        add_small_files(&repository, &store, archives[0].0, 2);
        Self { _folder: folder, snapshot: store.snapshot(), archives }
    }

    pub(super) fn store(&self) -> MemoryStore {
        MemoryStore::from_snapshot(&self.snapshot)
    }

    /// Whatever was done to the store: no restore gives other bytes or ends clean without a file, and if the check says anything, what it
    /// calls harmed is exactly what cannot be restored: of a directory at least one entry, for the names in a lost part of it are lost too.
    #[track_caller]
    pub(super) fn judge(&self, store: &MemoryStore, what: &str) -> Told {
        let Ok(repository) = sample::try_open(store.clone(), None) else { return Told::Detected };
        let report = sample::check_data(&repository);
        let failing = self.failing(&repository, what);
        if report.findings.is_empty() {
            return Told::Nothing;
        }
        let harmed: BTreeSet<Pair> = report.findings.iter().flat_map(|finding| finding.harms.clone()).collect();
        let mut unnamed = failing.iter().filter(|failing| !harmed.iter().any(|harmed| covers(harmed, failing)));
        let mut sound = harmed.iter().filter(|harmed| !failing.iter().any(|failing| covers(harmed, failing)));
        let show = |pairs: &mut dyn Iterator<Item = &Pair>| -> Vec<String> {
            pairs.map(|(id, path)| format!("{id}: {}", String::from_utf8_lossy(path))).collect()
        };
        let (unnamed, sound) = (show(&mut unnamed), show(&mut sound));
        let findings = &report.findings;
        assert!(unnamed.is_empty(), "{what}: cannot be restored, and not named: {unnamed:#?}; {findings:#?}");
        assert!(sound.is_empty(), "{what}: named, and can be restored: {sound:#?}; {findings:#?}");
        Told::Detected
    }

    /// What no restore brings back.
    #[track_caller]
    fn failing(&self, repository: &Repository, what: &str) -> BTreeSet<Pair> {
        let listed = archives::list(repository, &Silent).unwrap_or_default();
        let mut failing = BTreeSet::new();
        for (id, meant) in &self.archives {
            let target = TempDir::new().unwrap();
            let archive = listed.iter().find(|archive| archive.id == *id);
            let restored = archive.map(|archive| sample::try_restore(repository, archive, target.path()));
            let found = tree_of_target(target.path());
            for (path, bytes) in &found {
                let path_shown = String::from_utf8_lossy(path);
                assert!(meant.get(path) == Some(bytes), "{what}: {path_shown} comes back with other bytes");
            }
            let absent: Vec<Pair> =
                meant.keys().filter(|path| !found.contains_key(*path)).map(|path| (*id, path.clone())).collect();
            if let Some(Ok((restored, heard))) = restored {
                assert_eq!(absent.is_empty(), restored.damaged == 0, "{what}: {:?}", heard.warnings());
                assert!(absent.is_empty() || !heard.warnings().is_empty(), "{what}: lost without a word");
            }
            failing.extend(absent);
        }
        failing
    }
}

/// Whether a path is the harmed one, or below it.
fn covers(harmed: &Pair, path: &Pair) -> bool {
    let below = |rest: &[u8]| harmed.1.is_empty() || rest.is_empty() || rest.starts_with(b"/");
    harmed.0 == path.0 && path.1.strip_prefix(harmed.1.as_slice()).is_some_and(below)
}

fn source() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    (folder, source)
}

fn plant(source: &Path, night: u64) {
    fs::create_dir_all(source.join("inner/deep")).unwrap();
    fs::create_dir_all(source.join("many")).unwrap();
    fs::write(source.join("changing"), noise(night, 30_000)).unwrap();
    fs::write(source.join("inner/same"), noise(50, 20_000)).unwrap();
    fs::write(source.join(format!("inner/text {night}")), "many words ".repeat(500)).unwrap();
    fs::write(source.join("inner/deep/copy"), noise(50, 20_000)).unwrap();
    for number in 0..12 {
        fs::write(source.join(format!("many/{number}")), format!("number {number}")).unwrap();
    }
    if night == 0 {
        std::os::unix::fs::symlink("inner/same", source.join("link")).unwrap();
        fs::hard_link(source.join("inner/same"), source.join("inner/twin")).unwrap();
        fs::write(source.join("empty"), "").unwrap();
    }
}

fn delete(store: &MemoryStore, id: ArchiveId) {
    store.put(&Key::deleted_mark(id), &Mark::Deleted.encode(id)).unwrap();
}

/// Protections, the records of compactions that ended early, and the sessions of writers that did.
fn add_small_files(repository: &Repository, store: &MemoryStore, kept: ArchiveId, each: u8) {
    for number in 0..each {
        let record = GcRecord { packs: vec![PackId::from_bytes([number; 32])], pending: Vec::new(), session: [3; 16] };
        let bytes = seal_file(repository.ring(), Class::Gc, [3; 16], &record.encode()).unwrap();
        store.put(&Key::file(Kind::Gc, FileId::from_bytes(*blake3::hash(&bytes).as_bytes())), &bytes).unwrap();
        let session = [40 + number; 16];
        let record = SessionRecord {
            host_id: [1; 16],
            verb: Verb::Create,
            start: Timestamp::default(),
            time: Timestamp::default(),
            series: "host/sample".to_owned(),
            process: ProcessId::default(),
        };
        let bytes = seal_file(repository.ring(), Class::Session, session, &record.encode()).unwrap();
        store.put(&Key::session(&session, 1), &bytes).unwrap();
        repository.protect(kept).unwrap();
        if number + 1 < each {
            repository.unprotect(kept, &repository.facts().unwrap()).unwrap();
        }
    }
}

/// What stands below a source, by the paths of an archive.
fn tree_of(source: &Path) -> Tree {
    let above = source.strip_prefix("/").unwrap();
    let found = walk(source);
    found.into_iter().map(|(path, bytes)| (above.join(path).as_os_str().as_bytes().to_vec(), bytes)).collect()
}

fn tree_of_target(target: &Path) -> Tree {
    walk(target).into_iter().map(|(path, bytes)| (path.as_os_str().as_bytes().to_vec(), bytes)).collect()
}

fn walk(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                found.insert(name, fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec());
            } else {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
