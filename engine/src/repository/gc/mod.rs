//! Compaction: docs/gc.md, rules 9 to 16. Every step is a function named as on that page; ops/compact.rs takes them in their order.
//!
//! What is chosen for removal decides nothing: safety rests on what follows. The gc record is put (condemn); then, and only then,
//! everything is looked at again, whatever was known before (look); what any manifest needs and what has no good copy is copied (copy);
//! new segments stand before old ones go (reindex); packs go, and after all of them the records (drop).

pub(crate) mod copy;
mod counts;
pub(crate) mod live;
pub(crate) mod look;
pub(crate) mod patience;
pub(crate) mod plan;
pub(crate) mod reindex;
pub(crate) mod retire;
mod saved;
mod weigh;

use std::collections::HashSet;

use crate::error::Result;
use crate::format::file::Class;
use crate::format::records::GcRecord;
use crate::id::PackId;
use crate::repository::Core;
use crate::repository::gc::look::View;
use crate::store::{Key, Kind};

/// Most packs that one record names: it stays far below what a small file may have.
const RECORD_PACKS: usize = 65_536;

/// So many small files of one size class become one.
const MERGED: usize = 8;

/// Files of one class differ in size by less than a factor of 8.
fn size_class(size: u64) -> u32 {
    size.max(1).ilog2() / 3
}

/// Rule 11: from here on these packs go, whoever finishes it. Durable on return; never shrunk, never withdrawn.
pub(crate) fn condemn(core: &Core, packs: &[PackId]) -> Result<()> {
    for packs in packs.chunks(RECORD_PACKS) {
        let record = GcRecord { packs: packs.to_vec(), pending: Vec::new(), session: core.session };
        core.with_reserve(|| core.put_sealed(Kind::Gc, Class::Gc, &record.encode()))?;
    }
    Ok(())
}

/// A pack that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Which.
    pub id: PackId,
    /// Its bytes.
    pub size: u64,
}

/// Rule 15: the packs of every record that was read.
pub(crate) fn drop_packs(core: &Core, view: &View) -> Result<Vec<Dropped>> {
    drop_those(core, view, &HashSet::new())
}

/// Rule 15 for those of these packs from which nothing has to be copied.
pub(crate) fn drop_idle(core: &Core, view: &View) -> Result<Vec<Dropped>> {
    let owing = view.weights.packs.iter().filter(|pack| pack.owed > 0).map(|pack| pack.id).collect();
    drop_those(core, view, &owing)
}

fn drop_those(core: &Core, view: &View, but: &HashSet<PackId>) -> Result<Vec<Dropped>> {
    let goes = |id: &PackId| view.look.condemned.contains(id) && !but.contains(id);
    let standing = view.look.packs.iter().filter(|(id, _)| goes(id));
    let standing: Vec<Dropped> = standing.map(|(id, size)| Dropped { id: *id, size: *size }).collect();
    let keys: Vec<Key> = standing.iter().map(|pack| Key::pack(pack.id)).collect();
    core.store.remove_many(&keys)?;
    Ok(standing)
}

/// Rule 15, its end: when all of their packs are gone, the records that were read.
///
/// A record of pending archives is its author's to end, unless no archive that it names has a manifest any more.
pub(crate) fn drop_records(core: &Core, view: &View) -> Result<()> {
    let finished = |record: &GcRecord| record.pending.iter().all(|id| !view.listed.contains(id));
    let done = view.look.records.iter().filter(|(_, record)| finished(record));
    let keys: Vec<Key> = done.map(|(id, _)| Key::file(Kind::Gc, *id)).collect();
    Ok(core.store.remove_many(&keys)?)
}
