//! `config`: what a repository is, and the sealed profile that makes every writer cut alike (docs/format.md §4).

use crate::Result;
use crate::codec::{Decoded, Put, Take};
use crate::crypto::{Commitment, KeyRing, NONCE_LEN, RecordKeys, Subkey};
use crate::format::file::Record;
use crate::format::records::skip_fields;
use crate::format::split::SplitRule;
use crate::format::{FORMAT, FormatError, Opened, SUITE};
use crate::id::{DomainId, RepositoryId};

const CLEAR_LEN: usize = 192;
const MAGIC_ENCRYPTED: &[u8; 8] = b"VAULT\0K1";
/// Most entries of a tree's part: so many of the largest nodes that are written still fit into an object.
const MOST_NODES: u16 = 2048;
const MAGIC_KEYLESS: &[u8; 8] = b"VAULT\0P1";

/// How files and metadata are cut; sealed, the same for every writer of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Content-defined chunks average 2^n bytes.
    pub cdc_log2: u8,
    /// Pages of databases are cut into chunks of 2^n bytes.
    pub page_log2: u8,
    /// Files below this are never cut into pages.
    pub smallest_paged: u32,
    /// Small objects are collected into blocks of about so many bytes.
    pub block_bytes: u32,
    /// Packs have about so many bytes.
    pub pack_bytes: u32,
    /// How directories are split.
    pub tree_split: SplitRule,
    /// How content lists are split.
    pub list_split: SplitRule,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            cdc_log2: 20,
            page_log2: 13,
            smallest_paged: 64 << 10,
            block_bytes: 512 << 10,
            pack_bytes: 32 << 20,
            tree_split: SplitRule { minimum: 64, bits: 8, maximum: 1024 },
            list_split: SplitRule { minimum: 32, bits: 7, maximum: 512 },
        }
    }
}

impl Profile {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u16(1);
        out.put(&[self.cdc_log2, self.page_log2]);
        for number in [self.smallest_paged, self.block_bytes, self.pack_bytes] {
            out.put_u32(number);
        }
        for rule in [self.tree_split, self.list_split] {
            out.put_u16(rule.minimum);
            out.put(&[rule.bits, 0]);
            out.put_u16(rule.maximum);
        }
        out.put_u32(0);
        out
    }

    fn decode(bytes: &[u8]) -> Opened<Self> {
        let mut take = Take::new(bytes);
        let version = take.u16("profile")?;
        if version != 1 {
            return Err(FormatError::Unsupported(format!("profile {version}")));
        }
        let profile = Self {
            cdc_log2: take.u8("cdc average")?,
            page_log2: take.u8("page")?,
            smallest_paged: take.u32("smallest paged file")?,
            block_bytes: take.u32("block target")?,
            pack_bytes: take.u32("pack target")?,
            tree_split: take_rule(&mut take)?,
            list_split: take_rule(&mut take)?,
        };
        skip_fields(&mut take)?;
        take.end("profile")?;
        let sane = (12..=21).contains(&profile.cdc_log2)
            && (9..=22).contains(&profile.page_log2)
            && (4096..=8 << 20).contains(&profile.block_bytes)
            && (1 << 20..=256 << 20).contains(&profile.pack_bytes)
            && profile.tree_split.maximum <= MOST_NODES;
        if sane { Ok(profile) } else { Err(take.error("profile", "sizes out of range").into()) }
    }
}

fn take_rule(take: &mut Take<'_>) -> Decoded<SplitRule> {
    let minimum = take.u16("split minimum")?;
    let bits = take.u8("split bits")?;
    take.zeros(1, "reserved")?;
    let maximum = take.u16("split maximum")?;
    // Parts of one entry each would never become fewer: the levels above them would not end.
    if minimum < 2 || bits > 8 || maximum < minimum {
        return Err(take.error("split", "out of range"));
    }
    Ok(SplitRule { minimum, bits, maximum })
}

/// The part of `config` that anybody can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether it needs a key.
    pub encrypted: bool,
    /// Which repository.
    pub repository: RepositoryId,
    /// Whose keys.
    pub domain: DomainId,
    /// Features that a writer must know and this version does not: it may only be read.
    pub unknown_to_write: u64,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

