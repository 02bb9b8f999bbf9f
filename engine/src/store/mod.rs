//! Named bytes: where a repository's files are kept. Knows nothing of what is in them.
//!
//! Every store must give, and `conformance` verifies:
//! - a file appears whole or not at all, and only after its bytes are durable (power cut included);
//! - a file that was put is seen by every later read and listing, from any host;
//! - a listing names every file that exists from its begin to its end, or fails: never a silent part of it;
//! - no put takes effect after its call has returned, whether it succeeded or failed;
//! - removing a file that is gone is no error.
//!
//! No lock, no create-if-absent, no clock: the commit protocol (docs/gc.md) needs none.

use std::fmt::{self, Debug};

use crate::error::{StoreError, StoreErrorKind};
use crate::id::{ArchiveId, FileId, PackId};

mod faulty;
mod local;
mod memory;

pub mod conformance;

pub use faulty::{Fault, FaultMode, FaultThen, FaultyStore, Operation, Verb};
pub use local::{LocalStore, ScratchStore};
pub use memory::{MemoryStore, Snapshot};

/// Result of a store's operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// The folders of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `config`, a single file.
    Config,
    /// Key slots.
    Keys,
    /// Packs, in 256 folders.
    Packs,
    /// Index segments.
    Index,
    /// Manifests and their marks.
    Archives,
    /// Facts about archives.
    Events,
    /// What compactions have condemned.
    Gc,
    /// Writers that are alive.
    Sessions,
    /// What a repair has set aside.
    Quarantine,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Config,
        Self::Keys,
        Self::Packs,
        Self::Index,
        Self::Archives,
        Self::Events,
        Self::Gc,
        Self::Sessions,
        Self::Quarantine,
    ];

    /// The folder's name, or the file's for `config`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Keys => "keys",
            Self::Packs => "packs",
            Self::Index => "index",
            Self::Archives => "archives",
            Self::Events => "events",
            Self::Gc => "gc",
            Self::Sessions => "sessions",
            Self::Quarantine => "quarantine",
        }
    }
}

/// The name of one file of a repository.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    kind: Kind,
    name: String,
}

impl Key {
    /// `config`.
    pub fn config() -> Self {
        Self { kind: Kind::Config, name: String::new() }
    }

    /// A file that is named by its bytes.
    pub fn file(kind: Kind, id: FileId) -> Self {
        Self { kind, name: id.to_hex() }
    }

    /// A pack.
    pub fn pack(id: PackId) -> Self {
        Self { kind: Kind::Packs, name: id.to_hex() }
    }

    /// A manifest.
    pub fn archive(id: ArchiveId) -> Self {
        Self { kind: Kind::Archives, name: id.to_hex() }
    }

    /// The mark that makes an archive count.
    pub fn ok_mark(id: ArchiveId) -> Self {
        Self { kind: Kind::Archives, name: format!("{}.ok", id.to_hex()) }
    }

    /// The mark of a deleted archive.
    pub fn deleted_mark(id: ArchiveId) -> Self {
        Self { kind: Kind::Archives, name: format!("{}.del", id.to_hex()) }
    }

    /// A session's `n`-th file.
    pub fn session(session: &[u8; 16], n: u64) -> Self {
        Self { kind: Kind::Sessions, name: format!("{}.{n}", crate::id::hex(session)) }
    }

    /// A file as a listing named it.
    pub fn listed(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// Which folder it is in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name in the folder, empty for `config`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that has this [`Key::path`]; `None` for what is no such path.
    pub fn from_path(path: &str) -> Option<Self> {
        let (folder, name) = path.split_once('/').unwrap_or((path, ""));
        let kind = Kind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
        let key = Self { kind, name: name.rsplit('/').next().unwrap_or(name).to_owned() };
        (key.path() == path && key.name.is_empty() == (kind == Kind::Config)).then_some(key)
    }

    /// Relative path in a store of folders: `packs/ab/abcd…`, `archives/….ok`, `config`.
    pub fn path(&self) -> String {
        match self.kind {
            Kind::Config => "config".to_owned(),
            Kind::Packs => format!("packs/{}/{}", self.name.get(..2).unwrap_or("xx"), self.name),
            kind => format!("{}/{}", kind.folder(), self.name),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.path())
    }
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name in its folder (for packs without the two-digit folder).
    pub name: String,
    /// Size in bytes.
    pub size: u64,
}

/// A place that keeps named, immutable files.
pub trait Store: Debug + Send + Sync {
    /// What a message calls this store: a path or an address.
    fn describe(&self) -> String;

