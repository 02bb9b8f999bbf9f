//! A repository that is damaged, file by file: `check` says so, and a restore brings back what was archived or says what it cannot.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vault_engine::ops::archives;
use vault_engine::ops::check::Severity;
use vault_engine::progress::Silent;
use vault_engine::store::{Key, Kind, MemoryStore, Snapshot};

use crate::sample::{self, noise};

mod bytes;
mod matrix;
mod world;

/// What is made of each of these, in their order. On threads of our own: checks and restores have pools of theirs, and a pool that waits
/// for another one takes up the next of its jobs on the same stack.
fn in_parallel<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = items.chunks(items.len().div_ceil(threads).max(1));
    std::thread::scope(|scope| {
        let act = &act;
        let started: Vec<_> = parts.map(|part| scope.spawn(move || part.iter().map(act).collect::<Vec<R>>())).collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Two nights of a small tree.
struct Sample {
    _folder: TempDir,
    source: PathBuf,
    /// What each night archived, oldest first.
    nights: Vec<BTreeMap<PathBuf, Vec<u8>>>,
    snapshot: Snapshot,
}

impl Sample {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("inner")).unwrap();
        let store = sample::memory();
        let repository = sample::open(store.clone());
        let mut nights = Vec::new();
        for night in 0..2 {
            fs::write(source.join("noise"), noise(night, 70_000)).unwrap();
            fs::write(source.join(format!("inner/text {night}")), "many words ".repeat(500)).unwrap();
            fs::write(source.join("inner/same"), noise(50, 3000)).unwrap();
            sample::archive(&repository, &source);
            nights.push(sample::files(&source));
        }
        Self { _folder: folder, source, nights, snapshot: store.snapshot() }
    }

    fn of(&self, kind: Kind) -> Vec<Key> {
        self.snapshot.keys().filter(|key| key.kind() == kind).cloned().collect()
    }

    /// Whatever has happened to the store: no wrong byte is restored, and what is absent is reported.
    #[track_caller]
    fn assert_no_wrong_bytes(&self, store: &MemoryStore, what: &str) {
        let Ok(repository) = sample::try_open(store.clone(), None) else { return };
        let Ok(all) = archives::list(&repository, &Silent) else { return };
        for archive in all {
            let night = usize::try_from(archive.manifest.sequence).unwrap() - 1;
            let target = TempDir::new().unwrap();
            let Ok((restored, heard)) = sample::try_restore(&repository, &archive, target.path()) else { continue };
            let found = sample::files(&sample::inside(target.path(), &self.source));
            for (path, bytes) in &found {
                assert!(self.nights[night].get(path) == Some(bytes), "{what}: {} has wrong bytes", path.display());
            }
            let absent = self.nights[night].len() - found.len();
            assert!(absent == 0 || restored.damaged > 0, "{what}: {absent} files are absent and nobody says so");
            assert!(absent == 0 || !heard.warnings().is_empty(), "{what}");
        }
    }
}

/// `check` reports an error, or the repository does not even open.
#[track_caller]
fn assert_reported(store: &MemoryStore, what: &str) {
    if let Ok(repository) = sample::try_open(store.clone(), None) {
        let report = sample::check_data(&repository);
        assert_eq!(report.worst(), Some(Severity::Error), "{what}: {:#?}", report.findings);
    }
}

type Damage = Box<dyn Fn(&mut Vec<u8>)>;

/// What a disk does to a file.
fn damages(length: usize) -> Vec<(String, Damage)> {
    let mut all: Vec<(String, Damage)> = Vec::new();
    // The header, the first record, the middle, the last record.
    for at in [0, 9, 40, 70, 100, 128, 140, 200, 300, length / 2, length - 60, length - 1] {
        let at = at.min(length - 1);
        all.push((format!("byte {at} of {length} flipped"), Box::new(move |bytes| bytes[at] ^= 0x10)));
    }
    for left in [0, 1, 64, 128, length / 2, length - 64, length - 1] {
        let left = left.min(length - 1);
        all.push((format!("cut to {left} of {length} bytes"), Box::new(move |bytes| bytes.truncate(left))));
    }
    all.push(("zeroed".to_owned(), Box::new(|bytes| bytes.fill(0))));
    all.push(("a byte longer".to_owned(), Box::new(|bytes| bytes.push(0))));
    all
}

