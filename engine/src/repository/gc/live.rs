//! Which objects live: how often each is referred to, counted by places: by each live object that names it, each time it does, and by manifests.
//!
//! When a count leaves zero the object's own references are counted too; when it comes back to zero they are uncounted. So an archive costs
//! what is new in it, or gone with it, and never the whole of it. Objects are named by the hash of their bytes, so no counting runs in circles.
//!
//! **The saved counts** (saved.rs) are a cache, and cost time, never data (I-R5). What they say is a function of the archives that they name:
//! a manifest's name is the hash of its bytes, an object's that of its own, so what a set of archives refers to is the same for ever. Counts that
//! are old, or were put back from a backup, are therefore still true of *their* archives; from there those that came are added and those that
//! went are taken away. Nobody without the key can make them up; counts that lacked something are never saved; and whatever does not fit (an
//! object that the index no longer names, a tree of a gone archive that cannot be read, a count below zero) means counting from nothing.
//!
//! Stamps that are lost are not held against an archive: no restore needs them, and a compaction need not stop for them.

use std::sync::{Arc, Mutex};

use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::counts::Counts;
use super::saved::{self, Roots};
use crate::error::{Error, Result};
use crate::format::block::Payload;
use crate::format::references::{ObjectKind, references, roots as roots_of};
use crate::id::{ObjectId, PackId};
use crate::progress::Monitor;
use crate::repository::{Archive, Index, Location, Reader, Repository, Slots};
use crate::sync::lock;

/// Most objects that are taken up at a time: they are sorted, so that each of their blocks is opened once.
const BATCH: usize = 1 << 16;
/// Most missing objects that are named.
const MOST_MISSING: usize = 1 << 20;

/// What is made of an object that refers to others and cannot be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It ends the counting: what it refers to must not be taken for dead.
    #[default]
    EndsAll,
    /// It goes as missing: for a repair, which keeps whatever can be read.
    IsMissing,
}

/// What the archives that exist refer to, by slots of the index that it was counted with.
#[derive(Debug)]
pub(crate) struct Live {
    counts: Counts,
    missing: Vec<ObjectId>,
}

impl Live {
    /// Counts what these archives refer to: from the saved counts if there are any, and saves the counts again if they have changed.
    ///
    /// # Errors
    /// An object of one of the archives cannot be read, or a page of the local index is damaged. One that the index does not name, or of
    /// which no copy exists, is no error here: it is in [`Live::missing`].
    pub(crate) fn count(
        repository: &Repository,
        index: &Arc<Index>,
        roots: &[Archive],
        unreadable: Unreadable,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let wanted: Roots = roots.iter().map(|archive| (archive.id, roots_of(&archive.manifest))).collect();
        let counting = Counting {
            repository,
            index: index.as_ref(),
            slots: index.slot_table(),
            reader: Reader::new(repository, Arc::clone(index)),
            counts: Counts::new(index)?,
            missing: Mutex::default(),
            unreadable,
            monitor,
        };
        let known = saved::load(repository, index, &counting.counts)?;
        let changed = counting.bring_up(&known, &wanted)?;
        // What was looked up on a damaged page was taken for missing, or for another slot.
        counting.slots.check()?;
        let Counting { counts, missing, .. } = counting;
        let mut missing = missing.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        missing.sort_unstable();
        missing.dedup();
        if changed && missing.is_empty() {
            saved::save(repository, index, &counts, &wanted)?;
        }
        Ok(Self { counts, missing })
    }

    /// Whether an archive refers to the object of this slot. Slots that the index got after the counting are not known to be alive.
    pub(crate) fn is_live(&self, slot: usize) -> bool {
        self.counts.word(slot) != 0
    }

    /// Whether the object of this slot lives as stamps only, which no restore needs: without them a create reads what is unchanged.
    pub(crate) fn is_dispensable(&self, slot: usize) -> bool {
        self.counts.is_only(slot, ObjectKind::Stamps)
    }

