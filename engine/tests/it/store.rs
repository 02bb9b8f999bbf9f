//! Stores: what all of them must do, and what only one does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vault_engine::error::StoreErrorKind;
use vault_engine::id::{ArchiveId, FileId, PackId};
use vault_engine::store::{
    Fault, FaultMode, FaultThen, FaultyStore, Key, Kind, LocalStore, MemoryStore, Store, StoreResult, Verb, conformance,
};

mod liar;
mod model;

fn local() -> (TempDir, LocalStore) {
    let folder = TempDir::new().expect("a temporary folder");
    let store = LocalStore::create(folder.path().join("repository")).expect("a new store");
    (folder, store)
}

fn pack(byte: u8) -> Key {
    Key::pack(PackId::from_bytes([byte; 32]))
}

fn kind<T: std::fmt::Debug>(result: StoreResult<T>) -> StoreErrorKind {
    result.expect_err("an error").kind
}

/// Every file and folder below, relative.
fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_memory_store_conforms() {
    conformance::verify(&MemoryStore::new()).unwrap();
}

#[test]
fn a_local_store_conforms_and_leaves_nothing() {
    let (_folder, store) = local();
    conformance::verify(&store).unwrap();
    let path = store.path().to_owned();
    drop(store);
    let files: Vec<_> = tree(&path).into_iter().filter(|entry| !path.join(entry).is_dir()).collect();
    assert_eq!(files, [PathBuf::from("reserve")]);
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_faulty_store_without_faults_conforms() {
    conformance::verify(&FaultyStore::new(Arc::new(MemoryStore::new()))).unwrap();
}

#[test]
fn files_are_where_their_keys_say_and_private() {
    let (_folder, store) = local();
    let key = pack(0xab);
    store.put(&key, b"bytes").unwrap();
    store.put(&Key::config(), b"config").unwrap();
    store.put(&Key::ok_mark(ArchiveId::from_bytes([1; 32])), b"").unwrap();
    let path = store.path();
    let hex = "ab".repeat(32);
    assert_eq!(fs::read(path.join("packs/ab").join(&hex)).unwrap(), b"bytes");
    assert_eq!(fs::read(path.join("config")).unwrap(), b"config");
    assert!(path.join(format!("archives/{}.ok", "01".repeat(32))).is_file());
    for file in [path.join("packs/ab").join(&hex), path.join("config")] {
        assert_eq!(mode(&file) & 0o077, 0, "{}", file.display());
    }
    for folder in ["", "packs", "packs/ab", "archives", "tmp"] {
        assert_eq!(mode(&path.join(folder)) & 0o077, 0, "{folder}");
    }
}

#[test]
fn create_makes_parents_takes_empty_folders_and_leaves_no_probe() {
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("a/b/c");
    drop(LocalStore::create(&deep).unwrap());
    let new = ["reserve", "tmp"].map(PathBuf::from);
    assert_eq!(tree(&deep), new);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    drop(LocalStore::create(&empty).unwrap());
    drop(LocalStore::create(&empty).unwrap());
    assert_eq!(tree(&empty), new);
}

#[test]
fn create_is_not_confused_by_what_an_interrupted_one_left() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let stale = path.join("tmp").join("0f".repeat(16));
    fs::create_dir_all(&stale).unwrap();
    fs::create_dir(path.join("lost+found")).unwrap();
    fs::create_dir_all(path.join("packs/00")).unwrap();
    fs::write(stale.join("alive"), b"").unwrap();
    fs::write(stale.join("0"), b"half a file").unwrap();
    let store = LocalStore::create(path).unwrap();
    assert!(store.list(Kind::Packs).unwrap().is_empty());
    store.put(&Key::config(), b"config").unwrap();
    drop(store);
    let store = LocalStore::create(path).unwrap();
    assert_eq!(store.size(&Key::config()).unwrap(), Some(6), "what is there stays");
}

#[test]
fn create_refuses_a_folder_that_holds_something_else() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("holiday.jpg"), b"").unwrap();
    let error = LocalStore::create(folder.path()).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Exists);
    assert!(error.source.unwrap().to_string().contains("holiday.jpg"));
    assert_eq!(tree(folder.path()), [PathBuf::from("holiday.jpg")]);
    assert!(LocalStore::create(folder.path().join("holiday.jpg")).is_err());
    assert!(LocalStore::create(folder.path().join("holiday.jpg/below")).is_err());
    assert!(LocalStore::create("/proc/vault").is_err());
    assert!(LocalStore::create("").is_err());
}

