//! What is promised in every state, and what fresh compactions have to leave behind.

use std::cell::RefCell;
use std::collections::HashMap;

use super::compaction::Compaction;
use super::machine::{Actor, Scenario, moves};
use super::rules::Variant;
use super::world::{Process, Set, World, members};

/// Archives that a listing would show.
fn good(world: &World) -> Set {
    world.manifests & world.ok & !world.deleted
}

/// A promise of docs/gc.md, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// What exited 0 and nobody deleted is there, with all that it needs.
    S1,
    /// So is what is listed.
    S2,
    /// What a prune kept does not go with what it deleted.
    Prune,
    /// A reader looks again only as often as compactions delete packs.
    Read,
    /// If all processes die, a fresh compaction or two leave nothing behind.
    Live,
}

impl Promise {
    /// Those that can be seen in a state.
    pub(crate) const NOW: &[Self] = &[Self::S1, Self::S2, Self::Prune, Self::Read];
    pub(crate) const ALL: &[Self] = &[Self::S1, Self::S2, Self::Prune, Self::Read, Self::Live];

    /// What is wrong with a state.
    pub(crate) fn broken(self, scenario: &Scenario, world: &World) -> Option<String> {
        let what = match self {
            Self::S1 => lost(scenario, world, world.counted & !world.unwanted),
            Self::S2 => lost(scenario, world, good(world)),
            Self::Prune => pruned(scenario, world),
            Self::Read => unread(scenario, world),
            Self::Live => None,
        };
        what.map(|what| format!("{self:?}: {what}"))
    }
}

/// An archive that should be there.
fn lost(scenario: &Scenario, world: &World, promised: Set) -> Option<String> {
    let reachable = world.chunks(world.named(world.live) & world.standing);
    members(promised).find_map(|archive| match () {
        () if good(world) & 1 << archive == 0 => Some(format!("archive {archive} is gone")),
        () if scenario.chunks_of(archive) & !reachable != 0 => Some(format!("archive {archive} has lost a chunk")),
        () => None,
    })
}

/// What a prune relied on may give way to another attempt of its writer, not to nothing.
fn pruned(scenario: &Scenario, world: &World) -> Option<String> {
    for archive in members(world.relied) {
        let attempts = scenario.actors.iter().find_map(|actor| match actor {
            Actor::Writer(writer) if writer.archives() & 1 << archive != 0 => Some(writer.archives()),
            _ => None,
        });
        if good(world) & attempts.unwrap_or(1 << archive) == 0 {
            return Some(format!("archive {archive} was kept, another deleted for it, and both are gone"));
        }
    }
    None
}

/// A reader that looked too often although its archive is promised.
fn unread(scenario: &Scenario, world: &World) -> Option<String> {
    for (actor, process) in scenario.actors.iter().zip(&world.processes) {
        if let Actor::Reader(reader) = actor
            && process.looks > reader.most_looks
            && world.counted & !world.unwanted & 1 != 0
        {
            return Some("more looks than times at which packs went".to_owned());
        }
    }
    None
}

/// Runs fresh compactions alone and remembers what came of it.
#[derive(Debug)]
pub(crate) struct Afterwards<'a> {
    scenario: &'a Scenario,
    seen: RefCell<HashMap<Vec<u8>, Option<String>>>,
}

impl<'a> Afterwards<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, seen: RefCell::default() }
    }

    /// All processes die; at most two compactions run.
    pub(crate) fn broken(&self, world: &World) -> Option<String> {
        let mut world = World { processes: Default::default(), ..*world };
        world.settle();
        let mut store = Vec::new();
        world.encode(0, &mut store);
        if let Some(known) = self.seen.borrow().get(&store) {
            return known.clone();
        }
        let first = self.compact(world);
        let second = self.compact(first);
        let mut now = Promise::NOW.iter();
        let lost = now.find_map(|promise| {
            promise.broken(self.scenario, &first).or_else(|| promise.broken(self.scenario, &second))
        });
        let what = lost.or_else(|| left(self.scenario, &second)).map(|what| format!("Live: {what}"));
        self.seen.borrow_mut().insert(store, what.clone());
        what
    }

    fn compact(&self, mut world: World) -> World {
        let actor = Actor::Compaction(Compaction::honest());
        let alone = Scenario { rules: self.scenario.rules.atomic(), ..self.scenario.clone() };
        world.processes = Default::default();
        let mut next = Vec::new();
        while !world.processes[0].has_ended() {
            moves(&alone, &actor, 0, &world, &mut next);
            assert!(next.len() == 1, "an honest compaction has no choice: {next:?}");
            world = next.pop().unwrap().1;
            let mut process = world.processes[0];
            actor.role().rest(&alone, &world, &mut process);
            world.processes[0] = process;
            world.settle();
        }
        World { processes: [Process::default(); _], ..world }
    }
}

/// What should not be there after compactions that ran alone.
fn left(scenario: &Scenario, world: &World) -> Option<String> {
    let needed = members(world.manifests).fold(0, |all, archive| all | scenario.chunks_of(archive));
    let named = world.named(world.live);
    let lasting = |record: usize| {
        // The price of rule 9: an author died, and the archive lives.
        scenario.rules.variant == Variant::Author && world.records[record].archives & world.manifests != 0
    };
    let dead = |pack: usize| world.packs[pack] & needed == 0;
    let what = match () {
        () if world.manifests & !world.ok != 0 => "a pending archive",
        () if world.manifests & (world.deleted | world.unwanted) != 0 => "a deleted archive",
        () if (world.ok | world.dropped | world.deleted) & !world.manifests != 0 => "a mark without a manifest",
        () if members(world.open).any(|record| !lasting(record)) => "a record",
        () if world.standing & !named != 0 => "a pack that no segment names",
        () if named & !world.standing != 0 => "an entry for a pack that is gone",
        () if members(world.standing).any(dead) => "a pack that nobody needs",
        () => return None,
    };
    Some(format!("{what} is left"))
}
