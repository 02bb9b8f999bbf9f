//! `compact`: gives back the space of what no archive needs. docs/gc.md, rules 9 to 16, one function a step in repository/gc/.
//!
//! 1. Deleted archives are purged, pending ones of dead runs expired.
//! 2. A survey: what lives, how much of each pack; which packs should go.
//! 3. Rounds of condemn, look, copy, reindex, drop: first what is wholly dead, which needs no room; then what is partly dead, no more
//!    at a time than there is room for. Each round leaves the repository whole, whether or not there is another.
//! 4. Marks without a manifest go, and the files of sessions that are over.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::compress::Compression;
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::records::{GcRecord, Verb};
use crate::id::{ArchiveId, ObjectId, PackId};
use crate::ops::check::{self, CheckOptions};
use crate::progress::Monitor;
use crate::repository::gc::look::{self, Imagined, Manifests, View};
use crate::repository::gc::patience::Patience;
use crate::repository::gc::plan::{self, Doomed, Plan, Why};
use crate::repository::gc::retire::{self, Retired};
use crate::repository::gc::{self, Dropped, copy, reindex};
use crate::repository::{Look, Packer, Repository};

/// Looks until what is owed could be copied: sources may go while they are read, if other compactions run.
const LOOKS: usize = 3;
/// At least so much is copied in one round, if there is room.
const LEAST_ROUND: u64 = 1 << 30;
/// A round copies at least this share of the repository, so that looking does not cost more than copying.
const ROUND_SHARE: u64 = 16;
/// Room that a round leaves to others.
const LEFT_FREE: u64 = 64 << 20;

/// What to free, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactOptions {
    /// Share of a pack or block, in percent, that must be dead before it is rewritten.
    pub threshold: u8,
    /// Most bytes that are copied out of packs that live in part.
    pub max_repack: Option<u64>,
    /// No round is begun after this.
    pub max_duration: Option<Duration>,
    /// How long what a run has put is kept although no archive needs it, as long as that run may be alive or be repeated.
    pub grace: Duration,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Worker threads; one a core without it.
    pub jobs: Option<usize>,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            threshold: 10,
            max_repack: None,
            max_duration: None,
            grace: Duration::from_secs(7 * 24 * 3600),
            dry_run: false,
            jobs: None,
        }
    }
}

/// What a compaction did, or on a dry run what one would do.
#[derive(Clone, Debug, Default)]
pub struct CompactReport {
    /// Deleted archives that are gone for good.
    pub purged: u64,
    /// Pending archives of dead runs.
    pub expired: u64,
    /// Packs that nobody needs, kept because their run may be alive or be repeated.
    pub spared: u64,
    /// Packs at the beginning.
    pub packs_before: u64,
    /// Bytes of packs and index segments at the beginning.
    pub bytes_before: u64,
    /// Packs removed of which nothing was needed.
    pub dead_packs: u64,
    /// Their bytes.
    pub dead_bytes: u64,
    /// Packs removed after what was needed of them was copied.
    pub rewritten_packs: u64,
    /// Their bytes.
    pub rewritten_bytes: u64,
    /// Bytes of sealed blocks that were read to be copied.
    pub copied_bytes: u64,
    /// Packs written.
    pub new_packs: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Index segments at the beginning.
    pub segments_before: u64,
    /// Index segments at the end.
    pub segments_after: u64,
    /// By how much the packs and index segments have become smaller.
    pub freed_bytes: u64,
    /// Why no more was done.
    pub left: Vec<String>,
    /// How long it took.
    pub duration: Duration,
}

/// Frees the space of what no archive needs. Other hosts may do anything at the same time, compacting included.
///
/// # Errors
/// The store failed, or something that an archive needs is nowhere: nothing is deleted that could matter. Whatever was begun, the next
/// compaction finishes.
pub fn compact(repository: &Repository, options: &CompactOptions, monitor: &dyn Monitor) -> Result<CompactReport> {
    repository.check_writable()?;
    let watch = Stopwatch::start();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.jobs.unwrap_or(0)).build();
    let pool = pool.map_err(|error| Error::Internal(format!("cannot start threads: {error}")))?;
    let mut report = pool.install(|| {
        let mut compaction = Compaction {
            repository,
            options,
            monitor,
            watch,
            manifests: Manifests::default(),
            report: CompactReport::default(),
        };
        compaction.run()?;
        Ok::<_, Error>(compaction.report)
    })?;
    report.duration = watch.elapsed();
    Ok(report)
}

struct Compaction<'a> {
    repository: &'a Repository,
    options: &'a CompactOptions,
    monitor: &'a dyn Monitor,
    watch: Stopwatch,
    manifests: Manifests,
    report: CompactReport,
}

