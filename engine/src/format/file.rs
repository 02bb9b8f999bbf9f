//! The clear header of every sealed file, and files that are sealed whole (docs/format.md §3).

use crate::Result;
use crate::codec::{Put, Take};
use crate::crypto::{self, Aead, Commitment, KeyRing, NONCE_LEN, RecordKeys, SEAL_OVERHEAD, Subkey};
use crate::format::{FILE_LIMIT, FORMAT, FormatError, Opened};

/// Length of the header.
pub const HEADER_LEN: usize = 128;
/// Names one run of the program.
pub type SessionId = [u8; 16];

/// What a sealed file holds; each class has its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Pack of chunks.
    Data,
    /// Pack of metadata objects.
    Meta,
    /// Index segment.
    Index,
    /// Manifest.
    Root,
    /// Event.
    Event,
    /// Gc record.
    Gc,
    /// Session.
    Session,
}

impl Class {
    const ALL: [Self; 7] = [Self::Data, Self::Meta, Self::Index, Self::Root, Self::Event, Self::Gc, Self::Session];

    /// Its number in the format.
    pub fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
            Self::Index => 3,
            Self::Root => 4,
            Self::Event => 5,
            Self::Gc => 6,
            Self::Session => 7,
        }
    }

    /// The class of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }

    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Data | Self::Meta => b"VAULT\0PK",
            Self::Index => b"VAULT\0IX",
            Self::Root => b"VAULT\0AR",
            Self::Event => b"VAULT\0EV",
            Self::Gc => b"VAULT\0GC",
            Self::Session => b"VAULT\0SE",
        }
    }

    fn subkey(self) -> Subkey {
        match self {
            Self::Data => Subkey::SealData,
            Self::Meta => Subkey::SealMeta,
            Self::Index => Subkey::SealIndex,
            Self::Root => Subkey::SealRoot,
            Self::Event => Subkey::SealEvent,
            Self::Gc => Subkey::SealGc,
            Self::Session => Subkey::SealSession,
        }
    }
}

/// What a sealed record is; part of its additional data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Head of a block.
    Head,
    /// Body of a block.
    Body,
    /// Tail of a pack.
    Tail,
    /// All of a file but its header.
    Payload,
    /// The profile in `config`.
    Profile,
    /// The bundle in a key slot.
    Bundle,
}

impl Record {
    /// Its number in the format.
    pub fn number(self) -> u8 {
        match self {
            Self::Head => 1,
            Self::Body => 2,
            Self::Tail => 3,
            Self::Payload => 4,
            Self::Profile => 5,
            Self::Bundle => 6,
        }
    }
}

/// Seals and opens the records of one file: its keys, and the header that every record is bound to.
#[expect(missing_debug_implementations, reason = "keys must never reach a log")]
pub struct FileCipher {
    header: [u8; HEADER_LEN],
    context: Vec<u8>,
    aead: Aead,
}

impl FileCipher {
    /// A new file of a class, with a key of its own.
    pub fn create(ring: &KeyRing, class: Class, session: SessionId) -> Result<Self> {
        let mut key_field = [0; 32];
        let random: [u8; 16] = crypto::random()?;
        for (to, from) in key_field.iter_mut().zip(session.iter().chain(&random)) {
            *to = *from;
        }
        let keys = file_keys(ring, class, &key_field);
        let header = encode_header(class, &key_field, &keys.commitment);
        Ok(Self::new(ring, header, keys.aead))
    }

    /// The keys of a file that exists, after its commitment was compared.
    ///
    /// # Errors
    /// Another class, version or key.
    pub fn open(ring: &KeyRing, class: Class, header: &[u8; HEADER_LEN]) -> Opened<Self> {
        let (key_field, commitment) = decode_header(class, header)?;
        let keys = file_keys(ring, class, &key_field);
        if keys.commitment != commitment {
            return Err(FormatError::OtherKey);
        }
        Ok(Self::new(ring, *header, keys.aead))
    }

