//! Arbitrary values of everything that has bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vault_engine::compress::Codec;
use vault_engine::format::block::Entry;
use vault_engine::format::file::Class;
use vault_engine::format::list::{Extent, List};
use vault_engine::format::manifest::{Manifest, Statistics, encode_warnings};
use vault_engine::format::node::{XattrsId, encode_xattrs};
use vault_engine::format::pack::{BlockEntry, encode_block_entry};
use vault_engine::format::records::{Event, GcRecord, SessionRecord, Verb};
use vault_engine::format::segment::{IndexedPack, Segment};
use vault_engine::format::stamp::{NodeStamp, StampBody, Stamps};
use vault_engine::format::tree::{Tree, TreePart};
use vault_engine::id::{ArchiveId, FileId, ObjectId, PackId, RepositoryId};
use vault_engine::meta::{Attributes, Chunking, Content, FILE_FLAGS, Node, NodeKind, Owner, Stamp, Timestamp, Xattr};
use vault_engine::process::ProcessId;

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), length)
}

pub(super) fn object() -> impl Strategy<Value = ObjectId> {
    any::<[u8; 32]>().prop_map(ObjectId::from_bytes)
}

fn file_id() -> impl Strategy<Value = FileId> {
    any::<[u8; 32]>().prop_map(FileId::from_bytes)
}

fn archive() -> impl Strategy<Value = ArchiveId> {
    any::<[u8; 32]>().prop_map(ArchiveId::from_bytes)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds })
}

fn owner() -> impl Strategy<Value = Owner> {
    (prop_oneof![0..3_u32, any::<u32>()], bytes(0..6)).prop_map(|(number, name)| Owner { number, name: name.into() })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no name has it", |&byte| byte != 0 && byte != b'/');
    prop::collection::vec(byte, 1..20).prop_filter("not a name", |name| name != b"." && name != b"..")
}

pub(super) fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let name = bytes(1..10).prop_filter("no name has it", |name| !name.contains(&0));
    prop::collection::btree_map(name, bytes(0..40), 0..4)
        .prop_map(|all| all.into_iter().map(|(name, value)| Xattr { name, value }).collect())
}

fn chunking() -> impl Strategy<Value = Chunking> {
    prop_oneof![
        Just(Chunking::None),
        (8..=24_u8).prop_map(Chunking::ContentDefined),
        (8..=24_u8).prop_map(Chunking::Fixed)
    ]
}

fn kind() -> impl Strategy<Value = NodeKind> {
    let content = prop_oneof![
        Just(Content::Empty),
        object().prop_map(Content::Chunk),
        object().prop_map(Content::List),
        Just(Content::Missing)
    ];
    let file =
        (any::<u64>(), chunking(), content, any::<Option<[u8; 16]>>()).prop_map(|(size, chunking, content, link)| {
            let size = match content {
                Content::Empty => 0,
                Content::Chunk(_) => 1 + size % (16 << 20),
                Content::List(_) | Content::Missing => size.max(1),
            };
            NodeKind::File { size, chunking, content, link }
        });
    let device = (any::<u32>(), any::<u32>());
    prop_oneof![
        4 => file,
        2 => object().prop_map(|tree| NodeKind::Directory { tree }),
        1 => bytes(0..60).prop_map(|target| NodeKind::Symlink { target }),
        1 => Just(NodeKind::Fifo),
        1 => device.prop_map(|(major, minor)| NodeKind::CharDevice { major, minor }),
        1 => device.prop_map(|(major, minor)| NodeKind::BlockDevice { major, minor }),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (0..0o10000_u16, owner(), owner(), time(), any::<u32>()).prop_map(|(mode, owner, group, mtime, flags)| Attributes {
        mode,
        owner,
        group,
        mtime,
        file_flags: flags & FILE_FLAGS,
        xattrs: Vec::new(),
    })
}

/// A node without name, and the object of its attributes.
fn node() -> impl Strategy<Value = (Node, XattrsId)> {
    let xattrs =
        prop_oneof![xattrs().prop_map(|inside| (inside, None)), object().prop_map(|id| (Vec::new(), Some(id)))];
    (any::<[bool; 3]>(), attributes(), kind(), xattrs).prop_map(
        |([implied, changed, missing], mut attributes, kind, (inside, id))| {
            attributes.xattrs = inside;
            let missing = match &kind {
                NodeKind::File { content, .. } => *content == Content::Missing,
                _ => missing,
            };
            (Node { name: Vec::new(), implied, changed, missing, attributes, kind }, id)
        },
    )
}

pub(super) fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop::collection::btree_map(name(), node(), 0..8).prop_map(|nodes: BTreeMap<_, _>| {
        let named = |(name, (node, xattrs))| (Node { name, ..node }, xattrs);
        Tree::Leaf(nodes.into_iter().map(named).collect())
    });
    let parts = prop::collection::btree_map(name(), (any::<u64>(), object()), 1..6);
    let branch = (1..=8_u8, parts).prop_map(|(level, parts)| {
        let part = |(first, (entries, id))| TreePart { first, entries, id };
        Tree::Branch { level, parts: parts.into_iter().map(part).collect() }
    });
    prop_oneof![3 => leaf, 1 => branch]
}

