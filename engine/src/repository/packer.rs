//! Objects into blocks, blocks into packs, packs into index segments.
//!
//! Workers bring blocks, compress them, and seal them on their own core for one of two open packs, chosen at random so that the order of
//! sizes tells little. Only appending takes the pack's lock. Whoever lets go of a full pack last hands it to one thread that makes it
//! durable and, every 250,000 objects or 2 GiB, puts an index segment: what is in a segment is used again if the run is cut off.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::compress::Compression;
use crate::crypto::Purpose;
use crate::error::{Error, Result, StoreError};
use crate::format::BLOCK_OBJECTS;
use crate::format::block::{BlockContent, BlockKind, Compressed, ENTRY_LEN, Entry, SealedBlock, compress_block};
use crate::format::file::Class;
use crate::format::records::Verb;
use crate::format::segment::{IndexedPack, Segment, segment_groups};
use crate::format::verify::{Verify, open_sealed, open_sealed_head, recompute_ids};
use crate::id::{FileId, ObjectId, PackId};
use crate::repository::open_pack::OpenPack;
use crate::repository::session::{Announcement, Session};
use crate::repository::{Core, Index, PackNumber, Repository, Stage};
use crate::store::Kind;
use crate::sync::lock;

/// A segment is put after so many objects …
const SEGMENT_OBJECTS: usize = 250_000;
/// … or so many bytes of packs.
const SEGMENT_BYTES: u64 = 2 << 30;
/// A block is closed after so many objects: their directory is then as long as a quarter of a block.
const SMALL_BLOCK_OBJECTS: usize = 4096;
/// The claims are spread over so many locks.
const SHARDS: usize = 64;

/// Small objects of one purpose that become a block together.
#[derive(Debug)]
pub struct BlockBuilder {
    purpose: Purpose,
    entries: Vec<Entry>,
    plain: Vec<u8>,
}

impl BlockBuilder {
    fn new(purpose: Purpose) -> Self {
        Self { purpose, entries: Vec::new(), plain: Vec::new() }
    }
}

/// Whether an object had to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was there.
    Known(PackNumber),
    /// It is new.
    New,
}

/// Writes objects. `finish` makes all of them durable and indexed.
#[derive(Debug)]
pub struct Packer {
    shared: Arc<Shared>,
    compression: Compression,
    verify: Verify,
    data: [Mutex<Option<Arc<OpenPack>>>; 2],
    meta: Mutex<Option<Arc<OpenPack>>>,
    partial: Mutex<Vec<BlockBuilder>>,
    meta_block: Mutex<BlockBuilder>,
    done: Option<(Sender<OpenPack>, JoinHandle<()>)>,
    new_bytes: AtomicU64,
    coin: AtomicU32,
    /// Blocks that were sealed.
    sealed: AtomicU64,
}

/// What the workers and the thread that finishes packs share.
#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
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

impl Packer {
    /// A writer of new objects into `repository`, against what `index` names as good. `series` is that of the archive
    /// that will refer to them, empty if there is none.
    pub fn new(repository: &Repository, index: Arc<Index>, compression: Compression, verb: Verb, series: &str) -> Self {
        let announcement = Announcement { verb, series: series.to_owned() };
        let shared = Arc::new(Shared {
            core: Arc::clone(repository.core()),
            index,
            claims: (0..SHARDS).map(|_| Mutex::default()).collect(),
            pending: Mutex::default(),
            failed: Mutex::new(None),
            stored_bytes: AtomicU64::new(0),
        });
        let (sender, receiver) = bounded(2);
        let worker = Arc::clone(&shared);
        let thread = std::thread::spawn(move || finish_packs(&worker, &receiver, &announcement));
        Self {
            shared,
            compression,
            verify: Verify::default(),
            data: [Mutex::new(None), Mutex::new(None)],
            meta: Mutex::new(None),
            partial: Mutex::new(Vec::new()),
            meta_block: Mutex::new(BlockBuilder::new(Purpose::Meta)),
            done: Some((sender, thread)),
            new_bytes: AtomicU64::new(0),
            coin: AtomicU32::new(0),
            sealed: AtomicU64::new(0),
        }
    }

