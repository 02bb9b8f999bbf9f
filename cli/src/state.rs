//! What this client remembers of a repository, in the user's state directory, in a folder with the repository's id: `seen`, its newest
//! archives, and `verified`, when which pack was read. Losing them loses no archive; it loses the knowledge that one was there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use vault_engine::id::RepositoryId;
use vault_engine::ops::check::Verified;
use vault_engine::progress::Monitor;
use vault_engine::repository::{Repository, Seen};

use crate::{files, location, render};

/// What was seen of the archives, from when a command begins to when it ends.
#[derive(Debug)]
pub(crate) struct Memory {
    /// `None` where the user has no home.
    path: Option<PathBuf>,
    /// What the file says; `None` if it must be written anew.
    before: Option<Seen>,
}

impl Memory {
    /// Tells a repository what was seen of it before. A file that is damaged is a warning, once.
    pub(crate) fn recall(repository: &Repository, monitor: &dyn Monitor) -> Self {
        let path = location::state_folder(repository.id()).ok().map(|folder| folder.join("seen"));
        let read = path.as_deref().map_or(Ok(None), read);
        let before = match read.map(|bytes| bytes.map_or_else(|| Some(Seen::default()), |bytes| Seen::decode(&bytes))) {
            Ok(Some(seen)) => Some(seen),
            Ok(None) => {
                warn(monitor, path.as_deref(), "is damaged");
                None
            }
            Err(error) => {
                warn(monitor, path.as_deref(), &format!("cannot be read ({error})"));
                None
            }
        };
        repository.recall(before.clone().unwrap_or_default());
        Self { path, before }
    }

    /// Writes what there is to remember, if that has changed.
    pub(crate) fn keep(&self, repository: &Repository) -> Result<()> {
        let seen = repository.seen();
        match &self.path {
            Some(path) if self.before.as_ref() != Some(&seen) => files::replace_private(path, &seen.encode()),
            _ => Ok(()),
        }
    }

    /// The same for a command that compares: if it cannot be written, the next one knows less, which the user should know.
    pub(crate) fn keep_or_warn(&self, repository: &Repository, monitor: &dyn Monitor) {
        if let Err(error) = self.keep(repository) {
            let problem = render::chain(&error);
            monitor.warning(b"", &format!("{problem}; so a rollback of the repository would not be noticed"));
        }
    }
}

fn warn(monitor: &dyn Monitor, path: Option<&Path>, problem: &str) {
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    let message = format!(
        "{path} {problem}: which archives this client has seen is forgotten, so archives that went until now are not missed; it is \
         written anew"
    );
    monitor.warning(b"", &message);
}

/// When which pack was verified; what cannot be read is not known, which costs time only.
pub(crate) fn verified(id: RepositoryId) -> Verified {
    let bytes = verified_path(id).ok().and_then(|path| read(&path).ok().flatten());
    bytes.map(|bytes| Verified::decode(&bytes)).unwrap_or_default()
}

/// Remembers it.
pub(crate) fn keep_verified(id: RepositoryId, verified: &Verified) -> Result<()> {
    files::replace_private(&verified_path(id)?, &verified.encode())
}

fn verified_path(id: RepositoryId) -> Result<PathBuf> {
    Ok(location::state_folder(id)?.join("verified"))
}

/// `None` if there is no such file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
