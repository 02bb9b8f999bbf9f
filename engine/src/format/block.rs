//! Blocks: what is compressed and sealed together (docs/format.md §5).

use crate::Result;
use crate::codec::{Decoded, Put, Take};
use crate::compress::{self, Codec, Compression};
use crate::crypto::{KeyRing, NONCE_LEN, Purpose, SEAL_OVERHEAD};
use crate::format::file::{FileCipher, Record};
use crate::format::{BLOCK_OBJECTS, FormatError, OBJECT_LIMIT, Opened};
use crate::id::ObjectId;

/// Length of a sealed head; every record of a pack starts at a multiple of it.
pub const HEAD_LEN: usize = 64;
const HEAD_PLAIN: usize = HEAD_LEN - SEAL_OVERHEAD;
/// Length of one entry of a directory.
pub const ENTRY_LEN: usize = 36;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Objects.
    Objects,
    /// The pack's trailer.
    Trailer,
    /// Nothing.
    Padding,
}

/// One line of a block's directory: an object and the length of its plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub id: ObjectId,
    /// Length in bytes.
    pub length: u32,
}

/// The opened head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Length of the sealed body.
    pub body_length: u32,
    /// Objects in the directory.
    pub count: u32,
    /// Length of the payload as stored.
    pub stored_length: u32,
    /// Length of the payload when decompressed.
    pub plain_length: u32,
    /// Different for every block of a pack.
    pub ordinal: u32,
    /// How the payload is compressed.
    pub codec: Codec,
    /// What the writer asked of the codec.
    pub level: i8,
    /// What the block holds.
    pub kind: BlockKind,
}

impl Head {
    fn directory_length(&self) -> u64 {
        u64::from(self.count) * ENTRY_LEN as u64
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_PLAIN);
        out.put_u32(self.body_length);
        out.put_u32(self.count);
        out.put_u32(self.count * 36);
        out.put_u32(self.stored_length);
        out.put_u32(self.plain_length);
        out.put_u32(self.ordinal);
        out.put_u8(self.codec.number());
        out.put(&self.level.to_le_bytes());
        out.put_u8(match self.kind {
            BlockKind::Objects => 1,
            BlockKind::Trailer => 2,
            BlockKind::Padding => 3,
        });
        out.put(&[0; 9]);
        out
    }

    /// Decodes an opened head and checks that its lengths agree.
    pub fn decode(plain: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(plain);
        let body_length = take.u32("body length")?;
        let count = take.u32("count")?;
        let directory_length = take.u32("directory length")?;
        let stored_length = take.u32("stored length")?;
        let plain_length = take.u32("plain length")?;
        let ordinal = take.u32("ordinal")?;
        let codec = Codec::from_number(take.u8("codec")?).ok_or_else(|| take.unknown("codec"))?;
        let level = i8::from_le_bytes(take.array("level")?);
        let kind = match take.u8("kind")? {
            1 => BlockKind::Objects,
            2 => BlockKind::Trailer,
            3 => BlockKind::Padding,
            _ => return Err(take.unknown("kind")),
        };
        take.zeros(9, "reserved")?;
        take.end("head")?;
        let head = Self { body_length, count, stored_length, plain_length, ordinal, codec, level, kind };
        let inside = head.directory_length() + u64::from(stored_length);
        if u64::from(directory_length) != head.directory_length() || count as usize > BLOCK_OBJECTS {
            return Err(take.error("directory length", "not 36 bytes an object, or too many objects"));
        }
        if plain_length as usize > OBJECT_LIMIT || stored_length as usize > OBJECT_LIMIT {
            return Err(take.error("plain length", "longer than an object may be"));
        }
        let fits =
            body_length % 64 == 0 && (body_length == 0 || u64::from(body_length) >= inside + SEAL_OVERHEAD as u64);
        let empty = body_length == 0 && (inside != 0 || kind != BlockKind::Padding);
        if !fits
            || empty
            || (kind != BlockKind::Padding && u64::from(body_length) >= inside + SEAL_OVERHEAD as u64 + 64)
        {
            return Err(take.error("body length", "does not fit directory and payload"));
        }
        Ok(head)
    }
}

