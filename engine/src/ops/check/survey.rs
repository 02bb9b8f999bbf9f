//! All archives at once, on all cores: whether anything is wrong with any of them. Nearly always nothing is, and then nobody needs to know
//! which path needs which object; trace.rs finds that out, one archive after another.
//!
//! Every tree, list and stamp is read once, whoever needs it. What was seen is a bit for each slot of the index.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use rayon::Scope;

use super::Lost;
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::DEPTH;
use crate::format::list::Extent;
use crate::format::references::{ObjectKind, references};
use crate::id::ObjectId;
use crate::meta::{Content, NodeKind};
use crate::ops::content::{InList, walk_list};
use crate::ops::walk::Entries;
use crate::progress::{Counters, Monitor};
use crate::repository::{Archive, Reader, Slots};
use crate::sync;

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
    let survey = Survey {
        reader,
        lost,
        monitor,
        held: bits(),
        trees: bits(),
        lists: bits(),
        stamps: bits(),
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
    /// A directory, and how deep it lies.
    Directory(ObjectId, usize),
}

struct Survey<'a> {
    reader: &'a Reader<'a>,
    lost: &'a Lost,
    monitor: &'a dyn Monitor,
    slots: Slots,
    /// Objects that have a copy.
    held: Bits,
    /// Objects that were walked as what they are; who refers to one says what it is.
    trees: Bits,
    lists: Bits,
    stamps: Bits,
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
            let walked = match next {
                Ahead::Archive(archive) => self.archive(archive, &mut ahead),
                Ahead::Directory(tree, depth) => self.directory(tree, depth, &mut ahead),
            };
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

    fn archive(&self, archive: &Archive, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        let manifest = &archive.manifest;
        for id in [Some(manifest.warnings).filter(|id| !id.is_zero()), manifest.root_xattrs].into_iter().flatten() {
            self.hold(&id)?;
        }
        self.stamps(manifest.root_stamps)?;
        if self.is_new(&self.trees, &manifest.root_tree())? {
            ahead.push(Ahead::Directory(manifest.root_tree(), 1));
        }
        Ok(())
    }

    fn directory(&self, tree: ObjectId, depth: usize, ahead: &mut Vec<Ahead<'a>>) -> Result<()> {
        if depth > DEPTH {
            return Err(wrong(&tree));
        }
        let mut entries = Entries::new(tree);
        while let Some((node, xattrs)) = entries.next(self.reader, &mut |part| self.hold(&part).map(drop))? {
            if self.monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            if let Some(counters) = self.monitor.counters() {
                Counters::add(&counters.entries, 1);
            }
            if let Some(id) = xattrs {
                self.hold(&id)?;
            }
            match node.kind {
                NodeKind::Directory { tree } if self.is_new(&self.trees, &tree)? => {
                    ahead.push(Ahead::Directory(tree, depth + 1));
                }
                NodeKind::File { content: Content::Chunk(id), .. } => drop(self.hold(&id)?),
                NodeKind::File { content: Content::List(id), size, .. } if self.is_new(&self.lists, &id)? => {
                    self.list(id, size)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self, root: ObjectId, size: u64) -> Result<()> {
        let mut covered = 0u64;
        walk_list(self.reader, root, &mut |met| {
            match met {
                InList::List(id) => drop(self.hold(&id)?),
                InList::Extent(extent) => {
                    covered = covered.checked_add(extent.length()).ok_or_else(|| wrong(&root))?;
                    if let Extent::Chunk { id, .. } = extent {
                        self.hold(&id)?;
                    }
                }
            }
            Ok(())
        })?;
        if covered == size { Ok(()) } else { Err(wrong(&root)) }
    }

    fn stamps(&self, root: ObjectId) -> Result<()> {
        let mut ahead = vec![root];
        while let Some(id) = ahead.pop() {
            if id.is_zero() || !self.is_new(&self.stamps, &id)? {
                continue;
            }
            let bytes = self.reader.object(Purpose::Meta, &id)?;
            references(ObjectKind::Stamps, &bytes, &mut |_, id| ahead.push(id)).map_err(|_| wrong(&id))?;
        }
        Ok(())
    }

    /// Whether an object that is held comes for the first time as what these bits stand for.
    fn is_new(&self, walked: &Bits, id: &ObjectId) -> Result<bool> {
        Ok(walked.set(self.hold(id)?))
    }

    /// The slot of an object that has a copy.
    fn hold(&self, id: &ObjectId) -> Result<usize> {
        self.objects.fetch_add(1, Ordering::Relaxed);
        let slot = self.slots.of(id).ok_or_else(|| wrong(id))?;
        if self.held.set(slot) && (self.lost.contains_key(id) || !self.slots.has_copy(id)) {
            return Err(wrong(id));
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
