//! The real program, ended or refused at every moment that matters: what was archived before restores, the next run needs no help,
//! the exit code tells the truth.
//!
//! A sample belongs to the tests; `VAULT_KILLS`, `VAULT_FAULTS` and `VAULT_POWER_CUTS` ask for more (docs/testing.md).

mod calls;
mod disks;
mod errors;
mod kills;
mod power;
mod short;
mod stage;
mod tracer;
mod verbs;

use std::collections::BTreeMap;

use stage::Stage;
use tracer::{Act, Call, Traced, trace};
use verbs::Verb;

use crate::machine::skip_missing;

/// Which moments of how many are tried: all of them, or so many; the seed says which.
#[derive(Clone, Copy)]
struct Sample {
    all: bool,
    most: usize,
    seed: usize,
}

impl Sample {
    fn new(variable: &str, most: usize) -> Self {
        let asked = std::env::var(variable).unwrap_or_default();
        let seed =
            std::env::var("VAULT_FAULT_SEED").ok().map(|seed| seed.parse().expect("VAULT_FAULT_SEED is a number"));
        let moment = usize::try_from(vault_engine::clock::now().nanoseconds).unwrap();
        Self { all: asked == "all", most: asked.parse().unwrap_or(most), seed: seed.unwrap_or(moment) }
    }

    /// Begins somewhere in the first stride.
    fn of(&self, moments: usize) -> Vec<usize> {
        let stride = if self.all { 1 } else { moments.div_ceil(self.most).max(1) };
        (self.seed % stride..moments).step_by(stride).collect()
    }
}

/// How often each call was the one that it happened to.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn add(&mut self, name: impl Into<String>) {
        *self.0.entry(name.into()).or_default() += 1;
    }

    fn total(&self) -> usize {
        self.0.values().sum()
    }

    fn print(&self, title: &str) {
        let counts: Vec<String> = self.0.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("{title}: {}: {}", self.total(), counts.join(", "));
    }
}

/// Whether programs can be traced; says so if not.
fn may_trace(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip_missing(test, "root, to see which files a program that keeps secrets has open");
    }
    root
}

/// What is on the disk differs before and after these only, and what the caller was told before and after the last.
fn changes_the_disk(call: &Call) -> bool {
    (call.changes && !call.paths.is_empty()) || call.name == "exit_group"
}

/// Runs the verb on what was prepared, with this happening to one of its calls.
fn attempt(stage: &Stage, verb: &Verb, counts: &dyn Fn(&Call) -> bool, at: usize, act: Act) -> Traced {
    stage.reset();
    trace(&(verb.command)(stage), counts, at, act)
}
