//! How vault, borg and restic are asked for a year of nights, and to forget most of them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::measure::Invocation;
use crate::retention::nights;
use crate::tools::{Tool, with_key_file};

/// The tools that can be compared here, by their names in [`crate::tools::find`].
pub const NAMES: [&str; 3] = ["vault", "borg", "restic"];

const KEEP: [&str; 6] = ["--keep-daily", "7", "--keep-weekly", "4", "--keep-monthly", "12"];

/// What is measured, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Opening a repository and hardly anything more: mostly the derivation of the key.
    Open,
    /// A list of all archives.
    List,
    /// Most of them are forgotten.
    Prune,
    /// What only they needed is given back.
    Compact,
    /// The same again, with nothing to do.
    CompactAgain,
    /// A list of those that were kept.
    ListKept,
}

impl Step {
    /// All, in order.
    pub(super) const ALL: [Self; 6] =
        [Self::Open, Self::List, Self::Prune, Self::Compact, Self::CompactAgain, Self::ListKept];

    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::List => "list all",
            Self::Prune => "prune",
            Self::Compact => "compact",
            Self::CompactAgain => "compact again",
            Self::ListKept => "list kept",
        }
    }
}

/// Where one tool keeps its things.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// All of it, for copies.
    pub(super) folder: PathBuf,
}

impl Place {
    /// Below this folder.
    pub(super) fn new(folder: &Path, tool: &Tool) -> Self {
        Self { folder: folder.join(tool.name) }
    }

    /// The repository.
    pub(super) fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    /// Caches and keys.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }
}

/// A command from words, in each of which a path may stand.
macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(OsString::from($word)),*] };
}

fn keep() -> Vec<OsString> {
    KEEP.iter().map(OsString::from).collect()
}

/// Makes the repository.
pub(super) fn init(tool: &Tool, place: &Place) -> Invocation {
    let repository = place.repository();
    invocation(
        tool,
        place,
        match tool.name {
            "vault" => words!["-r", repository, "init"],
            "borg" => words!["init", "-e", "repokey-blake2", repository],
            _ => words!["-r", repository, "init", "--repository-version", "2"],
        },
    )
}

/// Archives a night with its own date.
pub(super) fn create(tool: &Tool, place: &Place, volume: &Path, night: u32) -> Result<Invocation> {
    let repository = place.repository();
    let time = nights::time(night)?;
    Ok(invocation(
        tool,
        place,
        match tool.name {
            "vault" => words!["-r", repository, "create", "--timestamp", time.replace(' ', "T"), "volume", volume],
            "borg" => {
                let archive = format!("{}::night-{night}", repository.display());
                // What it could find out about flags and attributes of these files costs time and changes nothing.
                words![
                    "create",
                    "--noflags",
                    "--noacls",
                    "--noxattrs",
                    "--timestamp",
                    time.replace(' ', "T"),
                    archive,
                    volume
                ]
            }
            _ => words!["-r", repository, "backup", "--quiet", "--time", time, volume],
        },
    ))
}

/// The command of a step; none if the tool has no such thing.
pub(super) fn step(tool: &Tool, place: &Place, step: Step) -> Option<Invocation> {
    let repository = place.repository();
    let words = match (tool.name, step) {
        ("vault", Step::Open) => words!["-r", repository, "key", "list"],
        ("vault", Step::List | Step::ListKept) => words!["-r", repository, "list"],
        ("vault", Step::Prune) => [words!["-r", repository, "prune"], keep()].concat(),
        ("vault", Step::Compact | Step::CompactAgain) => words!["-r", repository, "compact", "--json"],
        ("borg", Step::Open) => words!["config", "--list", repository],
        ("borg", Step::List | Step::ListKept) => words!["list", repository],
        ("borg", Step::Prune) => [words!["prune"], keep(), words![repository]].concat(),
        ("borg", Step::Compact | Step::CompactAgain) => words!["compact", repository],
        ("restic", Step::Open) => words!["-r", repository, "cat", "config"],
        ("restic", Step::List | Step::ListKept) => words!["-r", repository, "snapshots"],
        // It forgets and compacts in one.
        ("restic", Step::Compact | Step::CompactAgain) => {
            [words!["-r", repository, "forget", "--prune"], keep()].concat()
        }
        _ => return None,
    };
    Some(invocation(tool, place, words))
}

fn invocation(tool: &Tool, place: &Place, words: Vec<OsString>) -> Invocation {
    let home = place.home();
    let mut environment = tool.environment(&place.repository(), &home);
    environment.extend([
        (OsString::from("TZ"), OsString::from("UTC")),
        // Measured are copies.
        ("BORG_RELOCATED_REPO_ACCESS_IS_OK".into(), "yes".into()),
    ]);
    if tool.is_vault() {
        with_key_file(&mut environment, &home);
    }
    let command = std::iter::once(tool.program().into()).chain(words).collect();
    Invocation { command, environment, folder: home, core: None, private: false, input: None }
}
