//! The only place that asks what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::meta::Timestamp;

/// The wall clock, now. Nothing's safety depends on it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    #[cfg(debug_assertions)]
    if let Some(now) = crate::simulation::now() {
        return now;
    }
    let from_duration = |d: Duration| (i64::try_from(d.as_secs()).unwrap_or(i64::MAX), d.subsec_nanos());
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => {
            let (seconds, nanoseconds) = from_duration(after);
            Timestamp { seconds, nanoseconds }
        }
        Err(before) => Timestamp { seconds: -from_duration(before.duration()).0 - 1, nanoseconds: 0 },
    }
}

/// A clock that only goes forward, for measuring how long something took.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The clock that local file systems take their times from: it stands still for a few milliseconds at a time.
pub fn file_system_now() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Timestamp { seconds: time.tv_sec, nanoseconds: u32::try_from(time.tv_nsec).unwrap_or(0) }
}
