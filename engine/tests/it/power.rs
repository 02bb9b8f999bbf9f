//! Power cuts and full disks, on file systems of our own: what a local store said `Ok` to is there, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use vault_engine::error::{StoreError, StoreErrorKind};
use vault_engine::id::{ArchiveId, PackId};
use vault_engine::store::{Key, Kind, LocalStore, Store, StoreResult};

use crate::machine::{Disk, Format, fill};

/// How many operations are acknowledged before the power is cut while the next ones run.
const CUTS: [usize; 6] = [1, 2, 5, 13, 40, 90];

/// So many files exist at most at a time: older ones are removed, and the smallest disk holds them all.
const FILES: usize = 50;

/// What a store acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    present: BTreeMap<Key, Vec<u8>>,
    removed: BTreeSet<Key>,
    next: u64,
}

/// Bytes that differ from file to file; every third file has several pages' worth of them, some none at all.
fn bytes_of(n: u64) -> Vec<u8> {
    let length = match n % 6 {
        0 | 3 => 100_000 + n * 977 % 200_000,
        5 => 0,
        _ => 10 + n * 31 % 9_000,
    };
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A name that tells what the bytes must be, except for marks, which have none.
fn key_of(n: u64, bytes: &[u8]) -> Key {
    let hash = *blake3::hash(bytes).as_bytes();
    match n % 6 {
        5 => Key::ok_mark(ArchiveId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes())),
        4 => Key::archive(ArchiveId::from_bytes(hash)),
        _ => Key::pack(PackId::from_bytes(hash)),
    }
}

impl Acknowledged {
    /// One more file, and one less if there are too many; now and then many at once.
    fn step(&mut self, store: &LocalStore) -> StoreResult<()> {
        if self.next % 9 == 8 {
            return self.step_many(store);
        }
        let n = self.next;
        self.next += 1;
        let bytes = bytes_of(n);
        let key = key_of(n, &bytes);
        if n.is_multiple_of(3) {
            let mut upload = store.begin()?;
            bytes.chunks(33_333).try_for_each(|piece| upload.append(piece))?;
            upload.finish(&key)?;
        } else {
            store.put(&key, &bytes)?;
        }
        self.present.insert(key, bytes);
        if self.present.len() > FILES {
            let (key, _) = self.present.pop_first().unwrap();
            store.remove(&key)?;
            self.removed.insert(key);
        }
        Ok(())
    }

    fn step_many(&mut self, store: &LocalStore) -> StoreResult<()> {
        const MANY: u64 = 12;
        let files: Vec<_> = (self.next..self.next + MANY).map(|n| (key_of(n, &bytes_of(n)), bytes_of(n))).collect();
        self.next += MANY;
        store.put_many(&files)?;
        self.present.extend(files);
        let many = self.present.len().saturating_sub(FILES);
        let going: Vec<_> = self.present.keys().take(many).cloned().collect();
        // Which of them a power cut takes before this returns is not known.
        for key in &going {
            self.present.remove(key);
        }
        store.remove_many(&going)?;
        self.removed.extend(going);
        Ok(())
    }

    /// Works until the store fails, telling of each success.
    fn work(&mut self, store: &LocalStore, acknowledged: &Sender<()>) -> StoreError {
        loop {
            match self.step(store) {
                Ok(()) => drop(acknowledged.send(())),
                Err(error) => return error,
            }
        }
    }

    /// Everything acknowledged is so, and whatever else has a name is whole.
    fn verify(&self, store: &LocalStore) {
        for (key, bytes) in &self.present {
            let read = store.read(key, 1 << 20);
            assert!(read.as_ref().is_ok_and(|read| read == bytes), "{key}: {:?}", read.map(|read| read.len()));
        }
        for key in &self.removed {
            assert_eq!(store.size(key).unwrap(), None, "{key} is back");
        }
        for kind in [Kind::Packs, Kind::Archives] {
            for file in store.list(kind).unwrap() {
                let bytes = store.read(&Key::listed(kind, file.name.as_str()), file.size).unwrap();
                let whole = match file.name.strip_suffix(".ok") {
                    Some(_) => bytes.is_empty(),
                    None => blake3::hash(&bytes).to_hex().as_str() == file.name,
                };
                assert!(whole, "{} {} has {} other bytes", kind.folder(), file.name, bytes.len());
            }
        }
    }
}

/// Cuts the power a few acknowledged operations after now, and switches on again; whether what nobody synced was lost.
fn cut_while_writing(disk: &mut Disk, store: LocalStore, facts: &mut Acknowledged, after: usize) -> bool {
    let unsynced = disk.path().join(format!("unsynced-{after}"));
    let (sender, acknowledged) = channel();
    std::thread::scope(|scope| {
        let (store, facts) = (&store, &mut *facts);
        let writer = scope.spawn(move || facts.work(store, &sender));
        for _ in 0..after {
            if acknowledged.recv().is_err() {
                break;
            }
        }
        assert!(!writer.is_finished(), "the writer failed before the cut: {:?}", writer.join());
        let _ = fs::write(&unsynced, bytes_of(0));
        disk.cut();
    });
    drop(store);
    disk.restart();
    fs::read(&unsynced).map_or(true, |bytes| bytes != bytes_of(0))
}

