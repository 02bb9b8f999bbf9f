//! Rule 12: the look of a compaction, in the order that the proof needs: `gc/` read, then the archives, then the index, then `packs/`.
//!
//! What cannot be read ends it; what is gone since it was listed is skipped.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::Result;
use crate::id::{ArchiveId, ObjectId, PackId};
use crate::progress::Monitor;
use crate::repository::gc::live::{Live, Unreadable};
use crate::repository::gc::weigh::{Weights, weigh};
use crate::repository::{Archive, Index, Look, Repository, rebuild};

/// What exists, what lives in it, and what must not be lost.
#[derive(Debug)]
pub(crate) struct View {
    /// The listings.
    pub look: Look,
    /// Every manifest that was listed.
    pub listed: BTreeSet<ArchiveId>,
    /// Every manifest that could be read: all of them but those that went meanwhile.
    pub roots: Vec<Archive>,
    /// Where objects are.
    pub index: Arc<Index>,
    /// Which of them a root needs.
    pub live: Live,
    /// What a repair has found to be lost for good.
    pub excused: HashSet<ObjectId>,
    /// How much of each pack that is.
    pub weights: Weights,
}

/// Manifests that were read: they never change, so a second look reads only those that are new.
#[derive(Debug, Default)]
pub(crate) struct Manifests(HashMap<ArchiveId, Archive>);

impl Manifests {
    /// Those of a listing. One that is gone is left out.
    ///
    /// # Errors
    /// One that is there cannot be read: nobody knows what it needs.
    pub(crate) fn read(&mut self, repository: &Repository, ids: &BTreeSet<ArchiveId>) -> Result<Vec<Archive>> {
        let new: Vec<ArchiveId> = ids.iter().filter(|id| !self.0.contains_key(id)).copied().collect();
        let read: Vec<Option<Archive>> = new.into_par_iter().map(|id| repository.archive(id)).collect::<Result<_>>()?;
        self.0.extend(read.into_iter().flatten().map(|archive| (archive.id, archive)));
        Ok(ids.iter().filter_map(|id| self.0.get(id).cloned()).collect())
    }
}

/// What a survey thinks away or adds, and what a round does that copies before it condemns: nothing has been deleted or condemned yet, so
/// they have to imagine it.
#[derive(Debug, Default)]
pub(crate) struct Imagined {
    /// Archives that are no roots.
    pub gone: HashSet<ArchiveId>,
    /// Packs that are condemned.
    pub condemned: HashSet<PackId>,
    /// Packs that no segment names are read as if one did.
    pub adopted: bool,
    /// What is made of trees and lists that cannot be opened.
    pub unreadable: Unreadable,
}

/// Looks. Before packs are deleted nothing is imagined.
pub(crate) fn look(
    repository: &Repository,
    manifests: &mut Manifests,
    imagined: &Imagined,
    monitor: &dyn Monitor,
) -> Result<View> {
    let core = repository.core();
    // Before all others: what is recorded later is not excused yet.
    let excused = repository.facts()?.lost_objects();
    let mut look = Look::gc(core)?;
    let listed: BTreeSet<ArchiveId> =
        repository.list_archives()?.manifests.into_iter().filter(|id| !imagined.gone.contains(id)).collect();
    let roots = manifests.read(repository, &listed)?;
    look.condemned.extend(&imagined.condemned);
    look.list_index_and_packs(core)?;
    let mut index = repository.load_whole_index_of(&look)?;
    if imagined.adopted {
        index.add_unnamed(&rebuild::orphans(core, &look, &index)?)?;
    }
    let index = Arc::new(index);
    let live = Live::count(repository, &index, &roots, imagined.unreadable, monitor)?;
    let weights = weigh(&index, &live, &excused)?;
    Ok(View { look, listed, roots, index, live, excused, weights })
}
