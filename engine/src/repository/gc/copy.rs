//! Rule 13: every object of a root that has no good copy is copied out of a pack that still stands, condemned or not.
//!
//! A block most of which is wanted moves as it is, compressed as it was; of the others the wanted objects are collected into new blocks.
//! Either way each id is computed over its plaintext before anything is sealed again.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compress::{Codec, Compression};
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::block::{BlockContent, Compressed, Entry, HEAD_LEN, OpenBlock};
use crate::format::pack::BlockEntry;
use crate::id::{ObjectId, PackId};
use crate::progress::{Counters, Monitor};
use crate::repository::gc::look::View;
use crate::repository::gc::weigh::PackWeight;
use crate::repository::{Location, Packer, Reader, Repository, Stored, purpose_of, rebuild};
use crate::store::Key;
use crate::sync::lock;

/// Objects of a block that is collected, at most.
const COLLECTED: usize = 4096;

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Objects that were owed and have a new copy.
    pub objects: u64,
    /// Sealed bytes that were read for it.
    pub bytes: u64,
    /// Objects that no copy could be read of, and the pack where they were looked for.
    pub lost: Vec<(PackId, ObjectId)>,
}

/// What is to be copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand<'a> {
    /// Share of a block, in percent, that may be unwanted if it is moved as it is.
    pub tolerated: u8,
    /// Packs out of which everything is copied that can be read, needed or not: for a repair.
    pub all_of: Option<&'a HashSet<PackId>>,
}

impl Demand<'_> {
    fn wants_all_of(&self, pack: &PackId) -> bool {
        self.all_of.is_some_and(|packs| packs.contains(pack))
    }
}

