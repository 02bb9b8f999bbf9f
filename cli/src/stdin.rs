//! Standard input that can be interrupted: a pipe may be silent for hours, and a signal must end the wait.

use std::io::{self, Read};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::signals::Signals;

/// How long a wait goes on before signals are asked after.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// As much as any user may ask for, where the administrator has not changed it.
const PIPE_BYTES: usize = 1 << 20;

/// Reads standard input, and gives up when a signal came.
#[derive(Debug)]
pub(crate) struct Patient(Signals);

impl Patient {
    /// Under these signals.
    pub(crate) fn new(signals: Signals) -> Self {
        // A pipe of 64 KiB wakes reader and writer for each of them. What is no pipe, or may not grow, stays as it is.
        let _ = rustix::pipe::fcntl_setpipe_size(io::stdin(), PIPE_BYTES);
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
                // Silent: whoever reads may have another reason to give up.
                Ok(0) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return rustix::io::read(&input, &mut *buffer).map_err(io::Error::from),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