/// Decodes a directory.
pub fn decode_directory(bytes: &[u8]) -> Decoded<Vec<Entry>> {
    let mut take = Take::new(bytes);
    let mut entries = Vec::with_capacity(bytes.len() / ENTRY_LEN);
    while take.remaining() > 0 {
        let id = ObjectId::from_bytes(take.id("object id")?);
        entries.push(Entry { id, length: take.u32("object length")? });
    }
    Ok(entries)
}

fn encode_directory(entries: &[Entry], out: &mut Vec<u8>) {
    for entry in entries {
        out.put(entry.id.as_bytes());
        out.put_u32(entry.length);
    }
}

/// Objects of one class before they are compressed and sealed.
#[derive(Debug, Default)]
pub struct BlockContent<'a> {
    /// The directory, in the order of the payload.
    pub entries: &'a [Entry],
    /// The objects one after another.
    pub plain: &'a [u8],
}

/// A block that has been compressed and waits for a pack to be sealed into. What is sealed is looked at again in
/// `verify.rs`.
#[derive(Debug)]
pub struct Compressed {
    /// Directory ‖ payload ‖ zeros.
    body: Vec<u8>,
    codec: Codec,
    level: i8,
    stored_length: u32,
    plain_length: u32,
    count: u32,
}

/// Compresses a block.
///
/// # Errors
/// It is longer than a block can be.
pub fn compress_block(content: &BlockContent<'_>, setting: Compression) -> Result<Compressed> {
    let number = |n: usize| u32::try_from(n).map_err(|_| crate::Error::Internal("a block too long".to_owned()));
    let directory = content.entries.len() * ENTRY_LEN;
    let mut body = Vec::with_capacity(directory + content.plain.len() + 256);
    encode_directory(content.entries, &mut body);
    let done = compress::compress(setting, content.plain, &mut body);
    let stored_length = number(body.len() - directory)?;
    let sealed = (body.len() + SEAL_OVERHEAD).next_multiple_of(64);
    number(sealed)?;
    body.resize(sealed - SEAL_OVERHEAD, 0);
    Ok(Compressed {
        body,
        codec: done.codec,
        level: done.level,
        stored_length,
        plain_length: number(content.plain.len())?,
        count: number(content.entries.len())?,
    })
}

impl Compressed {
    /// Length in the pack: head and body.
    pub fn sealed_length(&self) -> usize {
        HEAD_LEN + self.body.len() + SEAL_OVERHEAD
    }

    /// How the payload is compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The head that it is sealed with.
    pub(super) fn head(&self, ordinal: u32, kind: BlockKind) -> Head {
        Head {
            body_length: u32::try_from(self.body.len() + SEAL_OVERHEAD).unwrap_or(u32::MAX),
            count: self.count,
            stored_length: self.stored_length,
            plain_length: self.plain_length,
            ordinal,
            codec: self.codec,
            level: self.level,
            kind,
        }
    }

    /// What is sealed as its body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same, for the test that flips bits in it.
    pub(crate) fn body_mut(&mut self) -> &mut [u8] {
        &mut self.body
    }

    /// Seals head and body for a pack, as they will stand there. This stays as it is, so that it can be looked at again.
    pub fn seal(&self, cipher: &FileCipher, ordinal: u32, kind: BlockKind) -> Result<SealedBlock> {
        let head_plain = self.head(ordinal, kind).encode();
        // Stored as it is, the ids in the directory determine the payload, and hashing it again would cost a third of sealing it.
        let determined =
            if self.codec == Codec::None && self.count > 0 { self.count as usize * ENTRY_LEN } else { self.body.len() };
        let unique = blake3::hash(self.body.get(..determined).unwrap_or_default());
        let body = cipher.seal_apart(Record::Body, ordinal, unique.as_bytes(), &head_plain, &self.body)?;
        Ok(SealedBlock { head: seal_head(cipher, ordinal, &head_plain)?, body })
    }
}

/// Head and body of a block as they stand in a pack.
#[derive(Debug)]
pub struct SealedBlock {
    /// 64 bytes.
    pub head: Vec<u8>,
    /// A multiple of 64 bytes.
    pub body: Vec<u8>,
}

