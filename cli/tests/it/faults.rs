//! The real program, ended or refused at every moment that matters: what was archived before restores, the next run needs no help,
//! the exit code tells the truth.
//!
//! A sample belongs to the tests. `VAULT_KILLS=all` and `VAULT_FAULTS=all` try every moment (docs/testing.md).

mod calls;
mod errors;
mod kills;
mod stage;
mod tracer;
mod verbs;

use std::collections::BTreeMap;

use stage::Stage;
use tracer::{Act, Call, Traced, trace};
use verbs::Verb;

/// Which moments of how many are tried: all of them, or so many, and the seed says which.
struct Sample {
    all: bool,
    most: usize,
    seed: usize,
}

impl Sample {
    fn new(variable: &str, most: usize) -> Self {
        let asked = std::env::var(variable).unwrap_or_default();
        let seed = asked.strip_prefix("seed:").map(|seed| seed.parse().expect("a number is expected behind seed:"));
        let moment = vault_engine::clock::now().nanoseconds as usize;
        Self { all: asked == "all", most, seed: seed.unwrap_or(moment) }
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

/// Runs the verb on what was prepared, with this happening to one of its calls.
fn attempt(stage: &Stage, verb: &Verb, counts: &dyn Fn(&Call) -> bool, at: usize, act: Act) -> Traced {
    stage.reset();
    trace(&(verb.command)(stage), counts, at, act)
}
