//! Reading packs whole: name, commitment, every block and every id, trailer and tail. On all cores, one block in memory a core.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::{CheckReport, Finding, Lost, Severity};
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::block::{Entry, HEAD_LEN, open_block, open_trailer};
use crate::format::file::{FileCipher, HEADER_LEN};
use crate::format::pack::{BlockEntry, TAIL_LEN, Tail};
use crate::format::segment::IndexedPack;
use crate::id::{ObjectId, PackId};
use crate::progress::{Counters, Monitor};
use crate::repository::{Look, Repository, purpose_of};
use crate::store::Key;

/// What reading one pack found.
#[derive(Default)]
struct PackResult {
    pack: PackId,
    findings: Vec<(Finding, Vec<ObjectId>)>,
    objects: u64,
}

/// Reads every pack that exists with the right size.
pub(super) fn read(
    repository: &Repository,
    look: &Look,
    packs: &HashMap<PackId, IndexedPack>,
    jobs: Option<usize>,
    monitor: &dyn Monitor,
    report: &mut CheckReport,
    lost: &mut Lost,
) -> Result<()> {
    let mut whole: Vec<&IndexedPack> =
        packs.values().filter(|pack| look.packs.get(&pack.id) == Some(&pack.size)).collect();
    whole.sort_unstable_by_key(|pack| pack.id);
    if let Some(counters) = monitor.counters() {
        counters.total_bytes.store(whole.iter().map(|pack| pack.size).sum(), Ordering::Relaxed);
    }
    let bytes = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.unwrap_or(0)).build();
    let pool = pool.map_err(|error| Error::Internal(format!("cannot start threads: {error}")))?;
    pool.install(|| {
        whole.par_iter().try_for_each(|pack| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            let result = PackCheck {
                repository,
                pack,
                key: Key::pack(pack.id),
                result: PackResult { pack: pack.id, ..PackResult::default() },
            }
            .run()?;
            bytes.fetch_add(pack.size, Ordering::Relaxed);
            if let Some(counters) = monitor.counters() {
                Counters::add(&counters.bytes, pack.size);
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
            Ok(())
        })
    })?;
    report.bytes_read = bytes.into_inner();
    for result in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        report.objects += result.objects;
        for (finding, ids) in result.findings {
            report.findings.push(finding);
            for id in ids {
                lost.entry(id).or_default().push((result.pack, report.findings.len() - 1));
            }
        }
    }
    Ok(())
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
        if let Err(error) = self.read() {
            match error {
                Error::Interrupted => return Err(error),
                // A compaction has taken it since it was listed; whether anything is missing for it, the structure shows.
                Error::Store(error)
                    if error.kind == StoreErrorKind::NotFound
                        && self.repository.store().size(&self.key).is_ok_and(|size| size.is_none()) =>
                {
                    self.result = PackResult { pack: self.pack.id, ..PackResult::default() };
                }
                Error::Store(error) => {
                    let ids = self.all_ids();
                    let cause = error.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
                    self.find(format!("{error}{cause}"), ids);
                }
                other => {
                    let ids = self.all_ids();
                    self.find(other.to_string(), ids);
                }
            }
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
            self.find(format!("the header is damaged: {error}; nothing in the pack can be opened"), ids);
        }
        let mut end = HEADER_LEN as u64;
        for block in self.pack.blocks().unwrap_or_default() {
            if u64::from(block.offset) != end {
                self.find(format!("the index leaves a gap at offset {end}"), Vec::new());
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
            self.find(format!("{problem}; no object is lost as long as the index is whole"), Vec::new());
        }
        if !named && self.result.findings.is_empty() {
            self.find(
                "its bytes are not those that its name says, yet every block is whole: padding is damaged".to_owned(),
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
                format!("the block at offset {} holds other objects than the index says", block.offset),
                ids(&block.entries),
            ),
            Err(error) => {
                self.find(format!("the block at offset {} is damaged: {error}", block.offset), ids(&block.entries));
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
