//! What a repository holds, in numbers.

use crate::error::Result;
use crate::id::RepositoryId;
use crate::repository::{Look, Repository};
use crate::store::Kind;

/// A repository in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryInfo {
    /// Its id.
    pub id: RepositoryId,
    /// Where it is.
    pub place: String,
    /// Whether it needs a key.
    pub encrypted: bool,
    /// Archives that count.
    pub archives: u64,
    /// Manifests without a mark: being made, or left behind by a run that was cut off.
    pub pending_archives: u64,
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Index segments.
    pub index_segments: u64,
    /// Bytes of index segments.
    pub index_bytes: u64,
    /// Index entries: objects, those stored twice counted twice.
    pub objects: u64,
}

/// Counts what the listings and the index say.
pub fn info(repository: &Repository) -> Result<RepositoryInfo> {
    let archives = repository.list_archives()?;
    let look = Look::index(repository.core())?;
    let index = repository.load_index_of(&look)?;
    let index_bytes = repository.store().list(Kind::Index)?.iter().map(|file| file.size).sum();
    Ok(RepositoryInfo {
        id: repository.id(),
        place: repository.describe(),
        encrypted: repository.encrypted(),
        archives: archives.counting().count() as u64,
        pending_archives: archives.manifests.iter().filter(|id| !archives.ok.contains(id)).count() as u64,
        packs: look.packs.len() as u64,
        pack_bytes: look.packs.values().sum(),
        index_segments: look.segments.len() as u64,
        index_bytes,
        objects: index.entry_count(),
    })
}
