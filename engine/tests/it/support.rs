//! What several tests need that is no test.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use crate::machine::is_installed;
pub(crate) use crate::machine::{say, skip_missing, skip_unavailable};

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
