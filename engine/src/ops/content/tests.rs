//! A list that is written as it grows is the one that would be cut when all of it is known.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::split::split;

/// All levels at once, each cut when the one below it is complete: what docs/format.md §7 and §8 say.
fn plain(rule: SplitRule, extents: &[Extent], put: &mut Put<'_>) -> Result<Content> {
    let mut merged: Vec<Extent> = Vec::new();
    for &extent in extents {
        match (merged.last_mut(), extent) {
            (Some(Extent::Zeros(length)), Extent::Zeros(more)) | (Some(Extent::Hole(length)), Extent::Hole(more)) => {
                *length += more;
            }
            _ => merged.push(extent),
        }
    }
    match merged.as_slice() {
        [] => return Ok(Content::Empty),
        [Extent::Chunk { id, .. }] => return Ok(Content::Chunk(*id)),
        _ => {}
    }
    let mut store = |list: List| Ok::<_, Error>((list.covered(), put(&list.encode())?));
    let leaves = split(rule, merged, Hashed::hash).into_iter().map(|part| store(List::Leaf(part)));
    let mut parts: Vec<Part> = leaves.collect::<Result<_>>()?;
    let mut level = 0;
    while parts.len() > 1 {
        level = level_above(level)?;
        let groups = split(rule, parts, Hashed::hash);
        parts = groups.into_iter().map(|parts| store(List::Branch { level, parts })).collect::<Result<_>>()?;
    }
    Ok(parts.first().map_or(Content::Empty, |(_, id)| Content::List(*id)))
}

fn streamed(rule: SplitRule, extents: &[Extent], put: &mut Put<'_>) -> Result<Content> {
    let mut writer = ListWriter::new(rule);
    extents.iter().try_for_each(|extent| writer.push(*extent, put))?;
    assert_eq!(writer.size(), extents.iter().map(Extent::length).sum::<u64>());
    writer.finish(put)
}

/// The content, and every list that was stored, sorted: in which order they are is nobody's business.
fn stored(write: impl FnOnce(&mut Put<'_>) -> Result<Content>) -> Option<(Content, Vec<Vec<u8>>)> {
    let mut lists = Vec::new();
    let content = write(&mut |bytes| {
        lists.push(bytes.to_vec());
        Ok(ObjectId::from_bytes(*blake3::hash(bytes).as_bytes()))
    });
    lists.sort();
    Some((content.ok()?, lists))
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        6 => any::<[u8; 32]>().prop_map(|id| Extent::Chunk { id: ObjectId::from_bytes(id), length: 4096 }),
        1 => (1u64..9).prop_map(Extent::Zeros),
        1 => (1u64..9).prop_map(Extent::Hole),
    ]
}

proptest! {
    #[test]
    fn a_list_that_grows_is_the_one_of_all_extents(
        extents in vec(extent(), 0..200),
        (minimum, bits, maximum) in (1u16..5, 0u8..4, 2u16..12),
    ) {
        let rule = SplitRule { minimum, bits, maximum };
        let wanted = stored(|put| plain(rule, &extents, put));
        let got = stored(|put| streamed(rule, &extents, put));
        prop_assert_eq!(wanted, got);
    }
}

#[test]
fn little_is_in_memory_however_long_the_list() {
    let rule = SplitRule { minimum: 32, bits: 6, maximum: 255 };
    let mut writer = ListWriter::new(rule);
    let put: &mut Put<'_> = &mut |bytes| Ok(ObjectId::from_bytes(*blake3::hash(bytes).as_bytes()));
    let mut most = 0;
    for number in 0..200_000u64 {
        let id = ObjectId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
        writer.push(Extent::Chunk { id, length: 4096 }, put).unwrap();
        let held = writer.extents.open.waiting() + writer.parts.iter().map(|row| row.open.waiting()).sum::<usize>();
        most = most.max(held);
    }
    assert!(writer.parts.len() >= 2 && most < 255 * 4, "{most} items held");
}

#[test]
fn what_no_reader_would_take_is_not_written() {
    let extents =
        |count: u64| -> Vec<_> { (0..count).flat_map(|number| [Extent::Hole(number + 1), Extent::Zeros(1)]).collect() };
    let small = SplitRule { minimum: 2, bits: 1, maximum: 2 };
    let store = |extents: Vec<Extent>| {
        let mut highest = 0;
        let stored = streamed(small, &extents, &mut |bytes| {
            if let Ok(List::Branch { level, .. }) = List::decode(bytes) {
                highest = highest.max(level);
            }
            Ok(ObjectId::zero())
        });
        (stored.is_ok(), highest)
    };
    assert_eq!(store(extents(256)), (true, LEVELS));
    assert_eq!(store(extents(257)), (false, LEVELS));
}
