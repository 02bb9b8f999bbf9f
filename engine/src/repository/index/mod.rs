//! The local index: exactly the union of the segments that a listing named, on disk, mapped, searched without locks.
//!
//! Entries are hints. Which copy of an object counts is decided by the listings of `gc/` and `packs/` that a [`Look`] holds:
//! a pack that is missing or has another size is absent, and one that a gc record names is condemned (docs/gc.md).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::codec::DecodeError;
use crate::crypto::SecretKey;
use crate::error::{Error, Result};
use crate::format::segment::{IndexedPack, Segment};
use crate::id::{FileId, ObjectId, PackId};
use crate::repository::look::Look;
use crate::sync::{lock, on_all_cores};

mod folder;
mod merge;
mod run;
mod scan;

pub use folder::CacheFolder;
use folder::{fresh_run_path, take_over};
use run::{Run, RunContent};
pub(super) use run::{RunBlock, RunEntry, RunPack};
pub(crate) use scan::Slots;
pub use scan::{IndexPack, Scanned, ScannedCopy};

/// Most entries of a run that is made in memory: 40 MB.
const RUN_ENTRIES: usize = 1 << 20;
/// With more runs than this, the smaller ones are merged.
const MOST_RUNS: usize = 8;

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackId,
    /// Offset of the block's head.
    pub offset: u32,
    /// Length of the block's sealed body.
    pub body_length: u32,
    /// Which object of the block, from 0.
    pub position: u32,
}

/// What the last look says of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackState {
    /// It exists with the right size, and nobody condemned it.
    Good(PackNumber),
    /// It exists, but a compaction will remove it.
    Condemned,
    /// It is missing, or not what it should be.
    Absent,
}

/// Reads and opens a segment; `None` if it is gone, or if the index may do without it.
pub(super) type ReadSegment<'a> = dyn Fn(FileId) -> Result<Option<Segment>> + Sync + 'a;

#[derive(Debug)]
struct LoadedRun {
    run: Run,
    states: Vec<PackState>,
    /// How many entries the runs before it have.
    base: usize,
}

/// The index, with what the look it was made from says of every pack.
pub struct Index {
    folder: Arc<CacheFolder>,
    cache_key: SecretKey,
    runs: RwLock<Arc<Vec<Arc<LoadedRun>>>>,
    /// Held while a run of this process is added.
    growing: Mutex<Growing>,
    known_packs: Vec<(PackId, u64)>,
    /// A hash of the names that the look listed.
    listed: [u8; 32],
}

/// The runs that this process adds stand behind those that were there.
#[derive(Debug)]
struct Growing {
    /// How many were there, or came before the first that this process put: they stay as they are, and with them the slots of their entries.
    loaded: usize,
    /// A merge failed; they are searched one by one from then on.
    gave_up: bool,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("folder", &self.folder)
            .field("packs", &self.known_packs.len())
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Loads the union of the segments that `look` lists. Runs in the folder that stand for listed segments are taken over, runs that
    /// stand for others are removed, and what is missing is read by `read`.
    pub fn load(folder: Arc<CacheFolder>, cache_key: SecretKey, look: &Look, read: &ReadSegment<'_>) -> Result<Self> {
        let mut runs = take_over(&folder, &cache_key, look);
        let known: HashSet<FileId> = runs.iter().flat_map(|run| run.segments().iter().copied()).collect();
        let missing: Vec<FileId> = look.segments.keys().filter(|id| !known.contains(id)).copied().collect();
        runs.extend(load_missing(&folder, &cache_key, &missing, read)?);
        if runs.len() > MOST_RUNS {
            if let Some(damaged) = runs.iter().position(|run| !run.is_whole()) {
                // Read again from its segments; each time round there is one file less.
                let _ = fs::remove_file(runs.swap_remove(damaged).path());
                return Self::load(folder, cache_key, look, read);
            }
            runs = merge::merge_small(runs, &folder, &cache_key)?;
        }
        let mut numbers = HashMap::new();
        let mut known_packs = Vec::new();
        let mut entries = 0;
        let runs = runs.into_iter().map(|run| {
            let states = run.packs().iter().map(|pack| state(pack, look, &mut numbers, &mut known_packs)).collect();
            let base = entries;
            entries += run.len();
            Arc::new(LoadedRun { run, states, base })
        });
        let runs = runs.collect::<Vec<_>>();
        let growing = Mutex::new(Growing { loaded: runs.len(), gave_up: false });
        let runs = RwLock::new(Arc::new(runs));
        Ok(Self { folder, cache_key, runs, growing, known_packs, listed: hash_of(look) })
    }

    /// Equal for looks that listed the same segments and packs.
    pub fn listed(&self) -> [u8; 32] {
        self.listed
    }

