//! What a compaction does while an archive is committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hook::Hooked;
use super::{
    ArchiveId, Error, Key, Kind, MemoryStore, PackId, Source, Store, assert_restores, condemn, counting, packs, sample,
};

fn is_manifest(key: &Key) -> bool {
    key.kind() == Kind::Archives && !key.name().contains('.')
}

fn is_ok(key: &Key) -> bool {
    key.kind() == Kind::Archives && key.name().split_once('.').is_some_and(|(_, mark)| mark == "ok")
}

fn lose_packs(store: &MemoryStore) {
    for pack in packs(store) {
        store.remove(&Key::pack(pack)).unwrap();
    }
}

/// A first archive, and a second night's source.
fn prepared() -> (Source, MemoryStore) {
    let source = Source::new();
    let store = sample::memory();
    sample::archive(&sample::open(store.clone()), &source.path);
    source.change(1);
    (source, store)
}

#[test]
fn what_is_condemned_before_the_check_is_rescued_into_new_packs() {
    let (source, store) = prepared();
    let keys = sample::open(store.clone());
    let condemned = Arc::new(std::sync::Mutex::new(Vec::<PackId>::new()));
    let (seen, done) = (Arc::clone(&condemned), AtomicUsize::new(0));
    let hooked = Hooked::new(&store, move |key, inner| {
        if is_manifest(key) && done.fetch_add(1, Ordering::Relaxed) == 0 {
            *seen.lock().unwrap() = packs(inner);
            condemn(&keys, inner, packs(inner), Vec::new());
        }
    });
    let created = sample::archive(&sample::open(hooked), &source.path);
    let id = created.archive.unwrap().id;
    let condemned = condemned.lock().unwrap().clone();
    assert!(condemned.len() >= 3, "{condemned:?}");
    let rescued = packs(&store).len() - condemned.len();
    assert!(rescued > 0, "new packs hold what lives");
    // The compaction goes on: it saw the pending manifest, found good copies, and drops what it condemned.
    for pack in condemned {
        store.remove(&Key::pack(pack)).unwrap();
    }
    for record in store.list(Kind::Gc).unwrap() {
        store.remove(&Key::listed(Kind::Gc, record.name)).unwrap();
    }
    assert!(counting(&store).contains(&id));
    assert_restores(&store, id, &source, &sample::files(&source.path));
}

/// A create during which every pack that exists when the first manifest is put goes away.
fn create_while_packs_go(source: &Source, store: &MemoryStore, cache: Option<&std::path::Path>) -> ArchiveId {
    let manifests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&manifests);
    let hooked = Hooked::new(store, move |key, inner| {
        if is_manifest(key) && count.fetch_add(1, Ordering::Relaxed) == 0 {
            lose_packs(inner);
        }
    });
    let created = sample::archive(&sample::try_open(hooked, cache).unwrap(), &source.path);
    assert_eq!(manifests.load(Ordering::Relaxed), 2, "the create began again");
    created.archive.unwrap().id
}

#[test]
fn packs_that_go_before_the_check_are_made_again_from_the_source() {
    for cached in [false, true] {
        let (source, store) = prepared();
        let cache = tempfile::TempDir::new().unwrap();
        let cache = cached.then_some(cache.path());
        let id = create_while_packs_go(&source, &store, cache);
        assert!(counting(&store).contains(&id));
        assert_restores(&store, id, &source, &sample::files(&source.path));
    }
}

#[test]
fn objects_that_go_again_and_again_end_the_create_without_an_archive() {
    let (source, store) = prepared();
    let before = counting(&store);
    let hooked = Hooked::new(&store, |key, inner| {
        if is_manifest(key) {
            lose_packs(inner);
        }
    });
    let error = sample::try_archive(&sample::open(hooked), &source.path).unwrap_err();
    assert!(matches!(error, Error::Overtaken { .. }), "{error}");
    assert_eq!(counting(&store), before);
}

#[test]
fn an_archive_that_is_expired_while_its_mark_is_put_is_made_again() {
    let (source, store) = prepared();
    let keys = sample::open(store.clone());
    let named = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&named);
    let hooked = Hooked::new(&store, move |key, inner| {
        if is_ok(key) && seen.lock().unwrap().is_none() {
            let id = ArchiveId::from_hex(key.name().trim_end_matches(".ok")).unwrap();
            *seen.lock().unwrap() = Some(id);
            condemn(&keys, inner, Vec::new(), vec![id]);
        }
    });
    let before = counting(&store);
    let created = sample::archive(&sample::open(hooked), &source.path);
    let (id, named) = (created.archive.unwrap().id, named.lock().unwrap().unwrap());
    assert_ne!(id, named, "another archive takes the place of the expired one");
    let new: Vec<_> = counting(&store).into_iter().filter(|other| !before.contains(other)).collect();
    assert_eq!(new, [id], "one of them counts");
    assert!(store.size(&Key::deleted_mark(named)).unwrap().is_some());
    assert_restores(&store, id, &source, &sample::files(&source.path));
}

#[test]
fn an_archive_whose_manifest_is_dropped_while_its_mark_is_put_is_made_again() {
    let (source, store) = prepared();
    let dropped = AtomicUsize::new(0);
    let hooked = Hooked::new(&store, move |key, inner| {
        if is_ok(key) && dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            inner.remove(&Key::archive(ArchiveId::from_hex(key.name().trim_end_matches(".ok")).unwrap())).unwrap();
        }
    });
    let created = sample::archive(&sample::open(hooked), &source.path);
    let id = created.archive.unwrap().id;
    assert_eq!(counting(&store).len(), 2);
    assert_restores(&store, id, &source, &sample::files(&source.path));
}

#[test]
fn a_gc_record_that_cannot_be_read_ends_the_create() {
    let (source, store) = prepared();
    let hooked = Hooked::new(&store, |key, inner| {
        if is_manifest(key) {
            inner.insert_raw(Key::listed(Kind::Gc, "ab".repeat(32)), vec![0; 4096]);
        }
    });
    let before = counting(&store);
    assert!(sample::try_archive(&sample::open(hooked), &source.path).is_err());
    store.remove(&Key::listed(Kind::Gc, "ab".repeat(32))).unwrap();
    assert_eq!(counting(&store), before);
}
