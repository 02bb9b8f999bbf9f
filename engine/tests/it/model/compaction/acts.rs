//! What the steps of a compaction do.

use super::{Compaction, FAILED, LOOK_AGAIN, MISSING, WORK, garbage, lowest, singles, unnamed};
use crate::model::machine::Turn;
use crate::model::rules::Change::{
    CopyNotIndexed, ExpiryDecidesAlone, ExpiryLooksFirst, MarkBeforeManifest, MarkWithoutHead, NameFromContent,
    PacksBeforeReindex, SegmentNameFromContent,
};
use crate::model::rules::{Rules, Variant};
use crate::model::world::{NO_ARCHIVES, Record, Set, subsets};
use crate::protocol::{Place, Step};

impl Compaction {
    /// In every order, or, alone, in one.
    pub(super) fn each(&self, set: Set) -> impl Iterator<Item = Set> {
        singles(set).take(if self.honest { 1 } else { usize::MAX })
    }

    /// Copies of what is in a pack; then a segment for all that was put.
    pub(super) fn put_prepared(&self, step: Step, turn: &mut Turn<'_>) {
        let rules = turn.scenario.rules;
        if step == Step::PrepareSegment {
            return turn.take(step, |world, process| {
                world.put_segment(process.fresh, rules.has(SegmentNameFromContent));
                process.fresh = 0;
            });
        }
        for source in self.each(turn.world.standing) {
            turn.take(step, |world, process| {
                let chunks = world.chunks(source);
                process.fresh |= world.put_pack(chunks, rules.has(NameFromContent));
                process.looks += 1;
            });
        }
    }

    pub(super) fn condemn(&self, turn: &mut Turn<'_>) {
        let world = turn.world;
        let all = garbage(turn.scenario, world);
        for packs in subsets(world.standing) {
            let chosen = if self.honest { packs == all } else { (1..=self.condemns).contains(&packs.count_ones()) };
            if chosen {
                turn.take(Step::Condemn, |world, process| {
                    process.mine = world.put_record(Record { packs, archives: NO_ARCHIVES });
                    (process.asked, process.fresh, process.looks) = (0, 0, 0);
                });
            }
        }
    }

    pub(super) fn put_expiry(&self, turn: &mut Turn<'_>) {
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

    pub(super) fn ask_expired(turn: &mut Turn<'_>) {
        turn.take(Step::ExpireLook, |world, process| {
            // One that looks first looks at what it means to name.
            let undecided = if process.mine == 0 { &mut process.stale } else { &mut process.archives };
            let archive = lowest(*undecided);
            world.ask_ok();
            if process.mine != 0 || world.ok & archive != 0 {
                *undecided &= !archive;
            }
            process.roots = archive & !world.ok;
        });
    }

    pub(super) fn remove_expired(&self, turn: &mut Turn<'_>) {
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

    pub(super) fn purge(rules: &Rules, turn: &mut Turn<'_>) {
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

    pub(super) fn read_copies(&self, turn: &mut Turn<'_>) {
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

    pub(super) fn put_copies(&self, step: Step, turn: &mut Turn<'_>) {
        let rules = turn.scenario.rules;
        turn.take(step, |world, process| {
            if step == Step::CopySegment {
                world.put_segment(process.listed, rules.has(SegmentNameFromContent));
                process.listed = 0;
                return;
            }
            let chunks = if self.splits { lowest(process.roots) } else { process.roots };
            process.roots &= !chunks;
            let pack = world.put_pack(chunks, rules.has(NameFromContent));
            match rules.variant {
                _ if rules.has(CopyNotIndexed) => {}
                Variant::Author => process.listed |= pack,
                // One segment for the copies and for what it replaces.
                Variant::Mark => process.fresh |= pack,
            }
        });
    }

    pub(super) fn reindex(&self, step: Step, turn: &mut Turn<'_>) {
        let rules = turn.scenario.rules;
        match step {
            Step::ReindexRead => turn.take(step, |world, process| {
                world.read(Place::Segment);
                let read = if self.splits { lowest(process.segments) } else { process.segments };
                process.fresh |= world.named(read & world.live) & !process.condemned;
                process.segments &= !read;
                if process.segments == 0 && process.drop == 0 {
                    process.condemned = 0;
                }
            }),
            Step::ReindexPut => turn.take(step, |world, process| {
                let packs = if self.splits { lowest(process.fresh) } else { process.fresh };
                world.put_segment(packs, rules.has(SegmentNameFromContent));
                process.fresh &= !packs;
            }),
            _ => {
                for segment in self.each(turn.process().replaced) {
                    turn.take(step, |world, process| {
                        world.remove_segment(segment);
                        process.replaced &= !segment;
                    });
                }
            }
        }
    }

    pub(super) fn drop(&self, step: Step, turn: &mut Turn<'_>) {
        let rules = turn.scenario.rules;
        if step == Step::DropRecord {
            for record in self.each(turn.process().records) {
                turn.take(step, |world, process| {
                    world.remove_record(record);
                    process.records &= !record;
                });
            }
            return;
        }
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

    pub(super) fn ask_orphan(turn: &mut Turn<'_>) {
        turn.take(Step::TidyManifest, |world, process| {
            let archive = lowest(process.archives | process.stale);
            if world.has_manifest(archive.trailing_zeros() as usize) {
                process.archives &= !archive;
                process.stale &= !archive;
            } else {
                process.roots = archive;
            }
        });
    }

    pub(super) fn remove_mark(turn: &mut Turn<'_>) {
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
