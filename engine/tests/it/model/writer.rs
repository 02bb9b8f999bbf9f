//! The writer: docs/gc.md, rules 1 to 8.

use super::machine::{Role, Scenario, Turn};
use super::rules::Change::{
    CheckBeforePending, CheckGcThenIndex, CheckOnlyGc, CheckOnlyPacks, CheckPacksBeforeGc, CheckReadsIndex,
    FinalHeadBeforeGc, GivesWayAtOnce, InheritedUnchecked, NameFromContent, NoCheck, NoFinalGc, NoFinalHead,
    OkOverwrites, SegmentNameFromContent, Shortcut, WriterLoops,
};
use super::rules::{Rules, Variant};
use super::world::{Names, Process, Set, World, members};
use crate::protocol::Step;

/// The shortcut asks for the parent's manifest. The code does not take it, so it has no step of its own.
const ASK_PARENT: Step = Step::PruneManifest;

/// What a writer wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writer {
    /// Its archives are this one and those after it, one for each attempt.
    pub(crate) first: u16,
    pub(crate) attempts: u16,
    pub(crate) chunks: Set,
    /// What it takes over from archive 0.
    pub(crate) inherited: Set,
    /// What it cannot read again from its source.
    pub(crate) unreadable: Set,
    /// Puts its chunks one by one, and reads the index once more in between.
    pub(crate) splits: bool,
    /// Indexes packs that no segment names.
    pub(crate) adopts: bool,
}

impl Writer {
    fn archive(&self, process: &Process) -> Set {
        1 << (self.first + process.turn)
    }

    /// Its archives.
    pub(crate) fn archives(&self) -> Set {
        (self.first..self.first + self.attempts).fold(0, |all, archive| all | 1 << archive)
    }

    fn passed(rules: &Rules) -> Vec<Step> {
        vec![if rules.has(CheckBeforePending) { Step::Pending } else { Step::Ok }]
    }

    fn begin_check(rules: &Rules) -> Vec<Step> {
        vec![check(rules)[0]]
    }

    /// All its own is durable and indexed.
    fn uploaded(rules: &Rules) -> Vec<Step> {
        if rules.has(CheckBeforePending) { Self::begin_check(rules) } else { vec![Step::Pending] }
    }

    fn checked(&self, rules: &Rules, process: &Process) -> Vec<Step> {
        match rules.variant {
            _ if process.missing == 0 => Self::passed(rules),
            Variant::Author => vec![Step::RescueGc],
            Variant::Mark if process.missing & self.unreadable == 0 => vec![Step::RescueUpload],
            Variant::Mark => vec![Step::RescueRead],
        }
    }

    fn while_uploading(&self, process: &Process, last: Step) -> Vec<Step> {
        let mut steps = Vec::new();
        if process.fresh != 0 {
            steps.push(Step::Index);
        }
        if process.missing != 0 && (process.fresh == 0 || self.splits) {
            steps.push(Step::Upload);
        }
        if self.splits && process.looks == 1 && last != Step::Open {
            steps.push(Step::Open);
        }
        steps
    }

    /// Reading, putting and indexing, in any order.
    fn while_rescuing(process: &Process) -> Vec<Step> {
        let steps = [
            (process.missing, Step::RescueRead),
            (process.roots, Step::RescueUpload),
            (process.fresh, Step::RescueSegment),
        ];
        steps.into_iter().filter(|(what, _)| *what != 0).map(|(_, step)| step).collect()
    }

    /// Rule 4, at its last listing: what has no good copy.
    fn judge(&self, rules: &Rules, world: &World, process: &mut Process) {
        let listed = if check(rules).contains(&Step::CheckPacks) { process.listed } else { Set::MAX };
        let good = process.view & listed & !process.condemned;
        process.missing = self.chunks & !world.chunks(good);
        if rules.has(InheritedUnchecked) || process.asked != 0 {
            process.missing &= !self.inherited;
        }
        process.condemned = 0;
        process.asked = 0;
        if process.missing == 0 || rules.variant == Variant::Author {
            process.listed = 0;
        }
        if rules.variant == Variant::Author || (process.turn + 1 == self.attempts && !rules.has(WriterLoops)) {
            process.view = 0;
        }
    }

    /// The next attempt, if there is one: under a new id. Where rule 7 or 8 sends the writer back to 3, it remembers what it put.
    fn again(&self, rules: &Rules, process: &mut Process) {
        let (view, superseded) = (process.view, process.stale);
        process.forget();
        process.turn += 1;
        if process.turn == self.attempts {
            return process.end();
        }
        process.stale = superseded;
        if rules.variant == Variant::Mark {
            process.view = view;
        }
    }

