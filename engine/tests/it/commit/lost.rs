//! Packs that are lost between two nights: the second archive does not build on them.

use std::path::Path;

use tempfile::TempDir;

use super::{Key, Source, Store, assert_restores, packs, sample};

/// Archives a night in a repository whose cache may be kept from night to night.
fn night(store: &super::MemoryStore, source: &Source, cache: Option<&Path>) -> super::ArchiveId {
    let repository = sample::try_open(store.clone(), cache).unwrap();
    sample::archive(&repository, &source.path).archive.unwrap().id
}

#[test]
fn whichever_pack_is_lost_the_next_archive_restores() {
    for cached in [false, true] {
        let (source, store) = (Source::new(), sample::memory());
        let cache = TempDir::new().unwrap();
        let cache = cached.then_some(cache.path());
        night(&store, &source, cache);
        for (round, pack) in packs(&store).into_iter().enumerate() {
            store.remove(&Key::pack(pack)).unwrap();
            source.change(round as u64);
            let id = night(&store, &source, cache);
            assert_restores(&store, id, &source, &sample::files(&source.path));
        }
    }
}

#[test]
fn a_pack_of_another_size_is_as_good_as_lost() {
    let (source, store) = (Source::new(), sample::memory());
    night(&store, &source, None);
    for pack in packs(&store) {
        store.corrupt(&Key::pack(pack), |bytes| bytes.truncate(bytes.len() - 64));
    }
    let id = night(&store, &source, None);
    assert_restores(&store, id, &source, &sample::files(&source.path));
}

#[test]
fn an_older_copy_of_the_repository_put_back_loses_nothing_that_is_archived_after_it() {
    for cached in [false, true] {
        let (source, store) = (Source::new(), sample::memory());
        let cache = TempDir::new().unwrap();
        let cache = cached.then_some(cache.path());
        night(&store, &source, cache);
        let older = store.snapshot();
        source.change(1);
        night(&store, &source, cache);
        // A pack is lost, and the copy of the night before is played back over all of it: what came since is gone.
        let older = super::MemoryStore::from_snapshot(&older);
        older.remove(&Key::pack(packs(&older)[0])).unwrap();
        let id = night(&older, &source, cache);
        assert_restores(&older, id, &source, &sample::files(&source.path));
    }
}

#[test]
fn an_index_that_is_lost_costs_time_and_space_only() {
    let (source, store) = (Source::new(), sample::memory());
    let cache = TempDir::new().unwrap();
    night(&store, &source, Some(cache.path()));
    for segment in store.list(super::Kind::Index).unwrap() {
        store.remove(&Key::listed(super::Kind::Index, segment.name)).unwrap();
    }
    let id = night(&store, &source, Some(cache.path()));
    assert_restores(&store, id, &source, &sample::files(&source.path));
}

#[test]
fn a_cache_of_rubbish_is_not_believed() {
    let (source, store) = (Source::new(), sample::memory());
    let cache = TempDir::new().unwrap();
    night(&store, &source, Some(cache.path()));
    for (path, bytes) in sample::files(cache.path()) {
        let damaged: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x40).collect();
        std::fs::write(cache.path().join(path), damaged).unwrap();
    }
    source.change(1);
    let id = night(&store, &source, Some(cache.path()));
    assert_restores(&store, id, &source, &sample::files(&source.path));
}
