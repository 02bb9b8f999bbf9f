//! Objects into blocks, blocks into packs, packs into index segments.
//!
//! Workers bring blocks, compress them, and seal them on their own core for one of two open packs, chosen at random so that the order of
//! sizes tells little. Only appending takes the pack's lock. Whoever lets go of a full pack last hands it to one thread that makes it
//! durable and, every 125,000 objects or 2 GiB, puts an index segment: what is in a segment is used again if the run is cut off.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use crate::compress::Compression;
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::BLOCK_OBJECTS;
use crate::format::block::{BlockContent, BlockKind, Compressed, Entry, SealedBlock, compress_block};
use crate::format::file::Class;
use crate::format::records::Verb;
use crate::format::verify::{Verify, has_hash, open_sealed, open_sealed_head, recompute_ids};
use crate::id::{FileId, ObjectId, PackId};
use crate::repository::open_pack::OpenPack;
use crate::repository::session::Announcement;
use crate::repository::{Index, PackNumber, Repository, Stage};
use crate::sync::lock;

mod finishing;

use finishing::{Shared, finish_packs};

/// A block is closed after so many objects: their directory is then as long as a quarter of a block.
const SMALL_BLOCK_OBJECTS: usize = 4096;

/// Small objects of one purpose that become a block together.
#[derive(Debug)]
pub struct BlockBuilder {
    purpose: Purpose,
    compression: Compression,
    entries: Vec<Entry>,
    plain: Vec<u8>,
}

impl BlockBuilder {
    fn new(purpose: Purpose, compression: Compression) -> Self {
        Self { purpose, compression, entries: Vec::new(), plain: Vec::new() }
    }

    /// Always worth it, whatever the data are.
    fn of_meta() -> Self {
        Self::new(Purpose::Meta, Compression::default())
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

impl Packer {
    /// A writer of new objects into `repository`, against what `index` names as good. `series` is that of the archive
    /// that will refer to them, empty if there is none.
    pub fn new(repository: &Repository, index: Arc<Index>, compression: Compression, verb: Verb, series: &str) -> Self {
        let announcement = Announcement { verb, series: series.to_owned() };
        let shared = Arc::new(Shared::new(Arc::clone(repository.core()), index));
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
            meta_block: Mutex::new(BlockBuilder::of_meta()),
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
        self.shared.claim(id)
    }

    /// Stores a chunk that was claimed. Small ones go into `builder`, large ones into a block of their own.
    pub fn add_chunk(&self, builder: &mut BlockBuilder, id: ObjectId, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= self.shared.core.profile.block_bytes as usize / 2 {
            self.new_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return self.store(builder.purpose, builder.compression, &[entry(id, bytes)?], bytes);
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
            self.store(builder.purpose, builder.compression, &builder.entries, &builder.plain)?;
            builder.entries.clear();
            builder.plain.clear();
        }
        Ok(())
    }

    /// How blocks are compressed, if whoever brings them says nothing else.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// A builder for chunks that are compressed so, which somebody left half full, or a new one. Give it back with [`Self::give_back`].
    pub fn builder(&self, compression: Compression) -> BlockBuilder {
        let mut partial = lock(&self.partial);
        let found = partial.iter().rposition(|builder| builder.compression == compression);
        found.map_or_else(|| BlockBuilder::new(Purpose::Data, compression), |at| partial.swap_remove(at))
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
        let full = full.then(|| std::mem::replace(&mut *block, BlockBuilder::of_meta()));
        block.entries.push(entry(id, bytes)?);
        block.plain.extend_from_slice(bytes);
        drop(block);
        self.new_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        full.map_or(Ok(()), |mut full| self.flush_block(&mut full))
    }

    /// Compresses a block and stores it.
    fn store(&self, purpose: Purpose, compression: Compression, entries: &[Entry], plain: &[u8]) -> Result<()> {
        let plain = self.shared.core.flips.altered(Stage::Plain, plain);
        self.put_block(purpose, &BlockContent { entries, plain: &plain }, compression)
    }

    /// Compresses a block of claimed objects as it is told to, and stores it.
    pub(crate) fn put_block(
        &self,
        purpose: Purpose,
        content: &BlockContent<'_>,
        compression: Compression,
    ) -> Result<()> {
        let compressed = compress_block(content, compression)?;
        let entries = content.entries;
        self.append(purpose, compressed, entries, content.plain.len(), &|sealed| {
            if self.verify.recomputes_ids() {
                recompute_ids(&self.shared.core.ring, purpose, sealed, entries)
            } else {
                Ok(())
            }
        })
    }

    /// Stores a block that was in another pack, of which at least some objects were claimed. The caller has computed its ids; `hash` is
    /// that of what they were computed from.
    pub(crate) fn put_moved(
        &self,
        purpose: Purpose,
        compressed: Compressed,
        hash: &blake3::Hash,
        entries: &[Entry],
        plain_length: usize,
    ) -> Result<()> {
        self.append(purpose, compressed, entries, plain_length, &|sealed| has_hash(sealed, hash))
    }

    /// Seals and appends a block. `looks` at it once more when it has been sealed.
    fn append(
        &self,
        purpose: Purpose,
        mut compressed: Compressed,
        entries: &[Entry],
        plain_length: usize,
        looks: &dyn Fn(&Compressed) -> Result<()>,
    ) -> Result<()> {
        self.shared.check()?;
        self.shared.core.flips.alter(Stage::Compressed, compressed.body_mut());
        debug_assert!(entries.len() <= BLOCK_OBJECTS, "a block of too many objects");
        let (pack, ordinal) = self.reserve(purpose, &compressed, entries.len())?;
        let sealed = self.seal(purpose, &compressed, entries, &pack, ordinal);
        let sealed = sealed.and_then(|sealed| looks(&compressed).map(|()| sealed));
        let appended = sealed.and_then(|sealed| pack.append(&sealed, compressed.codec(), entries, plain_length));
        self.let_go(pack)?;
        appended
    }

    /// Seals a block for a pack, and looks at what is sealed before it is written.
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
        if self.verify != Verify::None {
            open_sealed_head(pack.cipher(), compressed, &sealed)?;
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
                let mut builder = self.builder(self.compression);
                let added = self.add_chunk(&mut builder, id, bytes);
                self.give_back(builder);
                added
            }
            Purpose::Meta => self.add_meta(id, bytes),
        }
    }

    /// The packs that were put so far, with their sizes.
    pub fn packs(&self) -> Vec<(PackId, u64)> {
        self.shared.packs()
    }

    /// Bytes of plaintext that were stored so far.
    pub fn new_bytes(&self) -> u64 {
        self.new_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of packs and segments that were put so far.
    pub fn stored_bytes(&self) -> u64 {
        self.shared.stored_bytes()
    }

    /// Makes everything durable and indexed; gives the names of the segments that this packer put. Nothing can be put after it.
    pub fn flush(&mut self) -> Result<Vec<FileId>> {
        let partial = std::mem::take(&mut *lock(&self.partial));
        for mut builder in partial {
            self.flush_block(&mut builder)?;
        }
        let mut meta = std::mem::replace(&mut *lock(&self.meta_block), BlockBuilder::of_meta());
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
        Ok(self.shared.segments())
    }

    /// What was put is referred to, or given up: nobody needs to be patient with it any more. Without this, the file of a
    /// session that makes an archive stays, so that what was put is still there when the run is repeated.
    pub fn end(mut self) {
        self.join();
        self.shared.end_session();
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
