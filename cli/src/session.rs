//! Opening the repository that a command works on: the place, the secrets, the cache.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use vault_engine::Error;
use vault_engine::format::config::Profile;
use vault_engine::id::RepositoryId;
use vault_engine::ops::key;
use vault_engine::repository::{InitOptions, OpenOptions, Probe, Repository, Secret, lost_config};
use vault_engine::store::{Key, Kind, LocalStore, Store};

use crate::args::{Common, Encryption};
use crate::exit::{Exit, failure};
use crate::location::{self, Place};
use crate::secrets;
use crate::signals::Signals;

/// How often a typed passphrase may be wrong.
const TRIES: usize = 3;

/// Whoever runs a command: the options that they gave to every verb, and their signals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// The options of every verb.
    pub(crate) common: &'a Common,
    /// The signal handlers.
    pub(crate) signals: &'a Signals,
}

/// Whether a command says in the repository who it is, and so needs this host's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It only reads, changes keys, or deletes archives.
    Read,
    /// It stores objects or events.
    Write,
}

impl Caller<'_> {
    /// The place that `-r`, the part before `::` or the environment names.
    pub(crate) fn place(&self, prefix: Option<&OsStr>) -> Result<Place> {
        Place::resolve(self.common.repo.as_deref(), prefix)
    }

    /// Opens the repository there.
    pub(crate) fn open(&self, place: &Place, purpose: Purpose) -> Result<Repository> {
        let store = store(place)?;
        let probe = probe(place, store.as_ref())?;
        if purpose == Purpose::Write {
            // What killed writers left half written; that it cannot be removed harms nothing.
            let _ = LocalStore::open(&place.path).and_then(|store| store.remove_stale_uploads());
        }
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let gathered = secrets::for_opening(place, &probe, self.common.key_file.as_deref(), self.signals)?;
            match open_with(Arc::clone(&store), &probe, purpose, gathered.secrets) {
                Err(error) if gathered.typed && tries > 0 && Exit::of(&error) == Exit::WrongPassphrase => {
                    crate::say(&format!("vault: {error}; try again"));
                }
                opened => return opened,
            }
        }
    }

    /// Puts an exported key slot back after opening it: it must open, and its copy of `config` may be needed.
    pub(crate) fn import_key(&self, place: &Place, text: &str) -> Result<RepositoryId> {
        let store = store(place)?;
        let anything =
            Probe { id: RepositoryId::zero(), encrypted: true, has_passphrase_slot: true, has_key_file_slot: true };
        let gathered = secrets::for_opening(place, &anything, self.common.key_file.as_deref(), self.signals)?;
        let options = OpenOptions { secrets: gathered.secrets, ..OpenOptions::default() };
        Ok(key::import(store.as_ref(), text, &options)?)
    }

    /// A `config` that is lost or damaged, as a key slot repeats it; `None` if it is whole.
    pub(crate) fn lost_config(&self, place: &Place) -> Result<Option<Vec<u8>>> {
        let store = store(place)?;
        if store.size(&Key::config())?.is_some() && Repository::probe(store.as_ref()).is_ok() {
            return Ok(None);
        }
        // Whether it is encrypted only config says: a secret is asked for, unless the slots need none.
        let encrypted = !store.list(Kind::Keys)?.is_empty();
        let anything =
            Probe { id: RepositoryId::zero(), encrypted, has_passphrase_slot: true, has_key_file_slot: true };
        let secrets = secrets::for_opening(place, &anything, self.common.key_file.as_deref(), self.signals)
            .map(|gathered| gathered.secrets);
        let options = OpenOptions { secrets: secrets.unwrap_or_default(), ..OpenOptions::default() };
        Ok(lost_config(store.as_ref(), &options)?)
    }

    /// Makes a repository and opens it with what it was made with, so that nothing is asked twice.
    pub(crate) fn init_and_open(&self, place: &Place) -> Result<Repository> {
        let secrets = self.init(place, Encryption::Aes256Gcm, None)?;
        let store = store(place)?;
        let probe = probe(place, store.as_ref())?;
        open_with(store, &probe, Purpose::Write, secrets)
    }

    /// Makes a repository at a place that has none, and says what must be kept.
    pub(crate) fn init(&self, place: &Place, encryption: Encryption, like: Option<&OsStr>) -> Result<Vec<Secret>> {
        if exists(place)? {
            return Err(Error::RepositoryExists { place: place.path.display().to_string() }.into());
        }
        let like = match like {
            Some(text) => Some(self.open(&Place::named(text)?, Purpose::Read)?),
            None => None,
        };
        let new = match encryption {
            Encryption::Aes256Gcm => {
                Some(secrets::for_new_repository(place, self.common.key_file.as_deref(), self.signals)?)
            }
            Encryption::None => None,
        };
        let key_file = new.as_ref().and_then(|new| new.key_file.clone());
        let kept = new.as_ref().map(|new| copy(&new.secret)).into_iter().collect();
        let store = LocalStore::create(&place.path)?;
        let options = InitOptions {
            encrypted: encryption == Encryption::Aes256Gcm,
            secret: new.map(|new| new.secret),
            slot_name: String::new(),
            like: like.as_ref(),
            profile: like.as_ref().map_or_else(Profile::default, |like| *like.profile()),
        };
        let id = Repository::init(&store, &options)?;
        crate::say(&format!("vault: made repository {id} at {}", place.path.display()));
        say_what_to_keep(encryption, key_file.as_deref());
        Ok(kept)
    }
}

