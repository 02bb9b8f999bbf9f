//! What several tests need that is no test: saying what was skipped, and disks that may lose power.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Says that a test cannot run for want of something that could be had: a package, a right. It fails where all must run.
pub(crate) fn skip_missing(test: &str, needs: &str) {
    say(&format!("SKIPPED {test}: needs {needs}"));
    let required = std::env::var_os("VAULT_TEST_REQUIRE").is_some_and(|value| value == "1");
    assert!(!required, "{test} needs {needs}, and VAULT_TEST_REQUIRE=1 allows no test to be skipped");
}

/// Says that a test cannot run because this machine's kernel does not do it, which no package changes.
pub(crate) fn skip_unavailable(test: &str, reason: &str) {
    say(&format!("SKIPPED {test}: {reason}"));
}

/// Runs one test of this program again, as a user who is not root.
pub(crate) fn as_ordinary_user(test: &str) {
    const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    if !is_installed("setpriv") {
        skip_missing(test, "util-linux");
        return;
    }
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    // By descriptor, because the folders above the program may be closed to others. `dup` gives one that a child keeps.
    let program = File::open(std::env::current_exe().unwrap()).unwrap();
    let program = rustix::io::dup(&program).unwrap();
    let mut again = Command::new("setpriv");
    again.args(NOBODY).arg(format!("/proc/self/fd/{}", program.as_raw_fd())).args(["--exact", test]);
    let done = again.env("TMPDIR", folder.path()).current_dir(folder.path()).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success() && said.contains("1 passed"), "as an ordinary user: {said}");
}

/// Past the capture of what passing tests print: a skipped test must be seen.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a disk is formatted with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Ext4,
    Xfs,
}

impl Format {
    /// The smallest image that is worth it (mkfs.xfs refuses less), the command that formats it, its package.
    fn recipe(self) -> (u64, &'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Ext4 => (64 << 20, "mkfs.ext4", &["-q", "-F"], "e2fsprogs"),
            Self::Xfs => (300 << 20, "mkfs.xfs", &["-q", "-f"], "xfsprogs"),
        }
    }
}

/// A file system of its own in an image file, mounted while this value lives.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
    mounted: bool,
}

impl Disk {
    /// Formats and mounts one; `None` after saying why the test is skipped.
    pub(crate) fn new(test: &str, format: Format) -> Option<Self> {
        let (size, mkfs, options, package) = format.recipe();
        if !rustix::process::geteuid().is_root() {
            skip_missing(test, "root, to mount a disk");
            return None;
        }
        for (tool, package) in [(mkfs, package), ("mount", "mount"), ("umount", "mount"), ("python3", "python3")] {
            if !is_installed(tool) {
                skip_missing(test, package);
                return None;
            }
        }
        let mut disk = Self { folder: TempDir::new().unwrap(), mounted: false };
        fs::create_dir(disk.path()).unwrap();
        File::create(disk.image()).unwrap().set_len(size).unwrap();
        run(Command::new(mkfs).args(options).arg(disk.image())).unwrap();
        match disk.try_mount() {
            Ok(()) => Some(disk),
            Err(problem) if problem.contains("permission denied") || problem.contains("superuser") => {
                skip_missing(test, "the right to mount a disk");
                None
            }
            Err(problem) => {
                skip_unavailable(test, &format!("the kernel mounts no image of {format:?}: {problem}"));
                None
            }
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Cuts the power: from now on every write fails, and what was not synced is lost.
    pub(crate) fn cut(&self) {
        // XFS_IOC_GOINGDOWN, which ext4 has too, with "do not flush the log".
        const CUT: &str = "import fcntl, os, struct, sys\n\
             fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        run(Command::new("python3").args(["-c", CUT]).arg(self.path())).unwrap();
    }

    /// Switches it on again. Nothing on it may be open.
    pub(crate) fn restart(&mut self) {
        // A child that another test's thread is just starting holds what we had open until it runs its program.
        let busy = |done: &Result<(), String>| done.as_ref().is_err_and(|problem| problem.contains("busy"));
        let mut attempts = (0..100).map(|_| run(Command::new("umount").arg(self.path())));
        attempts.find(|done| !busy(done)).expect("nothing on the disk is open").unwrap();
        drop(attempts);
        self.mounted = false;
        self.try_mount().unwrap();
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn try_mount(&mut self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()))?;
        self.mounted = true;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && run(Command::new("umount").arg(self.path())).is_err() {
            // A test that failed may still hold something open.
            let _ = run(Command::new("umount").arg("--lazy").arg(self.path()));
        }
    }
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(tool)).any(|file: PathBuf| Path::is_file(&file))
}

/// Runs a command to its end; what it complained about, if it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim()))
}
