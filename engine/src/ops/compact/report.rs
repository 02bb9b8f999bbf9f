//! What a compaction says of itself, before, during and after.

use std::collections::HashSet;
use std::time::Duration;

use super::CompactOptions;
use crate::id::{ArchiveId, PackId};
use crate::repository::Look;
use crate::repository::gc::Dropped;
use crate::repository::gc::look::View;
use crate::repository::gc::plan::{Doomed, Plan};
use crate::repository::gc::retire::Retired;

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

impl CompactReport {
    /// Archives that are left alone for what is wrong with them.
    pub(super) fn note_strange(&mut self, retired: &Retired) {
        let mut note = |ids: &[ArchiveId], what: &str| {
            self.left.extend(ids.iter().map(|id| format!("archive aid:{id} {what}")));
        };
        note(&retired.unmarked, "has lost its mark and is kept; run `vault check`");
        note(&retired.protected, "is deleted and protected, and is kept: undelete or unprotect it");
        note(&retired.bereft, "has a mark and no manifest: it was lost, or its run was cut off while it was given up");
    }

    /// What there is at the beginning.
    pub(super) fn describe(&mut self, view: &View, plan: &Plan) {
        let (packs, bytes, segments) = sizes(&view.look);
        self.packs_before = packs;
        self.bytes_before = bytes;
        self.segments_before = segments;
        self.segments_after = segments;
        self.spared = plan.spared;
        if plan.strange > 0 {
            let message = format!(
                "{} packs have another size than the index says and are left alone; run `vault check`",
                plan.strange
            );
            self.left.push(message);
        }
    }

    /// What the rounds would do.
    pub(super) fn foretell(&mut self, options: &CompactOptions, view: &View, plan: &Plan) {
        let condemned = view.look.packs.iter().filter(|(id, _)| view.look.condemned.contains(id));
        let condemned: Vec<u64> = condemned.map(|(_, size)| *size).collect();
        self.dead_packs = (plan.dead.len() + condemned.len()) as u64;
        self.dead_bytes = plan.dead.iter().map(|pack| pack.size).chain(condemned).sum();
        let mut budget = options.max_repack.unwrap_or(u64::MAX);
        for pack in &plan.rewrite {
            if pack.live > budget {
                self.note_budget();
                break;
            }
            budget -= pack.live;
            self.rewritten_packs += 1;
            self.rewritten_bytes += pack.size;
            self.copied_bytes += pack.live;
        }
        if options.max_duration.is_some() && !plan.rewrite.is_empty() {
            self.left.push("how much of the rewriting --max-duration leaves time for is not foretold".to_owned());
        }
        let gained = self.rewritten_bytes.saturating_sub(self.copied_bytes);
        self.freed_bytes = self.dead_bytes + gained;
    }

    pub(super) fn note_no_room(&mut self) {
        self.left.push("more packs are partly dead: the disk has no room to copy what lives in them".to_owned());
    }

    pub(super) fn note_budget(&mut self) {
        self.left.push("more packs are partly dead: --max-repack is reached".to_owned());
    }

    /// Packs that were to be copied in part count as rewritten, all others as dead.
    pub(super) fn note_dropped(&mut self, doomed: &[Doomed], dropped: &[Dropped]) {
        let in_part: HashSet<PackId> = doomed.iter().filter(|pack| pack.live > 0).map(|pack| pack.id).collect();
        for pack in dropped {
            let (count, bytes) = if in_part.contains(&pack.id) {
                (&mut self.rewritten_packs, &mut self.rewritten_bytes)
            } else {
                (&mut self.dead_packs, &mut self.dead_bytes)
            };
            *count += 1;
            *bytes += pack.size;
        }
    }
}

/// Packs; bytes of packs and index segments; index segments.
pub(super) fn sizes(look: &Look) -> (u64, u64, u64) {
    let bytes = look.packs.values().sum::<u64>() + look.segments.values().sum::<u64>();
    (look.packs.len() as u64, bytes, look.segments.len() as u64)
}
