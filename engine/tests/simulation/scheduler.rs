//! Who runs: one process at a time, from one operation on the store to its next one, in an order that follows from the seed.
//!
//! Whoever comes to an operation chooses who runs next, and waits until that is himself. What an operation does is done under the
//! scheduler's lock, so that operations have one order. The threads of one process that wait together are served in the order of what they ask.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vault_engine::error::{StoreError, StoreErrorKind};
use vault_engine::meta::Timestamp;
use vault_engine::simulation;
use vault_engine::store::{StoreResult, Verb};

use crate::random::Random;
use crate::trace::{Asked, Outcome};
use crate::universe::{START, Universe};
use crate::world::World;

/// A simulation that makes no step for so long hangs.
const HANGS: Duration = Duration::from_mins(1);
/// So much time passes from one operation to the next.
const SECONDS_A_STEP: i64 = 23;

/// What befalls a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    /// It begins after so many steps.
    pub(crate) begins: u64,
    /// How much its clock is off, in seconds.
    pub(crate) clock: i64,
    /// It is so many times as likely to run as another.
    pub(crate) weight: usize,
    /// What befalls its operations, by their number.
    pub(crate) blows: Vec<(u64, Blow)>,
    /// The version that it sees of what it archives.
    pub(crate) version: Option<usize>,
}

/// What befalls one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It does not happen, and says so.
    Fails,
    /// It happens, and its answer is lost.
    AnswerLost,
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it.
    DiesAfter,
}

/// How turns are given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How often in a thousand whoever runs goes on.
    pub(crate) stays: usize,
    /// How often in a thousand an operation is followed by a pause.
    pub(crate) pauses: usize,
    /// Pauses are up to 2^n steps long.
    pub(crate) pause_bits: usize,
}

#[derive(Debug)]
struct Seat {
    fate: Fate,
    operations: u64,
    asleep_until: u64,
    waiting: BTreeSet<(String, u64)>,
    crashed: bool,
    struck: bool,
    gone: bool,
}