    fn new(ring: &KeyRing, header: [u8; HEADER_LEN], aead: Aead) -> Self {
        let mut context = Vec::with_capacity(32 + HEADER_LEN);
        context.put(ring.domain().as_bytes());
        context.put(&header);
        Self { header, context, aead }
    }

    /// The clear header, which begins the file.
    pub fn header(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    /// Seals `record[12..]` in place. `unique` stands for the plaintext in the nonce: the plaintext itself or ids that determine it.
    pub fn seal(&self, kind: Record, ordinal: u32, unique: &[u8], bound: &[u8], record: &mut Vec<u8>) -> Result<()> {
        let parts: [&[u8]; 3] = [&[kind.number()], &ordinal.to_le_bytes(), unique];
        self.aead.seal(record, &parts, &self.aad(kind, bound))
    }

    /// Seals `plain` into a record of its own, and leaves it as it is: what was sealed can be looked at once more.
    pub fn seal_apart(&self, kind: Record, ordinal: u32, unique: &[u8], bound: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let parts: [&[u8]; 3] = [&[kind.number()], &ordinal.to_le_bytes(), unique];
        self.aead.seal_apart(plain, &parts, &self.aad(kind, bound))
    }

    /// Opens a record in place.
    pub fn unseal<'r>(&self, kind: Record, bound: &[u8], record: &'r mut [u8]) -> Opened<&'r mut [u8]> {
        let name = match kind {
            Record::Head => "block head",
            Record::Body => "block body",
            Record::Tail => "pack tail",
            Record::Payload | Record::Profile | Record::Bundle => "payload",
        };
        self.aead.open(record, &self.aad(kind, bound)).map_err(|_| FormatError::Seal(name))
    }

    fn aad(&self, kind: Record, bound: &[u8]) -> Vec<u8> {
        let mut aad = Vec::with_capacity(self.context.len() + 1 + bound.len());
        aad.put(&self.context);
        aad.put_u8(kind.number());
        aad.put(bound);
        aad
    }
}

/// The session that put a sealed file, as its clear header says without any key; `None` if this is no such header.
pub fn session_in(header: &[u8; HEADER_LEN]) -> Option<SessionId> {
    let class = Class::from_number(*header.get(20)?)?;
    let (key_field, _) = decode_header(class, header).ok()?;
    key_field.first_chunk().copied()
}

/// Whether bytes begin with the clear header of a file of one of these classes; no key is needed for that.
pub fn verify_header(classes: &[Class], bytes: &[u8]) -> Opened<()> {
    let header = bytes.first_chunk().ok_or_else(|| Take::new(bytes).error("header", "the file ends in it"))?;
    let class = header.get(20).copied().and_then(Class::from_number).filter(|class| classes.contains(class));
    let class = class.ok_or_else(|| Take::new(bytes).error("class", "another class than its place says"))?;
    decode_header(class, header).map(drop)
}

fn file_keys(ring: &KeyRing, class: Class, key_field: &[u8; 32]) -> RecordKeys {
    let class_key = ring.subkey(class.subkey());
    RecordKeys::derive("vault 1 file", &[class_key.expose(), ring.domain().as_bytes(), key_field])
}

fn encode_header(class: Class, key_field: &[u8; 32], commitment: &Commitment) -> [u8; HEADER_LEN] {
    let mut out = Vec::with_capacity(HEADER_LEN);
    out.put(class.magic());
    out.put_u16(FORMAT);
    out.put_u16(128);
    out.put_u32(0);
    out.put_u32(0);
    out.put_u8(class.number());
    out.put_u8(1);
    out.put_u16(0);
    out.put_u16(32);
    out.put(&[0; 6]);
    out.put(key_field);
    out.put(commitment.as_bytes());
    out.put(&[0; 32]);
    let mut header = [0; HEADER_LEN];
    header.copy_from_slice(&out);
    header
}