    /// The same, which looks so closely at what it is about to write.
    #[must_use]
    pub fn verifying(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Whether an object is known, or is the caller's to store now. Whoever is told `New` must store it or fail the whole run.
    pub fn claim(&self, id: &ObjectId) -> Stored {
        let shard = id.as_bytes().first().map_or(0, |byte| usize::from(*byte) % SHARDS);
        let Some(shard) = self.shared.claims.get(shard) else { return Stored::New };
        let mut claims = lock(shard);
        if claims.contains(id) {
            return Stored::Known(PackNumber::OWN);
        }
        // Under the lock: a claim is dropped only after the index that names the object is in place.
        if let Some(number) = self.shared.index.good(id) {
            return Stored::Known(number);
        }
        claims.insert(*id);
        Stored::New
    }

    /// Stores a chunk that was claimed. Small ones go into `builder`, large ones into a block of their own.
    pub fn add_chunk(&self, builder: &mut BlockBuilder, id: ObjectId, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= self.shared.core.profile.block_bytes as usize / 2 {
            self.new_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return self.store(Purpose::Data, &[entry(id, bytes)?], bytes);
        }
        self.collect(builder, id, bytes)
    }

    fn collect(&self, builder: &mut BlockBuilder, id: ObjectId, bytes: &[u8]) -> Result<()> {
        builder.entries.push(entry(id, bytes)?);
        builder.plain.extend_from_slice(bytes);
        self.new_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let full = builder.plain.len() >= self.shared.core.profile.block_bytes as usize
            || builder.entries.len() >= SMALL_BLOCK_OBJECTS;
        if full { self.flush_block(builder) } else { Ok(()) }
    }

    fn flush_block(&self, builder: &mut BlockBuilder) -> Result<()> {
        if !builder.entries.is_empty() {
            self.store(builder.purpose, &builder.entries, &builder.plain)?;
            builder.entries.clear();
            builder.plain.clear();
        }
        Ok(())
    }

    /// A builder for chunks that somebody left half full, or a new one. Give it back with [`Self::give_back`].
    pub fn builder(&self) -> BlockBuilder {
        lock(&self.partial).pop().unwrap_or_else(|| BlockBuilder::new(Purpose::Data))
    }

    /// Takes a builder back for the next worker.
    pub fn give_back(&self, builder: BlockBuilder) {
        lock(&self.partial).push(builder);
    }

    /// Stores a metadata object if it is not known; gives its id.
    pub fn put_meta(&self, bytes: &[u8]) -> Result<(ObjectId, Stored)> {
        let id = self.shared.core.ring.object_id(Purpose::Meta, bytes);
        let stored = self.claim(&id);
        if stored == Stored::New {
            self.add_meta(id, bytes)?;
        }
        Ok((id, stored))
    }

    fn add_meta(&self, id: ObjectId, bytes: &[u8]) -> Result<()> {
        let mut block = lock(&self.meta_block);
        let full = block.plain.len() + bytes.len() > self.shared.core.profile.block_bytes as usize
            || block.entries.len() >= SMALL_BLOCK_OBJECTS;
        let full = full.then(|| std::mem::replace(&mut *block, BlockBuilder::new(Purpose::Meta)));
        block.entries.push(entry(id, bytes)?);
        block.plain.extend_from_slice(bytes);
        drop(block);
        self.new_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        full.map_or(Ok(()), |mut full| self.flush_block(&mut full))
    }

    /// Compresses a block and stores it.
    fn store(&self, purpose: Purpose, entries: &[Entry], plain: &[u8]) -> Result<()> {
        let plain = self.shared.core.flips.altered(Stage::Plain, plain);
        let compression = match purpose {
            Purpose::Data => self.compression,
            // Always worth it, whatever the data are.
            Purpose::Meta => Compression::default(),
        };
        self.put_block(purpose, &BlockContent { entries, plain: &plain }, compression)
    }

    /// Compresses a block of claimed objects as it is told to, and stores it.
    pub(crate) fn put_block(
        &self,
        purpose: Purpose,
        content: &BlockContent<'_>,
        compression: Compression,
    ) -> Result<()> {
        self.put_compressed(purpose, compress_block(content, compression)?, content.entries, content.plain.len())
    }

    /// Seals and appends a block, of which at least some objects were claimed.
    pub(crate) fn put_compressed(
        &self,
        purpose: Purpose,
        mut compressed: Compressed,
        entries: &[Entry],
        plain_length: usize,
    ) -> Result<()> {
        self.shared.check()?;
        self.shared.core.flips.alter(Stage::Compressed, compressed.body_mut());
        debug_assert!(entries.len() <= BLOCK_OBJECTS, "a block of too many objects");
        let codec = compressed.codec();
        let (pack, ordinal) = self.reserve(purpose, &compressed, entries.len())?;
        let sealed = self.seal(purpose, &compressed, entries, &pack, ordinal);
        let appended = sealed.and_then(|sealed| pack.append(&sealed, codec, entries, plain_length));
        self.let_go(pack)?;
        appended
    }

    /// Seals a block for a pack, and looks at it once more before it is written.
    fn seal(
        &self,
        purpose: Purpose,
        compressed: &Compressed,
        entries: &[Entry],
        pack: &OpenPack,
        ordinal: u32,
    ) -> Result<SealedBlock> {
        let core = &self.shared.core;
        let mut sealed = compressed.seal(pack.cipher(), ordinal, BlockKind::Objects)?;
        core.flips.alter(Stage::Head, &mut sealed.head);
        core.flips.alter(Stage::Body, &mut sealed.body);
        if self.verify.recomputes_ids() {
            open_sealed_head(pack.cipher(), compressed, &sealed)?;
            recompute_ids(&core.ring, purpose, compressed, entries)?;
        }
        if self.verify.opens(self.sealed.fetch_add(1, Ordering::Relaxed)) {
            open_sealed(&core.ring, &pack.opener(core)?, purpose, &sealed, entries)?;
        }
        Ok(sealed)
    }

    /// Chooses an open pack and takes room in it; a pack that becomes full leaves its place.
    fn reserve(&self, purpose: Purpose, block: &Compressed, objects: usize) -> Result<(Arc<OpenPack>, u32)> {
        let (class, place) = match purpose {
            Purpose::Meta => (Class::Meta, &self.meta),
            Purpose::Data => (Class::Data, self.toss()),
        };
        let mut place = lock(place);
        let pack = match place.take() {
            Some(pack) => pack,
            None => Arc::new(OpenPack::create(&self.shared.core, class)?),
        };
        let (ordinal, has_room) = pack.reserve(&self.shared.core, block, objects);
        if has_room {
            *place = Some(Arc::clone(&pack));
        }
        Ok((pack, ordinal))
    }

    /// One of the two open data packs. Until the first is half full one is enough: a small night makes one pack, not two.
    fn toss(&self) -> &Mutex<Option<Arc<OpenPack>>> {
        let [first, second] = &self.data;
        let half = u64::from(self.shared.core.profile.pack_bytes) / 2;
        let young =
            self.coin.load(Ordering::Relaxed) == 0 && lock(first).as_ref().is_none_or(|pack| pack.reserved() < half);
        if young {
            return first;
        }
        self.coin.store(1, Ordering::Relaxed);
        let coin = crate::crypto::random::<1>().map_or(0, |[byte]| byte);
        if coin & 1 == 0 { first } else { second }
    }

    /// The last one to let go of a full pack hands it on.
    fn let_go(&self, pack: Arc<OpenPack>) -> Result<()> {
        // Whoever could not write to it says so; a later write that succeeds must not make it look whole.
        let Some(pack) = Arc::into_inner(pack).filter(|pack| !pack.is_broken()) else { return Ok(()) };
        let stopped = || Error::Internal("the thread that finishes packs is gone".to_owned());
        let (sender, _) = self.done.as_ref().ok_or_else(stopped)?;
        sender.send(pack).map_err(|_| self.shared.check().err().unwrap_or_else(stopped))
    }

    /// Stores any object that was claimed.
    pub fn put_claimed(&self, purpose: Purpose, id: ObjectId, bytes: &[u8]) -> Result<()> {
        match purpose {
            Purpose::Data => {
                let mut builder = self.builder();
                let added = self.add_chunk(&mut builder, id, bytes);
                self.give_back(builder);
                added
            }
            Purpose::Meta => self.add_meta(id, bytes),
        }
    }

    /// The packs that were put so far, with their sizes.
    pub fn packs(&self) -> Vec<(PackId, u64)> {
        lock(&self.shared.pending).put.clone()
    }

    /// Bytes of plaintext that were stored so far.
    pub fn new_bytes(&self) -> u64 {
        self.new_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of packs and segments that were put so far.
    pub fn stored_bytes(&self) -> u64 {
        self.shared.stored_bytes.load(Ordering::Relaxed)
    }

    /// Makes everything durable and indexed; gives the names of the segments that this packer put. The packer can go on after it.
    pub fn flush(&mut self) -> Result<Vec<FileId>> {
        let partial = std::mem::take(&mut *lock(&self.partial));
        for mut builder in partial {
            self.flush_block(&mut builder)?;
        }
        let mut meta = std::mem::replace(&mut *lock(&self.meta_block), BlockBuilder::new(Purpose::Meta));
        self.flush_block(&mut meta)?;
        for place in [&self.data[0], &self.data[1], &self.meta] {
            let pack = lock(place).take();
            if let Some(pack) = pack {
                self.let_go(pack)?;
            }
        }
        self.coin.store(0, Ordering::Relaxed);
        if !self.join() {
            return Err(Error::Internal("the thread that finishes packs panicked".to_owned()));
        }
        self.shared.check()?;
        self.shared.put_segments()?;
        Ok(lock(&self.shared.pending).segments.clone())
    }

    /// What was put is referred to, or given up: nobody needs to be patient with it any more. Without this, the file of a
    /// session that makes an archive stays, so that what was put is still there when the run is repeated.
    pub fn end(mut self) {
        self.join();
        if let Some(session) = lock(&self.shared.pending).session.take() {
            session.end();
        }
    }

    fn join(&mut self) -> bool {
        let Some((sender, thread)) = self.done.take() else { return true };
        drop(sender);
        thread.join().is_ok()
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        // A run that ends early leaves packs that no segment names; the next one adopts them.
        self.join();
    }
}

fn entry(id: ObjectId, bytes: &[u8]) -> Result<Entry> {
    let length = u32::try_from(bytes.len()).ok().filter(|&length| length as usize <= crate::format::OBJECT_LIMIT);
    let length = length.ok_or_else(|| Error::Internal(format!("an object of {} bytes", bytes.len())))?;
    Ok(Entry { id, length })
}

/// The thread that makes packs durable: one, because a disk syncs no faster for being asked twice.
fn finish_packs(shared: &Shared, packs: &Receiver<OpenPack>, announcement: &Announcement) {
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
    fn check(&self) -> Result<()> {
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
    fn put_segments(&self) -> Result<()> {
        let packs = std::mem::take(&mut lock(&self.pending).packs);
        for packs in segment_groups(packs) {
            let segment = Segment { writer: self.core.host_id, replaces: Vec::new(), packs };
            let mut payload = segment.encode();
            self.core.flips.alter(Stage::Segment, &mut payload);
            let is_right = |opened: &[u8]| self.says_what_was_put(opened);
            let (name, size) = self.core.put_verified(Kind::Index, Class::Index, &payload, &is_right)?;
            self.stored_bytes.fetch_add(size, Ordering::Relaxed);
            self.index.add(name, &segment)?;
            self.drop_claims(&segment)?;
            let mut pending = lock(&self.pending);
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
                let shard = entry.id.as_bytes().first().map_or(0, |byte| usize::from(*byte) % SHARDS);
                if let Some(shard) = self.claims.get(shard) {
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
