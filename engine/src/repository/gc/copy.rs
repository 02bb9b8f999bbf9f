//! Rule 13: every object of a root that has no good copy is copied out of a pack that still stands, condemned or not.
//!
//! A block most of which is wanted moves as it is, compressed as it was; of the others the wanted objects are collected into new blocks.
//! Either way each id is computed over its plaintext before anything is sealed again.
//!
//! What is dead in blocks that move as they are is left over. It is budgeted, so that over all packs no more is left than a compaction may
//! leave: the next one finds nothing to do.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::compress::{Codec, Compression};
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::block::{BlockContent, Entry, HEAD_LEN, Payload};
use crate::format::pack::BlockEntry;
use crate::id::{ObjectId, PackId};
use crate::progress::{Counters, Monitor};
use crate::repository::gc::look::View;
use crate::repository::gc::weigh::PackWeight;
use crate::repository::index::share;
use crate::repository::{Location, Packer, Reader, Repository, Slots, Stored, purpose_of, rebuild};
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
    /// Share of a block, in percent, from which on it is not moved as it is: that much of it is unwanted.
    pub threshold: u8,
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
    // The leeway for what is left over goes to those where it saves most.
    owing.sort_by_key(|pack| (pack.unowed(), pack.id));
    let copier = Copier {
        repository,
        view,
        slots: view.index.slot_table(),
        packer,
        reader: Reader::new(repository, Arc::clone(&view.index)),
        demand,
        leeway: AtomicU64::new(view.weights.leeway(demand.threshold)),
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
    slots: Slots,
    packer: &'a Packer,
    reader: Reader<'a>,
    demand: Demand<'a>,
    /// Sealed bytes that may still be left over in blocks that move as they are.
    leeway: AtomicU64,
    monitor: &'a dyn Monitor,
    objects: AtomicU64,
    bytes: AtomicU64,
    lost: Mutex<Vec<(PackId, ObjectId)>>,
}

/// What is to be done with an object of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Nothing: nobody needs it, or there is a good copy.
    Leave,
    /// It is copied if it can be read.
    Take,
    /// It must be copied: it lives, and nobody can do without it.
    Owed,
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
            let claims: Vec<Claim> = block.entries.iter().map(|entry| self.claim(pack, &entry.id)).collect();
            if claims.iter().any(|claim| *claim != Claim::Leave) {
                self.block(pack, purpose_of(directory.class), &block, &claims, collected)?;
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
            if let Some(pack) = creditor {
                match self.claim(pack, &object.id) {
                    Claim::Leave => {}
                    claim => left.push((pack, object.id, claim)),
                }
            }
            Ok(())
        })?;
        let mut collected = Collected::default();
        for (pack, id, claim) in left {
            self.copy_of_one(pack, purpose_of(pack.class), &id, claim, &mut collected)?;
        }
        self.put(&mut collected)
    }

    /// Claims an object that is wanted, has no good copy, and was not copied yet. Whoever is told to take it must copy it.
    fn claim(&self, pack: &PackWeight, id: &ObjectId) -> Claim {
        let live = self.slots.of(id).filter(|slot| self.view.live.is_live(*slot));
        if live.is_none() && !self.demand.wants_all_of(&pack.id) || self.packer.claim(id) != Stored::New {
            return Claim::Leave;
        }
        let is_needed = |slot| !self.view.live.is_dispensable(slot) && !self.view.excused.contains(id);
        if live.is_some_and(is_needed) { Claim::Owed } else { Claim::Take }
    }

    fn block(
        &self,
        pack: &PackWeight,
        purpose: Purpose,
        block: &BlockEntry,
        claims: &[Claim],
        collected: &mut Collected,
    ) -> Result<()> {
        let location = Location { pack: pack.id, offset: block.offset, body_length: block.body_length, position: 0 };
        let length = HEAD_LEN as u64 + u64::from(block.body_length);
        match self.reader.block_to_move(purpose, &location) {
            Err(error) if !error.is_loss() => return Err(error),
            Ok((payload, compressed, hash)) if payload.entries() == block.entries => {
                if self.is_worth_moving(&block.entries, claims, length)
                    && payload.check_ids(self.repository.ring(), purpose).is_ok()
                {
                    self.packer.put_moved(purpose, compressed, &hash, payload.entries(), payload.plain_length())?;
                    wanted(&block.entries, claims).for_each(|(_, claim)| self.count(claim));
                } else {
                    self.collect(pack, purpose, &payload, claims, collected)?;
                }
            }
            // The block is damaged or gone: each object from any copy that can be read. What has none is not counted.
            _ => {
                for (entry, claim) in wanted(&block.entries, claims) {
                    self.copy_of_one(pack, purpose, &entry.id, claim, collected)?;
                }
            }
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        if let Some(counters) = self.monitor.counters() {
            Counters::add(&counters.bytes, length);
        }
        Ok(())
    }

    /// Whether less of a block is unwanted than the threshold, and the leeway allows to leave that much over. It is weighed as packs are.
    fn is_worth_moving(&self, entries: &[Entry], claims: &[Claim], length: u64) -> bool {
        let plain = entries.iter().map(|entry| u64::from(entry.length)).sum();
        let share = |entry: &Entry| u64::from(share(entry.length, plain));
        let unwanted = entries.iter().zip(claims).filter(|(_, claim)| **claim == Claim::Leave);
        let dead: u64 = unwanted.map(|(entry, _)| share(entry)).sum();
        let is_little = dead * 100 < entries.iter().map(share).sum::<u64>() * u64::from(self.demand.threshold);
        let bytes = length * dead / u64::from(u16::MAX);
        let spend = |leeway: u64| leeway.checked_sub(bytes);
        dead == 0 || is_little && self.leeway.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    fn copy_of_one(
        &self,
        pack: &PackWeight,
        purpose: Purpose,
        id: &ObjectId,
        claim: Claim,
        collected: &mut Collected,
    ) -> Result<()> {
        match self.reader.object(purpose, id) {
            Ok(bytes) => self.add(purpose, self.packer.compression(), *id, &bytes, collected)?,
            Err(error) if error.is_loss() && claim != Claim::Owed => return Ok(()),
            Err(error) if error.is_loss() => {
                lock(&self.lost).push((pack.id, *id));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.count(claim);
        Ok(())
    }

    /// What nobody needs to have is not owed.
    fn count(&self, claim: Claim) {
        if claim == Claim::Owed {
            self.objects.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn collect(
        &self,
        pack: &PackWeight,
        purpose: Purpose,
        payload: &Payload,
        claims: &[Claim],
        collected: &mut Collected,
    ) -> Result<()> {
        let setting = match payload.head().codec {
            Codec::None => Compression::None,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd(payload.head().level),
        };
        for (position, (entry, claim)) in payload.entries().iter().zip(claims).enumerate() {
            if *claim == Claim::Leave {
                continue;
            }
            match payload.object(self.repository.ring(), purpose, position) {
                Ok(bytes) => {
                    self.add(purpose, setting, entry.id, bytes, collected)?;
                    self.count(*claim);
                }
                Err(_) => self.copy_of_one(pack, purpose, &entry.id, *claim, collected)?,
            }
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

/// The objects of a block that are to be copied.
fn wanted<'a>(entries: &'a [Entry], claims: &'a [Claim]) -> impl Iterator<Item = (&'a Entry, Claim)> {
    entries.iter().zip(claims.iter().copied()).filter(|(_, claim)| *claim != Claim::Leave)
}
