//! What a PATH argument stands for, and which directories ask to be left out.

use std::path::Path;

use crate::error::FileError;
use crate::ops::create::CreateOptions;
use crate::source::{FileKind, SourceDir, Stat};

type Found<T> = Result<T, FileError>;

/// The directory that holds a PATH argument, the argument's name in it, and what it is.
pub(super) fn open_argument(path: &Path) -> Found<(SourceDir, Vec<u8>, Stat)> {
    let mut found = SourceDir::open_parent(path)?;
    if found.is_none() {
        // `x/..` has no name of its own; what it stands for has.
        let real = std::fs::canonicalize(path).map_err(|error| FileError::new("open", path, error))?;
        found = SourceDir::open_parent(&real)?;
    }
    let root = || {
        FileError::new(
            "open",
            path,
            std::io::Error::other("the root of the file system has no name to be stored under"),
        )
    };
    let (parent, name) = found.ok_or_else(root)?;
    let stat = parent.stat_child(&name)?;
    Ok((parent, name, stat))
}

/// What marks a directory as a cache (bford.info/cachedir).
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Whether a directory is to be left out: one of those to be skipped, or marked by CACHEDIR.TAG or a name of --exclude-if-present.
pub(super) fn is_left_out(options: &CreateOptions, directory: &SourceDir) -> bool {
    let stat = directory.stat();
    if options.skip.contains(&(stat.device, stat.inode)) {
        return true;
    }
    let named = options.exclude_if_present.iter().any(|name| directory.stat_child(name).is_ok());
    named || options.exclude_caches && is_cache(directory).unwrap_or(false)
}

fn is_cache(directory: &SourceDir) -> Found<bool> {
    let name = b"CACHEDIR.TAG";
    let stat = directory.stat_child(name)?;
    let mut first = [0; CACHE_TAG.len()];
    let length =
        if stat.kind == FileKind::File { directory.open_file(name, &stat)?.read_at(&mut first, 0)? } else { 0 };
    Ok(length == CACHE_TAG.len() && first == CACHE_TAG)
}
