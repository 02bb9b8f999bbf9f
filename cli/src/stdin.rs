//! Standard input that can be interrupted: a pipe may be silent for hours, and a signal must end the wait.

use std::io::{self, Read};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::signals::Signals;

/// How long a wait goes on before signals are asked after.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Reads standard input, and gives up when a signal came.
#[derive(Debug)]
pub(crate) struct Patient(Signals);

impl Patient {
    /// Under these signals.
    pub(crate) fn new(signals: Signals) -> Self {
        Self(signals)
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = io::stdin();
        loop {
            if self.0.cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&WAIT)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return rustix::io::read(&input, &mut *buffer).map_err(io::Error::from),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
