//! Reading packs whole: name, commitment, every block and every id, trailer and tail. On all cores, one block in memory a core.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::slice::{Slice, Verified, choose};
use super::{CheckReport, Finding, Lost, REPAIR, Severity};
use crate::clock::{self, Stopwatch};
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::block::{Entry, HEAD_LEN, open_block, open_trailer};
use crate::format::file::{FileCipher, HEADER_LEN};
use crate::format::pack::{BlockEntry, TAIL_LEN, Tail};
use crate::format::segment::IndexedPack;
use crate::id::{ObjectId, PackId};
use crate::progress::{Counters, Monitor};
use crate::repository::{Look, Repository, purpose_of};
use crate::store::Key;
use crate::sync::{self, lock};

/// What reading one pack found.
#[derive(Default)]
struct PackResult {
    pack: PackId,
    findings: Vec<(Finding, Vec<ObjectId>)>,
    objects: u64,
    /// It was read to its end.
    read: bool,
    /// How the store failed to read it, which says nothing of its bytes.
    unread: Option<StoreErrorKind>,
}

/// Reads packs: which, for how long, on how many threads.
pub(super) struct Reading<'a> {
    pub(super) repository: &'a Repository,
    pub(super) slice: Slice,
    pub(super) jobs: Option<usize>,
    pub(super) watch: Stopwatch,
    pub(super) monitor: &'a dyn Monitor,
}

impl Reading<'_> {
    /// Reads the chosen ones of the packs that exist with the right size. What was verified is recorded even if the user stops it.
    pub(super) fn read(
        &self,
        look: &Look,
        packs: &HashMap<PackId, IndexedPack>,
        verified: &mut Verified,
        report: &mut CheckReport,
        lost: &mut Lost,
    ) -> Result<()> {
        let now = clock::now();
        let now = u64::try_from(now.seconds).unwrap_or(0) * 1_000_000_000 + u64::from(now.nanoseconds);
        let whole = packs.values().filter(|pack| look.packs.get(&pack.id) == Some(&pack.size)).collect();
        let chosen = choose(whole, self.slice.share, verified, now);
        let bytes = chosen.iter().map(|pack| pack.size).sum();
        if let Some(counters) = self.monitor.counters() {
            counters.total_bytes.store(bytes, Ordering::Relaxed);
        }
        let results = Mutex::new(Vec::new());
        let outcome = self.each(&chosen, &|pack| {
            let result = PackResult { pack: pack.id, ..PackResult::default() };
            let check = PackCheck { repository: self.repository, pack, key: Key::pack(pack.id), result };
            // Before the lock is taken: what an argument computes is computed under its receiver's lock.
            let result = check.run()?;
            // Read in pieces, it would push a database's pages out of memory.
            self.repository.store().uncache(&Key::pack(pack.id));
            lock(&results).push((result, pack.size));
            if let Some(counters) = self.monitor.counters() {
                Counters::add(&counters.bytes, pack.size);
            }
            Ok(())
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(result, _)| result.pack);
        report.packs_read = results.len() as u64;
        report.bytes_read = results.iter().map(|(_, size)| size).sum();
        report.packs_left = chosen.len() as u64 - report.packs_read;
        report.bytes_left = bytes - report.bytes_read;
        verified.retain(|pack| look.packs.contains_key(pack));
        for (result, _) in results {
            if !result.findings.is_empty() {
                verified.forget(&result.pack);
            } else if result.read {
                verified.record(result.pack, now);
            }
            note(result, report, lost);
        }
        outcome
    }

    /// Hands packs to threads, strictly in their order, until there is no more, the time is over or the user wishes to stop.
    fn each(&self, chosen: &[&IndexedPack], check: &(dyn Fn(&IndexedPack) -> Result<()> + Sync)) -> Result<()> {
        let time_is_over = || self.slice.max_duration.is_some_and(|most| self.watch.elapsed() >= most);
        in_order(self.jobs, chosen, &|pack| {
            if self.monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            if time_is_over() {
                return Ok(false);
            }
            check(pack).map(|()| true)
        })
    }
}

/// Does `each` to items on all cores, begun strictly in their order; ends at the first that fails or says `false`.
pub(super) fn in_order<T: Sync>(
    jobs: Option<usize>,
    items: &[T],
    each: &(dyn Fn(&T) -> Result<bool> + Sync),
) -> Result<()> {
    let pool = sync::pool(jobs)?;
    let next = AtomicUsize::new(0);
    let ended = pool.broadcast(|_| {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            match each(item) {
                Ok(true) => {}
                ended => {
                    next.store(items.len(), Ordering::Relaxed);
                    return ended.map(drop);
                }
            }
        }
        Ok(())
    });
    ended.into_iter().collect()
}

/// What a pack's damage means: which objects have no copy there.
fn note(result: PackResult, report: &mut CheckReport, lost: &mut Lost) {
    report.objects += result.objects;
    report.unread.extend(result.unread.map(|kind| (result.pack, kind)));
    for (finding, ids) in result.findings {
        report.findings.push(finding);
        for id in ids {
            lost.entry(id).or_default().push((result.pack, report.findings.len() - 1));
        }
    }
}

struct PackCheck<'a> {
    repository: &'a Repository,
    pack: &'a IndexedPack,
    key: Key,
    result: PackResult,
}

