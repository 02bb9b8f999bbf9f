//! Small private files of the user, written so that a power cut leaves all of them or nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zeroize::Zeroizing;

/// Makes a new file, mode 0600, durable with its folders. One that exists is an error.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = prepare_folder(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(path).and_then(|mut file| {
        let done = file.write_all(bytes).and_then(|()| file.sync_all());
        if done.is_err() {
            // Half a secret is worse than none: the next run would take it for the whole.
            let _ = fs::remove_file(path);
        }
        done
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(&folder)
}

/// Puts a file in place of whatever is there, mode 0600, durable with its folders.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    // A file of this name is a leftover of a process that is gone.
    let _ = fs::remove_file(&temporary);
    create_private(&temporary, bytes)?;
    fs::rename(&temporary, path).with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(&folder_of(path))
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
fn prepare_folder(path: &Path) -> Result<PathBuf> {
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
    Ok(folder)
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
