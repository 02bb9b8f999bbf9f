//! What was archived, what counted, and what a prune may have taken: what must still be there follows from it.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::Value;

use super::trees::Manifest;

/// 2026-01-01 00:00 UTC. An attempt's archive has its own second from here on, which tells attempts apart.
const FIRST_SECOND: i64 = 1_767_225_600;

/// One `create`, which may have been killed.
struct Attempt {
    manifest: Arc<Manifest>,
    /// Of the archive, if it exited 0.
    id: Option<String>,
    gone: Gone,
}

/// Whether a prune took it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    No,
    /// One was killed that might have.
    Maybe,
    Yes,
}

/// An archive as `list` shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) series: usize,
    pub(crate) attempt: usize,
    pub(crate) id: String,
}

pub(crate) struct Ledger {
    series: Mutex<Vec<Vec<Attempt>>>,
    keep_last: usize,
}

/// The nominal time of an attempt's archive.
pub(crate) fn time(attempt: usize) -> String {
    Timestamp::from_second(FIRST_SECOND + i64::try_from(attempt).unwrap()).unwrap().to_string()
}

/// The archives in a JSON listing.
pub(crate) fn listed(json: &Value) -> Vec<Listed> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = |archive: &Value| {
        let time: Timestamp = text(&archive["time"]).parse().unwrap();
        Listed {
            series: text(&archive["name"]).strip_prefix("series-").unwrap().parse().unwrap(),
            attempt: usize::try_from(time.as_second() - FIRST_SECOND).unwrap(),
            id: text(&archive["id"]),
        }
    };
    json["archives"].as_array().unwrap().iter().map(listed).collect()
}

impl Ledger {
    pub(crate) fn new(series: usize, keep_last: usize) -> Self {
        Self { series: Mutex::new((0..series).map(|_| Vec::new()).collect()), keep_last }
    }

    /// Before a `create`: from now on there may be an archive of this.
    pub(crate) fn begin(&self, series: usize, manifest: Manifest) -> usize {
        let attempts = &mut self.series.lock().unwrap()[series];
        attempts.push(Attempt { manifest: Arc::new(manifest), id: None, gone: Gone::No });
        attempts.len() - 1
    }

    /// It exited 0: from now on there must be.
    pub(crate) fn done(&self, series: usize, attempt: usize, id: &str) {
        self.series.lock().unwrap()[series][attempt].id = Some(id.to_owned());
    }

    /// A prune exited 0 and said that it took these; returns what it should not have taken.
    pub(crate) fn pruned<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut all = self.series.lock().unwrap();
        let mut wrong = Vec::new();
        for id in ids {
            for (series, attempts) in all.iter_mut().enumerate() {
                let Some(attempt) = attempts.iter().position(|attempt| attempt.id.as_deref() == Some(id)) else {
                    // It counted, and its create was killed before it could say so, or has not been heard yet.
                    continue;
                };
                if !self.is_followed(attempts, attempt) {
                    wrong.push(format!("a prune took {series}/{attempt} ({id}), one of the newest"));
                }
                attempts[attempt].gone = Gone::Yes;
            }
        }
        wrong
    }

    /// A prune was killed: it may have taken whatever it could.
    pub(crate) fn prune_died(&self) {
        for attempts in self.series.lock().unwrap().iter_mut() {
            for attempt in 0..attempts.len() {
                if self.is_followed(attempts, attempt) && attempts[attempt].gone == Gone::No {
                    attempts[attempt].gone = Gone::Maybe;
                }
            }
        }
    }

    /// Whether so many may have come after it that no prune needs to keep it. An attempt that a compaction named is made again and has two
    /// archives for a moment, until the second counts and the first is deleted; a prune counts both.
    fn is_followed(&self, attempts: &[Attempt], attempt: usize) -> bool {
        (attempts.len() - attempt) * 2 > self.keep_last
    }

    pub(crate) fn may_be_gone(&self, series: usize, attempt: usize) -> bool {
        self.is_followed(&self.series.lock().unwrap()[series], attempt)
    }

    /// The newest archive of a series that must be there.
    pub(crate) fn newest(&self, series: usize) -> Option<(usize, String)> {
        let all = self.series.lock().unwrap();
        all[series].iter().enumerate().rev().find_map(|(number, attempt)| Some((number, attempt.id.clone()?)))
    }

    pub(crate) fn manifest(&self, series: usize, attempt: usize) -> Arc<Manifest> {
        self.series.lock().unwrap()[series][attempt].manifest.clone()
    }

    /// How many exited 0.
    pub(crate) fn archives(&self) -> usize {
        self.series.lock().unwrap().iter().flatten().filter(|attempt| attempt.id.is_some()).count()
    }

    /// Archives that must be in this listing and are not, or are and must not.
    pub(crate) fn missing(&self, listed: &[Listed]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (series, attempts) in self.series.lock().unwrap().iter().enumerate() {
            for (number, attempt) in attempts.iter().enumerate() {
                let Some(id) = &attempt.id else { continue };
                match (attempt.gone, listed.iter().any(|listed| listed.id == *id)) {
                    (Gone::No, false) => wrong.push(format!("{series}/{number} ({id}) is not listed")),
                    (Gone::Yes, true) => wrong.push(format!("{series}/{number} ({id}) was pruned and came back")),
                    _ => {}
                }
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_prune_may_take_is_missed() {
        let ledger = Ledger::new(1, 3);
        for number in 0..5 {
            let attempt = ledger.begin(0, Manifest::new());
            ledger.done(0, attempt, &format!("id{number}"));
        }
        let listed = |attempts: &[usize]| -> Vec<Listed> {
            attempts.iter().map(|attempt| Listed { series: 0, attempt: *attempt, id: format!("id{attempt}") }).collect()
        };
        assert!(ledger.missing(&listed(&[0, 1, 2, 3, 4])).is_empty());
        assert_eq!(ledger.missing(&listed(&[1, 2, 3, 4])).len(), 1);
        assert!(ledger.pruned(["id0"].into_iter()).is_empty());
        assert!(ledger.missing(&listed(&[1, 2, 3, 4])).is_empty());
        assert_eq!(ledger.missing(&listed(&[0, 1, 2, 3, 4])).len(), 1, "it came back");
        ledger.prune_died();
        assert!(ledger.missing(&listed(&[4])).is_empty());
        assert_eq!(ledger.missing(&listed(&[])).len(), 1);
        assert_eq!(ledger.pruned(["id4"].into_iter()).len(), 1);
    }
}
