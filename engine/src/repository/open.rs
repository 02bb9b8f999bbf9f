//! Making and opening repositories: config, key slots, secrets. docs/format.md §4.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use zeroize::Zeroizing;

use crate::clock;
use crate::crypto::{self, KdfParameters, KeyRing, SecretKey};
use crate::error::{Error, KeyProblem, Result, StoreErrorKind};
use crate::format::config::{Config, Profile};
use crate::format::slot::{self, Bundle, Slot};
use crate::format::{FILE_LIMIT, FormatError, Opened};
use crate::id::{DomainId, FileId, RepositoryId};
use crate::repository::quarantine::keep_aside;
use crate::repository::{Core, Repository, damaged, opened, read_optional};
use crate::store::{Key, Kind, Store};

/// At most so many slots with a passphrase are tried, cheapest first: each costs seconds.
const STRETCHED_TRIED: usize = 32;
/// At most so many of the others.
const OTHERS_TRIED: usize = 1024;
/// A slot may ask for at most this much memory without the user saying otherwise.
const MEMORY_LIMIT_KIB: u64 = 1024 * 1024;
/// Longest slot file.
const SLOT_LIMIT: u64 = 64 << 10;
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

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase.
    Passphrase,
    /// A key file.
    KeyFile,
    /// Nothing.
    Plain,
}

/// The slot that opened a repository.
#[derive(Debug)]
pub(super) struct OpenedWith {
    slot: FileId,
    name: String,
    /// It holds more than this version knows.
    has_more: bool,
}

