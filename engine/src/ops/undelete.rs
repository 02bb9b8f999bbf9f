//! `undelete`: a new archive of what a deleted one held. The deleted one stays deleted: nothing is ever unmarked (docs/gc.md, rule 10).
//!
//! The new archive is committed like any other: each of its objects is looked up in a fresh index, sealed again where only a condemned
//! pack has it, and the pack set is checked after its manifest is put. If something is gone, nothing is made, and it is said what.
//!
//! It takes the place that the deleted one had: the same host id, host sequence and previous archive. With a new, highest sequence an
//! old archive would become the parent of the next night, which would then read most of its source again; with its own it is parent
//! only if it was. Two archives of a host may so have one number: a create counts on from those that are not deleted. Of these the
//! higher id is the parent, and either will do, because a parent saves reading and decides nothing.

use crate::error::{ArchiveProblem, Error, Result};
use crate::format::manifest::Manifest;
use crate::id::ObjectId;
use crate::ops::archives::{Selector, Wanted, choose_all, list_deleted};
use crate::ops::check;
use crate::ops::walk::each_object;
use crate::progress::Monitor;
use crate::repository::{Archive, Commit, Repository, Superseded};

/// How often it starts again when objects are lost under its hands.
const ROUNDS: usize = 4;

/// What became of a deleted archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeleted {
    /// The archive that was deleted.
    pub deleted: Archive,
    /// The archive that took its place; `None` if something that it needs is gone.
    pub archive: Option<Archive>,
    /// What is gone: path and problem.
    pub missing: Vec<(Vec<u8>, String)>,
}

/// Brings deleted archives back. All selectors are resolved among the deleted archives, before the first is made.
///
/// # Errors
/// `Archive`: one is not among them. An archive that cannot be brought back is none: see [`Undeleted::missing`].
pub fn undelete(repository: &Repository, wanted: &[Wanted], monitor: &dyn Monitor) -> Result<Vec<Undeleted>> {
    let deleted = list_deleted(repository, monitor)?;
    let chosen = choose_all(&deleted, wanted).map_err(|problem| explain(repository, problem, wanted))?;
    let facts = repository.facts()?;
    let mut done = Vec::with_capacity(chosen.len());
    for deleted in chosen {
        let undeleted = revive(repository, deleted, monitor)?;
        // Protected while it was being deleted: what takes its place is protected too.
        if let Some(archive) = undeleted.archive.as_ref().filter(|_| facts.is_protected(undeleted.deleted.id)) {
            repository.protect(archive.id)?;
        }
        done.push(undeleted);
    }
    Ok(done)
}

/// Says that it was looked for among the deleted archives, and whether it counts anyway.
fn explain(repository: &Repository, problem: ArchiveProblem, wanted: &[Wanted]) -> Error {
    let ArchiveProblem::NotFound { selector, hint } = problem else { return Error::Archive(problem) };
    let counts = wanted.iter().filter(|one| one.text == selector).any(|one| match &one.selector {
        Selector::Id(digits) => {
            let listed = repository.list_archives();
            listed.is_ok_and(|listing| listing.counting().any(|id| id.to_hex().starts_with(digits)))
        }
        _ => false,
    });
    let hint = if counts {
        ": that archive is not deleted".to_owned()
    } else {
        let hint = hint.replace("the repository holds no archive", "none is deleted, or a compaction has purged it");
        format!(" among the deleted archives{hint}")
    };
    Error::Archive(ArchiveProblem::NotFound { selector, hint })
}

fn revive(repository: &Repository, deleted: Archive, monitor: &dyn Monitor) -> Result<Undeleted> {
    let mut stamps = deleted.manifest.root_stamps;
    let mut superseded = Superseded::default();
    for _ in 0..ROUNDS {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let (index, adopted) = repository.load_index_and_adopt()?;
        let manifest = Manifest { parent: Some(deleted.id), root_stamps: stamps, ..deleted.manifest.clone() };
        let Some((references, put)) = repository.gather(index, &manifest, &each_object)? else {
            if stamps.is_zero() {
                return missing(repository, deleted, monitor);
            }
            // Perhaps only stamps are lost, which no restore needs.
            stamps = ObjectId::zero();
            continue;
        };
        let manifest = Manifest { segments: [adopted, put].concat(), ..manifest };
        if let Commit::Done { id, .. } = repository.commit(&manifest, &references, &mut superseded, &each_object)? {
            return Ok(Undeleted { deleted, archive: Some(Archive { id, manifest }), missing: Vec::new() });
        }
        monitor.note("stored objects were lost meanwhile; looking again");
    }
    missing(repository, deleted, monitor)
}

/// Says which paths need what is gone, unless the archive itself has been purged meanwhile.
fn missing(repository: &Repository, deleted: Archive, monitor: &dyn Monitor) -> Result<Undeleted> {
    if !repository.has_manifest(deleted.id)? {
        let hint = ": a compaction has just purged it".to_owned();
        let selector = format!("aid:{}", deleted.id.to_hex());
        return Err(Error::Archive(ArchiveProblem::NotFound { selector, hint }));
    }
    let missing = check::losses(repository, &deleted, monitor)?;
    Ok(Undeleted { deleted, archive: None, missing })
}
