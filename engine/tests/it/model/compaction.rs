//! The compaction: docs/gc.md, rules 9 to 16. Which step comes next, and what a look says; what the steps do is in `acts`.

mod acts;

use super::machine::{Role, Scenario, Turn};
use super::rules::Change::{
    AnybodyExpires, ArchivesBeforeGc, ArchivesBeforeRecord, CopyOnlyOwn, DeletedNoRoot, ExpiryDecidesAlone,
    ExpiryLooksFirst, GcBeforeRecord, IndexFirst, MarkWithoutHead, MissingIgnored, NoPacks, OldSegmentsFirst,
    OnlyOwnRecords, PacksBeforeGc, PacksBeforeIndex, PacksBeforeReindex, PendingNoRoot, RecordBeforeManifest,
    RecordBeforePacks, SegmentNameFromContent,
};
use super::rules::{Rules, Variant};
use super::world::{NO_ARCHIVES, Names, Process, Set, World, members};
use crate::protocol::{Place, Step};

/// What compactions of one process do, one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit that makes no difference to the others")]
pub(crate) struct Compaction {
    pub(crate) runs: u16,
    /// Rounds of a run.
    pub(crate) rounds: u16,
    /// Most packs that it condemns at once.
    pub(crate) condemns: u32,
    pub(crate) expires: bool,
    pub(crate) tidies: bool,
    /// Looks around before it condemns. Nothing depends on it.
    pub(crate) surveys: bool,
    /// So many packs it puts before it condemns, each with what is in one that stands; after a survey. Nothing depends on it.
    pub(crate) prepares: u16,
    /// Follows references through packs before it copies.
    pub(crate) walks: bool,
    /// Copies chunk by chunk, and replaces segment by segment.
    pub(crate) splits: bool,
    /// Replaces segments although nothing in them is dead.
    pub(crate) merges: bool,
    /// Does what a real one does: expires all that is pending, condemns what is dead or not indexed.
    pub(crate) honest: bool,
}

fn lowest(set: Set) -> Set {
    set & set.wrapping_neg()
}

/// Each member as a set.
fn singles(set: Set) -> impl Iterator<Item = Set> {
    members(set).map(|member| 1 << member)
}

/// The listings of rule 12.
fn look(rules: &Rules) -> &'static [Step] {
    use Step::{LookArchives, LookGc, LookIndex, LookPacks};
    match () {
        () if rules.has(ArchivesBeforeRecord) => &[LookGc, LookIndex, LookPacks],
        () if rules.has(ArchivesBeforeGc) => &[LookArchives, LookGc, LookIndex, LookPacks],
        () if rules.has(GcBeforeRecord) => &[LookArchives, LookIndex, LookPacks],
        () if rules.has(PacksBeforeGc) => &[LookPacks, LookGc, LookArchives, LookIndex],
        () if rules.has(PacksBeforeIndex) => &[LookGc, LookArchives, LookPacks, LookIndex],
        () if rules.has(NoPacks) => &[LookGc, LookArchives, LookIndex],
        () if rules.has(IndexFirst) => &[LookIndex, LookGc, LookArchives, LookPacks],
        () => &[LookGc, LookArchives, LookIndex, LookPacks],
    }
}

/// What a compaction is about, between its steps (`asked`).
const BETWEEN_ROUNDS: Set = 1;
const TIDY: Set = 2;
const LOOK_AGAIN: Set = 3;
/// The look is judged; follow references first.
const WALK: Set = 4;
const WORK: Set = 5;
/// Something seems to be missing.
const MISSING: Set = 6;
const REPORT: Set = 7;
const OVER: Set = 8;
/// Something could not be copied.
const FAILED: Set = 9;

impl Compaction {
    /// A fresh one that runs alone.
    pub(crate) fn honest() -> Self {
        Self { runs: 1, rounds: 1, expires: true, tidies: true, honest: true, ..Self::default() }
    }

