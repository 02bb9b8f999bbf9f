//! Rule 14: segments that name what is condemned or gone are replaced, and small ones merged. New ones are durable before old ones go.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::error::Result;
use crate::format::file::Class;
use crate::format::segment::{IndexedPack, Segment, segment_groups};
use crate::id::{FileId, PackId};
use crate::repository::gc::look::View;
use crate::repository::gc::{MERGED, size_class};
use crate::repository::{Archive, Core};
use crate::store::{Key, Kind};

/// Segments of this size are left alone, whatever their number.
const SMALL_BYTES: u64 = 4 << 20;
/// Segments that are read at a time.
const READ_AT_ONCE: usize = 4;

/// Puts the segments that take the place of others, then removes those others.
pub(crate) fn reindex(core: &Core, view: &View) -> Result<()> {
    let replaced = chosen(view);
    if replaced.is_empty() {
        return Ok(());
    }
    let mut writer =
        SegmentWriter { core, view, seen: HashSet::new(), packs: Vec::new(), bytes: 0, replaces: Vec::new() };
    let named = named_by_manifests(&view.roots);
    for ids in replaced.chunks(READ_AT_ONCE) {
        let read: Vec<(FileId, Option<Segment>)> =
            ids.par_iter().map(|id| Ok((*id, core.read_segment(*id)?))).collect::<Result<_>>()?;
        for (id, segment) in read {
            // One that is gone was replaced by somebody else, who has put its entries elsewhere.
            if let Some(segment) = segment {
                let predecessors = segment.replaces.into_iter().chain([id]);
                writer.replaces.extend(predecessors.filter(|id| named.contains(id)));
                writer.take(segment.packs)?;
            }
        }
    }
    writer.flush()?;
    let keys: Vec<Key> = replaced.iter().map(|id| Key::file(Kind::Index, *id)).collect();
    Ok(core.store.remove_many(&keys)?)
}

/// Which segments are replaced: those that name a pack of K or one that is gone, and small ones where there are many.
pub(crate) fn chosen(view: &View) -> Vec<FileId> {
    let dying: HashSet<PackId> = view.weights.packs.iter().map(|pack| pack.id).filter(|id| !stays(view, id)).collect();
    let mut chosen: BTreeSet<FileId> =
        view.index.segment_packs().into_iter().filter(|(_, pack)| dying.contains(pack)).map(|(id, _)| id).collect();
    let mut classes: BTreeMap<u32, Vec<FileId>> = BTreeMap::new();
    for (id, size) in view.look.segments.iter().filter(|(_, size)| **size < SMALL_BYTES) {
        classes.entry(size_class(*size)).or_default().push(*id);
    }
    chosen.extend(classes.into_values().filter(|ids| ids.len() >= MERGED).flatten());
    chosen.into_iter().collect()
}

/// Whether a pack was in the listing that came after the index was listed, and nobody condemned it.
fn stays(view: &View, pack: &PackId) -> bool {
    view.look.packs.contains_key(pack) && !view.look.condemned.contains(pack)
}

/// Manifests name the segments of their run, so that a lost one is noticed; what became of those has to be told.
fn named_by_manifests(roots: &[Archive]) -> HashSet<FileId> {
    roots.iter().flat_map(|archive| archive.manifest.segments.iter().copied()).collect()
}

struct SegmentWriter<'a> {
    core: &'a Core,
    view: &'a View,
    seen: HashSet<(PackId, [u8; 32])>,
    packs: Vec<IndexedPack>,
    bytes: usize,
    replaces: Vec<FileId>,
}

impl SegmentWriter<'_> {
    fn take(&mut self, packs: Vec<IndexedPack>) -> Result<()> {
        for pack in packs.into_iter().filter(|pack| stays(self.view, &pack.id)) {
            // Two segments may say the same; where they differ, both are kept for `check` to judge.
            if self.seen.insert((pack.id, *blake3::hash(&pack.trailer).as_bytes())) {
                self.bytes += pack.encoded_length();
                self.packs.push(pack);
            }
        }
        if self.bytes >= crate::format::segment::SEGMENT_LIMIT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let mut replaces = std::mem::take(&mut self.replaces);
        replaces.sort_unstable();
        replaces.dedup();
        let mut groups = segment_groups(std::mem::take(&mut self.packs));
        if groups.is_empty() && !replaces.is_empty() {
            // Nothing is left of them; the next one that is put says so.
            self.replaces = replaces;
            return Ok(());
        }
        self.bytes = 0;
        for packs in groups.drain(..) {
            let segment = Segment { writer: self.core.host_id, replaces: std::mem::take(&mut replaces), packs };
            let encoded = segment.encode();
            self.core.with_reserve(|| self.core.put_sealed(Kind::Index, Class::Index, &encoded))?;
        }
        Ok(())
    }
}
