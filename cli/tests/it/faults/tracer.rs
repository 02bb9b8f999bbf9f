//! A program run under `ptrace`: its system calls are counted over all of its threads together, and what happens to one of them
//! is chosen: it fails, or the process is killed before it is done.
//!
//! `strace -e inject` counts in each thread apart, so that of a program with several threads most moments cannot be named.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::{self, Names};
use crate::sandbox::Run;

/// One system call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    /// The files that it is about; nothing for the end of the process.
    pub(super) paths: Vec<PathBuf>,
    /// Whether it changes what is on the disk, or makes it durable.
    pub(super) changes: bool,
}

/// What happens at the call chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing: calls are counted.
    Count,
    /// The process dies before it is done.
    Kill,
    /// It is not done and fails.
    Fail(Errno),
    /// It fails, and so does every later one that counts.
    FailFromNow(Errno),
    /// It waits until something else has happened.
    Wait,
    /// It reads or writes a part of what it was asked to, and so does every later one that counts.
    Short,
}

/// How a run went.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) run: Run,
    /// The calls that counted, in order.
    pub(super) calls: Vec<Call>,
    /// Which of them it happened to first.
    pub(super) hit: Option<Call>,
}

/// Runs a command; of the calls that `counts` says yes to, this happens to number `at`.
pub(super) fn trace(command: &Command, counts: &dyn Fn(&Call) -> bool, at: usize, act: Act) -> Traced {
    trace_while(command, counts, at, act, &|| {})
}

/// The same; `meanwhile` is what the call waits for.
pub(super) fn trace_while(
    command: &Command,
    counts: &dyn Fn(&Call) -> bool,
    at: usize,
    act: Act,
    meanwhile: &dyn Fn(),
) -> Traced {
    let outputs = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let main = start(command, &outputs);
    let (inside, failing, short) = (HashSet::from([main]), HashSet::new(), HashMap::new());
    let mut tracer = Tracer { main, counts, at, act, meanwhile, inside, failing, short, calls: Vec::new(), hit: None };
    let code = tracer.follow();
    let [stdout, stderr] = outputs.map(text);
    Traced { run: Run { code, stdout, stderr }, calls: tracer.calls, hit: tracer.hit }
}

/// Starts it behind a shell that waits until it is traced; from the moment it runs on its own every call stops it.
#[expect(clippy::zombie_processes, reason = "it is waited for by number, by whoever traces it")]
fn start(command: &Command, [stdout, stderr]: &[File; 2]) -> Pid {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r go; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(command.get_current_dir().unwrap());
    let outputs = [stdout, stderr].map(|file| Stdio::from(file.try_clone().unwrap()));
    let [stdout, stderr] = outputs;
    let mut child = shell.stdin(Stdio::piped()).stdout(stdout).stderr(stderr).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).unwrap();
    // The end of its input is what it waits for. It is waited for by number, never through this value.
    drop(child.stdin.take());
    pid
}

struct Tracer<'a> {
    main: Pid,
    counts: &'a dyn Fn(&Call) -> bool,
    at: usize,
    act: Act,
    meanwhile: &'a dyn Fn(),
    /// Threads that are between the begin and the end of a call.
    inside: HashSet<Pid>,
    /// Threads whose call fails with this when it ends.
    failing: HashSet<Pid>,
    /// Threads whose call was told another length than this one.
    short: HashMap<Pid, u64>,
    calls: Vec<Call>,
    hit: Option<Call>,
}

