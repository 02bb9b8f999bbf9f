//! A year of nights in the repository of every tool: hours of work, so it goes on where it was interrupted.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::measure::run;
use crate::retention::RetentionOptions;
use crate::retention::nights::Nights;
use crate::retention::tools::{self, Place};
use crate::say;

/// What has been made so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// How many files the volume has.
    files: u64,
    /// How many nights each tool has archived.
    nights: BTreeMap<String, u32>,
}

impl Progress {
    fn read(options: &RetentionOptions) -> Result<Self> {
        let path = Self::path(options);
        let progress = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Self { files: options.files, ..Self::default() },
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        ensure!(
            progress.files == options.files,
            "{} was begun with {} files: give the same number, or another folder",
            options.repositories.display(),
            progress.files
        );
        Ok(progress)
    }

    fn path(options: &RetentionOptions) -> PathBuf {
        options.repositories.join("progress.json")
    }

    fn write(&self, options: &RetentionOptions) -> Result<()> {
        let path = Self::path(options);
        let next = path.with_extension("next");
        fs::write(&next, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&next, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn of(&self, name: &str) -> u32 {
        self.nights.get(name).copied().unwrap_or(0)
    }
}

/// Archives every night that is still missing, the tools in turn; says on standard error how far it is.
///
/// # Errors
/// The volume could not be written, or a tool failed.
pub fn prepare(options: &RetentionOptions) -> Result<()> {
    fs::create_dir_all(&options.repositories)
        .with_context(|| format!("cannot make {}", options.repositories.display()))?;
    let mut progress = Progress::read(options)?;
    let log = options.repositories.join("log");
    let behind = |progress: &Progress| options.tools.iter().map(|tool| progress.of(tool.name)).min().unwrap_or(0);
    if behind(&progress) >= options.nights {
        return Ok(());
    }
    let mut volume = Nights::open(&options.volume, options.files)?;
    for night in behind(&progress)..options.nights {
        volume.go_to(night)?;
        for tool in &options.tools {
            if progress.of(tool.name) != night {
                continue;
            }
            let place = Place::new(&options.repositories, tool);
            if night == 0 {
                fs::create_dir_all(place.home())?;
                run(&tools::init(tool, &place), &log)?;
            }
            let cost = run(&tools::create(tool, &place, volume.folder(), night)?, &log)?;
            say(&format!("night {night}: {} took {:.1} s", tool.name, cost.wall_seconds));
            progress.nights.insert(tool.name.to_owned(), night + 1);
            progress.write(options)?;
        }
    }
    Ok(())
}