fn say_what_to_keep(encryption: Encryption, key_file: Option<&Path>) {
    match (encryption, key_file) {
        (Encryption::None, _) => crate::say("vault: it is not encrypted: whoever reads it reads the archives"),
        (_, Some(path)) => crate::say(&format!(
            "vault: its key is {}: copy that file to another place now; without it nothing can be restored",
            path.display()
        )),
        (_, None) => crate::say("vault: keep the passphrase at another place too; without it nothing can be restored"),
    }
}

fn open_with(store: Arc<dyn Store>, probe: &Probe, purpose: Purpose, secrets: Vec<Secret>) -> Result<Repository> {
    let host_id = match purpose {
        Purpose::Write => location::host_id()?,
        Purpose::Read => location::known_host_id(),
    };
    let options =
        OpenOptions { secrets, cache_dir: location::cache_folder(probe.id), host_id, allow_expensive_slots: false };
    Ok(Repository::open(store, options)?)
}

fn copy(secret: &Secret) -> Secret {
    match secret {
        Secret::Passphrase(bytes) => Secret::Passphrase(bytes.clone()),
        Secret::KeyFile(bytes) => Secret::KeyFile(bytes.clone()),
    }
}

/// Whether there is a repository.
pub(crate) fn exists(place: &Place) -> Result<bool> {
    if !place.path.exists() {
        return Ok(false);
    }
    let store = store(place)?;
    match Repository::probe(store.as_ref()) {
        Ok(_) => Ok(true),
        Err(Error::NoRepository { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The files of the repository, without looking into them.
pub(crate) fn store(place: &Place) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(local_store(place)?))
}

/// The same, for whoever needs what only a folder has.
pub(crate) fn local_store(place: &Place) -> Result<LocalStore> {
    let path = place.path.display();
    match place.path.metadata() {
        Ok(found) if found.is_dir() => Ok(LocalStore::open(&place.path)?),
        Ok(_) => Err(failure(Exit::InvalidRepository, format!("{path} is no repository: it is not a directory"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(no_repository(place)),
        Err(error) => Err(failure(Exit::of_repository(&error), format!("cannot look at {path}: {error}"))),
    }
}

/// What can be known of a repository without a secret.
pub(crate) fn probe(place: &Place, store: &dyn Store) -> Result<Probe> {
    described(place, Repository::probe(store))
}

/// Says what to do about a folder that holds no repository.
pub(crate) fn described<T>(place: &Place, result: vault_engine::Result<T>) -> Result<T> {
    match result {
        Err(Error::NoRepository { problem, .. }) => {
            let path = place.path.display();
            let hint = "vault init makes one, -r names another";
            Err(failure(Exit::InvalidRepository, format!("{path} is no repository: {problem} ({hint})")))
        }
        other => Ok(other?),
    }
}

fn no_repository(place: &Place) -> anyhow::Error {
    let path = place.path.display();
    let message = if place.embedded {
        format!(
            "there is no repository yet: name one by -r or VAULT_REPO, or make your default one ({path}) by \
             `vault create --init NAME PATH`"
        )
    } else {
        format!("there is no repository at {path}: make it by `vault init -r {path}` or by --init of create")
    };
    failure(Exit::NoRepository, message)
}
