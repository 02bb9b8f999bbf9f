//! How near `create` and `check --read-data` come to what nobody can leave out: the single-core time of each stage, for exactly the bytes
//! of a volume, against the wall time of the program on all cores.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use crate::data::{self, DataSet, Volume};
use crate::measure::{Cost, Neighbours, first_core, measure, pin};
use crate::say;
use crate::tools::{Place, Step, Tool, with_key_file};

mod report;
mod stages;

pub use report::{Efficiency, LimitReport, Run, SetLimit, StageLine};
pub use stages::{Stages, Work};

/// What to measure.
#[derive(Clone, Debug)]
pub struct LimitOptions {
    /// On which data.
    pub sets: Vec<DataSet>,
    /// Of about so many bytes each.
    pub size: u64,
    /// How often; medians are shown.
    pub runs: u32,
    /// A folder that is empty and that the caller removes.
    pub scratch: PathBuf,
    /// The program.
    pub vault: Tool,
}

/// Measures stages and program in turn; says on standard error what it is doing.
///
/// # Errors
/// The data could not be made or read, or the program failed.
pub fn limit(options: &LimitOptions) -> Result<LimitReport> {
    let neighbours = Neighbours::watch();
    let mut report = LimitReport::new(&options.vault, options.runs);
    for set in &options.sets {
        say(&format!("{}: making the data", set.name()));
        let volume = data::generate(set, options.size, &options.scratch.join("data"))?;
        let mut runs = Vec::new();
        for number in 1..=options.runs {
            say(&format!("{}: run {number} of {}", set.name(), options.runs));
            runs.push(run(options, &volume)?);
        }
        if !matches!(set, DataSet::Folder(_)) {
            fs::remove_dir_all(&volume.path)?;
        }
        report.add(set, &volume, runs)?;
    }
    report.neighbours = neighbours.share();
    Ok(report)
}

fn run(options: &LimitOptions, volume: &Volume) -> Result<Run> {
    let core = first_core()?;
    let stages = on_core(core, || stages::measure(&volume.path, &options.scratch.join("sealed")))?;
    let trial = Trial::begin(options, volume, None)?;
    let (create, check) = (trial.step(Step::Create)?, trial.step(Step::Check)?);
    trial.remove()?;
    // Not by --jobs 1: the threads that walk and that finish packs would take the other cores.
    let trial = Trial::begin(options, volume, Some(core))?;
    let create_one_core = trial.step(Step::Create)?;
    trial.remove()?;
    Ok(Run { stages, create, check, create_one_core })
}

/// Runs on a thread of its own: what this one starts later must have all cores.
fn on_core<T: Send>(core: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || pin(core).and_then(|()| work()));
        thread.join().map_err(|_| anyhow!("the stages panicked"))?
    })
}

/// The program on a fresh repository with a key file.
struct Trial<'a> {
    vault: &'a Tool,
    folder: PathBuf,
    place: Place,
    core: Option<usize>,
}

impl<'a> Trial<'a> {
    fn begin(options: &'a LimitOptions, volume: &Volume, core: Option<usize>) -> Result<Self> {
        let folder = options.scratch.join("trial");
        let place = Place::below(&folder, &volume.path);
        fs::create_dir_all(&place.home)?;
        let trial = Self { vault: &options.vault, folder, place, core };
        trial.step(Step::Init)?;
        Ok(trial)
    }

    fn step(&self, step: Step) -> Result<Cost> {
        let invocations = self.vault.invocations(step, Step::Create, &self.place);
        let mut invocation = invocations.into_iter().next().context("vault has no such step")?;
        with_key_file(&mut invocation.environment, &self.place.home);
        invocation.core = self.core;
        measure(&invocation, &self.folder.join("log"))
    }

    fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}
