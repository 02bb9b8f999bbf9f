//! When "same inode, same ctime" means "unchanged", and when it does not yet.
//!
//! A stamp is only worth recording if every change after our reading will show as another ctime. Three things hide one:
//!
//! - **The clock's tick.** File systems take times from a clock that stands still for up to 10 ms. A change within the
//!   tick of the recorded ctime leaves it as it is. So ctime must be older than one tick before the reading began.
//!   Network file systems count in coarser steps (vfat: 2 s), and by another host's clock, which nobody here can check.
//! - **Dirty pages.** A store through a shared mapping sets ctime when it makes a clean page dirty, by a page fault; the
//!   page then stays writable, and further stores show nowhere. Write-back protects it again, and the next store faults
//!   again. Write-back takes a page that has been dirty for `dirty_expire_centisecs` (30 s), looking every
//!   `dirty_writeback_centisecs` (5 s). So a ctime older than 120 s says that no page is writable in silence; longer if
//!   these settings ask for longer, never if periodic write-back is off. (They tell when write-back begins: a disk
//!   that is minutes behind defeats the rule, and Linux has no question whose answer would be better.)
//!   Otherwise a read lease says it: it is granted exactly when nobody has the file open or mapped for writing, and
//!   who maps it later starts with protected pages.
//! - **File systems in memory** have no write-back and take no fault on a page that was mapped by reading it: a store
//!   through a mapping never changes ctime, at no time (measured on tmpfs). A lease tells of now, not of tomorrow, so
//!   the content of their files is never believed to be unchanged. It is read at the speed of memory.
//!
//! On overlayfs a lease proves nothing: a mapping whose descriptor was closed holds the file beneath open, and the lease
//! that is asked for above is granted all the same (measured). The same holds for whatever a FUSE or network server does
//! to its files. There only age counts.
//!
//! Directories, symlinks and special files are changed by calls alone and need only the rule of the tick.

use std::collections::HashMap;
use std::io;
use std::sync::{OnceLock, PoisonError, RwLock};

use rustix::fd::AsFd;

use super::file::SourceFile;
use super::read::SourceDir;
use super::stat::Stat;
use crate::error::FileError;
use crate::meta::Timestamp;
use crate::sys::has_no_writer;

const MILLISECOND: i128 = 1_000_000;
const SECOND: i128 = 1_000 * MILLISECOND;
/// Twice the longest tick of a Linux kernel (`CONFIG_HZ=100`).
const LOCAL_TICK: i128 = 20 * MILLISECOND;
/// The coarsest times in use.
const FOREIGN_TICK: i128 = 2 * SECOND;
/// More than three times what write-back takes by default.
const SETTLED: i128 = 120 * SECOND;

/// Classes of file systems that change detection tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileSystemKind {
    /// A local disk.
    Disk,
    /// Layers over other file systems: overlayfs.
    Layered,
    /// tmpfs and ramfs.
    Memory,
    /// Network, FUSE, vfat and whatever else there is.
    Other,
}

impl FileSystemKind {
    /// By the magic number of `fstatfs`.
    fn of(file: impl AsFd) -> io::Result<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a magic number is 32 bits in a word of any width"
        )]
        let magic = rustix::fs::fstatfs(file)?.f_type as u32;
        Ok(match magic {
            // ext2, ext3 and ext4; xfs; btrfs; f2fs; zfs; bcachefs.
            0xEF53 | 0x5846_5342 | 0x9123_683E | 0xF2F5_2010 | 0x2FC1_2FC1 | 0xCA45_1A4E => Self::Disk,
            0x794C_7630 => Self::Layered,
            // tmpfs, ramfs.
            0x0102_1994 | 0x8584_58F6 => Self::Memory,
            _ => Self::Other,
        })
    }
}

/// What may be believed on one file system.
#[derive(Clone, Copy, Debug)]
pub struct FileSystemTrust {
    kind: FileSystemKind,
    /// Age of ctime from which no page is dirty any more, `None` if it never is.
    settled: Option<i128>,
}

