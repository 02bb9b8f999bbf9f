//! A regular file that a restore writes, at any offset, by any number of threads.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};

use super::file::read_full;
use super::flags::InodeFlags;
use super::stat::{Stat, stat_open};
use crate::error::FileError;

/// What is written at once where zeros cannot be had otherwise.
static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// An open file of the target.
#[derive(Debug)]
pub struct TargetFile {
    fd: OwnedFd,
    path: PathBuf,
}

impl TargetFile {
    pub(super) fn new(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the kernel says of it now.
    pub fn stat(&self) -> Result<Stat, FileError> {
        stat_open(&self.fd).map_err(|error| self.error("stat", error))
    }

    /// Sets those inode flags that decide how content is stored (no copy-on-write, compressed), before any is written.
    /// What cannot be set now is reported when all attributes are applied.
    pub fn prepare(&self, file_flags: u32) {
        if let Ok(mut flags) = InodeFlags::read(self.fd.as_fd()) {
            let _ = flags.set_storage(file_flags);
        }
    }

    /// Fills the buffer from `offset`; less than its length means that the file ends there.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        read_full(self.fd.as_fd(), buffer, offset).map_err(|error| self.error("read", error))
    }

    /// Writes all of the buffer.
    pub fn write_at(&self, buffer: &[u8], offset: u64) -> Result<(), FileError> {
        self.write_full(buffer, offset).map_err(|error| self.error("write", error))
    }

    fn write_full(&self, mut buffer: &[u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = retry_on_intr(|| rustix::io::pwrite(&self.fd, buffer, offset))?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            buffer = buffer.get(count..).unwrap_or_default();
            offset = offset.saturating_add(count as u64);
        }
        Ok(())
    }

    /// Cuts the file or lets it grow; what it grows by is a hole.
    pub fn set_length(&self, length: u64) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::ftruncate(&self.fd, length))
            .map_err(|error| self.error("set the length of", error))
    }

    /// Makes a range allocated zeros, whatever it was. `among_holes` says whether the file has holes as well: then the
    /// zeros are really written, because a range that is only reserved counts as a hole for whoever looks for holes,
    /// and an archive of what was restored must be the same again. In a file without holes nobody looks.
    pub fn allocate_zeros(&self, offset: u64, length: u64, among_holes: bool) -> Result<(), FileError> {
        if length == 0 || (!among_holes && self.reserve_zeros(offset, length)?) {
            return Ok(());
        }
        let end = offset.saturating_add(length);
        let mut position = offset;
        while position < end {
            let count = usize::try_from(end - position).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write_at(ZEROS.get(..count).unwrap_or_default(), position)?;
            position += count as u64;
        }
        Ok(())
    }

    /// Whether the file system can do it without writing.
    fn reserve_zeros(&self, offset: u64, length: u64) -> Result<bool, FileError> {
        match retry_on_intr(|| rustix::fs::fallocate(&self.fd, FallocateFlags::ZERO_RANGE, offset, length)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => Ok(false),
            Err(error) => Err(self.error("allocate", error)),
        }
    }

    /// Makes content and attributes durable.
    pub fn sync(&self) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::fsync(&self.fd)).map_err(|error| self.error("sync", error))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn error(&self, action: &'static str, error: impl Into<io::Error>) -> FileError {
        FileError::new(action, &self.path, error)
    }
}