    /// The whole file; one that is longer than `limit` bytes is an error of kind `Other` before it is allocated.
    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>>;

    /// Exactly `buffer.len()` bytes from `offset`; fewer is `Truncated`.
    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()>;

    /// The size, or `None` if there is no such file.
    fn size(&self, key: &Key) -> StoreResult<Option<u64>>;

    /// Puts a small file, whole and durable on `Ok`. Putting equal bytes under a name that exists is no error.
    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()>;

    /// Begins a large file whose name is not known yet.
    fn begin(&self) -> StoreResult<Box<dyn Upload>>;

    /// Every file of a kind. Folders that do not exist are empty.
    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>>;

    /// Nobody will read a file again soon: the system may use the memory that caches it for something else. Only advice.
    fn uncache(&self, _key: &Key) {}

    /// Makes sure that a file that a listing showed is durable, whoever put it: its writer may have been killed before it was.
    fn settle(&self, _key: &Key) -> StoreResult<()> {
        Ok(())
    }

    /// Keeps a file under a second name, which must be free; durable on `Ok`. Removing the first name leaves the second.
    ///
    /// What cannot be read must be kept too, as far as the store can: a copy is what is left to those that know no second names.
    fn keep_as(&self, key: &Key, kept: &Key) -> StoreResult<()> {
        copy(self, key, kept)
    }

    /// Removes a file; durable on `Ok`. A file that is gone is no error.
    fn remove(&self, key: &Key) -> StoreResult<()>;

    /// Puts small files, each whole or not at all, in no order; all are durable on `Ok`. After an error some may be there.
    fn put_many(&self, files: &[(Key, Vec<u8>)]) -> StoreResult<()> {
        files.iter().try_for_each(|(key, bytes)| self.put(key, bytes))
    }

    /// Removes files, in no order; durable on `Ok`. What is gone is no error. After an error some may be gone.
    fn remove_many(&self, keys: &[Key]) -> StoreResult<()> {
        keys.iter().try_for_each(|key| self.remove(key))
    }

    /// How many bytes an ordinary user can still write; `None` where nobody can say.
    fn free_bytes(&self) -> StoreResult<Option<u64>> {
        Ok(None)
    }

    /// Gives back the room that was kept for deleting on a disk that is full; whether there was some.
    fn spend_reserve(&self) -> StoreResult<bool> {
        Ok(false)
    }

    /// Keeps room for deleting, if none is kept and there is some. A disk too full for that is no error.
    fn keep_reserve(&self) -> StoreResult<()> {
        Ok(())
    }
}

/// [`Store::keep_as`] by reading and writing.
fn copy<S: Store + ?Sized>(store: &S, key: &Key, kept: &Key) -> StoreResult<()> {
    const WINDOW: u64 = 1 << 20;
    let size = store.size(key)?.ok_or_else(|| StoreError::new("keep", key.path(), StoreErrorKind::NotFound))?;
    let mut upload = store.begin()?;
    let mut at = 0;
    while at < size {
        let mut window = vec![0; usize::try_from(WINDOW.min(size - at)).unwrap_or(0)];
        store.read_at(key, at, &mut window)?;
        upload.append(&window)?;
        at += window.len() as u64;
    }
    upload.finish(kept)
}

/// A file being written; dropped before `finish` it leaves nothing that counts.
pub trait Upload: Debug + Send {
    /// Adds bytes at its end.
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()>;

    /// Makes it durable and gives it its name.
    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()>;
}
