//! Merging runs: sorted streams into one, in memory for tables of packs, blocks and buckets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs;

use super::folder::{CacheFolder, fresh_run_path};
use super::run::{Run, RunBlock, RunEntry, RunPack, RunStreams, write_run};
use crate::crypto::SecretKey;
use crate::error::{Error, Result};
use crate::id::ObjectId;

/// Merges the smaller runs into one.
pub(super) fn merge_small(mut runs: Vec<Run>, folder: &CacheFolder, cache_key: &SecretKey) -> Result<Vec<Run>> {
    runs.sort_by_key(Run::len);
    let count = how_many(runs.iter().map(Run::len));
    let small: Vec<Run> = runs.drain(..count).collect();
    runs.push(merge(&small.iter().collect::<Vec<_>>(), folder, cache_key)?);
    for run in &small {
        let _ = fs::remove_file(run.path());
    }
    Ok(runs)
}

/// How many of the first runs to merge, two at least, given the lengths of all: few are left then, and a large one is rewritten only when
/// those before it have grown as large.
pub(super) fn how_many(lengths: impl Iterator<Item = usize>) -> usize {
    let mut count = 0;
    let mut total = 0;
    for length in lengths {
        if count >= 2 && length > total {
            break;
        }
        total += length;
        count += 1;
    }
    count
}

/// One run that says what all of these say: their packs in the same order.
pub(super) fn merge(runs: &[&Run], folder: &CacheFolder, cache_key: &SecretKey) -> Result<Run> {
    let number = |n: usize| u32::try_from(n).map_err(|_| Error::Internal("an index run of 2^32 blocks".to_owned()));
    let mut segments = Vec::new();
    let mut packs: Vec<RunPack> = Vec::new();
    let mut blocks: Vec<RunBlock> = Vec::new();
    let mut block_bases = Vec::new();
    for run in runs {
        let pack_base = number(packs.len())?;
        block_bases.push(number(blocks.len())?);
        let segment_base = number(segments.len())?;
        segments.extend_from_slice(run.segments());
        packs.extend(run.packs().iter().map(|pack| RunPack { segment: pack.segment + segment_base, ..*pack }));
        for at in 0..number(run.block_count())? {
            let block = run.block(at).ok_or_else(|| damaged(run))?;
            blocks.push(RunBlock { pack: block.pack + pack_base, ..block });
        }
    }
    let tables = RunStreams {
        segments: &segments,
        packs: &packs,
        blocks: &blocks,
        entry_count: runs.iter().map(|run| run.len()).sum(),
    };
    let entries = Merged::new(runs.iter().copied()).map(|met| {
        let Met { run, entry, .. } = met?;
        let base = block_bases.get(run).copied().unwrap_or(0);
        Ok(RunEntry { block: entry.block + base, ..entry })
    });
    let path = fresh_run_path(folder)?;
    write_run(&path, cache_key, &tables, entries)
}

/// What to say when a page of a run does not match.
pub(super) fn damaged(run: &Run) -> Error {
    Error::Local {
        action: "read",
        path: run.path().to_owned(),
        source: std::io::Error::other("a page of the local index is damaged; the file can be deleted"),
    }
}

/// An entry, and where it stands.
#[derive(Debug)]
pub(super) struct Met {
    /// Which of the runs.
    pub run: usize,
    /// Where in that run, from 0.
    pub at: usize,
    /// What it says.
    pub entry: RunEntry,
}

struct Stream<'a> {
    run: &'a Run,
    number: usize,
    window: Box<dyn Iterator<Item = RunEntry> + 'a>,
    next: usize,
    head: Option<Met>,
}

impl<'a> Stream<'a> {
    fn new((number, run): (usize, &'a Run)) -> Self {
        Self { run, number, window: Box::new(std::iter::empty()), next: 0, head: None }
    }

    /// Reads the next entry, gives the one before.
    fn advance(&mut self) -> Result<Option<Met>> {
        let at = self.next;
        let next = if at < self.run.len() { Some(Met { run: self.number, at, entry: self.read()? }) } else { None };
        Ok(std::mem::replace(&mut self.head, next))
    }

    fn read(&mut self) -> Result<RunEntry> {
        let mut entry = self.window.next();
        if entry.is_none() {
            self.window = Box::new(self.run.entries(self.next).ok_or_else(|| damaged(self.run))?);
            entry = self.window.next();
        }
        self.next += 1;
        entry.ok_or_else(|| damaged(self.run))
    }
}

/// The entries of all runs in order of ids; those of one id in order of the runs, and of their places there.
pub(super) struct Merged<'a> {
    streams: Vec<Stream<'a>>,
    heap: BinaryHeap<Reverse<(ObjectId, usize)>>,
    failed: Option<Error>,
}

impl<'a> Merged<'a> {
    pub(super) fn new(runs: impl IntoIterator<Item = &'a Run>) -> Self {
        let mut streams: Vec<_> = runs.into_iter().enumerate().map(Stream::new).collect();
        let mut heap = BinaryHeap::with_capacity(streams.len());
        let mut failed = None;
        for stream in &mut streams {
            failed = stream.advance().err().or(failed);
            heap.extend(stream.head.as_ref().map(|head| Reverse((head.entry.id, stream.number))));
        }
        Self { streams, heap, failed }
    }

    fn take(&mut self) -> Result<Option<Met>> {
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let Reverse((smallest, number)) = &mut *top;
        let Some(stream) = self.streams.get_mut(*number) else { return Ok(None) };
        let met = stream.advance()?;
        match &stream.head {
            Some(head) => *smallest = head.entry.id,
            None => drop(PeekMut::pop(top)),
        }
        Ok(met)
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Met>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.failed.take() {
            Some(error) => Some(Err(error)),
            None => self.take().transpose(),
        }
    }
}
