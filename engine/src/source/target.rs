//! The root of a restore. What an archive says is only ever done beneath it.
//!
//! Archives are hostile until proven otherwise: names with `..`, absolute names, and symlinks that an earlier entry put
//! where a later one expects a directory have led other programs out of their target (CVE-2026-62268 of Borg). Here a
//! path is opened from the root's descriptor by the kernel, which refuses symlinks and every way out; what is in a
//! directory is done by (descriptor, one name) and follows nothing. So there is no check that a race could outrun.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, OFlags};

use super::name::{check_name, child_path};
use super::open::{DIRECTORY, open_at, open_beneath};
use super::target_dir::TargetDir;
use crate::error::FileError;

/// Open directories that are kept; the cache holds at most twice as many.
const KEPT_DIRECTORIES: usize = 128;

/// The directory that a restore writes into. Shared by all threads.
#[derive(Debug)]
pub struct Target {
    root: Arc<TargetDir>,
    open: Arc<OpenDirectories>,
}

impl Target {
    /// Opens a path of the user, which may be a symlink to a directory. With `create`, what is missing of it is created.
    pub fn open(path: &Path, create: bool) -> Result<Self, FileError> {
        if create {
            std::fs::create_dir_all(path).map_err(|error| FileError::new("create the directory", path, error))?;
        }
        let fd = open_at(CWD, path.as_os_str().as_encoded_bytes(), DIRECTORY.difference(OFlags::NOFOLLOW))
            .map_err(|error| FileError::new("open", path, error))?;
        let open = Arc::new(OpenDirectories::default());
        let root = Arc::new(TargetDir::new(fd, path.to_owned(), Arc::clone(&open)));
        Ok(Self { root, open })
    }

    /// The root itself.
    pub fn root(&self) -> &Arc<TargetDir> {
        &self.root
    }

    /// A directory below the root, by its names joined with `/`; the empty path is the root. It must exist. The most
    /// recently used ones are kept open.
    pub fn directory(&self, path: &[u8]) -> Result<Arc<TargetDir>, FileError> {
        if path.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(found) = self.open.find(path) {
            return Ok(found);
        }
        let epoch = self.open.epoch();
        let shown = child_path(self.root.path(), path);
        let checked: io::Result<()> = path.split(|byte| *byte == b'/').try_for_each(check_name);
        let fd = checked
            .and_then(|()| open_beneath(self.root.as_fd(), path))
            .map_err(|error| FileError::new("open the directory", &shown, error))?;
        let opened = Arc::new(TargetDir::new(fd, shown, Arc::clone(&self.open)));
        self.open.keep(path, &opened, epoch);
        Ok(opened)
    }

    /// Makes everything that was written to the target's file system durable.
    pub fn sync_all(&self) -> Result<(), FileError> {
        rustix::fs::syncfs(self.root.as_fd()).map_err(|error| FileError::new("sync", self.root.path(), error))
    }
}

impl Drop for Target {
    /// The directories that are kept open know what keeps them: without this neither would go.
    fn drop(&mut self) {
        self.open.forget();
    }
}

/// Directories by path in two generations: when the younger is full it becomes the older, and what was not used since goes.
#[derive(Debug, Default)]
pub(super) struct OpenDirectories(Mutex<Generations>);

type Generation = HashMap<Vec<u8>, Arc<TargetDir>>;

#[derive(Debug, Default)]
struct Generations {
    younger: Generation,
    older: Generation,
    /// How often all were forgotten: what was opened before the last time is not kept.
    epoch: u64,
}

impl Generations {
    fn keep(&mut self, path: Vec<u8>, directory: Arc<TargetDir>) -> Generation {
        self.younger.insert(path, directory);
        if self.younger.len() < KEPT_DIRECTORIES {
            return Generation::new();
        }
        mem::replace(&mut self.older, mem::take(&mut self.younger))
    }
}

impl OpenDirectories {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, path: &[u8]) -> Option<Arc<TargetDir>> {
        let mut generations = self.lock();
        if let Some(found) = generations.younger.get(path) {
            return Some(Arc::clone(found));
        }
        let (path, found) = generations.older.remove_entry(path)?;
        let dropped = generations.keep(path, Arc::clone(&found));
        // Closing takes its time: not while others wait.
        drop(generations);
        drop(dropped);
        Some(found)
    }

    fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    fn keep(&self, path: &[u8], directory: &Arc<TargetDir>, epoch: u64) {
        let mut generations = self.lock();
        if generations.epoch == epoch {
            let dropped = generations.keep(path.to_vec(), Arc::clone(directory));
            drop(generations);
            drop(dropped);
        }
    }

    /// Closes all: a directory was removed, and its path may come to mean another one.
    pub(super) fn forget(&self) {
        let mut generations = self.lock();
        let epoch = generations.epoch.wrapping_add(1);
        let dropped = mem::replace(&mut *generations, Generations { epoch, ..Generations::default() });
        drop(generations);
        drop(dropped);
    }
}
