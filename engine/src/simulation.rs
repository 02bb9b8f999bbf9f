//! Hooks for the deterministic simulation of the tests (docs/testing.md): what would differ from run to run comes from a seed.
//!
//! This module exists only with debug assertions. No release build has it, so no switch there can make random bytes predictable.
//! The hooks are global: a test that uses them has its process for itself, or takes turns with its other tests.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::meta::{Stamp, Timestamp};
use crate::sync::lock;

static RUNNING: AtomicBool = AtomicBool::new(false);
static STATE: Mutex<State> = Mutex::new(State { seed: 0, drawn: 0, now: Timestamp { seconds: 0, nanoseconds: 0 } });

struct State {
    seed: u64,
    drawn: u64,
    now: Timestamp,
}

/// From now on random bytes follow from the seed and from how often some were drawn, the clock shows `now`, a file's stamp follows from
/// its time of modification and is believed at once, and what else would run on all cores runs in order.
pub fn begin(seed: u64, now: Timestamp) {
    *lock(&STATE) = State { seed, drawn: 0, now };
    RUNNING.store(true, Ordering::SeqCst);
}

/// Real again.
pub fn end() {
    RUNNING.store(false, Ordering::SeqCst);
}

/// What the clock shows from now on.
pub fn set_now(now: Timestamp) {
    lock(&STATE).now = now;
}

/// Whether a simulation runs.
pub(crate) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// What the clock shows, if a simulation runs.
pub(crate) fn now() -> Option<Timestamp> {
    is_running().then(|| lock(&STATE).now)
}

/// Fills with bytes that follow from the seed, if a simulation runs.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    if !is_running() {
        return false;
    }
    let mut hasher = blake3::Hasher::new_derive_key("vault simulation random bytes");
    {
        let mut state = lock(&STATE);
        hasher.update(&state.seed.to_le_bytes()).update(&state.drawn.to_le_bytes());
        state.drawn += 1;
    }
    hasher.finalize_xof().fill(bytes);
    true
}

/// A stamp that is the same wherever the file stands, if a simulation runs: two states of a file differ in `mtime`.
pub(crate) fn stamp(mtime: Timestamp) -> Option<Stamp> {
    is_running().then_some(Stamp { inode: 0, ctime: mtime })
}
