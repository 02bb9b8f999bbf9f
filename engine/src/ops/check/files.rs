//! Every file of a repository by its name, for whoever holds the disk and no key.
//!
//! Files are named by the BLAKE3 of their bytes, marks by what is in them, and `config` ends with its own hash; so decay is found
//! without a secret. Malice is not (whoever changes a file can rename it), and neither is a file that is missing: what should be there,
//! only the index says.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::packs::in_order;
use super::small::{STRAY, meaning};
use super::{CheckReport, Finding, REPAIR, Severity};
use crate::clock::Stopwatch;
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::file::{Class, verify_header};
use crate::format::mark::{MARK_LEN, Mark};
use crate::format::slot::Slot;
use crate::format::{FormatError, Opened};
use crate::id::{ArchiveId, FileId};
use crate::progress::{Counters, Monitor};
use crate::repository::{Probe, Repository};
use crate::store::{Key, Kind, Store, StoreResult};
use crate::sync::lock;

/// So much of a file is in memory at a time, on each thread.
const WINDOW: usize = 1 << 20;
/// The folders, those first of which a loss weighs most for its size.
const FOLDERS: [Kind; 6] = [Kind::Keys, Kind::Archives, Kind::Index, Kind::Events, Kind::Gc, Kind::Packs];
/// What to do about a file on which archives depend.
const WITH_KEY: &str = "without a key nobody can tell which archives it harms: whoever has it runs `vault check --read-data`, which \
                        says so, and `vault check --repair`";

/// What was seen of the files.
#[derive(Clone, Debug, Default)]
pub struct FilesReport {
    /// What can be said of the repository; `None` if its `config` is damaged.
    pub probe: Option<Probe>,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub duration: Duration,
}

/// Verifies every file without any key.
///
/// # Errors
/// There is no repository, or a newer version made it; the store cannot be listed; the user asked to stop.
pub fn check_files(store: &dyn Store, jobs: Option<usize>, monitor: &dyn Monitor) -> Result<FilesReport> {
    let watch = Stopwatch::start();
    let mut small = CheckReport::default();
    let probe = match Repository::probe(store) {
        Ok(probe) => Some(probe),
        Err(Error::Damaged { problem, .. }) => {
            let advice = "a copy of it is in every key slot: run `vault key import` with an exported one, or";
            small.finding(Severity::Error, "config", None, format!("it is damaged: {problem}; {advice} {REPAIR}"));
            None
        }
        Err(error) => return Err(error),
    };
    let listed = list(store, &mut small)?;
    if let Some(counters) = monitor.counters() {
        counters.total_bytes.store(listed.iter().map(|file| file.size).sum(), Ordering::Relaxed);
    }
    let (files, bytes_read) = (AtomicU64::new(0), AtomicU64::new(0));
    let findings = Mutex::new(Vec::new());
    in_order(jobs, &listed, &|file| {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        match file.check(store, monitor)? {
            Outcome::Gone => return Ok(true),
            Outcome::Sound => {}
            Outcome::Bad(problem) => lock(&findings).push(file.finding(&problem)),
        }
        files.fetch_add(1, Ordering::Relaxed);
        bytes_read.fetch_add(file.size, Ordering::Relaxed);
        if let Some(counters) = monitor.counters() {
            Counters::add(&counters.entries, 1);
        }
        Ok(true)
    })?;
    let mut found = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(FilesReport {
        probe,
        files: files.into_inner(),
        bytes_read: bytes_read.into_inner(),
        findings: [small.findings, found].concat(),
        duration: watch.elapsed(),
    })
}

/// A file that a listing shows, and how it can be verified.
struct File {
    key: Key,
    size: u64,
    content: Content,
}

/// What its name says of its bytes.
#[derive(Clone, Copy)]
enum Content {
    Hash(FileId),
    Mark(Mark, ArchiveId),
}

enum Outcome {
    Sound,
    /// It was removed since it was listed.
    Gone,
    Bad(String),
}

/// Every file that can be verified. Names of nobody's are said at once, and marks whose manifest is not there.
fn list(store: &dyn Store, report: &mut CheckReport) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for kind in FOLDERS {
        let mut listed = store.list(kind)?;
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        let is_there = |id: ArchiveId, suffix: &str| {
            let name = format!("{}{suffix}", id.to_hex());
            listed.binary_search_by(|file| file.name.cmp(&name)).is_ok()
        };
        for file in &listed {
            let key = Key::listed(kind, &file.name);
            let Some(content) = content_of(kind, &file.name) else {
                report.finding(Severity::Warning, key.to_string(), None, STRAY);
                continue;
            };
            if let Content::Mark(Mark::Ok, id) = content
                && !is_there(id, "")
                && !is_there(id, ".del")
            {
                let message = format!(
                    "a mark without its manifest: the archive is gone, or is just being purged; if nobody deleted it, bring the \
                     manifest back from a copy of the repository, else {REPAIR}"
                );
                report.finding(Severity::Error, key.to_string(), None, message);
            }
            files.push(File { key, size: file.size, content });
        }
    }
    Ok(files)
}

