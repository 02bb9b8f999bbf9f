//! Stores that break what docs/gc.md §1 asks of them. The oracle must notice each.

use std::collections::BTreeMap;

use vault_engine::store::{Key, Kind, Listed};

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// None.
    Nothing,
    /// A listing of this folder shows an earlier state.
    StaleListing(Kind),
    /// A listing of this folder leaves out what others have put lately.
    HidesNew(Kind),
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
    earlier: Vec<(u64, Vec<Listed>)>,
    /// Who put a file, and when.
    puts: BTreeMap<String, (usize, u64)>,
}

impl Flaw {
    pub(crate) fn none() -> Self {
        Self::new(Broken::Nothing)
    }

    pub(crate) fn new(broken: Broken) -> Self {
        Self { broken, earlier: Vec::new(), puts: BTreeMap::new() }
    }

    /// Whether a put has an effect.
    pub(crate) fn puts(&mut self, process: usize, key: &Key, step: u64) -> bool {
        self.puts.insert(key.path(), (process, step));
        self.broken != Broken::Forgets(key.kind())
    }

    /// What a listing says.
    pub(crate) fn lists(&mut self, process: usize, kind: Kind, listed: Vec<Listed>, step: u64) -> Vec<Listed> {
        match self.broken {
            Broken::StaleListing(broken) if broken == kind => {
                self.earlier.push((step, listed));
                let old = self.earlier.iter().rev().find(|(when, _)| when + LAG <= step);
                old.or(self.earlier.first()).map(|(_, listed)| listed.clone()).unwrap_or_default()
            }
            Broken::HidesNew(broken) if broken == kind => {
                let is_hidden = |file: &Listed| {
                    let put = self.puts.get(&Key::listed(kind, &file.name).path());
                    put.is_some_and(|(author, when)| *author != process && when + LAG > step)
                };
                listed.into_iter().filter(|file| !is_hidden(file)).collect()
            }
            Broken::Omits(broken) if broken == kind => {
                let is_left_out =
                    |file: &Listed| blake3::hash(format!("{step} {}", file.name).as_bytes()).as_bytes()[0] < 64;
                listed.into_iter().filter(|file| !is_left_out(file)).collect()
            }
            _ => listed,
        }
    }
}
