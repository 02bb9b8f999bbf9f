//! Stores that break what docs/gc.md §1 asks of them. The oracle must notice each.

use std::collections::BTreeMap;

use vault_engine::store::{Key, Kind, Listed, MemoryStore};

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// None.
    Nothing,
    /// A listing of this folder shows an earlier state.
    StaleListing(Kind),
    /// A listing of this folder leaves out what was put lately.
    HidesNew(Kind),
    /// What is put into this folder appears only some time after its put has returned.
    LatePut(Kind),
    /// What is put into this folder never appears.
    Forgets(Kind),
    /// A listing of this folder leaves something out now and then.
    Omits(Kind),
}

/// How long the lies of a flawed store last, in steps.
const LAG: u64 = 400;

/// A store's flaw at work.
#[derive(Clone, Debug)]
pub(crate) struct Flaw {
    broken: Broken,
    late: Vec<(u64, Key, Vec<u8>)>,
    earlier: Vec<(u64, Vec<Listed>)>,
    since: BTreeMap<String, u64>,
}

impl Flaw {
    pub(crate) fn none() -> Self {
        Self::new(Broken::Nothing)
    }

    pub(crate) fn new(broken: Broken) -> Self {
        Self { broken, late: Vec::new(), earlier: Vec::new(), since: BTreeMap::new() }
    }

    /// What is to be put now; kept for later otherwise.
    pub(crate) fn delays(&mut self, key: &Key, bytes: Vec<u8>, step: u64) -> Option<Vec<u8>> {
        if self.broken == Broken::LatePut(key.kind()) {
            self.late.push((step + LAG, key.clone(), bytes));
            return None;
        }
        (self.broken != Broken::Forgets(key.kind())).then_some(bytes)
    }

    /// Puts what is due.
    pub(crate) fn settle(&mut self, store: &MemoryStore, step: u64) {
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(when, ..)| *when <= step);
        self.late = later;
        let due: Vec<(u64, Key, Vec<u8>)> = due;
        due.into_iter().for_each(|(_, key, bytes)| store.insert_raw(key, bytes));
    }

    /// What a listing says.
    pub(crate) fn lists(&mut self, kind: Kind, listed: Vec<Listed>, step: u64) -> Vec<Listed> {
        match self.broken {
            Broken::StaleListing(broken) if broken == kind => {
                self.earlier.push((step, listed));
                let old = self.earlier.iter().rev().find(|(when, _)| when + LAG <= step);
                old.or(self.earlier.first()).map(|(_, listed)| listed.clone()).unwrap_or_default()
            }
            Broken::HidesNew(broken) if broken == kind => {
                let old = listed.into_iter().filter(|file| {
                    let since = *self.since.entry(file.name.clone()).or_insert(step);
                    since + LAG <= step
                });
                old.collect()
            }
            Broken::Omits(broken) if broken == kind => {
                let is_left_out = |file: &Listed| blake3::hash(format!("{step} {}", file.name).as_bytes()).as_bytes()[0] < 64;
                listed.into_iter().filter(|file| !is_left_out(file)).collect()
            }
            _ => listed,
        }
    }
}
