//! Directories while they are put together: parts fill up as their files finish, on any thread, and the last one to finish
//! encodes the tree and hands it to the directory above.
//!
//! Only the parts that are still waiting for a file are in memory, so a directory of a million entries costs a few hundred of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::format::OBJECT_LIMIT;
use crate::format::node::{INLINE_XATTRS, XattrsId, encode_xattrs};
use crate::format::split::{SplitRule, split};
use crate::format::stamp::{NodeStamp, StampBody, Stamps};
use crate::format::tree::{Tree, TreePart};
use crate::id::ObjectId;
use crate::meta::{Node, NodeKind, Stamp};
use crate::ops::content::level_above;
use crate::ops::create::run::Run;
use crate::sync::lock;

/// An entry with everything that its tree and its stamps say of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) node: Node,
    /// Object of its long attributes, if it has any; then `node` holds none.
    pub(super) xattrs: XattrsId,
    /// What change detection may believe of it.
    pub(super) stamp: Option<Stamp>,
    /// Stamps of its tree, if it is a directory.
    pub(super) stamps: Option<ObjectId>,
}

/// A directory that is not complete.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where its tree goes; `None` at the root.
    above: Option<Place>,
    state: Mutex<DirectoryState>,
    /// Parts that are not complete, and one for the walk itself.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct DirectoryState {
    parts: Vec<Option<(TreePart, ObjectId)>>,
}

/// A run of entries that becomes one leaf.
#[derive(Debug)]
pub(super) struct Part {
    directory: Arc<Directory>,
    number: usize,
    entries: Mutex<Vec<Option<Entry>>>,
    /// Entries that are not complete, and one for the walk itself.
    waiting: AtomicUsize,
}

/// An entry that will come: which place in which part.
#[derive(Clone, Debug)]
pub(super) struct Place {
    part: Arc<Part>,
    at: usize,
}

/// The tree of the root, when all is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct RootTree {
    pub(super) tree: ObjectId,
    pub(super) stamps: ObjectId,
}

/// The walk's end of a directory: adds entries in order of their names.
#[derive(Debug)]
pub(super) struct DirectoryWriter {
    directory: Arc<Directory>,
    open: Option<Arc<Part>>,
    length: usize,
}

impl DirectoryWriter {
    /// A directory whose tree goes to `above`.
    pub(super) fn new(above: Option<Place>) -> Self {
        let directory = Directory { above, state: Mutex::default(), waiting: AtomicUsize::new(1) };
        Self { directory: Arc::new(directory), open: None, length: 0 }
    }

    /// Reserves the place of the next entry.
    pub(super) fn reserve(&mut self, run: &Run<'_>, name: &[u8]) -> Result<Place> {
        let part = match self.open.take() {
            Some(part) => part,
            None => self.directory.new_part(),
        };
        let at = {
            let mut entries = lock(&part.entries);
            entries.push(None);
            entries.len() - 1
        };
        part.waiting.fetch_add(1, Ordering::Relaxed);
        self.length += 1;
        let hash = run.repository.ring().name_hash(name);
        if run.repository.profile().tree_split.cuts(self.length, Some(&hash)) {
            self.length = 0;
            Part::release(&part, run)?;
        } else {
            self.open = Some(Arc::clone(&part));
        }
        Ok(Place { part, at })
    }

    /// All entries have been reserved.
    pub(super) fn finish(self, run: &Run<'_>) -> Result<()> {
        if let Some(part) = self.open {
            Part::release(&part, run)?;
        }
        Directory::release(&self.directory, run)
    }
}

impl Place {
    /// The entry is complete.
    pub(super) fn fill(self, run: &Run<'_>, entry: Entry) -> Result<()> {
        self.put(Some(entry))?;
        Part::release(&self.part, run)
    }

    /// The entry vanished: there is nothing to say of it.
    pub(super) fn vanish(self, run: &Run<'_>) -> Result<()> {
        Part::release(&self.part, run)
    }

    fn put(&self, entry: Option<Entry>) -> Result<()> {
        let mut entries = lock(&self.part.entries);
        *entries.get_mut(self.at).ok_or_else(|| Error::Internal("an entry without a place".to_owned()))? = entry;
        Ok(())
    }

    /// Puts a directory's attributes; its tree comes later.
    pub(super) fn prepare(&self, entry: Entry) -> Result<()> {
        self.put(Some(entry))
    }

    fn take_tree(&self, tree: RootTree) -> Result<()> {
        let mut entries = lock(&self.part.entries);
        let entry = entries.get_mut(self.at).and_then(Option::as_mut);
        let entry = entry.ok_or_else(|| Error::Internal("a tree without its directory".to_owned()))?;
        entry.node.kind = NodeKind::Directory { tree: tree.tree };
        entry.stamps = Some(tree.stamps);
        Ok(())
    }
}

