//! Rule 11's choice: which packs should go. Any choice is safe; this one weighs what is freed against what must be copied for it.
//!
//! - *Dead*: no root needs anything in it.
//! - *Partly dead*: at least the threshold's share is dead; those with most dead first. And so on with what is left, as long as more than a
//!   fifth of that share is left dead over all packs: many packs with a little each are a lot.
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
use crate::repository::gc::{MERGED, size_class};
use crate::repository::index::PackState;
use crate::store::Key;

/// A pack that should go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doomed {
    /// Which.
    pub id: PackId,
    /// Its size.
    pub size: u64,
    /// Sealed bytes that must be copied first.
    pub live: u64,
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
    let (mut dead, mut rewrite) = (Vec::new(), Vec::new());
    for (&id, &size) in view.look.packs.iter().filter(|(id, _)| !known.contains(id)) {
        if !view.look.condemned.contains(&id) {
            dead.push(Doomed { id, size, live: 0 });
        }
    }
    let mut sound = Vec::new();
    for pack in &view.weights.packs {
        match pack.state {
            PackState::Good(_) if pack.is_dead() => dead.push(doomed(pack)),
            PackState::Good(_) if pack.is_dead_by(threshold) => rewrite.push(doomed(pack)),
            PackState::Good(_) => sound.push(pack),
            PackState::Absent if view.look.packs.contains_key(&pack.id) => plan.strange += 1,
            PackState::Absent | PackState::Condemned => {}
        }
    }
    for packs in [&mut dead, &mut rewrite] {
        plan.spared += spare(core, patience, packs)?;
    }
    if threshold < 100 {
        rewrite.extend(thinned(&mut sound, view.weights.tolerated_bytes(threshold)));
    }
    let dead_share = |pack: &Doomed| (pack.size - pack.live.min(pack.size)) * 1_000_000 / pack.size.max(1);
    rewrite.sort_by_key(|pack| (std::cmp::Reverse(dead_share(pack)), pack.id));
    rewrite.extend(small(sound, u64::from(core.profile.pack_bytes)));
    (plan.dead, plan.rewrite) = (dead, rewrite);
    Ok(plan)
}

/// Takes those with most dead out of packs, until no more than so many bytes of what is left are dead.
fn thinned(sound: &mut Vec<&PackWeight>, limit: u64) -> Vec<Doomed> {
    let mut dead: u64 = sound.iter().map(|pack| pack.dead_bytes()).sum();
    sound.sort_by_key(|pack| (pack.dead_bytes() * 1_000_000 / pack.size.max(1), pack.id));
    let mut taken = Vec::new();
    while dead > limit {
        let Some(pack) = sound.pop().filter(|pack| pack.dead_bytes() > 0) else { break };
        dead -= pack.dead_bytes();
        taken.push(doomed(pack));
    }
    taken
}

fn doomed(pack: &PackWeight) -> Doomed {
    Doomed { id: pack.id, size: pack.size, live: pack.live_bytes() }
}

/// Takes out the packs that are left alone for now; how many these are.
fn spare(core: &Core, patience: &Patience, packs: &mut Vec<Doomed>) -> Result<u64> {
    if !patience.spares_any() {
        return Ok(0);
    }
    let is_spared =
        |pack: &Doomed| Ok(session_of(core, &Key::pack(pack.id))?.is_some_and(|session| patience.spares(&session)));
    let spared: Vec<bool> = packs.par_iter().map(is_spared).collect::<Result<_>>()?;
    let mut each = spared.iter();
    packs.retain(|_| each.next() == Some(&false));
    Ok((spared.len() - packs.len()) as u64)
}

/// Packs below a quarter of the usual size, where there are enough of one class and of about one size.
fn small(sound: Vec<&PackWeight>, pack_bytes: u64) -> Vec<Doomed> {
    let mut small: Vec<&PackWeight> = sound.into_iter().filter(|pack| pack.size < pack_bytes / 4).collect();
    let of = |pack: &&PackWeight| (pack.class == Class::Meta, size_class(pack.size));
    small.sort_by_key(|pack| (of(pack), pack.id));
    let groups = small.chunk_by(|a, b| of(a) == of(b)).filter(|group| group.len() >= MERGED);
    groups.flatten().map(|pack| doomed(pack)).collect()
}
