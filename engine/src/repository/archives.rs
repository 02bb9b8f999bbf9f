//! Archives as the store lists them: manifests and their marks.

use std::collections::HashSet;

use crate::error::{ArchiveProblem, Error, Result, StoreErrorKind};
use crate::format::file::Class;
use crate::format::manifest::Manifest;
use crate::format::mark::Mark;
use crate::id::ArchiveId;
use crate::repository::{Look, Repository, damaged, decoded, opened, read_optional};
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

    /// Archives that counted once, and that no compaction has purged yet.
    pub fn deleted(&self) -> impl Iterator<Item = ArchiveId> {
        self.manifests.iter().filter(|id| self.ok.contains(id) && self.deleted.contains(id)).copied()
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
        let listing = self.list_archives()?;
        let archives = self.read_archives(listing.counting().collect(), damaged)?;
        self.compare_with_seen(&listing, &archives);
        Ok(archives)
    }

    /// The same for archives that are deleted and still there.
    pub fn deleted_archives(&self, damaged: &mut dyn FnMut(ArchiveId, &Error)) -> Result<Vec<Archive>> {
        self.read_archives(self.list_archives()?.deleted().collect(), damaged)
    }

    fn read_archives(
        &self,
        mut ids: Vec<ArchiveId>,
        damaged: &mut dyn FnMut(ArchiveId, &Error),
    ) -> Result<Vec<Archive>> {
        ids.sort_unstable();
        let found = on_all_cores(ids, |id| (id, self.complete_archive(id)));
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

    fn complete_archive(&self, id: ArchiveId) -> Result<Option<Archive>> {
        let key = Key::ok_mark(id);
        let Some(mark) = read_optional(self.core.store.as_ref(), &key)? else { return Ok(None) };
        opened(&key, Mark::Ok.verify(id, &mark))?;
        self.archive(id)
    }

    /// One archive's manifest, whatever its marks; `None` if it is gone.
    pub fn archive(&self, id: ArchiveId) -> Result<Option<Archive>> {
        let key = Key::archive(id);
        let Some(payload) = self.core.read_sealed(&key, Class::Root)? else { return Ok(None) };
        let manifest = decoded(&key, Manifest::decode(&payload))?;
        if manifest.repository != self.id() {
            return Err(damaged(&key, "it was made for another repository"));
        }
        Ok(Some(Archive { id, manifest }))
    }

    /// Deletes archives: every mark is durable when it returns. Nothing is freed; a compaction does that.
    pub fn mark_deleted(&self, archives: &[ArchiveId]) -> Result<()> {
        self.check_writable()?;
        let marks: Vec<_> = archives.iter().map(|id| (Key::deleted_mark(*id), Mark::Deleted.encode(*id))).collect();
        self.core.with_reserve(|| Ok(self.core.store.put_many(&marks)?))?;
        self.forget_deleted(archives);
        Ok(())
    }

    /// Which of the archives `asked` may go although nobody deletes them, and which of all archives somebody may be about to drop:
    /// those whose manifest is gone, and those that a gc record names. gc/ is read first, then each manifest is asked for, which is
    /// the order of rule 8, for its reason.
    pub fn unconfirmed(&self, asked: impl IntoIterator<Item = ArchiveId>) -> Result<HashSet<ArchiveId>> {
        let mut found = Look::gc(&self.core)?.expiring;
        for id in asked {
            if !found.contains(&id) && !self.has_manifest(id)? {
                found.insert(id);
            }
        }
        Ok(found)
    }

    /// Whether an archive can still be read or deleted: its manifest is there.
    pub fn has_manifest(&self, id: ArchiveId) -> Result<bool> {
        Ok(self.core.store.size(&Key::archive(id))?.is_some())
    }

    /// Whether an archive has a `.del` mark, or is gone altogether.
    pub fn is_deleted(&self, id: ArchiveId) -> Result<bool> {
        Ok(self.core.store.size(&Key::deleted_mark(id))?.is_some() || !self.has_manifest(id)?)
    }

    /// What to say when something that an archive needs was not found, not even by a second look: if its manifest has gone too,
    /// nothing is lost, the archive was deleted while it was read.
    pub fn lost_or_deleted(&self, id: ArchiveId, error: Error) -> Error {
        let missing = match &error {
            Error::ObjectMissing { .. } => true,
            Error::Store(problem) => problem.kind == StoreErrorKind::NotFound,
            _ => false,
        };
        match self.has_manifest(id) {
            Ok(false) if missing => Error::Archive(ArchiveProblem::Deleted(format!("aid:{}", id.to_hex()))),
            _ => error,
        }
    }
}
