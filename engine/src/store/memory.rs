//! A repository in memory, for tests: clones share it, snapshots copy it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Key, Kind, Listed, Store, StoreResult, Upload};

/// Every file of a store at one moment. Copies share the bytes.
pub type Snapshot = BTreeMap<Key, Arc<[u8]>>;

/// Files in a map. Cloning gives another handle to the same files.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    files: Arc<Mutex<Snapshot>>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One of its own with the files of a snapshot.
    pub fn from_snapshot(snapshot: &Snapshot) -> Self {
        Self { files: Arc::new(Mutex::new(snapshot.clone())) }
    }

    /// All files as they are now.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    /// All names, sorted.
    pub fn files(&self) -> Vec<Key> {
        self.lock().keys().cloned().collect()
    }

    /// Puts a file as it is, past every rule.
    pub fn insert_raw(&self, key: Key, bytes: impl Into<Arc<[u8]>>) {
        self.lock().insert(key, bytes.into());
    }

    /// Takes a file away; its bytes, if it was there.
    pub fn remove_raw(&self, key: &Key) -> Option<Arc<[u8]>> {
        self.lock().remove(key)
    }

    /// Changes a file's bytes; whether there was such a file.
    pub fn corrupt(&self, key: &Key, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut files = self.lock();
        let Some(file) = files.get_mut(key) else { return false };
        let mut bytes = file.to_vec();
        change(&mut bytes);
        *file = bytes.into();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, key: &Key) -> StoreResult<Arc<[u8]>> {
        let file = self.lock().get(key).cloned();
        file.ok_or_else(|| StoreError::new("read", key.path(), StoreErrorKind::NotFound))
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        let file = self.file(key)?;
        if file.len() as u64 > limit {
            let problem = format!("it has {} bytes, more than the {limit} that it may have", file.len());
            return Err(StoreError::io("read", key.path(), io::Error::other(problem)));
        }
        Ok(file.to_vec())
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let file = self.file(key)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(buffer.len())?));
        let part = range.and_then(|range| file.get(range));
        let part = part.ok_or_else(|| StoreError::new("read", key.path(), StoreErrorKind::Truncated))?;
        buffer.copy_from_slice(part);
        Ok(())
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        Ok(self.lock().get(key).map(|file| file.len() as u64))
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        self.insert_raw(key.clone(), bytes);
        Ok(())
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        Ok(Box::new(MemoryUpload { store: self.clone(), bytes: Vec::new() }))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        let files = self.lock();
        let of_kind = files.iter().filter(|(key, _)| key.kind() == kind);
        Ok(of_kind.map(|(key, file)| Listed { name: key.name().to_owned(), size: file.len() as u64 }).collect())
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        self.remove_raw(key);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryUpload {
    store: MemoryStore,
    bytes: Vec<u8>,
}

impl Upload for MemoryUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()> {
        self.store.insert_raw(key.clone(), self.bytes);
        Ok(())
    }
}
