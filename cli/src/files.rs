//! Small private files of the user, written so that a power cut leaves all of them or nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Makes a new file, mode 0600, durable with its folders. One that exists is an error.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = write_beside(path, bytes)?;
    let named = name_new(&temporary, path);
    if named.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    named.with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(&folder_of(path))
}

/// Puts a file in place of whatever is there, mode 0600, durable with its folders.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = write_beside(path, bytes)?;
    fs::rename(&temporary, path).with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(&folder_of(path))
}

/// The bytes, durable, under another name in the folder, which is made. A secret gets its own name only when it is whole: half of one
/// is worse than none, because the next run would take it for the whole.
fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    prepare_folder(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    // A file of this name is a leftover of a process that is gone.
    let _ = fs::remove_file(&temporary);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(&temporary).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(temporary)
}

/// Renames, but replaces nothing.
fn name_new(temporary: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // Network file systems cannot do it in one step.
        Err(Errno::INVAL | Errno::NOSYS) if path.try_exists()? => Err(Errno::EXIST.into()),
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(temporary, path),
        named => Ok(named?),
    }
}

/// The whole file, wiped when dropped; one longer than `limit` is an error.
pub(crate) fn read_secret(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read_limited(File::open(path)?, limit)
}

/// Everything from a reader, wiped when dropped; more than `limit` bytes is an error.
pub(crate) fn read_limited(reader: impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // The whole capacity at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Makes the folders above a file, mode 0700, and makes their names durable.
fn prepare_folder(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for made in missing {
        sync_folder(&folder_of(made))?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .with_context(|| format!("cannot sync the folder {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_file_is_made_once_with_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/key");
        create_private(&path, b"secret\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create_private(&path, b"other\n").is_err());
        assert_eq!(read_secret(&path, 7).unwrap().as_slice(), b"secret\n");
        assert!(read_secret(&path, 6).is_err());
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn replacing_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        replace_private(&path, b"1").unwrap();
        replace_private(&path, b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
