//! A home folder of its own for each test, and the program run in it with nothing else in the environment.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A user with an empty home and no terminal.
pub(crate) struct Sandbox {
    home: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// With its home on a disk of the test's.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn below(folder: &Path) -> Self {
        Self { home: tempfile::tempdir_in(folder).unwrap() }
    }

    /// With a keyless repository `repo`, which is what tests of anything but keys use.
    pub(crate) fn with_repository() -> Self {
        let sandbox = Self::new();
        sandbox.vault(["init", "-r", "repo", "--encryption", "none"]).succeeds();
        sandbox
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// Writes a file with the folders above it.
    pub(crate) fn write(&self, below: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The largest file below a folder.
    pub(crate) fn largest_file(&self, below: &str) -> PathBuf {
        let folder = self.path(below);
        let (name, _) = files(&folder).into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
        folder.join(name)
    }

    /// Waits until a change made now would show as another time: what is younger is not believed to be unchanged.
    pub(crate) fn settle(&self) {
        let age = |path: &Path| fs::metadata(path).unwrap().modified().unwrap().elapsed().unwrap_or_default();
        let marker = self.write("settled", "");
        while age(&marker) < std::time::Duration::from_millis(50) {
            std::thread::yield_now();
        }
    }

    /// The program in the home folder: UTC, host label `h1`, nothing on standard input.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vault"));
        command.args(arguments).current_dir(self.home.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.home.path()).env("TZ", "UTC").env("VAULT_HOSTNAME", "h1");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub(crate) fn vault<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        run(&mut self.command(arguments))
    }

    /// The same with more variables.
    pub(crate) fn vault_with<A: AsRef<OsStr>>(
        &self,
        environment: &[(&str, &str)],
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        run(self.command(arguments).envs(environment.iter().copied()))
    }

    /// Archives a folder in `repo` at this time, under this host label.
    pub(crate) fn archive(&self, host: &str, name: &str, time: &str, folder: &str) {
        let arguments = ["create", "-r", "repo", "--hostname", host, "--timestamp", time, name, folder];
        self.vault(arguments).succeeds();
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Ends with this code and one line that contains all of these.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("vault: error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(says.iter().all(|part| errors[0].contains(part)), "{says:?} is not all in {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Every file below a folder with its content, by relative path.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
