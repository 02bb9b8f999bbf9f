//! One entry of a directory as bytes (docs/format.md §7).

use crate::codec::{Decoded, Put, Take};
use crate::format::OBJECT_LIMIT;
use crate::format::records::skip_fields;
use crate::id::ObjectId;
use crate::meta::{Attributes, Chunking, Content, FILE_FLAGS, Node, NodeKind, Owner, Xattr};

/// Extended attributes up to this many bytes stand in the node itself.
pub const INLINE_XATTRS: usize = 512;

const IMPLIED: u16 = 1;
const CHANGED: u16 = 2;
const MISSING: u16 = 4;
const LINKED: u16 = 8;
const XATTRS: u16 = 16;
const XATTRS_BY_ID: u16 = 32;
const FIELDS: u16 = 64;

/// Where a node's extended attributes are; `by id` when they are too long to stand inside.
pub type XattrsId = Option<ObjectId>;

/// How a node says who owns it: by index into the tree's table, or in full where there is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owners<'a> {
    Table(&'a [Owner]),
    Full,
}

impl Owners<'_> {
    fn put(self, owner: &Owner, out: &mut Vec<u8>) {
        match self {
            Self::Table(table) => {
                let index = table.binary_search(owner).unwrap_or(usize::MAX);
                out.put_u16(u16::try_from(index).unwrap_or(u16::MAX));
            }
            Self::Full => put_owner(owner, out),
        }
    }

    fn take(self, take: &mut Take<'_>) -> Decoded<Owner> {
        match self {
            Self::Table(table) => {
                let index = take.u16("owner")?;
                table.get(usize::from(index)).cloned().ok_or_else(|| take.error("owner", "not in the table"))
            }
            Self::Full => take_owner(take),
        }
    }
}

pub(super) fn put_owner(owner: &Owner, out: &mut Vec<u8>) {
    out.put_u32(owner.number);
    out.put_str(&owner.name);
}

pub(super) fn take_owner(take: &mut Take<'_>) -> Decoded<Owner> {
    Ok(Owner { number: take.u32("owner number")?, name: take.str("owner name")?.into() })
}

/// Encodes a node. `xattrs` names the object that holds its extended attributes if they are longer than [`INLINE_XATTRS`].
pub(super) fn put_node(node: &Node, xattrs: XattrsId, owners: Owners<'_>, out: &mut Vec<u8>) {
    let attributes = &node.attributes;
    let (kind, linked) = match &node.kind {
        NodeKind::File { link, .. } => (1, link.is_some()),
        NodeKind::Directory { .. } => (2, false),
        NodeKind::Symlink { .. } => (3, false),
        NodeKind::Fifo => (4, false),
        NodeKind::CharDevice { .. } => (5, false),
        NodeKind::BlockDevice { .. } => (6, false),
    };
    let inline = xattrs.is_none() && !attributes.xattrs.is_empty();
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    out.put_str(&node.name);
    out.put_u8(kind);
    out.put_u16(
        flag(node.implied, IMPLIED)
            | flag(node.changed, CHANGED)
            | flag(node.missing, MISSING)
            | flag(linked, LINKED)
            | flag(inline, XATTRS)
            | flag(xattrs.is_some(), XATTRS_BY_ID),
    );
    out.put_u16(attributes.mode);
    owners.put(&attributes.owner, out);
    owners.put(&attributes.group, out);
    out.put_time(attributes.mtime);
    out.put_u32(attributes.file_flags);
    put_kind(&node.kind, out);
    if let Some(id) = xattrs {
        out.put(id.as_bytes());
    } else if inline {
        out.put(&encode_xattrs(&attributes.xattrs));
    }
}

fn put_kind(kind: &NodeKind, out: &mut Vec<u8>) {
    match kind {
        NodeKind::File { size, chunking, content, link } => {
            out.put_u64(*size);
            let (chunker, log2) = match chunking {
                Chunking::None => (0, 0),
                Chunking::ContentDefined(log2) => (1, *log2),
                Chunking::Fixed(log2) => (2, *log2),
                Chunking::Unknown { chunker, log2 } => (*chunker, *log2),
            };
            out.put(&[chunker, log2]);
            match content {
                Content::Empty => out.put_u8(0),
                Content::Chunk(id) => put_content(1, id, out),
                Content::List(id) => put_content(2, id, out),
                Content::Missing => out.put_u8(3),
            }
            if let Some(link) = link {
                out.put(link);
            }
        }
        NodeKind::Directory { tree } => out.put(tree.as_bytes()),
        NodeKind::Symlink { target } => out.put_str(target),
        NodeKind::Fifo => {}
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            out.put_u32(*major);
            out.put_u32(*minor);
        }
    }
}

fn put_content(kind: u8, id: &ObjectId, out: &mut Vec<u8>) {
    out.put_u8(kind);
    out.put(id.as_bytes());
}

