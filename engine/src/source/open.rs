//! Opening without following a symlink, and without touching the time of last access.

use std::io;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use super::flags::InodeFlags;
use super::stat::{FileKind, stat_open};

/// Bytes of a path that are handed to the kernel at once; it takes 4,095.
const LONGEST_SEGMENT: usize = 4_000;

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

/// Opens a directory below another one, whatever its path's length: no symlink is followed anywhere on the way, and
/// nothing leads out. `path` consists of valid names joined by `/`.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let (first, mut rest) = split_segment(path);
    let mut directory = open_segment(root, first)?;
    while !rest.is_empty() {
        let (segment, after) = split_segment(rest);
        directory = open_segment(directory.as_fd(), segment)?;
        rest = after;
    }
    Ok(directory)
}

/// Cuts off as many leading names as one call of the kernel takes.
fn split_segment(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= LONGEST_SEGMENT {
        return (path, &[]);
    }
    let end = path.get(..LONGEST_SEGMENT).and_then(|head| head.iter().rposition(|byte| *byte == b'/'));
    match end.and_then(|end| path.split_at_checked(end)) {
        Some((segment, rest)) => (segment, rest.strip_prefix(b"/").unwrap_or(rest)),
        None => (path, &[]),
    }
}

fn open_segment(directory: BorrowedFd<'_>, segment: &[u8]) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match open_resolved(directory, segment, resolve) {
        // An older kernel, or a sandbox that filters what it does not know.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(directory, segment),
        other => Ok(other?),
    }
}

/// `openat2` of a directory, undisturbed by signals and by renames elsewhere.
pub(super) fn open_resolved(directory: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat2(directory, path, DIRECTORY, Mode::empty(), resolve))
}

/// The same without `openat2`: one name at a time, none of them followed.
pub(super) fn open_stepwise(directory: BorrowedFd<'_>, segment: &[u8]) -> io::Result<OwnedFd> {
    let mut names = segment.split(|byte| *byte == b'/');
    let mut reached = open_at(directory, names.next().unwrap_or_default(), DIRECTORY)?;
    for name in names {
        reached = open_at(&reached, name, DIRECTORY)?;
    }
    Ok(reached)
}

/// Changes the mode of an entry that cannot or must not be opened. `fchmodat` would follow a symlink that took its name;
/// a descriptor of the entry itself does not.
pub(super) fn change_mode(directory: BorrowedFd<'_>, name: &[u8], change: impl FnOnce(u16) -> u16) -> io::Result<()> {
    let entry = open_at(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
    let stat = stat_open(&entry)?;
    if stat.kind == FileKind::Symlink {
        return Err(Errno::LOOP.into());
    }
    let mode = Mode::from_raw_mode(u32::from(change(stat.mode)));
    Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", entry.as_raw_fd()), mode)?)
}

/// Opens a directory of the target so that its owner can work in it: adds what its mode lacks for that, and takes away the
/// flags immutable and append-only.
pub(super) fn unlock_directory(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    const OWNER: u16 = 0o700;
    let fd = match open_at(directory, name, DIRECTORY) {
        Err(Errno::ACCESS) => {
            change_mode(directory, name, |mode| mode | OWNER)?;
            open_at(directory, name, DIRECTORY)
        }
        other => other,
    }?;
    // Where the flags cannot be read or changed, whatever they forbid will say so itself.
    let _ = InodeFlags::read(fd.as_fd()).and_then(|mut flags| flags.clear_protection());
    let mode = stat_open(&fd)?.mode;
    if mode & OWNER != OWNER {
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(u32::from(mode | OWNER)))?;
    }
    Ok(fd)
}
