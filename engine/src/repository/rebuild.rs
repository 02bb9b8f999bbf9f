//! Packs that no index segment names: left by a writer that was killed, or by a lost segment. Each says itself what is in it
//! (docs/format.md §5): its trailer, and where that is lost its blocks' heads, which stand at multiples of 64.

use crate::error::{Error, Result, StoreErrorKind};
use crate::format::block::{BlockKind, HEAD_LEN, open_block, open_head, open_trailer};
use crate::format::file::{Class, FileCipher, HEADER_LEN};
use crate::format::pack::{BlockEntry, TAIL_LEN, Tail, decode_trailer, encode_block_entry};
use crate::format::segment::IndexedPack;
use crate::format::{FormatError, PACK_LIMIT};
use crate::id::PackId;
use crate::repository::reader::purpose_of;
use crate::repository::{Core, Index, Look, damaged, opened};
use crate::store::Key;
use crate::sync::on_all_cores;

/// Offset of the class in a header.
const CLASS_AT: usize = 20;

/// What the packs hold that `look` lists, nobody condemned, and no run of `index` knows. A pack of which nothing can be read is left out.
pub(crate) fn orphans(core: &Core, look: &Look, index: &Index) -> Result<Vec<IndexedPack>> {
    let known = index.known_names();
    let mut unknown: Vec<_> =
        look.packs.iter().filter(|(id, _)| !known.contains(id) && !look.condemned.contains(id)).collect();
    unknown.sort_unstable();
    let read: Vec<Option<IndexedPack>> =
        on_all_cores(unknown, |(id, size)| directory_of(core, *id, *size)).into_iter().collect::<Result<_>>()?;
    Ok(read.into_iter().flatten().collect())
}

/// What a pack says of itself; `None` if it is gone, or nothing in it can be opened.
pub(crate) fn directory_of(core: &Core, id: PackId, size: u64) -> Result<Option<IndexedPack>> {
    match PackScan::open(core, id, size).and_then(|scan| scan.directory()) {
        Ok(pack) => Ok(Some(pack)),
        Err(Error::Damaged { .. } | Error::Unsupported { .. }) => Ok(None),
        Err(Error::Store(error)) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Truncated) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

struct PackScan<'a> {
    core: &'a Core,
    key: Key,
    id: PackId,
    size: u64,
    class: Class,
    cipher: FileCipher,
}

impl<'a> PackScan<'a> {
    fn open(core: &'a Core, id: PackId, size: u64) -> Result<Self> {
        let key = Key::pack(id);
        if size < (HEADER_LEN + TAIL_LEN) as u64 || size > PACK_LIMIT {
            return Err(damaged(&key, "no pack has this size"));
        }
        let mut header = [0; HEADER_LEN];
        core.store.read_at(&key, 0, &mut header)?;
        let class = header.get(CLASS_AT).copied().and_then(Class::from_number);
        let Some(class @ (Class::Data | Class::Meta)) = class else {
            return Err(damaged(&key, "its header is not that of a pack"));
        };
        let cipher = opened(&key, FileCipher::open(&core.ring, class, &header))?;
        Ok(Self { core, key, id, size, class, cipher })
    }

    fn directory(&self) -> Result<IndexedPack> {
        let trailer = match self.trailer() {
            Ok(trailer) => trailer,
            Err(Error::Damaged { .. }) => self.scavenge()?,
            Err(error) => return Err(error),
        };
        Ok(IndexedPack { id: self.id, size: self.size, class: self.class, trailer })
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.core.store.read_at(&self.key, offset, &mut bytes)?;
        Ok(bytes)
    }

    /// By the tail, which says where the trailer is.
    fn trailer(&self) -> Result<Vec<u8>> {
        let tail_at = self.size - TAIL_LEN as u64;
        let mut tail = self.read(tail_at, TAIL_LEN)?;
        let tail = opened(&self.key, Tail::open(&self.cipher, &mut tail))?;
        let at = u64::from(tail.trailer_offset);
        let length = tail_at.checked_sub(at).ok_or_else(|| damaged(&self.key, "its tail points behind it"))?;
        let mut rest = self.read(at, usize::try_from(length).unwrap_or(0))?;
        let trailer = opened(&self.key, open_trailer(&self.cipher, &mut rest))?;
        let blocks = decode_trailer(&trailer).map_err(|error| damaged(&self.key, error))?;
        if blocks.len() == tail.blocks as usize {
            Ok(trailer)
        } else {
            Err(damaged(&self.key, "trailer and tail disagree"))
        }
    }

    /// By the blocks: from head to head, and where one does not open on to the next multiple of 64. Only blocks that are whole are named.
    fn scavenge(&self) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        let mut at = HEADER_LEN as u64;
        while at + (HEAD_LEN + TAIL_LEN) as u64 <= self.size {
            at += match self.block_at(at)? {
                Some((block, length)) => {
                    if let Some(block) = block {
                        encode_block_entry(&block, &mut found);
                    }
                    length
                }
                None => HEAD_LEN as u64,
            };
        }
        Ok(found)
    }

    /// The block whose head is here, if one is, and how long it is.
    fn block_at(&self, at: u64) -> Result<Option<(Option<BlockEntry>, u64)>> {
        let head = self.read(at, HEAD_LEN)?;
        let Ok((head, _)) = open_head(&self.cipher, &head) else { return Ok(None) };
        let length = HEAD_LEN as u64 + u64::from(head.body_length);
        if head.kind != BlockKind::Objects || at + length > self.size {
            return Ok(Some((None, length)));
        }
        let mut sealed = self.read(at, usize::try_from(length).unwrap_or(0))?;
        let purpose = purpose_of(self.class);
        match open_block(&self.core.ring, &self.cipher, purpose, &mut sealed) {
            Ok(block) if block.entries.is_empty() => Ok(Some((None, length))),
            Ok(block) => {
                let offset = u32::try_from(at).map_err(|_| damaged(&self.key, "a block behind 4 GiB"))?;
                let entry =
                    BlockEntry { offset, body_length: head.body_length, codec: head.codec, entries: block.entries };
                Ok(Some((Some(entry), length)))
            }
            // The head is whole, the body is not: the next block is behind it.
            Err(FormatError::OtherKey) => Ok(None),
            Err(_) => Ok(Some((None, length))),
        }
    }
}