#[test]
fn open_wants_a_folder_that_exists_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    assert_eq!(kind(LocalStore::open(folder.path().join("none"))), StoreErrorKind::NotFound);
    fs::write(folder.path().join("file"), b"").unwrap();
    assert!(LocalStore::open(folder.path().join("file")).is_err());
    let store = LocalStore::open(folder.path()).unwrap();
    assert!(Kind::ALL.iter().all(|kind| store.list(*kind).unwrap().is_empty()));
    assert_eq!(store.size(&pack(1)).unwrap(), None);
    drop(store.remove(&pack(1)));
    drop(store);
    assert_eq!(tree(folder.path()), [PathBuf::from("file")]);
}

#[test]
fn a_listing_of_packs_ignores_what_is_no_pack() {
    let (_folder, store) = local();
    store.put(&pack(0x11), b"one").unwrap();
    let packs = store.path().join("packs");
    let hex = |digits: &str| digits.repeat(32);
    fs::write(packs.join("11").join(hex("22")), b"wrong folder").unwrap();
    fs::write(packs.join("11").join(format!("{}.tmp", hex("11"))), b"").unwrap();
    fs::write(packs.join("11").join("1".repeat(63)), b"").unwrap();
    fs::write(packs.join("11").join("11".to_owned() + &"AB".repeat(31)), b"").unwrap();
    fs::write(packs.join(hex("33")), b"not in a folder").unwrap();
    fs::write(packs.join("44"), b"a file").unwrap();
    for folder in ["zz", "AB", "111"] {
        fs::create_dir(packs.join(folder)).unwrap();
        fs::write(packs.join(folder).join(hex("ab")), b"").unwrap();
    }
    fs::create_dir_all(packs.join("ab").join(hex("ab"))).unwrap();
    symlink("nowhere", packs.join("ab").join("ab".to_owned() + &"cd".repeat(31))).unwrap();
    let listed = store.list(Kind::Packs).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].name.as_str(), listed[0].size), (hex("11").as_str(), 3));
}

#[test]
fn a_folder_that_cannot_be_listed_is_an_error() {
    let (_folder, store) = local();
    store.put(&pack(0x11), b"one").unwrap();
    let path = store.path();
    symlink("loop", path.join("loop")).unwrap();
    symlink("../loop", path.join("packs/22")).unwrap();
    let error = store.list(Kind::Packs).unwrap_err();
    assert_eq!((error.action, error.key.as_str()), ("list", "packs/22"));
    fs::write(path.join("gc"), b"a file in a folder's place").unwrap();
    assert!(store.list(Kind::Gc).is_err());
    fs::create_dir(path.join("index")).unwrap();
    symlink("../loop", path.join("index/x")).unwrap();
    assert!(store.list(Kind::Index).is_err(), "a name whose size cannot be had");
}

#[test]
fn keys_cannot_leave_the_folder() {
    let (_folder, store) = local();
    for name in ["../config", "..", ".", "", "a/b", "/etc/passwd", "a\0b"] {
        let key = Key::listed(Kind::Keys, name);
        assert!(store.read(&key, 100).is_err(), "{name}");
        assert!(store.put(&key, b"x").is_err(), "{name}");
        assert!(store.remove(&key).is_err(), "{name}");
        assert!(store.begin().unwrap().finish(&key).is_err(), "{name}");
    }
    assert!(store.remove(&Key::listed(Kind::Packs, "é")).is_ok(), "an odd name is only missing");
}

#[test]
fn of_many_that_cannot_all_be_put_or_removed_each_is_whole_or_not_there() {
    let (_folder, store) = local();
    let path = store.path().to_owned();
    let segment = |n: u8| Key::file(Kind::Index, FileId::from_bytes([n; 32]));
    fs::create_dir_all(path.join(segment(30).path()).join("x")).unwrap();
    let files: Vec<_> = (0..60).map(|n| (segment(n), vec![n; 5_000])).collect();
    let error = store.put_many(&files).unwrap_err();
    assert_eq!(error.key, segment(30).path());
    for (key, bytes) in &files {
        assert!(store.size(key).unwrap().is_none() || store.read(key, 5_000).unwrap() == *bytes, "{key}");
    }
    let stranger = Key::listed(Kind::Keys, "../config");
    store.put(&Key::config(), b"config").unwrap();
    assert!(store.put_many(&[(segment(70), Vec::new()), (stranger.clone(), Vec::new())]).is_err());
    assert!(store.remove_many(&[Key::config(), stranger]).is_err());
    assert_eq!(store.size(&segment(70)).unwrap(), None);
    assert_eq!(store.size(&Key::config()).unwrap(), Some(6), "names are looked at before anything is done");
    let keys: Vec<_> = files.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(store.remove_many(&keys).unwrap_err().key, segment(30).path());
    fs::remove_dir_all(path.join(segment(30).path())).unwrap();
    store.remove_many(&keys).unwrap();
    assert!(store.list(Kind::Index).unwrap().is_empty());
    drop(store);
    assert!(tree(&path.join("tmp")).is_empty());
}

