//! Removing what is in a restore's way, also whole trees of any depth.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, ResolveFlags};
use rustix::io::Errno;

use super::flags::InodeFlags;
use super::name::child_path;
use super::names::Names;
use super::open::{DIRECTORY, READ_FILE, open_at, open_resolved, unlock_directory};
use super::stat::{FileKind, Stat, stat_at, stat_open};
use crate::error::FileError;

/// Removes one entry that is no directory; if it is protected by flags, without them.
pub(super) fn remove_entry(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let remove = || rustix::fs::unlinkat(directory, name, AtFlags::empty());
    match remove() {
        Err(Errno::PERM) if unprotect(directory, name)? => Ok(remove()?),
        other => Ok(other?),
    }
}

/// Takes the flags immutable and append-only from a file or directory; says whether it had one.
pub(super) fn unprotect(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    if !matches!(stat_at(directory, name)?.kind, FileKind::File | FileKind::Directory) {
        return Ok(false);
    }
    let file = open_at(directory, name, READ_FILE)?;
    InodeFlags::read(file.as_fd())?.clear_protection()
}

/// Removes an entry with everything in it, never following a symlink, never entering another mount.
///
/// Depth costs memory for names, not descriptors and not stack: one directory is open at a time. Back up leads `..`, and
/// it must be the very directory that we came from, or else somebody moves directories while we remove them.
pub(super) fn remove_tree(parent: BorrowedFd<'_>, name: &[u8], path: &Path) -> Result<(), FileError> {
    match remove_entry(parent, name) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
        Err(error) => return Err(FileError::new("remove", path, error)),
    }
    let mut descent = Descent::enter(parent, name).map_err(|error| FileError::new("remove", path, error))?;
    descent.remove_all().map_err(|error| FileError::new("remove", descent.position(path), error))?;
    drop(descent);
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(|error| FileError::new("remove", path, error))
}

/// Where the removal stands: the open directory is the last of the levels.
struct Descent {
    open: OwnedFd,
    levels: Vec<Level>,
}

struct Level {
    name: Vec<u8>,
    stat: Stat,
    remaining: Names,
}

impl Descent {
    fn enter(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Self> {
        let (open, level) = enter(parent, name)?;
        Ok(Self { open, levels: vec![level] })
    }

    /// Removes everything in the first level.
    fn remove_all(&mut self) -> io::Result<()> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(name) = level.remaining.pop() {
                self.remove_or_enter(&name)?;
            } else if self.levels.len() == 1 {
                return Ok(());
            } else {
                self.leave()?;
            }
        }
        Ok(())
    }

    fn remove_or_enter(&mut self, name: &[u8]) -> io::Result<()> {
        match remove_entry(self.open.as_fd(), name) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                let (open, level) = enter(self.open.as_fd(), name)?;
                self.open = open;
                self.levels.push(level);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Goes back up and removes the directory that is empty now.
    fn leave(&mut self) -> io::Result<()> {
        let up = open_at(&self.open, b"..", DIRECTORY)?;
        let stat = stat_open(&up)?;
        let Some(emptied) = self.levels.pop() else {
            return Ok(());
        };
        if !self.levels.last().is_some_and(|level| level.stat.is_same_file(&stat)) {
            return Err(io::Error::other("the directory was moved while it was removed"));
        }
        self.open = up;
        Ok(rustix::fs::unlinkat(&self.open, &emptied.name, AtFlags::REMOVEDIR)?)
    }

    /// The path of the open directory, for a message.
    fn position(&self, path: &Path) -> PathBuf {
        self.levels.iter().skip(1).fold(path.to_owned(), |path, level| child_path(&path, &level.name))
    }
}

fn enter(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<(OwnedFd, Level)> {
    refuse_mount(parent, name)?;
    let open = unlock_directory(parent, name)?;
    let stat = stat_open(&open)?;
    if stat.device != stat_open(parent)?.device {
        return Err(mounted());
    }
    let remaining = Names::read(&open)?;
    Ok((open, Level { name: name.to_vec(), stat, remaining }))
}

/// Asks the kernel, which also knows of directories of the same file system that are mounted here. Kernels without the
/// question leave it to the comparison of device numbers.
fn refuse_mount(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match open_resolved(parent, name, ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS) {
        Err(Errno::XDEV) => Err(mounted()),
        _ => Ok(()),
    }
}

fn mounted() -> io::Error {
    io::Error::new(io::ErrorKind::CrossesDevices, "another file system is mounted here")
}