fn seal_head(cipher: &FileCipher, ordinal: u32, plain: &[u8]) -> Result<Vec<u8>> {
    cipher.seal_apart(Record::Head, ordinal, plain, &[], plain)
}

/// A padding block that fills a gap of `length` bytes, a multiple of 64 and not 0.
pub fn seal_padding(cipher: &FileCipher, ordinal: u32, length: usize) -> Result<SealedBlock> {
    let body_length = length - HEAD_LEN;
    let head = Head {
        body_length: u32::try_from(body_length).map_err(|_| crate::Error::Internal("padding too long".to_owned()))?,
        count: 0,
        stored_length: 0,
        plain_length: 0,
        ordinal,
        codec: Codec::None,
        level: 0,
        kind: BlockKind::Padding,
    };
    let head_plain = head.encode();
    let mut body = Vec::new();
    if body_length > 0 {
        body.resize(body_length - TAG, 0);
        cipher.seal(Record::Body, ordinal, &head_plain, &head_plain, &mut body)?;
    }
    Ok(SealedBlock { head: seal_head(cipher, ordinal, &head_plain)?, body })
}

const TAG: usize = SEAL_OVERHEAD - NONCE_LEN;

/// Opens a head.
pub fn open_head(cipher: &FileCipher, sealed: &[u8]) -> Opened<(Head, Vec<u8>)> {
    let mut record =
        sealed.get(..HEAD_LEN).ok_or_else(|| Take::new(sealed).error("block head", "the pack ends in it"))?.to_vec();
    let plain = cipher.unseal(Record::Head, &[], &mut record)?;
    Ok((Head::decode(plain)?, plain.to_vec()))
}

/// An opened block: every id has been computed over its plaintext.
#[derive(Debug)]
pub struct OpenBlock {
    /// The directory.
    pub entries: Vec<Entry>,
    /// The decompressed payload.
    pub plain: Vec<u8>,
    /// What the head said.
    pub head: Head,
}

impl OpenBlock {
    /// Where each object begins in the payload, and where the last one ends.
    pub fn starts(&self) -> Vec<usize> {
        let mut end = 0;
        let mut starts = vec![0];
        starts.extend(self.entries.iter().map(|entry| {
            end += entry.length as usize;
            end
        }));
        starts
    }

    /// The objects with their bytes, in order.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, &[u8])> {
        let mut rest = self.plain.as_slice();
        self.entries.iter().map(move |entry| {
            let (object, behind) = rest.split_at_checked(entry.length as usize).unwrap_or_default();
            rest = behind;
            (entry.id, object)
        })
    }
}

/// A block whose tag was right and that was decompressed. No id has been computed: each object is looked at when it is asked for, so that
/// whoever wants few of many pays for few.
#[derive(Debug)]
pub struct Payload {
    block: OpenBlock,
    starts: Vec<usize>,
}

impl Payload {
    fn decode(head: Head, body: &[u8]) -> Opened<Self> {
        let (entries, plain) = decode_body(&head, body)?;
        let block = OpenBlock { entries, plain, head };
        let starts = block.starts();
        if starts.last() != Some(&block.plain.len()) {
            return Err(Take::new(&[]).error("directory", "its lengths are not those of the payload").into());
        }
        Ok(Self { block, starts })
    }

    /// The directory.
    pub fn entries(&self) -> &[Entry] {
        &self.block.entries
    }

    /// What the head said.
    pub fn head(&self) -> &Head {
        &self.block.head
    }

    /// How long it is.
    pub fn plain_length(&self) -> usize {
        self.block.plain.len()
    }

    /// The bytes of one object, whose id has been computed over them.
    ///
    /// # Errors
    /// The block holds fewer objects, or the bytes have another id than the directory says.
    pub fn object(&self, ring: &KeyRing, purpose: Purpose, position: usize) -> Opened<&[u8]> {
        let none = || Take::new(&[]).error("directory", "fewer objects than were asked for");
        let entry = self.block.entries.get(position).ok_or_else(none)?;
        let range = self.starts.get(position).zip(self.starts.get(position + 1)).ok_or_else(none)?;
        let object = self.block.plain.get(*range.0..*range.1).ok_or_else(none)?;
        if ring.object_id(purpose, object) == entry.id {
            Ok(object)
        } else {
            Err(FormatError::WrongId(entry.id.to_hex()))
        }
    }

