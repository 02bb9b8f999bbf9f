//! One run of the local index: what some index segments say, sorted by id, in a mapped file with page checksums.
//!
//! A run is a cache (docs/gc.md, I-R5). It is written once, never changed, and every page is checked against a keyed hash
//! before it is believed; what does not match reads as "not there", which costs time and never data.
//!
//! Layout, in pages of 4,096 bytes: header `magic 8 | segments u32 | packs u32 | blocks u32 | entries u32`, then segment
//! names, packs `name 32 | size u64 | class u8 | zero 3 | segment u32`, blocks `pack u32 | offset u32 | body length u32`,
//! entries `id 32 | block u32 | position u16 | share u16`, padding to a page; then one 8-byte hash a page.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memmap2::Mmap;

use crate::codec::{Decoded, Put, Take};
use crate::crypto::SecretKey;
use crate::error::{Error, Result};
use crate::format::file::Class;
use crate::id::{FileId, ObjectId, PackId};
use crate::sys;

const MAGIC: &[u8; 8] = b"VAULTRU3";
const PAGE: usize = 4096;
const HEADER_LEN: usize = 24;
const PACK_LEN: usize = 48;
const BLOCK_LEN: usize = 12;
const ENTRY_LEN: usize = 40;
const HASH_LEN: usize = 8;
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

impl RunContent {
    /// Sorts and writes the run beside its final name, then renames it. It is a cache: nothing is synced.
    pub(super) fn write(mut self, path: &Path, cache_key: &SecretKey) -> Result<Run> {
        // On this thread alone: it may be the one that finishes packs, for which every worker of a pool can be waiting.
        self.entries.sort_unstable();
        let Self { segments, packs, blocks, entries } = self;
        let streams = RunStreams { segments: &segments, packs: &packs, blocks: &blocks, entry_count: entries.len() };
        write_run(path, cache_key, &streams, entries.into_iter().map(Ok))
    }
}

/// The tables of a run whose entries come from an iterator.
#[derive(Debug)]
pub(super) struct RunStreams<'a> {
    /// The segments it stands for.
    pub segments: &'a [FileId],
    /// Packs.
    pub packs: &'a [RunPack],
    /// Blocks.
    pub blocks: &'a [RunBlock],
    /// How many entries come.
    pub entry_count: usize,
}

/// Writes a run from entries that come sorted.
pub(super) fn write_run(
    path: &Path,
    cache_key: &SecretKey,
    tables: &RunStreams<'_>,
    entries: impl Iterator<Item = Result<RunEntry>>,
) -> Result<Run> {
    let local = |action| move |source| Error::Local { action, path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".run-").tempfile_in(folder).map_err(local("create"))?;
    let mut out = PageWriter::new(BufWriter::with_capacity(1 << 18, file), page_key(cache_key));
    let mut head = Vec::new();
    head.put(MAGIC);
    for count in [tables.segments.len(), tables.packs.len(), tables.blocks.len(), tables.entry_count] {
        head.put_count(count);
    }
    tables.segments.iter().for_each(|id| head.put(id.as_bytes()));
    for pack in tables.packs {
        head.put(pack.id.as_bytes());
        head.put_u64(pack.size);
        head.put_u8(pack.class.number());
        head.put(&[0; 3]);
        head.put_u32(pack.segment);
    }
    for block in tables.blocks {
        for number in [block.pack, block.offset, block.body_length] {
            head.put_u32(number);
        }
    }
    out.write(&head).map_err(local("write"))?;
    let mut bytes = Vec::with_capacity(ENTRY_LEN);
    for entry in entries {
        let entry = entry?;
        bytes.clear();
        bytes.put(entry.id.as_bytes());
        bytes.put_u32(entry.block);
        bytes.put_u16(entry.position);
        bytes.put_u16(entry.share);
        out.write(&bytes).map_err(local("write"))?;
    }
    let file = out.finish().map_err(local("write"))?;
    // Mapped before it has its name: from then on another process may take it for one that nobody needs.
    let unreadable = || std::io::Error::other("what was just written is not readable as an index run");
    let mut run = Run::open(file.path(), cache_key).ok_or_else(|| local("read back")(unreadable()))?;
    file.persist(path).map_err(|error| local("rename")(error.error))?;
    path.clone_into(&mut run.path);
    Ok(run)
}

/// Hashes pages as they go by.
struct PageWriter<W> {
    out: W,
    key: PageKey,
    page: Vec<u8>,
    hashes: Vec<u8>,
    number: usize,
}

impl PageWriter<BufWriter<tempfile::NamedTempFile>> {
    fn finish(mut self) -> io::Result<tempfile::NamedTempFile> {
        if !self.page.is_empty() {
            self.page.resize(PAGE, 0);
            self.flush_page()?;
        }
        let hashes = std::mem::take(&mut self.hashes);
        self.out.write_all(&hashes)?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl<W: Write> PageWriter<W> {
    fn new(out: W, key: PageKey) -> Self {
        Self { out, key, page: Vec::with_capacity(PAGE), hashes: Vec::new(), number: 0 }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = PAGE - self.page.len();
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.page.extend_from_slice(now);
            bytes = later;
            if self.page.len() == PAGE {
                self.flush_page()?;
            }
        }
        Ok(())
    }

    fn flush_page(&mut self) -> io::Result<()> {
        self.hashes.extend_from_slice(&self.key.hash(self.number, &self.page));
        self.out.write_all(&self.page)?;
        self.page.clear();
        self.number += 1;
        Ok(())
    }
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
        if entries_at + entries * ENTRY_LEN > self.body_len {
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

    /// Every entry of an object: interpolation search, since ids are uniform.
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

    fn first_at_or_above(&self, id: &ObjectId) -> Option<usize> {
        let (mut low, mut high) = (0, self.entry_count);
        let wanted = prefix(id.as_bytes());
        let mut guess = interpolate(wanted, self.entry_count);
        // Each probe halves what interpolation leaves over; near the guess steps are small, so that few pages are touched.
        let mut step = 16;
        while low < high {
            let probe = guess.clamp(low, high - 1);
            let met = self.id_at(probe)?;
            let met_prefix = prefix(met);
            if met_prefix < wanted || met_prefix == wanted && met < id.as_bytes().as_slice() {
                low = probe + 1;
                guess = if step < self.entry_count { low + step } else { low.midpoint(high) };
            } else {
                high = probe;
                guess = if step < self.entry_count { high.saturating_sub(step) } else { low.midpoint(high) };
            }
            if high - low <= step {
                guess = low.midpoint(high);
            }
            step = step.saturating_mul(4);
        }
        Some(low)
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
