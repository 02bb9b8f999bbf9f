//! One run of the local index: what some index segments say, sorted by id, in a mapped file with page checksums.
//!
//! A run is a cache (docs/gc.md, I-R5). It is written once, never changed, and every page is checked against a keyed hash
//! before it is believed; what does not match reads as "not there", which costs time and never data.
//!
//! Layout, in pages of 4,096 bytes: header `magic 8 | segments u32 | packs u32 | blocks u32 | entries u32`, then segment
//! names, packs `name 32 | size u64 | class u8 | zero 3 | segment u32`, blocks `pack u32 | offset u32 | body length u32`,
//! entries `id 32 | block u32 | position u16 | share u16`, the bucket table `first entry u32`, padding to a page; then one 8-byte hash a page.
//!
//! A bucket holds the entries whose ids begin with the same bits; on average there are 16 to 32 in one. A look-up reads
//! one line of the table and, ids being uniform, one or two of the entries, however many there are.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memmap2::Mmap;

use crate::codec::{Decoded, Take};
use crate::crypto::SecretKey;
use crate::format::file::Class;
use crate::id::{FileId, ObjectId, PackId};
use crate::sys;

mod write;

pub(super) use write::{RunStreams, write_run};

const MAGIC: &[u8; 8] = b"VAULTRU4";
const PAGE: usize = 4096;
const HEADER_LEN: usize = 24;
const PACK_LEN: usize = 48;
const BLOCK_LEN: usize = 12;
const ENTRY_LEN: usize = 40;
const HASH_LEN: usize = 8;
/// Fewest entries of a bucket, on average, as a power of two.
const BUCKET_BITS: u32 = 4;
/// Length of a bucket's number in the table.
const BUCKET_LEN: usize = 4;
/// Entries that are checked together when all are read one after another.
const WINDOW: usize = 1024;

/// A pack as a run knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunPack {
    /// Its name.
    pub id: PackId,
    /// The size it must have.
    pub size: u64,
    /// Data or meta.
    pub class: Class,
    /// Index into the run's segments: the one that names it.
    pub segment: u32,
}

/// A block as a run knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunBlock {
    /// Index into the run's packs.
    pub pack: u32,
    /// Offset of the head in the pack.
    pub offset: u32,
    /// Length of the sealed body.
    pub body_length: u32,
}

/// An object as a run knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunEntry {
    /// The object.
    pub id: ObjectId,
    /// Index into the run's blocks.
    pub block: u32,
    /// Which object of the block, from 0.
    pub position: u16,
    /// Its share of the block's plaintext, in 65,535ths, 1 at least.
    pub share: u16,
}

/// What a run is made of before it is written.
#[derive(Debug, Default)]
pub(super) struct RunContent {
    /// The segments it stands for.
    pub segments: Vec<FileId>,
    /// Packs.
    pub packs: Vec<RunPack>,
    /// Blocks.
    pub blocks: Vec<RunBlock>,
    /// Objects, sorted by `write`.
    pub entries: Vec<RunEntry>,
}

/// A mapped run.
#[derive(Debug)]
pub(super) struct Run {
    map: Mmap,
    path: PathBuf,
    page_key: PageKey,
    verified: Vec<AtomicU64>,
    /// A page did not match: what it held reads as "not there".
    damaged: AtomicBool,
    body_len: usize,
    segments: Vec<FileId>,
    packs: Vec<RunPack>,
    blocks_at: usize,
    block_count: usize,
    entries_at: usize,
    entry_count: usize,
}

struct PageKey(SecretKey);

impl std::fmt::Debug for PageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageKey")
    }
}

impl PageKey {
    fn hash(&self, number: usize, page: &[u8]) -> [u8; HASH_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(self.0.expose());
        hasher.update(&(number as u64).to_le_bytes());
        hasher.update(page);
        let mut hash = [0; HASH_LEN];
        hasher.finalize_xof().fill(&mut hash);
        hash
    }
}

/// The key of the page hashes: whoever can write the cache but has no key cannot make up an index.
fn page_key(cache_key: &SecretKey) -> PageKey {
    PageKey(SecretKey::new(blake3::derive_key("vault 1 local index pages", cache_key.expose())))
}

/// How many leading bits of an id say in which bucket it is.
fn bucket_bits(entry_count: usize) -> u32 {
    entry_count.max(1).ilog2().saturating_sub(BUCKET_BITS)
}

