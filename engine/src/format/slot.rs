//! Key slots: what wraps a domain's root key with a passphrase, a key file, or nothing (docs/format.md §4).

use zeroize::Zeroizing;

use crate::Result;
use crate::codec::{Put, Take};
use crate::crypto::{self, Commitment, KdfParameters, NONCE_LEN, RecordKeys, SEAL_OVERHEAD, SecretKey};
use crate::format::file::{Record, length_and_padding, payload_of};
use crate::format::records::skip_fields;
use crate::format::{FORMAT, FormatError, Opened, SUITE};
use crate::meta::Timestamp;

const MAGIC: &[u8; 8] = b"VAULT\0KS";
const CLEAR_LEN: usize = 128;

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase, stretched.
    Passphrase(KdfParameters),
    /// The content of a key file.
    KeyFile,
    /// Nothing: the repository is keyless.
    Plain,
}

impl SlotKind {
    fn number(self) -> u8 {
        match self {
            Self::Passphrase(_) => 1,
            Self::KeyFile => 2,
            Self::Plain => 3,
        }
    }
}

/// What a slot wraps.
#[expect(missing_debug_implementations, reason = "keys must never reach a log")]
pub struct Bundle {
    /// The domain's root key.
    pub root: SecretKey,
    /// The repository's config, verbatim.
    pub config: Vec<u8>,
    /// What its maker called it.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// It holds keys or fields that this version does not know: a slot made from it would lack them.
    pub has_more: bool,
}

/// A slot's clear part, parsed; its bundle opens with the right secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What opens it.
    pub kind: SlotKind,
    salt: [u8; 32],
    bytes: Vec<u8>,
}

impl Slot {
    /// Wraps a bundle. `secret` is the passphrase, the key file's content, or empty.
    pub fn create(kind: SlotKind, secret: &[u8], bundle: &Bundle) -> Result<Vec<u8>> {
        let salt: [u8; 32] = crypto::random()?;
        let keys = slot_keys(kind, secret, &salt)?;
        let plain = Zeroizing::new(length_and_padding(&encode_bundle(bundle), CLEAR_LEN + SEAL_OVERHEAD));
        let parameters = match kind {
            SlotKind::Passphrase(parameters) => [parameters.memory_kib, parameters.passes, parameters.lanes],
            SlotKind::KeyFile | SlotKind::Plain => [0; 3],
        };
        let mut bytes = Vec::new();
        bytes.put(MAGIC);
        bytes.put_u16(FORMAT);
        bytes.put_u16(SUITE);
        bytes.put(&[kind.number(), 1, 0, 0]);
        for number in parameters {
            bytes.put_u32(number);
        }
        bytes.put_count(plain.len() + SEAL_OVERHEAD);
        bytes.put(&salt);
        bytes.put(keys.commitment.as_bytes());
        bytes.put(&[0; 32]);
        let mut record = Vec::with_capacity(plain.len() + SEAL_OVERHEAD);
        record.resize(NONCE_LEN, 0);
        record.put(&plain);
        keys.aead.seal(&mut record, &[&[Record::Bundle.number()], &0u32.to_le_bytes(), &plain], &bytes)?;
        bytes.append(&mut record);
        Ok(bytes)
    }

    /// Reads the clear part; allocates nothing that the slot asks for.
    pub fn decode(bytes: &[u8]) -> Opened<Self> {
        let mut take = Take::new(bytes);
        if take.bytes(8, "magic")? != MAGIC {
            return Err(take.error("magic", "not a key slot").into());
        }
        let (format, suite) = (take.u16("format")?, take.u16("suite")?);
        let kind = take.u8("kind")?;
        let role = take.u8("role")?;
        if format != FORMAT {
            return Err(FormatError::version(format));
        }
        if (suite, role) != (SUITE, 1) {
            return Err(FormatError::Unsupported(format!("suite {suite}, role {role}")));
        }
        take.zeros(2, "reserved")?;
        let parameters =
            KdfParameters { memory_kib: take.u32("memory")?, passes: take.u32("passes")?, lanes: take.u32("lanes")? };
        let kind = match kind {
            1 => SlotKind::Passphrase(parameters),
            2 => SlotKind::KeyFile,
            3 => SlotKind::Plain,
            _ => return Err(FormatError::Unsupported(format!("key slot of kind {kind}"))),
        };
        let sealed = take.u32("bundle length")? as usize;
        let salt = take.array("salt")?;
        take.bytes(32, "commitment")?;
        take.zeros(32, "reserved")?;
        take.bytes(sealed, "bundle")?;
        take.end("key slot")?;
        Ok(Self { kind, salt, bytes: bytes.to_vec() })
    }

    /// Tries a secret; `None` if the slot does not open with it.
    ///
    /// # Errors
    /// The commitment matches and yet the bundle is damaged, or argon2id failed. The caller has checked what the slot asks for.
    pub fn open(&self, secret: &[u8]) -> Result<Option<Opened<Bundle>>> {
        let keys = slot_keys(self.kind, secret, &self.salt)?;
        let (clear, sealed) = self.bytes.split_at_checked(CLEAR_LEN).unwrap_or_default();
        let Ok(commitment) = Take::new(clear.get(64..).unwrap_or_default()).array("commitment") else {
            return Ok(None);
        };
        if keys.commitment != Commitment::from_bytes(commitment) {
            return Ok(None);
        }
        let mut record = Zeroizing::new(sealed.to_vec());
        Ok(Some(match keys.aead.open(&mut record, clear) {
            Ok(plain) => decode_bundle(plain),
            Err(_) => Err(FormatError::Seal("key bundle")),
        }))
    }
}

fn slot_keys(kind: SlotKind, secret: &[u8], salt: &[u8; 32]) -> Result<RecordKeys> {
    let number = [kind.number()];
    Ok(match kind {
        SlotKind::Passphrase(parameters) => {
            let stretched = crypto::stretch(secret, salt, parameters)?;
            RecordKeys::derive("vault 1 slot", &[&number, &*stretched, salt])
        }
        SlotKind::KeyFile => RecordKeys::derive("vault 1 slot", &[&number, secret, salt]),
        SlotKind::Plain => RecordKeys::derive("vault 1 slot", &[&number, salt]),
    })
}

fn encode_bundle(bundle: &Bundle) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(1024));
    out.put_u16(1);
    out.put_u16(0);
    out.put_u16(0);
    out.put(bundle.root.expose());
    out.put_blob(&bundle.config);
    out.put_str(bundle.name.as_bytes());
    out.put_time(bundle.created);
    out.put_u32(0);
    out
}

fn decode_bundle(plain: &[u8]) -> Opened<Bundle> {
    let mut take = Take::new(payload_of(plain)?);
    let count = take.short_count(36, "keys")?;
    let (mut root, mut has_more) = (None, false);
    for _ in 0..count {
        let (number, generation) = (take.u16("key number")?, take.u16("generation")?);
        let key = SecretKey::new(take.array("key")?);
        if (number, generation) != (0, 0) {
            has_more = true;
        } else if root.replace(key).is_some() {
            return Err(take.error("keys", "two root keys").into());
        }
    }
    let config = take.blob("config")?.to_vec();
    let name = String::from_utf8_lossy(take.str("slot name")?).into_owned();
    let created = take.time("created")?;
    let fields = take.offset();
    skip_fields(&mut take)?;
    has_more |= take.offset() > fields + 4;
    take.end("bundle")?;
    let root = root.ok_or_else(|| FormatError::Unsupported("a slot without the root key".to_owned()))?;
    Ok(Bundle { root, config, name, created, has_more })
}
