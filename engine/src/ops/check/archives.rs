//! Archives: their manifests and marks, and whether those that were here are still here.

use std::collections::HashMap;

use super::{CheckReport, REPAIR, Severity};
use crate::error::{Error, Result};
use crate::format::mark::Mark;
use crate::id::ArchiveId;
use crate::repository::gc::retire::named_by;
use crate::repository::{Archive, ArchiveListing, Repository, read_optional};
use crate::store::Key;

/// The archives that count and whose manifests can be read; the others are findings.
pub(super) fn readable(repository: &Repository, report: &mut CheckReport) -> Result<Vec<Archive>> {
    let listing = repository.list_archives()?;
    report.pending_archives = listing.manifests.iter().filter(|id| !listing.ok.contains(id)).count() as u64;
    for id in listing.ok.iter().filter(|id| !listing.manifests.contains(id) && !listing.deleted.contains(id)) {
        let message = format!(
            "a mark without its manifest: the archive is gone, or is just being purged; if nobody deleted it, bring the manifest back \
             from a copy of the repository, else {REPAIR}"
        );
        report.finding(Severity::Error, Key::ok_mark(*id).to_string(), None, message);
    }
    let mut archives = Vec::new();
    let mut counting: Vec<ArchiveId> = listing.counting().collect();
    counting.sort_unstable();
    for id in counting {
        let key = Key::ok_mark(id);
        match read_optional(repository.store().as_ref(), &key) {
            Ok(Some(mark)) if Mark::Ok.verify(id, &mark).is_ok() => {}
            Ok(None) => continue,
            Ok(Some(_)) => {
                report.finding(
                    Severity::Error,
                    key.to_string(),
                    None,
                    format!(
                        "the mark is damaged; it says nothing that its name does not: the archive is walked; {REPAIR}"
                    ),
                );
                harm_last(report, id);
            }
            Err(error) => {
                report.finding(Severity::Error, key.to_string(), None, format!("cannot be read: {error}; {REPAIR}"));
                harm_last(report, id);
            }
        }
        match repository.archive(id) {
            Ok(Some(archive)) => archives.push(archive),
            Ok(None) => {}
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                report.finding(
                    Severity::Error,
                    Key::archive(id).to_string(),
                    None,
                    format!(
                        "the archive cannot be opened: {error}; bring the file back from a copy of the repository, or {REPAIR}"
                    ),
                );
                harm_last(report, id);
            }
        }
    }
    lost_marks(repository, &listing, &archives, report);
    repository.compare_with_seen(&listing, &archives);
    missed(repository, report);
    broken_chains(&archives, report);
    archives.sort_by_key(|archive| (archive.manifest.time, archive.id));
    report.archives = archives.len() as u64;
    Ok(archives)
}

/// Archives without a mark that others name: whoever did so saw it.
fn lost_marks(repository: &Repository, listing: &ArchiveListing, archives: &[Archive], report: &mut CheckReport) {
    let unmarked = |id: &ArchiveId| !listing.ok.contains(id) && !listing.deleted.contains(id);
    let mut named: Vec<ArchiveId> = named_by(archives).into_iter().collect();
    named.sort_unstable();
    for id in named.into_iter().filter(|id| listing.manifests.contains(id) && unmarked(id)) {
        let readable = if matches!(repository.archive(id), Ok(Some(_))) { "; its manifest is whole" } else { "" };
        let message = format!(
            "the archive counted, for another one names it, but its mark is gone: it is not listed{readable}; {REPAIR}"
        );
        report.finding(Severity::Error, Key::ok_mark(id).to_string(), None, message);
        harm_last(report, id);
    }
}

/// Archives that this client has seen and that are gone unexplained, unless the user said that they may be.
fn missed(repository: &Repository, report: &mut CheckReport) {
    for gone in repository.gone().into_iter().filter(|gone| !gone.accepted) {
        let id = gone.archive.id;
        let file = if gone.has_manifest { Key::ok_mark(id) } else { Key::archive(id) };
        report.finding(Severity::Error, file.to_string(), None, gone.to_string());
        harm_last(report, id);
    }
}

/// A create gives its archive the number after that of the previous archive of its host, and the first of a host number 1. That the
/// previous one is gone is the normal end of an archive; that it has another number or another host is not.
fn broken_chains(archives: &[Archive], report: &mut CheckReport) {
    let by_id: HashMap<ArchiveId, &Archive> = archives.iter().map(|archive| (archive.id, archive)).collect();
    for Archive { id, manifest } in archives {
        let expected = match manifest.previous {
            None => Some(1),
            Some(previous) => match by_id.get(&previous).map(|archive| &archive.manifest) {
                Some(previous) if previous.host == manifest.host => previous.sequence.checked_add(1),
                Some(_) => None,
                None => continue,
            },
        };
        if expected != Some(manifest.sequence) {
            let message = format!(
                "the archive has number {} of host {}, which does not follow from the one that it names as the previous: no version of \
                 vault makes such an archive; nothing of it is harmed, but find out who made it",
                manifest.sequence, manifest.host
            );
            report.finding(Severity::Warning, Key::archive(*id).to_string(), None, message);
        }
    }
}

fn harm_last(report: &mut CheckReport, id: ArchiveId) {
    if let Some(finding) = report.findings.last_mut() {
        finding.harms.push((id, Vec::new()));
    }
}
