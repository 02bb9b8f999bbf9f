//! Which packs are chosen, in which order.

use std::collections::HashSet;

use super::*;
use crate::format::file::Class;

/// Packs of these sizes, with names 00…, 01…, 02….
fn packs(sizes: &[u64]) -> Vec<IndexedPack> {
    let pack = |(number, size): (u8, &u64)| IndexedPack {
        id: PackId::from_bytes([number; 32]),
        size: *size,
        class: Class::Data,
        trailer: Vec::new(),
    };
    (0..).zip(sizes).map(pack).collect()
}

fn chosen(packs: &[IndexedPack], share: Share, verified: &Verified) -> Vec<u8> {
    choose(packs.iter().collect(), share, verified, 1000).iter().map(|pack| pack.id.as_bytes()[0]).collect()
}

fn verified(times: &[(u8, u64)]) -> Verified {
    let mut verified = Verified::default();
    for (pack, time) in times {
        verified.record(PackId::from_bytes([*pack; 32]), *time);
    }
    verified
}

#[test]
fn what_was_verified_longest_ago_comes_first() {
    let packs = packs(&[10; 5]);
    assert_eq!(chosen(&packs, Share::All, &Verified::default()), [0, 1, 2, 3, 4]);
    let known = verified(&[(0, 30), (1, 20), (3, 20), (4, 999_999)]);
    assert_eq!(chosen(&packs, Share::All, &known), [2, 4, 1, 3, 0], "never, a wrong clock, then by time and name");
    assert_eq!(chosen(&packs, Share::Percent(40), &known), [2, 4]);
}

#[test]
fn a_share_is_reached_and_has_at_least_one_pack() {
    let packs = packs(&[10, 20, 30, 40]);
    let of = |share| chosen(&packs, share, &Verified::default());
    assert_eq!(of(Share::Percent(1)), [0]);
    assert_eq!(of(Share::Percent(10)), [0]);
    assert_eq!(of(Share::Percent(11)), [0, 1]);
    assert_eq!(of(Share::Percent(99)), [0, 1, 2, 3]);
    assert_eq!(of(Share::Percent(100)), [0, 1, 2, 3]);
    assert_eq!(of(Share::Bytes(1)), [0]);
    assert_eq!(of(Share::Bytes(30)), [0, 1]);
    assert_eq!(of(Share::Bytes(31)), [0, 1, 2]);
    assert_eq!(of(Share::Bytes(u64::MAX)), [0, 1, 2, 3]);
    assert_eq!(chosen(&[], Share::Percent(5), &Verified::default()), [0; 0]);
}

#[test]
fn the_parts_hold_every_pack_once() {
    let packs: Vec<IndexedPack> = packs(&[1; 200]);
    for of in [1, 2, 3, 7, 300] {
        let parts = (1..=of).flat_map(|number| chosen(&packs, Share::Part { number, of }, &Verified::default()));
        let parts: Vec<u8> = parts.collect();
        assert_eq!(parts.len(), packs.len(), "{of}");
        assert_eq!(parts.into_iter().collect::<HashSet<_>>().len(), packs.len(), "{of}");
    }
}

#[test]
fn the_memory_comes_back_as_it_was_or_knows_nothing() {
    let memory = verified(&[(1, 5), (2, 6)]);
    let file = memory.encode();
    assert_eq!(Verified::decode(&file), memory);
    assert!(Verified::decode(&file[1..]).is_empty() && Verified::decode(b"").is_empty());
    let mut memory = memory;
    memory.retain(|pack| pack.as_bytes()[0] == 2);
    memory.forget(&PackId::from_bytes([9; 32]));
    assert_eq!(memory.len(), 1);
}
