//! A store in memory in which something happens at moments that the test chooses.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use vault_engine::store::{Key, Kind, Listed, MemoryStore, Store, StoreResult, Upload};

type Act = Box<dyn FnOnce(&MemoryStore) + Send>;

/// Passes everything on; just before operations of certain numbers, something else is done. Clones are one store.
#[derive(Clone)]
pub(super) struct Hooked {
    inner: MemoryStore,
    state: Arc<Mutex<State>>,
}

struct State {
    seen: u64,
    /// What is still to be done, and before which operation.
    acts: VecDeque<(u64, Act)>,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl Hooked {
    /// Acts once, before operation `at`, counted from [`Hooked::arm`].
    pub(super) fn new(inner: &MemoryStore, at: u64, act: impl FnOnce(&MemoryStore) + Send + 'static) -> Self {
        let state = State { seen: 0, acts: [(at, Box::new(act) as Act)].into() };
        Self { inner: inner.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// Acts once more, not before it has acted before.
    pub(super) fn then(self, at: u64, act: impl FnOnce(&MemoryStore) + Send + 'static) -> Self {
        self.state.lock().unwrap().acts.push_back((at, Box::new(act)));
        self
    }

    /// Counts from here.
    pub(super) fn arm(&self) {
        self.state.lock().unwrap().seen = 0;
    }

    /// Whether all moments have come.
    pub(super) fn has_acted(&self) -> bool {
        self.state.lock().unwrap().acts.is_empty()
    }

    fn step(&self) {
        let act = {
            let mut state = self.state.lock().unwrap();
            state.seen += 1;
            let seen = state.seen;
            state.acts.pop_front_if(|(at, _)| seen > *at).map(|(_, act)| act)
        };
        if let Some(act) = act {
            // On a thread of its own: this one may be a worker, which would take up other work while it waits.
            std::thread::scope(|scope| {
                scope.spawn(|| act(&self.inner)).join().expect("what happens meanwhile succeeds");
            });
        }
    }
}

impl Store for Hooked {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        self.step();
        self.inner.read(key, limit)
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.step();
        self.inner.read_at(key, offset, buffer)
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        self.step();
        self.inner.size(key)
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        self.step();
        self.inner.put(key, bytes)
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        Ok(Box::new(HookedUpload { store: self.clone(), upload: self.inner.begin()? }))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        self.step();
        self.inner.list(kind)
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        self.step();
        self.inner.remove(key)
    }

    /// In no order, as the contract says: here backwards.
    fn remove_many(&self, keys: &[Key]) -> StoreResult<()> {
        keys.iter().rev().try_for_each(|key| self.remove(key))
    }
}

#[derive(Debug)]
struct HookedUpload {
    store: Hooked,
    upload: Box<dyn Upload>,
}

impl Upload for HookedUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.upload.append(bytes)
    }

    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()> {
        self.store.step();
        self.upload.finish(key)
    }
}