impl FileSystemTrust {
    fn of(file: impl AsFd) -> io::Result<Self> {
        static SETTLED_AFTER: OnceLock<Option<i128>> = OnceLock::new();
        Ok(Self { kind: FileSystemKind::of(file)?, settled: *SETTLED_AFTER.get_or_init(write_back_age) })
    }

    /// What may be believed of the file system that this file is on. Never remembered by its device number: a file on
    /// overlayfs may bear the number of the disk beneath.
    pub fn of_file(file: &SourceFile) -> Result<Self, FileError> {
        Self::of(file.as_fd()).map_err(|error| FileError::new("stat the file system of", file.path(), error))
    }

    /// Which class it is.
    pub fn kind(&self) -> FileSystemKind {
        self.kind
    }

    /// Whether a later change of this directory, symlink or special file will show as another ctime. `before` was taken,
    /// and [`crate::clock::file_system_now`] asked, before it was read.
    pub fn believes(&self, before: &Stat, reading_began: Timestamp) -> bool {
        #[cfg(debug_assertions)]
        if crate::simulation::is_running() {
            return true;
        }
        let tick = match self.kind {
            FileSystemKind::Disk | FileSystemKind::Layered | FileSystemKind::Memory => LOCAL_TICK,
            FileSystemKind::Other => FOREIGN_TICK,
        };
        age(before, reading_began) > tick
    }

    /// Whether a later change of this file's content will show as another ctime. To be asked when it has been read.
    pub fn believes_content(&self, before: &Stat, reading_began: Timestamp, file: &SourceFile) -> bool {
        #[cfg(debug_assertions)]
        if crate::simulation::is_running() {
            return true;
        }
        let settled = || self.settled.is_some_and(|settled| age(before, reading_began) > settled);
        self.believes(before, reading_began)
            && match self.kind {
                FileSystemKind::Disk => settled() || has_no_writer(file.as_fd()),
                FileSystemKind::Layered | FileSystemKind::Other => settled(),
                FileSystemKind::Memory => false,
            }
    }
}

fn age(stat: &Stat, now: Timestamp) -> i128 {
    let nanoseconds = |time: Timestamp| i128::from(time.seconds) * SECOND + i128::from(time.nanoseconds);
    nanoseconds(now) - nanoseconds(stat.ctime)
}

/// After how long this host has surely begun to write a dirty page back.
fn write_back_age() -> Option<i128> {
    let setting = |name: &str| -> Option<i128> {
        let text = std::fs::read_to_string(format!("/proc/sys/vm/{name}")).ok()?;
        Some(i128::from(text.trim().parse::<u32>().ok()?) * 10 * MILLISECOND)
    };
    settled_after(setting("dirty_expire_centisecs"), setting("dirty_writeback_centisecs"))
}

fn settled_after(expire: Option<i128>, interval: Option<i128>) -> Option<i128> {
    match (expire, interval) {
        (_, Some(0)) => None,
        (Some(expire), Some(interval)) => Some(SETTLED.max(3 * (expire + interval))),
        _ => Some(SETTLED),
    }
}

/// The file systems of directories that were met so far, by device number. Shared by all threads.
#[derive(Debug, Default)]
pub struct FileSystems(RwLock<HashMap<u64, FileSystemTrust>>);

impl FileSystems {
    /// With none met yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What may be believed of the file system that this directory is on.
    pub fn of_directory(&self, directory: &SourceDir) -> Result<FileSystemTrust, FileError> {
        self.find(directory.stat().device, || FileSystemTrust::of(directory.as_fd()))
            .map_err(|error| FileError::new("stat the file system of", directory.path(), error))
    }

    fn find(&self, device: u64, ask: impl FnOnce() -> io::Result<FileSystemTrust>) -> io::Result<FileSystemTrust> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&device).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = ask()?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(device, found);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_host_only_lengthen_the_wait() {
        assert_eq!(settled_after(Some(30 * SECOND), Some(5 * SECOND)), Some(SETTLED));
        assert_eq!(settled_after(Some(100 * SECOND), Some(50 * SECOND)), Some(450 * SECOND));
        assert_eq!(settled_after(None, None), Some(SETTLED));
        assert_eq!(settled_after(Some(30 * SECOND), Some(0)), None);
    }
}
