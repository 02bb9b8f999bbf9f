//! What happens in one seed: some nights, each with processes that run at the same time.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use vault_engine::ops::compact::CompactOptions;
use vault_engine::ops::prune::{Count, Period, Rules};
use vault_engine::simulation;

use crate::flaw::{Broken, Flaw};
use crate::oracle::{judge, restore_all};
use crate::process::{Process, Runner, Task};
use crate::protocol::Role;
use crate::random::Random;
use crate::scheduler::{Blow, Fate, Manners, Scheduler};
use crate::settle::settle;
use crate::steps::{Followed, Taken};
use crate::trace::Trace;
use crate::universe::{START, Universe};
use crate::world::{Actor, Moment, Promises, World};

const YEAR: i64 = 365 * 24 * 3600;

/// What a seed did.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) trace: Trace,
    /// What is wrong, if anything is.
    pub(crate) verdict: Result<(), String>,
    /// Archives that were promised.
    pub(crate) promised: usize,
    pub(crate) moments: usize,
    /// Steps of the protocol that were taken.
    pub(crate) steps: Taken,
}

/// Runs a seed.
pub(crate) fn run(universe: &Arc<Universe>, seed: u64, broken: Broken) -> Story {
    let mut random = Random::new(seed, "scenario");
    simulation::begin(seed, START);
    let folder = universe.folder("seed");
    fs::create_dir(&folder).unwrap();
    let history = random.pick(&universe.histories);
    let mut world = World::new(&history.files, Flaw::new(broken));
    world.promises = history.promises.clone();
    let mut ran = 0;
    let versions: Vec<_> = (0..4).map(|_| *random.pick(&history.versions)).collect();
    for night in 0..random.between(1, 3) {
        let processes = night_of(&versions, &mut random, night);
        let turns = Random::new(seed, &format!("night {night}"));
        world = run_night(universe, &processes, turns, world, &folder);
        world.remember();
        ran += processes.len();
    }
    assert!(ran > 0);
    let verdict = verdict(universe, &world);
    simulation::end();
    fs::remove_dir_all(&folder).unwrap();
    let (promised, moments) = (world.promises.made.len(), world.moments.len());
    Story { trace: world.trace, verdict, promised, moments, steps: world.steps }
}

fn verdict(universe: &Universe, world: &World) -> Result<(), String> {
    world.moments.iter().try_for_each(|moment| judge(universe, moment))?;
    if let Some(wrong) = world.wrong.first() {
        return Err(wrong.clone());
    }
    let files = settle(universe, &world.store.snapshot())?;
    let end = Moment { step: world.step, files, promises: world.promises.clone() };
    judge(universe, &end)?;
    restore_all(universe, &end.files, &end.promises)
}

fn run_night(
    universe: &Arc<Universe>,
    processes: &[Process],
    mut random: Random,
    mut world: World,
    folder: &std::path::Path,
) -> World {
    let fates = processes.iter().map(|process| process.fate.clone()).collect();
    let actor = |process: &Process| Actor {
        name: process.name.clone(),
        deletes: process.deletes(),
        takes_back: process.role() == Role::Writer,
        steps: Followed::new(process.role()),
        began: 0,
        told: Promises::default(),
    };
    world.actors = processes.iter().map(actor).collect();
    let manners = Manners {
        stays: *random.pick(&[0, 500, 900, 980]),
        pauses: *random.pick(&[0, 5, 20, 60]),
        pause_bits: *random.pick(&[4, 8, 12]),
    };
    let scheduler = Scheduler::new(Arc::clone(universe), fates, manners, random, world);
    let scheduler = Arc::new(scheduler);
    let runner =
        Runner { universe: Arc::clone(universe), scheduler: Arc::clone(&scheduler), folder: folder.to_owned() };
    let mut world = std::thread::scope(|threads| {
        for (number, process) in processes.iter().enumerate() {
            let runner = &runner;
            threads.spawn(move || runner.run(number, process));
        }
        scheduler.run()
    });
    for actor in std::mem::take(&mut world.actors) {
        for (step, times) in actor.steps.taken {
            *world.steps.entry(step).or_default() += times;
        }
    }
    world
}

/// The processes of one night.
fn night_of(versions: &[usize], random: &mut Random, night: usize) -> Vec<Process> {
    let mut tasks = Vec::new();
    for _ in 0..random.between(1, 5) {
        let host = u8::try_from(random.below(2)).unwrap();
        let name = random.pick(&["srv", "srv", "etc"]).to_string();
        tasks.push(Task::Create { host, name, version: *random.pick(versions) });
    }
    for _ in 0..random.below(3) {
        tasks.push(Task::Restore { which: random.below(100) });
    }
    for _ in 0..random.below(4) {
        let which = random.below(100);
        tasks.push(match random.below(4) {
            0 => Task::Delete { which },
            1 => Task::Undelete { which },
            2 => Task::Protect { which },
            _ => Task::Prune { rules: rules(random) },
        });
    }
    for _ in 0..random.between(1, 3) {
        let threshold = u8::try_from(random.below(101)).unwrap();
        let max_repack = if random.per_mille(800) { None } else { Some(random.of_any_size(16)) };
        let grace = if random.per_mille(700) { Duration::ZERO } else { CompactOptions::default().grace };
        let options = CompactOptions { threshold, max_repack, grace, jobs: Some(1), ..CompactOptions::default() };
        let host = *random.pick(&[0, 1, 9]);
        tasks.push(Task::Compact { host, options });
    }
    let troubled = random.per_mille(700);
    let with_fate = |(number, task): (usize, Task)| {
        let version = if let Task::Create { version, .. } = task { Some(version) } else { None };
        let fate = Fate { version, ..fate(random, troubled) };
        let (cached, paged) = (random.per_mille(500), random.per_mille(500));
        Process { name: format!("{}-{night}.{number}", task.verb()), task, fate, cached, paged }
    };
    tasks.into_iter().enumerate().map(with_fate).collect()
}

/// Rules that keep something.
fn rules(random: &mut Random) -> Rules {
    let count = |random: &mut Random| Count::Of(u32::try_from(random.between(1, 3)).unwrap());
    let mut keep = vec![(*random.pick(&[Period::Last, Period::Hourly, Period::Daily]), count(random))];
    if random.per_mille(500) {
        keep.push((*random.pick(&[Period::Weekly, Period::Monthly]), count(random)));
    }
    Rules { keep, ..Rules::default() }
}

fn fate(random: &mut Random, troubled: bool) -> Fate {
    let clock =
        if random.per_mille(500) { 0 } else { i64::try_from(random.below(2 * 365 * 24 * 3600)).unwrap() - YEAR };
    let mut blows = Vec::new();
    if troubled && random.per_mille(250) {
        let blow = *random.pick(&[Blow::DiesBefore, Blow::DiesAfter]);
        blows.push((random.of_any_size(8), blow));
    }
    if troubled && random.per_mille(200) {
        let blow = *random.pick(&[Blow::Fails, Blow::AnswerLost]);
        blows.push((random.of_any_size(7), blow));
    }
    let begins = if random.per_mille(500) { 0 } else { random.of_any_size(9) };
    Fate { begins, clock, weight: *random.pick(&[1, 1, 2, 8]), blows, version: None }
}