    /// After the purge.
    fn expire(&self, scenario: &Scenario, world: &World, process: &Process) -> Vec<Step> {
        let rules = &scenario.rules;
        let mut steps = Vec::new();
        if self.expires && process.stale != 0 {
            steps.push(match rules.variant {
                Variant::Author if rules.has(ExpiryLooksFirst) => Step::ExpireLook,
                Variant::Mark if rules.has(ExpiryDecidesAlone) => Step::ExpireManifest,
                _ => Step::ExpireRecord,
            });
            if self.honest {
                return steps;
            }
        }
        [steps, self.begin_round(scenario, world, process)].concat()
    }

    /// Rule 9, after its record: one archive after the other.
    fn decide(&self, scenario: &Scenario, world: &World, process: &Process, last: Step) -> Vec<Step> {
        let rules = &scenario.rules;
        let doomed = process.roots != 0;
        let step = match last {
            Step::ExpireLook if doomed && rules.has(ExpiryLooksFirst) && process.mine == 0 => Step::ExpireRecord,
            Step::ExpireLook if doomed && rules.has(RecordBeforeManifest) && process.mine != 0 => Step::ExpireForget,
            _ if doomed => Step::ExpireManifest,
            _ if process.archives != 0 => Step::ExpireLook,
            _ if process.mine != 0 => Step::ExpireForget,
            _ => return self.begin_round(scenario, world, process),
        };
        vec![step]
    }

    /// A round, with packs of one's own or only with those that others condemned.
    fn begin_round(&self, scenario: &Scenario, world: &World, process: &Process) -> Vec<Step> {
        let rules = &scenario.rules;
        if rules.has(GcBeforeRecord) && process.last() != Some(Step::LookGc) {
            return vec![Step::LookGc];
        }
        if self.honest {
            let condemns = garbage(scenario, world) != 0;
            return vec![if condemns { Step::Condemn } else { look(rules)[0] }];
        }
        let mut steps = self.prepare(world, process);
        if self.surveys && process.last() != Some(Step::Survey) {
            steps.push(Step::Survey);
        }
        if world.standing != 0 {
            steps.push(Step::Condemn);
        }
        let first = process.turn.is_multiple_of(self.rounds);
        if first && (world.open != 0 || self.surveys) {
            steps.push(look(rules)[0]);
        }
        if self.surveys && self.tidies {
            steps.push(Step::TidyLook);
        }
        if process.last() == Some(Step::Survey) && unnamed(world) != 0 {
            steps.push(Step::Adopt);
        }
        steps
    }

    /// Copies before it condemns.
    fn prepare(&self, world: &World, process: &Process) -> Vec<Step> {
        let mut steps = Vec::new();
        let begun = matches!(process.last(), Some(Step::Survey | Step::PreparePack | Step::PrepareSegment));
        if begun && process.looks < self.prepares && world.standing != 0 {
            steps.push(Step::PreparePack);
        }
        if process.fresh != 0 && process.last() != Some(Step::Survey) {
            steps.push(Step::PrepareSegment);
        }
        steps
    }

    /// After the look: copy, then the index, the packs, the records.
    fn work(&self, rules: &Rules, process: &Process) -> Vec<Step> {
        let mut steps = Vec::new();
        if process.missing != 0 || process.asked == WALK {
            steps.push(Step::CopyRead);
        }
        if process.roots != 0 && (steps.is_empty() || self.splits) {
            steps.push(Step::CopyPack);
        }
        if process.listed != 0 && (steps.is_empty() || self.splits) {
            steps.push(Step::CopySegment);
        }
        if !steps.is_empty() || process.asked == FAILED {
            return steps;
        }
        let expire = (process.stale, Step::ExpireManifest);
        let read = (process.segments, Step::ReindexRead);
        let put = (process.fresh, Step::ReindexPut);
        let remove = (process.replaced, Step::ReindexRemove);
        let packs = (process.drop, Step::DropPack);
        let records = (process.records, Step::DropRecord);
        let order = match () {
            () if rules.has(OldSegmentsFirst) => [expire, read, remove, put, packs, records],
            () if rules.has(RecordBeforePacks) => [expire, read, put, remove, records, packs],
            // New packs are named before old ones go; if the index is cleaned in the same breath, that half comes first.
            () if rules.has(PacksBeforeReindex) && rules.variant == Variant::Mark => {
                [expire, read, put, packs, remove, records]
            }
            () if rules.has(PacksBeforeReindex) => [expire, packs, read, put, remove, records],
            () => [expire, read, put, remove, packs, records],
        };
        let mut pending = order.into_iter().filter(|(what, _)| *what != 0).map(|(_, step)| step);
        let mut steps: Vec<Step> = pending.next().into_iter().collect();
        if self.splits && process.fresh != 0 && steps == [Step::ReindexRead] {
            steps.push(Step::ReindexPut);
        }
        if self.splits && rules.has(PacksBeforeReindex) && steps == [Step::DropPack] {
            // That the disk is full is found at any segment.
            steps.extend([read, put].into_iter().find(|(what, _)| *what != 0).map(|(_, step)| step));
        }
        steps
    }

