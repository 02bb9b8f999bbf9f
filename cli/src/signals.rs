//! SIGINT and SIGTERM: long work is asked to stop and ends cleanly; a second signal ends it at once.
//!
//! Outside of long work a signal does what it does to any program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Exit;

/// The handlers' state.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    ends_at_once: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers; until [`Signals::hold`] is called a signal still ends the program at once.
    pub(crate) fn install() -> io::Result<Self> {
        let signals =
            Self { ends_at_once: Arc::new(AtomicBool::new(true)), cancelled: Arc::default(), number: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in this order: the second signal finds the flag that the first one set.
            flag::register_conditional_default(signal, Arc::clone(&signals.ends_at_once))?;
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&signals.cancelled))?;
            flag::register_usize(signal, Arc::clone(&signals.number), usize::try_from(signal).unwrap_or(0))?;
            flag::register(signal, Arc::clone(&signals.cancelled))?;
        }
        Ok(signals)
    }

    /// While the guard lives a first signal only sets the flag.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.ends_at_once.store(false, Ordering::SeqCst);
        Held(self)
    }

    /// Whether a signal came.
    pub(crate) fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// What to exit with after one came; Ctrl-C if none is known.
    pub(crate) fn exit(&self) -> Exit {
        match u8::try_from(self.number.load(Ordering::Relaxed)) {
            Ok(number) if number > 0 => Exit::Signal(number),
            _ => Exit::Signal(2),
        }
    }
}

/// Signals are held back until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Signals);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.ends_at_once.store(true, Ordering::SeqCst);
    }
}
