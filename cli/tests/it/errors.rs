//! Bad input, and what it gets: one line, the documented exit code, nothing half made.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, files};

#[test]
fn wrong_usage_is_one_line_that_names_the_help() {
    let sandbox = Sandbox::new();
    sandbox.vault(["create", "--no-such-flag", "a", "b"]).fails(2, &["--no-such-flag", "see vault create --help"]);
    sandbox.vault(["create", "a"]).fails(2, &["PATH", "see vault create --help"]);
    sandbox.vault(["frobnicate"]).fails(2, &["frobnicate", "see vault --help"]);
    sandbox.vault(["restore", "a"]).fails(2, &["--target"]);
    sandbox.vault(["create", "--jobs", "0", "a", "b"]).fails(2, &["--jobs", "1 to 1024"]);
    sandbox.vault(["list", "-r", "a", "b::c"]).fails(2, &["named twice"]);
    sandbox.vault(["list", "-r", "s3://bucket"]).fails(2, &["only folders"]);
    sandbox.vault(["init", "-r", "r", "--encryption", "none", "--key-file", "k"]).fails(2, &["--key-file"]);
    assert_eq!(files(&sandbox.path("")), []);
}

#[test]
fn a_bad_name_is_refused_with_the_rule_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let long = "x".repeat(201);
    for name in ["a/b", "a@b", "a~1", "a*", " a", "a ", "a\nb", "latest", "aid:12345678", long.as_str()] {
        sandbox.vault(["create", "--init", "-r", "repo", name, "."]).fails(2, &["cannot be the NAME"]);
    }
    sandbox.vault(["create", "--init", "-r", "repo", "--", "-a", "."]).fails(2, &["begins with -"]);
    sandbox.vault(["create", "--init", "-r", "repo", "", "."]).fails(2, &["it is empty"]);
    sandbox.vault(["create", "--init", "-r", "repo", "--hostname", "a/b", "n", "."]).fails(2, &["VAULT_HOSTNAME"]);
    assert!(!sandbox.path("repo").exists());
}

#[test]
fn an_unknown_placeholder_is_an_error_of_its_own() {
    let sandbox = Sandbox::new();
    for name in ["a-{nope}", "a-{now", "a}", "{user:%Y}"] {
        sandbox.vault(["create", "--init", name, "."]).fails(6, &[name]);
    }
    sandbox.vault(["create", "--init", "a", ".", "--comment", "{nope}"]).fails(6, &["--comment", "{nope}"]);
    assert_eq!(files(&sandbox.path("")), []);
}

#[test]
fn a_repository_that_is_not_there() {
    let sandbox = Sandbox::new();
    for arguments in
        [&["list", "-r", "gone"][..], &["check", "-r", "gone"], &["info", "gone::"], &["create", "gone::a", "."]]
    {
        sandbox.vault(arguments).fails(13, &["gone", "vault init"]);
    }
    sandbox.vault(["key", "import", "-r", "gone", "-"]).fails(13, &["gone"]);
    sandbox.vault(["create", "a", "."]).fails(13, &["create --init", ".local/share/vault/repository"]);
    sandbox.vault_with(&[("VAULT_REPO", "elsewhere")], ["list"]).fails(13, &["elsewhere"]);
    assert_eq!(files(&sandbox.path("")), []);
}

#[test]
fn something_that_is_no_repository() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "text");
    sandbox.write("folder/file", "text");
    sandbox.vault(["list", "-r", "file"]).fails(15, &["file is no repository"]);
    sandbox.vault(["list", "-r", "folder"]).fails(15, &["folder is no repository"]);
}

#[test]
fn a_folder_with_other_files_becomes_no_repository() {
    let sandbox = Sandbox::new();
    sandbox.write("folder/file", "text");
    let run = sandbox.vault(["init", "-r", "folder", "--encryption", "none"]);
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(!sandbox.path("folder/config").exists());
}

#[test]
fn a_selector_that_cannot_be_read_costs_no_passphrase() {
    let sandbox = Sandbox::new();
    for text in ["/srv/repo", "a/b/c", "a~x", "a@noon", "aid:123"] {
        sandbox.vault(["restore", text, "--target", "t"]).fails(2, &[]);
    }
    sandbox.vault(["restore", "/srv/repo", "--target", "t"]).fails(2, &["-r REPO"]);
}

#[test]
fn a_restore_that_would_remove_the_system_is_refused() {
    let sandbox = Sandbox::new();
    for target in ["/", "/usr/..", "//"] {
        sandbox.vault(["restore", "a", "--delete", "--target", target]).fails(2, &["--delete"]);
    }
    sandbox.vault(["restore", "a", "b/../c", "--target", "t"]).fails(2, &[".."]);
}

#[test]
fn a_time_that_cannot_be_read() {
    let sandbox = Sandbox::new();
    sandbox.vault(["create", "--init", "a", ".", "--timestamp", "noon"]).fails(2, &["--timestamp", "noon"]);
}

#[test]
fn sources_that_are_not_there() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "text");
    sandbox.vault(["create", "-r", "repo", "a", "gone"]).fails(2, &["gone"]);
    let one_of_two = sandbox.vault(["create", "-r", "repo", "a", "gone", "source"]);
    assert_eq!(one_of_two.code, Some(1), "{one_of_two:?}");
    assert!(one_of_two.stderr.contains("vault: warning: ") && one_of_two.stderr.contains("gone"));
    sandbox.vault(["list", "-r", "repo", "a"]).succeeds();
}

#[test]
fn a_target_that_is_no_directory() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "text");
    sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
    sandbox.write("target", "precious");
    sandbox.vault(["restore", "-r", "repo", "a", "--target", "target"]).fails(2, &["target"]);
    assert_eq!(fs::read(sandbox.path("target")).unwrap(), b"precious");
}

#[test]
fn damage_is_found_and_named() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "some content that is archived");
    sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
    sandbox.vault(["check", "-r", "repo", "--read-data"]).succeeds();
    for (path, mut content) in files(&sandbox.path("repo/packs")) {
        // A stretch longer than the gaps between blocks.
        let (from, to) = (content.len() / 4, content.len() * 3 / 4);
        content[from..to].iter_mut().for_each(|byte| *byte ^= 1);
        fs::write(sandbox.path("repo/packs").join(path), content).unwrap();
    }
    let run = sandbox.vault(["check", "-r", "repo", "--read-data"]);
    assert_eq!(run.code, Some(90), "{run:?}");
    assert!(run.stdout.lines().any(|line| line.starts_with("error: packs/")), "{run:?}");
}

/// Writes to the program until it has begun to read, then sends the signal and goes on until it is gone.
fn interrupted_by(signal: Signal) -> Option<i32> {
    let sandbox = Sandbox::with_repository();
    let mut command = sandbox.command(["create", "-r", "repo", "a", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than any pipe holds, so that reading has begun and the handlers stand.
    input.write_all(&vec![7; 8 << 20]).unwrap();
    kill_process(Pid::from_child(&child), signal).unwrap();
    let block = vec![9; 1 << 20];
    let enough = (0..1024).take_while(|_| input.write_all(&block).is_ok()).count();
    assert!(enough < 1024, "it went on reading");
    drop(input);
    let code = child.wait().unwrap().code();
    assert!(
        sandbox.vault(["list", "-r", "repo", "--json"]).succeeds().json()["archives"].as_array().unwrap().is_empty()
    );
    code
}

#[test]
fn a_signal_ends_create_cleanly() {
    assert_eq!(interrupted_by(Signal::INT), Some(130));
    assert_eq!(interrupted_by(Signal::TERM), Some(143));
}
