//! A repository in a folder of a local (or mounted) file system.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Advice, FileType};

use crate::error::{StoreError, StoreErrorKind};
use crate::id::unhex;
use crate::store::local::root::Root;
use crate::store::local::upload::Session;
use crate::store::{Key, Kind, Listed, Store, StoreResult, Upload, copy};

mod many;
mod reserve;
mod root;
mod scratch;
mod upload;

pub use scratch::ScratchStore;

/// Files in folders, as [`Key::path`] names them.
///
/// `Ok` from `put`, `finish` and `remove` means durable: the bytes are synced before the name is given, the folder
/// after, and its parent when the folder may be new. An error of the last step leaves a name that a power cut may take.
#[derive(Debug)]
pub struct LocalStore {
    root: Arc<Root>,
    /// Made by the first write, so that reading needs no right to write.
    session: Mutex<Option<Arc<Session>>>,
}

impl LocalStore {
    /// Makes the folder, those above it too, and proves that its file system does what a repository needs.
    ///
    /// A folder that exists must hold nothing but what an earlier `create` may have left there, or a repository:
    /// whether one is there is for the caller to ask.
    pub fn create(path: impl AsRef<Path>) -> StoreResult<Self> {
        let path = path.as_ref();
        root::make_all(path).map_err(|error| StoreError::io("make", path.display().to_string(), error))?;
        let store = Self::open(path)?;
        root::sync_above(store.path())
            .map_err(|error| StoreError::io("sync the folders above", store.describe(), error))?;
        store.refuse_strangers()?;
        store.probe()?;
        store.keep_reserve()?;
        Ok(store)
    }

    /// Opens a folder that exists.
    pub fn open(path: impl AsRef<Path>) -> StoreResult<Self> {
        let path = path.as_ref();
        let root = Root::open(path).map_err(|error| StoreError::io("open", path.display().to_string(), error))?;
        Ok(Self { root: Arc::new(root), session: Mutex::default() })
    }

    /// Its folder's absolute path.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Removes the temporary files of writers that were killed; how many writers that were.
    ///
    /// Who lives is told by a lock that dies with its owner. One that cannot be cleared is left for another time.
    pub fn remove_stale_uploads(&self) -> StoreResult<usize> {
        upload::remove_stale(&self.root).map_err(listing("tmp"))
    }

    /// An empty store below `tmp/`, on the same file system, for trying out what it can do.
    ///
    /// Nothing in it is data of this one. It goes when it is dropped; if its owner is killed, with the next [`Self::remove_stale_uploads`].
    pub fn scratch(&self) -> StoreResult<ScratchStore> {
        ScratchStore::begin(&self.root)
    }

