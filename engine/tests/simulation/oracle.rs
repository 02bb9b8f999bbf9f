//! Whether what was promised is true: every archive that must be there is, is what it was made of, and each of its objects can be read from a
//! pack that a segment names.

use std::collections::BTreeSet;
use std::sync::Arc;

use vault_engine::crypto::Purpose;
use vault_engine::id::ArchiveId;
use vault_engine::ops::restore::{RestoreOptions, restore};
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, Index, Reader, Repository};
use vault_engine::store::{MemoryStore, Snapshot};

use crate::process::version_of;
use crate::universe::{ARCHIVED, Reference, Universe, Version, open, read_tree};
use crate::world::{Moment, Promises};

/// What is found wrong at a moment.
pub(crate) fn judge(universe: &Universe, moment: &Moment) -> Result<(), String> {
    let problem = |problem: String| format!("at step {}: {problem}", moment.step);
    let store = MemoryStore::from_snapshot(&moment.files);
    let repository = open(Arc::new(store), None, 0);
    let counting = counting(&repository, &moment.promises).map_err(problem)?;
    let index = Arc::new(repository.load_index().map_err(|error| problem(error.to_string()))?);
    let reader = Reader::new(&repository, Arc::clone(&index));
    let mut seen = BTreeSet::new();
    for id in counting {
        whole(universe, &repository, &index, &reader, id, &mut seen)
            .map_err(|found| problem(format!("archives/{}: {found}", id.to_hex())))?;
    }
    Ok(())
}

/// The archives that a listing shows, after a look at who must be among them and who must not.
fn counting(repository: &Repository, promises: &Promises) -> Result<BTreeSet<ArchiveId>, String> {
    let listing = repository.list_archives().map_err(|error| error.to_string())?;
    let counting: BTreeSet<_> = listing.counting().collect();
    if let Some((lost, _)) = promises.kept().find(|(id, _)| !counting.contains(id)) {
        return Err(format!("archives/{} is lost", lost.to_hex()));
    }
    let excused = |id: &ArchiveId| promises.condemned.contains(id) || promises.superseded.contains(id);
    if let Some(gone) = promises.relied_on.iter().find(|id| !excused(id) && !counting.contains(*id)) {
        return Err(format!("archives/{} is gone, for the sake of which a prune deleted others", gone.to_hex()));
    }
    if let Some(back) = promises.deleted.intersection(&counting).next() {
        return Err(format!("archives/{} was deleted and is back", back.to_hex()));
    }
    Ok(counting)
}

/// Whether an archive is that of its version, and every object of it is there. Those in `seen` are known to be.
fn whole(
    universe: &Universe,
    repository: &Repository,
    index: &Index,
    reader: &Reader<'_>,
    id: ArchiveId,
    seen: &mut BTreeSet<Reference>,
) -> Result<(), String> {
    let archive = repository.archive(id).map_err(|error| error.to_string())?.ok_or("its manifest is gone")?;
    let version = &universe.versions[version_of(&archive)];
    let stamps = archive.manifest.root_stamps;
    if archive.manifest.root_tree() != version.root_tree || !stamps.is_zero() && stamps != version.root_stamps {
        return Err("it is not what was archived".to_owned());
    }
    for reference @ (is_data, object) in needed(version, &archive) {
        if !seen.insert(*reference) {
            continue;
        }
        if index.copies(object).is_empty() {
            return Err(format!("no index segment names a pack that has its object {object}"));
        }
        let purpose = if *is_data { Purpose::Data } else { Purpose::Meta };
        reader.object(purpose, object).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Every object that an archive of a version refers to. One that was brought back may have no stamps.
pub(crate) fn needed<'v>(version: &'v Version, archive: &Archive) -> impl Iterator<Item = &'v Reference> {
    let has_stamps = !archive.manifest.root_stamps.is_zero();
    version.objects.iter().chain(version.stamps.iter().filter(move |_| has_stamps))
}

/// Restores every archive that must be there, for real.
pub(crate) fn restore_all(universe: &Universe, files: &Snapshot, promises: &Promises) -> Result<(), String> {
    let repository = open(Arc::new(MemoryStore::from_snapshot(files)), None, 0);
    for (id, number) in promises.kept() {
        let archive = repository.archive(id).map_err(|error| error.to_string())?.ok_or("a manifest is gone")?;
        restores(universe, &repository, &archive, number)?;
    }
    Ok(())
}

/// Restores an archive, and compares what comes out with what was archived.
pub(crate) fn restores(
    universe: &Universe,
    repository: &Repository,
    archive: &Archive,
    number: usize,
) -> Result<(), String> {
    let target = universe.folder("restored");
    let options = RestoreOptions { target: target.clone(), jobs: Some(1), ..RestoreOptions::default() };
    let restored = restore(repository, archive, &options, &Silent).map_err(|error| error.to_string())?;
    let found = read_tree(&target.join(ARCHIVED));
    std::fs::remove_dir_all(&target).map_err(|error| error.to_string())?;
    if restored.damaged > 0 || restored.warnings > 0 || found != universe.versions[number].files {
        return Err(format!("archives/{} restores to something else: {restored:?}", archive.id.to_hex()));
    }
    Ok(())
}