/// The bucket of an id that begins with these eight bytes.
fn bucket_of(prefix: u64, bits: u32) -> usize {
    prefix.checked_shr(u64::BITS - bits).and_then(|bucket| usize::try_from(bucket).ok()).unwrap_or(0)
}

impl Run {
    /// Maps a run and checks its header; `None` if it is not one of ours, or damaged there.
    pub(super) fn open(path: &Path, cache_key: &SecretKey) -> Option<Self> {
        let map = sys::map_file(&File::open(path).ok()?).ok()?;
        let pages = map.len() / (PAGE + HASH_LEN);
        let body_len = pages * PAGE;
        if pages == 0 || map.len() != body_len + pages * HASH_LEN {
            return None;
        }
        let mut run = Self {
            map,
            path: path.to_owned(),
            page_key: page_key(cache_key),
            verified: (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            damaged: AtomicBool::new(false),
            body_len,
            segments: Vec::new(),
            packs: Vec::new(),
            blocks_at: 0,
            block_count: 0,
            entries_at: 0,
            entry_count: 0,
        };
        run.read_tables().ok()??;
        Some(run)
    }

    fn read_tables(&mut self) -> Decoded<Option<()>> {
        let Some(header) = self.bytes(0, HEADER_LEN) else { return Ok(None) };
        let mut take = Take::new(header);
        if take.bytes(8, "magic")? != MAGIC {
            return Ok(None);
        }
        let [segments, packs, blocks, entries] =
            [take.u32("segments")?, take.u32("packs")?, take.u32("blocks")?, take.u32("entries")?].map(|n| n as usize);
        let packs_at = HEADER_LEN + segments * 32;
        let blocks_at = packs_at + packs * PACK_LEN;
        let Some(tables) = self.bytes(HEADER_LEN, blocks_at - HEADER_LEN) else { return Ok(None) };
        let mut take = Take::new(tables);
        let segments = (0..segments).map(|_| take.id("segment").map(FileId::from_bytes)).collect::<Decoded<_>>()?;
        let packs = (0..packs).map(|_| take_pack(&mut take)).collect::<Decoded<_>>()?;
        let entries_at = blocks_at + blocks * BLOCK_LEN;
        let table_at = entries_at + entries * ENTRY_LEN;
        if table_at + ((1 << bucket_bits(entries)) + 1) * BUCKET_LEN > self.body_len {
            return Ok(None);
        }
        (self.segments, self.packs) = (segments, packs);
        (self.blocks_at, self.block_count) = (blocks_at, blocks);
        (self.entries_at, self.entry_count) = (entries_at, entries);
        Ok(Some(()))
    }

    /// Bytes of the file whose pages have been checked; `None` if a page is damaged.
    fn bytes(&self, at: usize, len: usize) -> Option<&[u8]> {
        let end = at.checked_add(len).filter(|&end| end <= self.body_len)?;
        for page in at / PAGE..end.div_ceil(PAGE) {
            self.verify(page)?;
        }
        self.map.get(at..end)
    }

    fn verify(&self, page: usize) -> Option<()> {
        let word = self.verified.get(page / 64)?;
        let bit = 1u64 << (page % 64);
        if word.load(Ordering::Relaxed) & bit != 0 {
            return Some(());
        }
        let content = self.map.get(page * PAGE..(page + 1) * PAGE)?;
        let hash_at = self.body_len + page * HASH_LEN;
        if self.map.get(hash_at..hash_at + HASH_LEN)? != self.page_key.hash(page, content) {
            self.damaged.store(true, Ordering::Relaxed);
            return None;
        }
        word.fetch_or(bit, Ordering::Relaxed);
        Some(())
    }

    /// Whether a page was found damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Reads every page; `false` if one is damaged.
    pub(super) fn is_whole(&self) -> bool {
        (0..self.body_len / PAGE).all(|page| self.verify(page).is_some())
    }

    /// The segments it stands for.
    pub(super) fn segments(&self) -> &[FileId] {
        &self.segments
    }

    /// Its packs.
    pub(super) fn packs(&self) -> &[RunPack] {
        &self.packs
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.entry_count
    }

    /// How many blocks it has.
    pub(super) fn block_count(&self) -> usize {
        self.block_count
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// One of its blocks.
    pub(super) fn block(&self, number: u32) -> Option<RunBlock> {
        let number = number as usize;
        if number >= self.block_count {
            return None;
        }
        let mut take = Take::new(self.bytes(self.blocks_at + number * BLOCK_LEN, BLOCK_LEN)?);
        Some(RunBlock {
            pack: take.u32("pack").ok()?,
            offset: take.u32("offset").ok()?,
            body_length: take.u32("length").ok()?,
        })
    }

    /// The `number`-th entry in order of ids.
    pub(super) fn entry(&self, number: usize) -> Option<RunEntry> {
        if number >= self.entry_count {
            return None;
        }
        parse_entry(self.bytes(self.entries_at + number * ENTRY_LEN, ENTRY_LEN)?.first_chunk()?)
    }

    /// The entries from the `first`-th on, but not very many; `None` if a page of them is damaged.
    pub(super) fn entries(&self, first: usize) -> Option<impl Iterator<Item = RunEntry> + use<'_>> {
        let count = self.entry_count.saturating_sub(first).min(WINDOW);
        let bytes = self.bytes(self.entries_at + first * ENTRY_LEN, count * ENTRY_LEN)?;
        Some(bytes.as_chunks().0.iter().filter_map(parse_entry))
    }

    fn id_at(&self, number: usize) -> Option<&[u8]> {
        self.bytes(self.entries_at + number * ENTRY_LEN, 32)
    }

    /// Every entry of an object: those of one id stand together.
    pub(super) fn find(&self, id: &ObjectId) -> impl Iterator<Item = RunEntry> + '_ {
        let wanted = *id;
        let first = self.first_at_or_above(&wanted).unwrap_or(self.entry_count);
        (first..self.entry_count).map_while(move |number| self.entry(number).filter(|entry| entry.id == wanted))
    }

