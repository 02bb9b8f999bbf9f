//! Opening one entry of a directory without following it, and without touching its time of last access.

use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// Flags of every directory that is opened by name.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Flags of every file that is read: a FIFO that took the name of a file must not block us, and a terminal must not become ours.
pub(super) const READ_FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens without changing the time of last access where that is permitted: to root and to the owner.
pub(super) fn open_quietly(directory: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    match open_at(directory, name, flags | OFlags::NOATIME) {
        Err(Errno::PERM) => Ok(open_at(directory, name, flags)?),
        other => Ok(other?),
    }
}

/// `openat` that is not disturbed by signals.
pub(super) fn open_at(directory: impl AsFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(&directory, name, flags, Mode::empty()))
}
