//! Inode flags (`chattr`), of which file systems know more or fewer.

use std::io;

use rustix::fd::BorrowedFd;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

use crate::meta::FILE_FLAGS;

/// Flags that forbid every further change.
const PROTECTION: u32 = IFlags::IMMUTABLE.bits() | IFlags::APPEND.bits();
/// Flags that only act on what is written after they were set.
const STORAGE: u32 = IFlags::NOCOW.bits() | IFlags::COMPRESSED.bits();

/// The flags that a user sets; none where the file system has none.
pub(super) fn read_flags(file: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(InodeFlags::read(file)?.current.unwrap_or(0) & FILE_FLAGS)
}

/// The flags of one open inode, read once and changed step by step.
#[derive(Debug)]
pub(super) struct InodeFlags<'a> {
    file: BorrowedFd<'a>,
    /// All of them, the file system's own as well; `None` where there are none.
    current: Option<u32>,
}

impl<'a> InodeFlags<'a> {
    pub(super) fn read(file: BorrowedFd<'a>) -> io::Result<Self> {
        let current = match ioctl_getflags(file) {
            Ok(flags) => Some(flags.bits()),
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, current })
    }

    /// Those that forbid changing the file.
    pub(super) fn protection(&self) -> u32 {
        self.current.unwrap_or(0) & PROTECTION
    }

    /// Takes away what forbids changing the file; says whether there was anything.
    pub(super) fn clear_protection(&mut self) -> io::Result<bool> {
        let protected = self.protection() != 0;
        self.change(PROTECTION, 0)?;
        Ok(protected)
    }

    /// Sets those flags that decide how content is stored, before any is written.
    pub(super) fn set_storage(&mut self, wanted: u32) -> io::Result<()> {
        self.change(STORAGE, wanted & STORAGE)
    }

    /// Sets all flags that do not forbid the changes that are still to come.
    pub(super) fn set_ordinary(&mut self, wanted: u32) -> io::Result<()> {
        self.change(FILE_FLAGS & !PROTECTION, wanted & !PROTECTION)
    }

    /// Sets the flags that forbid changes, the last thing that is done to a file.
    pub(super) fn set_protection(&mut self, wanted: u32) -> io::Result<()> {
        self.change(PROTECTION, wanted & PROTECTION)
    }

    /// Makes the flags among `mask` those in `wanted`. Where the file system refuses them together, each alone is tried:
    /// one that it does not know must not cost the others.
    fn change(&mut self, mask: u32, wanted: u32) -> io::Result<()> {
        let Some(current) = self.current else {
            return if wanted == 0 { Ok(()) } else { Err(Errno::OPNOTSUPP.into()) };
        };
        let goal = (current & !mask) | (wanted & mask);
        if goal == current || self.set(goal).is_ok() {
            return Ok(());
        }
        let mut result = Ok(());
        for bit in (0..u32::BITS).map(|shift| 1 << shift).filter(|bit| (goal ^ current) & bit != 0) {
            let reached = self.current.unwrap_or(current);
            if let Err(error) = self.set(reached ^ bit) {
                result = Err(error);
            }
        }
        result
    }

    fn set(&mut self, flags: u32) -> io::Result<()> {
        ioctl_setflags(self.file, IFlags::from_bits_retain(flags))?;
        self.current = Some(flags);
        Ok(())
    }
}
