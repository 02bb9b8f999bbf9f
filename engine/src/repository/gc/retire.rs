//! What becomes of archives that do not count: purge (rule 10), expire (rule 9), and the marks that they leave behind (rule 16).

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::clock;
use crate::error::{Error, Result};
use crate::format::file::Class;
use crate::format::records::GcRecord;
use crate::id::ArchiveId;
use crate::repository::gc::patience::{Patience, apart, session_of};
use crate::repository::{Archive, ArchiveListing, Core, Repository};
use crate::store::{Key, Kind};

/// Archives that a compaction takes away before it looks.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    /// Deleted ones.
    pub purged: Vec<ArchiveId>,
    /// Pending ones whose run is thought dead.
    pub stale: Vec<ArchiveId>,
    /// Those without a mark that another archive names as its parent or predecessor: they did count, so it is the mark that was lost. They stay.
    pub unmarked: Vec<ArchiveId>,
    /// Pending ones whose run may live.
    pub pending: Vec<ArchiveId>,
    /// Deleted ones that somebody protects: they stay until nobody does.
    pub protected: Vec<ArchiveId>,
    /// Marks without a manifest and without `.del`.
    pub bereft: Vec<ArchiveId>,
}

/// Which archives should go; `counting` are those that count.
pub(crate) fn retired(
    repository: &Repository,
    listing: &ArchiveListing,
    counting: &[Archive],
    patience: &Patience,
    grace: Duration,
) -> Result<Retired> {
    let mut bereft = sorted(&listing.ok);
    bereft.retain(|id| !listing.manifests.contains(id) && !listing.deleted.contains(id));
    let mut retired = Retired { bereft, ..Retired::default() };
    let (named, facts) = (named_by(counting), repository.facts()?.trusted()?);
    for id in sorted(&listing.manifests) {
        if listing.deleted.contains(&id) && facts.is_protected(id) {
            retired.protected.push(id);
        } else if listing.deleted.contains(&id) {
            retired.purged.push(id);
        } else if !listing.ok.contains(&id) {
            let pending = match named.contains(&id) {
                true => &mut retired.unmarked,
                false if is_stale(repository, id, patience, grace)? => &mut retired.stale,
                false => &mut retired.pending,
            };
            pending.push(id);
        }
    }
    Ok(retired)
}

/// The archives that others name as their parent or predecessor: whoever did saw their marks.
pub(crate) fn named_by(archives: &[Archive]) -> HashSet<ArchiveId> {
    archives.iter().flat_map(|archive| [archive.manifest.previous, archive.manifest.parent]).flatten().collect()
}

/// Whether the run that put a pending manifest is thought dead. It may be wrong: then that run makes its archive again.
fn is_stale(repository: &Repository, id: ArchiveId, patience: &Patience, grace: Duration) -> Result<bool> {
    let session = session_of(repository.core(), &Key::archive(id))?;
    if let Some(may_run) = session.and_then(|session| patience.may_run(&session)) {
        return Ok(!may_run);
    }
    // No session: its run stored nothing and was cut off, or it is long over and the mark was lost. For that there is time to notice.
    match repository.archive(id) {
        // In whatever direction: clocks may be wrong either way.
        Ok(Some(archive)) => Ok(apart(clock::now(), archive.manifest.end) >= grace),
        Ok(None) => Ok(false),
        // It will never count for anything, and as a root that nobody can read it would end every compaction.
        Err(Error::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Rule 10: the manifest goes first; its marks stay until nobody can take it for an archive again (tidy).
pub(crate) fn purge(core: &Core, deleted: &[ArchiveId]) -> Result<()> {
    let keys: Vec<Key> = deleted.iter().map(|id| Key::archive(*id)).collect();
    Ok(core.store.remove_many(&keys)?)
}

/// Rule 9: names pending archives in a record, then looks for their marks, and drops those without. As the record's author, and only
/// so, it decides; if it dies before, the record stays as long as an archive that it names.
pub(crate) fn expire(core: &Core, stale: &[ArchiveId]) -> Result<u64> {
    if stale.is_empty() {
        return Ok(0);
    }
    let record = GcRecord { packs: Vec::new(), pending: stale.to_vec(), session: core.session };
    let (record, _) = core.with_reserve(|| core.put_sealed(Kind::Gc, Class::Gc, &record.encode()))?;
    let mut dropped = 0;
    for id in stale {
        if core.store.size(&Key::ok_mark(*id))?.is_none() {
            core.store.remove(&Key::archive(*id))?;
            dropped += 1;
        }
    }
    core.store.remove(&Key::file(Kind::Gc, record))?;
    Ok(dropped)
}

/// Rule 16: marks whose manifest was not listed, and is not there when it is asked for either.
pub(crate) fn tidy(repository: &Repository) -> Result<()> {
    let core = repository.core();
    let listing = repository.list_archives()?;
    let marked: BTreeSet<ArchiveId> = listing.ok.union(&listing.deleted).copied().collect();
    let mut orphans = Vec::new();
    for id in marked.into_iter().filter(|id| !listing.manifests.contains(id)) {
        if core.store.size(&Key::archive(id))?.is_none() {
            orphans.push(id);
        }
    }
    let keys = |of: &HashSet<ArchiveId>, key: fn(ArchiveId) -> Key| -> Vec<Key> {
        orphans.iter().filter(|id| of.contains(id)).map(|id| key(*id)).collect()
    };
    // An `.ok` alone would look like an archive whose manifest was lost, so `.del` stands until it has gone.
    core.store.remove_many(&keys(&listing.ok, Key::ok_mark))?;
    Ok(core.store.remove_many(&keys(&listing.deleted, Key::deleted_mark))?)
}

fn sorted(ids: &HashSet<ArchiveId>) -> Vec<ArchiveId> {
    let mut ids: Vec<ArchiveId> = ids.iter().copied().collect();
    ids.sort_unstable();
    ids
}
