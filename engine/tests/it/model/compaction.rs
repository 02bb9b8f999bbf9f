//! The compaction: docs/gc.md, rules 9 to 16.

use super::machine::{Role, Scenario, Turn};
use super::rules::Change::{
    AnybodyExpires, ArchivesBeforeGc, ArchivesBeforeRecord, CopyNotIndexed, CopyOnlyOwn, DeletedNoRoot,
    ExpiryDecidesAlone, ExpiryLooksFirst, GcBeforeRecord, IndexFirst, MarkBeforeManifest, MarkWithoutHead,
    MissingIgnored, NameFromContent, NoPacks, OldSegmentsFirst, OnlyOwnRecords, PacksAndRecordsBeforeReindex,
    PacksBeforeGc, PacksBeforeIndex, PacksBeforeReindex, PendingNoRoot, RecordBeforeManifest, RecordBeforePacks,
    SegmentNameFromContent,
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
    /// Copies chunk by chunk.
    pub(crate) splits: bool,
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
        if !steps.is_empty() {
            return steps;
        }
        let expire = (process.stale, Step::ExpireManifest);
        let put = (process.fresh, Step::ReindexPut);
        let remove = (process.replaced, Step::ReindexRemove);
        let packs = (process.drop, Step::DropPack);
        let records = (process.records, Step::DropRecord);
        let order = match () {
            () if rules.has(OldSegmentsFirst) => [expire, remove, put, packs, records],
            () if rules.has(RecordBeforePacks) => [expire, put, remove, records, packs],
            // New packs are named before old ones go; if the index is cleaned in the same breath, that half comes first.
            () if rules.has(PacksBeforeReindex) && rules.variant == Variant::Mark => {
                [expire, put, packs, remove, records]
            }
            () if rules.has(PacksBeforeReindex) => [expire, packs, put, remove, records],
            () if rules.has(PacksAndRecordsBeforeReindex) => [expire, packs, records, put, remove],
            () => [expire, put, remove, packs, records],
        };
        order.into_iter().find(|(what, _)| *what != 0).map(|(_, step)| step).into_iter().collect()
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
            return self.look_again(rules, process);
        }
        let dead = finished | !listed;
        let replaced = members(process.segments).filter(|segment| world.segments[*segment] & dead != 0);
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
            fresh: world.named(replaced) & !dead,
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
                    let looked = rules.has(ExpiryLooksFirst);
                    process.archives = if looked { process.archives & archives } else { archives };
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
        for archive in self.each(if finishing || unasked { process.stale } else { process.archives }) {
            turn.take(Step::ExpireManifest, |world, process| {
                world.remove_manifest(archive);
                process.archives &= !archive;
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
            let wanted = if self.splits { lowest(process.missing) } else { process.missing };
            if wanted & !world.chunks(process.view & world.standing) != 0 {
                return self.look_again(&rules, process);
            }
            process.asked = WORK;
            process.roots |= wanted;
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
    singles(world.standing).filter(|pack| named & pack == 0 || world.chunks(*pack) & needed == 0).fold(0, |all, pack| all | pack)
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
            LOOK_AGAIN => return vec![look(rules)[0]],
            WALK | WORK => return self.work(rules, process),
            _ => {}
        }
        let expired = process.archives != 0;
        match last {
            Step::PurgeLook | Step::Purge if expired => vec![Step::Purge],
            Step::ExpireRecord | Step::ExpireManifest if rules.variant == Variant::Mark && !expired => {
                self.expire(scenario, world, process)
            }
            Step::PurgeLook | Step::Purge => self.expire(scenario, world, process),
            Step::ExpireRecord if rules.variant == Variant::Author && !rules.has(ExpiryLooksFirst) => {
                vec![Step::ExpireLook]
            }
            Step::ExpireLook if rules.has(ExpiryLooksFirst) => vec![Step::ExpireRecord],
            Step::ExpireLook if rules.has(RecordBeforeManifest) => vec![Step::ExpireForget],
            Step::ExpireRecord | Step::ExpireLook | Step::ExpireManifest | Step::ExpireForget if expired => {
                vec![Step::ExpireManifest]
            }
            Step::ExpireRecord | Step::ExpireLook | Step::ExpireManifest if process.mine != 0 => {
                vec![Step::ExpireForget]
            }
            Step::ExpireManifest | Step::ExpireForget | Step::Survey => self.begin_round(scenario, world, process),
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
            Step::ExpireLook => {
                process.archives = if process.mine == 0 { process.stale } else { process.archives } & !names.ok;
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
            Step::ExpireForget => turn.take(step, |world, process| {
                world.remove_record(process.mine);
                (process.mine, process.stale) = (0, 0);
            }),
            Step::Survey => turn.take(step, |world, process| {
                world.read(Place::Segment);
                process.asked = 0;
                process.stale = 0;
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
                // In two, if chunk by chunk.
                let packs = if self.splits { lowest(process.fresh) } else { process.fresh };
                world.put_segment(packs, rules.has(SegmentNameFromContent));
                process.fresh &= !packs;
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
        if process.asked == WORK {
            if self.work(&scenario.rules, process).is_empty() {
                self.round_over(process);
            }
        }
        if matches!(process.last(), Some(Step::TidyLook | Step::TidyManifest | Step::TidyMark)) {
            process.archives &= world.ok | world.dropped;
            process.stale &= world.deleted;
            process.roots &= process.archives | process.stale;
            if process.archives | process.stale == 0 {
                self.run_over(process);
            }
        }
    }
}
