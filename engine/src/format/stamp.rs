//! Stamps: what change detection believes, beside a tree (docs/format.md §7). No restore needs them.

use crate::codec::{Decoded, Put, Take};
use crate::format::{LEVELS, PART_ENTRIES, VERSION};
use crate::id::ObjectId;
use crate::meta::Stamp;

/// The stamps of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// The tree they belong to; with another they mean nothing.
    pub tree: ObjectId,
    /// What they say.
    pub body: StampBody,
}

/// Parallel to the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StampBody {
    /// One a node, in order.
    Leaf(Vec<NodeStamp>),
    /// One stamp object a part, in order.
    Branch {
        /// The tree's level.
        level: u8,
        /// The parts' stamps.
        parts: Vec<ObjectId>,
    },
}

/// What is believed of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStamp {
    /// Inode and ctime, if they may be trusted: `None` means "read it again".
    pub stamp: Option<Stamp>,
    /// For a directory: the stamps of its tree, or zeros.
    pub directory: Option<ObjectId>,
}

const TRUSTED: u8 = 1;
const DIRECTORY: u8 = 2;

impl Stamps {
    /// The object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(VERSION);
        let (level, count) = match &self.body {
            StampBody::Leaf(stamps) => (0, stamps.len()),
            StampBody::Branch { level, parts } => (*level, parts.len()),
        };
        out.put_u8(level);
        out.put_u16(0);
        out.put_count(count);
        out.put(self.tree.as_bytes());
        match &self.body {
            StampBody::Leaf(stamps) => stamps.iter().for_each(|stamp| put_stamp(stamp, &mut out)),
            StampBody::Branch { parts, .. } => parts.iter().for_each(|id| out.put(id.as_bytes())),
        }
        out
    }

    /// From an object's bytes.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        if take.u8("stamp version")? != VERSION {
            return Err(take.unknown("stamp version"));
        }
        let level = take.u8("stamp level")?;
        take.zeros(2, "reserved")?;
        if level > LEVELS {
            return Err(take.error("stamp level", "too high"));
        }
        let count = take.u32("count")? as usize;
        let tree = ObjectId::from_bytes(take.id("tree id")?);
        if count > PART_ENTRIES || count.saturating_mul(if level == 0 { 1 } else { 32 }) > take.remaining() {
            return Err(take.error("count", "more items than the record holds, or than stamps may have"));
        }
        let body = if level == 0 {
            StampBody::Leaf((0..count).map(|_| take_stamp(&mut take)).collect::<Decoded<_>>()?)
        } else {
            let parts = (0..count).map(|_| take.id("stamp id").map(ObjectId::from_bytes)).collect::<Decoded<_>>()?;
            StampBody::Branch { level, parts }
        };
        take.end("stamps")?;
        Ok(Self { tree, body })
    }
}

fn put_stamp(stamp: &NodeStamp, out: &mut Vec<u8>) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.put_u8(flag(stamp.stamp.is_some(), TRUSTED) | flag(stamp.directory.is_some(), DIRECTORY));
    if let Some(stamp) = stamp.stamp {
        out.put_u64(stamp.inode);
        out.put_time(stamp.ctime);
    }
    if let Some(id) = stamp.directory {
        out.put(id.as_bytes());
    }
}

fn take_stamp(take: &mut Take<'_>) -> Decoded<NodeStamp> {
    let flags = take.u8("stamp flags")?;
    if flags > TRUSTED | DIRECTORY {
        return Err(take.unknown("stamp flags"));
    }
    let stamp =
        if flags & TRUSTED != 0 { Some(Stamp { inode: take.u64("inode")?, ctime: take.time("ctime")? }) } else { None };
    let directory = if flags & DIRECTORY != 0 { Some(ObjectId::from_bytes(take.id("stamp id")?)) } else { None };
    Ok(NodeStamp { stamp, directory })
}
