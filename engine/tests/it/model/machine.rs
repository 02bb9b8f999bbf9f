//! A scenario as something that can be searched: processes that take turns, one operation of the store at a time.

use std::cell::RefCell;
use std::collections::HashSet;

use super::compaction::Compaction;
use super::people::{Deleter, Pruner, Reader, Unmarker};
use super::promises::{Afterwards, Promise};
use super::rules::Rules;
use super::search::Machine;
use super::world::{Folder, Names, Process, Set, World, subsets};
use super::writer::Writer;
use crate::protocol::{self, Step};

/// What a process does.
pub(crate) trait Role {
    /// The steps that may come next.
    fn after(&self, scenario: &Scenario, world: &World, process: &Process) -> Vec<Step>;
    /// A listing of the step has ended.
    fn listed(&self, scenario: &Scenario, step: Step, world: &mut World, process: &mut Process, names: Names);
    /// Takes a step that is no listing, in every way in which it can end.
    fn act(&self, scenario: &Scenario, step: Step, turn: &mut Turn<'_>);
    /// Forgets what makes no difference any more, after a step of anybody.
    fn rest(&self, _: &Scenario, _: &World, _: &mut Process) {}
}

/// A process and what it is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    Writer(Writer),
    Compaction(Compaction),
    Deleter(Deleter),
    Pruner(Pruner),
    Reader(Reader),
    Unmarker(Unmarker),
}

impl Actor {
    pub(crate) fn role(&self) -> &dyn Role {
        match self {
            Self::Writer(role) => role,
            Self::Compaction(role) => role,
            Self::Deleter(role) => role,
            Self::Pruner(role) => role,
            Self::Reader(role) => role,
            Self::Unmarker(role) => role,
        }
    }

    pub(crate) fn name(&self) -> protocol::Role {
        match self {
            Self::Writer(_) => protocol::Role::Writer,
            Self::Compaction(_) => protocol::Role::Compaction,
            Self::Deleter(_) | Self::Unmarker(_) => protocol::Role::Delete,
            Self::Pruner(_) => protocol::Role::Prune,
            Self::Reader(_) => protocol::Role::Reader,
        }
    }
}

/// What is there at first, who runs, and by which rules.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    /// Packs at the beginning: their chunks, and whether a segment names them. All named ones are in one segment.
    pub(crate) packs: &'static [(Set, bool)],
    /// The chunks of archive 0, which is good at the beginning; none: there is none.
    pub(crate) parent: Set,
    pub(crate) actors: Vec<Actor>,
    /// What is asked of every state.
    pub(crate) promises: &'static [Promise],
}

impl Scenario {
    /// The chunks that an archive refers to.
    pub(crate) fn chunks_of(&self, archive: usize) -> Set {
        let own = self.actors.iter().find_map(|actor| match actor {
            Actor::Writer(writer) if writer.archives() & 1 << archive != 0 => Some(writer.chunks),
            _ => None,
        });
        own.unwrap_or(self.parent)
    }
}

/// Who took which step after which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Move {
    pub(crate) who: usize,
    pub(crate) role: protocol::Role,
    pub(crate) previous: Option<Step>,
    pub(crate) step: Step,
}

/// What one process can do in one state.
pub(crate) struct Turn<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) world: &'a World,
    who: usize,
    role: protocol::Role,
    moves: &'a mut Vec<(Move, World)>,
}

impl<'a> Turn<'a> {
    pub(crate) fn process(&self) -> &'a Process {
        &self.world.processes[self.who]
    }

    /// One way in which a step can end.
    pub(crate) fn take(&mut self, step: Step, act: impl FnOnce(&mut World, &mut Process)) {
        let mut world = *self.world;
        let mut process = world.processes[self.who];
        let previous = process.last();
        process.took(step);
        act(&mut world, &mut process);
        world.processes[self.who] = process;
        let taken = Move { who: self.who, role: self.role, previous, step };
        if self.scenario.rules.are_those_of_the_code() {
            let did = world.did.expect("a step does something");
            assert!(protocol::may_follow(self.role, previous, step), "not in the table: {taken:?}");
            assert!(step.operations().contains(&did), "{step:?} does not do {did:?}");
        }
        self.moves.push((taken, world));
    }

    fn list(&mut self, role: &dyn Role, step: Step, folder: Folder) {
        let scenario = self.scenario;
        let process = self.process();
        // The view at the beginning may be of any age, so its pages make no difference.
        if !scenario.rules.paged || step == Step::Open {
            let names = self.world.names(folder);
            self.take(step, |world, process| {
                world.list(folder);
                role.listed(scenario, step, world, process, names);
            });
        } else if process.listing == 0 {
            self.take(step, |world, process| {
                world.list(folder);
                process.listing = folder as u16 + 1;
                process.certain = world.names(folder);
            });
        } else {
            let (certain, perhaps) = (process.certain, process.perhaps);
            for manifests in subsets(perhaps.files) {
                for ok in subsets(perhaps.ok) {
                    for deleted in subsets(perhaps.deleted) {
                        let names = Names {
                            files: certain.files | manifests,
                            ok: certain.ok | ok,
                            deleted: certain.deleted | deleted,
                        };
                        self.take(step, |world, process| {
                            world.list(folder);
                            (process.listing, process.certain, process.perhaps) = Default::default();
                            role.listed(scenario, step, world, process, names);
                        });
                    }
                }
            }
        }
    }
}

