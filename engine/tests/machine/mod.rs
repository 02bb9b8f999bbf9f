//! What tests of several packages need of the machine: saying what was skipped, and disks that may lose power or be full.

use std::fs::{self, File};
use std::io::Write;
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

/// Past the capture of what passing tests print: a skipped test must be seen.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a disk is formatted with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Ext4,
    /// With a journal that does not order data before names.
    Ext4Writeback,
    Xfs,
    /// In memory, of this many bytes. It has no power to lose.
    Memory(u64),
}

/// How to make a file system.
struct Recipe {
    size: u64,
    /// The command that formats the image.
    mkfs: &'static [&'static str],
    /// What to mount it with.
    options: &'static str,
    package: &'static str,
}

impl Format {
    /// The smallest image that is worth it (mkfs.xfs refuses less); none for a file system without.
    fn recipe(self) -> Option<Recipe> {
        let recipe = |size, mkfs, options, package| Some(Recipe { size, mkfs, options, package });
        match self {
            Self::Ext4 => recipe(64 << 20, &["mkfs.ext4", "-q", "-F"], "loop", "e2fsprogs"),
            Self::Ext4Writeback => recipe(64 << 20, &["mkfs.ext4", "-q", "-F"], "loop,data=writeback", "e2fsprogs"),
            Self::Xfs => recipe(300 << 20, &["mkfs.xfs", "-q", "-f"], "loop", "xfsprogs"),
            Self::Memory(_) => None,
        }
    }
}

/// A file system of its own in an image file, mounted while this value lives.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
    format: Format,
    mounted: bool,
}

impl Disk {
    /// Formats and mounts one; `None` after saying why the test is skipped.
    pub(crate) fn new(test: &str, format: Format) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip_missing(test, "root, to mount a disk");
            return None;
        }
        let recipe = format.recipe();
        let formats = recipe.iter().map(|recipe| (recipe.mkfs[0], recipe.package));
        for (tool, package) in
            [("mount", "mount"), ("umount", "mount"), ("python3", "python3")].into_iter().chain(formats)
        {
            if !is_installed(tool) {
                skip_missing(test, package);
                return None;
            }
        }
        let mut disk = Self { folder: TempDir::new().unwrap(), format, mounted: false };
        fs::create_dir(disk.path()).unwrap();
        if let Some(recipe) = recipe {
            File::create(disk.image()).unwrap().set_len(recipe.size).unwrap();
            run(Command::new(recipe.mkfs[0]).args(&recipe.mkfs[1..]).arg(disk.image())).unwrap();
        }
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
        let mut mount = Command::new("mount");
        match (self.format, self.format.recipe()) {
            (_, Some(recipe)) => mount.args(["-o", recipe.options]).arg(self.image()),
            (Format::Memory(size), None) => mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]),
            (_, None) => unreachable!("only memory needs no image"),
        };
        run(mount.arg(self.path()))?;
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

/// Whether the system has this program.
pub(crate) fn is_installed(tool: &str) -> bool {
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

/// Writes until nothing goes any more, not even as root.
pub(crate) fn fill(disk: &Disk) {
    let mut ballast = File::options().append(true).create(true).open(disk.path().join("ballast")).unwrap();
    for length in [1 << 20, 4096, 1] {
        let block = vec![0x55; length];
        while ballast.write(&block).and_then(|_| ballast.sync_data()).is_ok() {}
    }
}
