//! The commit of an archive: docs/gc.md, rules 3 to 8, in their order. Everything the manifest refers to is durable and indexed before.
//!
//! The order of the reads is the proof. After the manifest is put, and only then, gc/ is listed and after it packs/: whoever sees a pack
//! there and in no gc record knows that any compaction that condemns it later will see the manifest.

use std::sync::Arc;

use crate::compress::Compression;
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::file::Class;
use crate::format::manifest::Manifest;
use crate::format::mark::Mark;
use crate::format::records::Verb;
use crate::id::{ArchiveId, FileId, ObjectId, PackId};
use crate::repository::look::Look;
use crate::repository::packer::Packer;
use crate::repository::{Index, Reader, Repository, Stage, Stored};
use crate::store::{Key, Kind};

/// The packs that an archive's objects were found in or put into.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Names and sizes.
    pub packs: Vec<(PackId, u64)>,
}

/// How a commit ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Commit {
    /// The archive counts, and is durable.
    Done {
        /// Its id.
        id: ArchiveId,
        /// The packs it refers to.
        packs: Vec<(PackId, u64)>,
    },
    /// Objects were lost since they were looked up: make the archive again from the source, with a fresh index.
    Again,
}

/// Earlier attempts at an archive that some record named. They are listed as good, and a prune may rely on them: so they are deleted only
/// when the archive that takes their place counts.
#[derive(Debug, Default)]
pub struct Superseded(Vec<ArchiveId>);

/// Calls back with every object that an archive refers to.
pub(super) type EachObject<'a> =
    dyn Fn(&Reader<'_>, &Manifest, &mut dyn FnMut(Purpose, ObjectId) -> Result<()>) -> Result<()> + 'a;

impl Repository {
    /// Makes an archive count. `each_object` is only asked when a pack has gone or was condemned meanwhile; `superseded` is the same for all
    /// attempts at one archive.
    ///
    /// # Errors
    /// The store failed: the archive does not count, whatever is left of it is expired by a compaction.
    pub fn commit(
        &self,
        manifest: &Manifest,
        references: &References,
        superseded: &mut Superseded,
        each_object: &EachObject<'_>,
    ) -> Result<Commit> {
        let id = self.pending(manifest)?;
        let Some(packs) = self.check(manifest, references, each_object)? else {
            // It has no mark, so nobody relies on it; left behind, it would be a root whose objects nobody has.
            self.core.store.remove(&Key::archive(id))?;
            return Ok(Commit::Again);
        };
        self.ok(id)?;
        if !self.confirm(id, superseded)? {
            return Ok(Commit::Again);
        }
        self.supersede(superseded)?;
        Ok(Commit::Done { id, packs })
    }

    /// Rule 3: pending from here on, a root of every compaction that looks later.
    fn pending(&self, manifest: &Manifest) -> Result<ArchiveId> {
        let mut payload = manifest.encode();
        self.core.flips.alter(Stage::Manifest, &mut payload);
        let is_right = |opened: &[u8]| opened == manifest.encode();
        let (name, _) = self.core.put_verified(Kind::Archives, Class::Root, &payload, &is_right)?;
        Ok(ArchiveId::from_bytes(*name.as_bytes()))
    }

    /// Rule 4: gc/, then packs/. `None` if something has no copy left.
    fn check(
        &self,
        manifest: &Manifest,
        references: &References,
        each_object: &EachObject<'_>,
    ) -> Result<Option<Vec<(PackId, u64)>>> {
        let look = Look::packs(&self.core)?;
        if references.packs.iter().all(|(pack, size)| look.is_good(pack, *size)) {
            return Ok(Some(references.packs.clone()));
        }
        self.rescue(manifest, each_object)
    }

    /// Rule 6: what has no good copy is sealed again under a new name, from a condemned pack as long as one stands.
    fn rescue(&self, manifest: &Manifest, each_object: &EachObject<'_>) -> Result<Option<Vec<(PackId, u64)>>> {
        Ok(self.gather(self.load_index()?, manifest, each_object)?.map(|(references, _)| references.packs))
    }

    /// Finds a good copy of each object of an archive, or makes one of any copy that can be read: the packs, and the segments that were put.
    /// `None` if something can be read nowhere.
    pub(crate) fn gather(
        &self,
        index: Index,
        manifest: &Manifest,
        each_object: &EachObject<'_>,
    ) -> Result<Option<(References, Vec<FileId>)>> {
        let index = Arc::new(index);
        let mut packer =
            Packer::new(self, Arc::clone(&index), Compression::default(), Verb::Create, &manifest.series());
        let reader = Reader::new(self, Arc::clone(&index));
        let kept = index.pack_set();
        let walked = each_object(&reader, manifest, &mut |purpose, object| {
            match packer.claim(&object) {
                Stored::Known(number) => kept.insert(number),
                Stored::New => packer.put_claimed(purpose, object, &reader.object(purpose, &object)?)?,
            }
            Ok(())
        });
        match walked {
            Ok(()) => {}
            Err(Error::ObjectMissing { .. } | Error::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        let segments = packer.flush()?;
        let mut packs = index.packs_of(&kept);
        packs.extend(packer.packs());
        Ok(Some((References { packs }, segments)))
    }

    /// Rule 7: what is listed from here on can be restored.
    fn ok(&self, id: ArchiveId) -> Result<()> {
        let mut mark = Mark::Ok.encode(id);
        self.core.flips.alter(Stage::Mark, &mut mark);
        Mark::Ok.verify(id, &mark).map_err(|_| Error::Altered { what: "a mark" })?;
        Ok(self.core.store.put(&Key::ok_mark(id), &mark)?)
    }

    /// Rule 8: after the mark, gc/ and then the manifest itself. If a compaction names it or has dropped it, this archive does not count.
    fn confirm(&self, id: ArchiveId, superseded: &mut Superseded) -> Result<bool> {
        let named = Look::gc(&self.core)?.expiring.contains(&id);
        let gone = self.core.store.size(&Key::archive(id))?.is_none();
        if gone {
            self.core.store.remove(&Key::ok_mark(id))?;
        } else if named {
            // Its author spares or drops it; either way the archive that is made next takes its place.
            superseded.0.push(id);
        }
        Ok(!gone && !named)
    }

    /// Rule 8, its end: what was named gives way to what counts.
    fn supersede(&self, superseded: &mut Superseded) -> Result<()> {
        let named = std::mem::take(&mut superseded.0);
        if named.is_empty() { Ok(()) } else { self.mark_deleted(&named) }
    }
}
