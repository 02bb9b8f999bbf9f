//! Making and opening repositories: config, key slots, secrets. docs/format.md §4.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use zeroize::Zeroizing;

use crate::crypto::{self, KdfParameters, KeyRing, SecretKey};
use crate::error::{Error, KeyProblem, Result, StoreErrorKind};
use crate::format::config::{Config, Profile};
use crate::format::slot::{self, Bundle};
use crate::format::{FILE_LIMIT, FormatError};
use crate::id::{DomainId, FileId, RepositoryId};
use crate::repository::quarantine::keep_aside;
use crate::repository::{Core, Repository, damaged, opened, read_optional};
use crate::store::{Key, Kind, Store};

mod slots;

pub(super) use slots::OpenedWith;
pub use slots::{SlotInfo, SlotKind};
use slots::{make_slot, put_slot, read_slots, try_slot};

/// Shortest and longest key file.
const KEY_FILE_LENGTH: std::ops::RangeInclusive<usize> = 32..=4096;

/// What opens a key slot; wiped when dropped.
#[derive(Clone)]
pub enum Secret {
    /// A passphrase, any bytes, not empty.
    Passphrase(Zeroizing<Vec<u8>>),
    /// The content of a key file.
    KeyFile(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase",
            Self::KeyFile(_) => "KeyFile",
        })
    }
}

impl Secret {
    fn slot_kind(&self) -> slot::SlotKind {
        match self {
            Self::Passphrase(_) => slot::SlotKind::Passphrase(KdfParameters::FLOOR),
            Self::KeyFile(_) => slot::SlotKind::KeyFile,
        }
    }

    /// The bytes that the slot's key is derived from.
    fn bytes(&self) -> Result<&[u8]> {
        let unusable = |problem: &str| Err(Error::Key(KeyProblem::Unusable(problem.to_owned())));
        match self {
            Self::Passphrase(bytes) if bytes.is_empty() => unusable("the passphrase is empty"),
            Self::Passphrase(bytes) => Ok(bytes),
            Self::KeyFile(bytes) => {
                let content = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                if KEY_FILE_LENGTH.contains(&content.len()) {
                    Ok(content)
                } else {
                    unusable("a key file must hold 32 to 4,096 bytes that nobody can guess")
                }
            }
        }
    }
}

/// How to make a repository.
#[derive(Debug)]
pub struct InitOptions<'a> {
    /// Whether reading it needs a key.
    pub encrypted: bool,
    /// What opens its first slot; needed if it is encrypted.
    pub secret: Option<Secret>,
    /// What to call that slot.
    pub slot_name: String,
    /// Another repository whose domain and keys to share.
    pub like: Option<&'a Repository>,
    /// How it cuts.
    pub profile: Profile,
}

/// How to open a repository.
#[derive(Debug, Default)]
pub struct OpenOptions {
    /// What to try on its slots.
    pub secrets: Vec<Secret>,
    /// Where to keep caches; a temporary folder without it.
    pub cache_dir: Option<PathBuf>,
    /// The machine's id.
    pub host_id: [u8; 16],
    /// Try slots that ask for more memory than is normal.
    pub allow_expensive_slots: bool,
}

/// What can be said of a repository without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its id.
    pub id: RepositoryId,
    /// Whether it needs a key.
    pub encrypted: bool,
    /// Whether a passphrase may open it.
    pub has_passphrase_slot: bool,
    /// Whether a key file may open it.
    pub has_key_file_slot: bool,
}

impl Repository {
    /// Makes a repository: key slot first, `config` last. Cut off before that, there is none, and `init` may run again.
    ///
    /// # Errors
    /// `RepositoryExists`; a secret that cannot be used.
    pub fn init(store: &dyn Store, options: &InitOptions<'_>) -> Result<RepositoryId> {
        if store.size(&Key::config())?.is_some() {
            return Err(Error::RepositoryExists { place: store.describe() });
        }
        let (domain, root) = match options.like {
            Some(other) => (other.ring().domain(), SecretKey::new(*other.ring().root().expose())),
            None => (DomainId::from_bytes(crypto::random()?), SecretKey::new(crypto::random()?)),
        };
        let ring = KeyRing::new(domain, root);
        let repository = RepositoryId::from_bytes(crypto::random()?);
        let config = Config::create(&ring, repository, options.encrypted, &options.profile)?;
        let slot = match (&options.secret, options.encrypted) {
            (Some(secret), true) => make_slot(&ring, &config, secret.slot_kind(), secret.bytes()?, &options.slot_name)?,
            (None, true) => return Err(Error::Key(KeyProblem::NoneGiven)),
            (_, false) => make_slot(&ring, &config, slot::SlotKind::Plain, &[], &options.slot_name)?,
        };
        put_slot(store, &slot)?;
        store.put(&Key::config(), &config.bytes)?;
        Ok(repository)
    }

