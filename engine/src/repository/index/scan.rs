//! The whole index in order of ids, and a number for each object: what compaction weighs packs by.
//!
//! An object's number, its *slot*, is that of its first entry when all runs stand one behind the other. Runs are only ever added at the
//! end, and only those that were added are merged, so the slot of what was there when the index was loaded stays what it is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::merge::{Merged, Met, damaged};
use super::{Index, LoadedRun, PackState, RunEntry};
use crate::error::{Error, Result};
use crate::format::file::Class;
use crate::id::{FileId, ObjectId, PackId};

/// A pack that some run knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPack {
    /// Its name.
    pub id: PackId,
    /// The size it must have.
    pub size: u64,
    /// Data or meta.
    pub class: Class,
    /// What the look says of it.
    pub state: PackState,
}

/// A copy of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScannedCopy {
    /// Which of [`Index::packs`].
    pub pack: u32,
    /// Offset of the block's head.
    pub offset: u32,
    /// Which object of the block, from 0.
    pub position: u32,
    /// Length of the block's sealed body.
    pub body_length: u32,
    /// Its share of the block's plaintext, in 65,535ths, 1 at least.
    pub share: u16,
}

/// An object with all its copies.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// Its id.
    pub id: ObjectId,
    /// Its number: what [`Index::slot`] says.
    pub slot: usize,
    /// Where it is: each place once, in order of packs and offsets, whatever became of the pack.
    pub copies: &'a [ScannedCopy],
}

/// The runs as they stood at one moment: slots without asking the index each time.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    runs: Arc<Vec<Arc<LoadedRun>>>,
}

impl Slots {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.last().map_or(0, |last| last.base + last.run.len())
    }

    /// An object's slot; `None` if no run names it, or a page is damaged.
    pub(crate) fn of(&self, id: &ObjectId) -> Option<usize> {
        self.runs.iter().find_map(|loaded| Some(loaded.base + loaded.run.position(id)?))
    }

    /// Whether an object has a copy that a reader can try.
    pub(crate) fn has_copy(&self, id: &ObjectId) -> bool {
        let stands = |loaded: &LoadedRun, entry: RunEntry| {
            let block = loaded.run.block(entry.block)?;
            Some(*loaded.states.get(block.pack as usize)? != PackState::Absent)
        };
        self.runs.iter().any(|loaded| loaded.run.find(id).any(|entry| stands(loaded, entry) == Some(true)))
    }

    /// The object of a slot.
    pub(crate) fn id(&self, slot: usize) -> Result<ObjectId> {
        let number = self.runs.partition_point(|loaded| loaded.base <= slot).saturating_sub(1);
        let loaded = self.runs.get(number).ok_or_else(|| Error::Internal("an empty index has no slots".to_owned()))?;
        let entry = loaded.run.entry(slot - loaded.base).ok_or_else(|| damaged(&loaded.run))?;
        Ok(entry.id)
    }

    /// # Errors
    /// A page was found damaged, so an object that is there may have been taken for missing, or for one of a later run.
    pub(crate) fn check(&self) -> Result<()> {
        match self.runs.iter().find(|loaded| loaded.run.is_damaged()) {
            Some(loaded) => Err(damaged(&loaded.run)),
            None => Ok(()),
        }
    }
}

impl Index {
    pub(crate) fn slot_table(&self) -> Slots {
        Slots { runs: self.runs() }
    }

    /// How many slots there are: the entries of all runs.
    pub fn slots(&self) -> usize {
        self.slot_table().len()
    }

    /// An object's slot: the number of its first entry over all runs. `None` if no run names it, or a page is damaged.
    pub fn slot(&self, id: &ObjectId) -> Option<usize> {
        self.slot_table().of(id)
    }

    /// Where its runs are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Every pack that some run knows, once, whatever became of it.
    pub fn packs(&self) -> Vec<IndexPack> {
        number_packs(&self.runs()).0
    }

    /// Which segment names which pack.
    pub(crate) fn segment_packs(&self) -> Vec<(FileId, PackId)> {
        let runs = self.runs();
        let pairs = runs.iter().flat_map(|loaded| {
            let run = &loaded.run;
            run.packs().iter().filter_map(|pack| Some((*run.segments().get(pack.segment as usize)?, pack.id)))
        });
        pairs.collect()
    }

    /// Calls back with every object, in order of ids. Reads the runs once from begin to end and needs memory for the packs only.
    ///
    /// # Errors
    /// A page of a run is damaged, or what `each` says.
    pub fn scan(&self, each: &mut dyn FnMut(&Scanned<'_>) -> Result<()>) -> Result<()> {
        let runs = self.runs();
        let (_, numbers) = number_packs(&runs);
        let mut copies = Vec::new();
        let mut current = None;
        for met in Merged::new(runs.iter().map(|loaded| &loaded.run)) {
            let met = met?;
            let loaded = runs.get(met.run).ok_or_else(|| Error::Internal("an entry of no run".to_owned()))?;
            let copy = copy_of(&met, loaded, numbers.get(met.run).map_or(&[], Vec::as_slice))?;
            match current {
                Some((id, _)) if id == met.entry.id => {}
                _ => {
                    tell(current, &mut copies, each)?;
                    current = Some((met.entry.id, loaded.base + met.at));
                }
            }
            copies.push(copy);
        }
        tell(current, &mut copies, each)
    }
}

/// Tells of an object and empties its copies.
fn tell(
    object: Option<(ObjectId, usize)>,
    copies: &mut Vec<ScannedCopy>,
    each: &mut dyn FnMut(&Scanned<'_>) -> Result<()>,
) -> Result<()> {
    let Some((id, slot)) = object else { return Ok(()) };
    if copies.len() > 1 {
        copies.sort_unstable();
        // Two segments may say the same.
        copies.dedup_by_key(|copy| (copy.pack, copy.offset, copy.position));
    }
    each(&Scanned { id, slot, copies })?;
    copies.clear();
    Ok(())
}

fn copy_of(met: &Met, loaded: &LoadedRun, numbers: &[u32]) -> Result<ScannedCopy> {
    let block = loaded.run.block(met.entry.block).ok_or_else(|| damaged(&loaded.run))?;
    let pack = *numbers.get(block.pack as usize).ok_or_else(|| damaged(&loaded.run))?;
    Ok(ScannedCopy {
        pack,
        offset: block.offset,
        position: u32::from(met.entry.position),
        body_length: block.body_length,
        share: met.entry.share,
    })
}

/// Numbers the packs of all runs in order, each once; and for each run the numbers of its packs.
fn number_packs(runs: &[Arc<LoadedRun>]) -> (Vec<IndexPack>, Vec<Vec<u32>>) {
    let mut packs: Vec<IndexPack> = Vec::new();
    let mut known: HashMap<(PackId, u64, Class), u32> = HashMap::new();
    let mut of_run = |loaded: &LoadedRun| {
        let each = loaded.run.packs().iter().zip(&loaded.states).map(|(pack, state)| {
            let number = *known.entry((pack.id, pack.size, pack.class)).or_insert_with(|| {
                packs.push(IndexPack { id: pack.id, size: pack.size, class: pack.class, state: *state });
                u32::try_from(packs.len() - 1).unwrap_or(u32::MAX)
            });
            // A run of packs that no segment names calls all of them condemned, so that nothing comes to depend on them.
            if let (Some(known), PackState::Good(_)) = (packs.get_mut(number as usize), state) {
                known.state = *state;
            }
            number
        });
        each.collect()
    };
    let numbers = runs.iter().map(|loaded| of_run(loaded)).collect();
    (packs, numbers)
}

#[cfg(test)]
mod tests;
