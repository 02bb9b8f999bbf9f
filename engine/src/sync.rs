//! Locks, and work on all cores. A thread that panicked has poisoned nothing: its run ends without a mark, and others may still clean up.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::{Error, Result};

/// Locks, whoever held it before and however that ended.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, unless somebody holds it now.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Threads for one operation; one a core if it is not said how many.
pub(crate) fn pool(jobs: Option<usize>) -> Result<ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.unwrap_or(0)).build();
    pool.map_err(|error| Error::Internal(format!("cannot start threads: {error}")))
}

/// Whether a simulation runs, in which nothing runs at the same time as anything else.
pub(crate) fn is_simulated() -> bool {
    #[cfg(debug_assertions)]
    let is_simulated = crate::simulation::is_running();
    #[cfg(not(debug_assertions))]
    let is_simulated = false;
    is_simulated
}

/// Does `each` to every item on all cores; the results in the order of the items. A simulation does one after another.
pub(crate) fn on_all_cores<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    if is_simulated() {
        return items.into_iter().map(each).collect();
    }
    items.into_par_iter().map(each).collect()
}