/// Decodes a node; attributes that stand in an object of their own are left empty and its id is returned.
pub(super) fn take_node(take: &mut Take<'_>, owners: Owners<'_>, root: bool) -> Decoded<(Node, XattrsId)> {
    let name = take.str("node name")?.to_vec();
    if !(root && name.is_empty() || valid_name(&name)) {
        return Err(take.error("node name", "not a name that a directory can hold"));
    }
    let kind = take.u8("node kind")?;
    let flags = take.u16("node flags")?;
    if flags >= 2 * FIELDS {
        return Err(take.unknown("node flags"));
    }
    if flags & XATTRS != 0 && flags & XATTRS_BY_ID != 0 || flags & LINKED != 0 && kind != 1 {
        return Err(take.error("node flags", "contradictory"));
    }
    let mode = take.u16("mode")?;
    if mode > 0o7777 {
        return Err(take.error("mode", "more than permission bits"));
    }
    let owner = owners.take(take)?;
    let group = owners.take(take)?;
    let mtime = take.time("mtime")?;
    let file_flags = take.u32("file flags")?;
    if file_flags & !FILE_FLAGS != 0 {
        return Err(take.unknown("file flags"));
    }
    let kind = take_kind(take, kind, flags & LINKED != 0)?;
    let mut xattrs = Vec::new();
    let mut by_id = None;
    if flags & XATTRS != 0 {
        let start = take.offset();
        xattrs = take_xattrs(take)?;
        if xattrs.is_empty() || take.offset() - start > INLINE_XATTRS {
            return Err(take.error("xattrs", "none, or too long to stand in a node"));
        }
    } else if flags & XATTRS_BY_ID != 0 {
        by_id = Some(ObjectId::from_bytes(take.id("xattrs id")?));
    }
    if flags & FIELDS != 0 {
        skip_node_fields(take)?;
    }
    if let NodeKind::File { content, .. } = &kind
        && (*content == Content::Missing) != (flags & MISSING != 0)
    {
        return Err(take.error("node flags", "content missing and not, or the other way round"));
    }
    let attributes = Attributes { mode, owner, group, mtime, file_flags, xattrs };
    let has = |bit| flags & bit != 0;
    let node = Node { name, implied: has(IMPLIED), changed: has(CHANGED), missing: has(MISSING), attributes, kind };
    Ok((node, by_id))
}

fn take_kind(take: &mut Take<'_>, kind: u8, linked: bool) -> Decoded<NodeKind> {
    Ok(match kind {
        1 => {
            let size = take.u64("size")?;
            let chunker = take.u8("chunker")?;
            let log2 = take.u8("chunk size")?;
            let chunking = match (chunker, log2) {
                (0, 0) => Chunking::None,
                (1, 8..=24) => Chunking::ContentDefined(log2),
                (2, 8..=24) => Chunking::Fixed(log2),
                (0..=2, _) => return Err(take.error("chunk size", "out of range")),
                // How it was cut says nothing about how to read it.
                _ => Chunking::Unknown { chunker, log2 },
            };
            let content = match take.u8("content")? {
                0 if size == 0 => Content::Empty,
                1 if size > 0 && size <= OBJECT_LIMIT as u64 => {
                    Content::Chunk(ObjectId::from_bytes(take.id("content id")?))
                }
                2 if size > 0 => Content::List(ObjectId::from_bytes(take.id("content id")?)),
                3 => Content::Missing,
                0..=2 => return Err(take.error("content", "not what the size says")),
                _ => return Err(take.unknown("content")),
            };
            let link = if linked { Some(take.array("link")?) } else { None };
            NodeKind::File { size, chunking, content, link }
        }
        2 => NodeKind::Directory { tree: ObjectId::from_bytes(take.id("tree id")?) },
        3 => NodeKind::Symlink { target: take.str("target")?.to_vec() },
        4 => NodeKind::Fifo,
        5 => NodeKind::CharDevice { major: take.u32("major")?, minor: take.u32("minor")? },
        6 => NodeKind::BlockDevice { major: take.u32("major")?, minor: take.u32("minor")? },
        _ => return Err(take.unknown("node kind")),
    })
}

/// What later versions say of a node: at least one field, ascending by tag, so that there is one form of it.
fn skip_node_fields(take: &mut Take<'_>) -> Decoded<()> {
    let mut region = take.clone();
    skip_fields(take)?;
    let mut fields = Take::new(region.blob("fields")?);
    let mut last = None;
    while fields.remaining() > 0 {
        let tag = fields.u16("field tag")?;
        fields.blob("field")?;
        if last.replace(tag).is_some_and(|last| last >= tag) {
            return Err(fields.error("field tag", "not ascending"));
        }
    }
    if last.is_none() { Err(take.error("fields", "none")) } else { Ok(()) }
}

/// Whether a directory can hold this name: what is not cannot be restored and is refused when read.
pub fn valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.iter().any(|&byte| byte == b'/' || byte == 0)
}

/// An attribute set.
pub fn encode_xattrs(xattrs: &[Xattr]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u16(u16::try_from(xattrs.len()).unwrap_or(u16::MAX));
    for xattr in xattrs.iter().take(usize::from(u16::MAX)) {
        out.put_str(&xattr.name);
        out.put_blob(&xattr.value);
    }
    out
}

/// Decodes an attribute set that is an object of its own.
pub fn decode_xattrs(bytes: &[u8]) -> Decoded<Vec<Xattr>> {
    let mut take = Take::new(bytes);
    let xattrs = take_xattrs(&mut take)?;
    take.end("attribute set")?;
    if bytes.len() <= INLINE_XATTRS {
        return Err(take.error("attribute set", "so short that it would stand in the node"));
    }
    Ok(xattrs)
}

fn take_xattrs(take: &mut Take<'_>) -> Decoded<Vec<Xattr>> {
    let count = take.short_count(6, "xattrs")?;
    let mut xattrs: Vec<Xattr> = Vec::with_capacity(count);
    for _ in 0..count {
        let name = take.str("xattr name")?.to_vec();
        let value = take.blob("xattr value")?.to_vec();
        if name.contains(&0) || xattrs.last().is_some_and(|last| last.name >= name) {
            return Err(take.error("xattr name", "not ascending"));
        }
        xattrs.push(Xattr { name, value });
    }
    Ok(xattrs)
}
