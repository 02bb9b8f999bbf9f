//! Those who prune, delete and read.

use super::machine::{Role, Scenario, Turn};
use super::rules::Change::{PruneHeadBeforeGc, PruneOnlyGc, PruneOnlyHead, PruneUnasked};
use super::rules::Rules;
use super::world::{Names, Process, World, members};
use crate::protocol::{Place, Step};

/// A user deletes archive 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deleter;

impl Role for Deleter {
    fn after(&self, _: &Scenario, _: &World, process: &Process) -> Vec<Step> {
        vec![if process.last().is_none() { Step::DeleteLook } else { Step::Delete }]
    }

    fn listed(&self, _: &Scenario, _: Step, _: &mut World, _: &mut Process, _: Names) {}

    fn act(&self, _: &Scenario, step: Step, turn: &mut Turn<'_>) {
        turn.take(step, |world, process| {
            world.put_deleted(1);
            world.unwanted |= 1;
            process.end();
        });
    }
}

/// An undelete of an earlier draft: removes the mark of archive 0, then asks whether the manifest stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unmarker;

impl Role for Unmarker {
    fn after(&self, _: &Scenario, world: &World, process: &Process) -> Vec<Step> {
        match process.last() {
            None if world.deleted & 1 != 0 => vec![Step::TidyMark],
            None => Vec::new(),
            Some(_) => vec![Step::TidyManifest],
        }
    }

    fn listed(&self, _: &Scenario, _: Step, _: &mut World, _: &mut Process, _: Names) {}

    fn act(&self, _: &Scenario, step: Step, turn: &mut Turn<'_>) {
        turn.take(step, |world, process| {
            if step == Step::TidyMark {
                return world.remove_deleted(1);
            }
            if world.has_manifest(0) {
                world.unwanted &= !1;
            }
            process.end();
        });
    }
}

/// Deletes archive 0 because it keeps another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pruner;

fn questions(rules: &Rules) -> &'static [Step] {
    match () {
        () if rules.has(PruneUnasked) => &[Step::PruneLook, Step::PruneDelete],
        () if rules.has(PruneOnlyGc) => &[Step::PruneLook, Step::PruneGc, Step::PruneDelete],
        () if rules.has(PruneOnlyHead) => &[Step::PruneLook, Step::PruneManifest, Step::PruneDelete],
        () if rules.has(PruneHeadBeforeGc) => &[Step::PruneLook, Step::PruneManifest, Step::PruneGc, Step::PruneDelete],
        () => &[Step::PruneLook, Step::PruneGc, Step::PruneManifest, Step::PruneDelete],
    }
}

impl Role for Pruner {
    fn after(&self, scenario: &Scenario, _: &World, process: &Process) -> Vec<Step> {
        let questions = questions(&scenario.rules);
        let Some(last) = process.last() else { return vec![questions[0]] };
        if process.archives == 0 {
            // Nothing of what was to be kept stays: the rules are applied again.
            return vec![Step::PruneLook];
        }
        if last == Step::PruneManifest && process.stale != 0 {
            return vec![last];
        }
        let at = questions.iter().position(|step| *step == last);
        at.and_then(|at| questions.get(at + 1)).copied().into_iter().collect()
    }

    fn listed(&self, _: &Scenario, step: Step, world: &mut World, process: &mut Process, names: Names) {
        if step == Step::PruneLook {
            let good = names.files & names.ok & !names.deleted;
            process.archives = good & !1;
            process.looks += 1;
            // It starts again once.
            if good & 1 == 0 || process.archives == 0 || process.looks == 3 {
                return process.end();
            }
        } else {
            let expiring = members(names.files).fold(0, |all, record| all | world.records[record].archives);
            process.archives &= !expiring;
        }
        process.stale = process.archives;
    }

    fn act(&self, _: &Scenario, step: Step, turn: &mut Turn<'_>) {
        turn.take(step, |world, process| {
            if step == Step::PruneManifest {
                let archive = process.stale & process.stale.wrapping_neg();
                process.stale &= !archive;
                if !world.has_manifest(archive.trailing_zeros() as usize) {
                    process.archives &= !archive;
                }
                return;
            }
            world.put_deleted(1);
            world.unwanted |= 1;
            world.relied |= process.archives;
            process.end();
        });
    }
}

/// Restores archive 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    /// More looks than this are too many.
    pub(crate) most_looks: u16,
}

impl Role for Reader {
    fn after(&self, _: &Scenario, world: &World, process: &Process) -> Vec<Step> {
        let can = world.chunks(process.view) & process.missing != 0;
        vec![if can { Step::ReadPack } else { Step::ReadLook }]
    }

    fn listed(&self, scenario: &Scenario, _: Step, world: &mut World, process: &mut Process, names: Names) {
        if process.looks == 0 {
            process.missing = scenario.parent;
        }
        process.looks += 1;
        process.view = world.named(names.files);
    }

    fn act(&self, _: &Scenario, step: Step, turn: &mut Turn<'_>) {
        let process = turn.process();
        let of_use = |pack: &usize| turn.world.packs[*pack] & process.missing != 0;
        for pack in members(process.view).filter(of_use).collect::<Vec<_>>() {
            turn.take(step, |world, process| {
                world.read(Place::Pack);
                if world.standing & 1 << pack != 0 {
                    process.missing &= !world.packs[pack];
                } else {
                    process.view &= !(1 << pack);
                }
                if process.missing == 0 {
                    process.end();
                }
            });
        }
    }
}
