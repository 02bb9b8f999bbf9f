//! What came out, as tables of medians and as JSON with every run.

use std::fmt::Write;

use anyhow::Error;
use serde::{Deserialize, Serialize};

use crate::measure::Cost;
use crate::report::{Failure, Machine, QUIET, median, mib, ratio};
use crate::retention::RetentionOptions;
use crate::retention::tools::Step;
use crate::say;

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
    /// All files of the repository before it.
    pub before_bytes: u64,
    /// And after it.
    pub after_bytes: u64,
}

/// What `vault compact --json` says of what it moved.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Compaction {
    /// Bytes copied out of packs that were partly dead.
    pub copied_bytes: u64,
    /// Bytes of the packs that they were put into.
    pub new_bytes: u64,
    /// Bytes that the repository has less.
    pub freed_bytes: u64,
}

/// Seconds of a night on a core of its own.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Beside {
    /// With nothing else.
    pub alone: Vec<f64>,
    /// While another repository was compacted on another core: what the machine's cores have in common.
    pub apart: Vec<f64>,
    /// While this one was, from begin to end.
    pub beside: Vec<f64>,
    /// Those compactions.
    pub compactions: Vec<Cost>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Processor, cores, memory, kernel.
    pub machine: Machine,
    /// Name and version of the tools.
    pub tools: Vec<(&'static str, String)>,
    /// Files of the volume.
    pub files: u64,
    /// Archives in each repository.
    pub nights: u32,
    /// How often each ran.
    pub runs: u32,
    /// The share of the processors that other processes had meanwhile.
    pub neighbours: Option<f64>,
    /// Every step of every run.
    pub lines: Vec<Line>,
    /// vault's compactions, and what each cost.
    pub compactions: Vec<(Compaction, Cost)>,
    /// vault's creates while it compacts.
    pub beside: Beside,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

struct Medians {
    wall: f64,
    cpu: f64,
    peak: f64,
    read: f64,
    written: f64,
    repository: f64,
}

impl Report {
    /// With nothing measured.
    pub(super) fn new(options: &RetentionOptions) -> Self {
        Self {
            machine: Machine::here(),
            tools: options.tools.iter().map(|tool| (tool.name, tool.version.clone())).collect(),
            files: options.files,
            nights: options.nights,
            runs: options.runs,
            neighbours: None,
            lines: Vec::new(),
            compactions: Vec::new(),
            beside: Beside::default(),
            failures: Vec::new(),
        }
    }

    /// Notes that a tool failed.
    pub(super) fn failed(&mut self, tool: &'static str, error: &Error) {
        say(&format!("{tool}: {error:#}"));
        self.failures.push(Failure { tool, problem: format!("{error:#}") });
    }

    /// Whether every tool did every step.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// Tables in Markdown.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let Machine { processor, cores, memory_kib, kernel } = &self.machine;
        let Self { files, nights, runs, .. } = self;
        let memory = memory_kib >> 20;
        // Writing to a string does not fail.
        let _ = writeln!(out, "{processor}, {cores} cores, {memory} GiB, Linux {kernel}; median of {runs}\n");
        let _ = writeln!(out, "{nights} archives of {files} files\n");
        for (name, version) in &self.tools {
            let _ = writeln!(out, "- {name}: {version}");
        }
        if let Some(share) = self.neighbours {
            let noisy = if share > QUIET { ": **do not trust the wall times**" } else { "" };
            let _ = writeln!(out, "\nOther processes had {:.0} % of the processors meanwhile{noisy}.", share * 100.0);
        }
        self.steps(&mut out);
        self.moved(&mut out);
        self.creates(&mut out);
        for Failure { tool, problem } in &self.failures {
            let _ = writeln!(out, "\n**{tool} failed**: {problem}");
        }
        out
    }

    fn steps(&self, out: &mut String) {
        out.push_str(
            "\n| step | tool | wall s | × vault | CPU s | peak MiB | read MiB | written MiB | repository MiB |\n",
        );
        out.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
        let both = [Step::Prune, Step::Compact];
        let rows = Step::ALL.iter().map(|step| (step.name(), std::slice::from_ref(step)));
        for (name, steps) in rows.chain([("prune and compact", both.as_slice())]) {
            let vault = self.medians(steps, "vault").map(|vault| vault.wall);
            for (tool, _) in &self.tools {
                let Some(Medians { wall, cpu, peak, read, written, repository }) = self.medians(steps, tool) else {
                    continue;
                };
                let slower = ratio(wall, vault);
                let _ = writeln!(
                    out,
                    "| {name} | {tool} | {wall:.3} | {slower} | {cpu:.3} | {peak:.0} | {read:.1} | {written:.1} | {repository:.1} |"
                );
            }
        }
    }

    /// Of several steps the sum.
    fn medians(&self, steps: &[Step], tool: &str) -> Option<Medians> {
        let mut sum: Option<Medians> = None;
        for step in steps {
            let lines: Vec<&Line> =
                self.lines.iter().filter(|line| line.step == step.name() && line.tool == tool).collect();
            let median = |number: fn(&Line) -> f64| median(lines.iter().map(|line| number(line)).collect());
            let Some(wall) = median(|line| line.cost.wall_seconds) else { continue };
            let before = sum.as_ref();
            sum = Some(Medians {
                wall: wall + before.map_or(0.0, |sum| sum.wall),
                cpu: median(|line| line.cost.cpu_seconds)? + before.map_or(0.0, |sum| sum.cpu),
                peak: median(|line| mib(line.cost.peak_bytes))?.max(before.map_or(0.0, |sum| sum.peak)),
                read: median(|line| mib(line.cost.read_bytes))? + before.map_or(0.0, |sum| sum.read),
                written: median(|line| mib(line.cost.written_bytes))? + before.map_or(0.0, |sum| sum.written),
                repository: median(|line| mib(line.after_bytes))?,
            });
        }
        sum
    }

    fn moved(&self, out: &mut String) {
        let median = |number: fn(&Compaction, &Cost) -> f64| {
            median(self.compactions.iter().map(|(moved, cost)| number(moved, cost)).collect())
        };
        let (Some(copied), Some(new), Some(freed), Some(read), Some(written)) = (
            median(|moved, _| mib(moved.copied_bytes)),
            median(|moved, _| mib(moved.new_bytes)),
            median(|moved, _| mib(moved.freed_bytes)),
            median(|_, cost| mib(cost.read_bytes)),
            median(|_, cost| mib(cost.written_bytes)),
        ) else {
            return;
        };
        let _ = writeln!(
            out,
            "\nvault compact freed {freed:.1} MiB. It copied {copied:.1} MiB out of old packs and put {new:.1} MiB of new ones; \
             it read {read:.1} and wrote {written:.1}: {} times the bytes that it moved (once out, once in).",
            ratio(read + written, Some(copied + new))
        );
    }

    fn creates(&self, out: &mut String) {
        let Beside { alone, apart, beside, .. } = &self.beside;
        let medians = [alone, apart, beside].map(|seconds| median(seconds.clone()));
        let [Some(without), Some(other), Some(with)] = medians else { return };
        let _ = writeln!(
            out,
            "\nvault create of a night on a core of its own: {without:.3} s alone (median of {}), {other:.3} s while another repository is \
             compacted (of {}, the longest {:.3} s), {with:.3} s while this one is (of {}, the longest {:.3} s): {} and {} times as long.",
            alone.len(),
            apart.len(),
            longest(apart),
            beside.len(),
            longest(beside),
            ratio(other, Some(without)),
            ratio(with, Some(without))
        );
    }
}

fn longest(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: Step, tool: &'static str, wall_seconds: f64) -> Line {
        let cost = Cost { wall_seconds, ..Cost::default() };
        Line { step: step.name(), tool, cost, before_bytes: 0, after_bytes: 1 << 20 }
    }

    #[test]
    fn pruning_and_compacting_count_together_even_where_they_are_one() {
        let options = RetentionOptions {
            files: 1,
            nights: 1,
            volume: "/volume".into(),
            repositories: "/repositories".into(),
            scratch: "/scratch".into(),
            runs: 1,
            tools: Vec::new(),
        };
        let mut report = Report::new(&options);
        report.tools = vec![("vault", "1".into()), ("restic", "1".into())];
        report.lines = vec![
            line(Step::Prune, "vault", 0.5),
            line(Step::Compact, "vault", 1.5),
            line(Step::Compact, "restic", 9.0),
        ];
        let tables = report.tables();
        assert!(tables.contains("| prune and compact | vault | 2.000 | 1.00 |"), "{tables}");
        assert!(tables.contains("| prune and compact | restic | 9.000 | 4.50 |"), "{tables}");
        assert!(!tables.contains("| prune | restic |"), "{tables}");
    }
}
