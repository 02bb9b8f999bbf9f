//! Trees: the entries of a directory, split into parts by content (docs/format.md §7).

use crate::codec::{Decoded, Put, Take};
use crate::format::node::{Owners, XattrsId, put_node, put_owner, take_node, take_owner};
use crate::format::{LEVELS, PART_ENTRIES, VERSION};
use crate::id::ObjectId;
use crate::meta::{Attributes, Node, Owner};

/// A part of a directory, or a list of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Entries, ascending by name, each with the object of its long attributes if it has any.
    Leaf(Vec<(Node, XattrsId)>),
    /// Parts of level `level − 1`, in order.
    Branch {
        /// 1 or more.
        level: u8,
        /// The parts.
        parts: Vec<TreePart>,
    },
}

/// One part in a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePart {
    /// Name of its first entry.
    pub first: Vec<u8>,
    /// Entries in it and below.
    pub entries: u64,
    /// Its tree.
    pub id: ObjectId,
}

impl Tree {
    /// Its level; 0 for a leaf.
    pub fn level(&self) -> u8 {
        if let Self::Branch { level, .. } = self { *level } else { 0 }
    }

    /// The object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(VERSION);
        match self {
            Self::Leaf(nodes) => {
                out.put_u8(0);
                out.put_u16(0);
                out.put_count(nodes.len());
                put_leaf(nodes, &mut out);
            }
            Self::Branch { level, parts } => {
                out.put_u8(*level);
                out.put_u16(0);
                out.put_count(parts.len());
                for part in parts {
                    out.put_str(&part.first);
                    out.put_u64(part.entries);
                    out.put(part.id.as_bytes());
                }
            }
        }
        out
    }

    /// From an object's bytes.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        if take.u8("tree version")? != VERSION {
            return Err(take.unknown("tree version"));
        }
        let level = take.u8("tree level")?;
        if level > LEVELS {
            return Err(take.error("tree level", "too high"));
        }
        if take.u16("tree flags")? != 0 {
            return Err(take.unknown("tree flags"));
        }
        let tree = if level == 0 {
            Self::Leaf(take_leaf(&mut take)?)
        } else {
            Self::Branch { level, parts: take_parts(&mut take)? }
        };
        take.end("tree")?;
        Ok(tree)
    }
}

fn put_leaf(nodes: &[(Node, XattrsId)], out: &mut Vec<u8>) {
    let mut table: Vec<Owner> =
        nodes.iter().flat_map(|(node, _)| [&node.attributes.owner, &node.attributes.group]).cloned().collect();
    table.sort_unstable();
    table.dedup();
    out.put_u16(u16::try_from(table.len()).unwrap_or(u16::MAX));
    for owner in &table {
        put_owner(owner, out);
    }
    for (node, xattrs) in nodes {
        put_node(node, *xattrs, Owners::Table(&table), out);
    }
}

fn take_leaf(take: &mut Take<'_>) -> Decoded<Vec<(Node, XattrsId)>> {
    // A FIFO with a name of one byte.
    const LEAST_NODE: usize = 28;
    let count = take.u32("entries")? as usize;
    let owners = take.short_count(6, "owners")?;
    let table = (0..owners).map(|_| take_owner(take)).collect::<Decoded<Vec<_>>>()?;
    if !table.is_sorted_by(|a, b| a < b) {
        return Err(take.error("owners", "not ascending"));
    }
    if count > PART_ENTRIES || count.saturating_mul(LEAST_NODE) > take.remaining() {
        return Err(take.error("entries", "more than the record holds, or than a tree may have"));
    }
    let mut nodes: Vec<(Node, XattrsId)> = Vec::with_capacity(count);
    let mut used = vec![false; table.len()];
    for _ in 0..count {
        let node = take_node(take, Owners::Table(&table), false)?;
        let Attributes { owner, group, .. } = &node.0.attributes;
        for owner in [owner, group] {
            if let Some(used) = table.binary_search(owner).ok().and_then(|at| used.get_mut(at)) {
                *used = true;
            }
        }
        if nodes.last().is_some_and(|(last, _)| last.name >= node.0.name) {
            return Err(take.error("node name", "not ascending"));
        }
        nodes.push(node);
    }
    if used.contains(&false) {
        return Err(take.error("owners", "one that no entry has"));
    }
    Ok(nodes)
}

fn take_parts(take: &mut Take<'_>) -> Decoded<Vec<TreePart>> {
    let count = take.count(42, "parts")?;
    if count > PART_ENTRIES {
        return Err(take.error("parts", "more than a tree may have"));
    }
    let mut parts: Vec<TreePart> = Vec::with_capacity(count);
    for _ in 0..count {
        let first = take.str("first name")?.to_vec();
        let entries = take.u64("entries below")?;
        let id = ObjectId::from_bytes(take.id("part id")?);
        if parts.last().is_some_and(|last| last.first >= first) {
            return Err(take.error("first name", "not ascending"));
        }
        parts.push(TreePart { first, entries, id });
    }
    if parts.is_empty() {
        return Err(take.error("parts", "none"));
    }
    Ok(parts)
}