    /// Exit 0, unless something is in the way.
    fn decide(&self, rules: &Rules, world: &mut World, process: &mut Process, gone: bool) {
        let archive = self.archive(process);
        if !gone && process.asked == 0 {
            world.counted |= archive;
            if process.stale == 0 {
                process.end();
            } else {
                process.archives = process.stale;
            }
        } else if gone {
            process.archives = archive;
            process.asked = 1;
        } else if rules.has(GivesWayAtOnce) {
            process.archives = archive;
            process.asked = 2;
        } else if process.turn + 1 == self.attempts {
            process.end();
        } else {
            // It is deleted when another one counts.
            process.stale |= archive;
            process.asked = 3;
        }
    }
}

/// The listings of rule 4.
fn check(rules: &Rules) -> &'static [Step] {
    match () {
        () if rules.has(CheckOnlyGc) => &[Step::CheckGc],
        () if rules.has(CheckGcThenIndex) => &[Step::CheckGc, Step::RescueIndex],
        () if rules.has(CheckReadsIndex) => &[Step::CheckGc, Step::RescueIndex, Step::CheckPacks],
        () if rules.has(CheckOnlyPacks) => &[Step::CheckPacks],
        () if rules.has(CheckPacksBeforeGc) => &[Step::CheckPacks, Step::CheckGc],
        () => &[Step::CheckGc, Step::CheckPacks],
    }
}

/// The questions of rule 8.
fn confirm(rules: &Rules) -> &'static [Step] {
    match rules.variant {
        Variant::Author if rules.has(FinalHeadBeforeGc) => &[Step::ConfirmManifest, Step::ConfirmGc],
        Variant::Author if rules.has(NoFinalHead) => &[Step::ConfirmGc],
        Variant::Author if !rules.has(NoFinalGc) => &[Step::ConfirmGc, Step::ConfirmManifest],
        _ => &[Step::ConfirmManifest],
    }
}

fn following(order: &[Step], step: Step) -> Option<Step> {
    let at = order.iter().position(|one| *one == step)?;
    order.get(at + 1).copied()
}

impl Role for Writer {
    fn after(&self, scenario: &Scenario, world: &World, process: &Process) -> Vec<Step> {
        let rules = &scenario.rules;
        let Some(last) = process.last() else { return vec![Step::Open] };
        match last {
            Step::Open | Step::Upload | Step::Index => {
                let steps = self.while_uploading(process, last);
                let done = process.missing == 0 && process.fresh == 0;
                if done { [steps, Self::uploaded(rules)].concat() } else { steps }
            }
            Step::Pending if rules.has(CheckBeforePending) || rules.has(NoCheck) => vec![Step::Ok],
            Step::Pending if rules.has(Shortcut) => vec![ASK_PARENT],
            Step::Pending | ASK_PARENT => Self::begin_check(rules),
            _ if check(rules).contains(&last) => match following(check(rules), last) {
                Some(step) => vec![step],
                None => self.checked(rules, process),
            },
            Step::RescueGc => vec![Step::RescueIndex],
            Step::RescueIndex => vec![Step::RescuePacks],
            Step::RescuePacks if process.missing == 0 => Self::passed(rules),
            Step::RescuePacks if process.missing & !world.chunks(process.listed) == 0 => vec![Step::RescueRead],
            // Nowhere, or gone before it was read: one look more.
            Step::RescuePacks if process.looks == 1 => vec![Step::RescueGc],
            Step::RescueRead if process.asked != 0 && process.looks == 1 => vec![Step::RescueGc],
            Step::RescuePacks => vec![Step::Abandon],
            Step::RescueRead if process.asked != 0 => vec![Step::Abandon],
            Step::RescueRead | Step::RescueUpload | Step::RescueSegment
                if process.missing | process.roots | process.fresh != 0 =>
            {
                Self::while_rescuing(process)
            }
            Step::RescueSegment if rules.has(WriterLoops) => Self::begin_check(rules),
            Step::RescueSegment => Self::passed(rules),
            Step::Ok if rules.variant == Variant::Mark && process.asked == 1 => vec![Step::Pending],
            Step::Ok => vec![confirm(rules)[0]],
            Step::ConfirmGc | Step::ConfirmManifest => match following(confirm(rules), last) {
                Some(step) => vec![step],
                // Named, and not to be deleted before another one counts.
                None if process.asked == 3 => vec![Step::Open],
                None if process.asked == 1 => vec![Step::GiveWay],
                None => vec![Step::Supersede],
            },
            Step::Supersede if process.archives != 0 => vec![Step::Supersede],
            Step::GiveWay if rules.variant == Variant::Mark => vec![Step::Pending],
            Step::GiveWay | Step::Supersede | Step::Abandon => vec![Step::Open],
            _ => Vec::new(),
        }
    }

