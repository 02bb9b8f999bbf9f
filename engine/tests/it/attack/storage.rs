//! A store that answers with what it likes, and has no keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vault_engine::crypto::Purpose;
use vault_engine::error::Error;
use vault_engine::format::config::Profile;
use vault_engine::format::mark::Mark;
use vault_engine::format::tree::Tree;
use vault_engine::id::{ArchiveId, FileId, PackId};
use vault_engine::ops::archives;
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, InitOptions, Reader, Repository};
use vault_engine::store::{Key, Kind, MemoryStore, Store};

use super::Sandbox;
use crate::sample::{self, noise};

struct Victim {
    _folder: TempDir,
    source: PathBuf,
    store: MemoryStore,
    archive: Archive,
}

impl Victim {
    fn on(store: MemoryStore, number: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("large"), noise(number, 300_000)).unwrap();
        fs::write(source.join("small"), noise(number + 100, 500)).unwrap();
        let archive = sample::archive(&sample::open(store.clone()), &source).archive.unwrap();
        Self { _folder: folder, source, store, archive }
    }

    fn new(number: u64) -> Self {
        Self::on(sample::memory(), number)
    }

    fn keys(&self, kind: Kind) -> Vec<Key> {
        let keys = self.store.files().into_iter();
        keys.filter(|key| key.kind() == kind && !key.name().contains('.')).collect()
    }

    fn bytes(&self, key: &Key) -> Vec<u8> {
        self.store.read(key, 1 << 30).unwrap()
    }

    /// Only what was archived comes back; what does not is told by the check and by the restore.
    #[track_caller]
    fn assert_no_lie(&self, what: &str) {
        let Ok(repository) = sample::try_open(self.store.clone(), None) else { return };
        let meant = sample::files(&self.source);
        let sandbox = Sandbox::new();
        let Ok(listed) = archives::list(&repository, &Silent) else { return };
        for archive in &listed {
            assert_eq!(archive.id, self.archive.id, "{what}: an archive that nobody made");
        }
        let restored = sandbox.restore(&repository, &self.archive);
        let found = sample::files(&sample::inside(&sandbox.target(), &self.source));
        assert!(found.iter().all(|(path, bytes)| meant.get(path) == Some(bytes)), "{what}: other bytes");
        let lost = found.len() < meant.len();
        assert!(!lost || restored.is_err() || restored.is_ok_and(|(restored, _)| restored.damaged > 0), "{what}");
        let report = sample::check_data(&repository);
        assert!(!lost || report.findings.iter().any(|finding| !finding.harms.is_empty()), "{what}");
    }
}

#[test]
fn packs_and_segments_of_another_repository_are_not_taken_for_ours() {
    for kind in [Kind::Packs, Kind::Index, Kind::Archives, Kind::Config, Kind::Keys] {
        let (one, other) = (Victim::new(1), Victim::new(2));
        for key in one.keys(kind) {
            for foreign in other.keys(kind) {
                let ours = one.bytes(&key);
                one.store.insert_raw(key.clone(), other.bytes(&foreign));
                one.assert_no_lie(&format!("{foreign} as {key}"));
                one.store.insert_raw(key.clone(), ours);
                if kind != Kind::Config {
                    one.store.insert_raw(foreign.clone(), other.bytes(&foreign));
                    if kind == Kind::Archives {
                        let id = ArchiveId::from_hex(foreign.name()).unwrap();
                        one.store.insert_raw(Key::ok_mark(id), Mark::Ok.encode(id));
                    }
                    one.assert_no_lie(&format!("{foreign} beside ours"));
                    one.store.remove_raw(&foreign);
                }
            }
        }
    }
}

#[test]
fn an_archive_of_a_repository_with_the_same_keys_is_not_taken_for_one_of_ours() {
    let one = Victim::new(1);
    let store = MemoryStore::new();
    let ours = sample::open(one.store.clone());
    let options = InitOptions {
        encrypted: true,
        secret: Some(sample::secret()),
        slot_name: "like".to_owned(),
        like: Some(&ours),
        profile: Profile::default(),
    };
    Repository::init(&store, &options).unwrap();
    let other = Victim::on(store, 2);
    for key in other.store.files() {
        if ![Kind::Config, Kind::Keys].contains(&key.kind()) {
            one.store.insert_raw(key.clone(), other.bytes(&key));
        }
    }
    one.assert_no_lie("all of a sibling");
    let report = sample::check_data(&sample::open(one.store.clone()));
    assert!(report.findings.iter().any(|finding| finding.message.contains("another repository")), "{report:#?}");
}

