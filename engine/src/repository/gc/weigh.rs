//! How much of each pack lives: one pass over the index, in order of ids, in memory for one record a pack.
//!
//! An object that is stored several times lives in one place: in the pack that holds most of what lives nowhere else, so that the other
//! copies die together. An object weighs its share of its block as it is sealed; nothing but the choice of packs depends on it.

use std::collections::HashSet;

use crate::error::Result;
use crate::format::block::HEAD_LEN;
use crate::format::file::Class;
use crate::id::{ObjectId, PackId};
use crate::repository::Index;
use crate::repository::gc::live::Live;
use crate::repository::index::{PackState, Scanned, ScannedCopy};

/// Fractions of a byte in which an object's share of its block is counted.
const FRACTION: u32 = 16;
/// So many missing objects are named.
const NAMED: usize = 16;

/// A pack that the index knows.
#[derive(Clone, Debug)]
pub(crate) struct PackWeight {
    /// Its name.
    pub id: PackId,
    /// The size that the index gives.
    pub size: u64,
    /// Data or meta.
    pub class: Class,
    /// What the look says of it.
    pub state: PackState,
    /// Objects that live, that have no good copy, and of which this condemned pack has one.
    pub owed: u64,
    owed_weight: u64,
    total: u64,
    unique: u64,
    live: u64,
}

impl PackWeight {
    /// Sealed bytes of what lives here; at least one if anything does.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live.div_ceil(1 << FRACTION)
    }

    /// Whether anything lives here.
    pub(crate) fn is_dead(&self) -> bool {
        self.live == 0
    }

    /// Whether at least so many hundredths are dead, and anything is at all.
    pub(crate) fn is_dead_by(&self, percent: u8) -> bool {
        self.dead() > 0 && u128::from(self.dead()) * 100 >= u128::from(self.total) * u128::from(percent)
    }

    /// Sealed bytes of what is dead here.
    pub(crate) fn dead_bytes(&self) -> u64 {
        self.dead() >> FRACTION
    }

    /// Its share that is not owed, in millionths: what of a condemned pack would be left over.
    pub(crate) fn unowed(&self) -> u64 {
        (self.total.saturating_sub(self.owed_weight) >> FRACTION) * 1_000_000 / (self.total >> FRACTION).max(1)
    }

    fn dead(&self) -> u64 {
        self.total.saturating_sub(self.live)
    }
}

/// All packs that the index knows, and what is in danger.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    /// Packs, as the index numbers them.
    pub packs: Vec<PackWeight>,
    /// Objects that live, that nobody can do without, and whose last copies are in condemned packs.
    pub owed: u64,
    /// Objects that live and of which no pack that exists has a copy; the first few.
    pub missing: Vec<ObjectId>,
    doubled: bool,
}

/// Weighs the packs of an index. What is `excused` is lost for good: that it is nowhere is no reason to stop.
pub(crate) fn weigh(index: &Index, live: &Live, excused: &HashSet<ObjectId>) -> Result<Weights> {
    let mut weights = Weights::default();
    weights.packs.extend(index.packs().into_iter().map(|pack| PackWeight {
        id: pack.id,
        size: pack.size,
        class: pack.class,
        state: pack.state,
        owed: 0,
        owed_weight: 0,
        total: 0,
        unique: 0,
        live: 0,
    }));
    let missing = live.missing().iter().copied().filter(|id| !excused.contains(id));
    weights.missing.extend(missing.take(NAMED));
    index.scan(&mut |object| {
        weights.count(object, live, excused);
        Ok(())
    })?;
    for pack in &mut weights.packs {
        pack.live = pack.unique;
    }
    if weights.doubled {
        index.scan(&mut |object| {
            weights.place(object, live.is_live(object.slot));
            Ok(())
        })?;
    }
    Ok(weights)
}

impl Weights {
    /// Whether there is anything to copy.
    pub(crate) fn owes(&self) -> bool {
        self.packs.iter().any(|pack| pack.owed > 0)
    }

