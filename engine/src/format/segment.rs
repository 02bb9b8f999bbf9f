//! Index segments: which object is where (docs/format.md §6).

use crate::codec::{Decoded, Put, Take};
use crate::format::file::Class;
use crate::format::pack::{BlockEntry, decode_trailer};
use crate::format::records::skip_fields;
use crate::id::{FileId, PackId};

/// Longest segment that is written; one pack's trailer always fits.
pub const SEGMENT_LIMIT: usize = 16 << 20;
const PACK_LEN: usize = 48;

/// One pack in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedPack {
    /// Its name.
    pub id: PackId,
    /// Its size; with another size it is not that pack.
    pub size: u64,
    /// Data or meta.
    pub class: Class,
    /// Its trailer's plaintext, verbatim.
    pub trailer: Vec<u8>,
}

impl IndexedPack {
    /// Length in a segment.
    pub fn encoded_length(&self) -> usize {
        PACK_LEN + self.trailer.len()
    }

    /// The blocks that the trailer names.
    pub fn blocks(&self) -> Decoded<Vec<BlockEntry>> {
        decode_trailer(&self.trailer)
    }
}

/// A segment of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who wrote it.
    pub writer: [u8; 16],
    /// Segments whose entries it took over.
    pub replaces: Vec<FileId>,
    /// What it says.
    pub packs: Vec<IndexedPack>,
}

impl Segment {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.packs.iter().map(IndexedPack::encoded_length).sum::<usize>() + 64);
        out.put(&self.writer);
        out.put_count(self.replaces.len());
        for name in &self.replaces {
            out.put(name.as_bytes());
        }
        out.put_count(self.packs.len());
        for pack in &self.packs {
            out.put(pack.id.as_bytes());
            out.put_u64(pack.size);
            out.put_u8(pack.class.number());
            out.put(&[0; 3]);
            out.put_blob(&pack.trailer);
        }
        out.put_u32(0);
        out
    }

    /// From a payload.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        let writer = take.array("writer")?;
        let count = take.count(32, "replaces")?;
        let replaces = (0..count).map(|_| take.id("replaces").map(FileId::from_bytes)).collect::<Decoded<_>>()?;
        let count = take.count(PACK_LEN, "packs")?;
        let packs = (0..count).map(|_| decode_pack(&mut take)).collect::<Decoded<_>>()?;
        skip_fields(&mut take)?;
        take.end("segment")?;
        Ok(Self { writer, replaces, packs })
    }
}

fn decode_pack(take: &mut Take<'_>) -> Decoded<IndexedPack> {
    let id = PackId::from_bytes(take.id("pack")?);
    let size = take.u64("pack size")?;
    let Some(class @ (Class::Data | Class::Meta)) = Class::from_number(take.u8("pack class")?) else {
        return Err(take.error("pack class", "neither data nor meta"));
    };
    take.zeros(3, "reserved")?;
    let trailer = take.blob("trailer")?.to_vec();
    Ok(IndexedPack { id, size, class, trailer })
}

/// Packs into segments that are not too long.
pub fn segment_groups(packs: Vec<IndexedPack>) -> Vec<Vec<IndexedPack>> {
    let mut groups: Vec<Vec<IndexedPack>> = Vec::new();
    let mut length = 0;
    for pack in packs {
        length += pack.encoded_length();
        match groups.last_mut() {
            Some(group) if length <= SEGMENT_LIMIT => group.push(pack),
            _ => {
                length = pack.encoded_length();
                groups.push(vec![pack]);
            }
        }
    }
    groups
}
