//! `check`: whether every archive can be restored. It finds, names whom it harms, and changes nothing.
//!
//! 1. Structure: every segment opens; every pack that the index names exists with the right size; every object that an archive refers
//!    to has a copy in such a pack; slots, marks, events and gc records are what their names say.
//! 2. With `read_data` every pack is read: its name, every block, every id.
//! 3. What is damaged is then traced to archives and paths.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::error::{Error, Result};
use crate::format::file::{Class, open_file};
use crate::format::mark::Mark;
use crate::format::segment::IndexedPack;
use crate::id::{ArchiveId, FileId, ObjectId, PackId};
use crate::progress::Monitor;
use crate::repository::gc::retire::named_by;
use crate::repository::{Archive, ArchiveListing, Look, Reader, Repository, read_optional, rebuild};
use crate::store::{Key, Kind};

mod packs;
mod trace;
mod uncounted;

/// So often the structure is looked at while others move things.
const ATTEMPTS: u32 = 5;

/// What to check.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Read and verify every block.
    pub read_data: bool,
    /// Worker threads; one a core without it.
    pub jobs: Option<usize>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is lost.
    Warning,
    /// Something cannot be restored, or could not be if another copy were lost.
    Error,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file of the repository.
    pub file: String,
    /// The object, if one is meant.
    pub object: Option<ObjectId>,
    /// What is wrong, and what to do.
    pub message: String,
    /// The archives that it harms, and the paths in them.
    pub harms: Vec<(ArchiveId, Vec<u8>)>,
}

/// What a check saw.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Archives that were walked.
    pub archives: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Packs that no segment names: left by a run that was cut off; the next create puts them into a segment.
    pub unindexed_packs: u64,
    /// Manifests without a mark.
    pub pending_archives: u64,
    /// Objects whose existence, or with `read_data` content, was verified.
    pub objects: u64,
    /// Bytes of packs that were read.
    pub bytes_read: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub duration: Duration,
}

impl CheckReport {
    fn finding(
        &mut self,
        severity: Severity,
        file: impl Into<String>,
        object: Option<ObjectId>,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding { severity, file: file.into(), object, message: message.into(), harms: Vec::new() });
    }

    /// The worst finding, if there is any.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Copies of objects that cannot be had: in which pack, and the finding that says so.
type Lost = HashMap<ObjectId, Vec<(PackId, usize)>>;

/// Checks a repository. Others may write and compact meanwhile: what was only moved under its hands is looked at again.
///
/// # Errors
/// Only what makes checking impossible: the store cannot be listed, the user asked to stop. All else is a finding.
pub fn check(repository: &Repository, options: CheckOptions, monitor: &dyn Monitor) -> Result<CheckReport> {
    let watch = Stopwatch::start();
    let mut reading = CheckReport::default();
    small_files(repository, &mut reading)?;
    let mut lost = Lost::new();
    if options.read_data {
        let mut look = Look::index_for_check(repository.core())?;
        let mut packs = Structure::read(repository, &mut look, &mut CheckReport::default())?.packs;
        add_unnamed(repository, &look, &mut packs, &mut CheckReport::default())?;
        packs::read(repository, &look, &packs, options.jobs, monitor, &mut reading, &mut lost)?;
    }
    for attempt in 1.. {
        let mut report = reading.clone();
        let before = structure(repository, monitor, &mut report, lost.clone())?;
        let sound = report.findings.len() == reading.findings.len();
        if sound || attempt == ATTEMPTS || !has_moved(repository, &before)? {
            report.duration = watch.elapsed();
            return Ok(report);
        }
    }
    Err(Error::Internal("a check that never ended".to_owned()))
}

/// Whether others have put or removed segments or gc records since a look.
fn has_moved(repository: &Repository, before: &Look) -> Result<bool> {
    let after = Look::index_for_check(repository.core())?;
    Ok(before.segments != after.segments || before.records != after.records)
}

/// Whether everything that an archive refers to is where the index says; gives what it went by.
fn structure(repository: &Repository, monitor: &dyn Monitor, report: &mut CheckReport, mut lost: Lost) -> Result<Look> {
    // Archives are listed before the index: what they refer to was indexed before they were.
    let archives = readable_archives(repository, report)?;
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
    if monitor.cancelled() {
        return Err(Error::Interrupted);
    }
    let index = Arc::new(repository.load_index_of(&look)?);
    let reader = Reader::new(repository, index);
    trace::archives(&reader, &archives, monitor, report, &lost)?;
    for finding in report.findings.get_mut(missing).unwrap_or_default() {
        excuse(finding);
    }
    look.segments = listed;
    Ok(look)
}

/// What of one archive no pack holds, as far as the index can tell: path and problem.
pub(crate) fn losses(
    repository: &Repository,
    archive: &Archive,
    monitor: &dyn Monitor,
) -> Result<Vec<(Vec<u8>, String)>> {
    let reader = Reader::new(repository, Arc::new(repository.load_index_to_read()?));
    let mut report = CheckReport::default();
    trace::archives(&reader, std::slice::from_ref(archive), monitor, &mut report, &Lost::new())?;
    let harms = report.findings.into_iter().flat_map(|finding| {
        let message = finding.message;
        finding.harms.into_iter().map(move |(_, path)| (path, message.clone()))
    });
    Ok(harms.collect())
}

