//! Damaged packs leave by the steps of a compaction (docs/gc.md, rules 11 to 15), because hosts may be about to refer to what is in them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::compress::Compression;
use crate::error::{Error, Result};
use crate::format::records::Verb;
use crate::id::{ObjectId, PackId};
use crate::progress::Monitor;
use crate::repository::gc::copy::{self, Copied, Demand};
use crate::repository::gc::live::Unreadable;
use crate::repository::gc::look::{self, Imagined, Manifests, View};
use crate::repository::gc::{self, reindex};
use crate::repository::{Packer, Repository};
use crate::store::Key;

/// Looks until all that could be copied was: sources may go while they are read, if compactions run.
const LOOKS: usize = 16;

/// Copies what can be read of these packs, and removes them; what is condemned already goes with them. Gives how many objects were copied.
///
/// # Errors
/// Other runs move what is to be copied, again and again.
pub(super) fn replace(repository: &Repository, damaged: &[Key], monitor: &dyn Monitor) -> Result<u64> {
    let core = repository.core();
    let ids: HashSet<PackId> = damaged.iter().filter_map(|key| PackId::from_hex(key.name())).collect();
    // Before they are condemned: from then on, whoever finishes this may remove them.
    damaged.iter().try_for_each(|key| core.keep_aside(key))?;
    gc::condemn(core, &ids.iter().copied().collect::<Vec<_>>())?;
    let imagined = Imagined { unreadable: Unreadable::IsMissing, ..Imagined::default() };
    let mut manifests = Manifests::default();
    let mut salvaged = 0;
    let mut before = None;
    for _ in 0..LOOKS {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let view = look::look(repository, &mut manifests, &imagined, monitor)?;
        let Copied { objects, lost, .. } = salvage(repository, &view, &ids, monitor)?;
        salvaged += objects;
        let lost: BTreeSet<ObjectId> = lost.into_iter().map(|(_, id)| id).collect();
        // Lost is what two looks could not read one after another.
        let all = objects + lost.len() as u64 >= view.weights.owed;
        if all && (lost.is_empty() || before.as_ref() == Some(&lost)) {
            reindex::reindex(core, &view)?;
            gc::drop_packs(core, &view)?;
            gc::drop_records(core, &view)?;
            return Ok(salvaged);
        }
        before = Some(lost);
    }
    Err(Error::Overtaken { rounds: LOOKS })
}

/// Rule 13, of which what cannot be read is left out, and beyond it whatever else can be read in the damaged packs: a tree that is lost may
/// come back, and what it refers to looks dead until then.
fn salvage(repository: &Repository, view: &View, damaged: &HashSet<PackId>, monitor: &dyn Monitor) -> Result<Copied> {
    if damaged.is_empty() && !view.weights.owes() {
        return Ok(Copied::default());
    }
    let mut packer = Packer::new(repository, Arc::clone(&view.index), Compression::default(), Verb::Repair, "");
    let copied = copy::copy(repository, view, &packer, Demand { threshold: 0, all_of: Some(damaged) }, monitor);
    // What was copied before something failed is made durable too.
    let flushed = packer.flush();
    let copied = copied?;
    flushed?;
    Ok(copied)
}