#[test]
fn every_damage_to_every_kind_of_file_is_reported_and_restores_no_wrong_byte() {
    let sample = Sample::new();
    sample::assert_sound(&sample::open(MemoryStore::from_snapshot(&sample.snapshot)));
    let mut kinds = Vec::new();
    for (key, bytes) in &sample.snapshot {
        for (how, damage) in damages(bytes.len()) {
            let store = MemoryStore::from_snapshot(&sample.snapshot);
            store.corrupt(key, |bytes| damage(bytes));
            let what = format!("{key} {how}");
            assert_reported(&store, &what);
            sample.assert_no_wrong_bytes(&store, &what);
        }
        kinds.push(key.kind());
    }
    kinds.dedup();
    assert_eq!(kinds, [Kind::Config, Kind::Keys, Kind::Packs, Kind::Index, Kind::Archives]);
}

#[test]
fn every_file_that_is_lost_is_missed_unless_it_was_all_there_was_of_an_archive() {
    let sample = Sample::new();
    for key in sample.snapshot.keys() {
        let store = MemoryStore::from_snapshot(&sample.snapshot);
        store.remove_raw(key);
        let what = format!("{key} lost");
        sample.assert_no_wrong_bytes(&store, &what);
        match key.kind() {
            // What no segment names is read from the packs: nothing is lost, and the packs without one are counted.
            Kind::Index => assert!(sample::check_data(&sample::open(store)).unindexed_packs > 0, "{what}"),
            // Without its mark an archive is one that a writer was cut off from: nobody was told that it is one.
            Kind::Archives if key.name().contains('.') => {}
            _ => assert_reported(&store, &what),
        }
    }
}

#[test]
fn files_that_have_changed_places_are_reported_and_restore_no_wrong_byte() {
    let sample = Sample::new();
    for kind in [Kind::Packs, Kind::Index, Kind::Archives] {
        let keys: Vec<Key> = sample.of(kind).into_iter().filter(|key| !key.name().contains('.')).collect();
        assert!(keys.len() > 1, "{kind:?}");
        for pair in keys.windows(2) {
            let store = MemoryStore::from_snapshot(&sample.snapshot);
            for (key, other) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                store.insert_raw(key.clone(), sample.snapshot[other].clone());
            }
            let what = format!("{} and {} changed places", pair[0], pair[1]);
            assert_reported(&store, &what);
            sample.assert_no_wrong_bytes(&store, &what);
        }
    }
}

#[test]
fn a_config_or_key_of_another_repository_does_not_open_this_one() {
    let sample = Sample::new();
    let other = sample::memory().snapshot();
    for kind in [Kind::Config, Kind::Keys] {
        let store = MemoryStore::from_snapshot(&sample.snapshot);
        for key in sample.of(kind) {
            store.remove_raw(&key);
        }
        for (key, bytes) in other.iter().filter(|(key, _)| key.kind() == kind) {
            store.insert_raw(key.clone(), bytes.clone());
        }
        assert!(sample::try_open(store, None).is_err(), "{kind:?}");
    }
}

#[test]
fn names_that_are_not_data_disturb_nobody() {
    let sample = Sample::new();
    let store = MemoryStore::from_snapshot(&sample.snapshot);
    for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Config) {
        for name in ["README", ".hidden", "ABCDEF", "0123.partial"] {
            store.insert_raw(Key::listed(kind, name), b"rubbish".to_vec());
        }
    }
    let repository = sample::open(store.clone());
    sample::assert_sound(&repository);
    assert_eq!(archives::list(&repository, &Silent).unwrap().len(), 2);
    sample.assert_no_wrong_bytes(&store, "rubbish beside the files");
    sample::archive(&repository, &sample.source);
}

#[test]
fn of_a_pack_that_is_cut_off_behind_a_block_all_blocks_before_are_read_without_an_index() {
    // A large chunk is a block alone: 64 bytes of head, then its body.
    const BLOCK: usize = 64 + (36 + 400_000 + 28_usize).next_multiple_of(64);
    let folder = TempDir::new().unwrap();
    for file in 0..3 {
        fs::write(folder.path().join(file.to_string()), noise(file, 400_000)).unwrap();
    }
    let store = sample::memory();
    let created = sample::archive(&sample::open(store.clone()), folder.path());
    for key in store.files() {
        match key.kind() {
            Kind::Index => drop(store.remove_raw(&key)),
            Kind::Packs => {
                let behind_two = |bytes: &mut Vec<u8>| bytes.truncate(128 + 2 * BLOCK);
                store.corrupt(&key, behind_two);
            }
            _ => {}
        }
    }
    let target = TempDir::new().unwrap();
    let repository = sample::open(store);
    let (restored, _) = sample::try_restore(&repository, &created.archive.unwrap(), target.path()).unwrap();
    assert_eq!((restored.damaged, sample::files(target.path()).len()), (1, 2));
}