impl PackCheck<'_> {
    fn find(&mut self, message: String, ids: Vec<ObjectId>) {
        let finding =
            Finding { severity: Severity::Error, file: self.key.to_string(), object: None, message, harms: Vec::new() };
        self.result.findings.push((finding, ids));
    }

    fn all_ids(&self) -> Vec<ObjectId> {
        let blocks = self.pack.blocks().unwrap_or_default();
        blocks.into_iter().flat_map(|block| block.entries).map(|entry| entry.id).collect()
    }

    /// Only the user's wish to stop ends it; a store that cannot read the pack is a finding.
    fn run(mut self) -> Result<PackResult> {
        match self.read() {
            Ok(()) => self.result.read = true,
            Err(error) => match error {
                Error::Interrupted => return Err(error),
                // A compaction has taken it since it was listed; whether anything is missing for it, the structure shows.
                Error::Store(error)
                    if error.kind == StoreErrorKind::NotFound
                        && self.repository.store().size(&self.key).is_ok_and(|size| size.is_none()) =>
                {
                    self.result = PackResult { pack: self.pack.id, ..PackResult::default() };
                }
                Error::Store(error) => {
                    let is_loss = matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Truncated);
                    self.result.unread = (!is_loss).then_some(error.kind);
                    let ids = self.all_ids();
                    let cause = error.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
                    self.find(
                        format!(
                            "{error}{cause}; if it stays so, copy the repository to another disk and there {REPAIR}"
                        ),
                        ids,
                    );
                }
                other => {
                    let ids = self.all_ids();
                    self.find(format!("{other}; {REPAIR}"), ids);
                }
            },
        }
        Ok(self.result)
    }

    fn read(&mut self) -> Result<()> {
        let mut header = [0; HEADER_LEN];
        self.repository.store().read_at(&self.key, 0, &mut header)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        let cipher = FileCipher::open(self.repository.ring(), self.pack.class, &header);
        if let Err(error) = &cipher {
            let ids = self.all_ids();
            self.find(format!("the header is damaged: {error}; nothing in the pack can be opened; {REPAIR}"), ids);
        }
        let mut end = HEADER_LEN as u64;
        for block in self.pack.blocks().unwrap_or_default() {
            if u64::from(block.offset) != end {
                self.find(
                    format!("the index leaves a gap at offset {end}; what follows was not read; {REPAIR}"),
                    Vec::new(),
                );
                return Ok(());
            }
            let mut sealed = vec![0; HEAD_LEN + block.body_length as usize];
            self.repository.store().read_at(&self.key, end, &mut sealed)?;
            hasher.update(&sealed);
            end += sealed.len() as u64;
            if let Ok(cipher) = &cipher {
                self.block(cipher, &block, &mut sealed);
            }
        }
        let rest = self.pack.size.saturating_sub(end);
        let mut behind = vec![0; usize::try_from(rest).unwrap_or(0)];
        self.repository.store().read_at(&self.key, end, &mut behind)?;
        hasher.update(&behind);
        let named = hasher.finalize() == *self.pack.id.as_bytes();
        if let Ok(cipher) = &cipher
            && let Err(problem) = self.trailer(cipher, end, &mut behind)
        {
            self.find(format!("{problem}; no archive is harmed as long as the index is whole; {REPAIR}"), Vec::new());
        }
        if !named && self.result.findings.is_empty() {
            self.find(
                format!(
                    "its bytes are not those that its name says, yet every block is whole: padding is damaged; no archive is harmed; \
                     {REPAIR}"
                ),
                Vec::new(),
            );
        }
        Ok(())
    }

    fn block(&mut self, cipher: &FileCipher, block: &BlockEntry, sealed: &mut [u8]) {
        let purpose = purpose_of(self.pack.class);
        let ids = |entries: &[Entry]| entries.iter().map(|entry| entry.id).collect();
        match open_block(self.repository.ring(), cipher, purpose, sealed) {
            Ok(open) if open.entries == block.entries => self.result.objects += open.entries.len() as u64,
            Ok(_) => self.find(
                format!("the block at offset {} holds other objects than the index says; {REPAIR}", block.offset),
                ids(&block.entries),
            ),
            Err(error) => {
                self.find(
                    format!("the block at offset {} is damaged: {error}; {REPAIR}", block.offset),
                    ids(&block.entries),
                );
            }
        }
    }

    /// What makes the pack readable without the index.
    fn trailer(&self, cipher: &FileCipher, trailer_at: u64, behind: &mut [u8]) -> std::result::Result<(), String> {
        let tail_at = behind.len().checked_sub(TAIL_LEN).ok_or("the pack ends before its tail")?;
        let (front, tail) = behind.split_at_mut_checked(tail_at).ok_or("the pack ends before its tail")?;
        let tail = Tail::open(cipher, tail).map_err(|error| format!("the tail is damaged: {error}"))?;
        if u64::from(tail.trailer_offset) != trailer_at {
            return Err("the tail names another place for the trailer".to_owned());
        }
        let trailer = open_trailer(cipher, front).map_err(|error| format!("the trailer is damaged: {error}"))?;
        if trailer == self.pack.trailer {
            Ok(())
        } else {
            Err("the trailer says other things than the index".to_owned())
        }
    }
}
