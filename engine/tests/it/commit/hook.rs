//! A store that lets a test act in the middle of a run.

use std::fmt;
use std::sync::{Arc, Mutex};

use vault_engine::store::{Key, Kind, Listed, MemoryStore, Store, StoreResult, Upload};

/// Is called after each file has been put, under its final name, with that name and the store beneath.
pub(super) type AfterPut = dyn FnMut(&Key, &MemoryStore) + Send;

/// Passes everything on to a store in memory and calls back after each put.
#[derive(Clone)]
pub(super) struct Hooked {
    inner: MemoryStore,
    after_put: Arc<Mutex<Box<AfterPut>>>,
}

impl Hooked {
    pub(super) fn new(inner: &MemoryStore, after_put: impl FnMut(&Key, &MemoryStore) + Send + 'static) -> Self {
        Self { inner: inner.clone(), after_put: Arc::new(Mutex::new(Box::new(after_put))) }
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl Store for Hooked {
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
        self.inner.put(key, bytes)?;
        let hook = Arc::clone(&self.after_put);
        let mut hook = hook.lock().unwrap();
        hook(key, &self.inner);
        Ok(())
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        self.inner.begin()
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        self.inner.list(kind)
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        self.inner.remove(key)
    }
}