    /// Where the first entry of an object stands.
    pub(super) fn position(&self, id: &ObjectId) -> Option<usize> {
        let first = self.first_at_or_above(id).filter(|&first| first < self.entry_count)?;
        (self.id_at(first)? == id.as_bytes()).then_some(first)
    }

    /// The place that the id has or would have: guessed within its bucket, then step by step.
    fn first_at_or_above(&self, id: &ObjectId) -> Option<usize> {
        let wanted = prefix(id.as_bytes());
        let bits = bucket_bits(self.entry_count);
        let (low, high) = self.bucket(bucket_of(wanted, bits))?;
        let is_below = |number| {
            let met = self.id_at(number)?;
            let met_prefix = prefix(met);
            Some(met_prefix < wanted || met_prefix == wanted && met < id.as_bytes().as_slice())
        };
        let mut at = low + interpolate(wanted << bits, high.checked_sub(low)?);
        while at < high && is_below(at)? {
            at += 1;
        }
        while at > low && !is_below(at - 1)? {
            at -= 1;
        }
        Some(at)
    }

    /// The first entry of a bucket, and that of the next.
    fn bucket(&self, number: usize) -> Option<(usize, usize)> {
        let table_at = self.entries_at + self.entry_count * ENTRY_LEN;
        let mut take = Take::new(self.bytes(table_at + number * BUCKET_LEN, 2 * BUCKET_LEN)?);
        Some((take.u32("first").ok()? as usize, take.u32("next").ok()? as usize))
    }
}

fn parse_entry(bytes: &[u8; ENTRY_LEN]) -> Option<RunEntry> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (block, rest) = rest.split_first_chunk()?;
    let (position, share) = rest.split_first_chunk()?;
    Some(RunEntry {
        id: ObjectId::from_bytes(*id),
        block: u32::from_le_bytes(*block),
        position: u16::from_le_bytes(*position),
        share: u16::from_le_bytes(*share.first_chunk()?),
    })
}

/// The first eight bytes as a number in the order of ids: almost every comparison ends there. The first byte counts highest, whatever the machine.
fn prefix(id: &[u8]) -> u64 {
    id.first_chunk().map_or(0, |first| u64::from_le_bytes(*first).swap_bytes())
}

fn interpolate(prefix: u64, count: usize) -> usize {
    usize::try_from((u128::from(prefix) * count as u128) >> 64).unwrap_or(0)
}

fn take_pack(take: &mut Take<'_>) -> Decoded<RunPack> {
    let id = PackId::from_bytes(take.id("pack")?);
    let size = take.u64("size")?;
    let class = Class::from_number(take.u8("class")?).ok_or_else(|| take.error("class", "unknown"))?;
    take.zeros(3, "reserved")?;
    Ok(RunPack { id, size, class, segment: take.u32("segment")? })
}

#[cfg(test)]
mod tests;
