//! What is encoded comes back, and no other bytes mean the same.

use std::fmt::Debug;

use proptest::prelude::*;
use vault_engine::codec::Decoded;
use vault_engine::compress::Codec;
use vault_engine::format::PART_ENTRIES;
use vault_engine::format::block::Entry;
use vault_engine::format::list::{Extent, List};
use vault_engine::format::manifest::{Manifest, decode_warnings, encode_warnings};
use vault_engine::format::node::{decode_xattrs, encode_xattrs};
use vault_engine::format::pack::{BlockEntry, decode_trailer};
use vault_engine::format::records::{Event, GcRecord, SessionRecord};
use vault_engine::format::segment::Segment;
use vault_engine::format::stamp::{NodeStamp, StampBody, Stamps};
use vault_engine::format::tree::{Tree, TreePart};
use vault_engine::id::ObjectId;
use vault_engine::meta::{Attributes, Node, NodeKind, Owner, Xattr};

use super::values::{self, encode_trailer};

/// A value comes back from its bytes; not from a part of them, nor from more, nor with any bit of them changed.
#[track_caller]
fn check<T: PartialEq + Debug>(value: &T, encode: impl Fn(&T) -> Vec<u8>, decode: impl Fn(&[u8]) -> Decoded<T>) {
    let encoded = encode(value);
    let decoded = decode(&encoded).expect("what was encoded decodes");
    assert_eq!(&decoded, value);
    assert_eq!(encode(&decoded), encoded, "one value has one encoding");
    for at in 0..encoded.len() {
        let mut flipped = encoded.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_ne!(decode(&flipped).as_ref(), Ok(value), "a bit of byte {at} says nothing");
        assert_ne!(decode(&encoded[..at]).as_ref(), Ok(value), "bytes from {at} on say nothing");
    }
    let longer = [encoded.as_slice(), &[0]].concat();
    assert_ne!(decode(&longer).as_ref(), Ok(value), "a byte after the end is not seen");
}

proptest! {
    #[test]
    fn trees_come_back(value in values::tree()) {
        check(&value, Tree::encode, Tree::decode);
    }

    #[test]
    fn content_lists_come_back(value in values::list()) {
        check(&value, List::encode, List::decode);
    }

    #[test]
    fn stamps_come_back(value in values::stamps()) {
        check(&value, Stamps::encode, Stamps::decode);
    }

    #[test]
    fn manifests_come_back(value in values::manifest()) {
        check(&value, Manifest::encode, Manifest::decode);
    }

    #[test]
    fn segments_come_back(value in values::segment()) {
        check(&value, Segment::encode, Segment::decode);
        for pack in &value.packs {
            prop_assert!(pack.blocks().is_ok());
        }
    }

    #[test]
    fn trailers_come_back(value in values::trailer()) {
        check(&value, |value| values::encode_trailer(value), decode_trailer);
    }

    #[test]
    fn gc_records_come_back(value in values::gc_record()) {
        check(&value, GcRecord::encode, GcRecord::decode);
    }

    #[test]
    fn sessions_come_back(value in values::session()) {
        check(&value, SessionRecord::encode, SessionRecord::decode);
    }

    #[test]
    fn events_come_back(value in values::event()) {
        check(&value, Event::encode, Event::decode);
    }

    #[test]
    fn attribute_sets_come_back(mut value in values::xattrs()) {
        // Shorter ones stand in the node.
        value.push(Xattr { name: vec![0xFF; 20], value: vec![7; 512] });
        check(&value, |value| encode_xattrs(value), decode_xattrs);
    }

    #[test]
    fn warning_lists_come_back(value in values::warnings()) {
        check(&value, |value| encode_warnings(value), decode_warnings);
    }
}