impl Config {
    /// Seals the profile of a new repository.
    pub fn create(ring: &KeyRing, repository: RepositoryId, encrypted: bool, profile: &Profile) -> Result<Self> {
        let keys = config_keys(ring, repository);
        let mut record = vec![0; NONCE_LEN];
        let plain = profile.encode();
        record.put(&plain);
        let mut bytes = Vec::new();
        bytes.put(if encrypted { MAGIC_ENCRYPTED } else { MAGIC_KEYLESS });
        bytes.put_u16(FORMAT);
        bytes.put_u16(SUITE);
        bytes.put_count(plain.len() + crate::crypto::SEAL_OVERHEAD);
        bytes.put(&[0; 24]);
        bytes.put(repository.as_bytes());
        bytes.put(ring.domain().as_bytes());
        bytes.put(keys.commitment.as_bytes());
        bytes.put(&[0; 56]);
        keys.aead.seal(&mut record, &[&[Record::Profile.number()], &0u32.to_le_bytes(), &plain], &bytes)?;
        bytes.append(&mut record);
        let check = blake3::hash(&bytes);
        bytes.put(check.as_bytes());
        Ok(Self { encrypted, repository, domain: ring.domain(), unknown_to_write: 0, bytes })
    }

    /// Reads the clear part.
    pub fn decode(bytes: &[u8]) -> Opened<Self> {
        let mut take = Take::new(bytes);
        let encrypted = match take.bytes(8, "magic")? {
            magic if magic == MAGIC_ENCRYPTED => true,
            magic if magic == MAGIC_KEYLESS => false,
            _ => return Err(take.error("magic", "not a vault repository").into()),
        };
        let (format, suite) = (take.u16("format")?, take.u16("suite")?);
        if format != FORMAT {
            return Err(FormatError::version(format));
        }
        if suite != SUITE {
            return Err(FormatError::Unsupported(format!("suite {suite}")));
        }
        let sealed_length = take.u32("profile length")? as usize;
        let (read, write, _hints) = (take.u64("features to read")?, take.u64("features to write")?, take.u64("hints")?);
        if read != 0 {
            return Err(FormatError::Unsupported(format!("reading it needs the features {read:#x}")));
        }
        let repository = RepositoryId::from_bytes(take.id("repository id")?);
        let domain = DomainId::from_bytes(take.id("domain")?);
        take.bytes(32, "commitment")?;
        take.zeros(56, "reserved")?;
        take.bytes(sealed_length, "profile")?;
        let checked = bytes.get(..take.offset()).unwrap_or_default();
        if take.id("check")? != *blake3::hash(checked).as_bytes() {
            return Err(take.error("check", "does not match").into());
        }
        take.end("config")?;
        Ok(Self { encrypted, repository, domain, unknown_to_write: write, bytes: bytes.to_vec() })
    }

    /// Whether a slot that holds this copy is one of the repository's. Features may have come since the slot was made, and with them
    /// another config: it is sealed with the repository's keys, which the slot holds.
    pub fn is_of(&self, copy: &[u8]) -> bool {
        let same = |copy: Self| {
            (copy.encrypted, copy.repository, copy.domain) == (self.encrypted, self.repository, self.domain)
        };
        copy == self.bytes || Self::decode(copy).is_ok_and(same)
    }

    /// Opens the profile. What only a writer needs to know is not asked of a reader: if there are features that keep this version from
    /// writing, a profile that it does not understand is its own.
    pub fn open(&self, ring: &KeyRing) -> Opened<Profile> {
        let keys = config_keys(ring, self.repository);
        let mut take = Take::new(&self.bytes);
        let clear = take.bytes(CLEAR_LEN, "config")?;
        let commitment = Take::new(clear.get(104..).unwrap_or_default()).array("commitment")?;
        if keys.commitment != Commitment::from_bytes(commitment) {
            return Err(FormatError::OtherKey);
        }
        let sealed = take.remaining().saturating_sub(32);
        let mut record = take.bytes(sealed, "profile")?.to_vec();
        let plain = keys.aead.open(&mut record, clear).map_err(|_| FormatError::Seal("profile"))?;
        match Profile::decode(plain) {
            Err(_) if self.unknown_to_write != 0 => Ok(Profile::default()),
            decoded => decoded,
        }
    }
}

fn config_keys(ring: &KeyRing, repository: RepositoryId) -> RecordKeys {
    let key = ring.subkey(Subkey::SealConfig);
    RecordKeys::derive("vault 1 config", &[key.expose(), ring.domain().as_bytes(), repository.as_bytes()])
}