fn content_of(kind: Kind, name: &str) -> Option<Content> {
    match name.split_once('.') {
        None => FileId::from_hex(name).map(Content::Hash),
        Some((id, "ok")) if kind == Kind::Archives => Some(Content::Mark(Mark::Ok, ArchiveId::from_hex(id)?)),
        Some((id, "del")) if kind == Kind::Archives => Some(Content::Mark(Mark::Deleted, ArchiveId::from_hex(id)?)),
        Some(_) => None,
    }
}

impl File {
    /// Only the user's wish to stop ends it.
    fn check(&self, store: &dyn Store, monitor: &dyn Monitor) -> Result<Outcome> {
        let checked = match self.content {
            Content::Mark(mark, archive) => store.read(&self.key, MARK_LEN as u64).map(|bytes| {
                mark.verify(archive, &bytes).map_err(|_| "it is not the mark that its name says".to_owned())
            }),
            Content::Hash(id) => self.read(store, monitor).map(|read| self.judge(id, &read)),
        };
        Ok(match checked {
            _ if monitor.cancelled() => return Err(Error::Interrupted),
            Ok(Ok(())) => Outcome::Sound,
            Ok(Err(problem)) => Outcome::Bad(problem),
            Err(error)
                if error.kind == StoreErrorKind::NotFound && store.size(&self.key).is_ok_and(|size| size.is_none()) =>
            {
                Outcome::Gone
            }
            Err(error) => {
                let cause = error.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
                Outcome::Bad(format!("it cannot be read: {error}{cause}"))
            }
        })
    }

    /// The hash of all of it, and its first bytes.
    fn read(&self, store: &dyn Store, monitor: &dyn Monitor) -> StoreResult<Read> {
        let window = usize::try_from(self.size).map_or(WINDOW, |size| size.min(WINDOW));
        let mut buffer = vec![0; window];
        let mut hasher = blake3::Hasher::new();
        let (mut first, mut offset) = (Vec::new(), 0);
        while offset < self.size && !monitor.cancelled() {
            let left = usize::try_from(self.size - offset).unwrap_or(window);
            let part = buffer.get_mut(..left.min(window)).unwrap_or_default();
            store.read_at(&self.key, offset, part)?;
            if offset == 0 {
                first = part.to_vec();
            }
            hasher.update(part);
            offset += part.len() as u64;
            if let Some(counters) = monitor.counters() {
                Counters::add(&counters.bytes, part.len() as u64);
            }
        }
        Ok(Read { hash: *hasher.finalize().as_bytes(), first })
    }

    fn judge(&self, id: FileId, read: &Read) -> std::result::Result<(), String> {
        if read.hash != *id.as_bytes() {
            return Err("its bytes are not those that its name says".to_owned());
        }
        let judged = match self.key.kind() {
            Kind::Keys => Slot::decode(&read.first).map(drop),
            kind => is_of(kind, &read.first),
        };
        judged.map_err(|error| match error {
            FormatError::Unsupported(what) => format!("it needs a newer version of vault: {what}"),
            error => format!("it is whole, but no file of this folder: {error}"),
        })
    }

    fn finding(&self, problem: &str) -> Finding {
        let means = match self.key.kind() {
            Kind::Packs | Kind::Index | Kind::Archives => WITH_KEY.to_owned(),
            kind => meaning(kind),
        };
        Finding {
            severity: Severity::Error,
            file: self.key.to_string(),
            object: None,
            message: format!("{problem}; {means}"),
            harms: Vec::new(),
        }
    }
}

struct Read {
    hash: [u8; 32],
    first: Vec<u8>,
}

/// Whether a file begins with the header that the files of a folder have.
fn is_of(kind: Kind, first: &[u8]) -> Opened<()> {
    let classes: &[Class] = match kind {
        Kind::Packs => &[Class::Data, Class::Meta],
        Kind::Index => &[Class::Index],
        Kind::Archives => &[Class::Root],
        Kind::Events => &[Class::Event],
        Kind::Gc => &[Class::Gc],
        Kind::Config | Kind::Keys | Kind::Sessions | Kind::Quarantine => &[],
    };
    verify_header(classes, first)
}
