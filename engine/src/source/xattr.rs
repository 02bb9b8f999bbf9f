//! Extended attributes of what is open, and of what must not be opened (symlinks, FIFOs, devices).

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::error::FileError;
use crate::meta::Xattr;

/// Most lists and values fit in here, so one call does.
const COMMON_SIZE: usize = 1024;
/// The kernel allows 64 KiB for a list and for a value; should a file system have more, we follow so far.
const LARGEST_SIZE: usize = 16 << 20;

/// Extended attributes as far as they could be read.
#[derive(Debug, Default)]
pub struct XattrList {
    /// Ascending by name.
    pub xattrs: Vec<Xattr>,
    /// What exists and could not be read, one by one; an attribute that was removed meanwhile is not among them.
    pub problems: Vec<FileError>,
}

/// Where attributes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// An entry of an open directory, reached through `/proc/self/fd` because the calls by descriptor need it opened.
    Entry(BorrowedFd<'a>, &'a [u8]),
}

impl Place<'_> {
    fn proc_path(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }

    fn list_into(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(file) => rustix::fs::flistxattr(file, buffer),
            Self::Entry(directory, name) => rustix::fs::llistxattr(Self::proc_path(directory, name), buffer),
        }
    }

    fn value_into(self, attribute: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(file) => rustix::fs::fgetxattr(file, attribute, buffer),
            Self::Entry(directory, name) => rustix::fs::lgetxattr(Self::proc_path(directory, name), attribute, buffer),
        }
    }

    pub(super) fn set(self, attribute: &[u8], value: &[u8]) -> io::Result<()> {
        let flags = XattrFlags::empty();
        Ok(match self {
            Self::Open(file) => rustix::fs::fsetxattr(file, attribute, value, flags),
            Self::Entry(directory, name) => {
                rustix::fs::lsetxattr(Self::proc_path(directory, name), attribute, value, flags)
            }
        }?)
    }

    pub(super) fn remove(self, attribute: &[u8]) -> io::Result<()> {
        match match self {
            Self::Open(file) => rustix::fs::fremovexattr(file, attribute),
            Self::Entry(directory, name) => rustix::fs::lremovexattr(Self::proc_path(directory, name), attribute),
        } {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Names of all attributes, ascending; none where the file system has none.
    fn names(self) -> io::Result<Vec<Vec<u8>>> {
        let list = match read_growing(|buffer| self.list_into(buffer)) {
            Ok(list) => list,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names: Vec<Vec<u8>> =
            list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Reads all attributes; `path` is for messages.
    pub(super) fn read(self, path: impl Fn() -> PathBuf) -> XattrList {
        let mut list = XattrList::default();
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => {
                list.problems.push(FileError::new("list the extended attributes of", path(), error));
                return list;
            }
        };
        for name in names {
            match read_growing(|buffer| self.value_into(&name, buffer)) {
                Ok(value) => list.xattrs.push(Xattr { name, value }),
                // Removed since the listing, or listed by a file system that has no value for it.
                Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(error) => list.problems.push(unreadable(&name, &path(), &error.into())),
            }
        }
        list
    }
}

fn unreadable(name: &[u8], path: &Path, error: &io::Error) -> FileError {
    let source = io::Error::new(error.kind(), format!("{}: {error}", name.escape_ascii()));
    FileError::new("read an extended attribute of", path, source)
}

/// Calls with a small buffer first, then with larger ones until the answer fits.
fn read_growing(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; COMMON_SIZE];
    match call(&mut small) {
        Err(Errno::RANGE) => {}
        answer => return answer.map(|length| small.get(..length).unwrap_or_default().to_vec()),
    }
    for size in [8 << 10, 64 << 10, 1 << 20, LARGEST_SIZE] {
        let mut buffer = vec![0; size];
        match call(&mut buffer) {
            Err(Errno::RANGE) => {}
            answer => {
                buffer.truncate(answer?);
                return Ok(buffer);
            }
        }
    }
    Err(Errno::RANGE)
}
