//! Names of directory entries: which ones are possible, and how a message shows them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest name that an archive holds and that Linux's own file systems know; vfat, ntfs and cifs may list longer ones.
pub const MAX_NAME: usize = 255;

/// Whether this is the name of one entry of a directory and nothing else: no path, not `.` or `..`.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Refuses what is no name. Archives are hostile until proven otherwise: each operation asks again.
pub(super) fn check_name(name: &[u8]) -> io::Result<()> {
    if is_valid_name(name) {
        Ok(())
    } else {
        let problem = format!("'{}' is not a file name", name.escape_ascii());
        Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
    }
}

/// The full path of an entry, for messages only.
pub(super) fn child_path(directory: &Path, name: &[u8]) -> PathBuf {
    directory.join(OsStr::from_bytes(name))
}
