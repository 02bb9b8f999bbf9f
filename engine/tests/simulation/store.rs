//! The store as one simulated process has it: every operation waits for the process's turn.

use std::sync::Arc;

use vault_engine::store::{Key, Kind, Listed, Store, StoreResult, Upload, Verb};

use crate::scheduler::Scheduler;
use crate::trace::Asked;

/// See the file's header.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedStore {
    scheduler: Arc<Scheduler>,
    process: usize,
    /// Listings take a while.
    paged: bool,
}

impl SimulatedStore {
    pub(crate) fn new(scheduler: Arc<Scheduler>, process: usize, paged: bool) -> Self {
        Self { scheduler, process, paged }
    }

    fn asked(verb: Verb, key: &Key) -> Asked {
        Asked::new(verb, key.kind(), key.path())
    }

    /// What never changes needs no turn: reading it tells nothing of others.
    fn is_constant(key: &Key) -> bool {
        matches!(key.kind(), Kind::Config | Kind::Keys)
    }
}

impl Store for SimulatedStore {
    fn describe(&self) -> String {
        "simulated".to_owned()
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        if Self::is_constant(key) {
            return self.scheduler.world(|world| world.store.clone()).read(key, limit);
        }
        self.scheduler.act(self.process, &Self::asked(Verb::Read, key), |world, _| world.store.read(key, limit))
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let asked = Self::asked(Verb::ReadAt, key);
        self.scheduler.act(self.process, &asked, |world, _| world.store.read_at(key, offset, buffer))
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        self.scheduler.act(self.process, &Self::asked(Verb::Size, key), |world, _| world.store.size(key))
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        self.scheduler.act(self.process, &Self::asked(Verb::Put, key), |world, _| {
            world.put(self.process, key, bytes.to_vec());
            Ok(())
        })
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        Ok(Box::new(SimulatedUpload { store: self.clone(), bytes: Vec::new() }))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        let mut asked = Asked::new(Verb::List, kind, kind.folder().to_owned());
        if kind == Kind::Keys {
            return self.scheduler.world(|world| world.store.clone()).list(kind);
        }
        if !self.paged {
            return self.scheduler.act(self.process, &asked, |world, _| world.list(self.process, kind));
        }
        let number = self.scheduler.act(self.process, &asked, |world, _| world.begin_listing(self.process, kind))?;
        asked.ends = true;
        self.scheduler.act(self.process, &asked, |world, random| world.end_listing(number, random))
    }

    /// In the order of their names, in which nobody else needs to bring them.
    fn remove_many(&self, keys: &[Key]) -> StoreResult<()> {
        let mut keys: Vec<&Key> = keys.iter().collect();
        keys.sort_unstable();
        keys.into_iter().try_for_each(|key| self.remove(key))
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        self.scheduler.act(self.process, &Self::asked(Verb::Remove, key), |world, _| {
            world.remove(key);
            Ok(())
        })
    }
}

#[derive(Debug)]
struct SimulatedUpload {
    store: SimulatedStore,
    bytes: Vec<u8>,
}

impl Upload for SimulatedUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()> {
        let Self { store, bytes } = *self;
        store.scheduler.act(store.process, &SimulatedStore::asked(Verb::Finish, key), |world, _| {
            world.put(store.process, key, bytes);
            Ok(())
        })
    }
}
