//! A store within a store, below `tmp/`: for measuring what the file system does where no reader ever looks.

use std::io;
use std::sync::Arc;

use crate::error::StoreError;
use crate::store::local::LocalStore;
use crate::store::local::root::{Root, join};
use crate::store::local::upload::Session;
use crate::store::{Store, StoreResult};

/// An empty store that goes with all that was put there when it is dropped.
#[derive(Debug)]
pub struct ScratchStore {
    store: LocalStore,
    /// Relative to `root`.
    path: String,
    root: Arc<Root>,
    /// Says that its owner lives; dropped last, because its folder has to be empty then.
    _session: Session,
}

impl ScratchStore {
    pub(super) fn begin(root: &Arc<Root>) -> StoreResult<Self> {
        let failed = |error: io::Error| StoreError::io("make a folder in", "tmp", error);
        let session = Session::begin(root).map_err(failed)?;
        let path = join(session.folder(), "store");
        root.make_folder(&path).map_err(failed)?;
        let store = LocalStore::open(root.path().join(&path))?;
        Ok(Self { store, path, root: Arc::clone(root), _session: session })
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &self.store
    }
}

impl Drop for ScratchStore {
    fn drop(&mut self) {
        // What cannot be removed is found by the next `remove_stale`.
        let _ = self.root.remove_all(&self.path);
    }
}
