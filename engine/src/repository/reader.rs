//! Objects out of packs. Everything is checked on the way: commitment, tag, lengths, and each id over its plaintext.
//!
//! A compaction may delete a pack between the look and the read. A fresh look then names another copy (docs/gc.md, "Readers").

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::crypto::Purpose;
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::PACK_LIMIT;
use crate::format::block::{
    Compressed, HEAD_LEN, OpenBlock, Payload, open_block, open_block_payload, open_block_to_move,
};
use crate::format::file::{Class, FileCipher, HEADER_LEN};
use crate::id::{ObjectId, PackId};
use crate::repository::{Index, Location, Repository, damaged, opened};
use crate::store::Key;

/// Opened blocks of metadata that are kept: each holds hundreds of trees that are read one after another.
const KEPT_BLOCKS: usize = 24;
/// So often it is looked again before something is said to be missing although others still move things.
const LOOKS: usize = 16;
/// Ciphers that are kept, one a pack.
const KEPT_CIPHERS: usize = 1024;

/// Reads objects by id.
pub struct Reader<'r> {
    repository: &'r Repository,
    index: RwLock<Arc<Index>>,
    ciphers: Mutex<HashMap<PackId, Arc<FileCipher>>>,
    blocks: Mutex<Vec<KeptBlock>>,
    /// What the last look listed, if the one before had found the same: what is in no pack of it is missing.
    settled: Mutex<Option<[u8; 32]>>,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("repository", self.repository).finish_non_exhaustive()
    }
}

struct KeptBlock {
    purpose: Purpose,
    pack: PackId,
    offset: u32,
    block: Arc<OpenBlock>,
    starts: Arc<Vec<usize>>,
}

impl<'r> Reader<'r> {
    /// Reads what `index` names.
    pub fn new(repository: &'r Repository, index: Arc<Index>) -> Self {
        Self {
            repository,
            index: RwLock::new(index),
            ciphers: Mutex::default(),
            blocks: Mutex::default(),
            settled: Mutex::default(),
        }
    }

    /// The index that is in use now.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every copy of an object, good ones first. If there is none, the index is looked at again, until two looks find the same: a
    /// compaction may move it while it is looked for, and another one again.
    pub fn copies(&self, id: &ObjectId) -> Result<Vec<Location>> {
        for _ in 0..LOOKS {
            let index = self.index();
            let copies = index.copies(id);
            if !copies.is_empty() || self.is_settled(&index) {
                return Ok(copies);
            }
            self.look_again(&index)?;
        }
        Ok(self.index().copies(id))
    }

    /// Whether another look would find nothing more.
    fn is_settled(&self, index: &Index) -> bool {
        let settled = *self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled == Some(index.listed()) && !index.is_damaged()
    }

    /// Looks again, unless somebody has since `seen`: what was not found may have been moved.
    fn look_again(&self, seen: &Arc<Index>) -> Result<()> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(seen, &self.index()) {
            seen.discard_damaged();
            let index = Arc::new(self.repository.load_index_with_orphans()?);
            *settled = Some(index.listed()).filter(|listed| *listed == seen.listed());
            *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        }
        Ok(())
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// `ObjectMissing` if no copy exists, however often it is looked for; `Damaged` if every copy is.
    pub fn object(&self, purpose: Purpose, id: &ObjectId) -> Result<Vec<u8>> {
        self.with_copies(id, &mut |location| self.object_at(purpose, id, location))
    }