fn decode_header(class: Class, header: &[u8; HEADER_LEN]) -> Opened<([u8; 32], Commitment)> {
    let mut take = Take::new(header);
    if take.bytes(8, "magic")? != class.magic() {
        return Err(take.error("magic", "not a file of this kind").into());
    }
    let version = take.u16("format")?;
    if version != FORMAT {
        return Err(FormatError::version(version));
    }
    let length = take.u16("header length")?;
    let critical = take.u32("critical flags")?;
    if length != 128 || critical != 0 {
        return Err(FormatError::Unsupported(format!("header of {length} bytes, critical flags {critical:#x}")));
    }
    take.u32("flags")?;
    if take.u8("class")? != class.number() {
        return Err(take.error("class", "another class than its place says").into());
    }
    let kind = take.u8("key kind")?;
    let generation = take.u16("generation")?;
    if (kind, generation, take.u16("key length")?) != (1, 0, 32) {
        return Err(FormatError::Unsupported(format!("key kind {kind}, generation {generation}")));
    }
    take.zeros(6, "reserved")?;
    let key_field = take.array("key field")?;
    let commitment = Commitment::from_bytes(take.array("commitment")?);
    take.zeros(32, "reserved")?;
    Ok((key_field, commitment))
}

/// The length to which a file of `length` bytes is padded: Padmé above 4 KiB, in steps of 64 (docs/format.md §3).
pub fn padded(length: u64) -> u64 {
    let length = length.max(4096);
    let exponent = length.ilog2();
    let last_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1u64 << last_bits) - 1;
    ((length + mask) & !mask).next_multiple_of(64)
}

/// Seals a payload as a whole file.
pub fn seal_file(ring: &KeyRing, class: Class, session: SessionId, payload: &[u8]) -> Result<Vec<u8>> {
    if padded(payload.len() as u64 + 4096) > FILE_LIMIT {
        return Err(crate::Error::Internal(format!("a file of {} bytes, which nobody would read", payload.len())));
    }
    let cipher = FileCipher::create(ring, class, session)?;
    // An index segment is large: as few copies as may be are in memory at a time.
    let record = {
        let plain = length_and_padding(payload, HEADER_LEN + SEAL_OVERHEAD);
        cipher.seal_apart(Record::Payload, 0, &plain, &[], &plain)?
    };
    Ok([cipher.header().as_slice(), &record].concat())
}

/// Opens a whole file and gives its payload.
pub fn open_file(ring: &KeyRing, class: Class, bytes: &[u8]) -> Opened<Vec<u8>> {
    let (header, rest) = bytes
        .split_first_chunk::<HEADER_LEN>()
        .ok_or_else(|| Take::new(bytes).error("header", "the file ends in it"))?;
    let cipher = FileCipher::open(ring, class, header)?;
    let mut record = rest.to_vec();
    let plaintext = cipher.unseal(Record::Payload, &[], &mut record)?;
    let length = payload_of(plaintext)?.len();
    // In place, as above; the payload's length stands before it.
    record.drain(..NONCE_LEN + size_of::<u32>());
    record.truncate(length);
    Ok(record)
}

/// `length u32 ‖ payload ‖ zeros`, as long as the padded file leaves room for.
pub(super) fn length_and_padding(payload: &[u8], overhead: usize) -> Vec<u8> {
    let bare = overhead + 4 + payload.len();
    let target = usize::try_from(padded(bare as u64)).unwrap_or(bare);
    let mut out = Vec::with_capacity(target - overhead);
    out.put_blob(payload);
    out.resize(target - overhead, 0);
    out
}

/// The payload of `length u32 ‖ payload ‖ zeros`.
pub(super) fn payload_of(plaintext: &[u8]) -> crate::codec::Decoded<&[u8]> {
    let mut take = Take::new(plaintext);
    let payload = take.blob("payload")?;
    take.zeros(take.remaining(), "padding")?;
    Ok(payload)
}
