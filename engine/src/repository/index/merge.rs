//! Merging runs: sorted streams into one, in constant memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;

use super::run::{Run, RunBlock, RunEntry, RunPack, RunStreams, write_run};
use super::{CacheFolder, fresh_run_path};
use crate::crypto::SecretKey;
use crate::error::{Error, Result};

/// Merges the smaller runs into one, so that few are left and a large one is rewritten only when the others have grown as large.
pub(super) fn merge_small(mut runs: Vec<Run>, folder: &CacheFolder, cache_key: &SecretKey) -> Result<Vec<Run>> {
    runs.sort_by_key(Run::len);
    let mut count = 0;
    let mut total = 0;
    for run in &runs {
        if count >= 2 && run.len() > total {
            break;
        }
        total += run.len();
        count += 1;
    }
    let small: Vec<Run> = runs.drain(..count).collect();
    runs.push(merge(&small, folder, cache_key)?);
    for run in &small {
        let _ = fs::remove_file(run.path());
    }
    Ok(runs)
}

fn merge(runs: &[Run], folder: &CacheFolder, cache_key: &SecretKey) -> Result<Run> {
    let damaged = || Error::Internal("a local index run changed while it was merged".to_owned());
    let number = |n: usize| u32::try_from(n).map_err(|_| Error::Internal("an index run of 2^32 blocks".to_owned()));
    let mut segments = Vec::new();
    let mut packs: Vec<RunPack> = Vec::new();
    let mut blocks: Vec<RunBlock> = Vec::new();
    let mut block_bases = Vec::new();
    for run in runs {
        let pack_base = number(packs.len())?;
        block_bases.push(number(blocks.len())?);
        segments.extend_from_slice(run.segments());
        packs.extend_from_slice(run.packs());
        for at in 0..number(run.block_count())? {
            let block = run.block(at).ok_or_else(damaged)?;
            blocks.push(RunBlock { pack: block.pack + pack_base, ..block });
        }
    }
    let streams: Vec<_> =
        runs.iter().zip(&block_bases).map(|(run, base)| Stream { run, base: *base, next: 0 }).collect();
    let tables = RunStreams {
        segments: &segments,
        packs: &packs,
        blocks: &blocks,
        entry_count: runs.iter().map(Run::len).sum(),
    };
    let path = fresh_run_path(folder)?;
    write_run(&path, cache_key, &tables, Merged::new(streams))
}

struct Stream<'a> {
    run: &'a Run,
    base: u32,
    next: usize,
}

impl Stream<'_> {
    fn advance(&mut self) -> Option<Result<RunEntry>> {
        if self.next >= self.run.len() {
            return None;
        }
        let entry = self.run.entry(self.next);
        self.next += 1;
        Some(entry.map(|entry| RunEntry { block: entry.block + self.base, ..entry }).ok_or_else(|| Error::Local {
            action: "read",
            path: self.run.path().to_owned(),
            source: std::io::Error::other("a page of the local index is damaged; the file can be deleted"),
        }))
    }
}

/// The entries of all streams, in order.
struct Merged<'a> {
    streams: Vec<Stream<'a>>,
    heap: BinaryHeap<Reverse<(RunEntry, usize)>>,
    failed: Option<Error>,
}

impl<'a> Merged<'a> {
    fn new(streams: Vec<Stream<'a>>) -> Self {
        let mut merged = Self { heap: BinaryHeap::with_capacity(streams.len()), streams, failed: None };
        for number in 0..merged.streams.len() {
            merged.refill(number);
        }
        merged
    }

    fn refill(&mut self, number: usize) {
        match self.streams.get_mut(number).and_then(Stream::advance) {
            Some(Ok(entry)) => self.heap.push(Reverse((entry, number))),
            Some(Err(error)) => self.failed = Some(error),
            None => {}
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<RunEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let Reverse((entry, number)) = self.heap.pop()?;
        self.refill(number);
        Some(Ok(entry))
    }
}
