//! Listing archives and their entries, and finding the one that a selector means.

use std::collections::HashSet;
use std::sync::Arc;

use crate::crypto::Purpose;
use crate::error::{ArchiveProblem, Error, Result};
use crate::format::manifest::{Manifest, decode_warnings};
use crate::id::{ArchiveId, ObjectId};
use crate::meta::{Node, Timestamp};
use crate::ops::walk::{complete_xattrs, each_entry};
use crate::progress::Monitor;
use crate::repository::{Reader, Repository};

pub use crate::format::manifest::Statistics;
pub use crate::pattern::Glob;
pub use crate::repository::{Archive, Facts};

/// Which archive is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The newest of a series, or one some steps before.
    Series {
        /// Host label; any without it.
        host: Option<String>,
        /// The series' name.
        name: String,
        /// 0 is the newest.
        back: usize,
    },
    /// The newest of a series at or before a time.
    At {
        /// Host label; any without it.
        host: Option<String>,
        /// The series' name.
        name: String,
        /// The time.
        at: Timestamp,
    },
    /// The newest of all.
    Latest,
    /// The archive whose id begins with these hexadecimal digits.
    Id(String),
}

/// A selector, and how the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it means.
    pub selector: Selector,
    /// As written.
    pub text: String,
}

/// Every archive that counts, oldest first. One that cannot be read is a warning.
pub fn list(repository: &Repository, monitor: &dyn Monitor) -> Result<Vec<Archive>> {
    repository.archives(&mut |id, error| warn_of_damaged(monitor, id, error))
}

/// Every archive that is deleted and can be brought back, oldest first; not those that were brought back already.
pub fn list_deleted(repository: &Repository, monitor: &dyn Monitor) -> Result<Vec<Archive>> {
    let deleted = repository.deleted_archives(&mut |id, error| warn_of_damaged(monitor, id, error))?;
    let counting = repository.archives(&mut |_, _| {})?;
    let revived: HashSet<_> =
        counting.iter().filter_map(|new| Some((new.manifest.parent?, what_and_when(&new.manifest)))).collect();
    Ok(deleted.into_iter().filter(|old| !revived.contains(&(old.id, what_and_when(&old.manifest)))).collect())
}

/// What an archive has in common with the one that `undelete` makes of it: what it holds, and when. A night on which nothing changed
/// holds the same as its parent, but its run had other times.
fn what_and_when(manifest: &Manifest) -> (ObjectId, [Timestamp; 3]) {
    (manifest.root_tree(), [manifest.time, manifest.start, manifest.end])
}

pub(crate) fn warn_of_damaged(monitor: &dyn Monitor, id: ArchiveId, error: &dyn std::fmt::Display) {
    monitor.warning(b"", &format!("archive aid:{id} cannot be read and is left out: {error}; run `vault check`"));
}

/// What the events say of archives, for showing it. An event that cannot be read is a warning.
pub fn facts(repository: &Repository, monitor: &dyn Monitor) -> Result<Facts> {
    let facts = repository.facts()?;
    for error in facts.unreadable() {
        monitor.warning(b"", &format!("{error}; it may protect an archive, so prune and delete refuse to work"));
    }
    Ok(facts)
}

/// Whether a glob means this archive: with a `/` by host label and name, else by its name alone.
pub fn is_meant(glob: &Glob, manifest: &Manifest) -> bool {
    if glob.as_str().contains('/') { glob.matches(&manifest.series()) } else { glob.matches(&manifest.name) }
}

/// The archive that a selector means; `text` is how the user wrote it.
///
/// # Errors
/// `Archive`: there is none, or series of several hosts match.
pub fn select(repository: &Repository, selector: &Selector, text: &str, monitor: &dyn Monitor) -> Result<Archive> {
    choose(&list(repository, monitor)?, selector, text).map_err(Error::Archive)
}

/// The archives that several selectors mean, each once: all are found before anything is done to the first.
pub(crate) fn choose_all(archives: &[Archive], wanted: &[Wanted]) -> Result<Vec<Archive>, ArchiveProblem> {
    let mut chosen: Vec<Archive> = Vec::new();
    for one in wanted {
        let archive = choose(archives, &one.selector, &one.text)?;
        if chosen.iter().all(|other| other.id != archive.id) {
            chosen.push(archive);
        }
    }
    Ok(chosen)
}

