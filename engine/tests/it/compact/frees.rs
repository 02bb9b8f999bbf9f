//! What a compaction frees, what it costs, and what a dry run says of it.

use std::sync::Arc;

use vault_engine::store::{FaultyStore, LocalStore, Verb};

use super::{
    AT_ONCE, CompactOptions, Key, Kind, MemoryStore, Silent, Store, THOROUGH, World, assert_settled, assert_whole,
    bytes, changes, compact, names, noise, sample,
};

/// Three nights of which the middle one is deleted.
fn three_nights() -> World {
    let mut world = World::new();
    for number in 0..20 {
        world.write(&format!("small {number}"), noise(number, 20_000));
    }
    world.write("large", noise(100, 3_000_000));
    world.archive();
    world.write("large", noise(101, 3_000_000));
    for number in 0..10 {
        world.write(&format!("small {number}"), noise(200 + number, 20_000));
    }
    let middle = world.archive();
    world.write("large", noise(102, 3_000_000));
    for number in 0..5 {
        world.write(&format!("small {number}"), noise(300 + number, 20_000));
    }
    world.archive();
    world.delete(middle);
    world
}

#[test]
fn what_only_deleted_archives_needed_is_freed_and_nothing_else() {
    let world = three_nights();
    let before = bytes(&world.store);
    let report = world.compact(&AT_ONCE);
    assert_eq!(report.purged, 1);
    assert_eq!(report.bytes_before, before);
    assert_eq!(report.freed_bytes, before - bytes(&world.store));
    assert!(report.freed_bytes > 3_000_000, "{report:?}");
    assert!(bytes(&world.store) < 6_800_000, "{} bytes are left", bytes(&world.store));
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

#[test]
fn the_last_archive_takes_everything_with_it() {
    let mut world = three_nights();
    for id in world.kept.keys().copied().collect::<Vec<_>>() {
        world.delete(id);
    }
    world.compact(&AT_ONCE);
    world.assert_whole();
    for kind in [Kind::Packs, Kind::Index, Kind::Archives, Kind::Gc] {
        assert!(names(&world.store, kind).is_empty(), "{kind:?}");
    }
}

#[test]
fn a_second_compaction_changes_nothing_and_reads_no_pack() {
    for threshold in [0, 10, 50, 100] {
        let world = three_nights();
        let cache = tempfile::TempDir::new().unwrap();
        let options = CompactOptions { threshold, ..AT_ONCE };
        let store = FaultyStore::new(Arc::new(world.store.clone()));
        compact(&sample::try_open(store.clone(), Some(cache.path())).unwrap(), &options, &Silent).unwrap();
        store.take_operations();
        let report = compact(&sample::try_open(store.clone(), Some(cache.path())).unwrap(), &options, &Silent).unwrap();
        let operations = store.take_operations();
        assert_eq!(changes(&operations), [] as [String; 0], "threshold {threshold}");
        assert!(operations.iter().all(|operation| operation.verb != Verb::ReadAt), "{operations:#?}");
        assert_eq!(report.freed_bytes, 0);
    }
}

#[test]
fn a_block_of_one_large_and_many_small_objects_is_not_copied_for_ever() {
    // Blocks are weighed by bytes in one place and by objects in another: the two must not disagree about when it is enough.
    for (small, large, threshold) in [(60, 200_000, 10), (9, 2_000, 10), (60, 200_000, 50), (1, 150_000, 50)] {
        let mut world = World::new();
        world.write("large", noise(1, large));
        for number in 0..small {
            world.write(&format!("small {number}"), noise(100 + number, 2_000));
        }
        let first = world.archive();
        for number in 0..small {
            world.remove(&format!("small {number}"));
        }
        world.archive();
        world.delete(first);
        let options = CompactOptions { threshold, ..AT_ONCE };
        world.compact(&options);
        let settled = world.store.files();
        let second = world.compact(&options);
        assert_eq!((second.new_packs, second.rewritten_packs), (0, 0), "{small} small ones: {second:?}");
        assert!(settled == world.store.files());
        world.assert_whole();
    }
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_be() {
    for options in [AT_ONCE, THOROUGH, CompactOptions { max_repack: Some(0), ..AT_ONCE }] {
        let world = three_nights();
        let before = world.store.snapshot();
        let said = world.compact(&CompactOptions { dry_run: true, ..options });
        assert!(before == world.store.snapshot(), "a dry run changed the store");
        let done = world.compact(&options);
        assert_eq!(said.purged, done.purged);
        assert_eq!((said.packs_before, said.bytes_before), (done.packs_before, done.bytes_before));
        assert_eq!((said.dead_packs, said.dead_bytes), (done.dead_packs, done.dead_bytes));
        assert_eq!((said.rewritten_packs, said.rewritten_bytes), (done.rewritten_packs, done.rewritten_bytes));
        assert_eq!(said.left, done.left);
        let near = |said: u64, done: u64, slack: u64| said.abs_diff(done) <= done / 20 + slack;
        // What is read is whole blocks, what is copied of them is what lives.
        assert!(said.copied_bytes <= done.copied_bytes, "copied: {said:?} and {done:?}");
        assert!(near(said.copied_bytes, done.new_bytes, 8192), "copied: {said:?} and {done:?}");
        assert!(near(said.freed_bytes, done.freed_bytes, 16_384), "freed: {said:?} and {done:?}");
    }
}

#[test]
fn a_repository_on_a_disk_is_compacted_like_one_in_memory() {
    let world = three_nights();
    let folder = tempfile::TempDir::new().unwrap();
    let disk = LocalStore::create(folder.path().join("repository")).unwrap();
    for (key, bytes) in world.store.snapshot() {
        disk.put(&key, &bytes).unwrap();
    }
    let before = bytes(&disk);
    let report = compact(&sample::open(LocalStore::open(disk.path()).unwrap()), &AT_ONCE, &Silent).unwrap();
    assert_eq!(report.freed_bytes, before - bytes(&disk));
    assert!(report.freed_bytes > 3_000_000);
    let back = MemoryStore::new();
    for kind in Kind::ALL {
        for file in disk.list(kind).unwrap() {
            let key = Key::listed(kind, file.name);
            let content = disk.read(&key, 1 << 30).unwrap();
            back.insert_raw(key, content);
        }
    }
    assert_whole(&back, &world.kept, &world.source());
    assert_settled(&back, &world.kept);
}

#[test]
fn what_is_dead_here_and_there_is_left_until_it_is_worth_a_copy() {
    let usual = CompactOptions { threshold: 20, ..AT_ONCE };
    let mut world = World::new();
    // So few that they are one tree: parts of it that live on would make its pack worth a copy.
    for number in 0..60 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    let mut last = world.archive();
    // One in sixty, which is less than a fifth of the threshold; then more than the threshold.
    for (gone, rewritten) in [(0..1, 0), (1..20, 1)] {
        gone.for_each(|number| world.remove(&format!("file {number}")));
        let next = world.archive();
        world.delete(std::mem::replace(&mut last, next));
        assert_eq!(world.compact(&usual).rewritten_packs, rewritten);
        world.assert_whole();
    }
}
