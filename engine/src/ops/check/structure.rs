//! The structure of a repository: what the index says, whether it stands in the store, and whether archives find in it what they need.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{CheckReport, Finding, Lost, REPAIR, Severity, archives, survey, trace};
use crate::error::{Error, Result};
use crate::format::segment::IndexedPack;
use crate::id::{FileId, PackId};
use crate::progress::Monitor;
use crate::repository::{Archive, Look, Reader, Repository, rebuild};
use crate::store::{Key, Kind};
use crate::sync::on_all_cores;

/// Every pack that there is something to say of: named by a segment, or read without one. What is wrong is not said here.
pub(super) fn packs(repository: &Repository, look: &mut Look) -> Result<HashMap<PackId, IndexedPack>> {
    let mut packs = Structure::read(repository, look, &mut CheckReport::default())?.packs;
    add_unnamed(repository, look, &mut packs, &mut CheckReport::default())?;
    Ok(packs)
}

/// Whether others have put or removed segments or gc records since a look.
pub(super) fn has_moved(repository: &Repository, before: &Look) -> Result<bool> {
    let after = Look::index_for_check(repository.core())?;
    Ok(before.segments != after.segments || before.records != after.records)
}

/// Whether everything that an archive refers to is where the index says; gives what it went by.
pub(super) fn check(
    repository: &Repository,
    jobs: Option<usize>,
    monitor: &dyn Monitor,
    report: &mut CheckReport,
    mut lost: Lost,
) -> Result<Look> {
    // Archives are listed before the index: what they refer to was indexed before they were.
    let archives = archives::readable(repository, report)?;
    let mut look = Look::index_for_check(repository.core())?;
    let listed = look.segments.clone();
    let Structure { mut packs, replaced } = Structure::read(repository, &mut look, report)?;
    report.packs = packs.len() as u64;
    report.unindexed_packs = look.packs.keys().filter(|id| !packs.contains_key(id)).count() as u64;
    lost_segments(&archives, &look, &replaced, report);
    add_unnamed(repository, &look, &mut packs, report)?;
    let first = report.findings.len();
    for pack in packs.values() {
        missing_pack(pack, &look, report, &mut lost);
    }
    let missing = first..report.findings.len();
    let blamed: HashSet<usize> = lost.values().flatten().map(|(_, number)| *number).collect();
    if monitor.cancelled() {
        return Err(Error::Interrupted);
    }
    let index = Arc::new(repository.load_index_of(&look)?);
    let reader = Reader::new(repository, index);
    match survey::sound_objects(&reader, &archives, &lost, jobs, monitor)? {
        Some(objects) if report.bytes_read == 0 => report.objects += objects,
        Some(_) => {}
        None => trace::archives(&reader, &archives, monitor, report, &lost, trace::Unread::IsFound)?,
    }
    for (number, finding) in report.findings.iter_mut().enumerate().filter(|(_, finding)| finding.harms.is_empty()) {
        if missing.contains(&number) {
            excuse(finding);
        } else if blamed.contains(&number) {
            finding.message.push_str("; no archive is harmed: none needs what is lost there, or another copy is whole");
        }
    }
    recorded_losses(repository, report)?;
    look.segments = listed;
    Ok(look)
}

/// What a repair has recorded as lost is known: it is said each time, and is no news.
fn recorded_losses(repository: &Repository, report: &mut CheckReport) -> Result<()> {
    let facts = repository.facts()?;
    for finding in report.findings.iter_mut().filter(|finding| !finding.harms.is_empty()) {
        let Some(object) = finding.object else { continue };
        if finding.harms.iter().all(|(archive, _)| facts.losses(*archive).contains(&object)) {
            finding.severity = Severity::Warning;
            let advice = "a create that finds the file in its source stores it again";
            finding.message = format!("lost, as a repair has recorded; {advice}");
        }
    }
    Ok(())
}

/// Packs that no segment names are read without one, so they are checked like the others.
fn add_unnamed(
    repository: &Repository,
    look: &Look,
    packs: &mut HashMap<PackId, IndexedPack>,
    report: &mut CheckReport,
) -> Result<()> {
    for (id, size) in &look.packs {
        if packs.contains_key(id) || look.condemned.contains(id) {
            continue;
        }
        if let Some(pack) = rebuild::directory_of(repository.core(), *id, *size)? {
            packs.insert(*id, pack);
            continue;
        }
        let message = "no index segment names the pack, and it cannot be read without one; no archive is harmed unless another finding says so";
        report.finding(Severity::Warning, Key::pack(*id).to_string(), None, message);
    }
    Ok(())
}