pub(crate) fn choose(archives: &[Archive], selector: &Selector, text: &str) -> Result<Archive, ArchiveProblem> {
    let none = |hint: String| ArchiveProblem::NotFound { selector: text.to_owned(), hint };
    match selector {
        Selector::Latest => {
            let newest =
                archives.iter().max_by_key(|archive| (archive.manifest.time, archive.manifest.sequence, archive.id));
            newest.cloned().ok_or_else(|| none(": the repository holds no archive".to_owned()))
        }
        Selector::Id(prefix) => {
            let matching: Vec<_> = archives.iter().filter(|archive| archive.id.to_hex().starts_with(prefix)).collect();
            match matching.as_slice() {
                [] => Err(none(String::new())),
                [one] => Ok((*one).clone()),
                several => {
                    let candidates = several.iter().map(|archive| format!("aid:{}", archive.id.to_hex())).collect();
                    Err(ArchiveProblem::Ambiguous { selector: text.to_owned(), candidates })
                }
            }
        }
        Selector::Series { host, name, back } => {
            let series = one_series(archives, host.as_deref(), name, text)?;
            let found = series.len().checked_sub(back + 1).and_then(|at| series.get(at));
            found
                .map(|archive| (*archive).clone())
                .ok_or_else(|| none(format!(": the series has {} archives", series.len())))
        }
        Selector::At { host, name, at } => {
            let series = one_series(archives, host.as_deref(), name, text)?;
            let found = series.iter().rev().find(|archive| archive.manifest.time <= *at);
            found
                .map(|archive| (*archive).clone())
                .ok_or_else(|| none(": the oldest archive of the series is newer".to_owned()))
        }
    }
}

/// The archives of the one series that matches, oldest first by the time that they stand for.
fn one_series<'a>(
    archives: &'a [Archive],
    host: Option<&str>,
    name: &str,
    text: &str,
) -> Result<Vec<&'a Archive>, ArchiveProblem> {
    let matching = archives.iter().filter(|archive| archive.manifest.name == name);
    let matching = matching.filter(|archive| host.is_none_or(|host| archive.manifest.host == host));
    let mut series: Vec<&Archive> = matching.collect();
    series.sort_by_key(|archive| (archive.manifest.time, archive.manifest.sequence, archive.id));
    let mut names: Vec<String> = series.iter().map(|archive| archive.manifest.series()).collect();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => Err(ArchiveProblem::NotFound { selector: text.to_owned(), hint: similar(archives, name) }),
        1 => Ok(series),
        _ => Err(ArchiveProblem::Ambiguous { selector: text.to_owned(), candidates: names }),
    }
}

/// What there is instead.
pub(crate) fn similar(archives: &[Archive], name: &str) -> String {
    let mut names: Vec<String> = archives.iter().map(|archive| archive.manifest.series()).collect();
    names.sort_unstable();
    names.dedup();
    // Those that contain what was written come first.
    names.sort_by_key(|series| !series.contains(name));
    let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    match names.len() {
        0 => ": the repository holds no archive".to_owned(),
        count if count > shown.len() => format!("; there are: {} and {} more", shown.join(", "), count - shown.len()),
        _ => format!("; there are: {}", shown.join(", ")),
    }
}

/// Calls back with every entry of an archive, in order, directories before what is in them.
pub fn entries(
    repository: &Repository,
    archive: &Archive,
    each: &mut dyn FnMut(&[u8], &Node) -> Result<()>,
) -> Result<()> {
    let reader = Reader::new(repository, Arc::new(repository.load_index_to_read()?));
    each_entry(&reader, archive.manifest.root_tree(), &mut |path, mut node, xattrs| {
        complete_xattrs(&reader, &mut node, xattrs)?;
        each(path, &node)
    })
    .map_err(|error| repository.lost_or_deleted(archive.id, error))
}

/// The warnings that an archive was made with: path and message.
pub fn warnings(repository: &Repository, archive: &Archive) -> Result<Vec<(Vec<u8>, String)>> {
    let id = archive.manifest.warnings;
    if id.is_zero() {
        return Ok(Vec::new());
    }
    let reader = Reader::new(repository, Arc::new(repository.load_index_to_read()?));
    let bytes = reader.object(Purpose::Meta, &id).map_err(|error| repository.lost_or_deleted(archive.id, error))?;
    decode_warnings(&bytes)
        .map_err(|error| Error::Damaged { file: format!("warning list {}", id.to_hex()), problem: error.to_string() })
}
