//! A store that lets a test act in the middle of a run.

use std::fmt;
use std::sync::{Arc, Mutex};

use vault_engine::store::{Key, Kind, Listed, MemoryStore, Store, StoreResult, Upload};

/// Is called after each file has been put, under its final name, with that name and the store beneath.
pub(crate) type AfterPut = dyn FnMut(&Key, &MemoryStore) + Send;

/// Is called before each listing, with the folder and the store beneath.
pub(crate) type BeforeList = dyn FnMut(Kind, &MemoryStore) + Send;

/// Passes everything on to a store in memory and calls back after each put, or before each listing.
#[derive(Clone)]
pub(crate) struct Hooked {
    inner: MemoryStore,
    after_put: Arc<Mutex<Box<AfterPut>>>,
    before_list: Arc<Mutex<Box<BeforeList>>>,
}

impl Hooked {
    pub(crate) fn new(inner: &MemoryStore, after_put: impl FnMut(&Key, &MemoryStore) + Send + 'static) -> Self {
        let before_list = |_: Kind, _: &MemoryStore| {};
        Self {
            inner: inner.clone(),
            after_put: Arc::new(Mutex::new(Box::new(after_put))),
            before_list: Arc::new(Mutex::new(Box::new(before_list))),
        }
    }

    pub(crate) fn before_list(inner: &MemoryStore, hook: impl FnMut(Kind, &MemoryStore) + Send + 'static) -> Self {
        Self { before_list: Arc::new(Mutex::new(Box::new(hook))), ..Self::new(inner, |_, _| {}) }
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
        let hook = Arc::clone(&self.before_list);
        let mut hook = hook.lock().unwrap();
        hook(kind, &self.inner);
        self.inner.list(kind)
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        self.inner.remove(key)
    }
}
