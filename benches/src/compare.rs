//! The same steps with every tool, on the same data, in the same run; and whether what comes back is what went in.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::data::{self, DataSet, Volume};
use crate::measure::{Cost, Neighbours, measure};
use crate::report::{Line, Report, SetReport};
use crate::say;
use crate::tools::{Place, Step, Tool};

/// What to compare.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// On which data.
    pub sets: Vec<DataSet>,
    /// Of about so many bytes each.
    pub size: u64,
    /// How often; medians are shown.
    pub runs: u32,
    /// A folder that is empty and that the caller removes.
    pub scratch: PathBuf,
    /// What was found.
    pub tools: Vec<Tool>,
}

/// Compares; says on standard error what it is doing.
///
/// # Errors
/// The data could not be made. What goes wrong with a tool is in the report.
pub fn compare(options: &CompareOptions) -> Result<Report> {
    let mut report = Report::new(&options.tools, options.runs);
    let neighbours = Neighbours::watch();
    for set in &options.sets {
        say(&format!("{}: making the data", set.name()));
        let volume = data::generate(set, options.size, &options.scratch.join("data"))?;
        let mut of_set = SetReport::new(set, &volume);
        for run in 1..=options.runs {
            // In turn, so that a slow minute of the machine meets all of them.
            for tool in &options.tools {
                say(&format!("{}: {}, run {run} of {}", set.name(), tool.name, options.runs));
                let mut trial = Trial::new(options, tool, set, &volume)?;
                let result = trial.run(&mut of_set);
                data::set_night(set, &volume, 0)?;
                trial.remove()?;
                if let Err(error) = result {
                    say(&format!("{}: {error:#}", tool.name));
                    of_set.failed(tool.name, &format!("{error:#}"));
                }
            }
        }
        if !matches!(set, DataSet::Folder(_)) {
            fs::remove_dir_all(&volume.path)?;
        }
        report.sets.push(of_set);
    }
    report.neighbours = neighbours.share();
    Ok(report)
}

/// One tool, once.
struct Trial<'a> {
    tool: &'a Tool,
    set: &'a DataSet,
    volume: &'a Volume,
    folder: PathBuf,
    place: Place,
}

impl<'a> Trial<'a> {
    fn new(options: &CompareOptions, tool: &'a Tool, set: &'a DataSet, volume: &'a Volume) -> Result<Self> {
        let folder = options.scratch.join("trial");
        let place = Place::below(&folder, &volume.path);
        fs::create_dir_all(&place.home)?;
        fs::create_dir_all(&place.target)?;
        Ok(Self { tool, set, volume, folder, place })
    }

    fn run(&mut self, report: &mut SetReport) -> Result<()> {
        let mut newest = Step::Create;
        let mut before = 0;
        for step in Step::ALL {
            if step == Step::Night && !self.set.has_night() {
                continue;
            }
            if step == Step::Night {
                data::set_night(self.set, self.volume, 1)?;
            }
            if matches!(step, Step::Unchanged | Step::Night) {
                newest = step;
            }
            let Some(cost) = self.step(step, newest)? else { continue };
            let (_, repository_bytes) = data::count(&self.place.repository)?;
            let added_bytes = repository_bytes.saturating_sub(before);
            before = repository_bytes;
            report.add(Line { step: step.name(), tool: self.tool.name, cost, repository_bytes, added_bytes });
            if step == Step::Restore {
                self.verify().context("what was restored is not what was archived")?;
            }
        }
        Ok(())
    }

    fn step(&self, step: Step, newest: Step) -> Result<Option<Cost>> {
        let mut total: Option<Cost> = None;
        for invocation in self.tool.invocations(step, newest, &self.place) {
            let cost = measure(&invocation, &self.folder.join("log"))?;
            total = Some(total.map_or(cost, |before| before.and(cost)));
        }
        Ok(total)
    }

    /// Tools differ in how much of the path they restore.
    fn verify(&self) -> Result<()> {
        let target = &self.place.target;
        let absolute = self.volume.path.strip_prefix("/").unwrap_or(&self.volume.path);
        let name = self.volume.path.file_name().unwrap_or_default();
        let candidates = [target.join(absolute), target.join(name), target.clone()];
        let restored = candidates.iter().find(|path| path.is_dir()).unwrap_or(target);
        same_files(&self.volume.path, restored)
    }

    fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// Compares names and contents of two trees.
fn same_files(archived: &Path, restored: &Path) -> Result<()> {
    let (left, right) = (data::count(archived)?, data::count(restored)?);
    ensure!(left == right, "{left:?} files and bytes became {right:?} in {}", restored.display());
    let mut folders = vec![(archived.to_owned(), restored.to_owned())];
    while let Some((archived, restored)) = folders.pop() {
        for entry in fs::read_dir(&archived)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let pair = (entry.path(), restored.join(entry.file_name()));
            if kind.is_dir() {
                folders.push(pair);
            } else if kind.is_file() && !same_bytes(&pair.0, &pair.1)? {
                bail!("{} has other bytes", pair.1.display());
            }
        }
    }
    Ok(())
}

fn same_bytes(left: &Path, right: &Path) -> Result<bool> {
    let open = |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let (mut left, mut right) = (open(left)?, open(right)?);
    let (mut left_bytes, mut right_bytes) = (Vec::new(), Vec::new());
    loop {
        left_bytes.clear();
        right_bytes.clear();
        (&mut left).take(1 << 20).read_to_end(&mut left_bytes)?;
        (&mut right).take(1 << 20).read_to_end(&mut right_bytes)?;
        if left_bytes != right_bytes {
            return Ok(false);
        }
        if left_bytes.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_differs_in_one_byte_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let (left, right) = (scratch.path().join("left"), scratch.path().join("right"));
        write("left/a/file", b"bytes");
        write("right/a/file", b"bytes");
        same_files(&left, &right).unwrap();
        write("right/a/file", b"bytez");
        assert!(same_files(&left, &right).is_err());
        write("right/a/file", b"byte");
        assert!(same_files(&left, &right).is_err());
    }
}