    fn listed(&self, scenario: &Scenario, step: Step, world: &mut World, process: &mut Process, names: Names) {
        let rules = &scenario.rules;
        let judges = check(rules).last() == Some(&step);
        match step {
            Step::Open if process.looks == 0 || process.asked == 3 => {
                if process.asked == 3 {
                    self.again(rules, process);
                }
                process.looks = 1;
                process.view = world.named(names.files);
                process.fresh = if self.adopts { world.standing & !process.view } else { 0 };
                process.missing = self.chunks & !world.chunks(process.view | process.fresh);
                if rules.has(InheritedUnchecked) {
                    process.missing &= !self.inherited;
                }
                if process.missing & self.unreadable != 0 {
                    process.end();
                }
            }
            Step::Open => {
                process.looks = 2;
                process.view |= world.named(names.files);
            }
            Step::CheckGc | Step::RescueGc => {
                process.condemned = members(names.files).fold(0, |packs, record| packs | world.records[record].packs);
            }
            Step::CheckPacks => process.listed = names.files,
            Step::RescueIndex if rules.has(CheckGcThenIndex) => process.view = world.named(names.files),
            Step::RescueIndex => process.view |= world.named(names.files),
            Step::RescuePacks => {
                // A second look is for copies to read; what is good was decided at the first.
                if process.looks == 0 {
                    process.missing = self.chunks & !world.chunks(process.view & names.files & !process.condemned);
                }
                process.looks += 1;
                (process.view, process.condemned) = (0, 0);
                process.listed = if process.missing == 0 { 0 } else { names.files };
            }
            Step::ConfirmGc => {
                let expiring = members(names.files).fold(0, |all, record| all | world.records[record].archives);
                let gone = process.asked != 0;
                process.asked = Set::from(expiring & self.archive(process) != 0);
                if confirm(rules).last() == Some(&Step::ConfirmGc) {
                    self.decide(rules, world, process, gone);
                }
            }
            _ => unreachable!("{step:?} lists nothing"),
        }
        if judges {
            self.judge(rules, world, process);
        }
    }

    fn act(&self, scenario: &Scenario, step: Step, turn: &mut Turn<'_>) {
        let rules = &scenario.rules;
        let one = |set: Set| if self.splits { set & set.wrapping_neg() } else { set };
        turn.take(step, |world, process| match step {
            Step::Upload | Step::RescueUpload => {
                // What was read, or what is read from the source now.
                let chunks = one(if process.roots == 0 { process.missing } else { process.roots });
                if process.roots == 0 {
                    process.missing &= !chunks;
                } else {
                    process.roots &= !chunks;
                }
                process.fresh |= world.put_pack(chunks, rules.has(NameFromContent));
                if process.missing == 0 {
                    process.listed = 0;
                }
            }
            Step::Index | Step::RescueSegment => {
                world.put_segment(process.fresh, rules.has(SegmentNameFromContent));
                let looks_again = rules.variant == Variant::Mark && process.turn + 1 < self.attempts;
                if step == Step::Index || rules.has(WriterLoops) || looks_again {
                    process.view |= process.fresh;
                }
                process.fresh = 0;
            }
            Step::Pending => {
                (process.asked, process.looks) = (0, 0);
                world.put_manifest(self.archive(process));
            }
            ASK_PARENT => process.asked = Set::from(world.has_manifest(0)),
            Step::RescueRead => {
                world.read(crate::protocol::Place::Pack);
                let there = world.chunks(process.listed & world.standing);
                let wanted = one(process.missing);
                process.asked = Set::from(wanted & !there != 0);
                if process.asked == 0 {
                    process.roots |= wanted;
                    process.missing &= !wanted;
                }
            }
            Step::Abandon => {
                world.remove_manifest(self.archive(process));
                self.again(rules, process);
            }
            Step::Ok => self.put_ok(rules, world, process),
            Step::ConfirmManifest => {
                let gone = !world.has_manifest(self.archive(process).trailing_zeros() as usize);
                if confirm(rules).last() == Some(&Step::ConfirmManifest) {
                    self.decide(rules, world, process, gone);
                } else {
                    process.asked = Set::from(gone);
                }
            }
            Step::GiveWay => {
                world.remove_ok(process.archives);
                self.again(rules, process);
            }
            Step::Supersede => {
                let archive = process.archives & process.archives.wrapping_neg();
                process.archives &= !archive;
                world.put_deleted(archive);
                match process.asked {
                    0 if process.archives == 0 => process.end(),
                    0 => {}
                    _ => self.again(rules, process),
                }
            }
            _ => unreachable!("{step:?} is no writer's"),
        });
    }
}

impl Writer {
    fn put_ok(&self, rules: &Rules, world: &mut World, process: &mut Process) {
        let archive = self.archive(process);
        process.asked = 0;
        if rules.variant == Variant::Mark && world.dropped & archive != 0 && !rules.has(OkOverwrites) {
            world.refused();
            self.again(rules, process);
            process.asked = Set::from(!process.has_ended());
            return;
        }
        world.put_ok(archive);
        if rules.variant == Variant::Author {
            process.view = 0;
        }
        if rules.has(NoFinalHead) && rules.variant == Variant::Mark {
            world.counted |= archive;
            process.end();
        }
    }
}
