//! What happens in one seed: some nights, each with processes that run at the same time.

use std::fs;
use std::sync::Arc;

use vault_engine::simulation;

use crate::flaw::{Broken, Flaw};
use crate::oracle::{judge, restore_all};
use crate::process::{Process, Runner, Task};
use crate::random::Random;
use crate::scheduler::{Blow, Fate, Manners, Scheduler};
use crate::trace::Trace;
use crate::universe::{START, Universe};
use crate::world::{Actor, World};

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
}

/// Runs a seed.
pub(crate) fn run(universe: &Arc<Universe>, seed: u64, broken: Broken) -> Story {
    let mut random = Random::new(seed, "scenario");
    simulation::begin(seed, START);
    let folder = universe.folder("seed");
    fs::create_dir(&folder).unwrap();
    let mut world = World::new(&universe.empty, Flaw::new(broken));
    let mut ran = 0;
    for night in 0..random.between(1, 3) {
        let processes = night_of(universe, &mut random, night);
        world = run_night(universe, &processes, &mut random, world, &folder);
        world.remember();
        ran += processes.len();
    }
    assert!(ran > 0);
    let verdict = verdict(universe, &world);
    simulation::end();
    fs::remove_dir_all(&folder).unwrap();
    let (promised, moments) = (world.promises.made.len(), world.moments.len());
    Story { trace: world.trace, verdict, promised, moments }
}

fn verdict(universe: &Universe, world: &World) -> Result<(), String> {
    if let Some(wrong) = world.wrong.first() {
        return Err(wrong.clone());
    }
    world.moments.iter().try_for_each(|moment| judge(universe, moment))?;
    match world.moments.last() {
        Some(last) => restore_all(universe, &last.files, &last.promises),
        None => Ok(()),
    }
}

fn run_night(
    universe: &Arc<Universe>,
    processes: &[Process],
    random: &mut Random,
    mut world: World,
    folder: &std::path::Path,
) -> World {
    let fates = processes.iter().map(|process| process.fate.clone()).collect();
    let actor = |process: &Process| Actor { name: process.name.clone(), deletes: process.deletes() };
    world.actors = processes.iter().map(actor).collect();
    let manners = Manners {
        stays: *random.pick(&[0, 500, 900, 980]),
        pauses: *random.pick(&[0, 5, 20, 60]),
        pause_bits: *random.pick(&[4, 8, 12]),
    };
    let scheduler = Scheduler::new(Arc::clone(universe), fates, manners, random.clone(), world);
    random.below(2);
    let scheduler = Arc::new(scheduler);
    let runner =
        Runner { universe: Arc::clone(universe), scheduler: Arc::clone(&scheduler), folder: folder.to_owned() };
    std::thread::scope(|threads| {
        for (number, process) in processes.iter().enumerate() {
            let runner = &runner;
            threads.spawn(move || runner.run(number, process));
        }
        scheduler.run()
    })
}

/// The processes of one night.
fn night_of(universe: &Universe, random: &mut Random, night: usize) -> Vec<Process> {
    let mut tasks = Vec::new();
    for _ in 0..random.between(1, 5) {
        let host = u8::try_from(random.below(3)).unwrap();
        let name = random.pick(&["etc", "srv"]).to_string();
        tasks.push(Task::Create { host, name, version: random.below(universe.versions.len()) });
    }
    for _ in 0..random.below(3) {
        tasks.push(Task::Restore { which: random.below(100) });
    }
    for _ in 0..random.below(3) {
        tasks.push(Task::Delete { which: random.below(100) });
    }
    let troubled = random.per_mille(700);
    let with_fate = |(number, task): (usize, Task)| {
        let word = match task {
            Task::Create { .. } => "create",
            Task::Restore { .. } => "restore",
            Task::Delete { .. } => "delete",
        };
        let version = if let Task::Create { version, .. } = task { Some(version) } else { None };
        let fate = Fate { version, ..fate(random, troubled) };
        let (cached, paged) = (random.per_mille(500), random.per_mille(500));
        Process { name: format!("{word}-{night}.{number}"), task, fate, cached, paged }
    };
    tasks.into_iter().enumerate().map(with_fate).collect()
}

fn fate(random: &mut Random, troubled: bool) -> Fate {
    let clock = if random.per_mille(500) { 0 } else { i64::try_from(random.below(2 * 365 * 24 * 3600)).unwrap() - YEAR };
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
