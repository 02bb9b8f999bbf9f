//! Archives: their manifests and marks, and whether those that were here are still here.

use std::collections::HashMap;

use super::{CheckReport, REPAIR, Severity, uncounted};
use crate::error::{Error, Result};
use crate::format::mark::Mark;
use crate::id::ArchiveId;
use crate::repository::gc::retire::named_by;
use crate::repository::{Archive, ArchiveListing, Gone, Repository, read_optional};
use crate::store::Key;
use crate::sync::on_all_cores;

/// The archives that count and whose manifests can be read; the others are findings.
pub(super) fn readable(repository: &Repository, report: &mut CheckReport) -> Result<Vec<Archive>> {
    let listing = repository.list_archives()?;
    report.pending_archives = listing.manifests.iter().filter(|id| !listing.ok.contains(id)).count() as u64;
    uncounted::marks_alone(repository, &listing, report);
    let mut archives = Vec::new();
    for found in on_all_cores(sorted(listing.counting()), |id| Found::read(repository, id)) {
        archives.extend(found.judge(report)?);
    }
    lost_marks(repository, &listing, &archives, report)?;
    uncounted::manifests_and_marks(repository, &listing, report)?;
    repository.compare_with_seen(&listing, &archives);
    missed(repository, &listing, report);
    broken_chains(&archives, report);
    archives.sort_by_key(|archive| (archive.manifest.time, archive.id));
    report.archives = archives.len() as u64;
    Ok(archives)
}

fn sorted(ids: impl Iterator<Item = ArchiveId>) -> Vec<ArchiveId> {
    let mut ids: Vec<ArchiveId> = ids.collect();
    ids.sort_unstable();
    ids
}

/// What was read of an archive that counts.
struct Found {
    id: ArchiveId,
    mark: Result<Option<Vec<u8>>>,
    archive: Result<Option<Archive>>,
}

impl Found {
    fn read(repository: &Repository, id: ArchiveId) -> Self {
        let mark = read_optional(repository.store().as_ref(), &Key::ok_mark(id));
        // Without its mark it has been purged since it was listed.
        let archive = if matches!(mark, Ok(None)) { Ok(None) } else { repository.archive(id) };
        Self { id, mark, archive }
    }

    /// The archive, if its manifest can be read.
    fn judge(self, report: &mut CheckReport) -> Result<Option<Archive>> {
        let id = self.id;
        let mut find = |file: Key, message: String| {
            report.finding(Severity::Error, file.to_string(), None, message);
            harm_last(report, id);
        };
        match self.mark {
            Ok(Some(mark)) if Mark::Ok.verify(id, &mark).is_err() => find(
                Key::ok_mark(id),
                format!("the mark is damaged; it says nothing that its name does not: the archive is walked; {REPAIR}"),
            ),
            Ok(_) => {}
            Err(error) => find(Key::ok_mark(id), format!("cannot be read: {error}; {REPAIR}")),
        }
        match self.archive {
            Err(error) if !matches!(error, Error::Interrupted) => {
                let advice = "bring the file back from a copy of the repository, or";
                find(Key::archive(id), format!("the archive cannot be opened: {error}; {advice} {REPAIR}"));
                Ok(None)
            }
            read => read,
        }
    }
}

/// Archives without a mark that others name, deleted ones too: whoever did so saw it.
fn lost_marks(
    repository: &Repository,
    listing: &ArchiveListing,
    archives: &[Archive],
    report: &mut CheckReport,
) -> Result<()> {
    let unmarked = |id: &ArchiveId| !listing.ok.contains(id) && !listing.deleted.contains(id);
    let deleted = repository.deleted_archives(&mut |_, _| {})?;
    let named = named_by(archives).union(&named_by(&deleted)).copied().collect::<Vec<_>>();
    for id in sorted(named.into_iter()).into_iter().filter(|id| listing.manifests.contains(id) && unmarked(id)) {
        let readable = if matches!(repository.archive(id), Ok(Some(_))) { "; its manifest is whole" } else { "" };
        let message = format!(
            "the archive counted, for another one names it, but its mark is gone: it is not listed{readable}; {REPAIR}"
        );
        report.finding(Severity::Error, Key::ok_mark(id).to_string(), None, message);
        harm_last(report, id);
    }
    Ok(())
}

/// Archives that this client has seen and that are gone unexplained, unless the user said that they may be.
fn missed(repository: &Repository, listing: &ArchiveListing, report: &mut CheckReport) {
    // A mark without its manifest was said to be one already.
    let unsaid = |gone: &Gone| !gone.accepted && !listing.ok.contains(&gone.archive.id);
    for gone in repository.gone().into_iter().filter(unsaid) {
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

pub(super) fn harm_last(report: &mut CheckReport, id: ArchiveId) {
    if let Some(finding) = report.findings.last_mut() {
        finding.harms.push((id, Vec::new()));
    }
}
