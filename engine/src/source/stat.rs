//! What the kernel says of a file, in one call.

use std::io;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use crate::meta::{Stamp, Timestamp};

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket; never archived.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    fn of(raw_mode: u32) -> io::Result<Self> {
        match FileType::from_raw_mode(raw_mode) {
            FileType::RegularFile => Ok(Self::File),
            FileType::Directory => Ok(Self::Directory),
            FileType::Symlink => Ok(Self::Symlink),
            FileType::Fifo => Ok(Self::Fifo),
            FileType::Socket => Ok(Self::Socket),
            FileType::CharacterDevice => Ok(Self::CharDevice),
            FileType::BlockDevice => Ok(Self::BlockDevice),
            FileType::Unknown => Err(io::Error::other(format!("unknown kind of file, mode {raw_mode:o}"))),
        }
    }
}

/// Attributes of one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What kind of file it is.
    pub kind: FileKind,
    /// Permission bits, `0o7777`.
    pub mode: u16,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Time of last status change.
    pub ctime: Timestamp,
    /// Inode number.
    pub inode: u64,
    /// Number of the file system.
    pub device: u64,
    /// How many names the inode has.
    pub links: u32,
    /// Major and minor number, if it is a device.
    pub special: (u32, u32),
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
}

impl Stat {
    /// Whether both are the same inode, as the same kind of file.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode, self.kind) == (other.device, other.inode, other.kind)
    }

    /// Whether fewer bytes are allocated than the size says: there may be holes.
    pub fn may_have_holes(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }

    /// What change detection keeps of it.
    pub fn stamp(&self) -> Stamp {
        #[cfg(debug_assertions)]
        if let Some(stamp) = crate::simulation::stamp(self.mtime) {
            return stamp;
        }
        Stamp { inode: self.inode, ctime: self.ctime }
    }
}

/// The entry `name` of `directory`, itself if it is a symlink.
pub(super) fn stat_at(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Stat> {
    stat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

/// What is open.
pub(super) fn stat_open(file: impl AsFd) -> io::Result<Stat> {
    stat(file.as_fd(), b"", AtFlags::EMPTY_PATH)
}

fn stat(directory: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> io::Result<Stat> {
    match rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS) {
        Ok(found) => Ok(Stat {
            kind: FileKind::of(u32::from(found.stx_mode))?,
            mode: found.stx_mode & 0o7777,
            uid: found.stx_uid,
            gid: found.stx_gid,
            size: found.stx_size,
            mtime: timestamp(&found.stx_mtime),
            ctime: timestamp(&found.stx_ctime),
            inode: found.stx_ino,
            device: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            links: found.stx_nlink,
            special: (found.stx_rdev_major, found.stx_rdev_minor),
            blocks: found.stx_blocks,
        }),
        Err(Errno::NOSYS) => older_stat(directory, name, flags),
        Err(error) => Err(error.into()),
    }
}

fn timestamp(time: &StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}

/// For kernels before 4.11 and sandboxes that do not know statx.
#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_fallible_conversions,
    reason = "the fields' widths differ by architecture"
)]
fn older_stat(directory: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> io::Result<Stat> {
    let found = rustix::fs::statat(directory, name, flags)?;
    let strange = |_| io::Error::other("the kernel reports a number out of range");
    let time =
        |seconds: i64, nanoseconds: u64| Timestamp { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) };
    let raw_mode = u32::from(found.st_mode);
    Ok(Stat {
        kind: FileKind::of(raw_mode)?,
        mode: u16::try_from(raw_mode & 0o7777).map_err(strange)?,
        uid: found.st_uid,
        gid: found.st_gid,
        size: u64::try_from(found.st_size).map_err(strange)?,
        mtime: time(found.st_mtime.into(), found.st_mtime_nsec.into()),
        ctime: time(found.st_ctime.into(), found.st_ctime_nsec.into()),
        inode: found.st_ino.into(),
        device: found.st_dev.into(),
        links: u32::try_from(found.st_nlink).unwrap_or(u32::MAX),
        special: (rustix::fs::major(found.st_rdev.into()), rustix::fs::minor(found.st_rdev.into())),
        blocks: u64::try_from(found.st_blocks).map_err(strange)?,
    })
}