#[test]
fn the_smallest_nodes_there_are_come_back() {
    let node = |name: u8| {
        let name = vec![name];
        let attributes = Attributes::default();
        let kind = NodeKind::Fifo;
        (Node { name, implied: false, changed: false, missing: false, attributes, kind }, None)
    };
    for count in [1, 2, 70] {
        check(&Tree::Leaf((b'0'..b'0' + count).map(node).collect()), Tree::encode, Tree::decode);
    }
}

/// Where an item of one byte becomes a hundred in memory, nothing but this keeps a record from becoming gigabytes.
#[test]
fn a_part_with_more_entries_than_any_rule_allows_is_refused() {
    let part =
        |number: usize| TreePart { first: format!("{number:08}").into_bytes(), entries: 1, id: ObjectId::zero() };
    let branch = |count| Tree::Branch { level: 1, parts: (0..count).map(part).collect() };
    let nothing = NodeStamp { stamp: None, directory: None };
    let stamps = |count| Stamps { tree: ObjectId::zero(), body: StampBody::Leaf(vec![nothing; count]) };
    let list = |count| List::Leaf(vec![Extent::Chunk { id: ObjectId::zero(), length: 1 }; count]);
    let warnings = |count| vec![(b"path".to_vec(), "message".to_owned()); count];
    for (count, is_right) in [(PART_ENTRIES, true), (PART_ENTRIES + 1, false)] {
        assert_eq!(Tree::decode(&branch(count).encode()).is_ok(), is_right, "{count} parts of a tree");
        assert_eq!(Tree::decode(&fifos(count).encode()).is_ok(), is_right, "{count} nodes");
        assert_eq!(Stamps::decode(&stamps(count).encode()).is_ok(), is_right, "{count} stamps");
        assert_eq!(List::decode(&list(count).encode()).is_ok(), is_right, "{count} extents");
        assert_eq!(decode_warnings(&encode_warnings(&warnings(count))).is_ok(), is_right, "{count} warnings");
    }
}

fn fifos(count: usize) -> Tree {
    let node = |number: usize| {
        let name = format!("{number:08}").into_bytes();
        let (attributes, kind) = (Attributes::default(), NodeKind::Fifo);
        (Node { name, implied: false, changed: false, missing: false, attributes, kind }, None)
    };
    Tree::Leaf((0..count).map(node).collect())
}

#[test]
fn a_trailer_names_no_block_without_objects() {
    let entries = vec![Entry { id: ObjectId::zero(), length: 7 }];
    let encoded = |entries| encode_trailer(&[BlockEntry { offset: 128, body_length: 64, codec: Codec::None, entries }]);
    assert!(decode_trailer(&encoded(entries)).is_ok());
    assert!(decode_trailer(&encoded(Vec::new())).is_err());
}

/// The table of a tree holds a name once, and so does memory: it may be long, and a directory may have many files.
#[test]
fn files_of_one_owner_share_his_name() {
    let Tree::Leaf(mut nodes) = fifos(3) else { panic!("a leaf") };
    for (node, _) in &mut nodes {
        node.attributes.owner = Owner { number: 1, name: (*b"a long name").into() };
    }
    let Ok(Tree::Leaf(nodes)) = Tree::decode(&Tree::Leaf(nodes).encode()) else { panic!("a leaf") };
    let names: Vec<*const u8> = nodes.iter().map(|(node, _)| node.attributes.owner.name.as_ptr()).collect();
    assert!(names.iter().all(|name| *name == names[0]), "a copy for each file");
}

#[test]
fn a_field_that_is_critical_and_unknown_is_refused_and_any_other_is_skipped() {
    let record = GcRecord::default();
    let with_field = |tag: u16| {
        let mut bytes = record.encode();
        bytes.truncate(bytes.len() - 4);
        bytes.extend_from_slice(&8_u32.to_le_bytes());
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&2_u32.to_le_bytes());
        bytes.extend_from_slice(b"xy");
        bytes
    };
    assert_eq!(GcRecord::decode(&with_field(5)), Ok(record.clone()));
    assert!(GcRecord::decode(&with_field(0x8005)).is_err());
}