    /// The end of a look: what has to be copied, replaced and removed.
    fn judge(&self, scenario: &Scenario, world: &World, process: &mut Process) {
        let rules = &scenario.rules;
        let own = members(process.mine).fold(0, |packs, record| packs | world.records[record].packs);
        let listed = if look(rules).contains(&Step::LookPacks) { process.listed } else { Set::MAX };
        let manifests = if look(rules).contains(&Step::LookArchives) { process.archives } else { Set::MAX };
        let bad = process.condemned | own;
        let finished = if rules.has(OnlyOwnRecords) { own } else { bad };
        let mut sources = process.view & listed;
        let needed = members(process.roots).fold(0, |all, archive| all | scenario.chunks_of(archive));
        let mut missing = needed & !world.chunks(process.view & listed & !bad);
        if rules.has(CopyOnlyOwn) {
            sources &= own;
        }
        if rules.has(CopyOnlyOwn) || rules.has(MissingIgnored) {
            missing &= world.chunks(sources);
        }
        if missing & !world.chunks(sources) != 0 {
            self.look_again(rules, process);
            if process.asked == LOOK_AGAIN && rules.variant == Variant::Author {
                process.asked = MISSING;
            }
            return;
        }
        let dead = finished | !listed;
        let merges = self.merges && process.segments.count_ones() > 1;
        let replaced = members(process.segments).filter(|segment| merges || world.segments[*segment] & dead != 0);
        let replaced = replaced.fold(0, |all, segment| all | 1 << segment);
        let records = if rules.has(OnlyOwnRecords) { process.mine } else { process.records | process.mine };
        let records = singles(records).filter(|record| {
            let archives = world.records[record.trailing_zeros() as usize].archives;
            archives & manifests & !NO_ARCHIVES == 0 || rules.has(AnybodyExpires)
        });
        let expired = members(process.records).fold(0, |all, record| all | world.records[record].archives);
        let expired = if rules.has(AnybodyExpires) { expired & manifests & !process.stale } else { 0 };
        *process = Process {
            asked: if self.walks { WALK } else { WORK },
            looks: process.looks,
            missing,
            view: if missing == 0 { 0 } else { sources },
            // The code reads them once more, when it replaces them; nothing is dead that was not when it looked.
            segments: if rules.variant == Variant::Author { replaced } else { 0 },
            condemned: if rules.variant == Variant::Author { world.named(replaced) & dead } else { 0 },
            fresh: if rules.variant == Variant::Author { 0 } else { world.named(replaced) & !dead },
            replaced,
            drop: finished & listed & if listed == Set::MAX { process.view | own } else { Set::MAX },
            records: records.fold(0, |all, record| all | record),
            stale: expired,
            ..process.kept()
        };
    }