/// The archives that need one of these objects and can have it from no pack but the one named.
pub(crate) fn harmed(
    repository: &Repository,
    archives: &[Archive],
    lost: &[(PackId, ObjectId)],
    monitor: &dyn Monitor,
) -> Result<Vec<ArchiveId>> {
    let reader = Reader::new(repository, Arc::new(repository.load_index_to_read()?));
    let mut report = CheckReport::default();
    report.finding(Severity::Error, "packs/", None, "damaged");
    let lost = lost.iter().map(|(pack, id)| (*id, vec![(*pack, 0)])).collect();
    trace::archives(&reader, archives, monitor, &mut report, &lost)?;
    let mut harmed: Vec<_> = report.findings.into_iter().flat_map(|finding| finding.harms).map(|(id, _)| id).collect();
    harmed.sort_unstable();
    harmed.dedup();
    Ok(harmed)
}

/// Key slots, events and gc records: names and seals.
fn small_files(repository: &Repository, report: &mut CheckReport) -> Result<()> {
    let store = repository.store();
    for (kind, class) in [(Kind::Keys, None), (Kind::Events, Some(Class::Event)), (Kind::Gc, Some(Class::Gc))] {
        for file in store.list(kind)? {
            let key = Key::listed(kind, &file.name);
            let Some(id) = FileId::from_hex(&file.name) else {
                report.finding(Severity::Warning, key.to_string(), None, "not a name that vault gives; ignored");
                continue;
            };
            let bytes = match read_optional(store.as_ref(), &key) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    report.finding(Severity::Error, key.to_string(), None, format!("cannot be read: {error}"));
                    continue;
                }
            };
            if blake3::hash(&bytes) != *id.as_bytes() {
                report.finding(
                    Severity::Error,
                    key.to_string(),
                    None,
                    "its bytes are not those that its name says; no archive is harmed",
                );
            } else if let Some(Err(error)) = class.map(|class| open_file(repository.ring(), class, &bytes)) {
                report.finding(Severity::Error, key.to_string(), None, format!("{error}; no archive is harmed"));
            }
        }
    }
    uncounted::sessions(repository, report)
}

/// The archives that count and whose manifests can be read; the others are findings.
fn readable_archives(repository: &Repository, report: &mut CheckReport) -> Result<Vec<Archive>> {
    let listing = repository.list_archives()?;
    report.pending_archives = listing.manifests.iter().filter(|id| !listing.ok.contains(id)).count() as u64;
    uncounted::marks_alone(repository, &listing, report)?;
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
                    "the mark is damaged; it says nothing that its name does not: the archive is walked",
                );
                harm_last(report, id);
            }
            Err(error) => {
                report.finding(Severity::Error, key.to_string(), None, format!("cannot be read: {error}"));
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
                    format!("the archive cannot be opened: {error}"),
                );
                harm_last(report, id);
            }
        }
    }
    lost_marks(repository, &listing, &archives, report)?;
    uncounted::manifests_and_marks(repository, &listing, report)?;
    archives.sort_by_key(|archive| (archive.manifest.time, archive.id));
    report.archives = archives.len() as u64;
    Ok(archives)
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
    let mut named: Vec<ArchiveId> = named_by(archives).union(&named_by(&deleted)).copied().collect();
    named.sort_unstable();
    for id in named.into_iter().filter(|id| listing.manifests.contains(id) && unmarked(id)) {
        let readable = if matches!(repository.archive(id), Ok(Some(_))) { "; its manifest is whole" } else { "" };
        let message =
            format!("the archive counted, for another one names it, but its mark is gone: it is not listed{readable}");
        report.finding(Severity::Error, Key::ok_mark(id).to_string(), None, message);
        harm_last(report, id);
    }
    Ok(())
}

fn harm_last(report: &mut CheckReport, id: ArchiveId) {
    if let Some(finding) = report.findings.last_mut() {
        finding.harms.push((id, Vec::new()));
    }
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
        let message = "no index segment names the pack, and it cannot be read without one; an archive that needs it says so below";
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
            "the index segment is gone, and no other names {packs} packs; they are read without it, and the next create indexes them again"
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
        for id in segments {
            match repository.core().read_segment(id) {
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
                    let message =
                        format!("the index segment cannot be read: {error}; it can be rebuilt from the packs");
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
        report.finding(Severity::Error, key, None, format!("what the index says of it does not decode: {error}"));
        return;
    }
    match packs.get(&pack.id) {
        Some(other) if *other != pack => {
            report.finding(Severity::Error, key, None, "two index segments say different things of it");
        }
        Some(_) => {}
        None => drop(packs.insert(pack.id, pack)),
    }
}

/// An entry of the index is a hint: one for a pack that has gone, and without which no archive lacks anything, harms nobody.
fn excuse(finding: &mut Finding) {
    if finding.harms.is_empty() {
        finding.severity = Severity::Warning;
        finding.message.push_str("; no archive lacks anything for it");
    }
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
        format!("{message}; the next create stores again what it finds in its source"),
    );
    let number = report.findings.len() - 1;
    for entry in pack.blocks().unwrap_or_default().into_iter().flat_map(|block| block.entries) {
        lost.entry(entry.id).or_default().push((pack.id, number));
    }
}

/// Trees and lists that have been walked without anything to say.
type Seen = HashSet<ObjectId>;