fn power_cuts_lose_nothing(test: &str, format: Format) {
    let Some(mut disk) = Disk::new(test, format) else { return };
    let repository = disk.path().join("backups/of/vault");
    let store = LocalStore::create(&repository).unwrap();
    store.put(&Key::config(), b"config").unwrap();
    disk.cut();
    store.put(&Key::config(), b"no power").unwrap_err();
    drop(store);
    disk.restart();
    assert_eq!(LocalStore::open(&repository).unwrap().read(&Key::config(), 100).unwrap(), b"config");

    let mut facts = Acknowledged::default();
    let mut losses = 0;
    for after in CUTS {
        let store = LocalStore::open(&repository).unwrap();
        losses += usize::from(cut_while_writing(&mut disk, store, &mut facts, after));
        let store = LocalStore::open(&repository).unwrap();
        facts.verify(&store);
        store.remove_stale_uploads().unwrap();
        assert!(is_empty(&repository.join("tmp")), "what a writer left that lost its power is cleared");
    }
    // A busy machine may write a file back that nobody synced, but not every time.
    assert!(losses > 0, "nothing was ever lost: these were no power cuts and prove nothing");
    assert!(facts.next > 100 && !facts.removed.is_empty(), "{} operations", facts.next);
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn power_cuts_on_ext4_lose_nothing() {
    power_cuts_lose_nothing("power_cuts_on_ext4_lose_nothing", Format::Ext4);
}

#[test]
fn power_cuts_on_ext4_that_does_not_order_data_lose_nothing() {
    power_cuts_lose_nothing("power_cuts_on_ext4_that_does_not_order_data_lose_nothing", Format::Ext4Writeback);
}

#[test]
fn power_cuts_on_xfs_lose_nothing() {
    power_cuts_lose_nothing("power_cuts_on_xfs_lose_nothing", Format::Xfs);
}

/// What does not fit is refused as such, leaves nothing, and hinders neither reading nor making room.
fn a_full_disk_says_so(test: &str, format: Format) {
    let Some(disk) = Disk::new(test, format) else { return };
    let store = LocalStore::create(disk.path().join("repository")).unwrap();
    let pack = |n: u8| Key::pack(PackId::from_bytes([n; 32]));
    let bytes = vec![7; 8 << 20];
    let full = (0..=255).find_map(|n| store.put(&pack(n), &bytes).err().map(|error| (n, error)));
    let (n, error) = full.expect("the disk is small");
    assert_eq!(error.kind, StoreErrorKind::NoSpace, "{error:?}");
    assert_eq!(store.size(&pack(n)).unwrap(), None);
    assert_eq!(store.list(Kind::Packs).unwrap().len(), usize::from(n));

    let mut upload = store.begin().unwrap();
    let failed = bytes.chunks(1 << 20).find_map(|piece| upload.append(piece).err()).expect("the disk is full");
    assert_eq!(failed.kind, StoreErrorKind::NoSpace, "{failed:?}");
    store.remove(&pack(0)).unwrap();
    upload.append(b"after the gap").expect_err("a file with a gap stays broken");
    upload.finish(&pack(n)).expect_err("and gets no name");

    store.put(&pack(n), &bytes[..4 << 20]).expect("there is room again, also that of what failed");
    assert_eq!(store.read(&pack(1), 8 << 20).unwrap(), bytes);
}

#[test]
fn a_full_disk_says_so_and_recovers() {
    a_full_disk_says_so("a_full_disk_says_so_and_recovers", Format::Ext4);
}

#[test]
fn a_full_disk_in_memory_says_so_and_recovers() {
    a_full_disk_says_so("a_full_disk_in_memory_says_so_and_recovers", Format::Memory(40 << 20));
}

/// When not a block is left for the mark of a deletion, the reserve makes room for it, once.
#[test]
fn on_a_disk_without_a_free_block_the_reserve_makes_room_for_marks() {
    let test = "on_a_disk_without_a_free_block_the_reserve_makes_room_for_marks";
    let Some(disk) = Disk::new(test, Format::Ext4) else { return };
    let repository = disk.path().join("repository");
    let store = LocalStore::create(&repository).unwrap();
    let kept = fs::metadata(repository.join("reserve")).unwrap();
    assert!(kept.blocks() * 512 >= 1 << 20, "it is real");
    fill(&disk);
    assert_eq!(store.free_bytes().unwrap(), Some(0));
    let mark = |n: u8| (Key::deleted_mark(ArchiveId::from_bytes([n; 32])), vec![n; 80]);
    let marks: Vec<_> = (0..200).map(mark).collect();
    drop(store);

    // A program that has just been started, which has not even a temporary folder.
    let store = LocalStore::open(&repository).unwrap();
    assert_eq!(store.put(&marks[0].0, &marks[0].1).unwrap_err().kind, StoreErrorKind::NoSpace);
    assert_eq!(store.put_many(&marks).unwrap_err().kind, StoreErrorKind::NoSpace);
    store.keep_reserve().unwrap();
    assert!(store.spend_reserve().unwrap());
    store.put_many(&marks).unwrap();
    assert!(marks.iter().all(|(key, bytes)| store.read(key, 80).unwrap() == *bytes));

    fill(&disk);
    assert!(!store.spend_reserve().unwrap(), "there is one only");
    store.keep_reserve().expect("no room for it is no error");
    assert!(!repository.join("reserve").exists());
    fs::remove_file(disk.path().join("ballast")).unwrap();
    store.keep_reserve().unwrap();
    assert_eq!(fs::metadata(repository.join("reserve")).unwrap().len(), 1 << 20);
    assert!(store.free_bytes().unwrap().unwrap() > 1 << 20);
}
