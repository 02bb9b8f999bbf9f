//! Writing a run: page by page, each with its hash, the bucket table last.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{
    ENTRY_LEN, MAGIC, PAGE, PageKey, Run, RunBlock, RunContent, RunEntry, RunPack, bucket_bits, bucket_of, page_key,
    prefix,
};
use crate::codec::Put;
use crate::crypto::SecretKey;
use crate::error::{Error, Result};
use crate::id::{FileId, ObjectId};
use crate::repository::index::folder::TEMPORARY;

impl RunContent {
    /// Sorts and writes the run beside its final name, then renames it. It is a cache: nothing is synced.
    pub(in crate::repository::index) fn write(mut self, path: &Path, cache_key: &SecretKey) -> Result<Run> {
        // On this thread alone: it may be the one that finishes packs, for which every worker of a pool can be waiting.
        self.entries.sort_unstable();
        let Self { segments, packs, blocks, entries } = self;
        let streams = RunStreams { segments: &segments, packs: &packs, blocks: &blocks, entry_count: entries.len() };
        write_run(path, cache_key, &streams, entries.into_iter().map(Ok))
    }
}

/// The tables of a run whose entries come from an iterator.
#[derive(Debug)]
pub(in crate::repository::index) struct RunStreams<'a> {
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
pub(in crate::repository::index) fn write_run(
    path: &Path,
    cache_key: &SecretKey,
    tables: &RunStreams<'_>,
    entries: impl Iterator<Item = Result<RunEntry>>,
) -> Result<Run> {
    let local = |action| move |source| Error::Local { action, path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map_err(local("create"))?;
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
    let mut table = BucketTable::of(tables.entry_count);
    for entry in entries {
        let entry = entry?;
        table.add(&entry.id);
        bytes.clear();
        bytes.put(entry.id.as_bytes());
        bytes.put_u32(entry.block);
        bytes.put_u16(entry.position);
        bytes.put_u16(entry.share);
        out.write(&bytes).map_err(local("write"))?;
    }
    for first in table.finish() {
        out.write(&first.to_le_bytes()).map_err(local("write"))?;
    }
    let file = out.finish().map_err(local("write"))?;
    // Mapped before it has its name: from then on another process may take it for one that nobody needs.
    let unreadable = || std::io::Error::other("what was just written is not readable as an index run");
    let mut run = Run::open(file.path(), cache_key).ok_or_else(|| local("read back")(unreadable()))?;
    file.persist(path).map_err(|error| local("rename")(error.error))?;
    path.clone_into(&mut run.path);
    Ok(run)
}

/// The bucket table as it comes to be: how many entries stand before each bucket, and at its end before none.
struct BucketTable {
    bits: u32,
    entries: u32,
    firsts: Vec<u32>,
}

impl BucketTable {
    fn of(entry_count: usize) -> Self {
        let bits = bucket_bits(entry_count);
        Self { bits, entries: 0, firsts: Vec::with_capacity((1 << bits) + 1) }
    }

    /// Adds the next entry in order of ids.
    fn add(&mut self, id: &ObjectId) {
        self.begin_buckets(bucket_of(prefix(id.as_bytes()), self.bits) + 1);
        self.entries += 1;
    }

    fn begin_buckets(&mut self, so_many: usize) {
        if self.firsts.len() < so_many {
            self.firsts.resize(so_many, self.entries);
        }
    }

    fn finish(mut self) -> Vec<u32> {
        self.begin_buckets((1 << self.bits) + 1);
        self.firsts
    }
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
