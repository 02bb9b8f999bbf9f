//! Locks, and work on all cores. A thread that panicked has poisoned nothing: its run ends without a mark, and others may still clean up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Locks, whoever held it before and however that ended.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `each` to every item on all cores; the results in the order of the items. A simulation does one after another.
pub(crate) fn on_all_cores<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    #[cfg(debug_assertions)]
    if crate::simulation::is_running() {
        return items.into_iter().map(each).collect();
    }
    items.into_par_iter().map(each).collect()
}
