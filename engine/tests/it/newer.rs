//! What a newer version has written: refused in words, never taken for damage, and what can be read is read.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;
use vault_engine::codec::Put;
use vault_engine::crypto::{NONCE_LEN, RecordKeys, SEAL_OVERHEAD, Subkey};
use vault_engine::error::{Error, KeyProblem};
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::records::{Event, GcRecord};
use vault_engine::format::segment::Segment;
use vault_engine::format::tree::Tree;
use vault_engine::id::{ArchiveId, FileId, ObjectId};
use vault_engine::meta::{Attributes, Chunking, Content, Node, NodeKind, Timestamp};
use vault_engine::ops::archives;
use vault_engine::ops::create::create;
use vault_engine::ops::repair::{RepairOptions, repair};
use vault_engine::progress::Silent;
use vault_engine::repository::{OpenOptions, Repository, Secret};
use vault_engine::store::{Key, Kind, MemoryStore, Store};

use crate::sample;

/// An archive of one small file.
fn place() -> (TempDir, MemoryStore) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "what was there before").unwrap();
    let store = sample::memory();
    sample::archive(&sample::open(store.clone()), folder.path());
    (folder, store)
}

/// Puts another `config`, with features that a writer must know and a profile of a later kind.
fn upgrade(store: &MemoryStore, write: u64) {
    let repository = sample::open(store.clone());
    let old = store.read(&Key::config(), 1 << 20).unwrap();
    let profile = [9_u8; 77];
    let mut bytes = old[..12].to_vec();
    bytes.put_count(profile.len() + SEAL_OVERHEAD);
    bytes.put_u64(0);
    bytes.put_u64(write);
    bytes.put(&old[32..192]);
    let ring = repository.ring();
    let key = ring.subkey(Subkey::SealConfig);
    let keys = RecordKeys::derive("vault 1 config", &[key.expose(), &old[72..104], &old[40..72]]);
    let mut record = vec![0; NONCE_LEN];
    record.extend_from_slice(&profile);
    keys.aead.seal(&mut record, &[&profile], &bytes).unwrap();
    bytes.append(&mut record);
    let check = blake3::hash(&bytes);
    bytes.put(check.as_bytes());
    store.insert_raw(Key::config(), bytes);
}

#[test]
fn features_for_writers_leave_a_repository_that_is_read_and_not_written() {
    let (folder, store) = place();
    upgrade(&store, 1 << 40);
    let before = store.snapshot();
    let repository = sample::open(store.clone());
    let archive = archives::list(&repository, &Silent).unwrap().remove(0);
    let target = TempDir::new().unwrap();
    sample::try_restore(&repository, &archive, target.path()).unwrap();
    assert_eq!(fs::read(sample::inside(target.path(), folder.path()).join("file")).unwrap(), b"what was there before");
    let refused = create(&repository, &sample::options(&[folder.path()]), None, &Silent);
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    let options = RepairOptions { from: None, dry_run: false, jobs: Some(1) };
    assert!(matches!(repair(&repository, options, &Silent), Err(Error::Unsupported { .. })));
    assert_eq!(store.snapshot(), before);
}

/// The payload with a field in its (last and empty) region that a reader must know.
fn with_critical_field(payload: &[u8]) -> Vec<u8> {
    let mut out = payload[..payload.len() - 4].to_vec();
    out.put_u32(2 + 4 + 3);
    out.put_u16(0x8001);
    out.put_blob(b"new");
    out
}

