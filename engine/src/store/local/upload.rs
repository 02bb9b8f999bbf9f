//! Files on their way to their names: written below `tmp/`, synced, renamed, and the folder synced.
//!
//! Each store value that writes has a folder `tmp/<random>/` with a file `alive` that it keeps locked. When the owner
//! dies, so does the lock, and `remove_stale` of anyone may clear the folder. That only saves space: a writer whose
//! folder is cleared by mistake (the lock is not seen on another host) fails at its rename and names nothing.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Advice;

use crate::error::StoreError;
use crate::id::{hex, unhex};
use crate::store::local::root::Root;
use crate::store::{Key, StoreResult, Upload};

const TEMPORARY: &str = "tmp";
const ALIVE: &str = "alive";
/// A file of so many bytes leaves the page cache when it is durable.
const UNCACHE_FROM: u64 = 1 << 20;

/// A folder for the files of one store value, removed with it.
#[derive(Debug)]
pub(super) struct Session {
    root: Arc<Root>,
    folder: String,
    next: AtomicU64,
    /// Locked for as long as this value lives.
    _alive: File,
}

impl Session {
    /// Makes the folder and locks it. Another's `remove_stale` may take it in between: then with another name again.
    pub(super) fn begin(root: &Arc<Root>) -> io::Result<Self> {
        // One in six is lost to somebody who clears up without a pause (measured), far more on a loaded machine; only a place where
        // nothing lasts loses all of these.
        const ATTEMPTS: usize = 1000;
        root.make_folder(TEMPORARY)?;
        for _ in 0..ATTEMPTS {
            let mut name = [0; 16];
            getrandom::fill(&mut name).map_err(|error| io::Error::other(error.to_string()))?;
            let folder = format!("{TEMPORARY}/{}", hex(&name));
            root.make_folder(&folder)?;
            let path = format!("{folder}/{ALIVE}");
            let alive = match root.create_file(&path) {
                Ok(alive) => alive,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            // A file system without locks only means that nobody clears up after us.
            let taken = matches!(alive.try_lock(), Err(TryLockError::WouldBlock));
            if !taken && root.size(&path)?.is_some() {
                return Ok(Self { root: Arc::clone(root), folder, next: AtomicU64::new(0), _alive: alive });
            }
        }
        Err(io::Error::other("folders for temporary files vanish as soon as they are made"))
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Begins an empty file.
    pub(super) fn file(self: &Arc<Self>) -> StoreResult<LocalUpload> {
        let path = format!("{}/{}", self.folder, self.next.fetch_add(1, Ordering::Relaxed));
        let file = self.root.create_file(&path).map_err(|error| StoreError::io("create", &path, error))?;
        Ok(LocalUpload { session: Arc::clone(self), path, file, written: 0, state: State::Whole })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What cannot be removed is found by the next `remove_stale`.
        let _ = self.root.unlink(&format!("{}/{ALIVE}", self.folder));
        let _ = self.root.remove_folder(&self.folder);
    }
}

/// Removes the folders that killed owners left; how many. One that cannot be removed is left for another time.
pub(super) fn remove_stale(root: &Root) -> io::Result<usize> {
    let folders = root.names(TEMPORARY)?;
    let ours = folders.into_iter().filter(|(name, _)| unhex::<16>(name).is_some());
    Ok(ours.filter(|(name, _)| remove_if_stale(root, &format!("{TEMPORARY}/{name}")).unwrap_or(false)).count())
}

fn remove_if_stale(root: &Root, folder: &str) -> io::Result<bool> {
    let alive = format!("{folder}/{ALIVE}");
    // Made if there is none: then its owner died before it had one, or is just about to and will take another name.
    let lock = root.open_or_create_file(&alive)?;
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    for (name, _) in root.names(folder)?.into_iter().filter(|(name, _)| name != ALIVE) {
        root.remove_all(&format!("{folder}/{name}"))?;
    }
    // Last, and while it is locked: an owner that is slower than us must find that it is gone.
    root.unlink(&alive)?;
    root.remove_folder(folder)?;
    Ok(true)
}

/// A file without its name yet.
#[derive(Debug)]
pub(super) struct LocalUpload {
    session: Arc<Session>,
    path: String,
    file: File,
    written: u64,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Everything that was appended is in the file.
    Whole,
    /// A write or a sync failed: what the file holds is not known, and no second attempt would tell.
    Broken,
    /// It has its name; nothing is left to remove.
    Named,
}

impl LocalUpload {
    /// Adds bytes; `key` is for the message.
    pub(super) fn write(&mut self, key: &str, bytes: &[u8]) -> StoreResult<()> {
        self.check(key)?;
        self.file.write_all(bytes).map_err(|error| self.broken("write", key, error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Makes it durable under its name, `folder` being where that is.
    pub(super) fn name(self, folder: &str, path: &str) -> StoreResult<()> {
        let root = Arc::clone(&self.session.root);
        root.make_durable(folder).map_err(|error| StoreError::io("make the folder of", path, error))?;
        self.name_unsynced(path)?;
        root.sync_folder(folder).map_err(|error| StoreError::io("sync the folder of", path, error))
    }

    /// Makes its bytes durable and gives it a name in a folder that exists, which the caller syncs.
    pub(super) fn name_unsynced(mut self, path: &str) -> StoreResult<()> {
        self.check(path)?;
        self.sync().map_err(|error| self.broken("sync", path, error))?;
        self.session.root.rename(&self.path, path).map_err(|error| self.broken("name", path, error))?;
        self.state = State::Named;
        Ok(())
    }

    /// Makes its bytes durable. Never tried twice: after a failure the system forgets which pages it could not write.
    fn sync(&self) -> io::Result<()> {
        rustix::fs::fdatasync(&self.file)?;
        if self.written >= UNCACHE_FROM {
            // Whoever reads it next comes in a night, or checks and had better ask the disk; a database needs the memory more. Only advice.
            let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
        }
        Ok(())
    }

    fn broken(&mut self, action: &'static str, key: &str, error: io::Error) -> StoreError {
        self.state = State::Broken;
        StoreError::io(action, key, error)
    }

    fn check(&self, key: &str) -> StoreResult<()> {
        match self.state {
            State::Whole => Ok(()),
            State::Broken | State::Named => {
                Err(StoreError::io("write", key, io::Error::other("an earlier write to this file failed")))
            }
        }
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if self.state != State::Named {
            let _ = self.session.root.unlink(&self.path);
        }
    }
}

impl Upload for LocalUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        let path = self.path.clone();
        self.write(&path, bytes)
    }

    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()> {
        let (folder, path) = super::place(key)?;
        self.name(&folder, &path)
    }
}
