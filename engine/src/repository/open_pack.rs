//! A pack while it is written: blocks from many threads, then trailer, padding and tail.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::compress::{Codec, Compression};
use crate::error::{Error, Result};
use crate::format::PACK_LIMIT;
use crate::format::block::{
    BlockContent, BlockKind, Compressed, Entry, SealedBlock, compress_block, open_trailer, seal_padding,
};
use crate::format::file::{Class, FileCipher, HEADER_LEN, padded};
use crate::format::pack::{BlockEntry, TAIL_LEN, Tail, encode_block_entry};
use crate::format::segment::IndexedPack;
use crate::format::verify::padding_opens;
use crate::id::PackId;
use crate::repository::{Core, Stage};
use crate::store::{Key, Upload};

/// A pack is closed after so many objects, so that its trailer fits into a segment.
const PACK_OBJECTS: u32 = 131_072;

/// A pack that is being written.
#[derive(Debug)]
pub(super) struct OpenPack {
    class: Class,
    cipher: CipherBox,
    next_ordinal: AtomicU32,
    objects: AtomicU32,
    reserved: AtomicU64,
    state: Mutex<PackState>,
}

/// A cipher with nothing to print.
struct CipherBox(FileCipher);

impl std::fmt::Debug for CipherBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileCipher")
    }
}

#[derive(Debug)]
struct PackState {
    upload: Box<dyn Upload>,
    hasher: Box<blake3::Hasher>,
    /// Over what the trailer must say, updated when a block is appended: its list waits long in memory.
    listed: Box<blake3::Hasher>,
    offset: u64,
    plain_bytes: u64,
    blocks: Vec<BlockEntry>,
    /// A write has failed: nobody knows how much of it is there, so nothing may follow it.
    broken: bool,
}

impl OpenPack {
    /// Begins one.
    pub(super) fn create(core: &Core, class: Class) -> Result<Self> {
        let cipher = FileCipher::create(&core.ring, class, core.session)?;
        let mut upload = core.store.begin()?;
        upload.append(cipher.header())?;
        let mut hasher = Box::new(blake3::Hasher::new());
        hasher.update(cipher.header());
        let state = PackState {
            upload,
            hasher,
            listed: Box::default(),
            offset: HEADER_LEN as u64,
            plain_bytes: 0,
            blocks: Vec::new(),
            broken: false,
        };
        Ok(Self {
            class,
            cipher: CipherBox(cipher),
            next_ordinal: AtomicU32::new(0),
            objects: AtomicU32::new(0),
            reserved: AtomicU64::new(0),
            state: Mutex::new(state),
        })
    }

    /// Takes room for a block: its ordinal, and whether the pack has room for more after it.
    pub(super) fn reserve(&self, core: &Core, block: &Compressed, objects: usize) -> (u32, bool) {
        let ordinal = self.next_ordinal.fetch_add(1, Ordering::Relaxed);
        let length = block.sealed_length() as u64;
        let reserved = self.reserved.fetch_add(length, Ordering::Relaxed) + length;
        let count = u32::try_from(objects).unwrap_or(u32::MAX);
        let objects = self.objects.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        (ordinal, reserved < u64::from(core.profile.pack_bytes) && objects < PACK_OBJECTS)
    }