#[test]
fn a_repair_leaves_what_a_newer_version_wrote_where_it_is() {
    let (_folder, store) = place();
    let repository = sample::open(store.clone());
    let put = |kind: Kind, class: Class, payload: Vec<u8>| {
        let bytes = seal_file(repository.ring(), class, [2; 16], &with_critical_field(&payload)).unwrap();
        let key = Key::file(kind, FileId::from_bytes(*blake3::hash(&bytes).as_bytes()));
        store.put(&key, &bytes).unwrap();
        key
    };
    let archive = ArchiveId::from_bytes([1; 32]);
    let time = Timestamp::default();
    let event = Event { archive, kind: 77, host_id: [1; 16], time, replaces: Vec::new(), value: Vec::new() };
    let segment = Segment { writer: [1; 16], replaces: Vec::new(), packs: Vec::new() };
    let newer = [
        put(Kind::Events, Class::Event, event.encode()),
        put(Kind::Index, Class::Index, segment.encode()),
        put(Kind::Gc, Class::Gc, GcRecord::default().encode()),
    ];
    let options = RepairOptions { from: None, dry_run: false, jobs: Some(1) };
    drop(repair(&repository, options, &Silent));
    for key in newer {
        assert!(store.size(&key).unwrap().is_some(), "{key} was taken away");
    }
    assert!(store.list(Kind::Quarantine).unwrap().is_empty());
}

#[test]
fn a_file_that_was_cut_in_a_new_way_is_read_and_kept() {
    let chunking = Chunking::Unknown { chunker: 9, log2: 77 };
    let content = Content::Chunk(ObjectId::from_bytes([5; 32]));
    let kind = NodeKind::File { size: 3, chunking, content, link: None };
    let attributes = Attributes::default();
    let node = Node { name: b"file".to_vec(), implied: false, changed: false, missing: false, attributes, kind };
    let tree = Tree::Leaf(vec![(node, None)]);
    assert_eq!(Tree::decode(&tree.encode()), Ok(tree));
}

#[test]
fn more_fields_of_a_node_are_skipped_unless_they_are_critical_and_have_one_form() {
    let kind = NodeKind::Fifo;
    let attributes = Attributes::default();
    let node = Node { name: b"f".to_vec(), implied: false, changed: false, missing: false, attributes, kind };
    let plain = Tree::Leaf(vec![(node, None)]);
    // The flags stand behind the tree's head (8), its one owner (2 + 6), the name (2 + 1) and the kind (1).
    let with = |tags: &[u16]| {
        let mut bytes = plain.encode();
        bytes[20] |= 64;
        bytes.put_count(tags.len() * 7);
        for tag in tags {
            bytes.put_u16(*tag);
            bytes.put_blob(b"x");
        }
        Tree::decode(&bytes)
    };
    assert_eq!(with(&[1]), Ok(plain.clone()));
    assert_eq!(with(&[1, 9]), Ok(plain.clone()));
    assert!(with(&[0x8001]).is_err_and(|error| error.is_newer));
    for other_form in [&[][..], &[9, 1], &[1, 1]] {
        assert!(with(other_form).is_err_and(|error| !error.is_newer), "{other_form:?}");
    }
}

#[test]
fn many_slots_of_one_kind_keep_nobody_out() {
    let store = sample::memory();
    let repository = sample::open(store.clone());
    let file = |number: u8| Secret::KeyFile(vec![number; 40].into());
    for number in 0..60 {
        repository.add_slot(&file(number), "one of many").unwrap();
    }
    for number in 0..60 {
        let options = OpenOptions { secrets: vec![file(number)], ..OpenOptions::default() };
        Repository::open(Arc::new(store.clone()), options).unwrap_or_else(|error| panic!("slot {number}: {error}"));
    }
    let options = OpenOptions { secrets: vec![file(200)], ..OpenOptions::default() };
    let refused = Repository::open(Arc::new(store), options).map(drop);
    assert!(matches!(refused, Err(Error::Key(KeyProblem::Wrong { slots: 61 }))), "{refused:?}");
}

#[test]
fn texts_that_no_manifest_holds_are_refused_before_anything_is_read() {
    let (folder, store) = place();
    let before = store.snapshot();
    let options = sample::options(&[folder.path()]);
    let options = vault_engine::ops::create::CreateOptions { comment: "ä".repeat(33_000), ..options };
    let refused = create(&sample::open(store.clone()), &options, None, &Silent);
    assert!(matches!(&refused, Err(Error::Usage(problem)) if problem.contains("comment")), "{refused:?}");
    assert_eq!(store.snapshot(), before);
}
