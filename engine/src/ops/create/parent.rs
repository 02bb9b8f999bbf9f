//! The archive that this one is compared with: its trees and stamps, read side by side in order of names.

use std::collections::VecDeque;

use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::node::XattrsId;
use crate::format::stamp::{NodeStamp, StampBody, Stamps};
use crate::format::tree::Tree;
use crate::id::ObjectId;
use crate::meta::{Content, Node, NodeKind};
use crate::ops::create::FilesCache;
use crate::repository::Reader;
use crate::source::Stat;

/// An entry of the parent.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) node: Node,
    pub(super) xattrs: XattrsId,
    pub(super) stamp: NodeStamp,
}

/// A directory of the parent, from its first entry to its last, one leaf in memory at a time.
#[derive(Debug)]
pub(super) struct ParentDirectory {
    /// Trees still to be read, with their stamps; the next one last.
    ahead: Vec<(ObjectId, Option<ObjectId>)>,
    leaf: VecDeque<Before>,
}

impl ParentDirectory {
    /// Nothing is known: every entry is new.
    pub(super) fn unknown() -> Self {
        Self { ahead: Vec::new(), leaf: VecDeque::new() }
    }

    /// The directory with this tree; without stamps nothing in it is believed.
    pub(super) fn new(tree: ObjectId, stamps: Option<ObjectId>) -> Self {
        Self { ahead: vec![(tree, stamps.filter(|id| !id.is_zero()))], leaf: VecDeque::new() }
    }

    /// The entry with this name. Names must be asked for in ascending order.
    ///
    /// A tree or stamp that cannot be read is as if it had never been: its files are read again.
    pub(super) fn find(&mut self, reader: &Reader<'_>, name: &[u8]) -> Result<Option<Before>> {
        loop {
            while let Some(first) = self.leaf.front() {
                match first.node.name.as_slice().cmp(name) {
                    std::cmp::Ordering::Less => drop(self.leaf.pop_front()),
                    std::cmp::Ordering::Equal => return Ok(self.leaf.pop_front()),
                    std::cmp::Ordering::Greater => return Ok(None),
                }
            }
            let Some((tree, stamps)) = self.ahead.pop() else { return Ok(None) };
            self.load(reader, tree, stamps)?;
        }
    }

    fn load(&mut self, reader: &Reader<'_>, id: ObjectId, stamps_id: Option<ObjectId>) -> Result<()> {
        let Some(tree) = read(reader, &id, Tree::decode)? else { return Ok(()) };
        let stamps = match stamps_id {
            Some(stamps) => read(reader, &stamps, Stamps::decode)?.filter(|stamps| stamps.tree == id),
            None => None,
        };
        match (tree, stamps.map(|stamps| stamps.body)) {
            (Tree::Leaf(nodes), Some(StampBody::Leaf(stamps))) if stamps.len() == nodes.len() => {
                self.leaf = nodes
                    .into_iter()
                    .zip(stamps)
                    .map(|((node, xattrs), stamp)| Before { node, xattrs, stamp })
                    .collect();
            }
            (Tree::Leaf(nodes), _) => {
                let none = NodeStamp { stamp: None, directory: None };
                self.leaf = nodes.into_iter().map(|(node, xattrs)| Before { node, xattrs, stamp: none }).collect();
            }
            (Tree::Branch { parts, .. }, Some(StampBody::Branch { parts: stamps, .. }))
                if stamps.len() == parts.len() =>
            {
                self.ahead.extend(parts.into_iter().zip(stamps).rev().map(|(part, stamps)| (part.id, Some(stamps))));
            }
            (Tree::Branch { parts, .. }, _) => {
                self.ahead.extend(parts.into_iter().rev().map(|part| (part.id, None)));
            }
        }
        Ok(())
    }
}

/// An object of the parent, or nothing if it is lost: that costs a full read and no data.
fn read<T>(reader: &Reader<'_>, id: &ObjectId, decode: fn(&[u8]) -> crate::codec::Decoded<T>) -> Result<Option<T>> {
    match reader.object(Purpose::Meta, id) {
        Ok(bytes) => Ok(decode(&bytes).ok()),
        Err(Error::ObjectMissing { .. } | Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the parent has in a directory.
pub(super) fn parent_below(before: Option<&Before>) -> ParentDirectory {
    match before {
        Some(Before { node: Node { kind: NodeKind::Directory { tree }, .. }, stamp, .. }) => {
            ParentDirectory::new(*tree, stamp.directory)
        }
        _ => ParentDirectory::unknown(),
    }
}

/// Whether neither content nor attributes can have changed.
pub(super) fn same_status(before: &Before, stat: &Stat) -> bool {
    before.stamp.stamp == Some(stat.stamp()) && !before.node.missing
}

/// Whether the content is believed to be the parent's.
pub(super) fn unchanged(cache: FilesCache, before: &Before, stat: &Stat) -> bool {
    let Some(stamp) = before.stamp.stamp else { return false };
    let NodeKind::File { size, content, .. } = before.node.kind else { return false };
    let sound = !before.node.changed && !before.node.missing && content != Content::Missing;
    sound
        && size == stat.size
        && match cache {
            FilesCache::CtimeSizeInode => stamp == stat.stamp(),
            FilesCache::CtimeSize => stamp.ctime == stat.ctime,
            FilesCache::MtimeSize => before.node.attributes.mtime == stat.mtime,
            FilesCache::Disabled => false,
        }
}