    /// Bytes for which room was taken.
    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Whether a write to it has failed. Such a pack is given up; what is in it was not stored.
    pub(super) fn is_broken(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).broken
    }

    /// Seals blocks for this pack.
    pub(super) fn cipher(&self) -> &FileCipher {
        &self.cipher.0
    }

    /// Adds a block at its end.
    pub(super) fn append(
        &self,
        block: &SealedBlock,
        codec: Codec,
        entries: &[Entry],
        plain_length: usize,
    ) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = u32::try_from(state.offset).map_err(|_| Error::Internal("a pack of 4 GiB".to_owned()))?;
        let body_length =
            u32::try_from(block.body.len()).map_err(|_| Error::Internal("a block of 4 GiB".to_owned()))?;
        state.write(&block.head)?;
        state.write(&block.body)?;
        state.plain_bytes += plain_length as u64;
        let block = BlockEntry { offset, body_length, codec, entries: entries.to_vec() };
        let mut listed = Vec::new();
        encode_block_entry(&block, &mut listed);
        state.listed.update(&listed);
        state.blocks.push(block);
        Ok(())
    }

    /// Another cipher for the same pack, from its header and the repository's keys: one that opens what a fault in this one's keys has
    /// sealed would be the same one.
    pub(super) fn opener(&self, core: &Core) -> Result<FileCipher> {
        opener(core, self.class, self.cipher())
    }

    /// Trailer, padding, tail; then sync and name. After this returns the pack is durable. Gives with it the hash of the trailer.
    pub(super) fn finish(self, core: &Core) -> Result<(IndexedPack, blake3::Hash)> {
        let Self { class, cipher: CipherBox(cipher), next_ordinal, state, .. } = self;
        let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ordinal = next_ordinal.into_inner();
        let mut trailer = Vec::new();
        for block in &state.blocks {
            encode_block_entry(block, &mut trailer);
        }
        let number = |n: usize| u32::try_from(n).map_err(|_| Error::Internal("a pack too large".to_owned()));
        let objects = state.blocks.iter().map(|block| block.entries.len()).sum();
        let tail = Tail {
            trailer_offset: number(usize::try_from(state.offset).unwrap_or(usize::MAX))?,
            blocks: number(state.blocks.len())?,
            objects: number(objects)?,
            plain_bytes: state.plain_bytes,
            writer: core.host_id,
        };
        let opener = opener(core, class, &cipher)?;
        core.flips.alter(Stage::Trailer, &mut trailer);
        let content = BlockContent { entries: &[], plain: &trailer };
        let mut sealed = compress_block(&content, Compression::None)?.seal(&cipher, ordinal, BlockKind::Trailer)?;
        core.flips.alter(Stage::SealedTrailer, &mut sealed.body);
        let listed = state.listed.finalize();
        let reopened = open_trailer(&opener, &mut [sealed.head.as_slice(), &sealed.body].concat());
        unaltered("the trailer of a pack", reopened.is_ok_and(|trailer| blake3::hash(&trailer) == listed))?;
        state.write(&sealed.head)?;
        state.write(&sealed.body)?;
        let bare = state.offset + TAIL_LEN as u64;
        let gap = usize::try_from(padded(bare) - bare).unwrap_or(0);
        if gap > 0 {
            let mut padding = seal_padding(&cipher, ordinal + 1, gap)?;
            core.flips.alter(Stage::Padding, &mut padding.head);
            unaltered("the padding of a pack", padding_opens(&opener, &padding))?;
            state.write(&padding.head)?;
            state.write(&padding.body)?;
        }
        let mut sealed = tail.seal(&cipher)?;
        core.flips.alter(Stage::Tail, &mut sealed);
        unaltered("the tail of a pack", Tail::open(&opener, &mut sealed.clone()).is_ok_and(|opened| opened == tail))?;
        state.write(&sealed)?;
        if state.offset > PACK_LIMIT {
            return Err(Error::Internal("a pack of more than 1 GiB".to_owned()));
        }
        let id = PackId::from_bytes(*state.hasher.finalize().as_bytes());
        state.upload.finish(&Key::pack(id))?;
        Ok((IndexedPack { id, size: state.offset, class, trailer }, listed))
    }
}

fn opener(core: &Core, class: Class, cipher: &FileCipher) -> Result<FileCipher> {
    FileCipher::open(&core.ring, class, cipher.header()).map_err(|_| Error::Altered { what: "the header of a pack" })
}

fn unaltered(what: &'static str, is_right: bool) -> Result<()> {
    if is_right { Ok(()) } else { Err(Error::Altered { what }) }
}

impl PackState {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.broken {
            return Err(Error::Internal("a write to a pack that was given up".to_owned()));
        }
        self.hasher.update(bytes);
        let written = self.upload.append(bytes);
        self.broken = written.is_err();
        written?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
