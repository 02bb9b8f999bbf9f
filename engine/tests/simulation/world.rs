//! What the processes share: the files of the store, what happened to them, and what was promised about them.

use std::collections::{BTreeMap, BTreeSet};

use vault_engine::error::{StoreError, StoreErrorKind};
use vault_engine::id::ArchiveId;
use vault_engine::store::{Key, Kind, Listed, MemoryStore, Snapshot, Store, StoreResult, Verb};

use crate::flaw::Flaw;
use crate::random::Random;
use crate::steps::{Followed, Taken};
use crate::trace::{Asked, Done, Outcome, Trace};

/// A moment at which everything that was promised must be true.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) step: u64,
    pub(crate) files: Snapshot,
    pub(crate) promises: Promises,
}

/// What the users were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promises {
    /// Archives whose create or undelete returned success, and the versions that they are of.
    pub(crate) made: BTreeMap<ArchiveId, usize>,
    /// Archives that a delete or prune has begun to delete.
    pub(crate) condemned: BTreeSet<ArchiveId>,
    /// Archives that a delete or prune said it had deleted.
    pub(crate) deleted: BTreeSet<ArchiveId>,
    /// Archives that a prune kept, and deleted others because of them.
    pub(crate) relied_on: BTreeSet<ArchiveId>,
    /// Attempts of a create that it deleted when another of its attempts counted.
    pub(crate) superseded: BTreeSet<ArchiveId>,
    /// Archives that are protected.
    pub(crate) protected: BTreeSet<ArchiveId>,
}

impl Promises {
    /// What must be there.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (ArchiveId, usize)> {
        self.made.iter().filter(|(id, _)| !self.condemned.contains(id)).map(|(id, version)| (*id, *version))
    }
}

/// A listing that has begun and not ended.
#[derive(Debug)]
struct Open {
    number: u64,
    kind: Kind,
    /// There from its begin until now.
    steady: BTreeMap<String, u64>,
    /// Made or removed since.
    fleeting: BTreeMap<String, u64>,
}

/// A process as the world sees it.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    /// Its `.del` marks delete what it was told to delete.
    pub(crate) deletes: bool,
    /// It may remove a manifest of its own that cannot be completed.
    pub(crate) takes_back: bool,
    pub(crate) steps: Followed,
    /// When it began,
    pub(crate) began: u64,
    /// and what the users had been told then.
    pub(crate) told: Promises,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) step: u64,
    pub(crate) trace: Trace,
    pub(crate) promises: Promises,
    pub(crate) moments: Vec<Moment>,
    /// What was found wrong on the way.
    pub(crate) wrong: Vec<String>,
    pub(crate) actors: Vec<Actor>,
    /// Steps of the protocol that were taken by processes that are gone.
    pub(crate) steps: Taken,
    /// A writer took back an archive that it could not complete.
    took_back: bool,
    /// Somebody protected something, or tried to.
    pub(crate) has_events: bool,
    flaw: Flaw,
    open: Vec<Open>,
    listings: u64,
}

impl World {
    /// With these files, and perhaps a flaw in the store.
    pub(crate) fn new(files: &Snapshot, flaw: Flaw) -> Self {
        Self {
            store: MemoryStore::from_snapshot(files),
            step: 0,
            trace: Trace::default(),
            promises: Promises::default(),
            moments: Vec::new(),
            wrong: Vec::new(),
            actors: Vec::new(),
            steps: Taken::new(),
            took_back: false,
            has_events: false,
            flaw,
            open: Vec::new(),
            listings: 0,
        }
    }

    /// With nothing.
    pub(crate) fn empty() -> Self {
        Self::new(&Snapshot::new(), Flaw::none())
    }

    /// A process begins.
    pub(crate) fn begin(&mut self, process: usize) {
        self.actors[process].began = self.step;
        self.actors[process].told = self.promises.clone();
    }

    /// Keeps this moment for the oracle.
    pub(crate) fn remember(&mut self) {
        let (step, files, promises) = (self.step, self.store.snapshot(), self.promises.clone());
        self.moments.push(Moment { step, files, promises });
    }

    /// Whether it is no wonder that a compaction missed something that these archives need (`aid:…`; none: it found no such archive any more):
    /// they did not count when it began, so that their writers may take them back or complete them in another way; or others replaced
    /// segments while it listed them, twice.
    pub(crate) fn may_miss(&self, process: usize, archives: &[String]) -> bool {
        let actor = &self.actors[process];
        let counted = |name: &String| {
            let digits = name.trim_start_matches("aid:");
            let mut kept = actor.told.kept().filter(|(id, _)| !self.promises.condemned.contains(id));
            kept.any(|(id, _)| id.to_hex().starts_with(digits))
        };
        let is_pending = |key: &Key| !key.name().contains('.') && self.has_no_mark(key);
        let archives_there = || self.store.files().into_iter().filter(|key| key.kind() == Kind::Archives);
        let replaced = |done: &Done| {
            done.asked.verb == Verb::Remove && done.asked.kind == Kind::Index && done.process != actor.name
        };
        let since = self.trace.0.iter().rev().take_while(|done| done.step > actor.began);
        if archives.iter().any(counted) {
            return since.into_iter().any(replaced);
        }
        !archives.is_empty() || self.took_back || archives_there().any(|key| is_pending(&key))
    }