impl Compaction<'_> {
    fn run(&mut self) -> Result<()> {
        let core = self.repository.core();
        let listing = self.repository.list_archives()?;
        let counting: BTreeSet<ArchiveId> = listing.counting().collect();
        let counting = self.manifests.read(self.repository, &counting)?;
        let patience = Patience::read(core, &counting, self.options.grace)?;
        let retired = retire::retired(self.repository, &listing, &patience, self.options.grace)?;
        let gone = self.retire(&retired)?;
        let view = self.look(gone)?;
        let plan = plan::choose(core, &view, &patience, self.options.threshold)?;
        self.describe(&view, &plan);
        if self.options.dry_run {
            self.foretell(&view, &plan);
            return Ok(());
        }
        self.rounds(view, plan)?;
        retire::tidy(self.repository)?;
        core.store.remove_many(patience.stale_files())?;
        core.store.keep_reserve()?;
        let (_, bytes, segments) = sizes(&Look::index(core)?);
        self.report.freed_bytes = self.report.bytes_before.saturating_sub(bytes);
        self.report.segments_after = segments;
        Ok(())
    }

    /// Takes away archives that do not count; gives those that a dry run is to think away.
    fn retire(&mut self, retired: &Retired) -> Result<HashSet<ArchiveId>> {
        let core = self.repository.core();
        self.report.purged = retired.purged.len() as u64;
        if self.options.dry_run {
            self.report.expired = retired.stale.len() as u64;
            return Ok(retired.purged.iter().chain(&retired.stale).copied().collect());
        }
        retire::purge(core, &retired.purged)?;
        self.report.expired = retire::expire(core, &retired.stale)?;
        Ok(HashSet::new())
    }

    /// Rule 12. What seems to be missing may be in packs that no segment names: these are given one, as a create does, and all is looked at again.
    fn look(&mut self, gone: HashSet<ArchiveId>) -> Result<View> {
        if self.monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let mut imagined = Imagined { gone, adopted: false };
        let mut look = |imagined: &Imagined| {
            let core = self.repository.core();
            core.with_reserve(|| look::look(self.repository, &mut self.manifests, imagined, self.monitor))
        };
        let mut view = look(&imagined)?;
        if !view.weights.missing.is_empty() {
            imagined.adopted = self.options.dry_run;
            if !self.options.dry_run {
                self.repository.load_index_and_adopt()?;
            }
            view = look(&imagined)?;
        }
        if view.weights.missing.is_empty() { Ok(view) } else { Err(self.incomplete(&view)) }
    }

    /// Something that an archive needs is nowhere. Where not even an entry of the index is left, the archive is known; else `check` finds it.
    fn incomplete(&self, view: &View) -> Error {
        let object = view.weights.missing.first().map(ObjectId::to_hex).unwrap_or_default();
        let mut archives: Vec<ArchiveId> = view.live.missing().iter().map(|(archive, _)| *archive).collect();
        if archives.is_empty() {
            let options = CheckOptions { read_data: false, jobs: self.options.jobs };
            let findings = check::check(self.repository, options, self.monitor).map(|report| report.findings);
            let harms = findings.into_iter().flatten().flat_map(|finding| finding.harms);
            archives.extend(harms.map(|(archive, _)| archive));
        }
        archives.sort_unstable();
        archives.dedup();
        Error::Incomplete { object, archives: archives.iter().map(|id| format!("aid:{id}")).collect() }
    }

    fn describe(&mut self, view: &View, plan: &Plan) {
        let (packs, bytes, segments) = sizes(&view.look);
        self.report.packs_before = packs;
        self.report.bytes_before = bytes;
        self.report.segments_before = segments;
        self.report.segments_after = segments;
        self.report.spared = plan.spared;
        if plan.strange > 0 {
            let message = format!(
                "{} packs have another size than the index says and are left alone; run `vault check`",
                plan.strange
            );
            self.report.left.push(message);
        }
    }

    /// What the rounds would do.
    fn foretell(&mut self, view: &View, plan: &Plan) {
        let condemned = view.look.packs.iter().filter(|(id, _)| view.look.condemned.contains(id));
        let condemned: Vec<u64> = condemned.map(|(_, size)| *size).collect();
        self.report.dead_packs = (plan.dead.len() + condemned.len()) as u64;
        self.report.dead_bytes = plan.dead.iter().map(|pack| pack.size).chain(condemned).sum();
        let mut budget = self.options.max_repack.unwrap_or(u64::MAX);
        for pack in &plan.rewrite {
            if pack.live > budget {
                self.note_budget();
                break;
            }
            budget -= pack.live;
            self.report.rewritten_packs += 1;
            self.report.rewritten_bytes += pack.size;
            self.report.copied_bytes += pack.live;
        }
        let gained = self.report.rewritten_bytes.saturating_sub(self.report.copied_bytes);
        self.report.freed_bytes = self.report.dead_bytes + gained;
    }

    fn note_budget(&mut self) {
        self.report.left.push("more packs are partly dead: --max-repack is reached".to_owned());
    }

    fn rounds(&mut self, view: View, plan: Plan) -> Result<()> {
        let unfinished = !view.look.records.is_empty() || !reindex::chosen(&view).is_empty();
        // What is mapped and remembered for one look is not kept beside the next.
        drop(view);
        if unfinished || !plan.dead.is_empty() {
            self.round(&plan.dead, Why::Dead)?;
        }
        let mut rest = plan.rewrite.as_slice();
        let mut budget = self.options.max_repack.unwrap_or(u64::MAX);
        while !rest.is_empty() {
            if self.options.max_duration.is_some_and(|most| self.watch.elapsed() >= most) {
                self.report.left.push("more packs are partly dead: --max-duration is over".to_owned());
                break;
            }
            let room = self.room()?;
            let taken = batch(rest, room.min(budget));
            let Some((now, later)) = rest.split_at_checked(taken).filter(|(now, _)| !now.is_empty()) else {
                if room < budget {
                    self.report
                        .left
                        .push("more packs are partly dead: the disk has no room to copy what lives in them".to_owned());
                } else {
                    self.note_budget();
                }
                break;
            };
            self.round(now, Why::PartlyDead)?;
            budget = budget.saturating_sub(now.iter().map(|pack| pack.live).sum());
            rest = later;
        }
        Ok(())
    }

    /// How much a round may copy.
    fn room(&self) -> Result<u64> {
        let most = LEAST_ROUND.max(self.report.bytes_before / ROUND_SHARE);
        let free = self.repository.store().free_bytes()?;
        Ok(free.map_or(most, |free| most.min(free.saturating_sub(LEFT_FREE))))
    }

    /// Rules 11 to 15, for these packs and for all that other compactions have condemned and not finished.
    fn round(&mut self, packs: &[Doomed], why: Why) -> Result<()> {
        let core = self.repository.core();
        let ids: Vec<PackId> = packs.iter().map(|pack| pack.id).collect();
        gc::condemn(core, &ids)?;
        for look in 1..=LOOKS {
            let view = self.look(HashSet::new())?;
            match self.copy(&view) {
                Ok(true) => {}
                Ok(false) => continue,
                // A full disk: what owes nothing goes first. That may be room enough for what is owed.
                Err(error) if is_full(&error) && look < LOOKS => {
                    let idle = gc::drop_idle(core, &view)?;
                    if idle.packs == 0 {
                        return Err(error);
                    }
                    self.note_dropped(Why::Dead, idle);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let dropped = self.reindex_and_drop(&view)?;
            gc::drop_records(core, &view)?;
            self.note_dropped(why, dropped);
            return Ok(());
        }
        let problem = format!("what is to be copied was gone or damaged in {LOOKS} looks; nothing was deleted");
        Err(Error::Damaged { file: "packs/".to_owned(), problem })
    }

    fn note_dropped(&mut self, why: Why, dropped: Dropped) {
        let (count, bytes) = match why {
            Why::Dead => (&mut self.report.dead_packs, &mut self.report.dead_bytes),
            Why::PartlyDead | Why::Small => (&mut self.report.rewritten_packs, &mut self.report.rewritten_bytes),
        };
        *count += dropped.packs;
        *bytes += dropped.bytes;
    }

    /// Rules 14 and 15. The order of the two is for readers' comfort; safety does not depend on it.
    fn reindex_and_drop(&self, view: &View) -> Result<Dropped> {
        let core = self.repository.core();
        // Whoever has condemned and not deleted may not be allowed to. Then no run after it may put segments for nothing.
        let tried = |record: &GcRecord| !record.packs.is_empty() && record.session != core.session;
        if !view.look.records.values().any(tried) {
            match reindex::reindex(core, view) {
                Ok(_) => return gc::drop_packs(core, view),
                // A full disk: what is condemned makes room.
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let dropped = gc::drop_packs(core, view)?;
        reindex::reindex(core, view)?;
        Ok(dropped)
    }

    /// Rule 13; whether nothing is owed any more.
    fn copy(&mut self, view: &View) -> Result<bool> {
        if view.weights.owed == 0 {
            return Ok(true);
        }
        let index = std::sync::Arc::clone(&view.index);
        let mut packer = Packer::new(self.repository, index, Compression::default(), Verb::Compact, "");
        let copied = copy::copy(self.repository, view, &packer, self.options.threshold, self.monitor);
        // What was copied before something failed is made durable too, so that the next run need not do it again.
        let flushed = packer.flush();
        let copied = copied?;
        flushed?;
        self.report.copied_bytes += copied.bytes;
        for (_, size) in packer.packs() {
            self.report.new_packs += 1;
            self.report.new_bytes += size;
        }
        Ok(copied.objects >= view.weights.owed)
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Store(error) if error.kind == StoreErrorKind::NoSpace)
}

/// How many of these packs can be copied at once.
fn batch(packs: &[Doomed], room: u64) -> usize {
    let mut sum = 0;
    packs
        .iter()
        .take_while(|pack| {
            sum += pack.live;
            sum <= room
        })
        .count()
}

/// Packs; bytes of packs and index segments; index segments.
fn sizes(look: &Look) -> (u64, u64, u64) {
    let bytes = look.packs.values().sum::<u64>() + look.segments.values().sum::<u64>();
    (look.packs.len() as u64, bytes, look.segments.len() as u64)
}
