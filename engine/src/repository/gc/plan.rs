//! Rule 11's choice: which packs should go. Any choice is safe; this one weighs what is freed against what must be copied for it.
//!
//! - *Dead*: no root needs anything in it.
//! - *Partly dead*: at least the threshold's share is dead; those with most dead first. And so on with what is left, as long as over all
//!   packs more than two fifths of that share is dead: many packs with a little each are a lot.
//! - *Small*: eight or more of about the same size become one, so that many small nights do not end in many files.
//!
//! What a run has put that may be alive, or be repeated, is left alone for a while (patience.rs).

use std::collections::HashSet;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::error::Result;
use crate::format::file::Class;
use crate::id::PackId;
use crate::repository::Core;
use crate::repository::gc::look::View;
use crate::repository::gc::patience::{Patience, session_of};
use crate::repository::gc::weigh::PackWeight;
use crate::repository::index::PackState;
use crate::store::Key;

/// So many small packs of one size class become one.
const MERGED: usize = 8;
/// A size class spans a factor of 2^3.
const SIZE_CLASS_LOG2: u32 = 3;

/// The share of dead bytes, in percent, that may be left over all packs, and in a block that is copied as it is.
pub(crate) fn tolerated(threshold: u8) -> u8 {
    threshold / 5 * 2
}

/// Why a pack goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing in it lives.
    Dead,
    /// Too little of it lives.
    PartlyDead,
    /// It is one of many small ones.
    Small,
}

/// A pack that should go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doomed {
    /// Which.
    pub id: PackId,
    /// Its size.
    pub size: u64,
    /// Sealed bytes that must be copied first.
    pub live: u64,
    /// Why it goes.
    pub why: Why,
}

/// What should go, in this order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Packs without anything that lives.
    pub dead: Vec<Doomed>,
    /// Packs to be copied in part.
    pub rewrite: Vec<Doomed>,
    /// Packs that are left for the sake of a run that may be alive or be repeated.
    pub spared: u64,
    /// Packs that exist with another size than the index says: for `check`.
    pub strange: u64,
}

/// Chooses.
pub(crate) fn choose(core: &Core, view: &View, patience: &Patience, threshold: u8) -> Result<Plan> {
    let mut plan = Plan::default();
    let known: HashSet<PackId> = view.weights.packs.iter().map(|pack| pack.id).collect();
    let mut candidates = Vec::new();
    for (&id, &size) in view.look.packs.iter().filter(|(id, _)| !known.contains(id)) {
        if !view.look.condemned.contains(&id) {
            candidates.push(Doomed { id, size, live: 0, why: Why::Dead });
        }
    }
    let mut sound = Vec::new();
    for pack in &view.weights.packs {
        match pack.state {
            PackState::Good(_) if pack.is_dead() => candidates.push(doomed(pack, Why::Dead)),
            PackState::Good(_) if pack.is_dead_by(threshold) => candidates.push(doomed(pack, Why::PartlyDead)),
            PackState::Good(_) => sound.push(pack),
            PackState::Absent if view.look.packs.contains_key(&pack.id) => plan.strange += 1,
            PackState::Absent | PackState::Condemned => {}
        }
    }
    let spared: Vec<bool> =
        candidates.par_iter().map(|pack| is_spared(core, patience, pack.id)).collect::<Result<_>>()?;
    let (spared, candidates): (Vec<_>, Vec<_>) = candidates.into_iter().zip(spared).partition(|(_, spared)| *spared);
    plan.spared = spared.len() as u64;
    let (dead, mut rewrite): (Vec<_>, Vec<_>) =
        candidates.into_iter().map(|(pack, _)| pack).partition(|pack| pack.why == Why::Dead);
    if threshold < 100 {
        rewrite.extend(thinned(&mut sound, tolerated(threshold)));
    }
    let dead_share = |pack: &Doomed| (pack.size - pack.live.min(pack.size)) * 1_000_000 / pack.size.max(1);
    rewrite.sort_by_key(|pack| (std::cmp::Reverse(dead_share(pack)), pack.id));
    rewrite.extend(small(sound, u64::from(core.profile.pack_bytes)));
    (plan.dead, plan.rewrite) = (dead, rewrite);
    Ok(plan)
}

/// Takes those with most dead out of packs, until no more than these percent of all that is left is dead.
fn thinned(sound: &mut Vec<&PackWeight>, percent: u8) -> Vec<Doomed> {
    let mut dead: u64 = sound.iter().map(|pack| pack.dead_bytes()).sum();
    let limit = sound.iter().map(|pack| pack.live_bytes()).sum::<u64>() / 100 * u64::from(percent);
    sound.sort_by_key(|pack| (pack.dead_bytes() * 1_000_000 / pack.size.max(1), pack.id));
    let mut taken = Vec::new();
    while dead > limit {
        let Some(pack) = sound.pop().filter(|pack| pack.dead_bytes() > 0) else { break };
        dead -= pack.dead_bytes();
        taken.push(doomed(pack, Why::PartlyDead));
    }
    taken
}

fn doomed(pack: &PackWeight, why: Why) -> Doomed {
    Doomed { id: pack.id, size: pack.size, live: pack.live_bytes(), why }
}

fn is_spared(core: &Core, patience: &Patience, id: PackId) -> Result<bool> {
    if !patience.spares_any() {
        return Ok(false);
    }
    Ok(session_of(core, &Key::pack(id))?.is_some_and(|session| patience.spares(&session)))
}

/// Packs below a quarter of the usual size, where there are enough of one class and of about one size.
fn small(sound: Vec<&PackWeight>, pack_bytes: u64) -> Vec<Doomed> {
    let mut small: Vec<&PackWeight> = sound.into_iter().filter(|pack| pack.size < pack_bytes / 4).collect();
    let of = |pack: &&PackWeight| (pack.class == Class::Meta, pack.size.max(1).ilog2() / SIZE_CLASS_LOG2);
    small.sort_by_key(|pack| (of(pack), pack.id));
    let groups = small.chunk_by(|a, b| of(a) == of(b)).filter(|group| group.len() >= MERGED);
    groups.flatten().map(|pack| doomed(pack, Why::Small)).collect()
}
