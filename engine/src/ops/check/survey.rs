//! All archives at once, on all cores: whether anything is wrong with any of them. Nearly always nothing is, and then nobody needs to know
//! which path needs which object; trace.rs finds that out, one archive after another.
//!
//! Every tree, list and stamp is read once, whoever needs it: also parts of directories and files, most of which are the same from night to
//! night. What was seen is a bit for each slot of the index.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use rayon::Scope;

use super::Lost;
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::list::{Extent, List};
use crate::format::node::XattrsId;
use crate::format::references::{ObjectKind, references};
use crate::format::tree::Tree;
use crate::format::{DEPTH, LEVELS, level_fits};
use crate::id::ObjectId;
use crate::meta::{Content, Node, NodeKind};
use crate::progress::{Counters, Monitor};
use crate::repository::{Archive, Reader, Slots};
use crate::sync::{self, lock};

/// Whether these archives can be restored from what the index names, apart from what is `lost`: then how many objects they refer to.
/// `None` if something is wrong.
///
/// # Errors
/// The user asked to stop.
pub(super) fn sound_objects(
    reader: &Reader<'_>,
    archives: &[Archive],
    lost: &Lost,
    jobs: Option<usize>,
    monitor: &dyn Monitor,
) -> Result<Option<u64>> {
    let slots = reader.index().slot_table();
    let bits = || Bits::new(slots.len());
    let each_level = || (0..=LEVELS).map(|_| bits()).collect();
    let survey = Survey {
        reader,
        lost,
        monitor,
        held: bits(),
        trees: each_level(),
        lists: each_level(),
        stamps: bits(),
        lengths: Mutex::default(),
        slots,
        objects: AtomicU64::new(0),
        tasks: AtomicUsize::new(0),
        is_wrong: AtomicBool::new(false),
        is_interrupted: AtomicBool::new(false),
    };
    // The last is taken first: the oldest archive, from which the others differ.
    let ahead: Vec<Ahead<'_>> = archives.iter().rev().map(Ahead::Archive).collect();
    if sync::is_simulated() {
        survey.walk(None, ahead);
    } else {
        sync::pool(jobs)?.scope(|scope| survey.walk(Some(scope), ahead));
    }
    if survey.is_interrupted.into_inner() {
        return Err(Error::Interrupted);
    }
    Ok((!survey.is_wrong.into_inner()).then_some(survey.objects.into_inner()))
}

/// What is to be walked.
#[derive(Clone, Copy)]
enum Ahead<'a> {
    Archive(&'a Archive),
    /// A tree: of a directory, or a part of one that the tree above has cut into parts. How deep the directory lies.
    Tree {
        id: ObjectId,
        above: Option<u8>,
        depth: usize,
    },
    /// A content list, or a part of one, and how much of a file it must cover.
    List {
        id: ObjectId,
        above: Option<u8>,
        length: u64,
    },
    Stamps(ObjectId),
}

impl Ahead<'_> {
    fn id(&self) -> ObjectId {
        match self {
            Self::Archive(_) => ObjectId::zero(),
            Self::Tree { id, .. } | Self::List { id, .. } | Self::Stamps(id) => *id,
        }
    }
}

struct Survey<'a> {
    reader: &'a Reader<'a>,
    lost: &'a Lost,
    monitor: &'a dyn Monitor,
    slots: Slots,
    /// Objects that have a copy.
    held: Bits,
    /// Objects that were walked as what they are, which is for those to say who refer to one: trees and lists by the level above,
    /// 0 if there is none.
    trees: Vec<Bits>,
    lists: Vec<Bits>,
    stamps: Bits,
    /// How much of a file each list must cover: one that stands in several files covers the same of each.
    lengths: Mutex<HashMap<usize, u64>>,
    objects: AtomicU64,
    /// Walks that are under way.
    tasks: AtomicUsize,
    is_wrong: AtomicBool,
    is_interrupted: AtomicBool,
}

