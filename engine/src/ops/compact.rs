//! `compact`: gives back the space of what no archive needs. docs/gc.md, rules 9 to 16, one function a step in repository/gc/.
//!
//! 1. A survey of what there will be without the archives that do not count: what lives, how much of each pack; which packs should go.
//!    Something missing ends it here, before anything is deleted.
//! 2. Deleted archives are purged, pending ones of dead runs expired.
//! 3. Rounds of prepare, condemn, look, copy, reindex, drop: one, if there is room enough; else first what is wholly dead, which needs no room, then
//!    what is partly dead, no more at a time than there is room for. Each round leaves the repository whole, whether or not another follows.
//! 4. Marks without a manifest go, and the files of sessions that are over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::compress::Compression;
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::records::{GcRecord, Verb};
use crate::id::{ArchiveId, ObjectId, PackId};
use crate::ops::check;
use crate::progress::Monitor;
use crate::repository::gc::copy::{self, Demand};
use crate::repository::gc::look::{self, Imagined, Manifests, View};
use crate::repository::gc::patience::Patience;
use crate::repository::gc::plan::{self, Doomed, Plan};
use crate::repository::gc::retire::{self, Retired};
use crate::repository::gc::{self, Dropped, reindex};
use crate::repository::{Look, Packer, Reader, Repository};
use crate::sync;

mod report;

use report::sizes;

pub use report::CompactReport;

/// Looks until what is owed could be copied: sources may go while they are read, if other compactions run.
const LOOKS: usize = 3;
/// Looks until two have found the same, before something is said to be missing.
const MOST_LOOKS: usize = 16;
/// At least so much is copied in one round, if there is room.
const LEAST_ROUND: u64 = 1 << 30;
/// A round copies at least this share of the repository, so that looking does not cost more than copying.
const ROUND_SHARE: u64 = 16;
/// Room that a round leaves to others, or a quarter of what there is.
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
            threshold: 20,
            max_repack: None,
            max_duration: None,
            grace: Duration::from_hours(7 * 24),
            dry_run: false,
            jobs: None,
        }
    }
}