/// Segments that archives name and that are gone without a successor, while there are packs that no segment names.
fn lost_segments(archives: &[Archive], look: &Look, replaced: &HashSet<FileId>, report: &mut CheckReport) {
    if report.unindexed_packs == 0 {
        return;
    }
    let named = archives.iter().flat_map(|archive| &archive.manifest.segments);
    let gone: HashSet<FileId> =
        named.filter(|id| !look.segments.contains_key(id) && !replaced.contains(id)).copied().collect();
    let packs = report.unindexed_packs;
    for id in gone {
        let message = format!(
            "the index segment is gone, and no other names {packs} packs; no archive is harmed: they are read without it, and the next \
             create indexes them again"
        );
        report.finding(Severity::Warning, Key::file(Kind::Index, id).to_string(), None, message);
    }
}

/// What the readable segments say.
struct Structure {
    /// Every pack that one names.
    packs: HashMap<PackId, IndexedPack>,
    /// Segments whose place they took.
    replaced: HashSet<FileId>,
}

impl Structure {
    /// Reads the segments of a look; those that cannot be read are left out of it, so that the check can go on.
    fn read(repository: &Repository, look: &mut Look, report: &mut CheckReport) -> Result<Self> {
        let mut structure = Self { packs: HashMap::new(), replaced: HashSet::new() };
        let segments: Vec<_> = look.segments.keys().copied().collect();
        for (id, read) in on_all_cores(segments, |id| (id, repository.core().read_segment(id))) {
            match read {
                Ok(Some(segment)) => {
                    structure.replaced.extend(segment.replaces);
                    for pack in segment.packs {
                        note_pack(pack, &mut structure.packs, report);
                    }
                }
                Ok(None) => {}
                Err(error @ Error::Interrupted) => return Err(error),
                Err(error) => {
                    look.segments.remove(&id);
                    let message = format!(
                        "the index segment cannot be read: {error}; what it says stands in the packs too, which are read instead; {REPAIR}"
                    );
                    report.finding(Severity::Error, Key::file(Kind::Index, id).to_string(), None, message);
                }
            }
        }
        Ok(structure)
    }
}

fn note_pack(pack: IndexedPack, packs: &mut HashMap<PackId, IndexedPack>, report: &mut CheckReport) {
    let key = Key::pack(pack.id).to_string();
    if let Err(error) = pack.blocks() {
        report.finding(
            Severity::Error,
            key,
            None,
            format!("what the index says of it does not decode: {error}; {REPAIR}"),
        );
        return;
    }
    match packs.get(&pack.id) {
        Some(other) if *other != pack => {
            report.finding(
                Severity::Error,
                key,
                None,
                format!("two index segments say different things of it; {REPAIR}"),
            );
        }
        Some(_) => {}
        None => drop(packs.insert(pack.id, pack)),
    }
}

/// An entry of the index is a hint: one for a pack that has gone, and without which no archive lacks anything, harms nobody.
fn excuse(finding: &mut Finding) {
    finding.severity = Severity::Warning;
    finding.message.push_str("; no archive lacks anything for it");
}

/// A pack that is not there, or has another size: all that is in it has no copy here.
fn missing_pack(pack: &IndexedPack, look: &Look, report: &mut CheckReport, lost: &mut Lost) {
    let message = match look.packs.get(&pack.id) {
        Some(size) if *size == pack.size => return,
        Some(size) => format!("the pack has {size} bytes, the index says {}", pack.size),
        None if look.condemned.contains(&pack.id) => return,
        None => "the pack is missing".to_owned(),
    };
    let key = Key::pack(pack.id).to_string();
    report.finding(
        Severity::Error,
        key,
        None,
        format!("{message}; the next create stores again what it finds in its source, then {REPAIR}"),
    );
    let number = report.findings.len() - 1;
    for entry in pack.blocks().unwrap_or_default().into_iter().flat_map(|block| block.entries) {
        lost.entry(entry.id).or_default().push((pack.id, number));
    }
}
