//! Trees without end: deep ones, and few objects that stand for 2^60 entries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vault_engine::error::Error;
use vault_engine::format::list::{Extent, List};
use vault_engine::format::tree::{Tree, TreePart};
use vault_engine::id::ObjectId;
use vault_engine::meta::{Chunking, Content, Node, NodeKind};
use vault_engine::ops::archives;
use vault_engine::ops::compact::{CompactOptions, compact};
use vault_engine::ops::restore::{RestoreOptions, restore};
use vault_engine::progress::{Monitor, Silent};

use super::{Forger, Sandbox, assert_told, node};
use crate::sample;

/// A user who has seen enough.
struct Impatient {
    left: AtomicUsize,
}

impl Monitor for Impatient {
    fn cancelled(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

fn chain(forger: &Forger, depth: usize) -> ObjectId {
    let mut tree = forger.leaf(Vec::new());
    for _ in 0..depth {
        tree = forger.leaf(vec![node(b"d", NodeKind::Directory { tree })]);
    }
    tree
}

/// Each level names the one below twice.
fn doubled(forger: &Forger, innermost: ObjectId, levels: usize) -> ObjectId {
    (0..levels).fold(innermost, |tree, _| {
        forger.leaf([b"a", b"b"].map(|name| node(name, NodeKind::Directory { tree })).to_vec())
    })
}

#[test]
fn directories_deeper_than_any_file_system_has_end_with_an_error() {
    let mut forger = Forger::new();
    let root = chain(&forger, 66_000);
    let archive = forger.archive(root);
    let repository = forger.open();
    let listed = archives::entries(&repository, &archive, &mut |_, _| Ok(()));
    assert!(matches!(listed, Err(Error::Damaged { .. })), "{listed:?}");
    assert_told(&sample::check_data(&repository), &archive, "deep");
    forger.assert_next_night_works();
}

#[test]
fn a_thousand_directories_in_each_other_are_restored() {
    let mut forger = Forger::new();
    let root = chain(&forger, 1000);
    let archive = forger.archive(root);
    let (report, _, restored) = forger.expose(&archive);
    assert!(report.findings.is_empty(), "{report:#?}");
    assert_eq!(restored.unwrap().0.directories, 1000);
}

#[test]
fn a_sequence_that_has_no_successor_stops_nobody() {
    let mut forger = Forger::new();
    forger.forged = u64::MAX / 1000 - 1;
    let root = chain(&forger, 1);
    let archive = forger.archive(root);
    let mut manifest = archive.manifest;
    manifest.sequence = u64::MAX;
    forger.put_manifest(&manifest);
    forger.assert_next_night_works();
    forger.assert_next_night_works();
}

#[test]
fn two_to_the_sixtieth_entries_are_checked_at_once_and_can_be_left_at_any_time() {
    let mut forger = Forger::new();
    let innermost = forger.leaf(vec![node(b"fifo", NodeKind::Fifo)]);
    let root = doubled(&forger, innermost, 60);
    let archive = forger.archive(root);
    let repository = forger.open();
    sample::assert_sound(&repository);
    let sandbox = Sandbox::new();
    let options = RestoreOptions { target: sandbox.target(), jobs: Some(1), ..RestoreOptions::default() };
    let impatient = Impatient { left: AtomicUsize::new(500) };
    let restored = restore(&repository, &archive, &options, &impatient);
    assert!(matches!(restored, Err(Error::Interrupted)), "{restored:?}");
    sandbox.assert_untouched();
    let mut seen = 0;
    let listed = archives::entries(&repository, &archive, &mut |_, _| {
        seen += 1;
        if seen < 5000 { Ok(()) } else { Err(Error::Interrupted) }
    });
    assert!(matches!(listed, Err(Error::Interrupted)));
    forger.assert_next_night_works();
    let options = CompactOptions { threshold: 0, grace: Duration::ZERO, ..CompactOptions::default() };
    compact(&repository, &options, &Silent).expect("a compaction");
    sample::assert_sound(&forger.open());
}

#[test]
fn a_loss_below_two_to_the_sixtieth_entries_is_told_and_the_check_ends() {
    let mut forger = Forger::new();
    let lost = ObjectId::from_bytes([7; 32]);
    let root = doubled(&forger, lost, 60);
    let archive = forger.archive(root);
    assert_told(&sample::check_data(&forger.open()), &archive, "a missing tree");
    forger.assert_next_night_works();
}

fn file(name: &[u8], size: u64, content: Content) -> Node {
    node(name, NodeKind::File { size, chunking: Chunking::None, content, link: None })
}

#[test]
fn zeros_where_a_directory_or_a_list_should_be_are_told() {
    for odd in
        [node(b"odd", NodeKind::Directory { tree: ObjectId::zero() }), file(b"odd", 5, Content::List(ObjectId::zero()))]
    {
        let mut forger = Forger::new();
        let root = forger.leaf(vec![odd]);
        let archive = forger.archive(root);
        assert_told(&sample::check_data(&forger.open()), &archive, "odd");
    }
}

#[test]
fn a_list_that_stands_in_files_of_two_sizes_is_told_of_the_wrong_one() {
    for (first, second) in [(10, 20), (20, 10)] {
        let mut forger = Forger::new();
        let list = forger.meta(&List::Leaf(vec![Extent::Hole(10)]).encode());
        let files = [file(b"a", first, Content::List(list)), file(b"b", second, Content::List(list))];
        let root = forger.leaf(files.to_vec());
        let archive = forger.archive(root);
        let report = sample::check_data(&forger.open());
        assert_told(&report, &archive, "two sizes");
        let wrong = if first == 20 { b"a" } else { b"b" };
        let paths: Vec<&[u8]> = report.findings.iter().flat_map(|one| &one.harms).map(|(_, path)| &path[..]).collect();
        assert_eq!(paths, [wrong]);
    }
}

#[test]
fn a_part_of_a_directory_of_the_wrong_level_is_refused() {
    for levels in [[1u8, 1, 1], [3, 1, 0], [8, 8, 8], [2, 2, 1]] {
        let mut forger = Forger::new();
        let mut tree = forger.leaf(vec![node(b"fifo", NodeKind::Fifo)]);
        for level in levels.into_iter().rev().filter(|level| *level > 0) {
            let part = TreePart { first: b"fifo".to_vec(), entries: u64::MAX, id: tree };
            tree = forger.meta(&Tree::Branch { level, parts: vec![part] }.encode());
        }
        let archive = forger.archive(tree);
        let (report, _, restored) = forger.expose(&archive);
        assert!(restored.is_ok_and(|(restored, _)| restored.damaged == 1), "{levels:?}");
        assert_told(&report, &archive, "levels");
    }
}
