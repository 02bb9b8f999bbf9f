//! Index segments that are only half there, or that others took the place of.

use vault_engine::format::file::{Class, open_file};
use vault_engine::format::records::GcRecord;
use vault_engine::format::segment::Segment;

use super::*;

/// What the segments say of packs: size, and all that a trailer names.
type Said = BTreeSet<(PackId, u64, Vec<u8>)>;

fn said(store: &MemoryStore) -> Said {
    let repository = sample::open(store.clone());
    let mut said = Said::new();
    for name in compact::names(store, Kind::Index) {
        let bytes = store.read(&Key::listed(Kind::Index, name), 1 << 30).unwrap();
        let payload = open_file(repository.ring(), Class::Index, &bytes).unwrap();
        said.extend(
            Segment::decode(&payload).unwrap().packs.into_iter().map(|pack| (pack.id, pack.size, pack.trailer)),
        );
    }
    said
}

fn condemned(store: &MemoryStore) -> BTreeSet<PackId> {
    let repository = sample::open(store.clone());
    let read = |name: String| {
        let bytes = store.read(&Key::listed(Kind::Gc, name), 1 << 30).unwrap();
        GcRecord::decode(&open_file(repository.ring(), Class::Gc, &bytes).unwrap()).unwrap().packs
    };
    compact::names(store, Kind::Gc).into_iter().flat_map(read).collect()
}

#[test]
fn whichever_segments_are_lost_all_archives_restore_and_so_does_the_next() {
    let mut world = World::new();
    let cache = TempDir::new().unwrap();
    world.write("same", noise(0, 3000));
    for night in 1..=4 {
        world.write("changes", noise(night, 3000));
        world.write(&format!("night {night}"), noise(10 + night, 3000));
        let id = archive(&world.store, Some(cache.path()), &world.source());
        world.kept.insert(id, sample::files(&world.source()));
    }
    let segments: Vec<FileId> =
        compact::names(&world.store, Kind::Index).iter().map(|name| FileId::from_hex(name).unwrap()).collect();
    assert_eq!(segments.len(), 4);
    // New, and what was there once and is looked for again.
    world.write("changes", noise(1, 3000));
    world.write("night 1", noise(20, 3000));
    for lost in 0..1_u32 << segments.len() {
        for cached in [false, true] {
            let store = world.copy();
            for (_, id) in segments.iter().enumerate().filter(|(number, _)| lost & (1 << number) != 0) {
                store.remove_raw(&Key::file(Kind::Index, *id));
            }
            let cache = cached.then(|| sample::copied(cache.path()));
            let cache = cache.as_ref().map(TempDir::path);
            compact::assert_restores(&store, cache, &world.kept, &world.source());
            let id = archive(&store, cache, &world.source());
            let kept = and(&world.kept, id, &world.source());
            compact::assert_restores(&store, None, &kept, &world.source());
            assert_unharmed(&store);
            // What it found in packs that no segment named any more is named again.
            let named: BTreeSet<PackId> = said(&store).into_iter().map(|(pack, ..)| pack).collect();
            assert_eq!(named, compact::packs(&store), "without {lost:b}");
        }
    }
}

/// Of packs that stand and that nobody condemns.
#[track_caller]
fn assert_still_said(before: &Said, store: &MemoryStore, what: &str) {
    let (now, standing, condemned) = (said(store), compact::packs(store), condemned(store));
    for (pack, size, trailer) in before {
        if standing.contains(pack) && !condemned.contains(pack) {
            assert!(now.contains(&(*pack, *size, trailer.clone())), "{what}: the index does not name {pack} any more");
        }
    }
}

#[test]
fn what_takes_the_place_of_segments_says_all_that_they_said_at_every_moment() {
    let mut world = World::new();
    for number in 0..8 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    let mut nights = Vec::new();
    for night in 0..10 {
        world.write("changes", noise(100 + night, 3000));
        nights.push(world.archive());
    }
    world.delete(nights[4]);
    let before = said(&world.store);
    let segments = compact::names(&world.store, Kind::Index).len();
    // With packs that are copied into others, and with packs that stay while their segments are merged.
    for max_repack in [None, Some(0)] {
        let mut left = None;
        each_state_of_a_compaction(&world, CompactOptions { max_repack, ..THOROUGH }, |store, at| {
            assert_still_said(&before, store, &format!("at operation {at}"));
            left = Some(store.clone());
        });
        let left = left.unwrap();
        compact::assert_settled(&left, &world.kept);
        assert!(compact::names(&left, Kind::Index).len() < segments, "nothing took their place");
        let stayed = compact::packs(&world.store).intersection(&compact::packs(&left)).count();
        assert_eq!(stayed > 4, max_repack.is_some(), "{stayed} packs stayed");
    }
}

#[test]
fn after_a_compaction_that_was_cut_off_anywhere_a_create_builds_on_nothing_that_is_gone() {
    let mut world = World::new();
    let cache = TempDir::new().unwrap();
    for number in 0..6 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    let first = archive(&world.store, Some(cache.path()), &world.source());
    world.kept.insert(first, sample::files(&world.source()));
    for number in 0..3 {
        world.write(&format!("file {number}"), noise(10 + number, 3000));
    }
    let second = archive(&world.store, Some(cache.path()), &world.source());
    world.kept.insert(second, sample::files(&world.source()));
    world.delete(first);
    // Back to what only the deleted archive holds, as the cache remembers well.
    for number in 0..3 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    each_state_of_a_compaction(&world, THOROUGH, |store, _| {
        let cache = sample::copied(cache.path());
        let id = archive(store, Some(cache.path()), &world.source());
        let kept = and(&world.kept, id, &world.source());
        compact::assert_restores(store, None, &kept, &world.source());
        compact::assert_in_order(store);
    });
}