/// What a step lists.
fn folder(step: Step) -> Option<Folder> {
    match step {
        Step::CheckGc | Step::RescueGc | Step::ConfirmGc | Step::LookGc | Step::PruneGc => Some(Folder::Gc),
        Step::PurgeLook | Step::LookArchives | Step::TidyLook | Step::PruneLook | Step::DeleteLook => {
            Some(Folder::Archives)
        }
        Step::Open | Step::RescueIndex | Step::LookIndex | Step::ReadLook => Some(Folder::Index),
        Step::CheckPacks | Step::RescuePacks | Step::LookPacks => Some(Folder::Packs),
        _ => None,
    }
}

/// Everything that one actor can do now.
pub(crate) fn moves(scenario: &Scenario, actor: &Actor, who: usize, world: &World, moves: &mut Vec<(Move, World)>) {
    let mut turn = Turn { scenario, world, who, role: actor.name(), moves };
    let process = turn.process();
    if process.has_ended() {
        return;
    }
    let role = actor.role();
    let steps = match process.last() {
        Some(last) if process.listing != 0 => vec![last],
        _ => role.after(scenario, world, process),
    };
    for step in steps {
        match folder(step) {
            Some(folder) => turn.list(role, step, folder),
            None => role.act(scenario, step, &mut turn),
        }
    }
}

/// After a step of anybody. (So processes may swap numbers from one state to the next.)
pub(crate) fn rest(scenario: &Scenario, world: &mut World) {
    if scenario.rules.are_whole() {
        world.forget_dead();
    }
    for (number, actor) in scenario.actors.iter().enumerate() {
        let mut process = world.processes[number];
        actor.role().rest(scenario, world, &mut process);
        world.processes[number] = process;
    }
    // Compactions that do the same are in no order.
    let (mut rest, mut processes) = (scenario.actors.as_slice(), world.processes.as_mut_slice());
    while let Some(first) = rest.first() {
        let equal = |actor: &Actor| match (first, actor) {
            (Actor::Compaction(first), Actor::Compaction(other)) => first == other,
            _ => false,
        };
        let alike = 1 + rest.iter().skip(1).take_while(|actor| equal(actor)).count();
        let (these, others) = processes.split_at_mut(alike);
        these.sort_unstable();
        (rest, processes) = (rest.split_at(alike).1, others);
    }
}

/// A step of a role after another.
pub(crate) type Pair = (protocol::Role, Option<Step>, Step);

/// A scenario that is searched, and what is remembered about it.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    scenario: &'a Scenario,
    honest: Afterwards<'a>,
    /// Every pair of steps that was taken.
    pub(crate) pairs: RefCell<HashSet<Pair>>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, honest: Afterwards::new(scenario), pairs: RefCell::default() }
    }
}

impl Machine for Search<'_> {
    type State = World;
    type Label = Move;

    fn initial(&self) -> World {
        let mut world = World::default();
        let mut named = 0;
        for (chunks, indexed) in self.scenario.packs {
            let pack = world.put_pack(*chunks, false);
            named |= if *indexed { pack } else { 0 };
            world.did = None;
        }
        if named != 0 {
            world.put_segment(named, false);
        }
        if self.scenario.parent != 0 {
            (world.manifests, world.ok, world.counted) = (1, 1, 1);
        }
        world.settle();
        world
    }

    fn encode(&self, world: &World, bytes: &mut Vec<u8>) {
        world.encode(self.scenario.actors.len(), bytes);
    }

    fn decode(&self, bytes: &[u8]) -> World {
        World::decode(self.scenario.actors.len(), bytes)
    }

    fn next(&self, world: &World, next: &mut Vec<(Move, World)>) {
        for (who, actor) in self.scenario.actors.iter().enumerate() {
            moves(self.scenario, actor, who, world, next);
        }
        let mut pairs = self.pairs.borrow_mut();
        for (taken, world) in next {
            pairs.insert((taken.role, taken.previous, taken.step));
            rest(self.scenario, world);
            world.settle();
        }
    }

    fn broken(&self, world: &World) -> Option<String> {
        let mut promises = self.scenario.promises.iter();
        promises.find_map(|promise| match promise {
            Promise::Live => self.honest.broken(world),
            now => now.broken(self.scenario, world),
        })
    }
}