    /// What can be said without a key.
    ///
    /// # Errors
    /// `NoRepository`, `Damaged`, `Unsupported`.
    pub fn probe(store: &dyn Store) -> Result<Probe> {
        let config = read_config(store)?;
        let kinds: Vec<_> = read_slots(store)?.into_iter().map(|(_, slot)| slot.kind).collect();
        Ok(Probe {
            id: config.repository,
            encrypted: config.encrypted,
            has_passphrase_slot: kinds.iter().any(|kind| matches!(kind, slot::SlotKind::Passphrase(_))),
            has_key_file_slot: kinds.contains(&slot::SlotKind::KeyFile),
        })
    }

    /// Opens a repository with the first secret that fits a slot.
    pub fn open(store: Arc<dyn Store>, options: OpenOptions) -> Result<Self> {
        let config = read_config(store.as_ref())?;
        if !config.encrypted && !options.secrets.is_empty() {
            let problem = "a passphrase or key file was given, but the repository is not encrypted: \
                           is it the right one? If it is, give none";
            return Err(Error::Key(KeyProblem::Unusable(problem.to_owned())));
        }
        let (slot, bundle) = unlock(store.as_ref(), &config, &options)?;
        let ring = KeyRing::new(config.domain, bundle.root);
        let profile = opened(&Key::config(), config.open(&ring))?;
        let core = Core {
            store,
            ring,
            config,
            profile,
            session: crypto::random()?,
            session_files: AtomicU64::new(1),
            host_id: options.host_id,
            flips: super::flips::Flips::default(),
        };
        Ok(Self {
            core: Arc::new(core),
            cache_dir: options.cache_dir,
            opened_with: OpenedWith { slot, name: bundle.name, has_more: bundle.has_more },
            gear: OnceLock::new(),
            witness: Mutex::default(),
        })
    }
}

/// A `config` that is lost or damaged, as the key slot repeats it that one of the secrets opens; `None` if `config` is whole.
///
/// # Errors
/// No slot opens.
pub fn lost_config(store: &dyn Store, options: &OpenOptions) -> Result<Option<Vec<u8>>> {
    let whole = |bytes: Vec<u8>| matches!(Config::decode(&bytes), Ok(_) | Err(FormatError::Unsupported(_)));
    if read_optional(store, &Key::config())?.is_some_and(whole) {
        return Ok(None);
    }
    let slots = read_slots(store)?;
    for (id, slot) in &slots {
        // With a secret at hand a slot that needs none is somebody else's: it would bring a repository without a key.
        if (slot.kind == slot::SlotKind::Plain) != options.secrets.is_empty() {
            continue;
        }
        if let Some(bundle) = try_slot(slot, &id.to_string(), options)? {
            let bundle = opened(&Key::file(Kind::Keys, *id), bundle)?;
            return Ok(Some(bundle.config.clone()));
        }
    }
    Err(Error::Key(if slots.is_empty() { KeyProblem::NoSlot } else { KeyProblem::Wrong { slots: slots.len() } }))
}

/// Puts `config` back; what stands there is kept in the quarantine.
pub fn put_config(store: &dyn Store, config: &[u8]) -> Result<()> {
    keep_aside(store, &Key::config())?;
    Ok(store.put(&Key::config(), config)?)
}

fn read_config(store: &dyn Store) -> Result<Config> {
    let none = |problem: &str| Error::NoRepository { place: store.describe(), problem: problem.to_owned() };
    match store.read(&Key::config(), FILE_LIMIT) {
        Ok(bytes) => opened(&Key::config(), Config::decode(&bytes)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Err(none(
            "it has no file `config`; `vault init` makes a repository, `vault key import` brings a lost config back",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Opens the first slot that was made for this config. An `init` that was cut off may have left one that was not, and the same secret
/// opens it.
fn unlock(store: &dyn Store, config: &Config, options: &OpenOptions) -> Result<(FileId, Bundle)> {
    let slots = read_slots(store)?;
    if slots.is_empty() {
        return Err(Error::Key(KeyProblem::NoSlot));
    }
    let (mut refused, mut foreign) = (None, false);
    for (id, slot) in &slots {
        // A slot without a secret in a repository that says it is encrypted is an attack or an accident, never a key.
        if (slot.kind == slot::SlotKind::Plain) == config.encrypted {
            continue;
        }
        let name = id.to_string();
        match try_slot(slot, &name, options) {
            Ok(Some(bundle)) => {
                let bundle = opened(&Key::file(Kind::Keys, *id), bundle)?;
                if config.is_of(&bundle.config) {
                    return Ok((*id, bundle));
                }
                foreign = true;
            }
            Ok(None) => {}
            Err(error @ Error::Key(KeyProblem::Excessive { .. })) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    if foreign {
        return Err(damaged(&Key::config(), "it is not the config that the key slot was made for"));
    }
    Err(match refused {
        _ if options.secrets.is_empty() => Error::Key(KeyProblem::NoneGiven),
        Some(error) => error,
        None => Error::Key(KeyProblem::Wrong { slots: slots.len() }),
    })
}
