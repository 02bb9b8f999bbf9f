//! A repository: keys, packs, index and commit joined over a store. Knows nothing of directories or databases.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use crate::chunker::Gear;
use crate::codec::Decoded;
use crate::crypto::{KeyRing, Subkey};
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::config::{Config, Profile};
use crate::format::file::{Class, SessionId, open_file, seal_file};
use crate::format::segment::{Segment, segment_groups};
use crate::format::{FILE_LIMIT, FormatError, Opened};
use crate::id::{FileId, RepositoryId};
use crate::repository::seen::Witness;
use crate::store::{Key, Kind, Store};

mod archives;
mod commit;
mod events;
mod flips;
pub(crate) mod gc;
mod index;
mod look;
mod mend;
mod open;
mod open_pack;
mod packer;
mod quarantine;
mod reader;
pub(crate) mod rebuild;
mod reserve;
mod seen;
mod session;
pub(crate) mod state;

pub use archives::{Archive, ArchiveListing};
pub use commit::{Commit, References, Superseded};
pub use events::Facts;
pub use flips::{Flips, Stage};
pub(crate) use index::Slots;
pub use index::{CacheFolder, Index, IndexPack, Location, PackNumber, PackSet, PackState, Scanned, ScannedCopy};
pub use look::Look;
pub(crate) use mend::Verdict;
pub use open::{InitOptions, OpenOptions, Probe, Secret, SlotInfo, SlotKind, lost_config, put_config};
pub use packer::{BlockBuilder, Packer, Stored};
pub use reader::Reader;
pub(crate) use reader::purpose_of;
pub use seen::{Gone, Seen, Sighting};

/// What every part of a repository needs: the store, the keys, and who we are.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ring: KeyRing,
    pub(crate) config: Config,
    pub(crate) profile: Profile,
    pub(crate) session: SessionId,
    /// Numbers the session's files: no name is used twice.
    pub(crate) session_files: AtomicU64,
    pub(crate) host_id: [u8; 16],
    pub(crate) flips: Flips,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("store", &self.store).field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// An open repository.
#[derive(Debug)]
pub struct Repository {
    core: Arc<Core>,
    cache_dir: Option<PathBuf>,
    /// The slot that opened it, and its name.
    opened_with: open::OpenedWith,
    gear: OnceLock<Gear>,
    /// What this client has seen of its archives.
    witness: Mutex<Witness>,
}

impl Repository {
    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.core.config.repository
    }

    /// Whether it needs a key.
    pub fn encrypted(&self) -> bool {
        self.core.config.encrypted
    }

    /// What a message calls it.
    pub fn describe(&self) -> String {
        self.core.store.describe()
    }

    /// How it is cut.
    pub fn profile(&self) -> &Profile {
        &self.core.profile
    }

    /// Its keys.
    pub fn ring(&self) -> &KeyRing {
        &self.core.ring
    }

    /// Its store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.store
    }

    /// The machine's id, as the caller gave it.
    pub fn host_id(&self) -> [u8; 16] {
        self.core.host_id
    }

    /// The table of the content-defined chunker.
    pub fn gear(&self) -> &Gear {
        self.gear.get_or_init(|| Gear::from_key(self.core.ring.subkey(Subkey::Chunker).expose()))
    }

    /// # Errors
    /// A newer version has set a feature that a writer must know.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match self.core.config.unknown_to_write {
            0 => Ok(()),
            features => {
                let problem = format!("writing needs the features {features:#x}; it can be read");
                Err(Error::Unsupported { file: Key::config().to_string(), problem })
            }
        }
    }

    /// Bits that flip on purpose, for tests.
    #[cfg(debug_assertions)]
    pub fn flips(&self) -> &Flips {
        &self.core.flips
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The folder of the local caches, or none.
    pub fn cache_dir(&self) -> Option<&PathBuf> {
        self.cache_dir.as_ref()
    }

    /// Lists gc/, index/ and packs/ and loads the index from them.
    pub fn load_index(&self) -> Result<Index> {
        let look = Look::index(&self.core)?;
        self.load_index_of(&look)
    }

    /// The same for whoever only reads: a gc record that is damaged keeps nobody from what is there.
    pub(crate) fn load_index_to_read(&self) -> Result<Index> {
        let look = Look::index_for_check(&self.core)?;
        self.load_index_of(&look)
    }

    /// Loads the index and adds what packs hold that no segment names, read from the packs themselves: for readers that miss something.
    pub(crate) fn load_index_with_orphans(&self) -> Result<Index> {
        let look = Look::index_for_check(&self.core)?;
        let mut index = self.load_index_of(&look)?;
        index.add_unnamed(&rebuild::orphans(&self.core, &look, &index)?)?;
        Ok(index)
    }

    /// Loads the index for a writer. Packs that no segment names, left by a run that was killed, are put into a segment of ours and used again.
    pub(crate) fn load_index_and_adopt(&self) -> Result<(Index, Vec<FileId>)> {
        self.load_index_and_adopt_without(&HashSet::new())
    }

    /// The same as if there were none of these segments, which are damaged and are about to go: what the cache remembers of them must not
    /// keep their packs from getting another.
    pub(crate) fn load_index_and_adopt_without(&self, segments: &HashSet<FileId>) -> Result<(Index, Vec<FileId>)> {
        self.check_writable()?;
        let mut look = Look::index(&self.core)?;
        look.segments.retain(|id, _| !segments.contains(id));
        let mut index = self.load_index_of(&look)?;
        let mut adopted = Vec::new();
        for packs in segment_groups(rebuild::orphans(&self.core, &look, &index)?) {
            packs.iter().try_for_each(|pack| self.core.store.settle(&Key::pack(pack.id)))?;
            let segment = Segment { writer: self.core.host_id, replaces: Vec::new(), packs };
            let (name, _) = self.core.put_sealed(Kind::Index, Class::Index, &segment.encode())?;
            index.adopt(name, &segment)?;
            adopted.push(name);
        }
        Ok((index, adopted))
    }

    /// Loads the index that a look lists. A segment that is damaged is left out: the packs that it named say themselves what is in them
    /// (rebuild.rs), and check names it.
    pub(crate) fn load_index_of(&self, look: &Look) -> Result<Index> {
        self.load_segments_of(look, &|core, id| match core.read_segment(id) {
            Err(Error::Damaged { .. }) => Ok(None),
            read => read,
        })
    }

    /// The same for whoever deletes: a segment that cannot be read is an error.
    pub(crate) fn load_whole_index_of(&self, look: &Look) -> Result<Index> {
        self.load_segments_of(look, &Core::read_segment)
    }

    fn load_segments_of(
        &self,
        look: &Look,
        read: &(dyn Fn(&Core, FileId) -> Result<Option<Segment>> + Sync),
    ) -> Result<Index> {
        let folder = Arc::new(CacheFolder::open(self.cache_dir.as_ref().map(|dir| dir.join("index")).as_deref())?);
        Index::load(folder, self.core.ring.subkey(Subkey::SealIndex), look, &|id| read(&self.core, id))
    }
}

