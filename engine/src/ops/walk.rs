//! Walking an archive: its entries in order, and every object that it refers to.

use crate::codec::DecodeError;
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::list::Extent;
use crate::format::manifest::Manifest;
use crate::format::node::{XattrsId, decode_xattrs};
use crate::format::stamp::{StampBody, Stamps};
use crate::format::tree::Tree;
use crate::format::{DEPTH, level_fits};
use crate::id::ObjectId;
use crate::meta::{Content, Node, NodeKind};
use crate::ops::content::{InList, walk_list};
use crate::repository::Reader;

/// The entries of one directory, in order of names, one leaf in memory at a time.
#[derive(Debug)]
pub(crate) struct Entries {
    ahead: Vec<(ObjectId, Option<u8>)>,
    leaf: std::vec::IntoIter<(Node, XattrsId)>,
    /// The last name of the parts that were read.
    last: Option<Vec<u8>>,
}

impl Entries {
    /// Of the directory with this tree.
    pub(crate) fn new(tree: ObjectId) -> Self {
        Self { ahead: vec![(tree, None)], leaf: Vec::new().into_iter(), last: None }
    }

    /// The next entry; `tree` hears the id of every tree that is read on the way.
    pub(crate) fn next(
        &mut self,
        reader: &Reader<'_>,
        tree: &mut dyn FnMut(ObjectId) -> Result<()>,
    ) -> Result<Option<(Node, XattrsId)>> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Ok(Some(entry));
            }
            let Some((id, above)) = self.ahead.pop() else { return Ok(None) };
            tree(id)?;
            let tree =
                Tree::decode(&reader.object(Purpose::Meta, &id)?).map_err(|error| damaged("tree", &id, &error))?;
            if !level_fits(tree.level(), above) {
                let problem = "it is of another level than the tree above says".to_owned();
                return Err(Error::Damaged { file: format!("tree {}", id.to_hex()), problem });
            }
            match tree {
                Tree::Leaf(nodes) => {
                    self.follow(&id, &nodes)?;
                    self.leaf = nodes.into_iter();
                }
                Tree::Branch { level, parts } => {
                    self.ahead.extend(parts.into_iter().rev().map(|part| (part.id, Some(level))));
                }
            }
        }
    }
}

impl Entries {
    /// Names ascend from part to part, so that a directory, however made, holds each once.
    fn follow(&mut self, id: &ObjectId, nodes: &[(Node, XattrsId)]) -> Result<()> {
        let first = nodes.first().map(|(node, _)| &node.name);
        if self.last.is_some() && first <= self.last.as_ref() {
            let problem = "its names do not follow those of the part before it".to_owned();
            return Err(Error::Damaged { file: format!("tree {}", id.to_hex()), problem });
        }
        self.last = nodes.last().map(|(node, _)| node.name.clone());
        Ok(())
    }
}

fn damaged(what: &str, id: &ObjectId, error: &DecodeError) -> Error {
    Error::Damaged { file: format!("{what} {}", id.to_hex()), problem: error.to_string() }
}

/// Gives a node its long attributes.
pub(crate) fn complete_xattrs(reader: &Reader<'_>, node: &mut Node, xattrs: XattrsId) -> Result<()> {
    if let Some(id) = xattrs {
        let bytes = reader.object(Purpose::Meta, &id)?;
        node.attributes.xattrs = decode_xattrs(&bytes).map_err(|error| damaged("attribute set", &id, &error))?;
    }
    Ok(())
}

/// Adds a name to a path; gives the length to truncate to, to take it back.
pub(crate) fn push_name(path: &mut Vec<u8>, name: &[u8]) -> usize {
    let length = path.len();
    if length > 0 {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    length
}

/// Hears of an entry: its path, the node, and the object of its long attributes.
pub(crate) type EachEntry<'a> = dyn FnMut(&[u8], Node, XattrsId) -> Result<()> + 'a;

/// Calls back with every entry below a tree: directories before what is in them. Needs memory for one leaf a level.
pub(crate) fn each_entry(reader: &Reader<'_>, root: ObjectId, each: &mut EachEntry<'_>) -> Result<()> {
    let mut levels = vec![(Entries::new(root), 0)];
    let mut path = Vec::new();
    while let Some((entries, length)) = levels.last_mut() {
        path.truncate(*length);
        let Some((node, xattrs)) = entries.next(reader, &mut |_| Ok(()))? else {
            levels.pop();
            continue;
        };
        push_name(&mut path, &node.name);
        let below = if let NodeKind::Directory { tree } = node.kind { Some(tree) } else { None };
        each(&path, node, xattrs)?;
        if let Some(tree) = below {
            if levels.len() > DEPTH {
                return Err(Error::Damaged {
                    file: format!("tree {}", tree.to_hex()),
                    problem: "directories deeper than 65,536".to_owned(),
                });
            }
            levels.push((Entries::new(tree), path.len()));
        }
    }
    Ok(())
}

/// Calls back with every object that an archive refers to; equal subtrees are walked once each time they occur.
pub(crate) fn each_object(
    reader: &Reader<'_>,
    manifest: &Manifest,
    each: &mut dyn FnMut(Purpose, ObjectId) -> Result<()>,
) -> Result<()> {
    for id in [Some(manifest.warnings).filter(|id| !id.is_zero()), manifest.root_xattrs].into_iter().flatten() {
        each(Purpose::Meta, id)?;
    }
    each_stamp(reader, manifest.root_stamps, each)?;
    let mut levels = vec![Entries::new(manifest.root_tree())];
    while let Some(entries) = levels.last_mut() {
        let Some((node, xattrs)) = entries.next(reader, &mut |id| each(Purpose::Meta, id))? else {
            levels.pop();
            continue;
        };
        if let Some(id) = xattrs {
            each(Purpose::Meta, id)?;
        }
        match node.kind {
            NodeKind::Directory { tree } => levels.push(Entries::new(tree)),
            NodeKind::File { content: Content::Chunk(id), .. } => each(Purpose::Data, id)?,
            NodeKind::File { content: Content::List(id), .. } => {
                walk_list(reader, id, &mut |met| match met {
                    InList::List(list) => each(Purpose::Meta, list),
                    InList::Extent(Extent::Chunk { id, .. }) => each(Purpose::Data, id),
                    InList::Extent(Extent::Zeros(_) | Extent::Hole(_)) => Ok(()),
                })?;
            }
            _ => {}
        }
        if levels.len() > DEPTH {
            return Err(Error::Damaged {
                file: "an archive's tree".to_owned(),
                problem: "directories deeper than 65,536".to_owned(),
            });
        }
    }
    Ok(())
}

fn each_stamp(
    reader: &Reader<'_>,
    root: ObjectId,
    each: &mut dyn FnMut(Purpose, ObjectId) -> Result<()>,
) -> Result<()> {
    let mut ahead = vec![root];
    while let Some(id) = ahead.pop() {
        if id.is_zero() {
            continue;
        }
        each(Purpose::Meta, id)?;
        let stamps =
            Stamps::decode(&reader.object(Purpose::Meta, &id)?).map_err(|error| damaged("stamps", &id, &error))?;
        match stamps.body {
            StampBody::Leaf(stamps) => ahead.extend(stamps.into_iter().filter_map(|stamp| stamp.directory)),
            StampBody::Branch { parts, .. } => ahead.extend(parts),
        }
    }
    Ok(())
}