    fn with_copies<T>(&self, id: &ObjectId, read: &mut dyn FnMut(&Location) -> Result<T>) -> Result<T> {
        let mut failure = None;
        for _ in 0..LOOKS {
            let index = self.index();
            let copies = self.copies(id)?;
            if copies.is_empty() {
                return Err(missing(id));
            }
            failure = None;
            for location in copies {
                match read(&location) {
                    Ok(found) => return Ok(found),
                    Err(error @ (Error::Damaged { .. } | Error::Unsupported { .. } | Error::Store(_))) => {
                        failure = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            // Only a pack that has gone since the look is a reason to look again.
            let gone = matches!(&failure, Some(Error::Store(error)) if error.kind == StoreErrorKind::NotFound);
            if !gone {
                break;
            }
            self.look_again(&index)?;
        }
        Err(match failure {
            Some(Error::Store(error)) if error.kind == StoreErrorKind::NotFound => missing(id),
            Some(error) => error,
            None => missing(id),
        })
    }

    /// Where an object is, for planning reads; a second look if it is not where the first one says.
    pub fn locate(&self, id: &ObjectId) -> Result<Location> {
        self.copies(id)?.first().copied().ok_or_else(|| missing(id))
    }

    fn object_at(&self, purpose: Purpose, id: &ObjectId, location: &Location) -> Result<Vec<u8>> {
        let (block, starts) = self.kept_block(purpose, location)?;
        let position = location.position as usize;
        let entry = block.entries.get(position).filter(|entry| entry.id == *id);
        let range = starts.get(position).zip(starts.get(position + 1));
        let bytes = range.and_then(|(&start, &end)| block.plain.get(start..end));
        match (entry, bytes) {
            (Some(_), Some(bytes)) => Ok(bytes.to_vec()),
            _ => Err(damaged(&Key::pack(location.pack), "a block holds other objects than the index says")),
        }
    }

    fn kept_block(&self, purpose: Purpose, location: &Location) -> Result<(Arc<OpenBlock>, Arc<Vec<usize>>)> {
        let kept = || self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut blocks = kept();
            // Opened as data, a block must not pass for metadata.
            let is_it = |kept: &KeptBlock| {
                kept.purpose == purpose && kept.pack == location.pack && kept.offset == location.offset
            };
            if let Some(at) = blocks.iter().position(is_it) {
                let found = blocks.remove(at);
                let result = (Arc::clone(&found.block), Arc::clone(&found.starts));
                blocks.push(found);
                return Ok(result);
            }
        }
        let block = Arc::new(self.block(purpose, location)?);
        let starts = Arc::new(block.starts());
        let mut blocks = kept();
        if blocks.len() >= KEPT_BLOCKS {
            blocks.remove(0);
        }
        blocks.push(KeptBlock {
            purpose,
            pack: location.pack,
            offset: location.offset,
            block: Arc::clone(&block),
            starts: Arc::clone(&starts),
        });
        Ok((block, starts))
    }

    /// Reads and opens the block at a location.
    pub fn block(&self, purpose: Purpose, location: &Location) -> Result<OpenBlock> {
        let (cipher, mut sealed) = self.sealed_block(purpose, location)?;
        opened(&Key::pack(location.pack), open_block(self.repository.ring(), &cipher, purpose, &mut sealed))
    }

    /// The same, for whoever wants few of its objects.
    pub(crate) fn payload(&self, purpose: Purpose, location: &Location) -> Result<Payload> {
        let (cipher, mut sealed) = self.sealed_block(purpose, location)?;
        opened(&Key::pack(location.pack), open_block_payload(&cipher, &mut sealed))
    }

    /// The same, and the block as it can be sealed into another pack, with a hash of it.
    pub(crate) fn block_to_move(
        &self,
        purpose: Purpose,
        location: &Location,
    ) -> Result<(Payload, Compressed, blake3::Hash)> {
        let (cipher, sealed) = self.sealed_block(purpose, location)?;
        opened(&Key::pack(location.pack), open_block_to_move(&cipher, sealed))
    }

    fn sealed_block(&self, purpose: Purpose, location: &Location) -> Result<(Arc<FileCipher>, Vec<u8>)> {
        let key = Key::pack(location.pack);
        let length = HEAD_LEN + location.body_length as usize;
        if u64::from(location.offset) + length as u64 > PACK_LIMIT {
            return Err(damaged(&key, "an index entry points behind its end"));
        }
        let cipher = self.cipher(purpose, location.pack)?;
        let mut sealed = vec![0; length];
        self.repository.store().read_at(&key, u64::from(location.offset), &mut sealed)?;
        Ok((cipher, sealed))
    }

    fn cipher(&self, purpose: Purpose, pack: PackId) -> Result<Arc<FileCipher>> {
        let ciphers = || self.ciphers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cipher) = ciphers().get(&pack) {
            return Ok(Arc::clone(cipher));
        }
        let key = Key::pack(pack);
        let mut header = [0; HEADER_LEN];
        self.repository.store().read_at(&key, 0, &mut header)?;
        let cipher = Arc::new(opened(&key, FileCipher::open(self.repository.ring(), class_of(purpose), &header))?);
        let mut ciphers = ciphers();
        if ciphers.len() >= KEPT_CIPHERS {
            ciphers.clear();
        }
        ciphers.insert(pack, Arc::clone(&cipher));
        Ok(cipher)
    }
}

/// What the objects in packs of a class are for.
pub(crate) fn purpose_of(class: Class) -> Purpose {
    if class == Class::Data { Purpose::Data } else { Purpose::Meta }
}

/// The class of the packs that hold objects of a purpose.
pub(crate) fn class_of(purpose: Purpose) -> Class {
    match purpose {
        Purpose::Data => Class::Data,
        Purpose::Meta => Class::Meta,
    }
}

fn missing(id: &ObjectId) -> Error {
    Error::ObjectMissing { id: id.to_hex() }
}
