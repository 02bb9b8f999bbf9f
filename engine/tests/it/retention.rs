//! What a prune keeps: borg's vectors, borg itself, what must hold for all archives and rules, and the page that explains it.

use jiff::tz::TimeZone;
use vault_engine::id::ArchiveId;
use vault_engine::meta::Timestamp;
use vault_engine::retention::{Candidate, Count, Oldest, Period, Rules};

use crate::support;

mod differential;
mod page;
mod properties;
mod rules;
mod vectors;

/// Rules out of the options of a command line.
fn rules(options: &str) -> Rules {
    let mut rules = Rules::default();
    let words: Vec<&str> = options.split_whitespace().collect();
    assert!(words.len().is_multiple_of(2), "{options}");
    for pair in words.chunks_exact(2) {
        let (option, value) = (pair[0], pair[1]);
        match option {
            "--oldest" => rules.oldest = if value == "coarsest" { Oldest::Coarsest } else { Oldest::Every },
            "--keep-within" => rules.within = Some(value.parse().unwrap()),
            _ => {
                let is_meant = |period: &Period| option == format!("--keep-{period}");
                let period = Period::ALL.into_iter().find(is_meant).expect(option);
                rules.keep.extend(Count::from_signed(value.parse().unwrap()).map(|count| (period, count)));
            }
        }
    }
    rules
}

/// An id that sorts by its number.
fn id(number: usize) -> ArchiveId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes[..8].reverse();
    ArchiveId::from_bytes(bytes)
}

/// Archives with these times, the first of the lowest id.
fn numbered(times: &[Timestamp]) -> Vec<Candidate> {
    times.iter().enumerate().map(|(number, time)| Candidate { id: id(number), time: *time }).collect()
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanoseconds: 0 }
}

/// The time that a text of RFC 3339 says.
fn time(text: &str) -> Timestamp {
    timestamp(text.parse::<jiff::Timestamp>().expect(text).as_second())
}

/// A zone of the system; `None` after saying why the test is skipped.
fn zone(test: &str, name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        support::skip_missing(test, "tzdata");
    }
    zone
}
