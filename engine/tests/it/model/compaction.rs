//! The compaction: docs/gc.md, rules 9 to 16.

use super::machine::{Role, Scenario, Turn};
use super::rules::Change::{
    AnybodyExpires, ArchivesBeforeGc, ArchivesBeforeRecord, CopyNotIndexed, CopyOnlyOwn, DeletedNoRoot,
    ExpiryDecidesAlone, ExpiryLooksFirst, GcBeforeRecord, IndexFirst, MarkBeforeManifest, MarkWithoutHead,
    MissingIgnored, NameFromContent, NoPacks, OldSegmentsFirst, OnlyOwnRecords, PacksBeforeGc, PacksBeforeIndex,
    PacksBeforeReindex, PendingNoRoot, RecordBeforeManifest, RecordBeforePacks, SegmentNameFromContent,
};
use super::rules::{Rules, Variant};
use super::world::{NO_ARCHIVES, Names, Process, Record, Set, World, members, subsets};
use crate::protocol::{Place, Step};

/// What compactions of one process do, one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
        let mut steps = Vec::new();
        if self.surveys && process.last() != Some(Step::Survey) {
            steps.push(Step::Survey);
        }
        if world.standing != 0 {
            steps.push(Step::Condemn);
        }
        let first = process.turn % self.rounds == 0;
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
            () if rules.has(OldSegmentsFirst) => [expire, remove, read, put, packs, records],
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
        if process.turn % self.rounds != 0 {
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

    /// In every order, or, alone, in one.
    fn each(&self, set: Set) -> impl Iterator<Item = Set> {
        singles(set).take(if self.honest { 1 } else { usize::MAX })
    }

    fn condemn(&self, turn: &mut Turn<'_>) {
        let world = turn.world;
        let all = garbage(turn.scenario, world);
        for packs in subsets(world.standing) {
            let chosen = if self.honest { packs == all } else { (1..=self.condemns).contains(&packs.count_ones()) };
            if chosen {
                turn.take(Step::Condemn, |world, process| {
                    process.mine = world.put_record(Record { packs, archives: NO_ARCHIVES });
                    process.asked = 0;
                });
            }
        }
    }

    fn put_expiry(&self, turn: &mut Turn<'_>) {
        let rules = turn.scenario.rules;
        let stale = turn.process().stale;
        if rules.variant == Variant::Author {
            for archives in subsets(stale).filter(|set| *set != 0 && (!self.honest || *set == stale)) {
                turn.take(Step::ExpireRecord, |world, process| {
                    process.mine = world.put_record(Record { packs: 0, archives });
                    process.archives = if rules.has(ExpiryLooksFirst) { 0 } else { archives };
                    process.roots &= archives;
                    process.stale = 0;
                });
            }
            return;
        }
        for archive in self.each(stale) {
            turn.take(Step::ExpireRecord, |world, process| {
                process.stale &= !archive;
                if world.ok & archive != 0 {
                    world.refused();
                } else {
                    world.put_dropped(archive);
                    process.archives = archive;
                }
            });
        }
    }

    fn remove_expired(&self, turn: &mut Turn<'_>) {
        let process = turn.process();
        let finishing = process.asked == WORK;
        let unasked = turn.scenario.rules.has(ExpiryDecidesAlone);
        let decided = if process.roots == 0 { process.archives } else { process.roots };
        for archive in self.each(if finishing || unasked { process.stale } else { decided }) {
            turn.take(Step::ExpireManifest, |world, process| {
                world.remove_manifest(archive);
                process.archives &= !archive;
                process.roots = 0;
                if finishing || unasked {
                    process.stale &= !archive;
                }
            });
        }
    }

    fn purge(rules: &Rules, turn: &mut Turn<'_>) {
        let archive = lowest(turn.process().archives);
        turn.take(Step::Purge, |world, process| {
            if rules.has(MarkBeforeManifest) && process.fresh == 0 {
                process.fresh = 1;
                world.remove_deleted(archive);
            } else {
                process.fresh = 0;
                process.archives &= !archive;
                world.remove_manifest(archive);
            }
        });
    }

    fn read_copies(&self, turn: &mut Turn<'_>) {
        let rules = turn.scenario.rules;
        turn.take(Step::CopyRead, |world, process| {
            world.read(Place::Pack);
            if process.asked == MISSING {
                (process.asked, process.fresh) = (LOOK_AGAIN, unnamed(world));
                return;
            }
            let wanted = if self.splits { lowest(process.missing) } else { process.missing };
            let there = wanted & world.chunks(process.view & world.standing);
            // What can be copied is; if that is not all, nothing is deleted after this look.
            process.asked = if there == wanted && process.asked != FAILED { WORK } else { FAILED };
            process.roots |= there;
            process.missing &= !wanted;
            if process.missing == 0 {
                process.view = 0;
            }
        });
    }

    fn tidy_marks(&self, turn: &mut Turn<'_>) {
        let process = turn.process();
        let unasked = turn.scenario.rules.has(MarkWithoutHead);
        let archive = if unasked { lowest(process.archives | process.stale) } else { process.roots };
        turn.take(Step::TidyMark, |world, process| {
            if process.archives & archive != 0 {
                process.archives &= !archive;
                world.remove_ok(archive);
            } else {
                process.stale &= !archive;
                world.remove_deleted(archive);
            }
            process.roots &= process.archives | process.stale;
        });
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
            Step::Survey => self.begin_round(scenario, world, process),
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
                process.archives = names.names & names.deleted;
                process.stale = if self.expires { names.names & !names.ok & !names.deleted } else { 0 };
                process.roots = if rules.has(ArchivesBeforeRecord) { names.names } else { 0 };
            }
            Step::LookGc => {
                process.condemned = members(names.names).fold(0, |packs, record| packs | world.records[record].packs);
                process.records = names.names;
            }
            Step::LookArchives => {
                process.archives = names.names;
                process.roots = names.names;
                if rules.has(PendingNoRoot) {
                    process.roots &= names.ok;
                }
                if rules.has(DeletedNoRoot) {
                    process.roots &= !names.deleted;
                }
                process.stale = if rules.has(AnybodyExpires) { names.ok } else { 0 };
            }
            Step::LookIndex => {
                process.view = world.named(names.names);
                process.segments = names.names;
            }
            Step::LookPacks => process.listed = names.names,
            Step::TidyLook => {
                process.asked = 0;
                process.archives = (names.ok | world.dropped) & !names.names;
                process.stale = names.deleted & !names.names;
            }
            _ => unreachable!("{step:?} lists nothing"),
        }
        if look(rules).last() == Some(&step) {
            self.judge(scenario, world, process);
        }
    }

    fn act(&self, scenario: &Scenario, step: Step, turn: &mut Turn<'_>) {
        let rules = scenario.rules;
        match step {
            Step::Purge => Self::purge(&rules, turn),
            Step::ExpireRecord => self.put_expiry(turn),
            Step::ExpireManifest => self.remove_expired(turn),
            Step::ExpireLook => turn.take(step, |world, process| {
                // One that looks first looks at what it means to name.
                let undecided = if process.mine == 0 { &mut process.stale } else { &mut process.archives };
                let archive = lowest(*undecided);
                world.ask_ok();
                if process.mine != 0 || world.ok & archive != 0 {
                    *undecided &= !archive;
                }
                process.roots = archive & !world.ok;
            }),
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
                world.put_segment(unnamed, rules.has(SegmentNameFromContent));
                process.fresh = 0;
            }),
            Step::Report => turn.take(step, |world, process| {
                world.read(Place::Segment);
                process.asked = OVER;
            }),
            Step::Condemn => self.condemn(turn),
            Step::CopyRead => self.read_copies(turn),
            Step::CopyPack => turn.take(step, |world, process| {
                let chunks = if self.splits { lowest(process.roots) } else { process.roots };
                process.roots &= !chunks;
                let pack = world.put_pack(chunks, rules.has(NameFromContent));
                match rules.variant {
                    _ if rules.has(CopyNotIndexed) => {}
                    Variant::Author => process.listed |= pack,
                    Variant::Mark => process.fresh |= pack,
                }
            }),
            Step::CopySegment => turn.take(step, |world, process| {
                world.put_segment(process.listed, rules.has(SegmentNameFromContent));
                process.listed = 0;
            }),
            Step::ReindexPut => turn.take(step, |world, process| {
                let packs = if self.splits { lowest(process.fresh) } else { process.fresh };
                world.put_segment(packs, rules.has(SegmentNameFromContent));
                process.fresh &= !packs;
            }),
            Step::ReindexRead => turn.take(step, |world, process| {
                world.read(Place::Segment);
                let read = if self.splits { lowest(process.segments) } else { process.segments };
                process.fresh |= world.named(read & world.live) & !process.condemned;
                process.segments &= !read;
                if process.segments == 0 && process.drop == 0 {
                    process.condemned = 0;
                }
            }),
            Step::ReindexRemove => {
                for segment in self.each(turn.process().replaced) {
                    turn.take(step, |world, process| {
                        world.remove_segment(segment);
                        process.replaced &= !segment;
                    });
                }
            }
            Step::DropPack => {
                for pack in self.each(turn.process().drop) {
                    turn.take(step, |world, process| {
                        world.remove_pack(pack);
                        process.drop &= !pack;
                        if rules.has(PacksBeforeReindex) && rules.variant == Variant::Author {
                            // The index is begun again.
                            (process.segments, process.fresh) = (process.replaced, 0);
                        }
                    });
                }
            }
            Step::DropRecord => {
                for record in self.each(turn.process().records) {
                    turn.take(step, |world, process| {
                        world.remove_record(record);
                        process.records &= !record;
                    });
                }
            }
            Step::TidyManifest => turn.take(step, |world, process| {
                let archive = lowest(process.archives | process.stale);
                if world.has_manifest(archive.trailing_zeros() as usize) {
                    process.archives &= !archive;
                    process.stale &= !archive;
                } else {
                    process.roots = archive;
                }
            }),
            Step::TidyMark => self.tidy_marks(turn),
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