impl Part {
    /// Lets go of one claim; the last one encodes the part, and whatever that completes above it. A loop, because trees can be deep.
    fn release(part: &Arc<Self>, run: &Run<'_>) -> Result<()> {
        let mut part = Arc::clone(part);
        while part.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            part.encode(run)?;
            let Some(above) = Directory::complete(&part.directory, run)? else { break };
            part = above;
        }
        Ok(())
    }

    fn encode(&self, run: &Run<'_>) -> Result<()> {
        let entries = std::mem::take(&mut *lock(&self.entries));
        let entries: Vec<Entry> = entries.into_iter().flatten().collect();
        let encoded = if entries.is_empty() { None } else { Some(encode_leaf(run, entries)?) };
        let mut state = lock(&self.directory.state);
        if let Some(place) = state.parts.get_mut(self.number) {
            *place = encoded;
        }
        Ok(())
    }
}

impl Directory {
    fn new_part(self: &Arc<Self>) -> Arc<Part> {
        let mut state = lock(&self.state);
        state.parts.push(None);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Arc::new(Part {
            directory: Arc::clone(self),
            number: state.parts.len() - 1,
            entries: Mutex::default(),
            waiting: AtomicUsize::new(1),
        })
    }

    fn release(directory: &Arc<Self>, run: &Run<'_>) -> Result<()> {
        match Self::complete(directory, run)? {
            Some(above) => Part::release(&above, run),
            None => Ok(()),
        }
    }

    /// Lets go of one claim; the last one builds the tree and puts it into the part above, which is returned to be released.
    fn complete(directory: &Arc<Self>, run: &Run<'_>) -> Result<Option<Arc<Part>>> {
        if directory.waiting.fetch_sub(1, Ordering::AcqRel) != 1 {
            return Ok(None);
        }
        let parts = std::mem::take(&mut lock(&directory.state).parts);
        let tree = build(run, parts.into_iter().flatten().collect())?;
        if let Some(place) = &directory.above {
            place.take_tree(tree)?;
            Ok(Some(Arc::clone(&place.part)))
        } else {
            run.set_root(tree);
            Ok(None)
        }
    }
}

fn encode_leaf(run: &Run<'_>, entries: Vec<Entry>) -> Result<(TreePart, ObjectId)> {
    let first = entries.first().map(|entry| entry.node.name.clone()).unwrap_or_default();
    let count = entries.len() as u64;
    let stamps = entries.iter().map(|entry| NodeStamp { stamp: entry.stamp, directory: entry.stamps }).collect();
    let tree = Tree::Leaf(entries.into_iter().map(|entry| (entry.node, entry.xattrs)).collect());
    let id = run.put_meta(&tree.encode())?;
    let stamps = run.put_meta(&Stamps { tree: id, body: StampBody::Leaf(stamps) }.encode())?;
    Ok((TreePart { first, entries: count, id }, stamps))
}

/// Attributes that are too long to stand in the node become an object.
pub(super) fn store_long_xattrs(run: &Run<'_>, path: &[u8], entry: &mut Entry) -> Result<()> {
    let xattrs = &entry.node.attributes.xattrs;
    if xattrs.is_empty() {
        return Ok(());
    }
    let encoded = encode_xattrs(xattrs);
    if encoded.len() > OBJECT_LIMIT || xattrs.len() > usize::from(u16::MAX) {
        run.warn(path, "its extended attributes are not archived: together they are longer than 16 MiB");
        entry.node.attributes.xattrs = Vec::new();
    } else if encoded.len() > INLINE_XATTRS {
        entry.xattrs = Some(run.put_meta(&encoded)?);
        entry.node.attributes.xattrs = Vec::new();
    }
    Ok(())
}

/// Parts into branches until one is left.
fn build(run: &Run<'_>, parts: Vec<(TreePart, ObjectId)>) -> Result<RootTree> {
    let rule: SplitRule = run.repository.profile().tree_split;
    let mut parts = parts;
    let mut level = 0;
    while parts.len() > 1 {
        level = level_above(level)?;
        let groups = split(rule, parts, |(part, _)| Some(run.repository.ring().name_hash(&part.first)));
        parts = groups.into_iter().map(|group| encode_branch(run, level, group)).collect::<Result<_>>()?;
    }
    if let Some((part, stamps)) = parts.into_iter().next() {
        Ok(RootTree { tree: part.id, stamps })
    } else {
        let tree = run.put_meta(&Tree::Leaf(Vec::new()).encode())?;
        let stamps = run.put_meta(&Stamps { tree, body: StampBody::Leaf(Vec::new()) }.encode())?;
        Ok(RootTree { tree, stamps })
    }
}

fn encode_branch(run: &Run<'_>, level: u8, group: Vec<(TreePart, ObjectId)>) -> Result<(TreePart, ObjectId)> {
    let first = group.first().map(|(part, _)| part.first.clone()).unwrap_or_default();
    let entries = group.iter().map(|(part, _)| part.entries).sum();
    let (parts, stamps): (Vec<TreePart>, Vec<ObjectId>) = group.into_iter().unzip();
    let id = run.put_meta(&Tree::Branch { level, parts }.encode())?;
    let stamps = run.put_meta(&Stamps { tree: id, body: StampBody::Branch { level, parts: stamps } }.encode())?;
    Ok((TreePart { first, entries, id }, stamps))
}