impl Tracer<'_> {
    /// Until it has ended: the exit code, or nothing when it was killed.
    fn follow(&mut self) -> Option<i32> {
        // What other tests' threads have started is not ours to wait for.
        let ours = Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD);
        loop {
            match waitpid(None::<Pid>, ours).unwrap() {
                WaitStatus::Exited(pid, code) if pid == self.main => return Some(code),
                WaitStatus::Signaled(pid, _, _) if pid == self.main => return None,
                WaitStatus::PtraceSyscall(thread) => self.stopped(thread),
                WaitStatus::PtraceEvent(thread, _, _) => go_on(thread, None),
                WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
                _ => {}
            }
        }
    }

    /// At the begin or the end of a call.
    fn stopped(&mut self, thread: Pid) {
        if !self.inside.remove(&thread) {
            self.inside.insert(thread);
            self.begins(thread);
        } else if let Some(length) = self.short.remove(&thread) {
            // The program counts on its registers.
            if let Ok(mut registers) = ptrace::getregs(thread) {
                registers.rdx = length;
                let _ = ptrace::setregs(thread, registers);
            }
        } else if self.failing.remove(&thread)
            && let (Act::Fail(errno) | Act::FailFromNow(errno), Ok(mut registers)) = (self.act, ptrace::getregs(thread))
        {
            registers.rax = (-i64::from(errno as i32)).cast_unsigned();
            let _ = ptrace::setregs(thread, registers);
        }
        go_on(thread, None);
    }

    fn begins(&mut self, thread: Pid) {
        // Whoever cannot be asked has just been killed.
        let Ok(mut registers) = ptrace::getregs(thread) else { return };
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
        let Some(call) = call(thread, registers.orig_rax, &arguments).filter(|call| (self.counts)(call)) else {
            return;
        };
        let number = self.calls.len();
        self.calls.push(call.clone());
        let now = match self.act {
            Act::Count => false,
            Act::Kill | Act::Fail(_) | Act::Wait => number == self.at,
            Act::FailFromNow(_) | Act::Short => number >= self.at,
        };
        if !now {
            return;
        }
        self.hit.get_or_insert(call);
        if self.act == Act::Wait {
            return (self.meanwhile)();
        }
        if self.act == Act::Short {
            // The third argument: bytes, or pieces of several. Where there is one, or none, nothing can be shorter.
            if registers.rdx > 1 {
                self.short.insert(thread, registers.rdx);
                registers.rdx = registers.rdx.div_ceil(3);
                let _ = ptrace::setregs(thread, registers);
            }
            return;
        }
        // No call has this number.
        registers.orig_rax = u64::MAX;
        let _ = ptrace::setregs(thread, registers);
        match self.act {
            Act::Kill => kill(self.main, Signal::SIGKILL).unwrap(),
            _ => {
                self.failing.insert(thread);
            }
        }
    }
}

/// A thread that was killed meanwhile cannot, and need not.
fn go_on(thread: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(thread, signal);
}

fn call(thread: Pid, number: u64, arguments: &[u64; 6]) -> Option<Call> {
    let kind = calls::kind(number)?;
    let below = |(folder, path): (usize, usize)| below(thread, arguments[folder], arguments[path]);
    let paths = match kind.names {
        Names::Nothing => Some(Vec::new()),
        Names::Open(at) => open(thread, arguments[at]).map(|path| vec![path]),
        Names::Path(at) => from_folder(thread, "cwd".as_ref(), arguments[at]).map(|path| vec![path]),
        Names::Below(folder, path) => below((folder, path)).map(|path| vec![path]),
        Names::Two(one, two) => below(one).zip(below(two)).map(|(one, two)| vec![one, two]),
    };
    Some(Call { name: kind.name, paths: paths?, changes: kind.changes(arguments) })
}

/// What a number of an open file stands for, if it is one of a file system.
fn open(thread: Pid, descriptor: u64) -> Option<PathBuf> {
    let path = fs::read_link(proc(thread).join(format!("fd/{descriptor}"))).ok()?;
    path.is_absolute().then_some(path)
}

fn below(thread: Pid, folder: u64, path: u64) -> Option<PathBuf> {
    // Numbers are of 32 bits, what is above them is not looked at.
    let folder = u32::try_from(folder & 0xFFFF_FFFF).ok()?;
    let entry = if folder == libc::AT_FDCWD.cast_unsigned() { "cwd".to_owned() } else { format!("fd/{folder}") };
    from_folder(thread, entry.as_ref(), path)
}

fn from_folder(thread: Pid, entry: &Path, path: u64) -> Option<PathBuf> {
    let path = PathBuf::from(string(thread, path)?);
    if path.is_absolute() {
        return Some(path);
    }
    let folder = fs::read_link(proc(thread).join(entry)).ok()?;
    // An empty path is what is open itself.
    Some(if path.as_os_str().is_empty() { folder } else { folder.join(path) })
}

/// A string in its memory; nothing is an empty one.
fn string(thread: Pid, address: u64) -> Option<OsString> {
    if address == 0 {
        return Some(OsString::new());
    }
    let memory = File::open(proc(thread).join("mem")).ok()?;
    let mut bytes = [0; 4096];
    // What lies behind it may end before the buffer does.
    let to_page = usize::try_from(4096 - address % 4096).ok()?;
    let first = memory.read_at(&mut bytes[..to_page], address).ok()?;
    let mut length = first;
    if first == to_page {
        length += memory.read_at(&mut bytes[first..], address + first as u64).unwrap_or(0);
    }
    let end = bytes[..length].iter().position(|byte| *byte == 0)?;
    Some(OsStr::from_bytes(&bytes[..end]).to_owned())
}

fn proc(thread: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{thread}"))
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    OsString::from_vec(bytes).into_string().unwrap()
}
