//! A volume of small files, night after night: the same for a number of files on every machine.

use std::fs::{self, File, FileTimes};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::content::Contents;
use crate::random::Random;

const SEED: u64 = 20_250_101;
/// Night 0: 2025-01-01 01:00 UTC.
const FIRST_SECOND: i64 = 1_735_693_200;
const DAY_SECONDS: i64 = 86_400;
/// One file of so many changes in a night.
const CHANGED: usize = 100;
/// Files in a folder, about.
const IN_FOLDER: u64 = 100;
const FILE_BYTES: (usize, usize) = (500, 8000);

/// The volume as it is in one night.
#[derive(Debug)]
pub struct Nights {
    folder: PathBuf,
    state: State,
    /// The numbers of the files that there are.
    files: Vec<u64>,
    next: u64,
    contents: Contents,
}

/// What a note beside the volume says of it, for a run that goes on where an earlier one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    files: u64,
    night: u32,
}

/// What a night does to one file.
enum Change {
    Write(u64),
    Remove(u64),
}

/// When a night is, in UTC.
pub fn time(night: u32) -> Result<String> {
    let time = Timestamp::from_second(second(night)).context("no such night")?;
    Ok(time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn second(night: u32) -> i64 {
    FIRST_SECOND + i64::from(night) * DAY_SECONDS
}

impl Nights {
    /// Finds the volume of so many files as an earlier run left it, or writes its night 0.
    ///
    /// # Errors
    /// It could not be written.
    pub fn open(folder: &Path, files: u64) -> Result<Self> {
        let state = State { files, night: 0 };
        let mut nights =
            Self { folder: folder.to_owned(), state, files: Vec::new(), next: 0, contents: Contents::new(SEED) };
        let found = match fs::read(nights.note()) {
            Ok(note) => serde_json::from_slice::<State>(&note).ok().filter(|found| found.files == files),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", nights.note().display())),
        };
        match found {
            Some(found) => {
                nights.number();
                while nights.state.night < found.night {
                    nights.change();
                }
            }
            None => nights.begin()?,
        }
        Ok(nights)
    }

    /// The folder to archive.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which night it shows.
    pub fn night(&self) -> u32 {
        self.state.night
    }

    /// Makes the volume as it is in a night; from the beginning if that has gone by.
    ///
    /// # Errors
    /// It could not be written.
    pub fn go_to(&mut self, night: u32) -> Result<()> {
        if night < self.state.night {
            self.begin()?;
        }
        while self.state.night < night {
            for change in self.change() {
                self.apply(&change)?;
            }
            self.remember()?;
        }
        Ok(())
    }

    fn number(&mut self) {
        self.state.night = 0;
        self.files = (0..self.state.files).collect();
        self.next = self.state.files;
    }

    fn begin(&mut self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        self.number();
        for number in 0..self.state.files {
            self.apply(&Change::Write(number))?;
        }
        self.remember()
    }

    /// Decides what the next night changes: mostly contents, and of twenty changes one is a file that goes and one that comes.
    fn change(&mut self) -> Vec<Change> {
        self.state.night += 1;
        let mut random = Random::new(SEED + u64::from(self.state.night));
        let mut changes = Vec::new();
        for _ in 0..self.files.len().div_ceil(CHANGED) {
            let index = random.below(self.files.len());
            match random.below(20) {
                0 if self.files.len() > 1 => changes.push(Change::Remove(self.files.swap_remove(index))),
                1 => {
                    self.files.push(self.next);
                    changes.push(Change::Write(self.next));
                    self.next += 1;
                }
                _ => changes.extend(self.files.get(index).copied().map(Change::Write)),
            }
        }
        changes
    }

    fn apply(&mut self, change: &Change) -> Result<()> {
        match *change {
            Change::Write(number) => self.write(number),
            Change::Remove(number) => match fs::remove_file(self.path(number)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", self.path(number).display()))
                }
                _ => Ok(()),
            },
        }
    }

    fn write(&mut self, number: u64) -> Result<()> {
        *self.contents.random() = Random::new(SEED ^ number << 24 ^ u64::from(self.state.night));
        let length = self.contents.random().spread(FILE_BYTES.0, FILE_BYTES.1);
        let bytes = self.contents.text(length);
        let path = self.path(number);
        let write = || {
            let mut file = match File::create(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    fs::create_dir_all(path.parent().unwrap_or(&path))?;
                    File::create(&path)?
                }
                other => other?,
            };
            file.write_all(&bytes)?;
            let since = Duration::from_secs(u64::try_from(second(self.state.night)).unwrap_or(0));
            file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + since))
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    fn path(&self, number: u64) -> PathBuf {
        let folders = self.state.files.div_ceil(IN_FOLDER).max(1);
        self.folder.join(format!("{:04}/{number}.json", number % folders))
    }

    fn note(&self) -> PathBuf {
        self.folder.with_extension("night")
    }

    fn remember(&self) -> Result<()> {
        let note = self.note();
        fs::write(&note, serde_json::to_vec(&self.state)?).with_context(|| format!("cannot write {}", note.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        for inner in fs::read_dir(folder).unwrap() {
            for file in fs::read_dir(inner.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                found.push((path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_night_is_the_same_whichever_way_it_is_reached() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, other) = (scratch.path().join("one"), scratch.path().join("other"));
        let mut nights = Nights::open(&one, 2000).unwrap();
        let first = tree(&one);
        assert_eq!(first.len(), 2000);
        nights.go_to(5).unwrap();
        let fifth = tree(&one);
        let kept = fifth.iter().filter(|file| first.contains(file)).count();
        assert!((1890..=1930).contains(&kept), "{kept} files are as before");
        Nights::open(&other, 2000).unwrap().go_to(3).unwrap();
        Nights::open(&other, 2000).unwrap().go_to(5).unwrap();
        assert!(tree(&other) == fifth);
        nights.go_to(0).unwrap();
        assert!(tree(&one) == first);
        assert_eq!(time(1).unwrap(), "2025-01-02 01:00:00");
    }
}