    /// Objects that archives need and that are in no pack: none, or else nothing may be deleted.
    pub(crate) fn missing(&self) -> &[ObjectId] {
        &self.missing
    }

    /// Count and kinds of a slot's object.
    #[cfg(test)]
    pub(crate) fn word(&self, slot: usize) -> u32 {
        self.counts.word(slot)
    }
}

/// An object whose references are to be counted, or uncounted.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    slot: usize,
    kind: ObjectKind,
}

/// The same, found in the index.
#[derive(Clone, Debug)]
struct Located {
    ahead: Ahead,
    id: ObjectId,
    location: Option<Location>,
}

impl Located {
    /// Sorts by blocks.
    fn place(&self) -> Option<(PackId, u32)> {
        self.location.map(|location| (location.pack, location.offset))
    }
}

/// What a walk over archives does with each reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Add,
    Remove,
}

struct Counting<'a> {
    repository: &'a Repository,
    index: &'a Index,
    slots: Slots,
    reader: Reader<'a>,
    counts: Counts,
    missing: Mutex<Vec<ObjectId>>,
    unreadable: Unreadable,
    monitor: &'a dyn Monitor,
}

impl Counting<'_> {
    /// From the counts of some archives to those of others; whether there was a difference.
    fn bring_up(&self, known: &Roots, wanted: &Roots) -> Result<bool> {
        let not_in = |these: &Roots, others: &Roots| -> Roots {
            these.iter().filter(|(id, _)| !others.contains_key(id)).map(|(id, named)| (*id, named.clone())).collect()
        };
        let (new, gone) = (not_in(wanted, known), not_in(known, wanted));
        // First what came: what both refer to is never uncounted and counted again.
        self.add(&new)?;
        match self.walk(&gone, Direction::Remove) {
            Ok(()) => Ok(!(new.is_empty() && gone.is_empty())),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(_) => {
                self.counts.clear();
                lock(&self.missing).clear();
                self.add(wanted)?;
                Ok(true)
            }
        }
    }

    fn add(&self, roots: &Roots) -> Result<()> {
        self.walk(roots, Direction::Add)
    }

    fn walk(&self, roots: &Roots, direction: Direction) -> Result<()> {
        let mut ahead = Vec::new();
        for (kind, id) in roots.values().flatten() {
            self.refer(direction, *kind, id, &mut ahead)?;
        }
        while !ahead.is_empty() {
            let batch = ahead.split_off(ahead.len().saturating_sub(BATCH));
            let located = self.locate(batch)?;
            let blocks: Vec<_> = located.chunk_by(|one, other| one.place() == other.place()).collect();
            let found: Vec<_> = blocks.par_iter().map(|block| self.read(direction, block)).collect::<Result<_>>()?;
            ahead.extend(found.into_iter().flatten());
        }
        Ok(())
    }

    /// Counts or uncounts one reference; adds to `ahead` if that of the object follow.
    fn refer(&self, direction: Direction, kind: ObjectKind, id: &ObjectId, ahead: &mut Vec<Ahead>) -> Result<()> {
        let Some(slot) = self.slots.of(id) else { return self.absent(direction, kind, id) };
        let mut follow = |kind: ObjectKind| {
            if !matches!(kind, ObjectKind::Leaf(_)) {
                ahead.push(Ahead { slot, kind });
            }
        };
        match direction {
            Direction::Add => {
                if self.counts.add(slot, kind) {
                    follow(kind);
                }
            }
            Direction::Remove => {
                let below = || Error::Internal(format!("object {} was never counted", id.to_hex()));
                self.counts.remove(slot, kind).ok_or_else(below)?.for_each(follow);
            }
        }
        Ok(())
    }

    /// Of an archive that exists it is remembered; of one that is gone it is the end of the way.
    fn absent(&self, direction: Direction, kind: ObjectKind, id: &ObjectId) -> Result<()> {
        match direction {
            Direction::Add if kind == ObjectKind::Stamps => Ok(()),
            Direction::Add => {
                let mut missing = lock(&self.missing);
                if missing.len() < MOST_MISSING {
                    missing.push(*id);
                }
                Ok(())
            }
            Direction::Remove => Err(Error::ObjectMissing { id: id.to_hex() }),
        }
    }

    /// Where objects are, in order of packs and blocks.
    fn locate(&self, batch: Vec<Ahead>) -> Result<Vec<Located>> {
        let located = batch.into_par_iter().map(|ahead| self.locate_one(ahead));
        let mut located: Vec<_> = located.collect::<Result<_>>()?;
        located.sort_by_cached_key(|located| (located.place(), located.location.map(|location| location.position)));
        Ok(located)
    }

    fn locate_one(&self, ahead: Ahead) -> Result<Located> {
        let id = self.slots.id(ahead.slot)?;
        Ok(Located { ahead, id, location: self.index.copies(&id).first().copied() })
    }

    /// Opens a block and counts the references of those objects in it that are wanted, and of those that they lead to and that stand in
    /// it too, as most do: what is written together is read once. Gives those that stand elsewhere.
    fn read(&self, direction: Direction, wanted: &[Located]) -> Result<Vec<Ahead>> {
        if self.monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let purpose = ObjectKind::Tree.purpose();
        let location = wanted.first().and_then(|located| located.location);
        // What does not open here is asked for once more, from every copy.
        let block = location.and_then(|location| self.reader.payload(purpose, &location).ok());
        let place = block.as_ref().and(wanted.first()).and_then(Located::place);
        let mut here = wanted.to_vec();
        let mut elsewhere = Vec::new();
        while let Some(located) = here.pop() {
            for ahead in self.refer_from(direction, &located, block.as_ref())? {
                let below = self.locate_one(ahead)?;
                if place.is_some() && below.place() == place {
                    here.push(below);
                } else {
                    elsewhere.push(ahead);
                }
            }
        }
        Ok(elsewhere)
    }

    /// Counts the references of an object that is in this block, if it opened, or else wherever it can be read.
    fn refer_from(&self, direction: Direction, located: &Located, block: Option<&Payload>) -> Result<Vec<Ahead>> {
        let Located { ahead, id, location } = located;
        let purpose = ObjectKind::Tree.purpose();
        let inside = || {
            let (position, block) = (location.as_ref()?.position as usize, block?);
            block.entries().get(position).filter(|entry| entry.id == *id)?;
            block.object(self.repository.ring(), purpose, position).ok()
        };
        let mut found = Vec::new();
        match inside() {
            Some(bytes) => self.refer_all(direction, ahead, id, bytes, &mut found)?,
            None => match self.reader.object(purpose, id) {
                Ok(bytes) => self.refer_all(direction, ahead, id, &bytes, &mut found)?,
                Err(Error::Damaged { .. }) if ahead.kind == ObjectKind::Stamps => {
                    self.absent(direction, ahead.kind, id)?;
                }
                Err(error) if error.is_loss() && self.unreadable == Unreadable::IsMissing => {
                    self.absent(direction, ahead.kind, id)?;
                }
                Err(Error::ObjectMissing { .. }) => self.absent(direction, ahead.kind, id)?,
                Err(error) => return Err(error),
            },
        }
        Ok(found)
    }

    fn refer_all(
        &self,
        direction: Direction,
        from: &Ahead,
        id: &ObjectId,
        bytes: &[u8],
        ahead: &mut Vec<Ahead>,
    ) -> Result<()> {
        let mut done = Ok(());
        let decoded = references(from.kind, bytes, &mut |kind, id| {
            if done.is_ok() {
                done = self.refer(direction, kind, &id, ahead);
            }
        });
        decoded.map_err(|error| Error::Damaged {
            file: format!("object {} ({:?})", id.to_hex(), from.kind),
            problem: error.to_string(),
        })?;
        done
    }
}
