//! Names that lead elsewhere, and entries of one name, of which the first is a link to elsewhere.

use std::fs;
use std::os::unix::fs::symlink as make_link;
use std::path::Path;

use vault_engine::format::tree::{Tree, TreePart};
use vault_engine::id::ObjectId;
use vault_engine::meta::{Chunking, Content, Node, NodeKind};

use super::{Forger, Sandbox, assert_told, node, symlink};

fn file(name: &[u8], content: Content, size: u64, link: Option<[u8; 16]>) -> Node {
    node(name, NodeKind::File { size, chunking: Chunking::None, content, link })
}

/// A directory of several parts, each said to come after the one before, whatever is in it.
fn parts(forger: &Forger, leaves: Vec<Vec<Node>>) -> ObjectId {
    let parts = leaves.into_iter().enumerate().map(|(number, nodes)| TreePart {
        first: format!("{number:03}").into_bytes(),
        entries: nodes.len() as u64,
        id: forger.leaf(nodes),
    });
    forger.meta(&Tree::Branch { level: 1, parts: parts.collect() }.encode())
}

#[test]
fn a_name_that_no_directory_can_hold_is_refused_and_told() {
    let sandbox = Sandbox::new();
    let absolute = sandbox.folder.path().join("absolute");
    let absolute = absolute.to_str().unwrap().as_bytes();
    let names: [&[u8]; 10] =
        [b"..", b".", b"", b"/", b"a/b", b"../victim", b"../../victim", absolute, b"a\0b", b"../victims/one\0"];
    for name in names {
        for is_directory in [false, true] {
            let mut forger = Forger::new();
            let empty = forger.leaf(Vec::new());
            let chunk = forger.chunk(b"overwritten");
            let entry = if is_directory {
                node(name, NodeKind::Directory { tree: empty })
            } else {
                file(name, Content::Chunk(chunk), 11, None)
            };
            let root = forger.leaf(vec![entry]);
            let archive = forger.archive(root);
            let what = String::from_utf8_lossy(name).into_owned();
            let restored = sandbox.restore(&forger.open(), &archive);
            assert!(restored.is_ok_and(|(restored, _)| restored.damaged == 1), "{what}");
            let (report, ..) = forger.expose(&archive);
            assert_told(&report, &archive, &what);
            assert_eq!(fs::read_dir(sandbox.target()).unwrap().count(), 0, "{what}");
        }
    }
}

#[test]
fn a_name_that_is_too_long_for_the_file_system_is_a_warning() {
    let mut forger = Forger::new();
    let chunk = forger.chunk(b"content");
    let root = forger.leaf(vec![file(&[b'n'; 3000], Content::Chunk(chunk), 7, None)]);
    let archive = forger.archive(root);
    let (_, sandbox, restored) = forger.expose(&archive);
    let (restored, heard) = restored.unwrap();
    assert!(restored.warnings > 0 && !heard.warnings().is_empty());
    assert_eq!(fs::read_dir(sandbox.target()).unwrap().count(), 0);
}

#[test]
fn what_follows_a_link_of_the_same_name_does_not_follow_the_link() {
    for elsewhere in ["victims", "victim", "..", "../victims", "new"] {
        let mut forger = Forger::new();
        let sandbox = Sandbox::new();
        let chunk = forger.chunk(b"overwritten");
        let to = if elsewhere.starts_with('.') {
            Path::new(elsewhere).to_owned()
        } else {
            sandbox.folder.path().join(elsewhere)
        };
        let inner = forger.leaf(vec![file(b"one", Content::Chunk(chunk), 11, None)]);
        let link = || vec![symlink(b"a", &to)];
        let directory = vec![node(b"a", NodeKind::Directory { tree: inner })];
        let same_name: [Vec<Node>; 5] = [
            directory.clone(),
            vec![file(b"a", Content::Chunk(chunk), 11, None)],
            vec![file(b"a", Content::Empty, 0, None)],
            vec![node(b"a", NodeKind::Fifo)],
            vec![symlink(b"a", Path::new("other"))],
        ];
        for second in same_name {
            for order in [[link(), second.clone(), directory.clone()], [second.clone(), link(), directory.clone()]] {
                let root = parts(&forger, order.to_vec());
                let archive = forger.archive(root);
                // Whatever it makes of it, it stays beneath.
                let _ = sandbox.restore(&forger.open(), &archive);
                let _ = sandbox.restore(&forger.open(), &archive);
            }
        }
        forger.assert_next_night_works();
    }
}

#[test]
fn a_hard_link_to_what_has_become_a_symbolic_link_harms_nobody() {
    const GROUP: Option<[u8; 16]> = Some([5; 16]);
    for to in ["victim", "../victim", "victims"] {
        let mut forger = Forger::new();
        let sandbox = Sandbox::new();
        let chunk = forger.chunk(b"overwritten");
        let to = if to.starts_with('.') { Path::new(to).to_owned() } else { sandbox.folder.path().join(to) };
        let member = |name: &[u8]| file(name, Content::Chunk(chunk), 11, GROUP);
        let orders: [Vec<Vec<Node>>; 4] = [
            vec![vec![member(b"a")], vec![symlink(b"a", &to)], vec![member(b"b"), member(b"c")]],
            vec![vec![symlink(b"a", &to)], vec![member(b"a")], vec![member(b"b")]],
            vec![vec![member(b"a"), symlink(b"b", &to)], vec![member(b"b")]],
            vec![vec![member(b"a"), member(b"b")], vec![symlink(b"a", &to)], vec![symlink(b"b", &to)]],
        ];
        for order in orders {
            let root = parts(&forger, order);
            let archive = forger.archive(root);
            let _ = sandbox.restore(&forger.open(), &archive);
            let _ = sandbox.restore(&forger.open(), &archive);
        }
        forger.assert_next_night_works();
    }
}

#[test]
fn links_that_stand_in_the_target_already_are_not_followed() {
    let mut forger = Forger::new();
    let chunk = forger.chunk(b"overwritten");
    let inner = forger.leaf(vec![file(b"one", Content::Chunk(chunk), 11, None)]);
    let root =
        forger.leaf(vec![node(b"a", NodeKind::Directory { tree: inner }), file(b"b", Content::Chunk(chunk), 11, None)]);
    let archive = forger.archive(root);
    let sandbox = Sandbox::new();
    make_link("../victims", sandbox.target().join("a")).unwrap();
    make_link("../victim", sandbox.target().join("b")).unwrap();
    let (restored, _) = sandbox.restore(&forger.open(), &archive).unwrap();
    assert_eq!(restored.damaged, 0);
    assert_eq!(fs::read(sandbox.target().join("a/one")).unwrap(), b"overwritten", "the links gave way");
    assert_eq!(fs::read(sandbox.target().join("b")).unwrap(), b"overwritten");
}