    fn runs(&self) -> Arc<Vec<Arc<LoadedRun>>> {
        Arc::clone(&self.runs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A good copy of an object that a writer may refer to.
    pub fn good(&self, id: &ObjectId) -> Option<PackNumber> {
        for loaded in self.runs().iter() {
            for entry in loaded.run.find(id) {
                let block = loaded.run.block(entry.block);
                if let Some(PackState::Good(number)) = block.and_then(|block| loaded.states.get(block.pack as usize)) {
                    return Some(*number);
                }
            }
        }
        None
    }

    /// Every copy that a reader can try, good ones first.
    pub fn copies(&self, id: &ObjectId) -> Vec<Location> {
        let mut good = Vec::new();
        let mut condemned = Vec::new();
        for loaded in self.runs().iter() {
            for entry in loaded.run.find(id) {
                let Some(block) = loaded.run.block(entry.block) else { continue };
                let Some(pack) = loaded.run.packs().get(block.pack as usize) else { continue };
                let location = Location {
                    pack: pack.id,
                    offset: block.offset,
                    body_length: block.body_length,
                    position: u32::from(entry.position),
                };
                match loaded.states.get(block.pack as usize) {
                    Some(PackState::Good(_)) => good.push(location),
                    Some(PackState::Condemned) => condemned.push(location),
                    Some(PackState::Absent) | None => {}
                }
            }
        }
        good.append(&mut condemned);
        good
    }

    /// Whether a page of a run was found damaged: what was not found may be there all the same.
    pub fn is_damaged(&self) -> bool {
        self.runs().iter().any(|loaded| loaded.run.is_damaged())
    }

    /// Removes the files of damaged runs, so that the next index reads their segments again.
    pub fn discard_damaged(&self) {
        for loaded in self.runs().iter().filter(|loaded| loaded.run.is_damaged()) {
            let _ = fs::remove_file(loaded.run.path());
        }
    }

    /// How many entries it has; an object stored twice counts twice.
    pub fn entry_count(&self) -> u64 {
        self.runs().iter().map(|loaded| loaded.run.len() as u64).sum()
    }

    /// A set of the packs that were good when the index was loaded.
    pub fn pack_set(&self) -> PackSet {
        PackSet { bits: (0..self.known_packs.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The packs in a set, with their sizes.
    pub fn packs_of(&self, set: &PackSet) -> Vec<(PackId, u64)> {
        let is_set = |number: usize| {
            set.bits.get(number / 64).is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (number % 64)) != 0)
        };
        self.known_packs.iter().enumerate().filter(|(number, _)| is_set(*number)).map(|(_, pack)| *pack).collect()
    }

    /// Whether every one of these packs was good when the index was loaded.
    pub fn all_good(&self, packs: &[(PackId, u64)]) -> bool {
        let known: HashSet<&(PackId, u64)> = self.known_packs.iter().collect();
        packs.iter().all(|pack| known.contains(pack))
    }

    /// Adds what this process has just put: packs that are its own.
    pub fn add(&self, name: FileId, segment: &Segment) -> Result<()> {
        let mut content = RunContent::default();
        collect(name, segment, &mut content)?;
        let mut growing = lock(&self.growing);
        self.add_run(content, |_, _| PackState::Good(PackNumber::OWN))?;
        if !growing.gave_up && self.runs().len().saturating_sub(growing.loaded) > MOST_RUNS {
            // What stays as it is can be searched all the same: a cache that is full must not end a backup.
            growing.gave_up = self.merge_added(growing.loaded).is_err();
        }
        Ok(())
    }

    /// Merges the newest of the runs behind the first `loaded`: a first archive of many objects would have to search through very many.
    fn merge_added(&self, loaded: usize) -> Result<()> {
        let mut runs = self.runs().to_vec();
        let newest_first = runs.iter().skip(loaded).rev().map(|added| added.run.len());
        let newest = runs.split_off(runs.len() - merge::how_many(newest_first));
        let base = newest.first().map_or(0, |first| first.base);
        let parts: Vec<&Run> = newest.iter().map(|added| &added.run).collect();
        let run = merge::merge(&parts, &self.folder, &self.cache_key)?;
        let states = newest.iter().flat_map(|added| added.states.iter().copied()).collect();
        runs.push(Arc::new(LoadedRun { run, states, base }));
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(runs);
        for merged in &newest {
            let _ = fs::remove_file(merged.run.path());
        }
        Ok(())
    }

    /// Adds packs that were there and that a segment of this process names now.
    pub fn adopt(&mut self, name: FileId, segment: &Segment) -> Result<()> {
        let mut content = RunContent::default();
        collect(name, segment, &mut content)?;
        let base = u32::try_from(self.known_packs.len()).unwrap_or(u32::MAX);
        self.known_packs.extend(segment.packs.iter().map(|pack| (pack.id, pack.size)));
        lock(&self.growing).loaded += 1;
        self.add_run(content, |_, at| PackState::Good(PackNumber(base.saturating_add(at))))
    }

    /// Adds packs that no segment names, for reading only: no archive may come to depend on what no segment names.
    pub fn add_unnamed(&mut self, packs: &[IndexedPack]) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let mut content = RunContent::default();
        collect_packs(packs, "packs/", &mut content)?;
        lock(&self.growing).loaded += 1;
        self.add_run(content, |_, _| PackState::Condemned)
    }

    fn add_run(&self, content: RunContent, state: impl Fn(&RunPack, u32) -> PackState) -> Result<()> {
        let run = write_and_open(content, &self.folder, &self.cache_key)?;
        let states = (0..).zip(run.packs()).map(|(at, pack)| state(pack, at)).collect();
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let mut longer: Vec<_> = runs.iter().cloned().collect();
        let base = longer.last().map_or(0, |last| last.base + last.run.len());
        longer.push(Arc::new(LoadedRun { run, states, base }));
        *runs = Arc::new(longer);
        Ok(())
    }

    /// The packs that some run knows, whatever became of them.
    pub fn known_names(&self) -> HashSet<PackId> {
        self.runs()
            .iter()
            .flat_map(|loaded| loaded.run.packs().iter().map(|pack| pack.id).collect::<Vec<_>>())
            .collect()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.discard_damaged();
    }
}

/// A pack that was good when the index was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackNumber(u32);

impl PackNumber {
    /// A pack that this process put; it is in no [`PackSet`].
    pub const OWN: Self = Self(u32::MAX);
}

/// Packs that an archive refers to; filled from many threads.
#[derive(Debug)]
pub struct PackSet {
    bits: Vec<AtomicU64>,
}

impl PackSet {
    /// A copy that no longer changes.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { bits: self.bits.iter().map(|word| AtomicU64::new(word.load(Ordering::Relaxed))).collect() }
    }

    /// Adds a pack.
    pub fn insert(&self, number: PackNumber) {
        if let Some(word) = self.bits.get(number.0 as usize / 64) {
            let bit = 1 << (number.0 % 64);
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }
}

fn state(pack: &RunPack, look: &Look, numbers: &mut HashMap<PackId, u32>, known: &mut Vec<(PackId, u64)>) -> PackState {
    match look.packs.get(&pack.id) {
        None => return PackState::Absent,
        // Of whatever size: what can be read of it is copied before it goes.
        Some(_) if look.condemned.contains(&pack.id) => return PackState::Condemned,
        Some(size) if *size != pack.size => return PackState::Absent,
        Some(_) => {}
    }
    PackState::Good(PackNumber(*numbers.entry(pack.id).or_insert_with(|| {
        known.push((pack.id, pack.size));
        u32::try_from(known.len() - 1).unwrap_or(u32::MAX)
    })))
}

fn hash_of(look: &Look) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for id in look.segments.keys() {
        hasher.update(id.as_bytes());
    }
    hasher.update(&(look.segments.len() as u64).to_le_bytes());
    for id in look.packs.keys() {
        hasher.update(id.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn load_missing(
    folder: &CacheFolder,
    cache_key: &SecretKey,
    missing: &[FileId],
    read: &ReadSegment<'_>,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut content = RunContent::default();
    for group in missing.chunks(4) {
        for (id, segment) in on_all_cores(group.to_vec(), |id| (id, read(id))) {
            if let Some(segment) = segment? {
                collect(id, &segment, &mut content)?;
            }
        }
        if content.entries.len() >= RUN_ENTRIES {
            runs.push(write_and_open(std::mem::take(&mut content), folder, cache_key)?);
        }
    }
    if !content.segments.is_empty() {
        runs.push(write_and_open(content, folder, cache_key)?);
    }
    Ok(runs)
}

fn collect(id: FileId, segment: &Segment, content: &mut RunContent) -> Result<()> {
    content.segments.push(id);
    collect_packs(&segment.packs, &format!("index/{}", id.to_hex()), content)
}

fn collect_packs(packs: &[IndexedPack], file: &str, content: &mut RunContent) -> Result<()> {
    let number = |n: usize| u32::try_from(n).map_err(|_| Error::Internal("an index run of 2^32 blocks".to_owned()));
    let damaged = |error: DecodeError| Error::Damaged { file: file.to_owned(), problem: error.to_string() };
    for pack in packs {
        let blocks = pack.blocks().map_err(damaged)?;
        let pack_number = number(content.packs.len())?;
        let segment = number(content.segments.len().saturating_sub(1))?;
        content.packs.push(RunPack { id: pack.id, size: pack.size, class: pack.class, segment });
        for block in blocks {
            let block_number = number(content.blocks.len())?;
            content.blocks.push(RunBlock { pack: pack_number, offset: block.offset, body_length: block.body_length });
            let plain = block.entries.iter().map(|entry| u64::from(entry.length)).sum();
            for (position, entry) in (0u16..).zip(&block.entries) {
                let share = share(entry.length, plain);
                content.entries.push(RunEntry { id: entry.id, block: block_number, position, share });
            }
        }
    }
    Ok(())
}

/// An object's share of its block, in 65,535ths: nothing weighs nothing.
pub(crate) fn share(length: u32, plain: u64) -> u16 {
    let share = u64::from(length) * u64::from(u16::MAX) / plain.max(1);
    u16::try_from(share).unwrap_or(u16::MAX).max(1)
}

fn write_and_open(content: RunContent, folder: &CacheFolder, cache_key: &SecretKey) -> Result<Run> {
    let path = fresh_run_path(folder)?;
    content.write(&path, cache_key)
}
