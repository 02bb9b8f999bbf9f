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
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vault_engine::store::Kind;

use crate::flaw::Broken;
use crate::scenario::{Story, run};
use crate::steps::Taken;
use crate::universe::Universe;

mod flaw;
mod history;
mod oracle;
mod process;
#[allow(
    dead_code,
    unreachable_pub,
    clippy::match_same_arms,
    reason = "a table, shared with the model, which uses other parts"
)]
#[path = "../protocol/mod.rs"]
mod protocol;
mod random;
mod scenario;
mod scheduler;
mod settle;
mod steps;
mod store;
mod trace;
mod universe;
mod world;

/// Seeds of a normal test run.
const SEEDS: Range<u64> = 0..300;
/// So many operations before the end are shown of a seed that fails; `VAULT_SIMULATION_SHOWN` is another number.
const SHOWN: usize = 60;
/// So many seeds that fail are named.
const NAMED: usize = 100;

/// The hooks are global, so tests take turns.
fn universe() -> (Arc<Universe>, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (Arc::new(Universe::new()), turn)
}

/// `VAULT_SIMULATION_SEEDS=FROM..TO`, in `VAULT_SIMULATION_JOBS` processes; or the usual ones.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("VAULT_SIMULATION_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("VAULT_SIMULATION_SEEDS is FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// What is wrong, in the words of the trace.
fn problem(story: &Story) -> Option<String> {
    let problem = story.verdict.as_ref().err()?;
    Some(problem.split(' ').map(|word| story.trace.short(word)).collect::<Vec<_>>().join(" "))
}

/// The last operations of a seed, and how to see it again.
fn show(seed: u64, story: &Story) {
    let shown = std::env::var("VAULT_SIMULATION_SHOWN").map_or(SHOWN, |text| text.parse().expect("a number"));
    let lines = story.trace.lines();
    println!("{}", lines[lines.len().saturating_sub(shown)..].join("\n"));
    let next = seed + 1;
    println!(
        "seed {seed}: {}\nagain: VAULT_SIMULATION_SEEDS={seed}..{next} cargo test -p vault-engine --test simulation what_was_promised",
        problem(story).unwrap_or_default()
    );
}

/// What many seeds did.
#[derive(Debug, Default)]
struct Campaign {
    seeds: u64,
    operations: usize,
    promised: usize,
    moments: usize,
    steps: Taken,
    /// Of all that happened: the same seeds give the same, whenever and wherever they run.
    hash: blake3::Hasher,
    failed: Vec<String>,
}

impl Campaign {
    fn add(&mut self, seed: u64, story: Story) {
        if let Some(problem) = problem(&story) {
            if self.failed.is_empty() {
                show(seed, &story);
            }
            self.failed.push(format!("seed {seed}: {problem}"));
        }
        self.seeds += 1;
        self.operations += story.trace.0.len();
        self.promised += story.promised;
        self.moments += story.moments;
        for line in story.trace.lines() {
            self.hash.update(line.as_bytes());
        }
        for (step, times) in story.steps {
            *self.steps.entry(step).or_default() += times;
        }
        if self.seeds.is_multiple_of(1000) {
            self.report();
        }
    }

    fn report(&self) {
        let Self { seeds, operations, promised, moments, .. } = self;
        let (failed, hash) = (self.failed.len(), self.hash.finalize().to_hex());
        println!(
            "{seeds} seeds, {failed} failed; {operations} operations, {promised} archives, {moments} moments; {}",
            &hash[..16]
        );
    }
}

/// Runs a range of seeds in so many processes.
fn share_out(seeds: &Range<u64>, jobs: u64) {
    let each = (seeds.end - seeds.start).div_ceil(jobs).max(1);
    let part = |job: u64| seeds.start + job * each..(seeds.start + (job + 1) * each).min(seeds.end);
    let children = (0..jobs).map(part).filter(|part| !part.is_empty()).map(|part| {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "what_was_promised_is_true_whatever_happens", "--nocapture"]);
        again
            .env("VAULT_SIMULATION_SEEDS", format!("{}..{}", part.start, part.end))
            .env_remove("VAULT_SIMULATION_JOBS");
        again.spawn().unwrap()
    });
    let children: Vec<_> = children.collect();
    let ended: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().success()).collect();
    assert!(ended.into_iter().all(|well| well), "some seeds failed: see above");
}

#[test]
fn what_was_promised_is_true_whatever_happens() {
    let jobs = std::env::var("VAULT_SIMULATION_JOBS").map_or(1, |text| text.parse().expect("a number"));
    if jobs > 1 {
        return share_out(&seeds(), jobs);
    }
    let (universe, _turn) = universe();
    let mut campaign = Campaign::default();
    for seed in seeds() {
        campaign.add(seed, run(&universe, seed, Broken::Nothing));
    }
    campaign.report();
    println!("{:?}", campaign.steps);
    let Campaign { seeds, failed, .. } = campaign;
    let named = failed.iter().take(NAMED).cloned().collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{} of {seeds} seeds failed:\n{named}", failed.len());
}

/// Each of these stores breaks one of the promises that the proof needs.
#[test]
fn the_oracle_notices_stores_that_break_their_promises() {
    let (universe, _turn) = universe();
    let flaws = [
        Broken::StaleListing(Kind::Packs),
        Broken::StaleListing(Kind::Archives),
        Broken::HidesNew(Kind::Archives),
        Broken::HidesNew(Kind::Gc),
        Broken::Omits(Kind::Archives),
        Broken::Forgets(Kind::Index),
    ];
    let mut blind = Vec::new();
    for broken in flaws {
        // Found wrong by looking at the archives, not by what a process had to say.
        let is_noticed =
            |seed: &u64| run(&universe, *seed, broken).verdict.is_err_and(|problem| problem.starts_with("at step"));
        match SEEDS.into_iter().find(is_noticed) {
            Some(seed) => println!("{broken:?}: noticed in seed {seed}"),
            None => blind.push(broken),
        }
    }
    assert!(blind.is_empty(), "not noticed: {blind:?}");
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
