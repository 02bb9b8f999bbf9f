//! What archives need and no pack holds: taken from another repository, or recorded as lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compress::Compression;
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::records::Verb;
use crate::id::{ArchiveId, ObjectId};
use crate::ops::check::{self, Finding};
use crate::ops::repair::Incomplete;
use crate::progress::Monitor;
use crate::repository::{Archive, Packer, Reader, Repository, Stored};

/// An archive, and what of it is in no pack.
pub(super) type Lacking = (ArchiveId, Vec<Finding>);

/// Takes what is lost from the other repository, as long as that brings something: below a tree that comes back more may be lost.
/// Gives how many objects were taken, and what every archive still lacks, deleted and pending ones too.
pub(super) fn complete(
    repository: &Repository,
    from: Option<&Repository>,
    monitor: &dyn Monitor,
) -> Result<(u64, Vec<Lacking>)> {
    let mut fetched = 0;
    loop {
        let lacking = lacking(repository, monitor)?;
        let lost: BTreeSet<ObjectId> = lacking.iter().flat_map(|(_, findings)| objects(findings)).collect();
        let Some(from) = from.filter(|_| !lost.is_empty()) else { return Ok((fetched, lacking)) };
        match fetch(repository, from, &lost)? {
            0 => return Ok((fetched, lacking)),
            count => fetched += count,
        }
    }
}

/// Records what each archive lacks, and takes back what was recorded of those that lack nothing any more.
pub(super) fn record(repository: &Repository, lacking: Vec<Lacking>) -> Result<Vec<Incomplete>> {
    let facts = repository.facts()?;
    let mut incomplete = Vec::new();
    for (archive, findings) in lacking {
        let lost: BTreeSet<ObjectId> = objects(&findings).collect();
        let lost: Vec<ObjectId> = lost.into_iter().collect();
        let recorded = facts.losses(archive);
        if recorded.len() != lost.len() || !lost.iter().all(|id| recorded.contains(id)) {
            repository.put_losses(archive, &lost, &facts)?;
        }
        if !lost.is_empty() {
            let paths: BTreeSet<Vec<u8>> =
                findings.into_iter().flat_map(|finding| finding.harms).map(|(_, path)| path).collect();
            incomplete.push(Incomplete { archive, objects: lost.len() as u64, paths: paths.into_iter().collect() });
        }
    }
    Ok(incomplete)
}

/// Everything that archives lack. All are walked together first: where nothing is missing that is enough.
fn lacking(repository: &Repository, monitor: &dyn Monitor) -> Result<Vec<Lacking>> {
    let mut archives = Vec::new();
    for id in repository.list_archives()?.manifests {
        archives.extend(repository.archive(id)?);
    }
    archives.sort_by_key(|archive| (archive.manifest.time, archive.id));
    let reader = Reader::new(repository, Arc::new(repository.load_index()?));
    let whole = check::absences(&reader, &archives, monitor)?.is_empty();
    if whole {
        return Ok(archives.into_iter().map(|archive| (archive.id, Vec::new())).collect());
    }
    let of = |archive: &Archive| Ok((archive.id, check::absences(&reader, std::slice::from_ref(archive), monitor)?));
    archives.iter().map(of).collect()
}

fn objects(findings: &[Finding]) -> impl Iterator<Item = ObjectId> {
    findings.iter().filter_map(|finding| finding.object)
}

fn fetch(repository: &Repository, from: &Repository, lost: &BTreeSet<ObjectId>) -> Result<u64> {
    let source = Reader::new(from, Arc::new(from.load_index()?));
    let index = Arc::new(repository.load_index()?);
    let mut packer = Packer::new(repository, index, Compression::default(), Verb::Repair, "");
    let mut fetched = 0;
    for id in lost {
        let Some((purpose, bytes)) = object_of(&source, id)? else { continue };
        if packer.claim(id) == Stored::New {
            packer.put_claimed(purpose, *id, &bytes)?;
            fetched += 1;
        }
    }
    packer.flush()?;
    Ok(fetched)
}

/// An object of which it is not known what it is: content or metadata.
fn object_of(source: &Reader<'_>, id: &ObjectId) -> Result<Option<(Purpose, Vec<u8>)>> {
    for purpose in [Purpose::Data, Purpose::Meta] {
        match source.object(purpose, id) {
            Ok(bytes) => return Ok(Some((purpose, bytes))),
            Err(Error::ObjectMissing { .. } | Error::Damaged { .. } | Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