impl<'a> Survey<'a> {
    /// Walks what is ahead, deep before wide. Half of it, what was found first, goes to whoever has nothing to do.
    fn walk<'s>(&'s self, scope: Option<&Scope<'s>>, mut ahead: Vec<Ahead<'s>>) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        while let Some(next) = ahead.pop() {
            if self.is_wrong.load(Ordering::Relaxed) || self.is_interrupted.load(Ordering::Relaxed) {
                break;
            }
            let behind = ahead.len();
            let walked = self.take(next, &mut ahead);
            self.sort(ahead.get_mut(behind..).unwrap_or_default());
            match walked {
                Ok(()) => {}
                Err(Error::Interrupted) => self.is_interrupted.store(true, Ordering::Relaxed),
                Err(_) => self.is_wrong.store(true, Ordering::Relaxed),
            }
            if let Some(scope) = scope
                && ahead.len() > 1
                && self.tasks.load(Ordering::Relaxed) < rayon::current_num_threads()
            {
                let kept = ahead.split_off(ahead.len() / 2);
                let given = std::mem::replace(&mut ahead, kept);
                scope.spawn(move |scope| self.walk(Some(scope), given));
            }
        }
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }

    fn take(&self, next: Ahead<'a>, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        if self.monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        match next {
            Ahead::Archive(archive) => self.archive(archive, ahead),
            Ahead::Tree { id, above, depth } => self.tree(id, above, depth, ahead),
            Ahead::List { id, above, length } => self.list(id, above, length, ahead),
            Ahead::Stamps(id) => self.stamps(id, ahead),
        }
    }

    /// In the order in which they stand in packs: so each block is opened about once.
    fn sort(&self, ahead: &mut [Ahead<'_>]) {
        let index = self.reader.index();
        ahead.sort_by_cached_key(|ahead| {
            index.copies(&ahead.id()).first().map(|location| (location.pack, location.offset, location.position))
        });
    }

    fn archive(&self, archive: &Archive, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        let manifest = &archive.manifest;
        for id in [Some(manifest.warnings).filter(|id| !id.is_zero()), manifest.root_xattrs].into_iter().flatten() {
            self.hold(&id)?;
        }
        self.meet(Ahead::Stamps(manifest.root_stamps), ahead)?;
        self.meet(Ahead::Tree { id: manifest.root_tree(), above: None, depth: 1 }, ahead)
    }

    fn tree(&self, id: ObjectId, above: Option<u8>, depth: usize, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        let tree = Tree::decode(&self.reader.object(Purpose::Meta, &id)?).map_err(|_| wrong(&id))?;
        if !level_fits(tree.level(), above) || depth > DEPTH {
            return Err(wrong(&id));
        }
        match tree {
            Tree::Branch { level, parts } => {
                let above = Some(level);
                parts.into_iter().try_for_each(|part| self.meet(Ahead::Tree { id: part.id, above, depth }, ahead))
            }
            Tree::Leaf(nodes) => nodes.iter().try_for_each(|(node, xattrs)| self.node(node, *xattrs, depth, ahead)),
        }
    }

    fn node(&self, node: &Node, xattrs: XattrsId, depth: usize, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        if let Some(counters) = self.monitor.counters() {
            Counters::add(&counters.entries, 1);
        }
        if let Some(id) = xattrs {
            self.hold(&id)?;
        }
        match node.kind {
            NodeKind::Directory { tree: id } => self.meet(Ahead::Tree { id, above: None, depth: depth + 1 }, ahead),
            NodeKind::File { content: Content::Chunk(id), .. } => self.hold(&id).map(drop),
            NodeKind::File { content: Content::List(id), size: length, .. } => {
                self.meet(Ahead::List { id, above: None, length }, ahead)
            }
            _ => Ok(()),
        }
    }

    fn list(&self, id: ObjectId, above: Option<u8>, length: u64, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        let list = List::decode(&self.reader.object(Purpose::Meta, &id)?).map_err(|_| wrong(&id))?;
        if !level_fits(list.level(), above) || list.covered() != length {
            return Err(wrong(&id));
        }
        match list {
            List::Branch { level, parts } => {
                let above = Some(level);
                parts.into_iter().try_for_each(|(length, id)| self.meet(Ahead::List { id, above, length }, ahead))
            }
            List::Leaf(extents) => extents.into_iter().try_for_each(|extent| match extent {
                Extent::Chunk { id, .. } => self.hold(&id).map(drop),
                Extent::Zeros(_) | Extent::Hole(_) => Ok(()),
            }),
        }
    }

    fn stamps(&self, id: ObjectId, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        let bytes = self.reader.object(Purpose::Meta, &id)?;
        let mut below = Vec::new();
        references(ObjectKind::Stamps, &bytes, &mut |_, id| below.push(id)).map_err(|_| wrong(&id))?;
        below.into_iter().try_for_each(|id| self.meet(Ahead::Stamps(id), ahead))
    }

    /// Adds what was met to what is ahead, if it comes for the first time as what it is.
    fn meet(&self, met: Ahead<'a>, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        let id = met.id();
        // Zeros say that there are no stamps; a tree or a list there must be.
        if id.is_zero() && matches!(met, Ahead::Stamps(_)) {
            return Ok(());
        }
        let slot = self.hold(&id)?;
        if let Ahead::List { length, .. } = met
            && *lock(&self.lengths).entry(slot).or_insert(length) != length
        {
            return Err(wrong(&id));
        }
        let walked = match met {
            Ahead::Tree { above, .. } => self.trees.get(usize::from(above.unwrap_or(0))),
            Ahead::List { above, .. } => self.lists.get(usize::from(above.unwrap_or(0))),
            Ahead::Archive(_) | Ahead::Stamps(_) => Some(&self.stamps),
        };
        if walked.is_some_and(|walked| walked.set(slot)) {
            ahead.push(met);
        }
        Ok(())
    }

    /// The slot of an object that has a copy.
    fn hold(&self, id: &ObjectId) -> Result<usize> {
        let slot = self.slots.of(id).ok_or_else(|| wrong(id))?;
        if self.held.set(slot) {
            self.objects.fetch_add(1, Ordering::Relaxed);
            if self.lost.contains_key(id) || !self.slots.has_copy(id) {
                return Err(wrong(id));
            }
        }
        Ok(slot)
    }
}

/// What is wrong is not said here.
fn wrong(id: &ObjectId) -> Error {
    Error::ObjectMissing { id: id.to_hex() }
}

/// A bit for each slot, set from many threads.
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(slots: usize) -> Self {
        Self((0..slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit; whether it was not set.
    fn set(&self, slot: usize) -> bool {
        let bit = 1u64 << (slot % 64);
        let Some(word) = self.0.get(slot / 64) else { return true };
        word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}