    /// The folder of this value's temporary files.
    fn session(&self) -> StoreResult<Arc<Session>> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let begun = Session::begin(&self.root).map_err(|error| StoreError::io("make a folder in", "tmp", error))?;
        Ok(Arc::clone(session.insert(Arc::new(begun))))
    }

    /// An archive among somebody's holiday pictures helps nobody. A fresh disk's own folder is no stranger.
    fn refuse_strangers(&self) -> StoreResult<()> {
        let names = self.root.names("").map_err(|error| StoreError::io("list", self.describe(), error))?;
        let known = |name: &str| {
            matches!(name, "tmp" | "lost+found" | reserve::NAME) || Kind::ALL.iter().any(|kind| kind.folder() == name)
        };
        match names.into_iter().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let problem = io::Error::other(format!("the folder holds something else already: {name}"));
                let place = self.describe();
                Err(StoreError { action: "create", key: place, kind: StoreErrorKind::Exists, source: Some(problem) })
            }
        }
    }

    /// Does once what every later run relies on, where nobody sees it; the error's action says what cannot be done.
    fn probe(&self) -> StoreResult<()> {
        const BYTES: &[u8] = b"probe";
        let session = self.session()?;
        let folder = session.folder();
        // As long as the longest name that a repository uses.
        let name = format!("{}.probe", "0".repeat(64));
        let path = root::join(folder, &name);
        let failed = |action| {
            let path = path.clone();
            move |error: io::Error| StoreError::io(action, path, error)
        };
        let surprised = |action| failed(action)(io::Error::other("the file system shows something else"));
        for _ in 0..2 {
            // The second time replaces the first.
            let mut upload = session.file()?;
            upload.write(&path, BYTES)?;
            upload.name(folder, &path)?;
        }
        let listed = self.root.files(folder).map_err(failed("list"))?;
        if !listed.iter().any(|file| file.name == name && file.size == BYTES.len() as u64) {
            return Err(surprised("list"));
        }
        if self.read_path(&path, BYTES.len() as u64)? != BYTES {
            return Err(surprised("read back"));
        }
        self.root.unlink(&path).map_err(failed("remove"))?;
        self.root.sync_folder(folder).map_err(failed("sync the folder of"))?;
        match self.root.size(&path).map_err(failed("look for"))? {
            None => Ok(()),
            Some(_) => Err(surprised("remove")),
        }
    }

    fn read_path(&self, path: &str, limit: u64) -> StoreResult<Vec<u8>> {
        let failed = |error| StoreError::io("read", path, error);
        let file = self.root.open_file(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let size = metadata.len();
        if size > limit {
            return Err(failed(too_long(size, limit)));
        }
        let mut bytes = Vec::new();
        let capacity = usize::try_from(size).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        bytes.try_reserve_exact(capacity).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        file.take(size).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() < capacity {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    /// Packs are spread over folders; a file in the wrong one has not the path that its name says.
    fn list_packs(&self) -> StoreResult<Vec<Listed>> {
        let mut packs = Vec::new();
        for (digits, kind) in self.root.names(Kind::Packs.folder()).map_err(listing(Kind::Packs.folder()))? {
            let folder = matches!(kind, FileType::Directory | FileType::Symlink | FileType::Unknown);
            if !folder || unhex::<1>(&digits).is_none() {
                continue;
            }
            let folder = root::join(Kind::Packs.folder(), &digits);
            let files = match self.root.files(&folder) {
                // It was no folder after all.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                files => files.map_err(listing(&folder))?,
            };
            let ours = |file: &Listed| file.name.starts_with(&digits) && unhex::<32>(&file.name).is_some();
            packs.extend(files.into_iter().filter(ours));
        }
        Ok(packs)
    }

    fn list_config(&self) -> io::Result<Vec<Listed>> {
        let size = self.root.size(Kind::Config.folder())?;
        Ok(size.map(|size| Listed { name: String::new(), size }).into_iter().collect())
    }
}

impl Store for LocalStore {
    fn describe(&self) -> String {
        self.path().display().to_string()
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        let (_, path) = place(key)?;
        self.read_path(&path, limit)
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let (_, path) = place(key)?;
        let failed = |error| StoreError::io("read", &path, error);
        let file = self.root.open_file(&path).map_err(failed)?;
        // The system counts in signed numbers; no file reaches beyond.
        let end = offset.checked_add(buffer.len() as u64).and_then(|end| i64::try_from(end).ok());
        if buffer.is_empty() {
            return Ok(());
        }
        if end.is_none() {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        file.read_exact_at(buffer, offset).map_err(failed)
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        let (_, path) = place(key)?;
        self.root.size(&path).map_err(|error| StoreError::io("look for", &path, error))
    }

    /// Replaces what is there, even by the same bytes: whether another's copy is durable, only its writer knows.
    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        let (folder, path) = place(key)?;
        let mut upload = self.session()?.file()?;
        upload.write(&path, bytes)?;
        upload.name(&folder, &path)
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        Ok(Box::new(self.session()?.file()?))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        match kind {
            Kind::Packs => self.list_packs(),
            Kind::Config => self.list_config().map_err(listing(kind.folder())),
            _ => self.root.files(kind.folder()).map_err(listing(kind.folder())),
        }
    }

    fn uncache(&self, key: &Key) {
        if let Some(file) = place(key).ok().and_then(|(_, path)| self.root.open_file(&path).ok()) {
            let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        }
    }

    fn settle(&self, key: &Key) -> StoreResult<()> {
        let (folder, path) = place(key)?;
        let settled = self.root.make_durable(&folder).and_then(|()| self.root.sync_folder(&folder));
        settled.map_err(|error| StoreError::io("sync the folder of", &path, error))
    }

    /// By a second link: it needs no room, and no byte has to be readable.
    fn keep_as(&self, key: &Key, kept: &Key) -> StoreResult<()> {
        let ((_, from), (folder, to)) = (place(key)?, place(kept)?);
        let failed = |error| StoreError::io("keep", &from, error);
        self.root.make_durable(&folder).map_err(failed)?;
        match self.root.link(&from, &to) {
            Ok(()) => self.root.sync_folder(&folder).map_err(failed),
            // A file system without links.
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
                copy(self, key, kept)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        let (folder, path) = place(key)?;
        self.root.unlink(&path).map_err(|error| StoreError::io("remove", &path, error))?;
        many::sync_removals(&self.root, &folder, &path)
    }

    fn put_many(&self, files: &[(Key, Vec<u8>)]) -> StoreResult<()> {
        many::put(&self.root, &self.session()?, files)
    }

    fn remove_many(&self, keys: &[Key]) -> StoreResult<()> {
        many::remove(&self.root, keys)
    }

    fn free_bytes(&self) -> StoreResult<Option<u64>> {
        let free =
            self.root.free_bytes().map_err(|error| StoreError::io("ask for the room in", self.describe(), error));
        free.map(Some)
    }

    fn spend_reserve(&self) -> StoreResult<bool> {
        reserve::spend(&self.root)
    }

    fn keep_reserve(&self) -> StoreResult<()> {
        match reserve::keep(&self.root, || self.session()) {
            Err(error) if error.kind == StoreErrorKind::NoSpace => Ok(()),
            kept => kept,
        }
    }
}

/// The folder of a key and its path. A listing of a hostile store may have named something outside of it.
fn place(key: &Key) -> StoreResult<(String, String)> {
    let path = key.path();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if key.name().contains(['/', '\0']) || matches!(name, "" | "." | "..") {
        let problem = io::Error::other("this is no name of a file");
        return Err(StoreError::io("use", path, problem));
    }
    Ok((folder.to_owned(), path))
}

fn listing(folder: &str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::io("list", folder, error)
}

fn too_long(size: u64, limit: u64) -> io::Error {
    io::Error::other(format!("it has {size} bytes, more than the {limit} that it may have"))
}
