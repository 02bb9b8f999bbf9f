//! Breadth-first search through every state that can be reached, with the shortest trace to a bad one.
//!
//! A state is kept as the few bytes that encode it, in one arena that is also the queue; a table of numbers finds it again. Nothing is
//! hashed away: two states are the same when their bytes are.

use std::fmt::Debug;

/// What is searched.
pub(crate) trait Machine {
    type State: Clone;
    type Label: Clone + Debug;

    fn initial(&self) -> Self::State;
    /// Appends the bytes that are the state.
    fn encode(&self, state: &Self::State, bytes: &mut Vec<u8>);
    fn decode(&self, bytes: &[u8]) -> Self::State;
    /// Everything that can happen next.
    fn next(&self, state: &Self::State, moves: &mut Vec<(Self::Label, Self::State)>);
    /// What is wrong with a state.
    fn broken(&self, state: &Self::State) -> Option<String>;
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Outcome<Label> {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    /// Every state was searched, or the search ended at a violation.
    pub(crate) complete: bool,
    pub(crate) violation: Option<Violation<Label>>,
}

/// A promise that was broken, and the shortest way there.
#[derive(Debug)]
pub(crate) struct Violation<Label> {
    pub(crate) what: String,
    pub(crate) trace: Vec<Label>,
}

/// States in the order in which they were found.
struct Found {
    bytes: Vec<u8>,
    /// Where each state ends in `bytes`.
    ends: Vec<usize>,
    parents: Vec<u32>,
    /// Open addressing; a number is that of a state and one more.
    table: Vec<u32>,
}

impl Found {
    fn new() -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), parents: Vec::new(), table: vec![0; 1 << 12] }
    }

    fn state(&self, number: usize) -> &[u8] {
        let begin = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[begin..self.ends[number]]
    }

    fn slot(&self, state: &[u8]) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = usize::try_from(hash(state) >> 20).unwrap() & mask;
        while self.table[slot] != 0 && self.state(self.table[slot] as usize - 1) != state {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Whether the state is new.
    fn add(&mut self, state: &[u8], parent: u32) -> bool {
        let slot = self.slot(state);
        if self.table[slot] != 0 {
            return false;
        }
        self.bytes.extend_from_slice(state);
        self.ends.push(self.bytes.len());
        self.parents.push(parent);
        self.table[slot] = u32::try_from(self.ends.len()).expect("fewer than four thousand million states");
        if self.ends.len() * 2 > self.table.len() {
            self.grow();
        }
        true
    }

    fn grow(&mut self) {
        self.table = vec![0; self.table.len() * 2];
        for number in 0..self.ends.len() {
            let slot = self.slot(self.state(number));
            self.table[slot] = u32::try_from(number + 1).unwrap();
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(ODD);
        hash ^= hash >> 29;
    };
    for word in words.by_ref() {
        mix(u64::from_le_bytes(word.try_into().unwrap()));
    }
    mix(words.remainder().iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    hash.wrapping_mul(ODD)
}

/// Searches until something is broken, everything was seen, or `most` states were.
pub(crate) fn search<M: Machine>(machine: &M, most: usize) -> Outcome<M::Label> {
    let mut found = Found::new();
    let mut bytes = Vec::new();
    let mut moves = Vec::new();
    let initial = machine.initial();
    machine.encode(&initial, &mut bytes);
    found.add(&bytes, 0);
    let mut violation = machine.broken(&initial).map(|what| Violation { what, trace: Vec::new() });
    let (mut depth, mut level_ends, mut number) = (0, 1, 0);
    while violation.is_none() && number < found.ends.len() && found.ends.len() <= most {
        if number == level_ends {
            (depth, level_ends) = (depth + 1, found.ends.len());
        }
        let state = machine.decode(found.state(number));
        machine.next(&state, &mut moves);
        for (_, next) in moves.drain(..) {
            bytes.clear();
            machine.encode(&next, &mut bytes);
            if found.add(&bytes, u32::try_from(number).unwrap())
                && let Some(what) = machine.broken(&next)
            {
                let trace = trace(machine, &found, found.ends.len() - 1);
                violation = Some(Violation { what, trace });
                break;
            }
        }
        number += 1;
    }
    Outcome { states: found.ends.len(), depth, complete: violation.is_some() || number == found.ends.len(), violation }
}

/// The labels on the way to a state, taken again from its ancestors.
fn trace<M: Machine>(machine: &M, found: &Found, last: usize) -> Vec<M::Label> {
    let mut trace = Vec::new();
    let mut moves = Vec::new();
    let mut number = last;
    while number != 0 {
        let parent = found.parents[number] as usize;
        moves.clear();
        machine.next(&machine.decode(found.state(parent)), &mut moves);
        let step = moves.drain(..).find(|(_, state)| {
            let mut bytes = Vec::new();
            machine.encode(state, &mut bytes);
            bytes == found.state(number)
        });
        trace.push(step.expect("a state follows from its parent").0);
        number = parent;
    }
    trace.reverse();
    trace
}

/// A counter with a hole.
struct Stairs;

impl Machine for Stairs {
    type State = u8;
    type Label = &'static str;

    fn initial(&self) -> u8 {
        0
    }

    fn encode(&self, state: &u8, bytes: &mut Vec<u8>) {
        bytes.push(*state);
    }

    fn decode(&self, bytes: &[u8]) -> u8 {
        bytes[0]
    }

    fn next(&self, state: &u8, moves: &mut Vec<(&'static str, u8)>) {
        if *state < 100 {
            moves.push(("one", state + 1));
            moves.push(("ten", state + 10));
        }
    }

    fn broken(&self, state: &u8) -> Option<String> {
        (*state == 23).then(|| "23".to_owned())
    }
}

#[test]
fn the_shortest_way_is_found() {
    let outcome = search(&Stairs, 1000);
    let violation = outcome.violation.unwrap();
    assert_eq!(violation.trace.len(), 5, "two tens and three ones: {:?}", violation.trace);
    assert!(!search(&Stairs, 10).complete);
}
