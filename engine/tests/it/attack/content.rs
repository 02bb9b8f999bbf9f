//! Content lists that lie about lengths.

use std::fs;

use vault_engine::format::list::{Extent, List};
use vault_engine::id::ObjectId;
use vault_engine::meta::{Chunking, Content, NodeKind};

use super::{Forger, assert_told, node};

const HUGE: u64 = 1 << 60;

/// What a file of this size with this content becomes: whether the check tells, and the bytes that were restored, if any were.
#[track_caller]
fn outcome(forger: &mut Forger, size: u64, content: Content, what: &str) -> (bool, Option<u64>) {
    let kind = NodeKind::File { size, chunking: Chunking::ContentDefined(20), content, link: None };
    let root = forger.leaf(vec![node(b"file", kind)]);
    let archive = forger.archive(root);
    let (report, sandbox, restored) = forger.expose(&archive);
    // Earlier forgeries are still there, and still told.
    let told = report.findings.iter().any(|finding| finding.harms.iter().any(|(id, _)| *id == archive.id));
    if told {
        assert_told(&report, &archive, what);
    }
    let length = fs::symlink_metadata(sandbox.target().join("file")).ok().map(|stat| stat.len());
    let clean = restored.is_ok_and(|(restored, _)| restored.damaged + restored.warnings == 0);
    assert!(length.is_some() || !clean, "{what}: absent, and nobody says so");
    (told, length)
}

fn leaf(forger: &Forger, extents: Vec<Extent>) -> Content {
    Content::List(forger.meta(&List::Leaf(extents).encode()))
}

#[test]
fn sizes_that_disagree_with_content_are_told_and_no_such_file_is_restored() {
    let mut forger = Forger::new();
    let chunk = forger.chunk(b"ten bytes.");
    let extent = |length| Extent::Chunk { id: chunk, length };
    // How long a chunk is, is not in the index: that a list says otherwise, a restore sees, and a check does not.
    let lists: [(bool, u64, Vec<Extent>); 8] = [
        (true, 5, vec![extent(10)]),
        (true, 20, vec![extent(10)]),
        (false, 10, vec![extent(5), extent(5)]),
        (true, 20, vec![extent(10), extent(9)]),
        (true, 0, vec![extent(10)]),
        (true, 10, vec![]),
        (false, 11, vec![extent(11)]),
        (true, 3, vec![Extent::Hole(1), Extent::Zeros(1)]),
    ];
    for (told, size, extents) in lists {
        let what = format!("{size}: {extents:?}");
        let content = leaf(&forger, extents);
        assert_eq!(outcome(&mut forger, size, content, &what), (told, None), "{what}");
    }
    for (told, size) in [(true, 0), (false, 5), (false, 9), (false, 11), (true, HUGE), (true, u64::MAX)] {
        let what = format!("a chunk of 10 bytes in a file of {size}");
        assert_eq!(outcome(&mut forger, size, Content::Chunk(chunk), &what), (told, None), "{what}");
    }
    for size in [1, HUGE] {
        let what = format!("nothing in a file of {size}");
        assert_eq!(outcome(&mut forger, size, Content::Empty, &what), (true, None), "{what}");
    }
}

#[test]
fn lengths_that_overflow_are_refused() {
    let mut forger = Forger::new();
    let chunk = forger.chunk(b"ten bytes.");
    let lists: [Vec<Extent>; 4] = [
        vec![Extent::Hole(u64::MAX), Extent::Hole(11)],
        vec![Extent::Hole(u64::MAX), Extent::Chunk { id: chunk, length: 10 }],
        vec![Extent::Zeros(1 << 63), Extent::Hole(1 << 63), Extent::Chunk { id: chunk, length: 10 }],
        vec![Extent::Chunk { id: chunk, length: 10 }, Extent::Zeros(u64::MAX)],
    ];
    for extents in lists {
        for size in [10, 9, u64::MAX] {
            let what = format!("{size}: {extents:?}");
            let content = leaf(&forger, extents.clone());
            assert_eq!(outcome(&mut forger, size, content, &what), (true, None), "{what}");
        }
    }
    // Each leaf is right by itself; together they are too long.
    let half = forger.meta(&List::Leaf(vec![Extent::Hole(1 << 63), Extent::Chunk { id: chunk, length: 10 }]).encode());
    for parts in [vec![(1 << 63, half), (10, half)], vec![(u64::MAX, half), (u64::MAX, half)], vec![(0, half); 3]] {
        let what = format!("{parts:?}");
        let list = Content::List(forger.meta(&List::Branch { level: 1, parts }.encode()));
        for size in [20, u64::MAX] {
            assert_eq!(outcome(&mut forger, size, list, &what), (true, None), "{what}");
        }
    }
}

#[test]
fn a_file_of_two_to_the_sixtieth_bytes_of_nothing_costs_nothing() {
    for extents in [vec![Extent::Hole(HUGE)], vec![Extent::Hole(HUGE - 1), Extent::Zeros(1)], vec![Extent::Zeros(HUGE)]]
    {
        let mut forger = Forger::new();
        let content = leaf(&forger, extents);
        // A file system that can hold it may; it takes no room.
        let (told, length) = outcome(&mut forger, HUGE, content, "huge");
        assert!(!told && length.is_none_or(|length| length == HUGE), "{length:?}");
    }
}

#[test]
fn lists_in_wrong_levels_and_without_end_are_refused() {
    let mut forger = Forger::new();
    let chunk = forger.chunk(b"ten bytes.");
    let inner = forger.meta(&List::Leaf(vec![Extent::Chunk { id: chunk, length: 10 }]).encode());
    let branch = |level, id: ObjectId, covered| List::Branch { level, parts: vec![(covered, id)] }.encode();
    for levels in [[2u8, 2], [1, 1], [8, 7], [3, 1]] {
        let below = forger.meta(&branch(levels[1], inner, 10));
        let list = Content::List(forger.meta(&branch(levels[0], below, 10)));
        let what = format!("{levels:?}");
        assert_eq!(outcome(&mut forger, 10, list, &what), (true, None), "{what}");
    }
    // A list that names one list many times, at each of eight levels: more extents than a file of this size can have.
    let mut list = inner;
    for level in 1..=8 {
        list = forger.meta(&List::Branch { level, parts: vec![(10, list); 1000] }.encode());
    }
    assert_eq!(outcome(&mut forger, 50_000, Content::List(list), "endless"), (true, None));
}