#[test]
fn a_reserve_may_vanish_be_short_and_be_made_again() {
    let (_folder, store) = local();
    let path = store.path().join("reserve");
    fs::remove_file(&path).unwrap();
    assert!(!store.spend_reserve().unwrap());
    for left in [None, Some("short")] {
        if let Some(bytes) = left {
            fs::write(&path, bytes).unwrap();
        }
        store.keep_reserve().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20);
    }
    assert_eq!(mode(&path) & 0o077, 0);
    let kept = fs::metadata(&path).unwrap().ino();
    store.keep_reserve().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), kept, "what is there stays");
    assert!(store.spend_reserve().unwrap() && !path.exists());
    drop(LocalStore::create(store.path()).unwrap());
    assert!(path.exists());
}

#[test]
fn a_failed_upload_is_removed() {
    let (_folder, store) = local();
    let path = store.path().to_owned();
    fs::write(path.join("packs"), b"a file in a folder's place").unwrap();
    let mut upload = store.begin().unwrap();
    upload.append(b"bytes").unwrap();
    assert!(upload.finish(&pack(1)).is_err());
    assert!(store.put(&pack(1), b"bytes").is_err());
    fs::create_dir_all(path.join("index").join("01".repeat(32)).join("x")).unwrap();
    assert!(store.put(&Key::file(Kind::Index, FileId::from_bytes([1; 32])), b"bytes").is_err());
    let left: Vec<_> = tree(&path.join("tmp")).into_iter().filter(|entry| !entry.ends_with("alive")).collect();
    assert_eq!(left.len(), 1, "only the folder of the store: {left:?}");
    drop(store);
    assert!(tree(&path.join("tmp")).is_empty());
}

#[test]
fn an_upload_outlives_the_store_that_began_it() {
    let (_folder, store) = local();
    let path = store.path().to_owned();
    let mut upload = store.begin().unwrap();
    drop(store);
    upload.append(b"bytes").unwrap();
    upload.finish(&pack(1)).unwrap();
    assert_eq!(LocalStore::open(&path).unwrap().read(&pack(1), 5).unwrap(), b"bytes");
    assert!(tree(&path.join("tmp")).is_empty());
}

#[test]
fn stale_uploads_are_removed_and_those_of_the_living_are_not() {
    let (_folder, store) = local();
    let other = LocalStore::open(store.path()).unwrap();
    let mut alive = other.begin().unwrap();
    alive.append(b"half").unwrap();
    let tmp = store.path().join("tmp");
    let stale = |digits: &str| tmp.join(digits.repeat(16));
    for digits in ["0a", "0b", "0c"] {
        fs::create_dir(stale(digits)).unwrap();
    }
    fs::write(stale("0a").join("alive"), b"").unwrap();
    fs::write(stale("0a").join("0"), b"left").unwrap();
    fs::write(stale("0a").join("1"), b"left").unwrap();
    fs::write(stale("0b").join("alive"), b"").unwrap();
    fs::create_dir(tmp.join("notes")).unwrap();
    assert_eq!(store.remove_stale_uploads().unwrap(), 3);
    assert_eq!(store.remove_stale_uploads().unwrap(), 0);
    assert!(tmp.join("notes").is_dir() && ["0a", "0b", "0c"].iter().all(|digits| !stale(digits).exists()));
    alive.append(b" and whole").unwrap();
    alive.finish(&pack(7)).unwrap();
    assert_eq!(store.read(&pack(7), 100).unwrap(), b"half and whole");
}

#[test]
fn a_scratch_store_does_what_a_store_must_and_leaves_nothing() {
    let (_folder, store) = local();
    store.put(&pack(1), b"data").unwrap();
    let before = tree(store.path());
    let scratch = store.scratch().unwrap();
    conformance::verify(scratch.store()).unwrap();
    scratch.store().put(&pack(2), b"no data").unwrap();
    assert_eq!(store.list(Kind::Packs).unwrap().len(), 1, "nothing of it is seen from outside");
    assert_eq!(store.remove_stale_uploads().unwrap(), 0, "its owner lives");
    assert_eq!(scratch.store().read(&pack(2), 10).unwrap(), b"no data");
    drop(scratch);
    assert_eq!(tree(store.path()), before);
}

