//! Key slots, events and gc records: small files of which each stands for itself.

use super::{CheckReport, REPAIR, Severity, uncounted};
use crate::error::Result;
use crate::format::file::{Class, open_file};
use crate::id::FileId;
use crate::repository::{Repository, read_optional};
use crate::store::{Key, Kind};
use crate::sync::on_all_cores;

/// What is said of a file that is none of ours.
pub(super) const STRAY: &str =
    "not a name that vault gives: it is ignored and harms nothing; remove it if nobody needs it";

/// What the loss of such a file means, and what to do.
pub(super) fn meaning(kind: Kind) -> String {
    let means = match kind {
        Kind::Keys => "no archive is harmed, but this key opens nothing; put its export back by `vault key import`, or",
        Kind::Events => "no archive is harmed, but it may protect one, so nothing can be deleted while it is there;",
        Kind::Gc => "no archive is harmed, but nothing can be archived or freed while it is there;",
        _ => "",
    };
    format!("{means} {REPAIR}")
}

/// Key slots, events and gc records: names and seals.
pub(super) fn files(repository: &Repository, report: &mut CheckReport) -> Result<()> {
    for kind in [Kind::Keys, Kind::Events, Kind::Gc] {
        let mut listed = repository.store().list(kind)?;
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        let keys = listed.into_iter().map(|file| Key::listed(kind, file.name)).collect();
        for (problem, key) in on_all_cores(keys, |key| (problem(repository, &key), key)) {
            if let Some((severity, message)) = problem {
                report.finding(severity, key.to_string(), None, message);
            }
        }
    }
    uncounted::sessions(repository, report)
}

/// What is wrong with a file; one that is gone has been finished, or removed.
fn problem(repository: &Repository, key: &Key) -> Option<(Severity, String)> {
    let Some(id) = FileId::from_hex(key.name()) else { return Some((Severity::Warning, STRAY.to_owned())) };
    let bad = |problem: &str| (Severity::Error, format!("{problem}; {}", meaning(key.kind())));
    let bytes = match read_optional(repository.store().as_ref(), key) {
        Ok(bytes) => bytes?,
        Err(error) => return Some(bad(&format!("cannot be read: {error}"))),
    };
    if blake3::hash(&bytes) != *id.as_bytes() {
        return Some(bad("its bytes are not those that its name says"));
    }
    let class = match key.kind() {
        Kind::Events => Class::Event,
        Kind::Gc => Class::Gc,
        _ => return None,
    };
    let opened = open_file(repository.ring(), class, &bytes);
    opened.err().map(|error| bad(&error.to_string()))
}