#[test]
fn a_pack_does_not_pass_for_one_of_the_other_class() {
    let victim = Victim::new(1);
    for key in victim.keys(Kind::Packs) {
        for magic in [b"VAULT\0PK", b"VAULT\0IX", b"VAULT\0AR"] {
            for class in 0..=8 {
                let mut bytes = victim.bytes(&key);
                if &bytes[..8] == magic && bytes[20] == class {
                    continue;
                }
                bytes[..8].copy_from_slice(magic);
                bytes[20] = class;
                let what = format!("{key} as class {class}");
                // Under its own name, under its new one as each kind, with and without an index that knows better.
                let id = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
                let before = victim.store.snapshot();
                victim.store.insert_raw(key.clone(), bytes.clone());
                victim.assert_no_lie(&what);
                for kind in [Kind::Packs, Kind::Index, Kind::Archives] {
                    victim.store.insert_raw(Key::file(kind, id), bytes.clone());
                }
                let archive = ArchiveId::from_bytes(*id.as_bytes());
                victim.store.insert_raw(Key::ok_mark(archive), Mark::Ok.encode(archive));
                victim.assert_no_lie(&what);
                for key in victim.keys(Kind::Index) {
                    victim.store.remove_raw(&key);
                }
                victim.assert_no_lie(&what);
                for key in victim.store.files() {
                    victim.store.remove_raw(&key);
                }
                for (key, bytes) in before {
                    victim.store.insert_raw(key, bytes);
                }
            }
        }
    }
}

#[test]
fn a_file_whose_bytes_are_a_manifest_or_a_tree_is_a_file() {
    let victim = Victim::new(1);
    let repository = sample::open(victim.store.clone());
    let reader = Reader::new(&repository, Arc::new(repository.load_index().unwrap()));
    let tree = reader.object(Purpose::Meta, &victim.archive.manifest.root_tree()).unwrap();
    Tree::decode(&tree).expect("a tree");
    let manifest = victim.archive.manifest.encode();
    let sealed = victim.bytes(&Key::archive(victim.archive.id));
    for (name, payload) in [("tree", &tree), ("manifest", &manifest), ("sealed", &sealed)] {
        let data = repository.ring().object_id(Purpose::Data, payload);
        let meta = repository.ring().object_id(Purpose::Meta, payload);
        assert_ne!(data, meta, "{name}");
        fs::write(victim.source.join(name), payload).unwrap();
        let before: Vec<Key> = victim.keys(Kind::Packs);
        let store = MemoryStore::from_snapshot(&victim.store.snapshot());
        let repository = sample::open(store.clone());
        let archive = sample::archive(&repository, &victim.source).archive.unwrap();
        let reader = Reader::new(&repository, Arc::new(repository.load_index().unwrap()));
        assert_eq!(&reader.object(Purpose::Data, &data).unwrap(), payload, "{name}");
        let passed = reader.object(Purpose::Meta, &data);
        assert!(matches!(passed, Err(Error::Damaged { .. })), "{name}: a chunk passes for metadata");
        // The packs that hold it, offered as archives of their own, whole and with another header.
        let victim = Victim { _folder: TempDir::new().unwrap(), source: victim.source.clone(), store, archive };
        victim.store.remove_raw(&Key::ok_mark(ArchiveId::from_hex(&first_archive(&victim)).unwrap()));
        for pack in victim.keys(Kind::Packs).into_iter().filter(|pack| !before.contains(pack)) {
            let bytes = victim.bytes(&pack);
            for offered in [bytes.clone(), [&sealed[..128], &bytes[128..]].concat(), bytes[128..].to_vec()] {
                let id = ArchiveId::from_bytes(*blake3::hash(&offered).as_bytes());
                victim.store.insert_raw(Key::archive(id), offered);
                victim.store.insert_raw(Key::ok_mark(id), Mark::Ok.encode(id));
                victim.assert_no_lie(name);
            }
        }
    }
}

/// The archive that is not the newest.
fn first_archive(victim: &Victim) -> String {
    let keys = victim.keys(Kind::Archives).into_iter();
    keys.map(|key| key.name().to_owned()).find(|name| *name != victim.archive.id.to_hex()).unwrap()
}

/// Offset and length of every record of a pack that begins at a multiple of 64 and is as long as another one's.
fn exchange(bytes: &mut [u8], one: usize, other: usize, length: usize) {
    let (low, high) = (one.min(other), one.max(other));
    let (front, back) = bytes.split_at_mut(high);
    front[low..low + length].swap_with_slice(&mut back[..length]);
}

