//! Processes that run, so that one of them can be killed: by a handle of the kernel, never by a number that others may have got.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::trees::Random;
use crate::sandbox::Run;

#[derive(Default)]
pub(crate) struct Crew {
    running: Mutex<BTreeMap<u64, OwnedFd>>,
    next: AtomicU64,
    killed: AtomicU64,
}

impl Crew {
    /// Runs a command to its end, whoever brings it about.
    pub(crate) fn run(&self, command: &mut Command) -> Run {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.running.lock().unwrap().insert(number, handle);
        let output = child.wait_with_output().unwrap();
        self.running.lock().unwrap().remove(&number);
        // What was killed may have written half a letter.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Kills one that runs, if there is one.
    pub(crate) fn kill_one(&self, random: &mut Random) {
        let running = self.running.lock().unwrap();
        let chosen = running.values().nth(random.below(running.len()));
        // It may have ended by itself.
        if chosen.is_some_and(|handle| pidfd_send_signal(handle, Signal::KILL).is_ok()) {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn killed(&self) -> u64 {
        self.killed.load(Ordering::Relaxed)
    }
}
