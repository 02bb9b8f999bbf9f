//! Each tool forgets on a copy of its repository; and vault archives while it compacts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::data;
use crate::measure::{Cost, Neighbours, measure};
use crate::retention::RetentionOptions;
use crate::retention::nights::Nights;
use crate::retention::report::{Beside, Compaction, Line, Report};
use crate::retention::tools::{self, Place, Step};
use crate::say;
use crate::tools::Tool;

/// Creates whose times are compared with those of as many beside a compaction, and which has which core.
const ALONE: u32 = 5;
const CREATE_CORE: usize = 0;
const COMPACT_CORE: usize = 1;

/// Measures every tool on copies of what [`super::prepare`] has made; says on standard error what it is doing.
///
/// # Errors
/// The copies could not be made. What goes wrong with a tool is in the report.
pub fn retention(options: &RetentionOptions) -> Result<Report> {
    let mut report = Report::new(options);
    let neighbours = Neighbours::watch();
    for run in 1..=options.runs {
        for tool in &options.tools {
            say(&format!("{}, run {run} of {}", tool.name, options.runs));
            let copy = Copy::make(options, tool, "")?;
            if let Err(error) = copy.forget(&mut report) {
                report.failed(tool.name, &error);
            }
            copy.remove()?;
        }
    }
    report.neighbours = neighbours.share();
    let mut volume = Nights::open(&options.volume, options.files)?;
    for tool in options.tools.iter().filter(|tool| tool.is_vault()) {
        for run in 1..=options.runs {
            say(&format!("{} creates beside a compaction, run {run} of {}", tool.name, options.runs));
            let copy = Copy::make(options, tool, "")?;
            let other = Copy::make(options, tool, "other")?;
            if let Err(error) = copy.create_beside(&other, &mut volume, &mut report.beside) {
                report.failed(tool.name, &error);
            }
            copy.remove()?;
            other.remove()?;
        }
    }
    Ok(report)
}

/// A tool's repository and home, to be changed and thrown away.
struct Copy<'a> {
    tool: &'a Tool,
    place: Place,
    scratch: PathBuf,
}

impl<'a> Copy<'a> {
    /// In a folder of that name in the scratch folder.
    fn make(options: &'a RetentionOptions, tool: &'a Tool, name: &str) -> Result<Self> {
        let scratch = options.scratch.join(name);
        fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        let from = Place::new(&options.repositories, tool);
        let place = Place::new(&scratch, tool);
        let status = Command::new("cp").arg("-a").arg(&from.folder).arg(&place.folder).status().context("no cp")?;
        ensure!(status.success(), "cannot copy {} to {}", from.folder.display(), place.folder.display());
        Ok(Self { tool, place, scratch })
    }

    fn remove(self) -> Result<()> {
        let folder = &self.place.folder;
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
    }

    fn forget(&self, report: &mut Report) -> Result<()> {
        for step in Step::ALL {
            let Some(invocation) = tools::step(self.tool, &self.place, step) else { continue };
            let log = self.scratch.join("log");
            let (_, before_bytes) = data::count(&self.place.repository())?;
            let cost = measure(&invocation, &log)?;
            let (_, after_bytes) = data::count(&self.place.repository())?;
            if self.tool.is_vault() && step == Step::Compact {
                report.compactions.push((moved(&log)?, cost));
            }
            report.lines.push(Line { step: step.name(), tool: self.tool.name, cost, before_bytes, after_bytes });
        }
        Ok(())
    }

    /// Some nights alone on a core, then more of them while the other one compacts another repository, then while it compacts this one.
    fn create_beside(&self, other: &Self, volume: &mut Nights, beside: &mut Beside) -> Result<()> {
        for copy in [self, other] {
            let Some(prune) = tools::step(copy.tool, &copy.place, Step::Prune) else { return Ok(()) };
            measure(&prune, &copy.scratch.join("log"))?;
        }
        // The volume may be some nights ahead.
        self.next_night(volume)?;
        for _ in 0..ALONE {
            beside.alone.push(self.next_night(volume)?.wall_seconds);
        }
        beside.compactions.push(self.create_while_compacting(other, volume, &mut beside.apart)?);
        beside.compactions.push(self.create_while_compacting(self, volume, &mut beside.beside)?);
        Ok(())
    }

    /// Nights from begin to end of a compaction; what that cost.
    fn create_while_compacting(&self, compacted: &Self, volume: &mut Nights, nights: &mut Vec<f64>) -> Result<Cost> {
        let mut compact =
            tools::step(compacted.tool, &compacted.place, Step::Compact).context("the tool does not compact")?;
        compact.core = Some(COMPACT_CORE);
        std::thread::scope(|scope| {
            let compaction = scope.spawn(|| measure(&compact, &compacted.scratch.join("log")));
            loop {
                // The last one too, which ends after it: one that waited for the compaction must not go unseen.
                nights.push(self.next_night(volume)?.wall_seconds);
                if compaction.is_finished() {
                    break;
                }
            }
            compaction.join().map_err(|_| anyhow::anyhow!("the thread of the compaction failed"))?
        })
    }

    fn next_night(&self, volume: &mut Nights) -> Result<Cost> {
        let night = volume.night() + 1;
        volume.go_to(night)?;
        let mut create = tools::create(self.tool, &self.place, volume.folder(), night)?;
        create.core = Some(CREATE_CORE);
        measure(&create, &self.scratch.join("log-create"))
    }
}

/// What `compact --json` wrote among what else it said.
fn moved(log: &Path) -> Result<Compaction> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let line = text.lines().find(|line| line.starts_with('{')).context("compact --json wrote no JSON")?;
    serde_json::from_str(line).context("what compact --json wrote is something else")
}
