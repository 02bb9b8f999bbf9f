//! A deterministic simulation: the engine's own code, many processes at once, over a store in memory, in an order that follows from a seed.
//! docs/testing.md says how to run it.

#![cfg(debug_assertions)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what helps a test fails as the test would"
)]

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::flaw::Broken;
use crate::scenario::{Story, run};
use crate::universe::Universe;

mod flaw;
mod oracle;
mod process;
mod random;
mod scenario;
mod scheduler;
mod store;
mod trace;
mod universe;
mod world;

/// Seeds of a normal test run.
const SEEDS: Range<u64> = 0..300;
/// So many operations before the end are shown of a seed that fails.
const SHOWN: usize = 60;

/// The hooks are global, so tests take turns.
fn universe() -> (Arc<Universe>, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (Arc::new(Universe::new()), turn)
}

/// `VAULT_SIMULATION_SEEDS=FROM..TO`, or the usual ones.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("VAULT_SIMULATION_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("VAULT_SIMULATION_SEEDS is FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[track_caller]
fn assert_right(seed: u64, story: &Story) {
    let Err(problem) = &story.verdict else { return };
    let lines = story.trace.lines();
    let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    let words: Vec<_> = problem.split(' ').map(|word| story.trace.short(word)).collect();
    panic!(
        "seed {seed}: {}\n{last}\n\nagain: VAULT_SIMULATION_SEEDS={seed}..{} cargo test -p vault-engine --test simulation \
         what_was_promised",
        words.join(" "),
        seed + 1
    );
}

#[test]
fn what_was_promised_is_true_whatever_happens() {
    let (universe, _turn) = universe();
    for seed in seeds() {
        assert_right(seed, &run(&universe, seed, Broken::Nothing));
    }
}

#[test]
fn a_seed_gives_the_same_story_every_time() {
    let (universe, _turn) = universe();
    for seed in seeds().take(30) {
        let (first, second) = (run(&universe, seed, Broken::Nothing), run(&universe, seed, Broken::Nothing));
        let (first, second) = (first.trace.0, second.trace.0);
        for (one, other) in first.iter().zip(&second) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
