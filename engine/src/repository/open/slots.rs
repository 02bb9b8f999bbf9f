//! Key slots: adding, removing, exporting and trying them. docs/format.md §4.

use crate::clock;
use crate::crypto::{KdfParameters, KeyRing, SecretKey};
use crate::error::{Error, KeyProblem, Result};
use crate::format::Opened;
use crate::format::config::Config;
use crate::format::slot::{self, Bundle, Slot};
use crate::id::{FileId, RepositoryId};
use crate::repository::open::{OpenOptions, Secret};
use crate::repository::{Repository, read_optional};
use crate::store::{Key, Kind, Store};

/// At most so many slots with a passphrase are tried, cheapest first: each costs seconds.
const STRETCHED_TRIED: usize = 32;
/// At most so many of the others.
const OTHERS_TRIED: usize = 1024;
/// A slot may ask for at most this much memory without the user saying otherwise.
const MEMORY_LIMIT_KIB: u64 = 1024 * 1024;
/// Longest slot file.
const SLOT_LIMIT: u64 = 64 << 10;

/// The slot that opened a repository.
#[derive(Debug)]
pub(in crate::repository) struct OpenedWith {
    pub(super) slot: FileId,
    pub(super) name: String,
    /// It holds more than this version knows.
    pub(super) has_more: bool,
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
        let kind = std::mem::discriminant(&secret.slot_kind());
        let is_alike = |slot: &Slot| std::mem::discriminant(&slot.kind) == kind;
        let alike = read_slots(self.store().as_ref())?.iter().filter(|(_, slot)| is_alike(slot)).count();
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
        self.check_writable()?;
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

pub(super) fn make_slot(
    ring: &KeyRing,
    config: &Config,
    kind: slot::SlotKind,
    secret: &[u8],
    name: &str,
) -> Result<Vec<u8>> {
    let bundle = Bundle {
        root: SecretKey::new(*ring.root().expose()),
        config: config.bytes.clone(),
        name: name.chars().take(100).collect(),
        created: clock::now(),
        has_more: false,
    };
    Slot::create(kind, secret, &bundle)
}

pub(super) fn put_slot(store: &dyn Store, slot: &[u8]) -> Result<FileId> {
    let id = FileId::from_bytes(*blake3::hash(slot).as_bytes());
    store.put(&Key::file(Kind::Keys, id), slot)?;
    Ok(id)
}

/// Every slot that can be parsed, cheapest first. What is damaged is skipped: another may open.
pub(super) fn read_slots(store: &dyn Store) -> Result<Vec<(FileId, Slot)>> {
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

/// Tries every secret of the slot's kind.
pub(super) fn try_slot(slot: &Slot, name: &str, options: &OpenOptions) -> Result<Option<Opened<Bundle>>> {
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
