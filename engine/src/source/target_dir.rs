//! An open directory of a restore's target: every operation names one entry of it and follows nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev, mknodat};
use rustix::io::Errno;

use super::flags::InodeFlags;
use super::name::{check_name, child_path};
use super::names::Names;
use super::open::{DIRECTORY, READ_FILE, open_at, open_quietly, unlock_directory};
use super::remove::{remove_entry, remove_tree, unprotect};
use super::stat::{FileKind, Stat, stat_at, stat_open};
use super::target::OpenDirectories;
use super::target_file::TargetFile;
use crate::error::FileError;

/// Until the attributes are applied, what is created is nobody else's.
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;

/// A directory at or below the root of a [`super::Target`]. Shared by all threads.
#[derive(Debug)]
pub struct TargetDir {
    fd: OwnedFd,
    path: PathBuf,
    open: Arc<OpenDirectories>,
}

impl TargetDir {
    pub(super) fn new(fd: OwnedFd, path: PathBuf, open: Arc<OpenDirectories>) -> Self {
        Self { fd, path, open }
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages.
    pub fn child_path(&self, name: &[u8]) -> PathBuf {
        child_path(&self.path, name)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Does something with one entry, if its name is one, and attaches the path to what goes wrong.
    fn with<T>(
        &self,
        action: &'static str,
        name: &[u8],
        act: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, FileError> {
        check_name(name)
            .and_then(|()| act(self.fd.as_fd()))
            .map_err(|error| FileError::new(action, self.child_path(name), error))
    }

    /// What an entry is, if there is one.
    pub fn stat(&self, name: &[u8]) -> Result<Option<Stat>, FileError> {
        self.with("stat", name, |directory| existing(stat_at(directory, name)))
    }

    /// The names of all entries.
    pub fn names(&self) -> Result<Names, FileError> {
        // A descriptor of its own: other threads may list through this one at the same time.
        open_at(&self.fd, b".", DIRECTORY)
            .map_err(io::Error::from)
            .and_then(Names::read)
            .map_err(|error| FileError::new("list", &self.path, error))
    }

    /// Makes sure that `name` is a directory, and says whether it was created, which leaves it private. Anything else
    /// that has the name is removed if `replace`, and is an error otherwise.
    pub fn make_directory(&self, name: &[u8], replace: bool) -> Result<bool, FileError> {
        self.with("create the directory", name, |directory| {
            let create = || rustix::fs::mkdirat(directory, name, PRIVATE_DIRECTORY);
            match create() {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) if is_directory(directory, name)? => Ok(false),
                Err(Errno::EXIST) if replace => {
                    remove_entry(directory, name)?;
                    create()?;
                    Ok(true)
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Lets the owner work in an existing directory that is to be restored: adds read, write and search permission, and
    /// takes away the flags immutable and append-only. Its real attributes are applied when all in it is done.
    pub fn unlock_directory(&self, name: &[u8]) -> Result<(), FileError> {
        self.with("unlock the directory", name, |directory| unlock_directory(directory, name).map(drop))
    }

    /// Creates a private file; an error if there is anything of this name.
    pub fn create_file(&self, name: &[u8]) -> Result<TargetFile, FileError> {
        let fd = self.with("create", name, |directory| create_file(directory, name))?;
        Ok(TargetFile::new(fd, self.child_path(name)))
    }

    /// Creates a private file under a name that nobody uses, to take the place of `name` by [`Self::rename_over`].
    pub fn create_beside(&self, name: &[u8]) -> Result<(Vec<u8>, TargetFile), FileError> {
        self.with("create a temporary file for", name, |directory| {
            loop {
                let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
                let temporary = format!(".vault-{random:016x}.tmp").into_bytes();
                match create_file(directory, &temporary) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                    Ok(fd) => return Ok((temporary, TargetFile::new(fd, self.child_path(name)))),
                }
            }
        })
    }

    /// Gives the temporary file its name; what had it, is gone at once, unless it is a directory, which is an error.
    pub fn rename_over(&self, temporary: &[u8], name: &[u8]) -> Result<(), FileError> {
        self.with("replace", name, |directory| {
            check_name(temporary)?;
            let rename = || rustix::fs::renameat(directory, temporary, directory, name);
            match rename() {
                Err(Errno::PERM) if unprotect(directory, name)? => Ok(rename()?),
                other => Ok(other?),
            }
        })
    }

    /// Opens an existing regular file for reading, to compare it or to apply attributes.
    pub fn open_file(&self, name: &[u8]) -> Result<TargetFile, FileError> {
        self.open_existing(name, READ_FILE)
    }

    /// Opens an existing regular file for reading and writing in place: its other hard links change with it.
    pub fn open_file_for_update(&self, name: &[u8]) -> Result<TargetFile, FileError> {
        self.open_existing(name, READ_FILE.union(OFlags::RDWR))
    }

    fn open_existing(&self, name: &[u8], flags: OFlags) -> Result<TargetFile, FileError> {
        let fd = self.with("open", name, |directory| {
            let fd = open_quietly(directory, name, flags)?;
            match stat_open(&fd)?.kind {
                FileKind::File => Ok(fd),
                _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
            }
        })?;
        Ok(TargetFile::new(fd, self.child_path(name)))
    }

    /// Creates a symbolic link.
    pub fn symlink(&self, target: &[u8], name: &[u8]) -> Result<(), FileError> {
        self.with("create the symlink", name, |directory| Ok(rustix::fs::symlinkat(target, directory, name)?))
    }

    /// Creates a private named pipe.
    pub fn fifo(&self, name: &[u8]) -> Result<(), FileError> {
        self.with("create the fifo", name, |directory| Ok(mknodat(directory, name, FileType::Fifo, PRIVATE_FILE, 0)?))
    }

    /// Creates a private device; only root may.
    pub fn device(&self, name: &[u8], kind: FileKind, major: u32, minor: u32) -> Result<(), FileError> {
        self.with("create the device", name, |directory| {
            let file_type = match kind {
                FileKind::CharDevice => FileType::CharacterDevice,
                FileKind::BlockDevice => FileType::BlockDevice,
                _ => {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a kind of device"));
                }
            };
            Ok(mknodat(directory, name, file_type, PRIVATE_FILE, makedev(major, minor))?)
        })
    }

    /// Gives a file one more name, `name` in this directory. A symlink or directory as origin is refused. (Should a symlink
    /// take the origin's name after we looked, we make a second name of the symlink itself, which nobody here follows.)
    pub fn hard_link(&self, from: &Self, from_name: &[u8], name: &[u8]) -> Result<(), FileError> {
        self.with("create the hard link", name, |directory| {
            check_name(from_name)?;
            if matches!(stat_at(from.as_fd(), from_name)?.kind, FileKind::Symlink | FileKind::Directory) {
                let problem = format!("{} is a symlink or directory", from.child_path(from_name).display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
            let link = || rustix::fs::linkat(from.as_fd(), from_name, directory, name, AtFlags::empty());
            match link() {
                // Immutable and append-only files get no more names.
                Err(Errno::PERM) => without_protection(from.as_fd(), from_name, link),
                other => Ok(other?),
            }
        })
    }

    /// Removes an entry that is no directory. That there is none is fine.
    pub fn remove(&self, name: &[u8]) -> Result<(), FileError> {
        self.with("remove", name, |directory| existing(remove_entry(directory, name)).map(drop))
    }

    /// Removes an entry with everything in it. Symlinks are removed, not followed; where another file system is mounted, it
    /// stops with an error. That there is no such entry is fine.
    pub fn remove_tree(&self, name: &[u8]) -> Result<(), FileError> {
        let path = self.child_path(name);
        check_name(name).map_err(|error| FileError::new("remove", &path, error))?;
        self.open.forget();
        let removed = remove_tree(self.fd.as_fd(), name, &path);
        self.open.forget();
        removed
    }
}

/// `None` for what does not exist.
fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tries again without the flags immutable and append-only of a file, and gives them back.
fn without_protection(
    directory: BorrowedFd<'_>,
    name: &[u8],
    retry: impl Fn() -> rustix::io::Result<()>,
) -> io::Result<()> {
    let file = open_at(directory, name, READ_FILE)?;
    let mut flags = InodeFlags::read(file.as_fd())?;
    let protection = flags.protection();
    if !flags.clear_protection()? {
        return Err(Errno::PERM.into());
    }
    let done = retry();
    flags.set_protection(protection)?;
    Ok(done?)
}

fn is_directory(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    Ok(stat_at(directory, name)?.kind == FileKind::Directory)
}

fn create_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, PRIVATE_FILE)?)
}
