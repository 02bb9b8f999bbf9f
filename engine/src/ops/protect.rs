//! `protect` and `unprotect`: archives that neither `prune` nor `delete` touches.
//!
//! Protecting puts an event and deleting puts a mark; neither waits for the other. Each looks for the other's file after it has put its
//! own, so whichever comes second says what happened: no archive is both protected and deleted without anybody being told.

use crate::error::{ArchiveProblem, Error, Result};
use crate::id::ArchiveId;
use crate::ops::archives::{Wanted, choose_all, facts, list};
use crate::progress::Monitor;
use crate::repository::{Archive, Repository};

/// What became of an archive that was to be protected or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The archive.
    pub archive: Archive,
    /// Whether anything had to be done.
    pub changed: bool,
}

/// Protects archives.
///
/// # Errors
/// `Archive`: one does not exist, or was deleted meanwhile.
pub fn protect(repository: &Repository, wanted: &[Wanted], monitor: &dyn Monitor) -> Result<Vec<Protection>> {
    let archives = choose_all(&list(repository, monitor)?, wanted).map_err(Error::Archive)?;
    let facts = facts(repository, monitor)?;
    let mut done = Vec::with_capacity(archives.len());
    for archive in archives {
        let changed = !facts.is_protected(archive.id);
        if changed {
            repository.protect(archive.id)?;
        }
        if repository.is_deleted(archive.id)? {
            let name = format!("aid:{}", archive.id.to_hex());
            return Err(Error::Archive(ArchiveProblem::Deleted(name)));
        }
        done.push(Protection { archive, changed });
    }
    Ok(done)
}

/// Takes the protection of archives back.
///
/// # Errors
/// `Archive`: one does not exist.
pub fn unprotect(repository: &Repository, wanted: &[Wanted], monitor: &dyn Monitor) -> Result<Vec<Protection>> {
    let archives = choose_all(&list(repository, monitor)?, wanted).map_err(Error::Archive)?;
    let facts = facts(repository, monitor)?;
    let mut done = Vec::with_capacity(archives.len());
    for archive in archives {
        let changed = facts.is_protected(archive.id);
        repository.unprotect(archive.id, &facts)?;
        done.push(Protection { archive, changed });
    }
    Ok(done)
}

/// Says which of the archives that were just deleted somebody has protected meanwhile.
pub(crate) fn warn_of_protected(repository: &Repository, deleted: &[ArchiveId], monitor: &dyn Monitor) -> Result<()> {
    let facts = repository.facts()?;
    for id in deleted.iter().filter(|id| facts.is_protected(**id)) {
        let message = format!(
            "archive aid:{id} was protected while it was being deleted; `vault undelete aid:{}` brings it back",
            id.to_hex()
        );
        monitor.warning(b"", &message);
    }
    Ok(())
}
