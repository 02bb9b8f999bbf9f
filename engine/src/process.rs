//! Which process this is, such that another on the same machine can tell later whether it still runs.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A process of some machine, at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessId {
    /// Equal where the same number means the same process: within one boot of a machine, and one namespace of process
    /// numbers. Zeros if that is not known.
    pub boot: [u8; 16],
    /// Its number.
    pub pid: u32,
    /// When it was started, in ticks since the boot: numbers are used again.
    pub started: u64,
}

impl ProcessId {
    /// This process; one of which nobody can tell whether it runs if `/proc` cannot be read.
    pub fn own() -> Self {
        let pid = std::process::id();
        // What is mounted there may count processes in another namespace.
        let own = stat("self").filter(|stat| stat.pid == pid);
        own.zip(boot()).map_or_else(Self::default, |(stat, boot)| Self { boot, pid, started: stat.started })
    }
}

/// Whether a process still runs; `None` if that cannot be told: it is another machine's, or of another boot, or `/proc` cannot be read.
pub fn is_running(process: &ProcessId) -> Option<bool> {
    if boot()? != process.boot {
        return None;
    }
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    // `/proc` may hide the processes of other users; a signal that is not sent finds them.
    match test_kill_process(pid) {
        Err(Errno::SRCH) => Some(false),
        Ok(()) | Err(Errno::PERM) => {
            let stat = stat(&process.pid.to_string())?;
            Some(stat.started == process.started && !stat.is_dead)
        }
        Err(_) => None,
    }
}

/// The boot and the namespace.
fn boot() -> Option<[u8; 16]> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&boot).update(namespace.as_os_str().as_encoded_bytes());
    hasher.finalize().as_bytes().first_chunk().copied()
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    /// It has ended, and its parent has not asked how.
    is_dead: bool,
    started: u64,
}

fn stat(process: &str) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{process}/stat")).ok()?)
}

/// `PID (NAME) STATE …`: the name is any bytes, parentheses too, and the time of its start is field 22.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let (pid, _) = text.split_once(' ')?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
    // The state was field 3.
    let started = fields.nth(22 - 4)?.parse().ok()?;
    Some(Stat { pid: pid.parse().ok()?, is_dead, started })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn this_process_runs_and_another_of_its_number_does_not() {
        let own = ProcessId::own();
        assert_eq!(own.pid, std::process::id());
        assert_eq!(is_running(&own), Some(true));
        assert_eq!(is_running(&ProcessId { started: own.started + 1, ..own }), Some(false));
        assert_eq!(is_running(&ProcessId { boot: [7; 16], ..own }), None);
        assert_eq!(is_running(&ProcessId::default()), None);
        for pid in [0, u32::MAX] {
            assert_eq!(is_running(&ProcessId { pid, ..own }), None);
        }
    }

    #[test]
    fn a_child_runs_until_it_ends_and_not_when_nobody_has_asked_how() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let started = stat(&child.id().to_string()).unwrap().started;
        let process = ProcessId { pid: child.id(), started, ..ProcessId::own() };
        assert_eq!(is_running(&process), Some(true));
        drop(child.stdin.take());
        let ended = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(Pid::from_child(&child)), ended).unwrap();
        assert_eq!(is_running(&process), Some(false), "it has ended");
        child.wait().unwrap();
        assert_eq!(is_running(&process), Some(false), "it is gone");
    }

    #[test]
    fn names_of_processes_are_any_bytes() {
        let line = b"12 (a) R (b\xff) S 1 12 12 0 -1 4194560 1 0 0 0 5 6 7 8 20 0 1 0 777 9 1\n";
        assert_eq!(parse_stat(line), Some(Stat { pid: 12, is_dead: false, started: 777 }));
        let dead = b"12 (cat) Z 1 12 12 0 -1 4194560 1 0 0 0 5 6 7 8 20 0 1 0 778 9 1\n";
        assert_eq!(parse_stat(dead), Some(Stat { pid: 12, is_dead: true, started: 778 }));
        for bad in
            [b"".as_slice(), b"12 (cat", b"12 (cat) S 1 2", b"x (cat) S 1 12 12 0 -1 4 1 0 0 0 5 6 7 8 20 0 1 0 7"]
        {
            assert_eq!(parse_stat(bad), None);
        }
    }
}
