//! Locks. A thread that panicked has poisoned nothing: its run ends without a mark, and others may still clean up.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whoever held it before and however that ended.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
