//! What came out: medians as tables and as JSON, with every run.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::data::{DataSet, Volume};
use crate::limit::{Stages, Work};
use crate::measure::Cost;
use crate::report::{Machine, QUIET, median, mib};
use crate::tools::Tool;

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub struct LimitReport {
    /// Processor, cores, memory, kernel.
    pub machine: Machine,
    /// What `vault --version` says.
    pub vault: String,
    /// How often each was measured.
    pub times: u32,
    /// The share of the processors that other processes had meanwhile.
    pub neighbours: Option<f64>,
    /// One entry a data set.
    pub sets: Vec<SetLimit>,
}

/// All about one data set; numbers are medians.
#[derive(Clone, Debug, Serialize)]
pub struct SetLimit {
    /// Its name.
    pub data: String,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Of the first archive.
    pub create: Efficiency,
    /// Of `check --read-data` after it.
    pub check: Efficiency,
    /// The first archive, by a program that has one core.
    pub create_one_core_seconds: f64,
    /// How many times as fast it is with all cores.
    pub scaling: f64,
    /// What the medians are of.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// On one core.
    pub stages: Stages,
    /// The first archive, all cores.
    pub create: Cost,
    /// `check --read-data`, all cores.
    pub check: Cost,
    /// The first archive, one core.
    pub create_one_core: Cost,
}

/// Unavoidable work against the time that it took.
#[derive(Clone, Debug, Serialize)]
pub struct Efficiency {
    /// Each stage.
    pub stages: Vec<StageLine>,
    /// All of them on one core.
    pub sum_seconds: f64,
    /// The program on all cores, from start to exit.
    pub wall_seconds: f64,
    /// The processor time that it took for that.
    pub cpu_seconds: f64,
    /// The sum by cores × wall, 1 at best.
    pub efficiency: f64,
}

/// One stage on one core.
#[derive(Clone, Debug, Serialize)]
pub struct StageLine {
    /// Its name.
    pub stage: &'static str,
    /// How long it took.
    pub seconds: f64,
    /// For so many bytes.
    pub bytes: u64,
    /// Millions of bytes a second.
    pub mb_per_second: f64,
}

impl StageLine {
    fn new(stage: &'static str, Work { seconds, bytes }: Work) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate needs four digits")]
        let mb_per_second = if seconds > 0.0 { bytes as f64 / seconds / 1e6 } else { 0.0 };
        Self { stage, seconds, bytes, mb_per_second }
    }
}

/// The stages of a run, in an order that is always the same, and what the program cost in it.
type Measured<const N: usize> = ([(&'static str, Work); N], Cost);

impl Efficiency {
    /// The medians of runs.
    fn of<const N: usize>(cores: f64, runs: &[Measured<N>]) -> Result<Self> {
        let median = |number: &dyn Fn(&Measured<N>) -> f64| {
            median(runs.iter().map(number).collect()).context("nothing was measured")
        };
        let (first, _) = runs.first().context("nothing was measured")?;
        let mut stages = Vec::with_capacity(N);
        for (number, (name, work)) in first.iter().enumerate() {
            let seconds = median(&|(stages, _)| stages.get(number).map_or(0.0, |(_, work)| work.seconds))?;
            stages.push(StageLine::new(name, Work { seconds, bytes: work.bytes }));
        }
        let sum_seconds = stages.iter().map(|line| line.seconds).sum();
        let wall_seconds = median(&|(_, cost)| cost.wall_seconds)?;
        let cpu_seconds = median(&|(_, cost)| cost.cpu_seconds)?;
        Ok(Self { stages, sum_seconds, wall_seconds, cpu_seconds, efficiency: sum_seconds / (cores * wall_seconds) })
    }
}

impl LimitReport {
    /// With nothing measured.
    pub(super) fn new(vault: &Tool, times: u32) -> Self {
        Self { machine: Machine::here(), vault: vault.version.clone(), times, neighbours: None, sets: Vec::new() }
    }

    fn cores(&self) -> f64 {
        u32::try_from(self.machine.cores).map_or(1.0, f64::from)
    }

    /// Adds the runs of a data set.
    pub(super) fn add(&mut self, set: &DataSet, volume: &Volume, runs: Vec<Run>) -> Result<()> {
        let create: Vec<_> = runs.iter().map(|run| (run.stages.create(), run.create)).collect();
        let check: Vec<_> = runs.iter().map(|run| (run.stages.check(), run.check)).collect();
        let create = Efficiency::of(self.cores(), &create)?;
        let one_core = median(runs.iter().map(|run| run.create_one_core.wall_seconds).collect());
        let create_one_core_seconds = one_core.context("nothing was measured")?;
        self.sets.push(SetLimit {
            data: set.name(),
            files: volume.files,
            bytes: volume.bytes,
            scaling: create_one_core_seconds / create.wall_seconds,
            create,
            check: Efficiency::of(self.cores(), &check)?,
            create_one_core_seconds,
            runs,
        });
        Ok(())
    }

    /// Tables in Markdown.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let Machine { processor, cores, memory_kib, kernel } = &self.machine;
        let (memory, times) = (memory_kib >> 20, self.times);
        // Writing to a string does not fail.
        let _ = writeln!(out, "{processor}, {cores} cores, {memory} GiB, Linux {kernel}; median of {times}");
        let _ = writeln!(out, "\n- {}", self.vault);
        if let Some(share) = self.neighbours {
            let noisy = if share > QUIET { ": **do not trust the numbers**" } else { "" };
            let _ = writeln!(out, "\nOther processes had {:.0} % of the processors meanwhile{noisy}.", share * 100.0);
        }
        for set in &self.sets {
            let _ = writeln!(out, "\n### {}: {:.0} MiB in {} files", set.data, mib(set.bytes), set.files);
            self.table("create", &set.create, &mut out);
            let (one, scaling) = (set.create_one_core_seconds, set.scaling);
            let _ = writeln!(out, "\ncreate on one core: {one:.3} s; on {cores} it is {scaling:.2} times as fast.");
            self.table("check --read-data", &set.check, &mut out);
        }
        out
    }

    fn table(&self, verb: &str, of: &Efficiency, out: &mut String) {
        let _ = writeln!(out, "\n| {verb}, one core | s | MB/s |\n|---|--:|--:|");
        for StageLine { stage, seconds, mb_per_second, .. } in &of.stages {
            let _ = writeln!(out, "| {stage} | {seconds:.3} | {mb_per_second:.0} |");
        }
        let Efficiency { sum_seconds, wall_seconds, cpu_seconds, efficiency, .. } = of;
        let _ = writeln!(out, "| sum | {sum_seconds:.3} | |");
        let _ = writeln!(
            out,
            "\n{verb} on {} cores: {wall_seconds:.3} s of wall, {cpu_seconds:.3} s of processor; efficiency {:.0} %.",
            self.machine.cores,
            efficiency * 100.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efficiency_is_the_sum_of_medians_by_what_the_cores_could_have_done() {
        let run = |seconds: f64, wall_seconds: f64| {
            let work = |seconds| Work { seconds, bytes: 3_000_000 };
            let stages = [("read", work(seconds)), ("cut", work(2.0))];
            (stages, Cost { wall_seconds, ..Cost::default() })
        };
        let found = Efficiency::of(2.0, &[run(1.0, 2.0), run(5.0, 9.0), run(1.0, 2.0)]).unwrap();
        let speed = found.stages[1].mb_per_second;
        assert_eq!((found.sum_seconds, found.efficiency, speed), (3.0, 0.75, 1.5));
        assert!(Efficiency::of::<2>(2.0, &[]).is_err());
    }
}