#[test]
fn blocks_that_have_changed_places_in_or_between_packs_are_found_out() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let store = sample::memory();
    let mut archives = Vec::new();
    for night in 0..2 {
        for file in 0..3 {
            fs::write(source.join(format!("{night} {file}")), noise(10 * night + file, 400_000)).unwrap();
        }
        archives.push(sample::archive(&sample::open(store.clone()), &source).archive.unwrap());
    }
    let archive = archives.pop().unwrap();
    store.remove_raw(&Key::ok_mark(archives[0].id));
    let victim = Victim { _folder: folder, source, store, archive };
    let large: Vec<Key> =
        victim.keys(Kind::Packs).into_iter().filter(|key| victim.bytes(key).len() > 1_000_000).collect();
    assert_eq!(large.len(), 2);
    // A large chunk is a block alone: 64 bytes of head, then its body.
    let length = 64 + (36 + 400_000 + 28usize).next_multiple_of(64);
    let places = [128, 128 + length, 128 + 2 * length];
    let snapshot = victim.store.snapshot();
    for (at, to) in [(places[0], places[1]), (places[1], places[2]), (places[0], places[2])] {
        let changed = victim.store.corrupt(&large[0], |bytes| exchange(bytes, at, to, length));
        assert!(changed);
        assert_lost(&victim, 2, "within a pack");
        victim.store.insert_raw(large[0].clone(), Arc::clone(&snapshot[&large[0]]));
        let from = victim.bytes(&large[1])[at..at + length].to_vec();
        victim.store.corrupt(&large[0], |bytes| bytes[to..to + length].copy_from_slice(&from));
        assert_lost(&victim, 1, "from another pack");
        victim.store.insert_raw(large[0].clone(), Arc::clone(&snapshot[&large[0]]));
    }
}

#[track_caller]
fn assert_lost(victim: &Victim, files: u64, what: &str) {
    victim.assert_no_lie(what);
    let sandbox = Sandbox::new();
    let (restored, _) = sandbox.restore(&sample::open(victim.store.clone()), &victim.archive).unwrap();
    assert_eq!(restored.damaged, files, "{what}");
}

#[test]
fn a_store_that_is_rolled_back_gives_what_was_archived_then() {
    // That it is an older state, only a client knows that has seen the newer one.
    let victim = Victim::new(1);
    let old = victim.store.snapshot();
    fs::write(victim.source.join("new"), "of the second night").unwrap();
    sample::archive(&sample::open(victim.store.clone()), &victim.source);
    fs::remove_file(victim.source.join("new")).unwrap();
    let new = victim.store.snapshot();
    for kind in [Kind::Packs, Kind::Index, Kind::Archives] {
        // One folder is of the older state, all else of the newer one.
        let store = MemoryStore::from_snapshot(&new);
        for key in store.files().into_iter().filter(|key| key.kind() == kind && !old.contains_key(key)) {
            store.remove_raw(&key);
        }
        let repository = sample::open(store.clone());
        let sandbox = Sandbox::new();
        let (restored, _) = sandbox.restore(&repository, &victim.archive).unwrap();
        assert_eq!(restored.damaged, 0, "{kind:?}: the older archive is whole");
        assert!(sample::files(&sample::inside(&sandbox.target(), &victim.source)) == sample::files(&victim.source));
        let report = sample::check_data(&repository);
        let harmed = report.findings.iter().any(|finding| !finding.harms.is_empty());
        assert_eq!(harmed, kind == Kind::Packs, "{kind:?}: {:#?}", report.findings);
    }
    let all = Victim { store: MemoryStore::from_snapshot(&old), ..victim };
    all.assert_no_lie("rolled back");
    sample::assert_sound(&sample::open(all.store.clone()));
}

#[test]
fn a_keyless_repository_in_the_place_of_an_encrypted_one_is_refused() {
    let victim = Victim::new(1);
    let keyless = MemoryStore::new();
    let options = InitOptions {
        encrypted: false,
        secret: None,
        slot_name: "plain".to_owned(),
        like: None,
        profile: Profile::default(),
    };
    Repository::init(&keyless, &options).unwrap();
    for key in victim.store.files().into_iter().filter(|key| [Kind::Config, Kind::Keys].contains(&key.kind())) {
        victim.store.remove_raw(&key);
    }
    for (key, bytes) in keyless.snapshot() {
        victim.store.insert_raw(key, bytes);
    }
    assert!(sample::try_open(victim.store.clone(), None).is_err(), "a secret was given");
}

#[test]
fn names_of_packs_that_do_not_exist_and_files_of_any_length_are_harmless() {
    let victim = Victim::new(1);
    for length in [0usize, 1, 63, 64, 127, 128, 192, 4096] {
        for fill in [0u8, 0xff] {
            let name = FileId::from_bytes(*blake3::hash(&vec![fill; length]).as_bytes());
            let before = victim.store.snapshot();
            for kind in [Kind::Packs, Kind::Index, Kind::Events, Kind::Keys, Kind::Archives] {
                victim.store.insert_raw(Key::file(kind, name), vec![fill; length]);
            }
            victim.assert_no_lie(&format!("{length} bytes of {fill}"));
            for key in victim.store.files().into_iter().filter(|key| !before.contains_key(key)) {
                victim.store.remove_raw(&key);
            }
        }
    }
    assert!(PackId::from_hex("..").is_none() && !Path::new(&Key::config().path()).is_absolute());
}
