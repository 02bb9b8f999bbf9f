//! Content lists: what a file's bytes are made of (docs/format.md §7).

use crate::codec::{Decoded, Put, Take};
use crate::format::{LEVELS, OBJECT_LIMIT, PART_ENTRIES, VERSION};
use crate::id::ObjectId;

/// A run of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A stored chunk.
    Chunk {
        /// Its id.
        id: ObjectId,
        /// Its length.
        length: u32,
    },
    /// Zeros that were allocated.
    Zeros(u64),
    /// Nothing was allocated.
    Hole(u64),
}

impl Extent {
    /// How many of the file's bytes it stands for.
    pub fn length(&self) -> u64 {
        match self {
            Self::Chunk { length, .. } => u64::from(*length),
            Self::Zeros(length) | Self::Hole(length) => *length,
        }
    }
}

/// A part of a file's content, or a list of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// Extents in order.
    Leaf(Vec<Extent>),
    /// Parts of level `level − 1` in order.
    Branch {
        /// 1 or more.
        level: u8,
        /// The parts: bytes covered, and list.
        parts: Vec<(u64, ObjectId)>,
    },
}

impl List {
    /// Its level; 0 for a leaf.
    pub fn level(&self) -> u8 {
        if let Self::Branch { level, .. } = self { *level } else { 0 }
    }

    /// How many of the file's bytes it covers.
    pub fn covered(&self) -> u64 {
        self.lengths().fold(0, u64::saturating_add)
    }

    fn lengths(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        match self {
            Self::Leaf(extents) => Box::new(extents.iter().map(Extent::length)),
            Self::Branch { parts, .. } => Box::new(parts.iter().map(|(covered, _)| *covered)),
        }
    }

    /// The same; `None` if it is more than can be said, or an item covers nothing, or there is none.
    fn sum(&self) -> Option<u64> {
        let sum = self.lengths().try_fold(0u64, |sum, length| sum.checked_add(length).filter(|_| length > 0));
        sum.filter(|sum| *sum > 0)
    }

    /// The object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(VERSION);
        let (level, count) = match self {
            Self::Leaf(extents) => (0, extents.len()),
            Self::Branch { level, parts } => (*level, parts.len()),
        };
        out.put_u8(level);
        out.put_u16(0);
        out.put_count(count);
        out.put_u64(self.covered());
        match self {
            Self::Leaf(extents) => put_extents(extents, &mut out),
            Self::Branch { parts, .. } => {
                for (covered, id) in parts {
                    out.put_u64(*covered);
                    out.put(id.as_bytes());
                }
            }
        }
        out
    }

    /// From an object's bytes.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        if take.u8("list version")? != VERSION {
            return Err(take.unknown("list version"));
        }
        let level = take.u8("list level")?;
        take.zeros(2, "reserved")?;
        if level > LEVELS {
            return Err(take.error("list level", "too high"));
        }
        let item = if level == 0 { 9 } else { 40 };
        let count = {
            let mut ahead = take.clone();
            let count = ahead.u32("count")? as usize;
            if count > PART_ENTRIES || count.saturating_mul(item) > ahead.remaining().saturating_sub(8) {
                return Err(take.error("count", "more items than the record holds, or than a list may have"));
            }
            take.u32("count")?;
            count
        };
        let covered = take.u64("bytes covered")?;
        let list = if level == 0 {
            Self::Leaf(take_extents(&mut take, count)?)
        } else {
            let part =
                |take: &mut Take<'_>| Ok((take.u64("bytes covered")?, ObjectId::from_bytes(take.id("list id")?)));
            Self::Branch { level, parts: (0..count).map(|_| part(&mut take)).collect::<Decoded<_>>()? }
        };
        take.end("list")?;
        // Each item covers something, so that a file of some size has no more items than bytes, however lists name each other.
        if list.sum() != Some(covered) {
            return Err(take.error("bytes covered", "not the sum of the parts, or a part of none"));
        }
        Ok(list)
    }
}

/// Kinds and lengths first, ids behind them: what compresses stands together.
fn put_extents(extents: &[Extent], out: &mut Vec<u8>) {
    for extent in extents {
        out.put_u8(match extent {
            Extent::Chunk { .. } => 1,
            Extent::Zeros(_) => 2,
            Extent::Hole(_) => 3,
        });
        out.put_u64(extent.length());
    }
    for extent in extents {
        if let Extent::Chunk { id, .. } = extent {
            out.put(id.as_bytes());
        }
    }
}

fn take_extents(take: &mut Take<'_>, count: usize) -> Decoded<Vec<Extent>> {
    let mut extents = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = take.u8("extent kind")?;
        let length = take.u64("extent length")?;
        let chunk = u32::try_from(length).ok().filter(|&length| length as usize <= OBJECT_LIMIT);
        extents.push(match (kind, chunk) {
            (1, Some(length)) => Extent::Chunk { id: ObjectId::zero(), length },
            (2, _) => Extent::Zeros(length),
            (3, _) => Extent::Hole(length),
            (1, None) => return Err(take.error("extent length", "a chunk that is too long")),
            _ => return Err(take.unknown("extent kind")),
        });
    }
    let are_one =
        |pair: &[Extent]| matches!(pair, [Extent::Zeros(_), Extent::Zeros(_)] | [Extent::Hole(_), Extent::Hole(_)]);
    if extents.windows(2).any(are_one) {
        return Err(take.error("extent kind", "zeros or holes side by side, which are one"));
    }
    for extent in &mut extents {
        if let Extent::Chunk { id, .. } = extent {
            *id = ObjectId::from_bytes(take.id("chunk id")?);
        }
    }
    Ok(extents)
}
