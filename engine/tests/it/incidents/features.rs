//! A repository that a later version, or somebody else's, has marked as its own.

use vault_engine::crypto::{NONCE_LEN, RecordKeys, SecretKey, Subkey};
use vault_engine::format::slot::{Bundle, Slot, SlotKind};
use vault_engine::meta::Timestamp;
use vault_engine::ops::archives::{self, Selector, Wanted};
use vault_engine::ops::delete::{DeleteOptions, delete};
use vault_engine::ops::protect::{protect, unprotect};
use vault_engine::ops::prune::prune;
use vault_engine::ops::repair::{RepairOptions, repair};
use vault_engine::ops::undelete::undelete;
use vault_engine::ops::{key, quarantine};

use super::*;
use crate::deletion::keep_last;

/// Seals `config` again with these features, and the slot that repeats it.
fn with_features(store: &MemoryStore, to_read: u64, to_write: u64) -> MemoryStore {
    let store = MemoryStore::from_snapshot(&store.snapshot());
    let repository = sample::open(store.clone());
    let ring = repository.ring();
    let (key, domain, id) = (ring.subkey(Subkey::SealConfig), ring.domain(), repository.id());
    let keys = RecordKeys::derive("vault 1 config", &[key.expose(), domain.as_bytes(), id.as_bytes()]);
    let mut config = store.read(&Key::config(), 1 << 20).unwrap();
    let mut sealed = config[192..config.len() - 32].to_vec();
    let profile = keys.aead.open(&mut sealed, &config[..192]).unwrap().to_vec();
    config.truncate(192);
    config[16..24].copy_from_slice(&to_read.to_le_bytes());
    config[24..32].copy_from_slice(&to_write.to_le_bytes());
    let mut record = [vec![0; NONCE_LEN], profile].concat();
    keys.aead.seal(&mut record, &[b"features"], &config).unwrap();
    config.extend_from_slice(&record);
    config.extend_from_slice(blake3::hash(&config.clone()).as_bytes());
    let root = SecretKey::new(*ring.root().expose());
    let bundle = Bundle {
        root,
        config: config.clone(),
        name: "later".to_owned(),
        created: Timestamp::default(),
        has_more: false,
    };
    for name in compact::names(&store, Kind::Keys) {
        store.remove_raw(&Key::listed(Kind::Keys, name));
    }
    // Two, so that one of them could go.
    for _ in 0..2 {
        let slot = Slot::create(SlotKind::KeyFile, sample::KEY, &bundle).unwrap();
        store.insert_raw(Key::file(Kind::Keys, FileId::from_bytes(*blake3::hash(&slot).as_bytes())), slot);
    }
    store.insert_raw(Key::config(), config);
    store
}

fn by_id(id: ArchiveId) -> Vec<Wanted> {
    vec![Wanted { text: format!("aid:{id}"), selector: Selector::Id(id.to_hex()) }]
}

#[test]
fn whoever_does_not_know_a_feature_that_writers_must_know_changes_nothing() {
    let mut world = World::new();
    world.write("file", noise(1, 30_000));
    let deleted = world.archive();
    world.write("file", noise(2, 30_000));
    let kept = world.archive();
    for night in 3..5 {
        world.write("file", noise(night, 30_000));
        world.archive();
    }
    world.delete(deleted);
    let writer = sample::open(world.store.clone());
    protect(&writer, &by_id(kept), &Silent).unwrap();
    world.store.insert_raw(Key::listed(Kind::Quarantine, "index-of-old"), b"set aside".as_slice());
    let store = with_features(&world.store, 0, 1 << 40);
    let before = store.snapshot();
    let repository = sample::open(store.clone());
    // It can be read.
    compact::assert_restores(&store, None, &world.kept, &world.source());
    sample::assert_sound(&repository);
    let unprotected = by_id(*world.kept.keys().find(|id| **id != kept).unwrap());
    let listed = quarantine::list(&repository).unwrap();
    let slot = key::slots(&repository).unwrap().remove(0).id;
    let new = vault_engine::repository::Secret::KeyFile(vec![7; 32].into());
    let wanted = |archives: &[Wanted]| DeleteOptions { archives: archives.to_vec(), ..DeleteOptions::default() };
    let changes: [(&str, &dyn Fn() -> Result<()>); 12] = [
        ("create", &|| sample::try_archive(&repository, &world.source()).map(drop)),
        ("prune", &|| prune(&repository, &keep_last(1), &Silent).map(drop)),
        ("delete", &|| delete(&repository, &wanted(&unprotected), &Silent).map(drop)),
        ("undelete", &|| undelete(&repository, &by_id(deleted), &Silent).map(drop)),
        ("protect", &|| protect(&repository, &unprotected, &Silent).map(drop)),
        ("unprotect", &|| unprotect(&repository, &by_id(kept), &Silent).map(drop)),
        ("compact", &|| compact(&repository, &THOROUGH, &Silent).map(drop)),
        ("repair", &|| {
            repair(&repository, RepairOptions { from: None, dry_run: false, jobs: None }, &Silent).map(drop)
        }),
        ("key add", &|| key::add(&repository, &new, "new").map(drop)),
        ("key change", &|| key::change_passphrase(&repository, &new).map(drop)),
        ("key remove", &|| repository.remove_slot(slot)),
        ("quarantine", &|| quarantine::empty(&repository, &listed)),
    ];
    for (name, change) in changes {
        let done = change();
        assert!(matches!(done, Err(Error::Unsupported { .. })), "{name}: {done:?}");
        assert!(store.snapshot() == before, "{name} changed something");
    }
    assert_eq!(archives::list(&repository, &Silent).unwrap().len(), 3);
}

#[test]
fn whoever_does_not_know_a_feature_that_readers_must_know_does_not_even_open_it() {
    let store = with_features(&sample::memory(), 1, 0);
    assert!(matches!(sample::try_open(store, None), Err(Error::Unsupported { .. })));
}
