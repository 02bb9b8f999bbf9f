//! A scan against a plain list of everything that the segments say.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::super::CacheFolder;
use super::*;
use crate::compress::Codec;
use crate::crypto::SecretKey;
use crate::format::block::Entry;
use crate::format::pack::{BlockEntry, encode_block_entry};
use crate::format::segment::{IndexedPack, Segment};
use crate::id::FileId;
use crate::repository::Look;

/// Blocks of objects, each a few small numbers.
type Blocks = Vec<Vec<u8>>;
/// Segments of packs, each with its number and its blocks. Equal numbers are the same pack.
type Segments = Vec<Vec<(u8, Blocks)>>;

fn object(number: u8) -> ObjectId {
    ObjectId::from_bytes(*blake3::hash(&[number]).as_bytes())
}

fn pack_id(number: u8) -> PackId {
    PackId::from_bytes([number; 32])
}

fn segment_id(number: usize) -> FileId {
    FileId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn pack(number: u8, blocks: &[Vec<u8>]) -> IndexedPack {
    let mut trailer = Vec::new();
    for (at, objects) in (1u32..).zip(blocks) {
        let entries = objects.iter().map(|&number| Entry { id: object(number), length: 1 }).collect();
        let (offset, body_length) = (at * 192, 128);
        encode_block_entry(&BlockEntry { offset, body_length, codec: Codec::None, entries }, &mut trailer);
    }
    IndexedPack { id: pack_id(number), size: 1000 + u64::from(number), class: Class::Data, trailer }
}

fn segment(packs: &[(u8, Blocks)]) -> Segment {
    let packs = packs.iter().map(|(number, blocks)| pack(*number, blocks)).collect();
    Segment { writer: [0; 16], replaces: Vec::new(), packs }
}

/// What a pack is in depends on its number: every third is condemned, every third has gone.
fn look(segments: usize) -> Look {
    let mut look = Look { segments: (0..segments).map(|number| (segment_id(number), 1)).collect(), ..Look::default() };
    for number in 0..=u8::MAX {
        match number % 3 {
            0 => drop(look.packs.insert(pack_id(number), 1000 + u64::from(number))),
            1 => {
                look.packs.insert(pack_id(number), 1000 + u64::from(number));
                look.condemned.insert(pack_id(number));
            }
            _ => {}
        }
    }
    look
}

/// An index whose runs stand for one segment each, until there are so many that some are merged.
fn index(folder: &Arc<CacheFolder>, segments: &Segments) -> Index {
    let read = |id| Ok(segments.iter().enumerate().find(|(at, _)| segment_id(*at) == id).map(|(_, it)| segment(it)));
    let load = |count| Index::load(Arc::clone(folder), SecretKey::new([7; 32]), &look(count), &read).expect("an index");
    (0..segments.len()).for_each(|count| drop(load(count)));
    load(segments.len())
}

fn folder() -> (tempfile::TempDir, Arc<CacheFolder>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Arc::new(CacheFolder::open(Some(folder.path())).unwrap());
    (folder, cache)
}

/// Pack, offset of the block, its size, share of it, position.
type Place = (PackId, u32, u32, u16, u32);

fn expected(segments: &Segments) -> BTreeMap<ObjectId, BTreeSet<Place>> {
    let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (number, blocks) in segments.iter().flatten() {
        for (at, objects) in (1u32..).zip(blocks) {
            for (position, id) in (0u32..).zip(objects) {
                let share = u16::MAX / u16::try_from(objects.len()).unwrap();
                let place = (pack_id(*number), at * 192, 128, share, position);
                all.entry(object(*id)).or_default().insert(place);
            }
        }
    }
    all
}

#[track_caller]
fn assert_scans(index: &Index, segments: &Segments) {
    let packs = index.packs();
    for (number, pack) in packs.iter().enumerate() {
        assert!(packs.iter().skip(number + 1).all(|other| other.id != pack.id), "a pack stands there twice");
        let state = match pack.id.as_bytes()[0] % 3 {
            0 => matches!(pack.state, PackState::Good(_)),
            1 => pack.state == PackState::Condemned,
            _ => pack.state == PackState::Absent,
        };
        assert!(state, "{pack:?}");
    }
    let mut found = BTreeMap::new();
    let mut slots = BTreeSet::new();
    let mut last = None;
    let scanned = index.scan(&mut |object| {
        assert!(last < Some(object.id), "not in order of ids");
        last = Some(object.id);
        assert_eq!(index.slot(&object.id), Some(object.slot));
        assert!(object.slot < index.slots() && slots.insert(object.slot), "slot {}", object.slot);
        assert_eq!(index.slot_table().id(object.slot).unwrap(), object.id);
        let places: Vec<_> = object
            .copies
            .iter()
            .map(|copy| {
                let pack = packs[copy.pack as usize].id;
                (pack, copy.offset, copy.body_length, copy.share, copy.position)
            })
            .collect();
        let distinct: BTreeSet<_> = places.iter().copied().collect();
        assert_eq!(distinct.len(), places.len(), "a place stands there twice");
        found.insert(object.id, distinct);
        Ok(())
    });
    scanned.unwrap();
    assert_eq!(found, expected(segments));
}

/// A pack's number says all that is in it.
fn blocks_of(number: u8) -> Blocks {
    let drawn = blake3::hash(&[number, 1]);
    let drawn = drawn.as_bytes();
    (0..=usize::from(drawn[0] % 4))
        .map(|at| drawn.iter().skip(at * 5).take(usize::from(drawn[at] % 5) + 1).map(|byte| byte % 40).collect())
        .collect()
}

fn segments() -> impl Strategy<Value = Segments> {
    let segment = prop::collection::vec((0..30u8).prop_map(|number| (number, blocks_of(number))), 0..5);
    prop::collection::vec(segment, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_gives_every_object_with_every_copy(segments in segments()) {
        let (_folder, cache) = folder();
        assert_scans(&index(&cache, &segments), &segments);
    }
}

#[test]
fn what_is_added_comes_behind_and_moves_no_slot() {
    let (_folder, cache) = folder();
    let mut all: Segments = (0..6).map(|number| vec![(number * 3, blocks_of(number * 3))]).collect();
    let index = index(&cache, &all);
    let before: Vec<_> = (0..40).map(|number| index.slot(&object(number))).collect();
    let slots = index.slots();
    all.push(vec![(30, blocks_of(30)), (33, vec![(30..50).collect()])]);
    index.add(segment_id(99), &segment(&all[6])).unwrap();
    assert_scans(&index, &all);
    for (number, slot) in (0..).zip(before) {
        let now = index.slot(&object(number));
        assert!(now == slot || (slot.is_none() && now >= Some(slots)), "{slot:?} became {now:?}");
    }
}

fn runs_in(folder: &tempfile::TempDir) -> usize {
    folder.path().read_dir().unwrap().count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn many_that_are_added_become_few_runs_and_are_found(
        loaded in prop::collection::vec((0..10u8).prop_map(|number| vec![(number * 3, blocks_of(number * 3))]), 0..12),
        added in prop::collection::vec(prop::collection::vec((10..40u8).prop_map(|number| (number * 3, blocks_of(number))), 1..4), 0..40),
    ) {
        let (folder, cache) = folder();
        let mut all = loaded;
        let index = index(&cache, &all);
        let (slots, files) = (index.slots(), runs_in(&folder));
        let before: Vec<_> = (0..40).map(|number| index.slot(&object(number))).collect();
        for segment_of in added {
            index.add(segment_id(all.len()), &segment(&segment_of)).unwrap();
            all.push(segment_of);
        }
        prop_assert!(runs_in(&folder) <= files + 8, "{} files were {files}", runs_in(&folder));
        assert_scans(&index, &all);
        for (number, slot) in (0..).zip(before) {
            let now = index.slot(&object(number));
            prop_assert!(now == slot || (slot.is_none() && now >= Some(slots)), "{:?} became {:?}", slot, now);
        }
        drop(index);
        let read = |_| -> Result<Option<Segment>> { panic!("the runs stand for all segments") };
        let again = Index::load(Arc::clone(&cache), SecretKey::new([7; 32]), &look(all.len()), &read).unwrap();
        assert_scans(&again, &all);
    }
}

#[test]
fn a_run_that_cannot_be_merged_keeps_nobody_from_adding() {
    let (folder, cache) = folder();
    let index = index(&cache, &Segments::new());
    for number in 0..30u8 {
        let many: Blocks = (0..80).map(|block| vec![block; 40]).collect();
        index.add(segment_id(usize::from(number)), &segment(&[(number * 3, many)])).unwrap();
        let newest = folder.path().read_dir().unwrap().map(|run| run.unwrap());
        let newest = newest.max_by_key(|run| run.metadata().unwrap().modified().unwrap()).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(newest.path()).unwrap();
        file.write_all_at(&[0xFF], 5 * 4096).unwrap();
    }
    assert_eq!(runs_in(&folder), 30);
    assert!(index.is_damaged());
}

#[test]
fn a_damaged_page_ends_the_scan() {
    let (folder, cache) = folder();
    let many: Segments = vec![(0..200).map(|number| (number, blocks_of(number))).collect()];
    let index = index(&cache, &many);
    let run = folder.path().read_dir().unwrap().next().unwrap().unwrap().path();
    let file = std::fs::OpenOptions::new().write(true).open(&run).unwrap();
    // Behind the tables, which were checked when it was opened: 200 packs of 48 bytes.
    file.write_all_at(&[0xFF], 5 * 4096).unwrap();
    let mut seen = 0;
    let end = index.scan(&mut |_| {
        seen += 1;
        Ok(())
    });
    assert!(matches!(end, Err(Error::Local { .. })), "{end:?} after {seen}");
    assert!(index.slot_table().check().is_err(), "and the index knows it");
}
