//! `delete`: a mark beside each archive. Nothing is freed by it, and `undelete` brings the archive back until a compaction purges it.

use std::collections::{HashMap, HashSet};

use crate::error::{ArchiveProblem, Error, Result};
use crate::id::ArchiveId;
use crate::ops::archives::{Glob, Selector, Wanted, choose, is_meant, warn_of_damaged};
use crate::ops::protect::warn_of_protected;
use crate::progress::Monitor;
use crate::repository::{Archive, Repository};

/// What to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Archives, each by a selector.
    pub archives: Vec<Wanted>,
    /// All archives that this means.
    pub glob: Option<Glob>,
    /// Only say what would be deleted.
    pub dry_run: bool,
}

/// An archive that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its id.
    pub id: ArchiveId,
    /// All else; `None` if its manifest is damaged.
    pub archive: Option<Archive>,
}

/// Deletes archives, or none of them. All selectors are resolved before the first mark is put.
///
/// # Errors
/// `Archive`: one does not exist. `Usage`: one is protected. `Damaged`: an event cannot be read, which might protect one.
pub fn delete(repository: &Repository, options: &DeleteOptions, monitor: &dyn Monitor) -> Result<Vec<Deleted>> {
    let mut damaged = HashMap::new();
    let archives = repository.archives(&mut |id, error| drop(damaged.insert(id, error.to_string())))?;
    let mut chosen: Vec<Deleted> = Vec::new();
    let mut choose_one = |one: Deleted| {
        if chosen.iter().all(|other| other.id != one.id) {
            chosen.push(one);
        }
    };
    let listing = repository.list_archives()?;
    let manifests = listing.manifests.difference(&listing.deleted).copied().collect();
    for wanted in &options.archives {
        choose_one(find(&archives, &damaged, &manifests, wanted).map_err(Error::Archive)?);
    }
    if let Some(glob) = &options.glob {
        let meant: Vec<_> = archives.into_iter().filter(|archive| is_meant(glob, &archive.manifest)).collect();
        if meant.is_empty() {
            monitor.warning(b"", &format!("no archive matches {}", glob.as_str()));
        }
        for archive in meant {
            choose_one(Deleted { id: archive.id, archive: Some(archive) });
        }
    }
    for (id, problem) in &damaged {
        if chosen.iter().all(|one| one.id != *id) {
            warn_of_damaged(monitor, *id, problem);
        }
    }
    refuse_protected(repository, &chosen)?;
    if !options.dry_run && !chosen.is_empty() {
        let ids: Vec<ArchiveId> = chosen.iter().map(|one| one.id).collect();
        repository.mark_deleted(&ids)?;
        warn_of_protected(repository, &ids, monitor)?;
    }
    Ok(chosen)
}

/// The archive that a selector means. Its full id also names one that cannot be read: to delete it is a way to be rid of it.
fn find(
    archives: &[Archive],
    damaged: &HashMap<ArchiveId, String>,
    manifests: &HashSet<ArchiveId>,
    wanted: &Wanted,
) -> Result<Deleted, ArchiveProblem> {
    let found = choose(archives, &wanted.selector, &wanted.text);
    let (Err(ArchiveProblem::NotFound { selector, .. }), Selector::Id(digits)) = (&found, &wanted.selector) else {
        return found.map(|archive| Deleted { id: archive.id, archive: Some(archive) });
    };
    match damaged.keys().find(|id| id.to_hex().starts_with(digits)) {
        Some(id) if id.to_hex() == *digits => Ok(Deleted { id: *id, archive: None }),
        Some(id) => {
            let hint = format!(": a damaged archive must be named by its full id, aid:{}", id.to_hex());
            Err(ArchiveProblem::NotFound { selector: selector.clone(), hint })
        }
        // One that has lost its mark is not listed; its full id names it all the same.
        None => match ArchiveId::from_hex(digits).filter(|id| manifests.contains(id)) {
            Some(id) => Ok(Deleted { id, archive: None }),
            None => found.map(|archive| Deleted { id: archive.id, archive: Some(archive) }),
        },
    }
}

fn refuse_protected(repository: &Repository, chosen: &[Deleted]) -> Result<()> {
    let facts = repository.facts()?.trusted()?;
    let protected = chosen.iter().filter(|one| facts.is_protected(one.id));
    let names: Vec<String> = protected.map(|one| format!("aid:{}", one.id)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let names = names.join(", ");
    Err(Error::Usage(format!(
        "protected, so nothing was deleted: {names}; `vault unprotect` takes the protection back"
    )))
}
