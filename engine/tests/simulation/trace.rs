//! What was asked of the store, in order, with names that are the same in every run.

use std::collections::HashMap;
use std::fmt::{self, Write};

use vault_engine::error::StoreErrorKind;
use vault_engine::store::{Kind, Verb};

use crate::scheduler::Blow;

/// One operation as a process asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    pub(crate) kind: Kind,
    /// A path, or a folder for a listing.
    pub(crate) key: String,
    /// A listing that takes a while begins and ends.
    pub(crate) ends: bool,
}

impl Asked {
    pub(crate) fn new(verb: Verb, kind: Kind, key: String) -> Self {
        Self { verb, kind, key, ends: false }
    }

    /// Of a process that has asked for nothing yet.
    pub(crate) fn beginning() -> Self {
        Self::new(Verb::Begin, Kind::Config, String::new())
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.verb.name(), self.key, if self.ends { " (end)" } else { "" })
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Refused(StoreErrorKind),
    Struck(Blow),
}

/// One operation as it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) step: u64,
    pub(crate) process: String,
    pub(crate) asked: Asked,
    pub(crate) outcome: Outcome,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(pub(crate) Vec<Done>);

impl Trace {
    /// One line an operation. Names are numbered in the order in which they appear.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut names = Names::default();
        let lines = self.0.iter().map(|done| {
            let Done { step, process, asked, outcome } = done;
            let key = names.short(&asked.key);
            let mut line = format!("{step:>6} {process:<12} {} {key}", asked.verb.name());
            if asked.ends {
                line.push_str(" (end)");
            }
            match outcome {
                Outcome::Done => {}
                Outcome::Refused(kind) => write!(line, " -> {kind:?}").unwrap(),
                Outcome::Struck(blow) => write!(line, " -> {blow:?}").unwrap(),
            }
            line
        });
        lines.collect()
    }

    /// What a name is called in the lines.
    pub(crate) fn short(&self, word: &str) -> String {
        let (key, rest) = word.strip_suffix(':').map_or((word, ""), |key| (key, ":"));
        let known = |done: &&Done| done.asked.key.split('.').next() == key.split('.').next();
        if !key.contains('/') || !self.0.iter().any(|done| known(&done)) {
            return word.to_owned();
        }
        let mut names = Names::default();
        for done in &self.0 {
            names.short(&done.asked.key);
        }
        names.short(key) + rest
    }
}

/// Short names for long ones.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, usize>,
    used: HashMap<String, usize>,
}

impl Names {
    /// `packs/ab/ab12…` becomes `packs/7`, and the mark of an archive has the archive's number.
    fn short(&mut self, key: &str) -> String {
        let (folder, name) = (key.split('/').next().unwrap_or_default(), key.rsplit('/').next().unwrap_or_default());
        if !key.contains('/') {
            return key.to_owned();
        }
        let (stem, mark) =
            name.split_once('.').map_or((name, String::new()), |(stem, mark)| (stem, format!(".{mark}")));
        let number = *self.numbers.entry(format!("{folder}/{stem}")).or_insert_with(|| {
            let used = self.used.entry(folder.to_owned()).or_default();
            *used += 1;
            *used
        });
        format!("{folder}/{number}{mark}")
    }
}