/// Frees the space of what no archive needs. Other hosts may do anything at the same time, compacting included.
///
/// # Errors
/// The store failed, or something that an archive needs is nowhere: nothing is deleted that could matter. Whatever was begun, the next
/// compaction finishes.
pub fn compact(repository: &Repository, options: &CompactOptions, monitor: &dyn Monitor) -> Result<CompactReport> {
    repository.check_writable()?;
    let watch = Stopwatch::start();
    let pool = sync::pool(options.jobs)?;
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
        let mut retired = retire::retired(self.repository, &listing, &counting, &patience, self.options.grace)?;
        self.report.note_strange(&retired);
        // Before anything is deleted it is certain that nothing is missing that a root needs.
        let (view, adopted) = self.survey(&mut retired)?;
        let plan = plan::choose(core, &view, &patience, self.options.threshold)?;
        self.report.describe(&view, &plan);
        if self.options.dry_run {
            self.report.purged = retired.purged.len() as u64;
            self.report.expired = retired.stale.len() as u64;
            self.report.foretell(self.options, &view, &plan);
            return Ok(());
        }
        self.retire(&retired)?;
        let unfinished = adopted || !view.look.records.is_empty() || !reindex::chosen(&view).is_empty();
        // What is mapped and remembered for one look is not kept beside the next.
        drop(view);
        self.rounds(&plan, unfinished)?;
        retire::tidy(self.repository)?;
        core.store.remove_many(patience.stale_files())?;
        core.store.keep_reserve()?;
        let (_, bytes, segments) = sizes(&Look::index(core)?);
        self.report.freed_bytes = self.report.bytes_before.saturating_sub(bytes);
        self.report.segments_after = segments;
        Ok(())
    }

    /// What there will be when the archives that do not count are gone, and whether packs that no segment names are needed for it.
    fn survey(&mut self, retired: &mut Retired) -> Result<(View, bool)> {
        let mut imagined =
            Imagined { gone: retired.purged.iter().chain(&retired.stale).copied().collect(), ..Imagined::default() };
        let mut view = self.look_imagining(&imagined)?;
        if !view.weights.missing.is_empty() {
            imagined.adopted = true;
            view = self.settled_look(&imagined)?;
        }
        if !view.weights.missing.is_empty() && !retired.pending.is_empty() {
            // A pending archive of which something is gone: its run will notice, or is dead. It must not hold up all others.
            retired.stale.append(&mut retired.pending);
            imagined.gone.extend(&retired.stale);
            view = self.settled_look(&imagined)?;
        }
        Ok((self.whole(view, &imagined)?, imagined.adopted))
    }

    /// Takes away archives that do not count.
    fn retire(&mut self, retired: &Retired) -> Result<()> {
        let core = self.repository.core();
        retire::purge(core, &retired.purged)?;
        self.report.purged = retired.purged.len() as u64;
        self.report.expired = retire::expire(core, &retired.stale)?;
        Ok(())
    }

    /// Rule 12. What seems to be missing may be in packs that no segment names: these are given one, as a create does, and all is looked at again.
    fn look(&mut self) -> Result<View> {
        let imagined = Imagined::default();
        let view = self.look_imagining(&imagined)?;
        if view.weights.missing.is_empty() {
            return Ok(view);
        }
        drop(view);
        self.repository.load_index_and_adopt()?;
        let view = self.settled_look(&imagined)?;
        self.whole(view, &imagined)
    }

    /// A view of which nothing is missing: this one, or a later one if what it missed is missed no more.
    ///
    /// # Errors
    /// Something that an archive needs is nowhere; or something else is missing each time.
    fn whole(&mut self, mut view: View, imagined: &Imagined) -> Result<View> {
        for _ in 0..LOOKS {
            let Some(object) = view.weights.missing.first() else { return Ok(view) };
            let needed_by = self.lacking(&view)?;
            if !needed_by.is_empty() {
                let (object, place) = (object.to_hex(), "is in no pack".to_owned());
                return Err(Error::Incomplete { object, place, needed_by: named(&needed_by) });
            }
            // A run that had read it while it stood has put it into a new pack, or has taken its archive back.
            drop(view);
            view = self.settled_look(imagined)?;
        }
        Err(Error::Overtaken { rounds: LOOKS })
    }

    /// The archives of a view that stand and lack something when each is walked.
    fn lacking(&self, view: &View) -> Result<Vec<ArchiveId>> {
        let reader = Reader::new(self.repository, Arc::new(self.repository.load_index_to_read()?));
        let standing = self.repository.list_archives()?.manifests;
        let findings = check::absences(&reader, &view.roots, self.monitor)?;
        let is_excused = |object: &ObjectId| view.excused.contains(object);
        let missed = findings.into_iter().filter(|finding| !finding.object.as_ref().is_some_and(is_excused));
        let archives: BTreeSet<ArchiveId> = missed.flat_map(|finding| finding.harms).map(|(id, _)| id).collect();
        Ok(archives.into_iter().filter(|id| standing.contains(id)).collect())
    }

    /// Looks until nothing is missing, or until two looks have found the same: other runs may move what is looked for.
    ///
    /// # Errors
    /// They move it again and again, and never the same is missing.
    fn settled_look(&mut self, imagined: &Imagined) -> Result<View> {
        let mut before = None;
        let mut always: Option<BTreeSet<ObjectId>> = None;
        for look in 1..=MOST_LOOKS {
            let view = self.look_imagining(imagined)?;
            let found = Some((view.index.listed(), view.listed.clone()));
            let missing: BTreeSet<ObjectId> = view.weights.missing.iter().copied().collect();
            let still = always.map_or_else(|| missing.clone(), |always| &always & &missing);
            if missing.is_empty() || before == found || look == MOST_LOOKS && !still.is_empty() {
                return Ok(view);
            }
            (before, always) = (found, Some(still));
        }
        Err(Error::Overtaken { rounds: MOST_LOOKS })
    }

    fn look_imagining(&mut self, imagined: &Imagined) -> Result<View> {
        if self.monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        look::look(self.repository, &mut self.manifests, imagined, self.monitor)
    }

    /// What was condemned cannot be copied, in any look: whom that would harm.
    fn unreadable(&self, view: &View, lost: &[(PackId, ObjectId)]) -> Error {
        let Some((pack, object)) = lost.first() else { return Error::Overtaken { rounds: LOOKS } };
        let harms = check::harmed(self.repository, &view.roots, lost, self.monitor).unwrap_or_default();
        let place = format!("cannot be read from pack {}, nor from any other", pack.to_hex());
        Error::Incomplete { object: object.to_hex(), place, needed_by: named(&harms) }
    }

    fn rounds(&mut self, plan: &Plan, unfinished: bool) -> Result<()> {
        if self.fits_in_one_round(plan)? {
            let all = [plan.dead.as_slice(), plan.rewrite.as_slice()].concat();
            return if unfinished || !all.is_empty() { self.round(&all) } else { Ok(()) };
        }
        if unfinished || !plan.dead.is_empty() {
            self.round(&plan.dead)?;
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
                    self.report.note_no_room();
                } else {
                    self.report.note_budget();
                }
                break;
            };
            self.round(now)?;
            budget = budget.saturating_sub(now.iter().map(|pack| pack.live).sum());
            rest = later;
        }
        Ok(())
    }

    /// Whether there is so much room that what is dead need not go first, and so little to copy that it takes no second round.
    fn fits_in_one_round(&self, plan: &Plan) -> Result<bool> {
        let copied: u64 = plan.rewrite.iter().map(|pack| pack.live).sum();
        let free = self.repository.store().free_bytes()?;
        let is_limited =
            self.options.max_duration.is_some() || self.options.max_repack.is_some_and(|most| copied > most);
        Ok(!is_limited && copied <= self.room()? && free.is_none_or(|free| copied <= free / 2))
    }

    /// How much a round may copy.
    fn room(&self) -> Result<u64> {
        let most = LEAST_ROUND.max(self.report.bytes_before / ROUND_SHARE);
        let free = self.repository.store().free_bytes()?;
        Ok(free.map_or(most, |free| most.min(free - LEFT_FREE.min(free / 4))))
    }

    /// Copies first what of these packs is alive: once they are condemned, a create that comes upon an object with no other copy stores it
    /// again. Nothing else depends on it; what is owed when they are condemned is copied then. Gives those that may be condemned: on a full
    /// disk only what is dead.
    fn prepare(&mut self, packs: &[Doomed]) -> Result<Vec<PackId>> {
        let ids: Vec<PackId> = packs.iter().map(|pack| pack.id).collect();
        if packs.iter().all(|pack| pack.live == 0) {
            return Ok(ids);
        }
        let imagined = Imagined { condemned: ids.iter().copied().collect(), ..Imagined::default() };
        for look in 1..=LOOKS {
            let view = self.look_imagining(&imagined)?;
            match self.copy(&view) {
                Ok(Owed::Left(lost)) if look == LOOKS && !lost.is_empty() => return Err(self.unreadable(&view, &lost)),
                Ok(Owed::Left(_)) => {}
                Ok(Owed::Nothing) => break,
                Err(error) if is_full(&error) => {
                    self.report.note_no_room();
                    return Ok(packs.iter().filter(|pack| pack.live == 0).map(|pack| pack.id).collect());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    /// Rules 11 to 15, for these packs and for all that other compactions have condemned and not finished.
    fn round(&mut self, packs: &[Doomed]) -> Result<()> {
        let ids = self.prepare(packs)?;
        let core = self.repository.core();
        gc::condemn(core, &ids)?;
        let mut looks = 0;
        loop {
            looks += 1;
            let view = self.look()?;
            match self.copy(&view) {
                Ok(Owed::Nothing) => {
                    let dropped = self.reindex_and_drop(&view)?;
                    self.report.note_dropped(packs, &dropped);
                    return gc::drop_records(core, &view);
                }
                Ok(Owed::Left(lost)) if looks == LOOKS => return Err(self.unreadable(&view, &lost)),
                Ok(Owed::Left(_)) => {}
                // A full disk: what owes nothing goes first. That may be room enough for what is owed.
                Err(error) if is_full(&error) && looks < LOOKS => {
                    let idle = gc::drop_idle(core, &view)?;
                    if idle.is_empty() {
                        return Err(error);
                    }
                    self.report.note_dropped(packs, &idle);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Rules 14 and 15. The order of the two is for readers' comfort; safety does not depend on it.
    fn reindex_and_drop(&self, view: &View) -> Result<Vec<Dropped>> {
        let core = self.repository.core();
        // Whoever has condemned and not deleted may not be allowed to. Then no run after it may put segments for nothing.
        let tried = |record: &GcRecord| !record.packs.is_empty() && record.session != core.session;
        if !view.look.records.values().any(tried) {
            match reindex::reindex(core, view) {
                Ok(()) => return gc::drop_packs(core, view),
                // A full disk: what is condemned makes room.
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let dropped = gc::drop_packs(core, view)?;
        reindex::reindex(core, view)?;
        Ok(dropped)
    }

    /// Rule 13.
    fn copy(&mut self, view: &View) -> Result<Owed> {
        if !view.weights.owes() {
            return Ok(Owed::Nothing);
        }
        let index = Arc::clone(&view.index);
        let mut packer = Packer::new(self.repository, index, Compression::default(), Verb::Compact, "");
        let demand = Demand { threshold: self.options.threshold, all_of: None };
        let copied = copy::copy(self.repository, view, &packer, demand, self.monitor);
        // What was copied before something failed is made durable too, so that the next run need not do it again.
        let flushed = packer.flush();
        let copied = copied?;
        flushed?;
        self.report.copied_bytes += copied.bytes;
        for (_, size) in packer.packs() {
            self.report.new_packs += 1;
            self.report.new_bytes += size;
        }
        Ok(if copied.objects >= view.weights.owed { Owed::Nothing } else { Owed::Left(copied.lost) })
    }
}

/// What is still to be copied after copying.
enum Owed {
    Nothing,
    /// Something: these could not be read, in which pack; or a source has gone.
    Left(Vec<(PackId, ObjectId)>),
}

fn named(archives: &[ArchiveId]) -> Vec<String> {
    archives.iter().map(|id| format!("aid:{id}")).collect()
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