pub(super) fn list() -> impl Strategy<Value = List> {
    let extent = prop_oneof![
        4 => (object(), 1..=16_777_216_u32).prop_map(|(id, length)| Extent::Chunk { id, length }),
        1 => (1..1_u64 << 50).prop_map(Extent::Zeros),
        1 => (1..1_u64 << 50).prop_map(Extent::Hole),
    ];
    let parts = prop::collection::vec((1..1_u64 << 50, object()), 1..6);
    prop_oneof![
        prop::collection::vec(extent, 1..20).prop_map(|extents| List::Leaf(merged(extents))),
        (1..=8_u8, parts).prop_map(|(level, parts)| List::Branch { level, parts }),
    ]
}

/// Zeros or holes side by side are one, and have one form: here the first of them.
fn merged(mut extents: Vec<Extent>) -> Vec<Extent> {
    let kind = std::mem::discriminant::<Extent>;
    extents.dedup_by(|next, last| !matches!(next, Extent::Chunk { .. }) && kind(next) == kind(last));
    extents
}

pub(super) fn stamps() -> impl Strategy<Value = Stamps> {
    let stamp = (any::<u64>(), time()).prop_map(|(inode, ctime)| Stamp { inode, ctime });
    let one = (prop::option::of(stamp), prop::option::of(object()))
        .prop_map(|(stamp, directory)| NodeStamp { stamp, directory });
    let body = prop_oneof![
        prop::collection::vec(one, 0..10).prop_map(StampBody::Leaf),
        (1..=8_u8, prop::collection::vec(object(), 0..6)).prop_map(|(level, parts)| StampBody::Branch { level, parts }),
    ];
    (object(), body).prop_map(|(tree, body)| Stamps { tree, body })
}

fn statistics() -> impl Strategy<Value = Statistics> {
    any::<[u64; 6]>().prop_map(|[files, directories, bytes, new_bytes, stored_bytes, warnings]| Statistics {
        files,
        directories,
        bytes,
        new_bytes,
        stored_bytes,
        warnings,
    })
}

pub(super) fn manifest() -> impl Strategy<Value = Manifest> {
    let none_or_archive = || prop::option::of(archive());
    let root = (node(), object())
        .prop_map(|((node, xattrs), tree)| (Node { kind: NodeKind::Directory { tree }, ..node }, xattrs));
    let texts = prop::collection::vec(".{0,12}", 5);
    let ids = (object(), any::<[u8; 32]>(), any::<[u8; 16]>(), any::<u64>(), none_or_archive(), none_or_archive());
    let times = (time(), time(), time(), any::<i32>());
    let rest =
        (prop::collection::vec(bytes(0..20), 0..4), statistics(), object(), prop::collection::vec(file_id(), 0..4));
    (root, texts, ids, times, rest).prop_map(|((root, root_xattrs), texts, ids, times, rest)| {
        let [host, name, user, comment, program] = <[String; 5]>::try_from(texts).unwrap();
        let (root_stamps, repository, host_id, sequence, previous, parent) = ids;
        let (time, start, end, utc_offset_seconds) = times;
        let (paths, statistics, warnings, segments) = rest;
        Manifest {
            root,
            root_xattrs,
            root_stamps,
            repository: RepositoryId::from_bytes(repository),
            host,
            name,
            host_id,
            sequence,
            previous,
            parent,
            time,
            start,
            end,
            utc_offset_seconds,
            user,
            comment,
            program,
            paths,
            statistics,
            warnings,
            segments,
        }
    })
}

