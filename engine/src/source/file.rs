//! An open regular file of the user: its bytes, its holes, its attributes.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Advice, SeekFrom};
use rustix::io::{Errno, retry_on_intr};

use super::flags::read_flags;
use super::stat::{FileKind, Stat, stat_open};
use super::xattr::{Place, XattrList};
use crate::error::FileError;

/// From this size on the kernel is told that we read from front to back; below, the extra call costs more than it gains.
const ADVISE_FROM: u64 = 1 << 20;

/// A regular file that is open for reading. Shared by all threads: reading names its offset.
#[derive(Debug)]
pub struct SourceFile {
    fd: OwnedFd,
    path: PathBuf,
    opened: Stat,
}

impl SourceFile {
    /// Takes a descriptor that was opened by name, if it is a regular file and the one that was expected.
    pub(super) fn verify(fd: OwnedFd, path: PathBuf, expected: Option<&Stat>) -> Result<Self, FileError> {
        let opened = stat_open(&fd).map_err(|error| FileError::new("stat", &path, error))?;
        if opened.kind != FileKind::File || expected.is_some_and(|expected| !expected.is_same_file(&opened)) {
            return Err(FileError::new("open", &path, io::Error::other("the file changed: another one took its name")));
        }
        if opened.size >= ADVISE_FROM {
            // Only larger read-ahead; nothing depends on it. The cache is never dropped: it may be a live database's.
            let _ = rustix::fs::fadvise(&fd, 0, None, Advice::Sequential);
        }
        Ok(Self { fd, path, opened })
    }

    /// As the user wrote its directory, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was opened, as it was then.
    pub fn opened(&self) -> &Stat {
        &self.opened
    }

    /// What the kernel says of it now: a different ctime or size tells that it changed while it was read.
    pub fn stat(&self) -> Result<Stat, FileError> {
        stat_open(&self.fd).map_err(|error| self.error("stat", error))
    }

    /// Fills the buffer from `offset`; less than its length means that the file ends there.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        read_full(self.fd.as_fd(), buffer, offset).map_err(|error| self.error("read", error))
    }

    /// Where there are data among the first `size` bytes; the rest is holes. Found one by one, so a file with millions
    /// of extents takes no memory. A file without holes is one extent and costs no call.
    pub fn extents(&self, size: u64) -> Extents<'_> {
        Extents { file: self, position: 0, size, dense: !self.opened.may_have_holes() }
    }

    /// Its extended attributes.
    pub fn xattrs(&self) -> XattrList {
        Place::Open(self.fd.as_fd()).read(|| self.path.clone())
    }

    /// Its inode flags, only those in [`crate::meta::FILE_FLAGS`]; 0 where the file system has none.
    pub fn file_flags(&self) -> Result<u32, FileError> {
        read_flags(self.fd.as_fd()).map_err(|error| self.error("read the flags of", error))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn error(&self, action: &'static str, error: impl Into<io::Error>) -> FileError {
        FileError::new(action, &self.path, error)
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_full(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match retry_on_intr(|| rustix::io::pread(file, &mut *rest, offset.saturating_add(filled as u64)))? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Bytes of a file that are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last one.
    pub end: u64,
}

/// The extents of a file in ascending order, never empty ones. See [`SourceFile::extents`].
#[derive(Debug)]
pub struct Extents<'a> {
    file: &'a SourceFile,
    position: u64,
    size: u64,
    dense: bool,
}

impl Extents<'_> {
    fn seek(&self, position: SeekFrom) -> Result<u64, Errno> {
        rustix::fs::seek(&self.file.fd, position)
    }

    /// The next extent at or after the position. Whatever the file system cannot answer counts as data: it is read,
    /// and zeros are recognised later.
    fn find(&mut self) -> io::Result<Option<Extent>> {
        let rest = Extent { start: self.position, end: self.size };
        if self.dense {
            return Ok(Some(rest));
        }
        let start = match self.seek(SeekFrom::Data(self.position)) {
            Ok(start) => start.max(self.position),
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(rest)),
            Err(error) => return Err(error.into()),
        };
        let end = match self.seek(SeekFrom::Hole(start)) {
            Ok(end) if end > start => end.min(self.size),
            // The file was cut, or punched just here, between the two calls: what is left reads as zeros or as its end.
            Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => self.size,
            Err(error) => return Err(error.into()),
        };
        Ok((start < end).then_some(Extent { start, end }))
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.size {
            return None;
        }
        match self.find() {
            Ok(extent) => {
                self.position = extent.map_or(self.size, |extent| extent.end);
                extent.map(Ok)
            }
            Err(error) => {
                self.position = self.size;
                Some(Err(self.file.error("find the holes of", error)))
            }
        }
    }
}
