//! What once went wrong. Each test is named after what must be.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::sandbox::{Sandbox, files, run};

fn below(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().map(|(path, _)| folder.join(path)).collect()
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    let at = usize::try_from(at).unwrap() % bytes.len();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

/// The largest pack: the one with file content.
fn data_pack(sandbox: &Sandbox) -> PathBuf {
    below(&sandbox.path("repo/packs")).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn damage_is_found_without_the_index_too() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", noise(1, 2_000_000));
    sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
    fs::remove_dir_all(sandbox.path("repo/index")).unwrap();
    assert_eq!(sandbox.vault(["check", "-r", "repo"]).code, Some(1), "a lost index is worth a warning");
    flip(&data_pack(&sandbox), 1_000_000);
    assert_eq!(sandbox.vault(["check", "-r", "repo", "--read-data"]).code, Some(90));
}

#[test]
fn a_damaged_cache_changes_no_result() {
    let sandbox = Sandbox::with_repository();
    for number in 0..2000 {
        sandbox.write(&format!("source/{number}"), number.to_string());
    }
    for night in 0..10 {
        sandbox.write("source/night", night.to_string());
        sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
        for file in below(&sandbox.path(".cache")).iter().filter(|path| path.extension().is_some_and(|e| e == "run")) {
            flip(file, 5000 + night * 4096);
        }
        let target = format!("out{night}");
        sandbox.vault(["restore", "-r", "repo", "a", "--target", &target]).succeeds();
        assert_eq!(files(&sandbox.path(&target).join("source")), files(&sandbox.path("source")));
        sandbox.vault(["check", "-r", "repo", "--read-data"]).succeeds();
    }
}

#[test]
fn what_was_not_read_is_not_believed_by_a_stricter_run() {
    let sandbox = Sandbox::with_repository();
    let file = sandbox.path("source/file");
    let write = |content: &str| {
        sandbox.write("source/file", content);
        let old = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::options().write(true).open(&file).unwrap().set_times(old).unwrap();
        sandbox.settle();
    };
    write("AAAA");
    sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
    write("BBBB");
    sandbox.vault(["create", "-r", "repo", "--files-cache", "mtime,size", "a", "source"]).succeeds();
    sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
    sandbox.vault(["restore", "-r", "repo", "a", "--target", "out"]).succeeds();
    assert_eq!(fs::read_to_string(sandbox.path("out/source/file")).unwrap(), "BBBB");
}

#[test]
fn a_hard_link_of_a_lost_file_is_lost_and_not_linked_to_something_else() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/a", noise(2, 1_000_000));
    fs::hard_link(sandbox.path("source/a"), sandbox.path("source/b")).unwrap();
    sandbox.vault(["create", "-r", "repo", "x", "source"]).succeeds();
    sandbox.write("out/source/a", "old a");
    sandbox.write("out/source/b", "old b");
    flip(&data_pack(&sandbox), 500_000);
    let lost = sandbox.vault(["restore", "-r", "repo", "x", "--target", "out"]);
    assert_eq!(lost.code, Some(90));
    assert!(lost.stderr.contains("source/a") && lost.stderr.contains("source/b"), "{lost:?}");
    assert_eq!(fs::read_to_string(sandbox.path("out/source/b")).unwrap(), "old b");
    assert_eq!(fs::metadata(sandbox.path("out/source/b")).unwrap().nlink(), 1);
}

#[test]
fn delete_leaves_alone_what_the_restore_is_writing() {
    let sandbox = Sandbox::with_repository();
    let content = noise(3, 70_000 * 512);
    sandbox.write("source/big", &content);
    sandbox.vault(["create", "-r", "repo", "--chunker-params", "fixed,512", "x", "source"]).succeeds();
    sandbox.write("out/source/big", "something else");
    sandbox.write("out/source/extra", "");
    sandbox.vault(["restore", "-r", "repo", "x", "--target", "out", "--delete"]).succeeds();
    assert!(fs::read(sandbox.path("out/source/big")).unwrap() == content);
    assert_eq!(fs::read_dir(sandbox.path("out/source")).unwrap().count(), 1);
}

#[test]
fn a_dry_run_says_what_would_be_done() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/same", "same");
    sandbox.write("source/changed", "changed");
    sandbox.vault(["create", "-r", "repo", "x", "source"]).succeeds();
    sandbox.vault(["restore", "-r", "repo", "x", "--target", "out"]).succeeds();
    sandbox.write("out/source/changed", "otherwise");
    sandbox.write("out/source/extra", "");
    let restore = |more: &[&str]| {
        let arguments = ["restore", "-r", "repo", "x", "--target", "out", "--delete", "--json"];
        sandbox.vault(arguments.iter().chain(more)).succeeds().json()
    };
    let (would, did) = (restore(&["-n"]), restore(&[]));
    for count in ["files", "skipped", "deleted"] {
        assert_eq!(would[count], did[count], "{count}");
    }
    assert_eq!((&did["files"], &did["skipped"], &did["deleted"]), (&1.into(), &1.into(), &1.into()));
}

#[test]
fn delete_and_strip_components_are_refused_together() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "");
    sandbox.vault(["create", "-r", "repo", "x", "source"]).succeeds();
    let arguments = ["restore", "-r", "repo", "x", "--target", "out", "--delete", "--strip-components", "1"];
    sandbox.vault(arguments).fails(2, &["--strip-components"]);
}

#[test]
fn a_verdict_does_not_need_a_reader() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", noise(4, 100_000));
    sandbox.vault(["create", "-r", "repo", "x", "source"]).succeeds();
    fs::remove_file(data_pack(&sandbox)).unwrap();
    let mut child =
        sandbox.command(["check", "-r", "repo"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(90));
}

#[test]
fn a_signal_ends_the_wait_for_a_silent_pipe() {
    let sandbox = Sandbox::with_repository();
    let mut command = sandbox.command(["create", "-r", "repo", "dump", "-", "--progress"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"half a dump").unwrap();
    // The store has its folder for uploads as soon as the create has begun to read.
    while !sandbox.path(".cache/vault").exists() {
        std::thread::yield_now();
    }
    run(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()])).succeeds();
    let code = child.wait().unwrap();
    drop(input);
    let ended = code.code().unwrap_or(128 + std::os::unix::process::ExitStatusExt::signal(&code).unwrap_or(0));
    assert_eq!(ended, 143);
    assert_eq!(
        sandbox.vault(["list", "-r", "repo", "--json"]).succeeds().json()["archives"].as_array().unwrap().len(),
        0
    );
}
