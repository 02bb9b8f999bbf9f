//! What is archived comes back: every kind of file, every attribute, every byte and every hole.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::{sample, support};

mod fixed;
mod plant;
mod walker;

use plant::{Plan, Planted};

/// Archives a planted tree, restores it, and compares with eyes of our own; then the restored tree is archived in its turn.
fn check_round(planted: &Planted, rsync: bool) -> Result<(), TestCaseError> {
    let source = planted.path();
    let repository = sample::open(sample::memory());
    let first = sample::archive(&repository, source);
    let target = Planted::beside(planted);
    let restored = sample::restore_all(&repository, &first, source, target.path());
    let (expected, found) = (walker::look(source), walker::look(&restored));
    for (path, seen) in &expected {
        let shown = String::from_utf8_lossy(path);
        prop_assert_eq!(found.get(path), Some(seen), "{}", shown);
    }
    for path in found.keys() {
        prop_assert!(expected.contains_key(path), "{} was never there", String::from_utf8_lossy(path));
    }
    if rsync {
        prop_assert_eq!(differences(source, &restored), "");
    }
    let tree = sample::tree_id(&repository, &first, source);
    let again = sample::archive(&repository, source);
    prop_assert_eq!(sample::tree_id(&repository, &again, source), tree, "with a parent the tree is another");
    let copy = sample::archive(&repository, &restored);
    prop_assert_eq!(sample::tree_id(&repository, &copy, &restored), tree, "the restored tree is another");
    Ok(())
}

/// What rsync would change to make the second tree like the first.
fn differences(source: &Path, restored: &Path) -> String {
    let slash = |path: &Path| [path.as_os_str().as_bytes(), b"/"].concat();
    let mut rsync = Command::new("rsync");
    rsync.args(["-aHAXn", "--delete", "--checksum", "--itemize-changes", "--exclude=*.sock"]);
    rsync.arg(OsStr::from_bytes(&slash(source))).arg(OsStr::from_bytes(&slash(restored)));
    let done = rsync.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

fn has_rsync() -> bool {
    Command::new("rsync").arg("--version").output().is_ok_and(|done| done.status.success())
}

#[test]
fn any_tree_comes_back_as_it_was() {
    let rsync = has_rsync();
    if !rsync {
        support::skip_missing("any_tree_comes_back_as_it_was, in the eyes of rsync", "rsync");
    }
    let folder = TempDir::new().unwrap();
    proptest!(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() }, |(plan in plant::plan())| {
        check_round(&Planted::grow(folder.path(), &plan), rsync)?;
    });
}

#[test]
fn what_an_ordinary_user_may_archive_comes_back_to_that_user() {
    if rustix::process::geteuid().is_root() {
        support::as_ordinary_user("fidelity::any_tree_comes_back_as_it_was");
    }
}

#[test]
fn an_empty_directory_comes_back() {
    let folder = TempDir::new().unwrap();
    check_round(&Planted::grow(folder.path(), &Plan::default()), false).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