pub(super) fn trailer() -> impl Strategy<Value = Vec<BlockEntry>> {
    let entry = (object(), any::<u32>()).prop_map(|(id, length)| Entry { id, length });
    let codec = prop::sample::select(vec![Codec::None, Codec::Zstd, Codec::Lz4]);
    let block = (0..4_u32, 1..1000_u32, codec, prop::collection::vec(entry, 1..5));
    prop::collection::vec(block, 0..6).prop_map(|blocks| {
        let mut next = 128;
        let place = |(gap, body, codec, entries): (u32, u32, Codec, Vec<Entry>)| {
            let offset = next + gap * 64;
            next = offset + 64 + body * 64;
            BlockEntry { offset, body_length: body * 64, codec, entries }
        };
        blocks.into_iter().map(place).collect()
    })
}

pub(super) fn encode_trailer(blocks: &[BlockEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in blocks {
        encode_block_entry(block, &mut out);
    }
    out
}

pub(super) fn segment() -> impl Strategy<Value = Segment> {
    let class = prop::sample::select(vec![Class::Data, Class::Meta]);
    let pack = (any::<[u8; 32]>(), any::<u64>(), class, trailer()).prop_map(|(id, size, class, blocks)| IndexedPack {
        id: PackId::from_bytes(id),
        size,
        class,
        trailer: encode_trailer(&blocks),
    });
    let replaces = prop::collection::vec(file_id(), 0..4);
    (any::<[u8; 16]>(), replaces, prop::collection::vec(pack, 0..4)).prop_map(|(writer, replaces, packs)| Segment {
        writer,
        replaces,
        packs,
    })
}

pub(super) fn gc_record() -> impl Strategy<Value = GcRecord> {
    let packs = prop::collection::vec(any::<[u8; 32]>().prop_map(PackId::from_bytes), 0..5);
    (packs, prop::collection::vec(archive(), 0..5), any::<[u8; 16]>()).prop_map(|(packs, pending, session)| GcRecord {
        packs,
        pending,
        session,
    })
}

pub(super) fn session() -> impl Strategy<Value = SessionRecord> {
    let verb = prop::sample::select(vec![Verb::Create, Verb::Compact, Verb::Prune, Verb::Repair]);
    let process = (any::<[u8; 16]>(), any::<u32>(), any::<u64>());
    let process = process.prop_map(|(boot, pid, started)| ProcessId { boot, pid, started });
    (any::<[u8; 16]>(), verb, time(), time(), ".{0,20}", process).prop_map(
        |(host_id, verb, start, time, series, process)| SessionRecord { host_id, verb, start, time, series, process },
    )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    (archive(), any::<u16>(), any::<[u8; 16]>(), time(), prop::collection::vec(file_id(), 0..4), bytes(0..40)).prop_map(
        |(archive, kind, host_id, time, replaces, value)| Event { archive, kind, host_id, time, replaces, value },
    )
}

pub(super) fn warnings() -> impl Strategy<Value = Vec<(Vec<u8>, String)>> {
    prop::collection::vec((bytes(0..20), ".{0,20}"), 0..5)
}

/// The bytes of any of them.
pub(super) fn any_record() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        tree().prop_map(|tree| tree.encode()),
        list().prop_map(|list| list.encode()),
        stamps().prop_map(|stamps| stamps.encode()),
        manifest().prop_map(|manifest| manifest.encode()),
        segment().prop_map(|segment| segment.encode()),
        trailer().prop_map(|blocks| encode_trailer(&blocks)),
        gc_record().prop_map(|record| record.encode()),
        session().prop_map(|session| session.encode()),
        event().prop_map(|event| event.encode()),
        xattrs().prop_map(|xattrs| encode_xattrs(&xattrs)),
        warnings().prop_map(|warnings| encode_warnings(&warnings)),
    ]
}
