//! Trailer and tail of a pack: what makes it readable without any index (docs/format.md §5).

use crate::Result;
use crate::codec::{Decoded, Put, Take};
use crate::compress::Codec;
use crate::crypto::NONCE_LEN;
use crate::format::block::{ENTRY_LEN, Entry, HEAD_LEN, decode_directory};
use crate::format::file::{FileCipher, HEADER_LEN, Record};
use crate::format::{BLOCK_OBJECTS, Opened};

/// Length of the tail, the last record of a pack.
pub const TAIL_LEN: usize = 64;
/// The ordinal that stands for the tail in its nonce.
pub const TAIL_ORDINAL: u32 = u32::MAX;
const BLOCK_LEN: usize = 16;

/// Where a block is in its pack, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// Offset of the head.
    pub offset: u32,
    /// Length of the sealed body behind the head.
    pub body_length: u32,
    /// How it is compressed.
    pub codec: Codec,
    /// The objects, in order.
    pub entries: Vec<Entry>,
}

/// Adds a block to a trailer's plaintext.
pub fn encode_block_entry(block: &BlockEntry, out: &mut Vec<u8>) {
    out.put_u32(block.offset);
    out.put_u32(block.body_length);
    out.put_u8(block.codec.number());
    out.put(&[0; 3]);
    out.put_count(block.entries.len());
    for entry in &block.entries {
        out.put(entry.id.as_bytes());
        out.put_u32(entry.length);
    }
}

/// Decodes a trailer's plaintext: blocks ascending by offset, inside the pack, none overlapping.
pub fn decode_trailer(bytes: &[u8]) -> Decoded<Vec<BlockEntry>> {
    let mut take = Take::new(bytes);
    let mut blocks = Vec::with_capacity(bytes.len() / (BLOCK_LEN + ENTRY_LEN) + 1);
    let mut next_free = HEADER_LEN as u64;
    while take.remaining() > 0 {
        let offset = take.u32("block offset")?;
        let body_length = take.u32("body length")?;
        let codec = Codec::from_number(take.u8("codec")?).ok_or_else(|| take.unknown("codec"))?;
        take.zeros(3, "reserved")?;
        let count = take.count(ENTRY_LEN, "count")?;
        // Blocks without objects are not written; with them a trailer would be much longer in memory than as it stands.
        if count == 0 || count > BLOCK_OBJECTS {
            return Err(take.error("count", "no objects, or more than a block has"));
        }
        if u64::from(offset) < next_free || offset % 64 != 0 || body_length % 64 != 0 {
            return Err(take.error("block offset", "not where a block can be"));
        }
        next_free = u64::from(offset) + HEAD_LEN as u64 + u64::from(body_length);
        let entries = decode_directory(take.bytes(count * ENTRY_LEN, "directory")?)?;
        blocks.push(BlockEntry { offset, body_length, codec, entries });
    }
    Ok(blocks)
}

/// The last record of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Offset of the trailer's head.
    pub trailer_offset: u32,
    /// Blocks of objects.
    pub blocks: u32,
    /// Objects.
    pub objects: u32,
    /// Bytes of plaintext.
    pub plain_bytes: u64,
    /// Who wrote it.
    pub writer: [u8; 16],
}

impl Tail {
    /// Seals it for a pack.
    pub fn seal(&self, cipher: &FileCipher) -> Result<Vec<u8>> {
        let mut record = vec![0; NONCE_LEN];
        record.put_u32(self.trailer_offset);
        record.put_u32(self.blocks);
        record.put_u32(self.objects);
        record.put_u64(self.plain_bytes);
        record.put(&self.writer);
        let unique = record.get(NONCE_LEN..).unwrap_or_default().to_vec();
        cipher.seal(Record::Tail, TAIL_ORDINAL, &unique, &[], &mut record)?;
        Ok(record)
    }

    /// Opens the last 64 bytes of a pack.
    pub fn open(cipher: &FileCipher, sealed: &mut [u8]) -> Opened<Self> {
        let plain = cipher.unseal(Record::Tail, &[], sealed)?;
        let mut take = Take::new(plain);
        let tail = Self {
            trailer_offset: take.u32("trailer offset")?,
            blocks: take.u32("blocks")?,
            objects: take.u32("objects")?,
            plain_bytes: take.u64("plain bytes")?,
            writer: take.array("writer")?,
        };
        take.end("tail")?;
        Ok(tail)
    }
}