    /// Dead bytes that may be left over all packs: of what lives, a fifth of the threshold's share.
    pub(crate) fn tolerated_bytes(&self, threshold: u8) -> u64 {
        let live: u64 = self.packs.iter().map(|pack| (pack.live + pack.owed_weight) >> FRACTION).sum();
        live / 100 * u64::from(threshold / 5)
    }

    /// How many more may come to be left, besides those in packs that are not dead by the threshold. Some less than is tolerated: a
    /// new pack weighs not quite what its blocks did, and the next compaction is to find nothing to do.
    pub(crate) fn leeway(&self, threshold: u8) -> u64 {
        let stays = |pack: &&PackWeight| matches!(pack.state, PackState::Good(_)) && !pack.is_dead_by(threshold);
        let left: u64 = self.packs.iter().filter(stays).map(PackWeight::dead_bytes).sum();
        (self.tolerated_bytes(threshold) / 8 * 7).saturating_sub(left)
    }

    /// The condemned pack out of which an object must be copied that has no good copy.
    pub(crate) fn creditor(&self, copies: &[ScannedCopy]) -> Option<&PackWeight> {
        let condemned = |copy: &&ScannedCopy| self.state(copy) == PackState::Condemned;
        let owed = !copies.iter().any(|copy| self.is_good(copy));
        copies.iter().find(condemned).filter(|_| owed).and_then(|copy| self.packs.get(copy.pack as usize))
    }

    fn state(&self, copy: &ScannedCopy) -> PackState {
        self.packs.get(copy.pack as usize).map_or(PackState::Absent, |pack| pack.state)
    }

    fn is_good(&self, copy: &ScannedCopy) -> bool {
        matches!(self.state(copy), PackState::Good(_))
    }

    fn change(&mut self, copy: &ScannedCopy, change: impl FnOnce(&mut PackWeight)) {
        if let Some(pack) = self.packs.get_mut(copy.pack as usize) {
            change(pack);
        }
    }

    fn count(&mut self, object: &Scanned<'_>, live: &Live, excused: &HashSet<ObjectId>) {
        for copy in object.copies {
            self.change(copy, |pack| pack.total += weight(copy));
        }
        if !live.is_live(object.slot) {
            return;
        }
        let mut good = object.copies.iter().filter(|copy| self.is_good(copy));
        match (good.next(), good.next()) {
            (Some(only), None) => {
                let only = *only;
                self.change(&only, |pack| pack.unique += weight(&only));
            }
            (Some(_), Some(_)) => self.doubled = true,
            (None, _) => self.owe(object, excused.contains(&object.id) || live.is_dispensable(object.slot)),
        }
    }

    /// No good copy: it must be copied out of a condemned pack, if there is one. What is dispensable is copied if it can be read.
    fn owe(&mut self, object: &Scanned<'_>, dispensable: bool) {
        let condemned: Vec<ScannedCopy> =
            object.copies.iter().filter(|copy| self.state(copy) == PackState::Condemned).copied().collect();
        for copy in &condemned {
            self.change(copy, |pack| {
                pack.owed += 1;
                pack.owed_weight += weight(copy);
            });
        }
        if dispensable {
            return;
        }
        if !condemned.is_empty() {
            self.owed += 1;
        } else if self.missing.len() < NAMED {
            self.missing.push(object.id);
        }
    }

    /// An object with several good copies lives in one of them.
    fn place(&mut self, object: &Scanned<'_>, lives: bool) {
        let good: Vec<ScannedCopy> = object.copies.iter().filter(|copy| lives && self.is_good(copy)).copied().collect();
        if good.len() < 2 {
            return;
        }
        let worth = |copy: &ScannedCopy| self.packs.get(copy.pack as usize).map(|pack| (pack.unique, pack.id));
        if let Some(home) = good.iter().max_by_key(|copy| worth(copy)).copied() {
            self.change(&home, |pack| pack.live += weight(&home));
        }
    }
}

/// An object's share of its block.
fn weight(copy: &ScannedCopy) -> u64 {
    ((u64::from(copy.body_length) + HEAD_LEN as u64) << FRACTION) / u64::from(u16::MAX) * u64::from(copy.share)
}