/// Copies what a view owes, and gives what could be copied: fewer objects than are owed, if a source has gone or is damaged.
/// The packer makes it durable and indexed.
pub(crate) fn copy(
    repository: &Repository,
    view: &View,
    packer: &Packer,
    demand: Demand<'_>,
    monitor: &dyn Monitor,
) -> Result<Copied> {
    let mut owing: Vec<&PackWeight> =
        view.weights.packs.iter().filter(|pack| pack.owed > 0 || demand.wants_all_of(&pack.id)).collect();
    owing.sort_by_key(|pack| pack.id);
    let reader = Reader::new(repository, std::sync::Arc::clone(&view.index));
    let copier = Copier {
        repository,
        view,
        packer,
        reader,
        demand,
        monitor,
        objects: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        lost: Mutex::default(),
    };
    let packs = Mutex::new(owing.into_iter());
    let failed = Mutex::new(None);
    rayon::in_place_scope(|scope| {
        for _ in 0..rayon::current_num_threads() {
            scope.spawn(|_| {
                if let Err(error) = copier.work(&packs) {
                    lock(&failed).get_or_insert(error);
                    // Nobody begins another pack.
                    lock(&packs).by_ref().for_each(drop);
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_default() {
        return Err(error);
    }
    if copier.objects.load(Ordering::Relaxed) < view.weights.owed {
        copier.sweep()?;
    }
    Ok(copier.done())
}

struct Copier<'a> {
    repository: &'a Repository,
    view: &'a View,
    packer: &'a Packer,
    reader: Reader<'a>,
    demand: Demand<'a>,
    monitor: &'a dyn Monitor,
    objects: AtomicU64,
    bytes: AtomicU64,
    lost: Mutex<Vec<(PackId, ObjectId)>>,
}

/// Objects of blocks that are not worth moving whole, on their way into a new one.
#[derive(Default)]
struct Collected {
    entries: Vec<Entry>,
    plain: Vec<u8>,
    of: Option<(Purpose, Compression)>,
}

impl Copier<'_> {
    fn done(self) -> Copied {
        let mut lost = self.lost.into_inner().unwrap_or_default();
        lost.sort_unstable();
        Copied { objects: self.objects.into_inner(), bytes: self.bytes.into_inner(), lost }
    }

    fn work<'p>(&self, packs: &Mutex<impl Iterator<Item = &'p PackWeight>>) -> Result<()> {
        let mut collected = Collected::default();
        loop {
            let next = lock(packs).next();
            let Some(pack) = next else { return self.put(&mut collected) };
            self.pack(pack, &mut collected)?;
        }
    }

    /// By what the pack says of itself: nothing else in it can be read.
    fn pack(&self, pack: &PackWeight, collected: &mut Collected) -> Result<()> {
        let Some(size) = self.view.look.packs.get(&pack.id) else { return Ok(()) };
        let Some(directory) = rebuild::directory_of(self.repository.core(), pack.id, *size)? else { return Ok(()) };
        let damaged =
            |error| Error::Damaged { file: format!("packs/{}", pack.id.to_hex()), problem: format!("{error}") };
        for block in directory.blocks().map_err(damaged)? {
            if self.monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            let wanted: Vec<bool> = block.entries.iter().map(|entry| self.claim(pack, &entry.id)).collect();
            if wanted.contains(&true) {
                self.block(pack, purpose_of(directory.class), &block, &wanted, collected)?;
            }
        }
        Ok(())
    }

    /// What is owed and was in no directory that could be read: from any other copy. A pack that has gone is looked for again.
    fn sweep(&self) -> Result<()> {
        let mut standing = HashSet::new();
        for pack in self.view.weights.packs.iter().filter(|pack| pack.owed > 0) {
            if self.repository.store().size(&Key::pack(pack.id))?.is_some() {
                standing.insert(pack.id);
            }
        }
        let mut left = Vec::new();
        self.view.index.scan(&mut |object| {
            let creditor = self.view.weights.creditor(object.copies).filter(|pack| standing.contains(&pack.id));
            if let Some(pack) = creditor.filter(|pack| self.claim(pack, &object.id)) {
                left.push((pack, object.id));
            }
            Ok(())
        })?;
        let mut collected = Collected::default();
        for (pack, id) in left {
            self.copy_of_one(pack, purpose_of(pack.class), &id, &mut collected)?;
        }
        self.put(&mut collected)
    }

    /// Whether an object is wanted, has no good copy, and was not copied yet. Whoever is told so must copy it.
    fn claim(&self, pack: &PackWeight, id: &ObjectId) -> bool {
        (self.demand.wants_all_of(&pack.id) || self.lives(id)) && self.packer.claim(id) == Stored::New
    }

    fn lives(&self, id: &ObjectId) -> bool {
        self.view.index.slot(id).is_some_and(|slot| self.view.live.is_live(slot))
    }

    fn block(
        &self,
        pack: &PackWeight,
        purpose: Purpose,
        block: &BlockEntry,
        wanted: &[bool],
        collected: &mut Collected,
    ) -> Result<()> {
        let location = Location { pack: pack.id, offset: block.offset, body_length: block.body_length, position: 0 };
        let length = HEAD_LEN as u64 + u64::from(block.body_length);
        let mut ids = block.entries.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(entry, _)| &entry.id);
        match self.reader.block_to_move(purpose, &location) {
            Ok((open, compressed)) if open.entries == block.entries => {
                if is_worth_moving(&block.entries, wanted, self.demand.tolerated) {
                    self.packer.put_compressed(purpose, compressed, &open.entries, open.plain.len())?;
                } else {
                    self.collect(purpose, &open, &compressed, wanted, collected)?;
                }
                ids.for_each(|id| self.count(id));
            }
            Err(error) if !error.is_loss() => return Err(error),
            // The block is damaged or gone: each object from any copy that can be read. What has none is not counted.
            _ => ids.try_for_each(|id| self.copy_of_one(pack, purpose, id, collected))?,
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        if let Some(counters) = self.monitor.counters() {
            Counters::add(&counters.bytes, length);
        }
        Ok(())
    }

    fn copy_of_one(&self, pack: &PackWeight, purpose: Purpose, id: &ObjectId, collected: &mut Collected) -> Result<()> {
        match self.reader.object(purpose, id) {
            Ok(bytes) => self.add(purpose, Compression::default(), *id, &bytes, collected)?,
            Err(error) if error.is_loss() && (self.is_dispensable(id) || !self.lives(id)) => return Ok(()),
            Err(error) if error.is_loss() => {
                lock(&self.lost).push((pack.id, *id));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.count(id);
        Ok(())
    }

    /// What nobody needs to have is not owed.
    fn count(&self, id: &ObjectId) {
        if self.lives(id) && !self.is_dispensable(id) {
            self.objects.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_dispensable(&self, id: &ObjectId) -> bool {
        self.view.excused.contains(id)
            || self.view.index.slot(id).is_some_and(|slot| self.view.live.is_dispensable(slot))
    }

    fn collect(
        &self,
        purpose: Purpose,
        open: &OpenBlock,
        compressed: &Compressed,
        wanted: &[bool],
        collected: &mut Collected,
    ) -> Result<()> {
        let setting = match compressed.codec() {
            Codec::None => Compression::None,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd(open.head.level),
        };
        for ((entry, (_, bytes)), _) in
            open.entries.iter().zip(open.objects()).zip(wanted).filter(|(_, wanted)| **wanted)
        {
            self.add(purpose, setting, entry.id, bytes, collected)?;
        }
        Ok(())
    }

    fn add(
        &self,
        purpose: Purpose,
        setting: Compression,
        id: ObjectId,
        bytes: &[u8],
        collected: &mut Collected,
    ) -> Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| Error::Internal("an object of 4 GiB".to_owned()))?;
        let full = collected.plain.len() + bytes.len() > self.repository.profile().block_bytes as usize
            || collected.entries.len() >= COLLECTED;
        if full || collected.of != Some((purpose, setting)) {
            self.put(collected)?;
        }
        collected.of = Some((purpose, setting));
        collected.entries.push(Entry { id, length });
        collected.plain.extend_from_slice(bytes);
        Ok(())
    }

    fn put(&self, collected: &mut Collected) -> Result<()> {
        if let Some((purpose, setting)) = collected.of.take() {
            let content = BlockContent { entries: &collected.entries, plain: &collected.plain };
            self.packer.put_block(purpose, &content, setting)?;
            collected.entries.clear();
            collected.plain.clear();
        }
        Ok(())
    }
}

/// Whether so little of a block is unwanted that compressing it again is not worth it: of its bytes, and of its objects, because the smallest
/// weigh more than their bytes (weigh.rs). A block that moves as it is must not be what its new pack is rewritten for the next time.
fn is_worth_moving(entries: &[Entry], wanted: &[bool], tolerated: u8) -> bool {
    let unwanted = || entries.iter().zip(wanted).filter(|(_, wanted)| !**wanted).map(|(entry, _)| entry);
    let bytes = |entry: &Entry| u64::from(entry.length);
    let is_little = |part: u64, whole: u64| part * 100 < whole * u64::from(tolerated);
    let objects = unwanted().count() as u64;
    objects == 0
        || (is_little(objects, entries.len() as u64)
            && is_little(unwanted().map(bytes).sum(), entries.iter().map(bytes).sum()))
}
