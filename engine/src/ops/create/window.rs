//! Buffers that file content is read into, used again so that no read faults in fresh memory.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub(super) struct WindowPool {
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer that goes back to its pool when the last worker lets go of it.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Buffers kept for the next file; more are freed.
const KEPT: usize = 16;

impl WindowPool {
    /// A buffer of at least `length` bytes, with whatever was in it.
    pub(super) fn take(&self, length: usize) -> Window {
        let mut bytes = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // The smallest that is large enough, so that one large file does not use up the large buffers for small ones.
            let fit =
                idle.iter().enumerate().filter(|(_, bytes)| bytes.len() >= length).min_by_key(|(_, bytes)| bytes.len());
            let at = fit.map(|(at, _)| at);
            at.map(|at| idle.swap_remove(at)).unwrap_or_default()
        };
        if bytes.len() < length {
            bytes.resize(length.next_power_of_two(), 0);
        }
        Window { bytes, idle: Arc::clone(&self.idle) }
    }
}

impl Window {
    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it, to be read into.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}