    /// Something has no copy, or vanished: once more, then nothing is deleted.
    fn look_again(&self, rules: &Rules, process: &mut Process) {
        let kept = if rules.has(ArchivesBeforeRecord) { process.roots } else { 0 };
        let known = if rules.has(GcBeforeRecord) { (process.condemned, process.records) } else { (0, 0) };
        if process.looks == 0 {
            let mine = process.mine;
            process.forget();
            (process.asked, process.looks, process.mine, process.roots) = (LOOK_AGAIN, 1, mine, kept);
            (process.condemned, process.records) = known;
        } else {
            process.turn = (process.turn / self.rounds + 1) * self.rounds;
            self.run_over(process);
        }
    }

    fn round_over(&self, process: &mut Process) {
        process.forget();
        process.turn += 1;
        if !process.turn.is_multiple_of(self.rounds) {
            process.asked = BETWEEN_ROUNDS;
        } else if self.tidies {
            process.asked = TIDY;
        } else {
            self.run_over(process);
        }
    }

    fn run_over(&self, process: &mut Process) {
        if process.turn == self.runs * self.rounds {
            process.end();
        } else {
            process.restart();
        }
    }
}

/// What an honest compaction condemns: what no root needs, and what no segment names.
fn garbage(scenario: &Scenario, world: &World) -> Set {
    let needed = members(world.manifests).fold(0, |all, archive| all | scenario.chunks_of(archive));
    let named = world.named(world.live);
    singles(world.standing)
        .filter(|pack| named & pack == 0 || world.chunks(*pack) & needed == 0)
        .fold(0, |all, pack| all | pack)
}

/// Packs that no segment names.
fn unnamed(world: &World) -> Set {
    world.standing & !world.named(world.live)
}

fn following(order: &[Step], step: Step) -> Option<Step> {
    let at = order.iter().position(|one| *one == step)?;
    order.get(at + 1).copied()
}

impl Role for Compaction {
    fn after(&self, scenario: &Scenario, world: &World, process: &Process) -> Vec<Step> {
        let rules = &scenario.rules;
        let Some(last) = process.last() else { return vec![Step::PurgeLook] };
        match process.asked {
            BETWEEN_ROUNDS => return self.begin_round(scenario, world, process),
            TIDY => return vec![Step::TidyLook],
            LOOK_AGAIN if process.fresh != 0 => return vec![Step::Adopt],
            LOOK_AGAIN => return vec![look(rules)[0]],
            MISSING => return vec![Step::CopyRead],
            REPORT => return vec![Step::Report],
            WALK | WORK | FAILED => return self.work(rules, process),
            _ => {}
        }
        let expired = process.archives != 0;
        match last {
            Step::PurgeLook | Step::Purge if expired => vec![Step::Purge],
            Step::ExpireRecord | Step::ExpireManifest if rules.variant == Variant::Mark && !expired => {
                self.expire(scenario, world, process)
            }
            Step::PurgeLook | Step::Purge => self.expire(scenario, world, process),
            Step::ExpireRecord | Step::ExpireManifest if rules.variant == Variant::Mark => vec![Step::ExpireManifest],
            Step::ExpireRecord | Step::ExpireLook | Step::ExpireManifest | Step::ExpireForget => {
                self.decide(scenario, world, process, last)
            }
            Step::Survey | Step::PreparePack | Step::PrepareSegment => {
                let mut steps = self.begin_round(scenario, world, process);
                // What was put and not named is left for others to find.
                steps.retain(|step| last == Step::Survey || !matches!(step, Step::LookGc | Step::TidyLook));
                steps
            }
            Step::Adopt => vec![look(rules)[0], Step::Survey],
            Step::LookGc if rules.has(GcBeforeRecord) => self.begin_round(scenario, world, process),
            Step::Condemn => vec![look(rules)[0]],
            Step::TidyLook | Step::TidyManifest | Step::TidyMark => {
                let asked = process.roots != 0 || rules.has(MarkWithoutHead);
                vec![if asked { Step::TidyMark } else { Step::TidyManifest }]
            }
            _ => following(look(rules), last).into_iter().collect(),
        }
    }