    /// Computes every id.
    ///
    /// # Errors
    /// The bytes of an object have another id than the directory says.
    pub fn check_ids(&self, ring: &KeyRing, purpose: Purpose) -> Opened<()> {
        (0..self.block.entries.len()).try_for_each(|position| self.object(ring, purpose, position).map(|_| ()))
    }
}

/// Opens a block as it stands in a pack, head and body, in the order of docs/format.md: tag, bounds, decompression into the exact
/// length, then each id.
///
/// # Errors
/// Whatever does not match; nothing of the block is returned then.
pub fn open_block(ring: &KeyRing, cipher: &FileCipher, purpose: Purpose, sealed: &mut [u8]) -> Opened<OpenBlock> {
    let payload = open_block_payload(cipher, sealed)?;
    payload.check_ids(ring, purpose)?;
    Ok(payload.block)
}

/// The same but for the ids, which are computed when objects are asked for.
///
/// # Errors
/// Whatever does not match.
pub fn open_block_payload(cipher: &FileCipher, sealed: &mut [u8]) -> Opened<Payload> {
    let (head, body) = unseal_block(cipher, sealed)?;
    Payload::decode(head, body)
}

/// The same, and the block as it can be sealed into another pack, compressed as it is; with the hash of what was opened, taken before
/// anything else was done with it. If it still has that hash when it has been sealed, what was sealed is what the payload was made of.
///
/// # Errors
/// Whatever does not match.
pub(crate) fn open_block_to_move(
    cipher: &FileCipher,
    mut sealed: Vec<u8>,
) -> Opened<(Payload, Compressed, blake3::Hash)> {
    let (head, body) = unseal_block(cipher, &mut sealed)?;
    let length = body.len();
    sealed.drain(..HEAD_LEN + NONCE_LEN);
    sealed.truncate(length);
    let hash = blake3::hash(&sealed);
    let compressed = Compressed {
        body: sealed,
        codec: head.codec,
        level: head.level,
        stored_length: head.stored_length,
        plain_length: head.plain_length,
        count: head.count,
    };
    Ok((Payload::decode(head, compressed.body())?, compressed, hash))
}

/// Opens a trailer and gives its payload.
pub fn open_trailer(cipher: &FileCipher, sealed: &mut [u8]) -> Opened<Vec<u8>> {
    let (head, body) = unseal_block(cipher, sealed)?;
    let (_, plain) = decode_body(&head, body)?;
    if head.kind != BlockKind::Trailer {
        return Err(Take::new(&[]).error("kind", "not a trailer").into());
    }
    Ok(plain)
}

/// Opens head and body in place: the plaintext of the body stands where it was sealed, behind the head and its nonce.
fn unseal_block<'s>(cipher: &FileCipher, sealed: &'s mut [u8]) -> Opened<(Head, &'s [u8])> {
    let (head, head_plain) = open_head(cipher, sealed)?;
    let end = HEAD_LEN + head.body_length as usize;
    let body = sealed.get_mut(HEAD_LEN..end).ok_or_else(short)?;
    let body = cipher.unseal(Record::Body, &head_plain, body)?;
    Ok((head, body))
}

fn decode_body(head: &Head, body: &[u8]) -> Opened<(Vec<Entry>, Vec<u8>)> {
    let (directory, rest) = body.split_at_checked(head.count as usize * ENTRY_LEN).ok_or_else(short)?;
    let (stored, zeros) = rest.split_at_checked(head.stored_length as usize).ok_or_else(short)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(Take::new(&[]).error("block body", "padding that is not zero").into());
    }
    let plain = decompress(head, stored)?;
    Ok((decode_directory(directory)?, plain))
}

fn short() -> FormatError {
    Take::new(&[]).error("block body", "the pack ends in it").into()
}

fn decompress(head: &Head, stored: &[u8]) -> Opened<Vec<u8>> {
    let mut plain = vec![0; head.plain_length as usize];
    compress::decompress(head.codec, stored, &mut plain)
        .map_err(|error| FormatError::Compression(error.to_string()))?;
    Ok(plain)
}
