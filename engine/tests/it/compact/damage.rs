//! What a compaction meets that is lost or damaged: nothing is deleted that could still be of use.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vault_engine::compress::Compression;
use vault_engine::error::Error;
use vault_engine::format::mark::Mark;
use vault_engine::format::records::Verb;
use vault_engine::meta::{Content, NodeKind};
use vault_engine::repository::{Packer, Reader, Repository};
use vault_engine::store::Snapshot;

use super::{
    AT_ONCE, ArchiveId, CompactOptions, FileId, Key, Kind, MemoryStore, ObjectId, PackId, Purpose, Silent, Store,
    THOROUGH, TempDir, World, absorb, archives, assert_restores, assert_settled, condemn, noise, objects, packs,
    sample, segments, try_compact,
};

/// Two archives of different files, each with packs of its own, and a deleted one; the packs of data of the two.
struct Harmed {
    world: World,
    first: ArchiveId,
    second: ArchiveId,
    data_of_first: PackId,
    data_of_second: PackId,
}

fn harmed() -> Harmed {
    let mut world = World::new();
    let mut made = Vec::new();
    for night in 0..3 {
        for number in 0..5 {
            world.write(&format!("file {number}"), noise(night * 10 + number, 3000));
        }
        let before = packs(&world.store);
        let id = world.archive();
        made.push((id, data_pack(&world.store, &before)));
    }
    let (deleted, _) = made.remove(0);
    world.delete(deleted);
    let [(first, data_of_first), (second, data_of_second)] = made.try_into().unwrap();
    Harmed { world, first, second, data_of_first, data_of_second }
}

/// The largest of the packs that are new: that of the data.
fn data_pack(store: &MemoryStore, before: &BTreeSet<PackId>) -> PackId {
    let listed = store.list(Kind::Packs).unwrap();
    let new = listed.iter().filter(|file| !before.contains(&PackId::from_hex(&file.name).unwrap()));
    PackId::from_hex(&new.max_by_key(|file| file.size).unwrap().name).unwrap()
}

/// Nothing that was there before is gone, save what only the purged archive was.
#[track_caller]
fn assert_nothing_deleted(before: &Snapshot, store: &MemoryStore) {
    for key in before.keys().filter(|key| [Kind::Packs, Kind::Index].contains(&key.kind())) {
        assert!(store.size(key).unwrap().is_some(), "{key} was deleted");
    }
}

/// Makes a segment that names this pack vanish.
fn lose_segments_of(store: &MemoryStore, pack: PackId) {
    for segment in segments_of(store, pack) {
        store.remove(&Key::file(Kind::Index, segment)).unwrap();
    }
}

fn segments_of(store: &MemoryStore, pack: PackId) -> Vec<FileId> {
    segments(store).into_iter().filter(|(_, named)| named.contains(&pack)).map(|(segment, _)| segment).collect()
}

#[test]
fn a_lost_pack_ends_it_with_the_archives_name_until_that_is_given_up() {
    for with_segment in [true, false] {
        let Harmed { mut world, first, second, data_of_first, .. } = harmed();
        if !with_segment {
            lose_segments_of(&world.store, data_of_first);
        }
        world.store.remove(&Key::pack(data_of_first)).unwrap();
        let before = world.store.snapshot();
        for _ in 0..2 {
            match try_compact(&world.store, &AT_ONCE) {
                Err(Error::Incomplete { needed_by: archives, .. }) => assert_eq!(archives, [format!("aid:{first}")]),
                other => panic!("{other:?}"),
            }
            assert_nothing_deleted(&before, &world.store);
        }
        world.delete(first);
        try_compact(&world.store, &AT_ONCE).unwrap();
        world.assert_whole();
        assert_settled(&world.store, &world.kept);
        assert!(world.kept.contains_key(&second));
    }
}

