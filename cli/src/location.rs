//! Where things lie: the repository, and the folders of the user for its key, its cache and this host's id.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::{Uid, User};
use vault_engine::id::{RepositoryId, hex, unhex};

use crate::exit::usage;
use crate::files;

/// The repository that a command works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its folder.
    pub(crate) path: PathBuf,
    /// Whether nothing named it, so that it is the user's default repository.
    pub(crate) embedded: bool,
}

impl Place {
    /// From `-r` and the part before `::`, else `VAULT_REPO`, else the embedded default.
    pub(crate) fn resolve(option: Option<&OsStr>, prefix: Option<&OsStr>) -> Result<Self> {
        let prefix = prefix.filter(|text| !text.is_empty());
        let named = match (option, prefix) {
            (Some(option), Some(prefix)) if option != prefix => {
                return Err(usage("the repository is named twice, by -r and before ::"));
            }
            (Some(path), _) | (None, Some(path)) => Some(path.to_owned()),
            (None, None) => env_text("VAULT_REPO"),
        };
        match named {
            Some(text) => Self::named(&text),
            None => Ok(Self { path: user_folder("XDG_DATA_HOME", ".local/share")?.join("repository"), embedded: true }),
        }
    }

    /// A place that the user named.
    pub(crate) fn named(text: &OsStr) -> Result<Self> {
        if text.is_empty() {
            return Err(usage("the repository's name is empty"));
        }
        if text.as_bytes().windows(3).any(|window| window == b"://") {
            return Err(usage(format!("{}: only folders can be repositories in this version", text.display())));
        }
        Ok(Self { path: PathBuf::from(text), embedded: false })
    }

    /// The key file of the embedded default.
    pub(crate) fn default_key_file(&self) -> Result<Option<PathBuf>> {
        if !self.embedded {
            return Ok(None);
        }
        Ok(Some(user_folder("XDG_CONFIG_HOME", ".config")?.join("default.key")))
    }
}

/// Splits `REPO::NAME` at its last `::`; without one there is no REPO.
pub(crate) fn split_address(text: &OsStr) -> (Option<&OsStr>, &OsStr) {
    let bytes = text.as_bytes();
    match bytes.windows(2).rposition(|window| window == b"::") {
        Some(at) => {
            let (repository, rest) = bytes.split_at(at);
            (Some(OsStr::from_bytes(repository)), OsStr::from_bytes(rest.strip_prefix(b"::").unwrap_or(rest)))
        }
        None => (None, text),
    }
}

/// An environment variable; set to nothing counts as not set.
pub(crate) fn env_text(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|text| !text.is_empty())
}

/// Where the local index of a repository is kept; `None` where the user has no home.
pub(crate) fn cache_folder(id: RepositoryId) -> Option<PathBuf> {
    Some(user_folder("XDG_CACHE_HOME", ".cache").ok()?.join(id.to_hex()))
}

/// Where this client keeps what it remembers of a repository.
pub(crate) fn state_folder(id: RepositoryId) -> Result<PathBuf> {
    Ok(user_folder("XDG_STATE_HOME", ".local/state")?.join(id.to_hex()))
}

/// This host's id, made on first use. Archives of one host are ordered by it, so it should outlive the run.
pub(crate) fn host_id() -> Result<[u8; 16]> {
    let path = user_folder("XDG_STATE_HOME", ".local/state")?.join("host-id");
    if let Some(id) = read_host_id(&path)? {
        return Ok(id);
    }
    let id: [u8; 16] = random()?;
    files::replace_private(&path, format!("{}\n", hex(&id)).as_bytes())
        .context("archives need this host's id: set XDG_STATE_HOME to a folder that can be written and is kept")?;
    // Two first runs at once: whoever renamed last is right for both.
    Ok(read_host_id(&path)?.unwrap_or(id))
}

/// The id if there is one already: for commands that write no archive.
pub(crate) fn known_host_id() -> [u8; 16] {
    let path = user_folder("XDG_STATE_HOME", ".local/state").map(|folder| folder.join("host-id"));
    path.and_then(|path| read_host_id(&path)).ok().flatten().unwrap_or_default()
}

/// `None` also for a file that is damaged: an id is cheap to make anew.
fn read_host_id(path: &Path) -> Result<Option<[u8; 16]>> {
    match fs::read(path) {
        Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().and_then(|text| unhex(text.trim_end()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Bytes from the system's random source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(bytes)
}

/// `vault` below one of the user's base directories; relative values are ignored, as the XDG specification says.
fn user_folder(variable: &str, below_home: &str) -> Result<PathBuf> {
    let base = match env_text(variable).map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(base) => base,
        None => home()?.join(below_home),
    };
    Ok(base.join("vault"))
}

fn home() -> Result<PathBuf> {
    let named = env_text("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let known = || User::from_uid(Uid::effective()).ok().flatten().map(|user| user.dir);
    named.or_else(known).ok_or_else(|| usage("the user has no home directory: set HOME, or -r REPO and XDG_STATE_HOME"))
}

/// The user's name, or the number where there is none.
pub(crate) fn user_name() -> String {
    let uid = Uid::effective();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// The host label: as given, else `VAULT_HOSTNAME`, else the machine's name.
pub(crate) fn host_label(option: Option<&str>) -> Result<String> {
    let label = match (option, env_text("VAULT_HOSTNAME")) {
        (Some(label), _) => label.to_owned(),
        (None, Some(label)) => label.into_string().map_err(|_| usage("VAULT_HOSTNAME is not UTF-8"))?,
        (None, None) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    crate::name::check_host(&label)?;
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn split(text: &str, repository: Option<&str>, rest: &str) {
        assert_eq!(split_address(OsStr::new(text)), (repository.map(OsStr::new), OsStr::new(rest)));
    }

    #[test]
    fn an_address_is_split_at_its_last_colons() {
        split("db", None, "db");
        split("/srv/r::db", Some("/srv/r"), "db");
        split("::db", Some(""), "db");
        split("/srv/r::", Some("/srv/r"), "");
        split("/srv/a::b::db", Some("/srv/a::b"), "db");
    }

    #[test]
    fn a_repository_is_named_once() {
        let place = Place::resolve(Some(OsStr::new("/a")), Some(OsStr::new("/a"))).unwrap();
        assert_eq!(place, Place { path: "/a".into(), embedded: false });
        assert!(Place::resolve(Some(OsStr::new("/a")), Some(OsStr::new("/b"))).is_err());
        assert!(Place::resolve(Some(OsStr::new("/a")), Some(OsStr::new(""))).is_ok());
        assert!(Place::resolve(Some(OsStr::new("s3://bucket")), None).is_err());
        assert!(Place::resolve(Some(OsStr::new("")), None).is_err());
    }
}
