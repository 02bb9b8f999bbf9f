//! Archives as the store lists them: manifests and their marks.

use std::collections::HashSet;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::Result;
use crate::format::file::Class;
use crate::format::manifest::Manifest;
use crate::format::mark::Mark;
use crate::id::ArchiveId;
use crate::repository::{Repository, damaged, opened, read_optional};
use crate::store::{Key, Kind};

/// An archive that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its id: the only thing about it that is unique.
    pub id: ArchiveId,
    /// All else.
    pub manifest: Manifest,
}

/// The names in `archives/`.
#[derive(Debug, Default)]
pub struct ArchiveListing {
    /// Every manifest: complete, pending or deleted.
    pub manifests: HashSet<ArchiveId>,
    /// Those with an `.ok` mark beside them.
    pub ok: HashSet<ArchiveId>,
    /// Those with a `.del` mark beside them.
    pub deleted: HashSet<ArchiveId>,
}

impl ArchiveListing {
    /// Archives that count: complete and not deleted.
    pub fn counting(&self) -> impl Iterator<Item = ArchiveId> {
        self.manifests.iter().filter(|id| self.ok.contains(id) && !self.deleted.contains(id)).copied()
    }
}

impl Repository {
    /// Lists manifests and marks.
    pub fn list_archives(&self) -> Result<ArchiveListing> {
        let mut listing = ArchiveListing::default();
        for file in self.core.store.list(Kind::Archives)? {
            let (name, set) = match file.name.split_once('.') {
                None => (file.name.as_str(), &mut listing.manifests),
                Some((name, "ok")) => (name, &mut listing.ok),
                Some((name, "del")) => (name, &mut listing.deleted),
                Some(_) => continue,
            };
            set.extend(ArchiveId::from_hex(name));
        }
        Ok(listing)
    }

    /// Every archive that counts, oldest first.
    ///
    /// # Errors
    /// A manifest or mark that is damaged: an archive is never left out silently.
    pub fn archives(&self) -> Result<Vec<Archive>> {
        let ids: Vec<_> = self.list_archives()?.counting().collect();
        let found: Vec<Option<Archive>> =
            ids.into_par_iter().map(|id| self.counting_archive(id)).collect::<Result<_>>()?;
        let mut archives: Vec<Archive> = found.into_iter().flatten().collect();
        archives.sort_by(|a, b| {
            (a.manifest.time, a.manifest.sequence, a.id).cmp(&(b.manifest.time, b.manifest.sequence, b.id))
        });
        Ok(archives)
    }

    fn counting_archive(&self, id: ArchiveId) -> Result<Option<Archive>> {
        let key = Key::ok_mark(id);
        let Some(mark) = read_optional(self.core.store.as_ref(), &key)? else { return Ok(None) };
        opened(&key, Mark::Ok.verify(id, &mark))?;
        self.archive(id)
    }

    /// One archive's manifest, whatever its marks; `None` if it is gone.
    pub fn archive(&self, id: ArchiveId) -> Result<Option<Archive>> {
        let key = Key::archive(id);
        let Some(payload) = self.core.read_sealed(&key, Class::Root)? else { return Ok(None) };
        let manifest = Manifest::decode(&payload).map_err(|error| damaged(&key, error))?;
        if manifest.repository != self.id() {
            return Err(damaged(&key, "it was made for another repository"));
        }
        Ok(Some(Archive { id, manifest }))
    }
}
