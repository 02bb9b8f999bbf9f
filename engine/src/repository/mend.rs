//! What one damaged file of a repository is, and what can be done about it: the small files, which are read whole. Packs are salvaged
//! by a compaction's steps (ops/repair).

use crate::error::{Error, Result};
use crate::format::file::{Class, open_file};
use crate::format::manifest::Manifest;
use crate::format::mark::Mark;
use crate::format::records::{Event, GcRecord};
use crate::format::segment::Segment;
use crate::format::slot::Slot;
use crate::format::{FormatError, Opened};
use crate::id::{ArchiveId, FileId};
use crate::repository::{Core, Repository, read_optional};
use crate::store::{Key, Kind};

/// What became of a small file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not there.
    Gone,
    /// It is what its name says.
    Sound,
    /// It is whole, but its bytes have this name, under which there is nothing.
    Misplaced(Key),
    /// It cannot be opened, or is a second copy of what has its own name.
    Broken,
}

impl Repository {
    /// Looks at a small file once more.
    ///
    /// # Errors
    /// It cannot be read: that is no verdict on its bytes.
    pub(crate) fn judge(&self, key: &Key) -> Result<Verdict> {
        let core = self.core();
        let Some(bytes) = read_optional(core.store.as_ref(), key)? else { return Ok(Verdict::Gone) };
        if !is_whole(core, key.kind(), &bytes)? {
            return Ok(Verdict::Broken);
        }
        let name = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
        let right = Key::file(key.kind(), name);
        if right == *key {
            return Ok(Verdict::Sound);
        }
        // A manifest counts by its mark: without one it would be a root that nobody asked for.
        let counted = Key::ok_mark(ArchiveId::from_bytes(*name.as_bytes()));
        let wanted = key.kind() != Kind::Archives || core.store.size(&counted)?.is_some();
        let free = core.store.size(&right)?.is_none();
        Ok(if wanted && free { Verdict::Misplaced(right) } else { Verdict::Broken })
    }

    /// Gives a misplaced file its name, and sets the wrong one aside.
    pub(crate) fn put_in_place(&self, key: &Key, right: &Key) -> Result<()> {
        let core = self.core();
        if let Some(bytes) = read_optional(core.store.as_ref(), key)? {
            core.store.put(right, &bytes)?;
        }
        core.set_aside(key)
    }

    /// Puts a mark as it must be, and keeps what stood there.
    pub(crate) fn put_mark(&self, mark: Mark, archive: ArchiveId) -> Result<()> {
        let key = match mark {
            Mark::Ok => Key::ok_mark(archive),
            Mark::Deleted => Key::deleted_mark(archive),
        };
        let core = self.core();
        core.keep_aside(&key)?;
        core.with_reserve(|| Ok(core.store.put(&key, &mark.encode(archive))?))
    }
}

/// Whether these are the bytes of some file of this kind, whatever its name is.
fn is_whole(core: &Core, kind: Kind, bytes: &[u8]) -> Result<bool> {
    let class = match kind {
        Kind::Keys => return Ok(!is_broken(&Slot::decode(bytes))),
        Kind::Index => Class::Index,
        Kind::Archives => Class::Root,
        Kind::Events => Class::Event,
        Kind::Gc => Class::Gc,
        Kind::Config | Kind::Packs | Kind::Sessions | Kind::Quarantine => {
            return Err(Error::Internal(format!("{} are not mended one by one", kind.folder())));
        }
    };
    let payload = match open_file(&core.ring, class, bytes) {
        Ok(payload) => payload,
        broken => return Ok(!is_broken(&broken)),
    };
    Ok(match class {
        Class::Index => !is_broken(&Segment::decode(&payload).map_err(FormatError::from)),
        Class::Root => match Manifest::decode(&payload).map_err(FormatError::from) {
            Ok(manifest) => manifest.repository == core.config.repository,
            broken => !is_broken(&broken),
        },
        Class::Event => !is_broken(&Event::decode(&payload).map_err(FormatError::from)),
        _ => !is_broken(&GcRecord::decode(&payload).map_err(FormatError::from)),
    })
}

/// What a newer version wrote is whole, although this one does not understand it: it is for nobody to set aside.
fn is_broken<T>(opened: &Opened<T>) -> bool {
    opened.as_ref().is_err_and(|error| !matches!(error, FormatError::Unsupported(_)))
}
