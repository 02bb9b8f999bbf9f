//! Limits: of time, of bytes, of room, of rights.

use std::time::Duration;

use vault_engine::error::{Error, StoreErrorKind};

use super::limited::{Limited, Limits, all_bytes};
use super::{
    AT_ONCE, ArchiveId, CompactOptions, Key, Kind, Store, World, assert_settled, bytes, condemn, names, noise, packs,
    sample, try_compact,
};

/// Several packs that are partly dead, by different shares, and one that is dead.
fn partly_dead() -> World {
    let mut world = World::new();
    let mut old = Vec::new();
    for night in 0..4 {
        for number in 0..10 {
            world.write(&format!("file {night} {number}"), noise(night * 100 + number, 20_000));
        }
        old.push(world.archive());
    }
    world.write("only once", noise(1000, 50_000));
    old.push(world.archive());
    world.remove("only once");
    for night in 0..4 {
        for number in 0..=night * 2 {
            world.remove(&format!("file {night} {number}"));
        }
    }
    world.archive();
    for id in old {
        world.delete(id);
    }
    world
}

#[test]
fn without_time_only_what_is_dead_goes() {
    let world = partly_dead();
    let options = CompactOptions { max_duration: Some(Duration::ZERO), ..AT_ONCE };
    let report = world.compact(&options);
    assert!(report.dead_packs >= 1 && report.dead_bytes >= 50_000, "{report:?}");
    assert_eq!((report.rewritten_packs, report.copied_bytes, report.new_packs), (0, 0, 0));
    assert!(report.left.iter().any(|line| line.contains("--max-duration")), "{:?}", report.left);
    world.assert_whole();
    assert!(world.compact(&AT_ONCE).rewritten_packs >= 4, "the next one does the rest");
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

#[test]
fn no_more_is_copied_than_is_allowed_and_most_is_freed_for_it() {
    let mut freed = Vec::new();
    for most in [0, 60_000, 150_000, 300_000, 10_000_000] {
        let world = partly_dead();
        let report = world.compact(&CompactOptions { max_repack: Some(most), ..AT_ONCE });
        assert!(report.new_bytes <= most + 8192, "{most}: {report:?}");
        let says = report.left.iter().any(|line| line.contains("--max-repack"));
        assert_eq!(says, most < 10_000_000, "{most}: {:?}", report.left);
        world.assert_whole();
        assert_settled(&world.store, &world.kept);
        freed.push(report.freed_bytes);
    }
    assert!(freed.is_sorted() && freed[0] < freed[4], "{freed:?}");
}

#[test]
fn what_the_disk_has_no_room_for_is_left_and_said() {
    let world = partly_dead();
    let store = Limited::new(&world.store, Limits { says: Some(1000), ..Limits::default() });
    let report = try_compact(&store, &AT_ONCE).unwrap();
    assert!(report.dead_packs >= 1);
    assert_eq!(report.rewritten_packs, 0);
    assert!(report.left.iter().any(|line| line.contains("no room")), "{:?}", report.left);
    world.assert_whole();
    // With room for some of them it takes a round for those.
    let store = Limited::new(&world.store, Limits { says: Some(200_000), ..Limits::default() });
    let report = try_compact(&store, &AT_ONCE).unwrap();
    assert!(report.rewritten_packs >= 1, "{report:?}");
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

#[test]
fn on_a_full_disk_what_is_dead_goes_although_an_unfinished_record_asks_for_room() {
    let mut world = partly_dead();
    // A compaction has condemned all packs and found no room to copy what lives.
    let condemned = packs(&world.store).into_iter().collect();
    condemn(&sample::open(world.store.clone()), &world.store, condemned, Vec::new());
    let limits = Limits {
        room: Some(all_bytes(&world.store) + 30_000),
        says: Some(1 << 40),
        reserve: 32_768,
        ..Limits::default()
    };
    let full = Limited::new(&world.store, limits);
    let before = bytes(&world.store);
    try_compact(&full, &AT_ONCE).map(drop).or_else(is(StoreErrorKind::NoSpace)).unwrap();
    world.assert_whole();
    assert!(bytes(&world.store) < before, "nothing was freed of {before} bytes");
    // Whoever gives up more gets room for the rest.
    let newest = *world.kept.keys().next().unwrap();
    for file in std::fs::read_dir(world.source()).unwrap().skip(3) {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    world.archive();
    world.delete(newest);
    try_compact(&full, &AT_ONCE).unwrap();
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

/// An error of this kind is as good as success.
fn is(kind: StoreErrorKind) -> impl Fn(Error) -> Result<(), Error> {
    move |error| match error {
        Error::Store(error) if error.kind == kind => Ok(()),
        other => Err(other),
    }
}

#[test]
fn where_nothing_may_be_deleted_archives_are_made_all_the_same() {
    let mut world = World::new();
    let append_only = Limited::new(&world.store, Limits { keeps_all: true, ..Limits::default() });
    for night in 0..3 {
        world.write("file", noise(night, 30_000));
        let created = sample::try_archive(&sample::open(append_only.clone()), &world.source()).unwrap();
        world.kept.insert(created.archive.unwrap().id, sample::files(&world.source()));
    }
    world.assert_whole();
}

#[test]
fn where_nothing_may_be_deleted_it_says_so_and_copies_nothing_twice() {
    let with_archives_to_purge = partly_dead();
    let without = partly_dead();
    for name in names(&without.store, Kind::Archives).iter().filter_map(|name| name.strip_suffix(".del")) {
        let id = ArchiveId::from_hex(name).unwrap();
        for key in [Key::archive(id), Key::ok_mark(id), Key::deleted_mark(id)] {
            without.store.remove(&key).unwrap();
        }
    }
    for world in [with_archives_to_purge, without] {
        let append_only = Limited::new(&world.store, Limits { keeps_all: true, ..Limits::default() });
        let mut sizes = Vec::new();
        for _ in 0..4 {
            let error = try_compact(&append_only, &AT_ONCE).unwrap_err();
            assert!(matches!(&error, Error::Store(error) if error.kind == StoreErrorKind::Denied), "{error:?}");
            world.assert_whole();
            sizes.push(bytes(&world.store));
        }
        assert!(sizes[1..].iter().all(|size| *size == sizes[1]), "it grows from run to run: {sizes:?}");
        world.compact(&AT_ONCE);
        world.assert_whole();
        assert_settled(&world.store, &world.kept);
    }
}
