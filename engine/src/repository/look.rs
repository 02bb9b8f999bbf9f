//! A look: what the listings say, in the order that docs/gc.md proves: gc/, then archives/, then index/, then packs/.

use std::collections::{BTreeMap, HashSet};

use crate::clock;
use crate::error::{Error, Result};
use crate::format::file::Class;
use crate::format::records::GcRecord;
use crate::id::{ArchiveId, FileId, PackId};
use crate::meta::Timestamp;
use crate::repository::{Core, decoded};
use crate::store::{Key, Kind};

/// What exists, and what a compaction has condemned.
#[derive(Debug, Default)]
pub struct Look {
    /// Packs named in some gc record.
    pub condemned: HashSet<PackId>,
    /// Pending archives named in some gc record.
    pub expiring: HashSet<ArchiveId>,
    /// The gc records that were read.
    pub records: BTreeMap<FileId, GcRecord>,
    /// Index segments and their sizes.
    pub segments: BTreeMap<FileId, u64>,
    /// Packs and their sizes.
    pub packs: BTreeMap<PackId, u64>,
    /// A time before the segments were listed, by the clock of file systems.
    pub begun: Option<Timestamp>,
}

impl Look {
    /// Everything that a writer or reader needs to load an index.
    pub(crate) fn index(core: &Core) -> Result<Self> {
        let mut look = Self::gc(core)?;
        look.list_index_and_packs(core)?;
        Ok(look)
    }

    /// The second half of a look: `index/`, and only then `packs/`.
    pub(crate) fn list_index_and_packs(&mut self, core: &Core) -> Result<()> {
        self.begun = Some(clock::file_system_now());
        self.segments =
            listed_ids(core, Kind::Index)?.into_iter().map(|(id, size)| (FileId::from_bytes(id), size)).collect();
        self.list_packs(core)
    }

    fn list_packs(&mut self, core: &Core) -> Result<()> {
        self.packs =
            listed_ids(core, Kind::Packs)?.into_iter().map(|(id, size)| (PackId::from_bytes(id), size)).collect();
        Ok(())
    }

    /// Rule 4: gc/ first, then packs/. Whoever sees a pack here and in no gc record knows that it was not condemned when gc/ was listed.
    pub(crate) fn packs(core: &Core) -> Result<Self> {
        let mut look = Self::gc(core)?;
        look.list_packs(core)?;
        Ok(look)
    }

    /// gc/ only.
    pub(crate) fn gc(core: &Core) -> Result<Self> {
        Self::gc_or(core, &mut Err)
    }

    /// For whoever only looks: a gc record that is damaged is left out. What it condemns goes as good, so nothing may be decided by this.
    pub(crate) fn index_for_check(core: &Core) -> Result<Self> {
        let mut look = Self::gc_or(core, &mut |_| Ok(()))?;
        look.list_index_and_packs(core)?;
        Ok(look)
    }

    fn gc_or(core: &Core, damaged: &mut dyn FnMut(Error) -> Result<()>) -> Result<Self> {
        let mut look = Self::default();
        for id in listed_ids(core, Kind::Gc)?.into_keys() {
            let id = FileId::from_bytes(id);
            match read_record(core, id) {
                Ok(Some(record)) => {
                    look.condemned.extend(&record.packs);
                    look.expiring.extend(&record.pending);
                    look.records.insert(id, record);
                }
                Ok(None) => {}
                Err(error @ Error::Damaged { .. }) => damaged(error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(look)
    }

    /// Whether a pack exists with this size and nobody condemned it.
    pub fn is_good(&self, pack: &PackId, size: u64) -> bool {
        self.packs.get(pack) == Some(&size) && !self.condemned.contains(pack)
    }
}

/// A gc record; `None` if it is gone: it has been finished.
fn read_record(core: &Core, id: FileId) -> Result<Option<GcRecord>> {
    let key = Key::file(Kind::Gc, id);
    let Some(payload) = core.read_sealed(&key, Class::Gc)? else { return Ok(None) };
    decoded(&key, GcRecord::decode(&payload)).map(Some)
}

/// The names in a folder that are 64 hexadecimal digits, with sizes; anything else there is not data.
fn listed_ids(core: &Core, kind: Kind) -> Result<BTreeMap<[u8; 32], u64>> {
    let listed = core.store.list(kind)?;
    Ok(listed.into_iter().filter_map(|file| Some((crate::id::unhex(&file.name)?, file.size))).collect())
}