impl Core {
    /// Opens a whole sealed file after comparing its name with its bytes; `None` if it is gone.
    pub(crate) fn read_sealed(&self, key: &Key, class: Class) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = read_optional(self.store.as_ref(), key)? else { return Ok(None) };
        if key.name() != blake3::hash(&bytes).to_hex().as_str() {
            return Err(damaged(key, "its bytes are not those that its name says"));
        }
        opened(key, open_file(&self.ring, class, &bytes)).map(Some)
    }

    /// Seals a payload and puts it under the name of its bytes, durable.
    pub(crate) fn put_sealed(&self, kind: Kind, class: Class, payload: &[u8]) -> Result<(FileId, u64)> {
        self.put_verified(kind, class, payload, &|opened| opened == payload)
    }

    /// The same, if its bytes open to what the caller, who knows what the payload was made from, calls right.
    pub(crate) fn put_verified(
        &self,
        kind: Kind,
        class: Class,
        payload: &[u8],
        is_right: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(FileId, u64)> {
        let bytes = self.seal_verified(class, payload, is_right)?;
        let id = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
        self.store.put(&Key::file(kind, id), &bytes)?;
        Ok((id, bytes.len() as u64))
    }

    /// Seals a whole file and opens it again: what memory has made of it must not be written.
    pub(crate) fn seal_verified(
        &self,
        class: Class,
        payload: &[u8],
        is_right: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        let mut bytes = seal_file(&self.ring, class, self.session, payload)?;
        self.flips.alter(Stage::File, &mut bytes);
        if open_file(&self.ring, class, &bytes).is_ok_and(|opened| is_right(&opened)) {
            return Ok(bytes);
        }
        let what = match class {
            Class::Index => "an index segment",
            Class::Root => "a manifest",
            Class::Event => "an event",
            Class::Gc => "a gc record",
            Class::Session => "a session file",
            Class::Data | Class::Meta => "a pack",
        };
        Err(Error::Altered { what })
    }

    /// An index segment, or `None` if it is gone: another has replaced it.
    pub(crate) fn read_segment(&self, id: FileId) -> Result<Option<Segment>> {
        let key = Key::file(Kind::Index, id);
        let Some(payload) = self.read_sealed(&key, Class::Index)? else { return Ok(None) };
        decoded(&key, Segment::decode(&payload)).map(Some)
    }
}

pub(crate) fn read_optional(store: &dyn Store, key: &Key) -> Result<Option<Vec<u8>>> {
    match store.read(key, FILE_LIMIT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// "FILE is damaged: PROBLEM".
pub(crate) fn damaged(key: &Key, problem: impl Display) -> Error {
    Error::Damaged { file: key.to_string(), problem: format!("{problem}") }
}

/// Attaches the file to what a decoder says.
pub(crate) fn decoded<T>(key: &Key, result: Decoded<T>) -> Result<T> {
    opened(key, result.map_err(FormatError::from))
}

/// Attaches the file to what an opener says.
pub(crate) fn opened<T>(key: &Key, result: Opened<T>) -> Result<T> {
    result.map_err(|error| match error {
        FormatError::Unsupported(problem) => Error::Unsupported { file: key.to_string(), problem },
        other => damaged(key, other),
    })
}
