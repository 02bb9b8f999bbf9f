//! One command: how long it took, how much of the processors and of memory.
//!
//! The command is run by a small process of its own, this program started again, because the kernel counts the memory of
//! whoever starts a process as that process's peak.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use vault_engine::clock::Stopwatch;

/// What a command cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// From start to exit.
    pub wall_seconds: f64,
    /// In user and system mode together, with its children.
    pub cpu_seconds: f64,
    /// Most memory that one of its processes had, mapped files included.
    pub peak_bytes: u64,
    /// Most memory that it had for itself alone, looked at every 10 ms: anonymous, resident. 0 if nobody asked, or it ended too soon.
    pub private_bytes: u64,
    /// Bytes that it asked the kernel for, from a disk or from memory; what it maps does not count.
    pub read_bytes: u64,
    /// Bytes that it gave to the kernel.
    pub written_bytes: u64,
}

impl Cost {
    /// Of two commands one after the other.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds + next.wall_seconds,
            cpu_seconds: self.cpu_seconds + next.cpu_seconds,
            peak_bytes: self.peak_bytes.max(next.peak_bytes),
            private_bytes: self.private_bytes.max(next.private_bytes),
            read_bytes: self.read_bytes + next.read_bytes,
            written_bytes: self.written_bytes + next.written_bytes,
        }
    }
}

/// A command as it is to be run.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// All of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where to run it.
    pub folder: PathBuf,
    /// The only core that it may use.
    pub core: Option<usize>,
    /// Whether to look at its private memory, which itself reads a little.
    pub private: bool,
    /// Whose output it reads, if it reads any; arguments of this program.
    pub input: Option<Vec<OsString>>,
}

/// Runs a command on a quiet disk.
///
/// # Errors
/// As [`run`].
pub fn measure(invocation: &Invocation, log: &Path) -> Result<Cost> {
    // What the step before left to be written must not slow this one down.
    rustix::fs::sync();
    run(invocation, log)
}

/// Runs a command by way of the small process; its output goes to `log`.
///
/// # Errors
/// It could not be run, or its exit code is not 0.
pub fn run(invocation: &Invocation, log: &Path) -> Result<Cost> {
    let result = log.with_extension("cost");
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let core = invocation.core.map(|core| format!("--core={core}"));
    let mut writer = None;
    let mut input = Stdio::null();
    if let Some(arguments) = &invocation.input {
        let started = Command::new(&program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut started = started.context("cannot start what writes its input")?;
        input = started.stdout.take().map_or_else(Stdio::null, Stdio::from);
        writer = Some(started);
    }
    let status = Command::new(program)
        .arg("measure")
        .args(core)
        .args(invocation.private.then_some("--private"))
        .arg(&result)
        .arg("--")
        .args(&invocation.command)
        .env_clear()
        .envs(invocation.environment.iter().cloned())
        .current_dir(&invocation.folder)
        .stdin(input)
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("cannot start the measuring process")?;
    if let Some(mut writer) = writer {
        let ended = writer.wait().context("cannot wait for what writes its input")?;
        ensure!(ended.success(), "what writes its input failed: {ended}");
    }
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(8).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{:?} failed ({status}):\n{}", invocation.command, tail.join("\n"));
    }
    let text = fs::read_to_string(&result).with_context(|| format!("cannot read {}", result.display()))?;
    serde_json::from_str(&text).context("the measuring process wrote something else")
}

/// The small process: runs the command, writes its cost to `result`, and gives its exit code.
pub fn measure_here(result: &Path, core: Option<usize>, private: bool, command: &[OsString]) -> Result<u8> {
    let (program, arguments) = command.split_first().context("no command")?;
    core.map_or(Ok(()), pin)?;
    let before = transferred();
    let watch = Stopwatch::start();
    let started = Command::new(program).args(arguments).spawn();
    let mut child = started.with_context(|| format!("cannot run {}", program.display()))?;
    let watched = private.then(|| Private::watch(child.id()));
    let status = child.wait().with_context(|| format!("cannot wait for {}", program.display()))?;
    let wall_seconds = watch.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot ask what it used")?;
    let after = transferred();
    let cost = Cost {
        wall_seconds,
        cpu_seconds: cpu_seconds(&usage),
        // Linux gives KiB.
        peak_bytes: u64::try_from(usage.max_rss()).unwrap_or(0) << 10,
        private_bytes: watched.map_or(0, Private::peak),
        read_bytes: after.0 - before.0,
        written_bytes: after.1 - before.1,
    };
    fs::write(result, serde_json::to_string(&cost)?)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// A thread that looks at a process's private memory now and then.
struct Private {
    ended: Sender<()>,
    thread: JoinHandle<u64>,
}

impl Private {
    fn watch(process: u32) -> Self {
        let (ended, end) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while end.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Timeout) {
                peak = peak.max(private_bytes(&process.to_string()).unwrap_or(0));
            }
            peak
        });
        Self { ended, thread }
    }

    fn peak(self) -> u64 {
        drop(self.ended);
        self.thread.join().unwrap_or(0)
    }
}

/// What a process (a number, or `self`) has in memory for itself alone.
pub(crate) fn private_bytes(process: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The first core that this thread may use.
pub(crate) fn first_core() -> Result<usize> {
    let cores = sched_getaffinity(Pid::from_raw(0)).context("cannot ask which cores there are")?;
    let is_ours = |core: &usize| cores.is_set(*core).unwrap_or(false);
    (0..CpuSet::count()).find(is_ours).context("no core may be used")
}

/// Keeps this thread, and what it starts, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    let pinned = cores.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &cores));
    pinned.context("cannot pin it to a core")
}

/// Bytes that this process and the children that it has waited for have read and written.
fn transferred() -> (u64, u64) {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    (field("rchar:"), field("wchar:"))
}

fn cpu_seconds(usage: &Usage) -> f64 {
    let seconds = |time: TimeVal| {
        let microseconds = u32::try_from(time.tv_usec()).unwrap_or(0);
        u32::try_from(time.tv_sec()).map_or(f64::NAN, f64::from) + f64::from(microseconds) / 1e6
    };
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// How busy others keep the machine meanwhile: wall times that were taken beside a compiler say nothing.
#[derive(Debug)]
pub struct Neighbours {
    watch: Stopwatch,
    own_seconds: f64,
    ticks: (f64, f64),
}

impl Neighbours {
    /// From now on.
    pub fn watch() -> Self {
        Self { watch: Stopwatch::start(), own_seconds: own_seconds(), ticks: ticks() }
    }

    /// The share of all processors, 0 to 1, that processes took which are not ours; `None` if the kernel does not tell.
    pub fn share(&self) -> Option<f64> {
        let (busy, all) = ticks();
        let (busy, all) = (busy - self.ticks.0, all - self.ticks.1);
        let cores = std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok())?;
        let own = (own_seconds() - self.own_seconds) / (self.watch.elapsed().as_secs_f64() * f64::from(cores));
        (all > 0.0).then(|| (busy / all - own).clamp(0.0, 1.0))
    }
}

/// This process and the children that it has waited for.
fn own_seconds() -> f64 {
    let of = |who| getrusage(who).map_or(0.0, |usage| cpu_seconds(&usage));
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

/// Busy ticks and all ticks since the start of the machine.
fn ticks() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guests are in user already.
    let numbers: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let all: f64 = numbers.iter().sum();
    let idle: f64 = numbers.iter().skip(3).take(2).sum();
    (all - idle, all)
}