#[test]
fn each_archive_that_needs_what_is_lost_is_named_once() {
    let Harmed { mut world, second, data_of_second, .. } = harmed();
    world.write("more", noise(1000, 3000));
    let third = world.archive();
    world.store.remove(&Key::pack(data_of_second)).unwrap();
    match try_compact(&world.store, &AT_ONCE) {
        Err(Error::Incomplete { needed_by: archives, .. }) => {
            let named: BTreeSet<String> = archives.iter().cloned().collect();
            assert_eq!(named, [second, third].map(|id| format!("aid:{id}")).into());
            assert_eq!(named.len(), archives.len(), "{archives:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dry_run_names_the_archive_too() {
    let Harmed { world, first, data_of_first, .. } = harmed();
    world.store.remove(&Key::pack(data_of_first)).unwrap();
    let options = CompactOptions { dry_run: true, ..AT_ONCE };
    match try_compact(&world.store, &options) {
        Err(Error::Incomplete { needed_by: archives, .. }) => assert_eq!(archives, [format!("aid:{first}")]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_segment_is_made_again() {
    for dry_run_first in [true, false] {
        let Harmed { world, data_of_first, data_of_second, .. } = harmed();
        lose_segments_of(&world.store, data_of_first);
        lose_segments_of(&world.store, data_of_second);
        if dry_run_first {
            let before = world.store.snapshot();
            try_compact(&world.store, &CompactOptions { dry_run: true, ..AT_ONCE }).unwrap();
            assert!(before == world.store.snapshot());
        }
        try_compact(&world.store, &AT_ONCE).unwrap();
        world.assert_whole();
        assert_settled(&world.store, &world.kept);
    }
}

/// Ends with `Damaged` and this file's name, and deletes nothing.
#[track_caller]
fn assert_ends_naming(world: &World, key: &Key) {
    let before = world.store.snapshot();
    match try_compact(&world.store, &AT_ONCE) {
        Err(Error::Damaged { file, .. }) => assert_eq!(file, key.to_string()),
        other => panic!("{other:?}"),
    }
    assert_nothing_deleted(&before, &world.store);
}

fn flip(store: &MemoryStore, key: &Key, at: usize) {
    assert!(store.corrupt(key, |bytes| bytes[at] ^= 1));
}

#[test]
fn a_damaged_manifest_that_counts_ends_it() {
    let Harmed { mut world, first, .. } = harmed();
    flip(&world.store, &Key::archive(first), 100);
    assert_ends_naming(&world, &Key::archive(first));
    world.delete(first);
    try_compact(&world.store, &AT_ONCE).unwrap();
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

#[test]
fn a_damaged_manifest_that_is_pending_is_expired() {
    let Harmed { mut world, second, .. } = harmed();
    world.kept.remove(&second);
    world.store.remove(&Key::ok_mark(second)).unwrap();
    flip(&world.store, &Key::archive(second), 100);
    assert_eq!(try_compact(&world.store, &AT_ONCE).unwrap().expired, 1);
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

#[test]
fn a_damaged_gc_record_ends_it() {
    let Harmed { world, data_of_first, .. } = harmed();
    condemn(&sample::open(world.store.clone()), &world.store, vec![data_of_first], Vec::new());
    let record = Key::listed(Kind::Gc, world.store.list(Kind::Gc).unwrap().remove(0).name);
    flip(&world.store, &record, 80);
    assert_ends_naming(&world, &record);
}

#[test]
fn a_damaged_segment_ends_it() {
    let Harmed { world, data_of_first, .. } = harmed();
    let segment = Key::file(Kind::Index, segments_of(&world.store, data_of_first).remove(0));
    flip(&world.store, &segment, 80);
    assert_ends_naming(&world, &segment);
}

/// An archive whose pack of data holds one block a file, of which the first are dead; the pack, and where the blocks are.
fn partly_dead() -> (World, PackId, Vec<(String, Range<usize>)>) {
    let mut world = World::new();
    let names: Vec<String> = (0..4).map(|number| format!("file {number}")).collect();
    for (number, name) in (0..).zip(&names) {
        // So large that each is a block of its own.
        world.write(name, noise(number, 400_000));
    }
    let first = world.archive();
    let pack = data_pack(&world.store, &BTreeSet::new());
    let repository = sample::open(world.store.clone());
    let blocks = names.iter().map(|name| (name.clone(), place_of(&repository, &world, first, name, pack))).collect();
    world.remove("file 0");
    world.remove("file 1");
    world.archive();
    world.delete(first);
    (world, pack, blocks)
}

/// Where in its pack the one chunk of a file is.
fn place_of(repository: &Repository, world: &World, id: ArchiveId, name: &str, pack: PackId) -> Range<usize> {
    let archive = repository.archive(id).unwrap().unwrap();
    let entries = sample::entries(repository, &archive, &world.source());
    let Some(NodeKind::File { content: Content::Chunk(chunk), .. }) =
        entries.get(name.as_bytes()).map(|node| &node.kind)
    else {
        panic!("{name} is not one chunk: {:?}", entries.get(name.as_bytes()));
    };
    let copies = repository.load_index().unwrap().copies(chunk);
    let location = copies.iter().find(|location| location.pack == pack).expect("a copy in the pack");
    location.offset as usize..location.offset as usize + 64 + location.body_length as usize
}

#[test]
fn a_damaged_block_that_is_the_only_copy_ends_it_and_the_other_files_still_restore() {
    let (mut world, pack, blocks) = partly_dead();
    let (name, place) = blocks.last().unwrap();
    flip(&world.store, &Key::pack(pack), place.start + 1000);
    let whole = world.kept.values().next().unwrap().clone();
    for _ in 0..3 {
        try_compact(&world.store, &AT_ONCE).unwrap_err();
        assert!(packs(&world.store).contains(&pack), "the damaged pack may be all there is");
        let repository = sample::open(world.store.clone());
        let archive = archives::list(&repository, &Silent).unwrap().remove(0);
        let target = TempDir::new().unwrap();
        let (restored, _) = sample::try_restore(&repository, &archive, target.path()).unwrap();
        assert_eq!(restored.damaged, 1);
        let mut found = sample::files(&sample::inside(target.path(), &world.source()));
        let mut expected = whole.clone();
        found.remove(Path::new(name));
        expected.remove(Path::new(name));
        assert!(found == expected, "{:?}", found.keys());
    }
    // The next night stores the file again, and the compaction goes on.
    std::fs::remove_file(world.source().join(name)).unwrap();
    world.archive();
    let harmed = *world.kept.iter().find(|(_, files)| **files == whole).unwrap().0;
    world.delete(harmed);
    try_compact(&world.store, &THOROUGH).unwrap();
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

#[test]
fn a_damaged_block_that_nobody_needs_stops_nothing() {
    let (world, pack, blocks) = partly_dead();
    let (_, place) = blocks.first().unwrap();
    flip(&world.store, &Key::pack(pack), place.start + 1000);
    try_compact(&world.store, &AT_ONCE).unwrap();
    assert!(!packs(&world.store).contains(&pack));
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}

#[test]
fn a_damaged_block_of_which_there_is_another_copy_stops_nothing() {
    // Another host has archived the same files at the same time. Whichever of the two is damaged, and however both are condemned.
    for damage_first in [true, false] {
        let mut world = World::new();
        world.write("file", noise(1, 400_000));
        world.write("other", noise(2, 400_000));
        let elsewhere = world.copy();
        world.archive();
        let one = data_pack(&world.store, &BTreeSet::new());
        let kept = sample::archive(&sample::open(elsewhere.clone()), &world.source()).archive.unwrap().id;
        let two = data_pack(&elsewhere, &BTreeSet::new());
        absorb(&world.store, &elsewhere);
        world.kept.insert(kept, sample::files(&world.source()));
        condemn(&sample::open(world.store.clone()), &world.store, vec![one, two], Vec::new());
        let damaged = if damage_first { one } else { two };
        flip(&world.store, &Key::pack(damaged), 64 + 64 + 1000);
        try_compact(&world.store, &AT_ONCE).unwrap();
        world.assert_whole();
        assert_settled(&world.store, &world.kept);
    }
}

#[test]
fn an_archive_that_lost_its_mark_is_not_taken_for_one_that_never_counted() {
    let Harmed { world, first, .. } = harmed();
    world.store.remove(&Key::ok_mark(first)).unwrap();
    let report = try_compact(&world.store, &AT_ONCE).unwrap();
    assert!(report.left.iter().any(|line| line.contains(&format!("aid:{first}"))), "{report:?}");
    let found = sample::check_data(&sample::open(world.store.clone())).findings;
    assert!(found.iter().any(|finding| finding.file == Key::ok_mark(first).to_string()), "{found:?}");
    // Nothing of it has gone.
    world.store.put(&Key::ok_mark(first), &Mark::Ok.encode(first)).unwrap();
    world.assert_whole();
}

#[test]
fn a_damaged_gc_record_does_not_end_a_check() {
    let Harmed { world, .. } = harmed();
    world.store.insert_raw(Key::file(Kind::Gc, FileId::from_bytes([9; 32])), b"no record".as_slice());
    let found = sample::check_data(&sample::open(world.store.clone())).findings;
    assert!(found.iter().any(|finding| finding.file.starts_with("gc/")), "{found:?}");
}

#[test]
fn a_pending_archive_that_lost_something_holds_nobody_up() {
    let Harmed { mut world, second, data_of_second, .. } = harmed();
    world.kept.remove(&second);
    world.store.remove(&Key::ok_mark(second)).unwrap();
    world.store.remove(&Key::pack(data_of_second)).unwrap();
    let patient = CompactOptions { grace: Duration::from_hours(24), ..AT_ONCE };
    assert_eq!(try_compact(&world.store, &patient).unwrap().expired, 1);
    world.assert_whole();
}

#[test]
fn a_pack_whose_header_is_damaged_is_named_with_whom_it_harms() {
    let Harmed { world, first, data_of_first, .. } = harmed();
    condemn(&sample::open(world.store.clone()), &world.store, vec![data_of_first], Vec::new());
    flip(&world.store, &Key::pack(data_of_first), 10);
    match try_compact(&world.store, &AT_ONCE) {
        Err(Error::Incomplete { place, needed_by, .. }) => {
            assert_eq!(needed_by, [format!("aid:{first}")]);
            assert!(place.contains(&data_of_first.to_hex()), "{place}");
        }
        other => panic!("{other:?}"),
    }
}

/// Puts these objects once more; the packs that they are in.
fn put_again(store: &MemoryStore, objects: impl Iterator<Item = (Purpose, ObjectId)>) -> BTreeSet<PackId> {
    let before = packs(store);
    let repository = sample::open(store.clone());
    let index = Arc::new(repository.load_index().unwrap());
    let reader = Reader::new(&repository, Arc::clone(&index));
    let mut packer = Packer::new(&repository, index, Compression::default(), Verb::Create, "");
    for (purpose, id) in objects {
        packer.put_claimed(purpose, id, &reader.object(purpose, &id).unwrap()).unwrap();
    }
    packer.flush().unwrap();
    packer.end();
    packs(store).difference(&before).copied().collect()
}

#[test]
fn stamps_of_which_no_copy_can_be_read_stop_nothing() {
    let mut world = World::new();
    world.write("file", noise(1, 3000));
    let id = world.archive();
    let store = world.store.clone();
    let stamps = sample::open(store.clone()).archive(id).unwrap().unwrap().manifest.root_stamps;
    let (old, objects) = (store.snapshot(), objects(&store));
    // No writer puts them apart from the trees.
    put_again(&store, objects.iter().copied().filter(|(_, object)| *object != stamps));
    let alone = put_again(&store, objects.iter().copied().filter(|(_, object)| *object == stamps));
    assert_eq!(alone.len(), 1);
    for key in old.keys().filter(|key| [Kind::Packs, Kind::Index].contains(&key.kind())) {
        store.remove_raw(key);
    }
    condemn(&sample::open(store.clone()), &store, alone.iter().copied().collect(), Vec::new());
    for pack in &alone {
        flip(&store, &Key::pack(*pack), 200);
    }
    try_compact(&store, &AT_ONCE).unwrap();
    assert_restores(&store, None, &world.kept, &world.source());
    assert_settled(&store, &world.kept);
}
