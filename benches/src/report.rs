//! What came out, as a table of medians and as JSON with every run.

use std::fmt::Write;
use std::fs;

use serde::Serialize;

use crate::data::{DataSet, Volume};
use crate::measure::Cost;
use crate::tools::{Step, Tool};

/// With more than this share of the processors used by others, wall times are theirs as much as ours.
pub(crate) const QUIET: f64 = 0.05;

/// One step of one run of one tool.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Which step.
    pub step: &'static str,
    /// Which tool.
    pub tool: &'static str,
    /// What it cost.
    #[serde(flatten)]
    pub cost: Cost,
    /// All files of the repository afterwards.
    pub repository_bytes: u64,
    /// By how much they have become more.
    pub added_bytes: u64,
}

/// A tool that could not do it.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Which tool.
    pub tool: &'static str,
    /// Why not.
    pub problem: String,
}

/// All about one data set.
#[derive(Clone, Debug, Serialize)]
pub struct SetReport {
    /// Its name.
    pub data: String,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Every step of every run.
    pub lines: Vec<Line>,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

/// All about a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Processor, cores, memory, kernel.
    pub machine: Machine,
    /// Name and version of the tools.
    pub tools: Vec<(&'static str, String)>,
    /// How often each ran.
    pub runs: u32,
    /// The share of the processors that other processes had meanwhile.
    pub neighbours: Option<f64>,
    /// One entry a data set.
    pub sets: Vec<SetReport>,
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// How many of them there are.
    pub cores: usize,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Release of the kernel.
    pub kernel: String,
}

impl Machine {
    /// This one, as far as the kernel tells.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: String, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
        };
        let memory = field(read("/proc/meminfo"), "MemTotal");
        Self {
            processor: field(read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_kib: memory.trim_end_matches(" kB").parse().unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl SetReport {
    /// With nothing measured.
    pub fn new(set: &DataSet, volume: &Volume) -> Self {
        let Volume { files, bytes, .. } = *volume;
        Self { data: set.name(), files, bytes, lines: Vec::new(), failures: Vec::new() }
    }

    /// Adds what was measured.
    pub fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Notes that a tool failed.
    pub fn failed(&mut self, tool: &'static str, problem: &str) {
        self.failures.push(Failure { tool, problem: problem.to_owned() });
    }

    /// The median of each number over the runs.
    fn median(&self, step: Step, tool: &str) -> Option<Medians> {
        let lines: Vec<&Line> =
            self.lines.iter().filter(|line| line.step == step.name() && line.tool == tool).collect();
        let median = |number: fn(&Line) -> f64| median(lines.iter().map(|line| number(line)).collect());
        Some(Medians {
            wall: median(|line| line.cost.wall_seconds)?,
            cpu: median(|line| line.cost.cpu_seconds)?,
            peak: median(|line| mib(line.cost.peak_bytes))?,
            repository: median(|line| mib(line.repository_bytes))?,
            added: median(|line| mib(line.added_bytes))?,
        })
    }
}

struct Medians {
    wall: f64,
    cpu: f64,
    peak: f64,
    repository: f64,
    added: f64,
}

/// The middle one, or between the two in the middle.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let upper = numbers.get(numbers.len() / 2)?;
    let lower = numbers.get((numbers.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[expect(clippy::cast_precision_loss, reason = "a table shows four digits")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Report {
    /// With nothing measured.
    pub fn new(tools: &[Tool], runs: u32) -> Self {
        let tools = tools.iter().map(|tool| (tool.name, tool.version.clone())).collect();
        Self { machine: Machine::here(), tools, runs, neighbours: None, sets: Vec::new() }
    }

    /// Whether every tool did every step and gave back what it got.
    pub fn is_complete(&self) -> bool {
        self.sets.iter().all(|set| set.failures.is_empty())
    }

    /// Tables in Markdown.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let Machine { processor, cores, memory_kib, kernel } = &self.machine;
        let memory = memory_kib >> 20;
        // Writing to a string does not fail.
        let _ = writeln!(out, "{processor}, {cores} cores, {memory} GiB, Linux {kernel}; median of {}\n", self.runs);
        for (name, version) in &self.tools {
            let _ = writeln!(out, "- {name}: {version}");
        }
        if let Some(share) = self.neighbours {
            let noisy = if share > QUIET { ": **do not trust the wall times**" } else { "" };
            let _ = writeln!(out, "\nOther processes had {:.0} % of the processors meanwhile{noisy}.", share * 100.0);
        }
        for set in &self.sets {
            self.table(set, &mut out);
        }
        out
    }

    fn table(&self, set: &SetReport, out: &mut String) {
        let _ = writeln!(out, "\n### {}: {:.0} MiB in {} files\n", set.data, mib(set.bytes), set.files);
        out.push_str("| step | tool | wall s | × vault | CPU s | peak MiB | repository MiB | added MiB | × vault |\n");
        out.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
        for step in Step::ALL {
            let vault = set.median(step, "vault");
            for (tool, _) in &self.tools {
                let Some(Medians { wall, cpu, peak, repository, added }) = set.median(step, tool) else { continue };
                let slower = ratio(wall, vault.as_ref().map(|vault| vault.wall));
                let larger = ratio(added, vault.as_ref().map(|vault| vault.added));
                let _ = writeln!(
                    out,
                    "| {} | {tool} | {wall:.2} | {slower} | {cpu:.2} | {peak:.0} | {repository:.1} | {added:.2} | {larger} |",
                    step.name()
                );
            }
        }
        for Failure { tool, problem } in &set.failures {
            let _ = writeln!(out, "\n**{tool} failed**: {problem}");
        }
    }
}

/// How many times as much; nothing where vault has next to nothing to compare with.
pub(crate) fn ratio(number: f64, vault: Option<f64>) -> String {
    match vault {
        Some(vault) if vault >= 0.005 => format!("{:.2}", number / vault),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