    fn listed(&self, scenario: &Scenario, step: Step, world: &mut World, process: &mut Process, names: Names) {
        let rules = &scenario.rules;
        if look(rules).contains(&step) {
            process.asked = 0;
        }
        match step {
            Step::PurgeLook => {
                process.archives = names.files & names.deleted;
                process.stale = if self.expires { names.files & !names.ok & !names.deleted } else { 0 };
                process.roots = if rules.has(ArchivesBeforeRecord) { names.files } else { 0 };
            }
            Step::LookGc => {
                process.condemned = members(names.files).fold(0, |packs, record| packs | world.records[record].packs);
                process.records = names.files;
            }
            Step::LookArchives => {
                process.archives = names.files;
                process.roots = names.files;
                if rules.has(PendingNoRoot) {
                    process.roots &= names.ok;
                }
                if rules.has(DeletedNoRoot) {
                    process.roots &= !names.deleted;
                }
                process.stale = if rules.has(AnybodyExpires) { names.ok } else { 0 };
            }
            Step::LookIndex => {
                process.view = world.named(names.files);
                process.segments = names.files;
            }
            Step::LookPacks => process.listed = names.files,
            Step::TidyLook => {
                process.asked = 0;
                process.archives = (names.ok | world.dropped) & !names.files;
                process.stale = names.deleted & !names.files;
            }
            _ => unreachable!("{step:?} lists nothing"),
        }
        if look(rules).last() == Some(&step) {
            self.judge(scenario, world, process);
        }
    }

    fn act(&self, scenario: &Scenario, step: Step, turn: &mut Turn<'_>) {
        match step {
            Step::Purge => Self::purge(&scenario.rules, turn),
            Step::ExpireRecord => self.put_expiry(turn),
            Step::ExpireLook => Self::ask_expired(turn),
            Step::ExpireManifest => self.remove_expired(turn),
            Step::ExpireForget => turn.take(step, |world, process| {
                world.remove_record(process.mine);
                (process.mine, process.stale) = (0, 0);
            }),
            Step::Survey => turn.take(step, |world, process| {
                world.read(Place::Segment);
                (process.asked, process.stale) = (0, 0);
            }),
            Step::Adopt => turn.take(step, |world, process| {
                let unnamed = if process.fresh == 0 { unnamed(world) } else { process.fresh };
                world.put_segment(unnamed, scenario.rules.has(SegmentNameFromContent));
                process.fresh = 0;
            }),
            Step::PreparePack | Step::PrepareSegment => self.put_prepared(step, turn),
            Step::Condemn => self.condemn(turn),
            Step::CopyRead => self.read_copies(turn),
            Step::CopyPack | Step::CopySegment => self.put_copies(step, turn),
            Step::ReindexRead | Step::ReindexPut | Step::ReindexRemove => self.reindex(step, turn),
            Step::DropPack | Step::DropRecord => self.drop(step, turn),
            Step::TidyManifest => Self::ask_orphan(turn),
            Step::TidyMark => Self::remove_mark(turn),
            Step::Report => turn.take(step, |world, process| {
                world.read(Place::Segment);
                process.asked = OVER;
            }),
            _ => unreachable!("{step:?} is no compaction's"),
        }
    }

    fn rest(&self, scenario: &Scenario, world: &World, process: &mut Process) {
        if process.has_ended() || process.listing != 0 {
            return;
        }
        if process.asked == FAILED && self.work(&scenario.rules, process).is_empty() {
            self.look_again(&scenario.rules, process);
        }
        if process.asked == WORK && self.work(&scenario.rules, process).is_empty() {
            self.round_over(process);
        }
        if matches!(process.last(), Some(Step::TidyLook | Step::TidyManifest | Step::TidyMark | Step::Report)) {
            process.archives &= world.ok | world.dropped;
            process.stale &= world.deleted;
            process.roots &= process.archives | process.stale;
            if process.archives | process.stale == 0 && process.asked != OVER {
                process.asked = REPORT;
            }
            if process.asked == OVER || (process.asked == REPORT && !self.surveys) {
                self.run_over(process);
            }
        }
    }
}
