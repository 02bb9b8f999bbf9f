//! The folder that a local store lives in, held open: every path below is relative to it, so that a disk that is
//! unmounted or a folder that is renamed while we run can never send a write elsewhere.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::store::Listed;

/// A repository is its owner's alone (the umask may take more away).
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const FOLDER_MODE: u32 = 0o700;

/// An open folder and which of those below it a power cut cannot take away.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    folder: OwnedFd,
    durable: Mutex<HashSet<String>>,
}

impl Root {
    /// Opens a folder that exists.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(path)?;
        let folder = retry_on_intr(|| rustix::fs::open(&path, folder_flags(), Mode::empty()))?;
        Ok(Self { path, folder, durable: Mutex::default() })
    }

    /// Its absolute path when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading.
    pub(super) fn open_file(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(File::from(retry_on_intr(|| rustix::fs::openat(&self.folder, path, flags, Mode::empty()))?))
    }

    /// Makes a file that must not exist.
    pub(super) fn create_file(&self, path: &str) -> io::Result<File> {
        self.make_file(path, OFlags::EXCL)
    }

    /// Opens a file, made empty if there is none.
    pub(super) fn open_or_create_file(&self, path: &str) -> io::Result<File> {
        self.make_file(path, OFlags::empty())
    }

    /// The size of a regular file; `None` if there is nothing of that name, or something else than a file.
    pub(super) fn size(&self, path: &str) -> io::Result<Option<u64>> {
        regular_size(rustix::fs::statat(&self.folder, path, AtFlags::empty()))
    }

    /// Gives a file another name, in one step.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, from, &self.folder, to)?)
    }

    /// Gives a file a second name, which must be free.
    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.folder, from, &self.folder, to, AtFlags::empty())?)
    }

    /// Removes a name; whether it was there.
    pub(super) fn unlink(&self, path: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.folder, path, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a file, or a folder with all that is in it. Links are removed, not followed.
    pub(super) fn remove_all(&self, path: &str) -> io::Result<()> {
        match self.unlink(path) {
            // What Linux says of a folder, and what POSIX does.
            Err(error) if matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied) => {
                self.names(path)?.into_iter().try_for_each(|(name, _)| self.remove_all(&join(path, &name)))?;
                self.remove_folder(path)
            }
            removed => removed.map(drop),
        }
    }

    /// Makes a folder; whether it is new.
    pub(super) fn make_folder(&self, path: &str) -> io::Result<bool> {
        match rustix::fs::mkdirat(&self.folder, path, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes an empty folder.
    pub(super) fn remove_folder(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, path, AtFlags::REMOVEDIR)?)
    }

    /// Makes the names in a folder durable. Not retried when interrupted: a second call may say yes to what was lost.
    pub(super) fn sync_folder(&self, path: &str) -> io::Result<()> {
        rustix::fs::fsync(self.open_folder(path)?)?;
        // An XFS that shuts itself down meanwhile, for an error of its disk, forgets what was to be synced and says yes
        // (measured on Linux 6.18). It opens nothing from then on, so if it still does, the yes was true.
        self.open_folder(path).map(drop)
    }

    /// What an ordinary user can still write to its file system.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let room = rustix::fs::fstatvfs(&self.folder)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// Makes a folder and those above it, if they are missing, such that a power cut cannot take them away.
    ///
    /// That a folder exists says nothing: whoever made it may have been killed before its parent was synced. So each
    /// is trusted only after this value has synced its parent once, which vouches for all the siblings of the moment too.
    pub(super) fn make_durable(&self, path: &str) -> io::Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parent = "";
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            let folder = path.get(..end).unwrap_or(path);
            if !durable.contains(folder) {
                self.make_folder(folder)?;
                let siblings = self.names(parent)?;
                self.sync_folder(parent)?;
                durable.extend(siblings.into_iter().map(|(name, _)| join(parent, &name)));
            }
            parent = folder;
        }
        Ok(())
    }

    /// Every name in a folder with its type; a folder that does not exist has none.
    pub(super) fn names(&self, path: &str) -> io::Result<Vec<(String, FileType)>> {
        match self.open_folder(path) {
            Ok(folder) => names_in(&folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Every regular file in a folder; a folder that does not exist has none, and a file that vanishes is left out.
    pub(super) fn files(&self, path: &str) -> io::Result<Vec<Listed>> {
        let folder = match self.open_folder(path) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for (name, kind) in names_in(&folder)? {
            if kind == FileType::Directory {
                continue;
            }
            if let Some(size) = regular_size(rustix::fs::statat(&folder, name.as_str(), AtFlags::empty()))? {
                files.push(Listed { name, size });
            }
        }
        Ok(files)
    }

    fn make_file(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        Ok(File::from(retry_on_intr(|| rustix::fs::openat(&self.folder, path, flags, FILE_MODE))?))
    }

    /// Opens a folder below, or the root itself for an empty path.
    fn open_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        Ok(retry_on_intr(|| rustix::fs::openat(&self.folder, path, folder_flags(), Mode::empty()))?)
    }
}

/// `parent/name`, or `name` in the root.
pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// Makes a folder with those above it that are missing.
pub(super) fn make_all(path: &Path) -> io::Result<()> {
    let from_the_top: Vec<_> = path.ancestors().collect();
    for folder in from_the_top.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
        if !folder.is_dir() {
            match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Syncs every folder above, as far as the file system reaches: any of them may be new and known only to memory.
///
/// One that may not be opened is not ours, so it was there before and is as durable as its owner made it.
pub(super) fn sync_above(path: &Path) -> io::Result<()> {
    let device = std::fs::metadata(path)?.dev();
    for folder in path.ancestors().skip(1) {
        match File::open(folder) {
            Ok(opened) if opened.metadata()?.dev() != device => break,
            Ok(opened) => rustix::fs::fsync(opened)?,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// Reads a folder to its end. Names that are no text cannot be ours.
fn names_in(folder: &OwnedFd) -> io::Result<Vec<(String, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push((name.to_owned(), entry.file_type())),
        }
    }
    Ok(names)
}

fn regular_size(stat: rustix::io::Result<rustix::fs::Stat>) -> io::Result<Option<u64>> {
    match stat {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => Ok(u64::try_from(stat.st_size).ok()),
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