    fn has_no_mark(&self, manifest: &Key) -> bool {
        let mark = Key::listed(Kind::Archives, format!("{}.ok", manifest.name()));
        self.store.size(&mark).is_ok_and(|size| size.is_none())
    }

    /// Notes an operation. Moments after something went are remembered more often.
    pub(crate) fn record(&mut self, process: usize, asked: &Asked, outcome: Outcome, random: &mut Random) {
        let actor = &mut self.actors[process];
        if !actor.steps.take(asked) {
            self.wrong.push(format!("{} left the protocol: {asked} at step {}", actor.name, self.step));
        }
        if actor.deletes
            && asked.verb == Verb::Put
            && let Some(id) = deleted_by(&asked.key)
        {
            self.promises.condemned.insert(id);
            if actor.told.protected.contains(&id) {
                self.wrong.push(format!("{} deletes archives/{}, which is protected", actor.name, id.to_hex()));
            }
        }
        if actor.takes_back
            && asked.verb == Verb::Put
            && let Some(id) = deleted_by(&asked.key)
        {
            self.promises.superseded.insert(id);
        }
        self.has_events |= asked.kind == Kind::Events;
        self.took_back |= actor.takes_back && is_manifest(asked) && asked.verb == Verb::Remove;
        let process = actor.name.clone();
        self.trace.0.push(Done { step: self.step, process, asked: asked.clone(), outcome });
        let worth = match (asked.verb, asked.kind) {
            (Verb::Remove, Kind::Packs | Kind::Index | Kind::Archives) => 120,
            _ => 2,
        };
        if self.moments.len() < 6 && random.per_mille(worth) {
            self.remember();
        }
    }

    /// Puts a file, or what the flaw makes of that.
    pub(crate) fn put(&mut self, process: usize, key: &Key, bytes: Vec<u8>) {
        if self.flaw.puts(process, key, self.step) {
            let size = bytes.len() as u64;
            self.store.insert_raw(key.clone(), bytes);
            self.touch(key, size);
        }
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(bytes) = self.store.remove_raw(key) {
            self.touch(key, bytes.len() as u64);
        }
    }

    /// A file came or went: listings that are going on may or may not see it.
    fn touch(&mut self, key: &Key, size: u64) {
        for open in self.open.iter_mut().filter(|open| open.kind == key.kind()) {
            open.steady.remove(key.name());
            open.fleeting.insert(key.name().to_owned(), size);
        }
    }

    /// A listing at one moment.
    pub(crate) fn list(&mut self, process: usize, kind: Kind) -> StoreResult<Vec<Listed>> {
        let listed = self.store.list(kind)?;
        Ok(self.flaw.lists(process, kind, listed, self.step))
    }

    /// Begins a listing that takes a while.
    pub(crate) fn begin_listing(&mut self, process: usize, kind: Kind) -> StoreResult<u64> {
        self.listings += 1;
        let steady = self.list(process, kind)?.into_iter().map(|file| (file.name, file.size)).collect();
        self.open.push(Open { number: self.listings, kind, steady, fleeting: BTreeMap::new() });
        Ok(self.listings)
    }

    /// Ends it: what was there all the time is in it, of what came or went some is.
    pub(crate) fn end_listing(&mut self, number: u64, random: &mut Random) -> StoreResult<Vec<Listed>> {
        let at = self.open.iter().position(|open| open.number == number);
        let open = self.open.swap_remove(at.ok_or_else(|| StoreError::new("list", "", StoreErrorKind::Other))?);
        let fleeting = open.fleeting.into_iter().filter(|_| random.per_mille(500));
        let mut listed: Vec<_> = open.steady.into_iter().chain(fleeting).collect();
        listed.sort_unstable();
        Ok(listed.into_iter().map(|(name, size)| Listed { name, size }).collect())
    }
}

fn is_manifest(asked: &Asked) -> bool {
    asked.kind == Kind::Archives && !asked.key.contains('.')
}

/// The archive whose `.del` mark this is.
fn deleted_by(path: &str) -> Option<ArchiveId> {
    ArchiveId::from_hex(path.strip_prefix("archives/")?.strip_suffix(".del")?)
}
