//! What workers have claimed, the thread that makes packs durable, and the segments that name them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::Receiver;

use crate::error::{Error, Result, StoreError};
use crate::format::block::ENTRY_LEN;
use crate::format::file::Class;
use crate::format::segment::{IndexedPack, Segment, segment_groups};
use crate::id::{FileId, ObjectId, PackId};
use crate::repository::open_pack::OpenPack;
use crate::repository::packer::Stored;
use crate::repository::session::{Announcement, Session};
use crate::repository::{Core, Index, PackNumber, Stage};
use crate::store::Kind;
use crate::sync::lock;

/// A segment is put after so many objects …
const SEGMENT_OBJECTS: usize = 125_000;
/// … or so many bytes of packs.
const SEGMENT_BYTES: u64 = 2 << 30;
/// The claims are spread over so many locks.
const SHARDS: usize = 64;

/// What the workers and the thread that finishes packs share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: Arc<Core>,
    index: Arc<Index>,
    claims: Vec<Mutex<HashSet<ObjectId>>>,
    pending: Mutex<Pending>,
    failed: Mutex<Option<Error>>,
    stored_bytes: AtomicU64,
}

/// Packs that are durable and not yet in a segment.
#[derive(Debug, Default)]
struct Pending {
    packs: Vec<IndexedPack>,
    put: Vec<(PackId, u64)>,
    /// Size, and hash of the trailer, as they were when the pack was finished: what a segment must say of it.
    trailers: HashMap<PackId, (u64, blake3::Hash)>,
    segments: Vec<FileId>,
    session: Option<Session>,
}

/// The thread that makes packs durable: one, because a disk syncs no faster for being asked twice.
pub(super) fn finish_packs(shared: &Shared, packs: &Receiver<OpenPack>, announcement: &Announcement) {
    for pack in packs {
        // After a failure the packs that still come are dropped, so that no worker waits for ever.
        if shared.check().is_ok()
            && let Err(error) = shared.finish_pack(pack, announcement)
        {
            *lock(&shared.failed) = Some(error);
        }
    }
}

impl Shared {
    pub(super) fn new(core: Arc<Core>, index: Arc<Index>) -> Self {
        Self {
            core,
            index,
            claims: (0..SHARDS).map(|_| Mutex::default()).collect(),
            pending: Mutex::default(),
            failed: Mutex::new(None),
            stored_bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn claim(&self, id: &ObjectId) -> Stored {
        let Some(shard) = self.shard(id) else { return Stored::New };
        let mut claims = lock(shard);
        if claims.contains(id) {
            return Stored::Known(PackNumber::OWN);
        }
        // Under the lock: a claim is dropped only after the index that names the object is in place.
        if let Some(number) = self.index.good(id) {
            return Stored::Known(number);
        }
        claims.insert(*id);
        Stored::New
    }

    fn shard(&self, id: &ObjectId) -> Option<&Mutex<HashSet<ObjectId>>> {
        self.claims.get(id.as_bytes().first().map_or(0, |byte| usize::from(*byte) % SHARDS))
    }

    pub(super) fn packs(&self) -> Vec<(PackId, u64)> {
        lock(&self.pending).put.clone()
    }

    pub(super) fn segments(&self) -> Vec<FileId> {
        lock(&self.pending).segments.clone()
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn end_session(&self) {
        if let Some(session) = lock(&self.pending).session.take() {
            session.end();
        }
    }

    /// The failure of the thread, if it has failed.
    pub(super) fn check(&self) -> Result<()> {
        lock(&self.failed).as_ref().map_or(Ok(()), |error| Err(again(error)))
    }

    fn finish_pack(&self, pack: OpenPack, announcement: &Announcement) -> Result<()> {
        {
            let mut pending = lock(&self.pending);
            if pending.session.is_none() {
                pending.session = Some(Session::begin(&self.core, announcement.clone())?);
            }
        }
        let (pack, trailer) = pack.finish(&self.core)?;
        self.stored_bytes.fetch_add(pack.size, Ordering::Relaxed);
        let full = {
            let mut pending = lock(&self.pending);
            pending.put.push((pack.id, pack.size));
            pending.trailers.insert(pack.id, (pack.size, trailer));
            pending.packs.push(pack);
            let objects: usize = pending.packs.iter().map(|pack| pack.trailer.len() / ENTRY_LEN).sum();
            let bytes: u64 = pending.packs.iter().map(|pack| pack.size).sum();
            objects >= SEGMENT_OBJECTS || bytes >= SEGMENT_BYTES
        };
        if full { self.put_segments() } else { Ok(()) }
    }

    /// Puts what is durable and not yet indexed into segments; then its claims are the index's.
    pub(super) fn put_segments(&self) -> Result<()> {
        let packs = std::mem::take(&mut lock(&self.pending).packs);
        for packs in segment_groups(packs) {
            // It is large: of segment, payload and sealed file no two stay longer than they must.
            let mut payload = Segment { writer: self.core.host_id, replaces: Vec::new(), packs }.encode();
            self.core.flips.alter(Stage::Segment, &mut payload);
            let is_right = |opened: &[u8]| self.says_what_was_put(opened);
            let (name, size) = self.core.put_verified(Kind::Index, Class::Index, &payload, &is_right)?;
            let segment = Segment::decode(&payload);
            let segment = segment.map_err(|_| Error::Internal("a segment that does not decode".to_owned()))?;
            drop(payload);
            self.stored_bytes.fetch_add(size, Ordering::Relaxed);
            self.index.add(name, &segment)?;
            self.drop_claims(&segment)?;
            let mut pending = lock(&self.pending);
            for pack in &segment.packs {
                pending.trailers.remove(&pack.id);
            }
            pending.segments.push(name);
            if let Some(session) = pending.session.as_mut() {
                session.renew()?;
            }
        }
        Ok(())
    }

    /// Whether a segment says of its packs what was true when they were finished: until it is put, that waits in memory.
    fn says_what_was_put(&self, payload: &[u8]) -> bool {
        let Ok(segment) = Segment::decode(payload) else { return false };
        let pending = lock(&self.pending);
        segment.writer == self.core.host_id
            && segment
                .packs
                .iter()
                .all(|pack| pending.trailers.get(&pack.id) == Some(&(pack.size, blake3::hash(&pack.trailer))))
    }

    fn drop_claims(&self, segment: &Segment) -> Result<()> {
        let ours = |_| Error::Internal("a trailer that this run wrote does not decode".to_owned());
        for pack in &segment.packs {
            for entry in pack.blocks().map_err(ours)?.iter().flat_map(|block| &block.entries) {
                if let Some(shard) = self.shard(&entry.id) {
                    lock(shard).remove(&entry.id);
                }
            }
        }
        Ok(())
    }
}

/// The same failure for everybody who asks: whoever comes first must not be the only one to know why.
fn again(error: &Error) -> Error {
    match error {
        Error::Store(error) => {
            let source = error.source.as_ref().map(|source| std::io::Error::new(source.kind(), source.to_string()));
            Error::Store(StoreError { action: error.action, key: error.key.clone(), kind: error.kind, source })
        }
        Error::Altered { what } => Error::Altered { what },
        other => Error::Internal(other.to_string()),
    }
}
