//! A store in memory that has little room, or in which nothing may be deleted.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use vault_engine::error::{StoreError, StoreErrorKind};
use vault_engine::store::{Key, Kind, Listed, MemoryStore, Store, StoreResult, Upload};

/// What is not allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Room for so many bytes, all files together.
    pub(super) room: Option<u64>,
    /// What it says when it is asked for room; otherwise what there is.
    pub(super) says: Option<u64>,
    /// More room, once, for whoever asks for the reserve.
    pub(super) reserve: u64,
    /// No file is removed.
    pub(super) keeps_all: bool,
}

/// Passes on what the limits allow. Clones are one store.
#[derive(Clone, Debug)]
pub(super) struct Limited {
    inner: MemoryStore,
    limits: Limits,
    uploading: Arc<Mutex<u64>>,
    spent: Arc<AtomicBool>,
}

impl Limited {
    pub(super) fn new(inner: &MemoryStore, limits: Limits) -> Self {
        Self { inner: inner.clone(), limits, uploading: Arc::default(), spent: Arc::default() }
    }

    fn used(&self) -> u64 {
        all_bytes(&self.inner) + *self.uploading.lock().unwrap()
    }

    fn need(&self, length: usize, what: &str) -> StoreResult<()> {
        let reserve = if self.spent.load(Ordering::Relaxed) { self.limits.reserve } else { 0 };
        match self.limits.room.map(|room| room + reserve) {
            Some(room) if self.used() + length as u64 > room => {
                Err(StoreError::new("put", what, StoreErrorKind::NoSpace))
            }
            _ => Ok(()),
        }
    }
}

/// Bytes of all files.
pub(super) fn all_bytes(store: &MemoryStore) -> u64 {
    store.snapshot().values().map(|bytes| bytes.len() as u64).sum()
}

impl Store for Limited {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        self.inner.read(key, limit)
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.inner.read_at(key, offset, buffer)
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        self.inner.size(key)
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        self.need(bytes.len(), &key.path())?;
        self.inner.put(key, bytes)
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        Ok(Box::new(LimitedUpload { store: self.clone(), upload: Some(self.inner.begin()?), length: 0 }))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        self.inner.list(kind)
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        if self.limits.keeps_all {
            return Err(StoreError::new("remove", key.path(), StoreErrorKind::Denied));
        }
        self.inner.remove(key)
    }

    fn free_bytes(&self) -> StoreResult<Option<u64>> {
        let left = self.limits.room.map(|room| room.saturating_sub(self.used()));
        Ok(self.limits.says.or(left))
    }

    fn spend_reserve(&self) -> StoreResult<bool> {
        Ok(!self.spent.swap(true, Ordering::Relaxed))
    }

    fn keep_reserve(&self) -> StoreResult<()> {
        let fits = self.limits.room.is_none_or(|room| self.used() <= room);
        self.spent.fetch_and(!fits, Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Debug)]
struct LimitedUpload {
    store: Limited,
    upload: Option<Box<dyn Upload>>,
    length: u64,
}

impl Upload for LimitedUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.store.need(bytes.len(), "")?;
        let upload =
            self.upload.as_mut().ok_or_else(|| StoreError::io("append to", "", io::Error::other("finished")))?;
        upload.append(bytes)?;
        self.length += bytes.len() as u64;
        *self.store.uploading.lock().unwrap() += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>, key: &Key) -> StoreResult<()> {
        let upload =
            self.upload.take().ok_or_else(|| StoreError::io("finish", key.path(), io::Error::other("finished")))?;
        upload.finish(key)
    }
}

impl Drop for LimitedUpload {
    fn drop(&mut self) {
        *self.store.uploading.lock().unwrap() -= self.length;
    }
}