/// A slot, as far as it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its file's name.
    pub id: FileId,
    /// What opens it.
    pub kind: SlotKind,
    /// What its maker called it; only known of the slot that opened the repository.
    pub name: Option<String>,
    /// How a passphrase is stretched, in words.
    pub kdf: String,
    /// Whether this repository was opened with it.
    pub opened: bool,
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

    /// Its key slots.
    pub fn slots(&self) -> Result<Vec<SlotInfo>> {
        let slots = read_slots(self.store().as_ref())?;
        Ok(slots.into_iter().map(|(id, slot)| self.slot_info(id, slot.kind)).collect())
    }

    fn slot_info(&self, id: FileId, kind: slot::SlotKind) -> SlotInfo {
        let (kind, kdf) = match kind {
            slot::SlotKind::Passphrase(KdfParameters { memory_kib, passes, lanes }) => {
                (SlotKind::Passphrase, format!("argon2id, {} MiB, {passes} passes, {lanes} lanes", memory_kib / 1024))
            }
            slot::SlotKind::KeyFile => (SlotKind::KeyFile, String::new()),
            slot::SlotKind::Plain => (SlotKind::Plain, String::new()),
        };
        let opened = id == self.opened_with.slot;
        SlotInfo { id, kind, name: opened.then(|| self.opened_with.name.clone()), kdf, opened }
    }

    /// Adds a slot; durable when it returns.
    pub fn add_slot(&self, secret: &Secret, name: &str) -> Result<SlotInfo> {
        let kind = |slot: &slot::SlotKind| std::mem::discriminant(slot) == std::mem::discriminant(&secret.slot_kind());
        let alike = read_slots(self.store().as_ref())?.iter().filter(|(_, slot)| kind(&slot.kind)).count();
        // One is left for a change of passphrase, which adds before it removes.
        if alike + 1 >= tried(secret.slot_kind()) {
            let problem =
                format!("the repository has {alike} key slots of this kind, and no more are tried: remove one first");
            return Err(Error::Usage(problem));
        }
        self.put_slot_for(secret, name)
    }

    fn put_slot_for(&self, secret: &Secret, name: &str) -> Result<SlotInfo> {
        self.check_writable()?;
        if !self.encrypted() {
            return Err(Error::Usage("the repository is not encrypted: it needs no key".to_owned()));
        }
        if self.opened_with.has_more {
            let file = Key::file(Kind::Keys, self.opened_with.slot).to_string();
            let problem =
                "it holds keys that this version does not know, and a slot made from it would lack them".to_owned();
            return Err(Error::Unsupported { file, problem });
        }
        let slot = make_slot(self.ring(), &self.core.config, secret.slot_kind(), secret.bytes()?, name)?;
        Ok(self.slot_info(put_slot(self.store().as_ref(), &slot)?, secret.slot_kind()))
    }

    /// Removes a slot. Whoever knows its secret and kept a copy of it can still open the repository: removing does not revoke.
    ///
    /// # Errors
    /// It is the last one that anything could open.
    pub fn remove_slot(&self, id: FileId) -> Result<()> {
        let slots = read_slots(self.store().as_ref())?;
        if slots.iter().all(|(other, _)| *other == id) {
            return Err(Error::Usage(
                "this is the last key slot: without it nobody could read the repository".to_owned(),
            ));
        }
        self.store().remove(&Key::file(Kind::Keys, id))?;
        Ok(())
    }

    /// Replaces the slot that opened the repository: the new one is durable before the old one goes.
    pub fn replace_slot(&self, secret: &Secret) -> Result<SlotInfo> {
        let added = self.put_slot_for(secret, "changed")?;
        self.store().remove(&Key::file(Kind::Keys, self.opened_with.slot))?;
        Ok(added)
    }

    /// The slot that opened the repository, as bytes that [`Self::import_slot`] takes.
    pub fn export_slot(&self) -> Result<Vec<u8>> {
        Ok(self.store().read(&Key::file(Kind::Keys, self.opened_with.slot), SLOT_LIMIT)?)
    }

    /// Opens an exported slot and puts it back, and `config` with it if that is lost.
    ///
    /// # Errors
    /// It belongs to another repository, or does not open with the secrets.
    pub fn import_slot(store: &dyn Store, bytes: &[u8], options: &OpenOptions) -> Result<RepositoryId> {
        let unusable =
            |error: String| Error::Key(KeyProblem::Unusable(format!("the exported key is not usable: {error}")));
        let slot = Slot::decode(bytes).map_err(|error| unusable(error.to_string()))?;
        let found = try_slot(&slot, "exported key", options)?.ok_or(Error::Key(KeyProblem::Wrong { slots: 1 }))?;
        let bundle = found.map_err(|error| unusable(error.to_string()))?;
        let config = Config::decode(&bundle.config).map_err(|error| unusable(error.to_string()))?;
        match read_optional(store, &Key::config())? {
            Some(present) if !config.is_of(&present) => {
                let problem = Config::decode(&present).map_or_else(
                    |error| format!("the repository's config is damaged ({error}); move it away and import again"),
                    |other| {
                        format!(
                            "it belongs to repository {}, not {}",
                            config.repository.to_hex(),
                            other.repository.to_hex()
                        )
                    },
                );
                return Err(unusable(problem));
            }
            Some(_) => {}
            None => store.put(&Key::config(), &bundle.config)?,
        }
        put_slot(store, bytes)?;
        Ok(config.repository)
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

fn make_slot(ring: &KeyRing, config: &Config, kind: slot::SlotKind, secret: &[u8], name: &str) -> Result<Vec<u8>> {
    let bundle = Bundle {
        root: SecretKey::new(*ring.root().expose()),
        config: config.bytes.clone(),
        name: name.chars().take(100).collect(),
        created: clock::now(),
        has_more: false,
    };
    Slot::create(kind, secret, &bundle)
}

fn put_slot(store: &dyn Store, slot: &[u8]) -> Result<FileId> {
    let id = FileId::from_bytes(*blake3::hash(slot).as_bytes());
    store.put(&Key::file(Kind::Keys, id), slot)?;
    Ok(id)
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

/// Every slot that can be parsed, cheapest first. What is damaged is skipped: another may open.
fn read_slots(store: &dyn Store) -> Result<Vec<(FileId, Slot)>> {
    let mut slots = Vec::new();
    for file in store.list(Kind::Keys)?.into_iter().filter(|file| file.size <= SLOT_LIMIT) {
        let Some(id) = FileId::from_hex(&file.name) else { continue };
        let key = Key::file(Kind::Keys, id);
        let Some(bytes) = read_optional(store, &key)? else { continue };
        if blake3::hash(&bytes) == *id.as_bytes() {
            slots.extend(Slot::decode(&bytes).ok().map(|slot| (id, slot)));
        }
        // However many there are, only the cheapest are kept.
        if slots.len() >= 2 * (STRETCHED_TRIED + OTHERS_TRIED) {
            keep_cheapest(&mut slots);
        }
    }
    keep_cheapest(&mut slots);
    Ok(slots)
}

/// So that one kind's slots, however many, keep nobody out who has a secret of another kind, each has a limit of its own.
fn keep_cheapest(slots: &mut Vec<(FileId, Slot)>) {
    slots.sort_by_key(|(id, slot)| (cost(slot.kind), *id));
    let (mut stretched, mut others) = (0, 0);
    slots.retain(|(_, slot)| {
        let counted = if matches!(slot.kind, slot::SlotKind::Passphrase(_)) { &mut stretched } else { &mut others };
        *counted += 1;
        *counted <= tried(slot.kind)
    });
}

/// How many slots of a kind are tried.
fn tried(kind: slot::SlotKind) -> usize {
    match kind {
        slot::SlotKind::Passphrase(_) => STRETCHED_TRIED,
        slot::SlotKind::KeyFile | slot::SlotKind::Plain => OTHERS_TRIED,
    }
}

fn cost(kind: slot::SlotKind) -> u64 {
    match kind {
        slot::SlotKind::Plain => 0,
        slot::SlotKind::KeyFile => 1,
        slot::SlotKind::Passphrase(parameters) => parameters.cost_kib(),
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

/// Tries every secret of the slot's kind.
fn try_slot(slot: &Slot, name: &str, options: &OpenOptions) -> Result<Option<Opened<Bundle>>> {
    if slot.kind == slot::SlotKind::Plain {
        return slot.open(&[]);
    }
    for secret in &options.secrets {
        match (slot.kind, secret) {
            (slot::SlotKind::Passphrase(parameters), Secret::Passphrase(_)) => {
                let limit = if options.allow_expensive_slots { u64::MAX } else { memory_limit_kib() };
                if !parameters.acceptable(limit) {
                    let what = format!(
                        "{} MiB of memory, {} passes, {} lanes",
                        parameters.memory_kib / 1024,
                        parameters.passes,
                        parameters.lanes
                    );
                    return Err(Error::Key(KeyProblem::Excessive { slot: name.to_owned(), what }));
                }
            }
            (slot::SlotKind::KeyFile, Secret::KeyFile(_)) => {}
            _ => continue,
        }
        if let Some(bundle) = slot.open(secret.bytes()?)? {
            return Ok(Some(bundle));
        }
    }
    Ok(None)
}

/// At most 1 GiB, and at most half of the memory that is available; never less than what every slot has.
fn memory_limit_kib() -> u64 {
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()
    });
    let half = available.map_or(MEMORY_LIMIT_KIB, |kib| kib / 2);
    MEMORY_LIMIT_KIB.min(half.max(u64::from(KdfParameters::FLOOR.memory_kib)))
}