#[derive(Debug)]
struct State {
    seats: Vec<Seat>,
    running: Option<usize>,
    /// The turn of whoever runs has not been taken up yet.
    open: bool,
    tickets: u64,
    step: u64,
    shown: Option<usize>,
    random: Random,
    manners: Manners,
    world: World,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Scheduler {
    universe: Arc<Universe>,
    state: Mutex<State>,
    turns: Vec<Condvar>,
    over: Condvar,
}

impl Scheduler {
    /// For processes with these fates.
    pub(crate) fn new(
        universe: Arc<Universe>,
        fates: Vec<Fate>,
        manners: Manners,
        random: Random,
        world: World,
    ) -> Self {
        let turns = fates.iter().map(|_| Condvar::new()).collect();
        let seat = |fate: Fate| Seat {
            asleep_until: world.step + fate.begins,
            fate,
            operations: 0,
            waiting: BTreeSet::new(),
            crashed: false,
            struck: false,
            gone: false,
        };
        let step = world.step;
        let seats = fates.into_iter().map(seat).collect();
        let state = State { seats, running: None, open: false, tickets: 0, step, shown: None, random, manners, world };
        Self { universe, state: Mutex::new(state), turns, over: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the processes run until all have ended; what became of the world.
    pub(crate) fn run(&self) -> World {
        let mut state = self.lock();
        self.give_turn(&mut state);
        let mut seen = state.step;
        while state.running.is_some() {
            let (next, waited) = self.over.wait_timeout(state, HANGS).unwrap_or_else(PoisonError::into_inner);
            state = next;
            assert!(!waited.timed_out() || state.step > seen, "nobody makes a step; {:?} runs", state.running);
            seen = state.step;
        }
        std::mem::replace(&mut state.world, World::empty())
    }

    /// One operation of a process, when its turn comes.
    pub(crate) fn act<T>(
        &self,
        process: usize,
        asked: &Asked,
        effect: impl FnOnce(&mut World, &mut Random) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let mut state = self.wait_for_turn(process, asked)?;
        state.step += 1;
        let blow = state.blow(process);
        let state_now = &mut *state;
        state_now.world.step = state_now.step;
        let result = match blow {
            Some(Blow::Fails | Blow::DiesBefore) => Err(lost(asked)),
            Some(Blow::AnswerLost | Blow::DiesAfter) => {
                let happened = effect(&mut state_now.world, &mut state_now.random);
                happened.and_then(|_| Err(lost(asked)))
            }
            None => effect(&mut state_now.world, &mut state_now.random),
        };
        let outcome = match (blow, &result) {
            (Some(blow), _) => Outcome::Struck(blow),
            (None, Ok(_)) => Outcome::Done,
            (None, Err(error)) => Outcome::Refused(error.kind),
        };
        state_now.world.record(process, asked, outcome, &mut state_now.random);
        state_now.maybe_pause(process, asked.verb);
        if matches!(blow, Some(Blow::DiesBefore | Blow::DiesAfter)) {
            state.seats[process].crashed = true;
            self.turns[process].notify_all();
        } else if !state.seats[process].waiting.is_empty() {
            // Whoever was served may be waiting for these.
            state.open = true;
            self.turns[process].notify_all();
        }
        result
    }

    /// Waits for the first turn of a process.
    pub(crate) fn enter(&self, process: usize) {
        let asked = Asked::beginning();
        drop(self.wait_for_turn(process, &asked));
    }

    /// A process has ended.
    pub(crate) fn leave(&self, process: usize) {
        let mut state = self.lock();
        state.seats[process].gone = true;
        if state.running == Some(process) {
            self.give_turn(&mut state);
        }
    }

    /// Whether a process died, and whether anything befell it.
    pub(crate) fn befell(&self, process: usize) -> (bool, bool) {
        let state = self.lock();
        (state.seats[process].crashed, state.seats[process].struck)
    }

    /// A word with the world, by whoever runs.
    pub(crate) fn world<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
        with(&mut self.lock().world)
    }

    fn wait_for_turn(&self, process: usize, asked: &Asked) -> StoreResult<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.tickets += 1;
        let ticket = (asked.to_string(), state.tickets);
        if !state.is_turn_of(process) && !state.seats[process].crashed {
            state.seats[process].waiting.insert(ticket.clone());
            if state.running == Some(process) {
                self.give_turn(&mut state);
            }
        }
        loop {
            let seat = &state.seats[process];
            if seat.crashed {
                state.seats[process].waiting.remove(&ticket);
                return Err(lost(asked));
            }
            if state.is_turn_of(process) && seat.waiting.first().is_none_or(|first| *first == ticket) {
                state.seats[process].waiting.remove(&ticket);
                state.open = false;
                return Ok(state);
            }
            state = self.turns[process].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Chooses who runs next, and shows him his clock and what he archives.
    fn give_turn(&self, state: &mut State) {
        state.running = state.choose();
        state.open = true;
        let Some(next) = state.running else {
            self.over.notify_all();
            return;
        };
        let fate = &state.seats[next].fate;
        let passed = i64::try_from(state.step).unwrap() * SECONDS_A_STEP;
        simulation::set_now(Timestamp { seconds: START.seconds + passed + fate.clock, ..START });
        if let Some(version) = fate.version
            && state.shown != Some(version)
        {
            self.universe.show(version);
            state.shown = Some(version);
        }
        self.turns[next].notify_all();
    }
}

impl State {
    fn is_turn_of(&self, process: usize) -> bool {
        self.running == Some(process) && self.open
    }

    fn choose(&mut self) -> Option<usize> {
        let there: Vec<usize> = (0..self.seats.len()).filter(|at| !self.seats[*at].gone).collect();
        let first_awake = there.iter().map(|at| self.seats[*at].asleep_until).min()?;
        // While all sleep time passes.
        self.step = self.step.max(first_awake);
        let awake: Vec<usize> = there.into_iter().filter(|at| self.seats[*at].asleep_until <= self.step).collect();
        if let Some(running) = self.running.filter(|running| awake.contains(running))
            && self.random.per_mille(self.manners.stays)
        {
            return Some(running);
        }
        let weights: usize = awake.iter().map(|at| self.seats[*at].fate.weight).sum();
        let mut drawn = self.random.below(weights);
        awake.into_iter().find(|at| {
            let weight = self.seats[*at].fate.weight;
            let found = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            found
        })
    }

    fn blow(&mut self, process: usize) -> Option<Blow> {
        let seat = &mut self.seats[process];
        seat.operations += 1;
        let blow = seat.fate.blows.iter().find(|(number, _)| *number == seat.operations).map(|(_, blow)| *blow);
        seat.struck |= blow.is_some();
        blow
    }

    /// Pauses are more frequent where something was just seen or changed that others may change or see.
    fn maybe_pause(&mut self, process: usize, verb: Verb) {
        let critical = if verb.is_change() || verb == Verb::List { 4 } else { 1 };
        if self.random.per_mille(self.manners.pauses * critical) {
            self.seats[process].asleep_until = self.step + self.random.of_any_size(self.manners.pause_bits);
        }
    }
}

fn lost(asked: &Asked) -> StoreError {
    StoreError::new(asked.verb.name(), asked.key.clone(), StoreErrorKind::Other)
}
