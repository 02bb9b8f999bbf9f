//! An open directory of the user, and what is in it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, SeekFrom};

use super::file::SourceFile;
use super::flags::read_flags;
use super::name::{check_name, child_path};
use super::names::Names;
use super::open::{DIRECTORY, READ_FILE, open_at, open_quietly};
use super::stat::{Stat, stat_at, stat_open};
use super::xattr::{Place, XattrList};
use crate::error::FileError;

/// What a path of the user is, itself if its last part is a symlink. The parts before it may be symlinks.
pub fn stat_path(path: &Path) -> Result<Stat, FileError> {
    stat_at(CWD, path.as_os_str().as_bytes()).map_err(|error| FileError::new("stat", path, error))
}

/// A directory that is open for reading. Shared by all threads, except that one thread at a time asks for its names.
#[derive(Debug)]
pub struct SourceDir {
    fd: OwnedFd,
    path: PathBuf,
    stat: Stat,
}

impl SourceDir {
    /// Opens a path of the user. If its last part is a symlink, that is an error: look with [`stat_path`] first.
    pub fn open_path(path: &Path) -> Result<Self, FileError> {
        let fd = open_quietly(CWD, path.as_os_str().as_bytes(), DIRECTORY);
        Self::opened(fd, path.to_owned())
    }

    /// The directory that holds a path of the user, and the path's name in it: for a path that is no directory. `None`
    /// if the path has no last name (`/`, `..`), and so is a directory.
    pub fn open_parent(path: &Path) -> Result<Option<(Self, Vec<u8>)>, FileError> {
        let Some(name) = path.file_name() else {
            return Ok(None);
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let followed = DIRECTORY.difference(rustix::fs::OFlags::NOFOLLOW);
        let fd = open_at(CWD, parent.as_os_str().as_bytes(), followed).map_err(io::Error::from);
        // So that the entry's path in messages is what the user wrote.
        let shown = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Some((Self::opened(fd, shown)?, name.as_bytes().to_vec())))
    }

    /// Opens a directory in this one; a symlink is an error.
    pub fn open_child(&self, name: &[u8]) -> Result<Self, FileError> {
        let fd = check_name(name).and_then(|()| open_quietly(self.fd.as_fd(), name, DIRECTORY));
        Self::opened(fd, self.child_path(name))
    }

    fn opened(fd: io::Result<OwnedFd>, path: PathBuf) -> Result<Self, FileError> {
        let fd = fd.map_err(|error| FileError::new("open", &path, error))?;
        let stat = stat_open(&fd).map_err(|error| FileError::new("stat", &path, error))?;
        Ok(Self { fd, path, stat })
    }

    /// As the user wrote it, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was opened, as it was then. This one counts, not what its name was when somebody looked before.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// The names of its entries.
    pub fn names(&self) -> Result<Names, FileError> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(0))
            .map_err(io::Error::from)
            .and_then(|_| Names::read(&self.fd))
            .map_err(|error| FileError::new("list", &self.path, error))
    }

    /// What an entry is; the one call that an unchanged file costs.
    pub fn stat_child(&self, name: &[u8]) -> Result<Stat, FileError> {
        check_name(name).and_then(|()| stat_at(self.fd.as_fd(), name)).map_err(|error| self.error("stat", name, error))
    }

    /// Where a symlink points to.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, FileError> {
        check_name(name)
            .and_then(|()| Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?))
            .map(std::ffi::CString::into_bytes)
            .map_err(|error| self.error("read the link", name, error))
    }

    /// Opens the regular file that [`Self::stat_child`] found; anything else in its place is an error and is not waited for.
    pub fn open_file(&self, name: &[u8], expected: &Stat) -> Result<SourceFile, FileError> {
        let fd = check_name(name)
            .and_then(|()| open_quietly(self.fd.as_fd(), name, READ_FILE))
            .map_err(|error| self.error("open", name, error))?;
        SourceFile::verify(fd, self.child_path(name), Some(expected))
    }

    /// The directory's own extended attributes.
    pub fn xattrs(&self) -> XattrList {
        Place::Open(self.fd.as_fd()).read(|| self.path.clone())
    }

    /// Extended attributes of an entry that is not opened: a symlink, a FIFO, a device, a file that may not be read.
    pub fn child_xattrs(&self, name: &[u8]) -> XattrList {
        match check_name(name) {
            Ok(()) => Place::Entry(self.fd.as_fd(), name).read(|| self.child_path(name)),
            Err(error) => XattrList {
                problems: vec![self.error("read an extended attribute of", name, error)],
                ..XattrList::default()
            },
        }
    }

    /// The directory's own inode flags, only those in [`crate::meta::FILE_FLAGS`]; 0 where the file system has none.
    pub fn file_flags(&self) -> Result<u32, FileError> {
        read_flags(self.fd.as_fd()).map_err(|error| FileError::new("read the flags of", &self.path, error))
    }

    /// The path of an entry, for messages.
    pub fn child_path(&self, name: &[u8]) -> PathBuf {
        child_path(&self.path, name)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn error(&self, action: &'static str, name: &[u8], error: impl Into<io::Error>) -> FileError {
        FileError::new(action, self.child_path(name), error)
    }
}
