//! Key slots, events and gc records: small files of which each stands for itself.

use super::{CheckReport, REPAIR, Severity};
use crate::error::Result;
use crate::format::file::{Class, open_file};
use crate::id::FileId;
use crate::repository::{Repository, read_optional};
use crate::store::{Key, Kind};

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
    let store = repository.store();
    for (kind, class) in [(Kind::Keys, None), (Kind::Events, Some(Class::Event)), (Kind::Gc, Some(Class::Gc))] {
        for file in store.list(kind)? {
            let key = Key::listed(kind, &file.name);
            let Some(id) = FileId::from_hex(&file.name) else {
                report.finding(Severity::Warning, key.to_string(), None, STRAY);
                continue;
            };
            let bytes = match read_optional(store.as_ref(), &key) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    report.finding(
                        Severity::Error,
                        key.to_string(),
                        None,
                        format!("cannot be read: {error}; {}", meaning(kind)),
                    );
                    continue;
                }
            };
            if blake3::hash(&bytes) != *id.as_bytes() {
                report.finding(
                    Severity::Error,
                    key.to_string(),
                    None,
                    format!("its bytes are not those that its name says; {}", meaning(kind)),
                );
            } else if let Some(Err(error)) = class.map(|class| open_file(repository.ring(), class, &bytes)) {
                report.finding(Severity::Error, key.to_string(), None, format!("{error}; {}", meaning(kind)));
            }
        }
    }
    Ok(())
}