#[test]
fn a_scratch_store_whose_owner_was_killed_is_cleared() {
    let (_folder, store) = local();
    let left = store.path().join("tmp").join("0a".repeat(16));
    fs::create_dir_all(left.join("store/packs/ab")).unwrap();
    fs::write(left.join("store/packs/ab/abcd"), b"left").unwrap();
    fs::write(left.join("alive"), b"").unwrap();
    symlink(store.path(), left.join("store/link")).unwrap();
    assert_eq!(store.remove_stale_uploads().unwrap(), 1);
    assert!(!left.exists() && store.path().join("reserve").exists());
}

#[test]
fn writers_begin_while_others_clear_up() {
    let (_folder, store) = local();
    let path = store.path().to_owned();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u8)
            .map(|writer| {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..20 {
                        let key = Key::pack(PackId::from_bytes([writer * 64 + round; 32]));
                        LocalStore::open(path).unwrap().put(&key, b"bytes").unwrap();
                    }
                })
            })
            .collect();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            store.remove_stale_uploads().unwrap();
        }
    });
    assert_eq!(store.list(Kind::Packs).unwrap().len(), 60);
}

#[test]
fn a_fault_strikes_once_or_for_ever_before_or_after() {
    let memory = MemoryStore::new();
    let store = FaultyStore::new(Arc::new(memory.clone()));
    let fault = |only, at, mode, then| Fault { only, at, mode, then, kind: StoreErrorKind::NoSpace };

    store.inject(fault(Some(Verb::Put), 1, FaultMode::Before, FaultThen::Once));
    store.put(&pack(1), b"1").unwrap();
    store.read(&pack(1), 1).unwrap();
    assert_eq!(kind(store.put(&pack(2), b"2")), StoreErrorKind::NoSpace);
    assert_eq!(memory.size(&pack(2)).unwrap(), None, "it did not happen");
    store.put(&pack(2), b"2").unwrap();

    store.inject(fault(None, 0, FaultMode::After, FaultThen::Once));
    assert_eq!(kind(store.remove(&pack(1))), StoreErrorKind::NoSpace);
    assert_eq!(memory.size(&pack(1)).unwrap(), None, "it happened");

    let mut upload = store.begin().unwrap();
    store.inject(fault(Some(Verb::Finish), 0, FaultMode::After, FaultThen::Forever));
    upload.append(b"3").unwrap();
    assert!(!store.is_crashed());
    upload.finish(&pack(3)).unwrap_err();
    assert!(store.is_crashed());
    assert_eq!(memory.size(&pack(3)).unwrap(), Some(1), "the last thing that happened");
    store.put(&pack(4), b"4").unwrap_err();
    store.list(Kind::Packs).unwrap_err();
    store.begin().unwrap_err();
    assert_eq!(memory.files(), [pack(2), pack(3)]);
    store.heal();
    store.put(&pack(4), b"4").unwrap();
}

#[test]
fn the_record_has_every_operation_in_order() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    let mark = Key::ok_mark(ArchiveId::from_bytes([1; 32]));
    let mut upload = store.begin().unwrap();
    upload.append(b"bytes").unwrap();
    upload.finish(&pack(0xab)).unwrap();
    store.put(&mark, b"").unwrap();
    store.inject(Fault::crash(0));
    store.list(Kind::Archives).unwrap_err();
    store.heal();
    store.put_many(&[(pack(1), Vec::new()), (pack(2), Vec::new())]).unwrap();
    store.remove_many(&[pack(2), pack(1)]).unwrap();
    let record: Vec<_> = store.operations().iter().map(ToString::to_string).collect();
    let (finish, put) = (format!("finish {}", pack(0xab)), format!("put {mark}"));
    let many = [("put", 1), ("put", 2), ("remove", 2), ("remove", 1)].map(|(verb, n)| format!("{verb} {}", pack(n)));
    assert_eq!(record[..5], ["begin ", "append ", &finish, &put, "list archives"]);
    assert_eq!(record[5..], many, "many are recorded one by one");
    assert_eq!(store.take_operations().len(), 9);
    assert!(store.operations().is_empty());
}

#[test]
fn a_snapshot_is_a_copy_and_damage_can_be_done_to_it() {
    let store = MemoryStore::new();
    store.put(&pack(1), b"abc").unwrap();
    let copy = MemoryStore::from_snapshot(&store.snapshot());
    store.put(&pack(2), b"later").unwrap();
    assert!(copy.corrupt(&pack(1), |bytes| bytes.truncate(2)));
    assert!(!copy.corrupt(&pack(2), Vec::clear));
    copy.insert_raw(pack(3), *b"raw");
    assert_eq!(copy.files(), [pack(1), pack(3)]);
    assert_eq!(copy.remove_raw(&pack(3)).as_deref(), Some(b"raw".as_slice()));
    assert_eq!(copy.read(&pack(1), 9).unwrap(), b"ab");
    assert_eq!(store.read(&pack(1), 9).unwrap(), b"abc");
}
