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
    Ok(all_flags(file)?.unwrap_or(0) & FILE_FLAGS)
}

/// Every flag, `None` where the file system has none.
fn all_flags(file: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    match ioctl_getflags(file) {
        Ok(flags) => Ok(Some(flags.bits())),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sets the flags that decide how content is stored, before any is written. Best effort: what is missing is set, or reported,
/// with the other attributes.
pub(super) fn prepare_storage(file: BorrowedFd<'_>, wanted: u32) {
    if wanted & STORAGE != 0 {
        let _ = change_flags(file, STORAGE, wanted & STORAGE);
    }
}

/// Takes away what forbids changing the file; says whether there was anything.
pub(super) fn clear_protection(file: BorrowedFd<'_>) -> io::Result<bool> {
    let protected = all_flags(file)?.unwrap_or(0) & PROTECTION != 0;
    if protected {
        change_flags(file, PROTECTION, 0)?;
    }
    Ok(protected)
}

/// Sets all flags that do not forbid the changes that are still to come.
pub(super) fn set_ordinary(file: BorrowedFd<'_>, wanted: u32) -> io::Result<()> {
    change_flags(file, FILE_FLAGS & !PROTECTION, wanted & !PROTECTION)
}

/// Sets the flags that forbid changes, the last thing that is done to a file.
pub(super) fn set_protection(file: BorrowedFd<'_>, wanted: u32) -> io::Result<()> {
    change_flags(file, PROTECTION, wanted & PROTECTION)
}

/// Makes the flags among `mask` those in `wanted`. Where the file system refuses them together, each alone is tried: one that
/// it does not know must not cost the others.
fn change_flags(file: BorrowedFd<'_>, mask: u32, wanted: u32) -> io::Result<()> {
    let Some(current) = all_flags(file)? else {
        return if wanted == 0 { Ok(()) } else { Err(Errno::OPNOTSUPP.into()) };
    };
    let set = |flags: u32| ioctl_setflags(file, IFlags::from_bits_retain(flags));
    let goal = (current & !mask) | (wanted & mask);
    if goal == current || set(goal).is_ok() {
        return Ok(());
    }
    let mut reached = current;
    let mut result = Ok(());
    for bit in (0..u32::BITS).map(|shift| 1 << shift).filter(|bit| (goal ^ current) & bit != 0) {
        match set(reached ^ bit) {
            Ok(()) => reached ^= bit,
            Err(error) => result = Err(error.into()),
        }
    }
    result
}
