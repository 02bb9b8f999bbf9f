//! What no archive that counts needs, and what must all the same be what its name says: manifests and marks of archives that are deleted
//! or pending, and sessions.

use super::archives::harm_last;
use super::{CheckReport, REPAIR, Severity};
use crate::error::{Error, Result};
use crate::format::file::{Class, HEADER_LEN, open_file, session_in};
use crate::format::mark::Mark;
use crate::format::records::SessionRecord;
use crate::id::ArchiveId;
use crate::repository::{ArchiveListing, Repository, read_optional};
use crate::store::{Key, Kind};

/// Where a mark names its archive.
const MARKED_AT: usize = 16;

/// Manifests and marks that readers of archives do not look at.
pub(super) fn manifests_and_marks(
    repository: &Repository,
    listing: &ArchiveListing,
    report: &mut CheckReport,
) -> Result<()> {
    let mut ids: Vec<ArchiveId> = listing.manifests.union(&listing.deleted).copied().collect();
    ids.sort_unstable();
    for id in ids {
        let deleted = listing.deleted.contains(&id);
        if deleted {
            deletion(repository, listing, id, report)?;
        }
        if listing.manifests.contains(&id) && (deleted || !listing.ok.contains(&id)) {
            manifest(repository, id, deleted, report)?;
        }
        if deleted && listing.ok.contains(&id) {
            old_mark(repository, id, report)?;
        }
    }
    Ok(())
}

fn manifest(repository: &Repository, id: ArchiveId, deleted: bool, report: &mut CheckReport) -> Result<()> {
    let problem = match repository.archive(id) {
        Ok(_) => return Ok(()),
        Err(error @ Error::Interrupted) => return Err(error),
        Err(error) => error,
    };
    let message = if deleted {
        format!("the archive is deleted, and cannot be undeleted: {problem}; no other archive is harmed; {REPAIR}")
    } else {
        format!("it has no mark, so it is no archive, and it cannot be read: {problem}; no archive is harmed; {REPAIR}")
    };
    report.finding(Severity::Warning, Key::archive(id).to_string(), None, message);
    Ok(())
}

fn old_mark(repository: &Repository, id: ArchiveId, report: &mut CheckReport) -> Result<()> {
    let key = Key::ok_mark(id);
    if read_optional(repository.store().as_ref(), &key)?.is_some_and(|mark| Mark::Ok.verify(id, &mark).is_err()) {
        let message = format!("the mark is damaged; the archive is deleted, and no other is harmed; {REPAIR}");
        report.finding(Severity::Warning, key.to_string(), None, message);
    }
    Ok(())
}

/// That the file is there deletes the archive, whatever is in it. What is in it tells who was meant.
fn deletion(repository: &Repository, listing: &ArchiveListing, id: ArchiveId, report: &mut CheckReport) -> Result<()> {
    let key = Key::deleted_mark(id);
    let Some(mark) = read_optional(repository.store().as_ref(), &key)? else { return Ok(()) };
    if Mark::Deleted.verify(id, &mark).is_ok() {
        return Ok(());
    }
    let Some(other) = marked_by(Mark::Deleted, &mark) else {
        let message = "the mark is damaged; that it is there deletes the archive all the same, and no other is harmed";
        report.finding(Severity::Warning, key.to_string(), None, message);
        return Ok(());
    };
    let message = format!(
        "it is the mark that deleted aid:{other}, under another name; if nobody deleted aid:{id}, removing this file brings that back"
    );
    report.finding(Severity::Error, key.to_string(), None, message);
    if listing.manifests.contains(&id) && listing.ok.contains(&id) {
        harm_last(report, id);
    }
    Ok(())
}

/// The archive that a mark is of, whatever its name.
fn marked_by(kind: Mark, mark: &[u8]) -> Option<ArchiveId> {
    let named = mark.get(MARKED_AT..).and_then(|rest| rest.first_chunk()).copied().map(ArchiveId::from_bytes);
    named.filter(|named| kind.verify(*named, mark).is_ok())
}

/// Marks whose manifest is not there, and who is harmed: whose name they bear, or, if they were renamed, whom they are of.
pub(super) fn marks_alone(repository: &Repository, listing: &ArchiveListing, report: &mut CheckReport) {
    let mut alone: Vec<&ArchiveId> =
        listing.ok.iter().filter(|id| !listing.manifests.contains(id) && !listing.deleted.contains(id)).collect();
    alone.sort_unstable();
    for id in alone {
        let key = Key::ok_mark(*id);
        let mark = match read_optional(repository.store().as_ref(), &key) {
            Ok(Some(mark)) => mark,
            Ok(None) => continue,
            // What it says is not known; that it is there says enough.
            Err(_) => Vec::new(),
        };
        let Some(other) = marked_by(Mark::Ok, &mark).filter(|other| other != id) else {
            let message = format!(
                "a mark without its manifest: the archive is gone, or is just being purged; if nobody deleted it, bring the manifest \
                 back from a copy of the repository, else {REPAIR}"
            );
            report.finding(Severity::Error, key.to_string(), None, message);
            harm_last(report, *id);
            continue;
        };
        let message = format!("it is the mark of aid:{other}, under another name; {REPAIR}");
        report.finding(Severity::Error, key.to_string(), None, message);
        let counted = listing.ok.contains(&other) || listing.deleted.contains(&other);
        if listing.manifests.contains(&other) && !counted {
            harm_last(report, other);
        }
    }
}

/// Sessions decide nothing; one that is not what its name says is told all the same.
pub(super) fn sessions(repository: &Repository, report: &mut CheckReport) -> Result<()> {
    for file in repository.store().list(Kind::Sessions)? {
        let key = Key::listed(Kind::Sessions, &file.name);
        let session = file.name.split_once('.').filter(|(_, number)| number.parse::<u64>().is_ok());
        let problem = match (session, read_optional(repository.store().as_ref(), &key)) {
            (None, _) => Some("not a name that vault gives; ignored".to_owned()),
            (_, Err(error)) => Some(format!("cannot be read: {error}")),
            (_, Ok(None)) => None,
            (Some((name, _)), Ok(Some(bytes))) => session_problem(repository, name, &bytes)
                .map(|problem| format!("{problem}; it only says that a writer is alive, and no archive is harmed")),
        };
        if let Some(problem) = problem {
            report.finding(Severity::Warning, key.to_string(), None, problem);
        }
    }
    Ok(())
}

fn session_problem(repository: &Repository, name: &str, bytes: &[u8]) -> Option<String> {
    let session = bytes.first_chunk::<HEADER_LEN>().and_then(session_in);
    if session.is_none_or(|session| crate::id::hex(&session) != name) {
        return Some("it is not the session that its name says".to_owned());
    }
    let opened = open_file(repository.ring(), Class::Session, bytes).map_err(|error| error.to_string());
    let decoded = opened.and_then(|payload| SessionRecord::decode(&payload).map_err(|error| error.to_string()));
    decoded.err()
}
