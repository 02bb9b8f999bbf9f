//! Archives as the store lists them: manifests and their marks.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::format::file::Class;
use crate::format::manifest::Manifest;
use crate::format::mark::Mark;
use crate::id::ArchiveId;
use crate::repository::{Repository, damaged, opened, read_optional};
use crate::store::{Key, Kind};
use crate::sync::on_all_cores;

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

    /// Every archive that counts, oldest first. One whose manifest or mark cannot be read is told to `damaged`, and the others are given:
    /// what is lost of one archive must not keep the next night from being archived, nor another from being restored.
    pub fn archives(&self, damaged: &mut dyn FnMut(ArchiveId, &Error)) -> Result<Vec<Archive>> {
        let mut ids: Vec<_> = self.list_archives()?.counting().collect();
        ids.sort_unstable();
        let found = on_all_cores(ids, |id| (id, self.counting_archive(id)));
        let mut archives = Vec::with_capacity(found.len());
        for (id, found) in found {
            match found {
                Ok(archive) => archives.extend(archive),
                Err(error @ (Error::Damaged { .. } | Error::Unsupported { .. })) => damaged(id, &error),
                Err(error) => return Err(error),
            }
        }
        archives.sort_by_key(|archive| (archive.manifest.time, archive.manifest.sequence, archive.id));
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
