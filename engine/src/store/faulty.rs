//! A store that fails when told to, and remembers what it was asked: for tests of crashes, of cost and of order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Key, Kind, Listed, Store, StoreResult, Upload};

/// What a store can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// [`Store::read`].
    Read,
    /// [`Store::read_at`].
    ReadAt,
    /// [`Store::size`].
    Size,
    /// [`Store::put`].
    Put,
    /// [`Store::begin`].
    Begin,
    /// [`Upload::append`].
    Append,
    /// [`Upload::finish`].
    Finish,
    /// [`Store::list`].
    List,
    /// [`Store::remove`].
    Remove,
    /// [`Store::keep_as`].
    Keep,
}

impl Verb {
    /// Whether it changes what others see.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Put | Self::Finish | Self::Remove | Self::Keep)
    }

    /// The word for it, as messages and records show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadAt => "read_at",
            Self::Size => "size",
            Self::Put => "put",
            Self::Begin => "begin",
            Self::Append => "append",
            Self::Finish => "finish",
            Self::List => "list",
            Self::Remove => "remove",
            Self::Keep => "keep",
        }
    }
}

/// One thing that the store was asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What.
    pub verb: Verb,
    /// The path of the file, the folder for `list`, empty for `begin` and `append`: these know no name yet.
    pub key: String,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.name(), self.key)
    }
}

/// When an operation fails, against when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultMode {
    /// It does not happen.
    Before,
    /// It happens, and its answer is lost.
    After,
}

/// What is after the operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultThen {
    /// Everything works again.
    Once,
    /// Nothing of any kind happens any more: the writer has crashed.
    Forever,
}

/// A failure that is to come.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which operations count; all if `None`.
    pub only: Option<Verb>,
    /// How many of those are done before one fails, from the injection on.
    pub at: u64,
    /// Whether that one happens.
    pub mode: FaultMode,
    /// What is after it.
    pub then: FaultThen,
    /// The error that is given.
    pub kind: StoreErrorKind,
}

impl Fault {
    /// A crash at the `at`-th operation from now, which does not happen any more.
    pub fn crash(at: u64) -> Self {
        let (mode, then) = (FaultMode::Before, FaultThen::Forever);
        Self { only: None, at, mode, then, kind: StoreErrorKind::Other }
    }
}

/// Passes everything on to another store, except what is to fail. Clones share record and faults.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    operations: Vec<Operation>,
    faults: Vec<Fault>,
    crashed: Option<StoreErrorKind>,
}

impl FaultyStore {
    /// Without faults yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Adds a failure that is to come.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Ends every failure, a crash too.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.crashed = None;
    }

    /// Whether a fault with [`FaultThen::Forever`] has struck.
    pub fn is_crashed(&self) -> bool {
        self.lock().crashed.is_some()
    }

    /// What was asked so far, in order, also what failed.
    pub fn operations(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    /// Begins a new record; the old one.
    pub fn take_operations(&self) -> Vec<Operation> {
        std::mem::take(&mut self.lock().operations)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an operation and does it, or half of it, or nothing.
    fn run<T>(&self, verb: Verb, key: String, operation: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
        let failure = self.lock().decide(verb, &key);
        match failure {
            None => operation(),
            Some((FaultMode::Before, kind)) => Err(StoreError::new(verb.name(), key, kind)),
            Some((FaultMode::After, kind)) => {
                operation()?;
                Err(StoreError::new(verb.name(), key, kind))
            }
        }
    }
}

impl State {
    fn decide(&mut self, verb: Verb, key: &str) -> Option<(FaultMode, StoreErrorKind)> {
        self.operations.push(Operation { verb, key: key.to_owned() });
        if let Some(kind) = self.crashed {
            return Some((FaultMode::Before, kind));
        }
        let mut due = None;
        self.faults.retain_mut(|fault| {
            if fault.only.is_some_and(|only| only != verb) {
                return true;
            }
            if fault.at > 0 {
                fault.at -= 1;
                return true;
            }
            due.get_or_insert(*fault);
            false
        });
        let fault = due?;
        if fault.then == FaultThen::Forever {
            self.crashed = Some(fault.kind);
        }
        Some((fault.mode, fault.kind))
    }
}

impl Store for FaultyStore {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        self.run(Verb::Read, key.path(), || self.inner.read(key, limit))
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.run(Verb::ReadAt, key.path(), || self.inner.read_at(key, offset, buffer))
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        self.run(Verb::Size, key.path(), || self.inner.size(key))
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        self.run(Verb::Put, key.path(), || self.inner.put(key, bytes))
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        let upload = self.run(Verb::Begin, String::new(), || self.inner.begin())?;
        Ok(Box::new(FaultyUpload { store: self.clone(), upload }))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        self.run(Verb::List, kind.folder().to_owned(), || self.inner.list(kind))
    }

    fn settle(&self, key: &Key) -> StoreResult<()> {
        self.inner.settle(key)
    }

    fn keep_as(&self, key: &Key, kept: &Key) -> StoreResult<()> {
        self.run(Verb::Keep, key.path(), || self.inner.keep_as(key, kept))
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        self.run(Verb::Remove, key.path(), || self.inner.remove(key))
    }

    // `put_many` and `remove_many` are the trait's: one operation a key, so that a fault strikes between any two.

    fn free_bytes(&self) -> StoreResult<Option<u64>> {
        self.inner.free_bytes()
    }

    fn spend_reserve(&self) -> StoreResult<bool> {
        self.inner.spend_reserve()
    }

    fn keep_reserve(&self) -> StoreResult<()> {
        self.inner.keep_reserve()
    }
}

#[derive(Debug)]
struct FaultyUpload {
    store: FaultyStore,
    upload: Box<dyn Upload>,
}

impl Upload for FaultyUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.store.run(Verb::Append, String::new(), || self.upload.append(bytes))
    }

    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()> {
        let Self { store, upload } = *self;
        store.run(Verb::Finish, key.path(), || upload.finish(key))
    }
}
