//! The main verbs on a real tree: init, create, list, restore, check.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::sandbox::{Sandbox, files, run};

fn with_source() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/a.txt", "alpha");
    sandbox.write("source/folder/b.bin", vec![7; 3 << 20]);
    sandbox.write("source/folder/empty", "");
    symlink("a.txt", sandbox.path("source/link")).unwrap();
    sandbox
}

#[test]
fn a_repository_is_never_made_over_another() {
    let sandbox = Sandbox::with_repository();
    let before = files(&sandbox.path("repo"));
    sandbox.vault(["init", "-r", "repo", "--encryption", "none"]).fails(10, &["exists already", "repo"]);
    assert_eq!(files(&sandbox.path("repo")), before);
}

#[test]
fn what_is_archived_comes_back() {
    let sandbox = with_source();
    let quiet = sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""), "silent in cron");
    let quiet = sandbox.vault(["restore", "-r", "repo", "tree", "--target", "out"]).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(files(&sandbox.path("out/source")), files(&sandbox.path("source")));
    assert_eq!(fs::read_link(sandbox.path("out/source/link")).unwrap().to_str(), Some("a.txt"));
    let quiet = sandbox.vault(["check", "-r", "repo", "--read-data"]).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn a_restored_tree_has_the_same_root() {
    let sandbox = with_source();
    let create = |name: &str, folder: &str| {
        let mut command = sandbox.command(["create", "-r", "../repo", name, ".", "--json"]);
        run(command.current_dir(sandbox.path(folder))).succeeds().json()
    };
    let first = create("one", "source");
    sandbox.vault(["restore", "-r", "repo", "one", "--target", "out"]).succeeds();
    assert_eq!(create("two", "out")["root_tree"], first["root_tree"]);
}

#[test]
fn a_second_night_reads_nothing_again() {
    let sandbox = with_source();
    sandbox.settle();
    sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    let second = sandbox.vault(["create", "-r", "repo", "tree", "source", "--json"]).succeeds().json();
    assert_eq!(second["stats"]["new_bytes"], 0, "{second}");
    let archives = sandbox.vault(["list", "-r", "repo", "--json"]).succeeds().json();
    assert_eq!(archives["archives"][1]["parent"], archives["archives"][0]["id"]);
}

#[test]
fn a_repository_is_not_archived_into_itself() {
    let sandbox = with_source();
    for _ in 0..2 {
        sandbox.vault(["create", "-r", "repo", "home", "."]).succeeds();
    }
    let entries = sandbox.vault(["list", "repo::home"]).succeeds().stdout;
    assert!(entries.contains("source/a.txt") && !entries.contains("repo"), "{entries}");
}

#[test]
fn stats_and_lists_say_what_was_done() {
    let sandbox = with_source();
    let run = sandbox.vault(["create", "-r", "repo", "tree", "source", "--stats", "--list"]).succeeds();
    assert!(run.stdout.starts_with("archive aid:") && run.stdout.contains("h1/tree"), "{run:?}");
    for line in ["A source/a.txt", "A source/folder/b.bin", "s source/link", "d source/folder"] {
        assert!(run.stderr.lines().any(|found| found == line), "{line}: {run:?}");
    }
    let table = sandbox.vault(["list", "-r", "repo"]).succeeds().stdout;
    assert!(table.starts_with("ID ") && table.contains("tree"), "{table}");
    let entries = sandbox.vault(["list", "repo::tree"]).succeeds().stdout;
    assert!(entries.contains("source/link -> a.txt"), "{entries}");
}

#[test]
fn a_dry_run_stores_nothing() {
    let sandbox = with_source();
    let before = sandbox.vault(["info", "-r", "repo", "--json"]).succeeds().json()["content"].clone();
    let run = sandbox.vault(["create", "-r", "repo", "tree", "source", "-n", "--list", "--json"]).succeeds();
    assert!(run.json()["archive"].is_null() && run.json()["dry_run"] == true, "{run:?}");
    assert!(run.stderr.contains("source/a.txt"), "{run:?}");
    assert_eq!(sandbox.vault(["info", "-r", "repo", "--json"]).succeeds().json()["content"], before);

    sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    sandbox.vault(["restore", "-r", "repo", "tree", "--target", "out", "-n"]).succeeds();
    assert!(!sandbox.path("out").exists());
    sandbox.vault(["create", "--init", "-n", "-r", "fresh", "tree", "source"]).fails(13, &["fresh"]);
}

#[test]
fn standard_input_becomes_a_file() {
    let sandbox = Sandbox::with_repository();
    let arguments = ["create", "-r", "repo", "dump", "-", "--stdin-name", "app.sql"];
    let mut child = sandbox.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 1;\n").unwrap();
    assert!(child.wait().unwrap().success());
    sandbox.vault(["restore", "-r", "repo", "dump", "--target", "out"]).succeeds();
    assert_eq!(fs::read(sandbox.path("out/app.sql")).unwrap(), b"SELECT 1;\n");
    sandbox.vault(["create", "-r", "repo", "nothing", "-"]).succeeds();
    let listed = sandbox.vault(["list", "repo::nothing", "--json"]).succeeds().json();
    assert_eq!((listed["path"].as_str(), listed["size"].as_u64()), (Some("stdin"), Some(0)));
}

#[test]
fn a_stream_that_comes_in_pieces_is_archived_to_its_last_byte() {
    let sandbox = Sandbox::with_repository();
    let mut stream = vec![0; 20_000_001];
    blake3::Hasher::new().finalize_xof().fill(&mut stream);
    // Zeros over the border of what is read at a time.
    stream[8_000_000..9_000_000].fill(0);
    let mut child = sandbox.command(["create", "-r", "repo", "dump", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // A pipe gives what is in it, however much was asked for.
    let (mut rest, mut length) = (stream.as_slice(), 1);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        input.write_all(piece).unwrap();
        (rest, length) = (behind, length * 7 % 100_003);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    sandbox.vault(["restore", "-r", "repo", "dump", "--target", "out"]).succeeds();
    assert!(fs::read(sandbox.path("out/stdin")).unwrap() == stream);
}

#[test]
fn some_paths_alone_are_restored() {
    let sandbox = with_source();
    sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    sandbox.vault(["restore", "-r", "repo", "tree", "/source/folder/", "--target", "out"]).succeeds();
    assert!(sandbox.path("out/source/folder/b.bin").exists() && !sandbox.path("out/source/a.txt").exists());
    let stripped = ["restore", "-r", "repo", "tree", "source/folder", "--target", "bare", "--strip-components", "2"];
    sandbox.vault(stripped).succeeds();
    assert!(sandbox.path("bare/b.bin").exists());
    let nothing = sandbox.vault(["restore", "-r", "repo", "tree", "no/such", "--target", "none"]);
    assert_ne!(nothing.code, Some(0), "{nothing:?}");
}

#[test]
fn a_restore_in_place_repairs_what_differs() {
    let sandbox = with_source();
    sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    let before = files(&sandbox.path("source"));
    let restore = |extra: &[&str]| {
        let arguments = ["restore", "-r", "repo", "tree", "--target", ".", "--json"];
        sandbox.vault(arguments.iter().chain(extra)).succeeds().json()
    };
    assert_eq!(restore(&[])["files"], 0, "all is right already");
    sandbox.write("source/a.txt", "changed in the meantime");
    restore(&["--overwrite", "never"]);
    assert_eq!(fs::read(sandbox.path("source/a.txt")).unwrap(), b"changed in the meantime");
    assert_eq!(restore(&[])["files"], 1);
    assert_eq!(files(&sandbox.path("source")), before);
}

#[test]
fn delete_removes_what_the_archive_does_not_hold() {
    let sandbox = with_source();
    sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    sandbox.vault(["restore", "-r", "repo", "tree", "--target", "out"]).succeeds();
    sandbox.write("out/source/folder/extra", "x");
    sandbox.vault(["restore", "-r", "repo", "tree", "--target", "out"]).succeeds();
    assert!(sandbox.path("out/source/folder/extra").exists());
    let run = sandbox.vault(["restore", "-r", "repo", "tree", "--target", "out", "--delete", "--json"]).succeeds();
    assert_eq!(run.json()["deleted"], 1);
    assert_eq!(files(&sandbox.path("out/source")), files(&sandbox.path("source")));
}

#[test]
fn excludes_leave_files_out() {
    let sandbox = with_source();
    sandbox.write("source/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    sandbox.write("source/cache/big", "x");
    sandbox.write("source/private/.nobackup", "");
    sandbox.write("source/private/secret", "x");
    sandbox.write("patterns", "# comment\n*/b.bin\n");
    let arguments = [
        "create",
        "-r",
        "repo",
        "tree",
        "source",
        "-e",
        "*.txt",
        "--exclude-from",
        "patterns",
        "--exclude-caches",
        "--exclude-if-present",
        ".nobackup",
    ];
    sandbox.vault(arguments).succeeds();
    let listed = sandbox.vault(["list", "repo::tree"]).succeeds().stdout;
    assert!(listed.contains("source/folder/empty"), "{listed}");
    for left_out in ["a.txt\n", "b.bin", "cache/big", "secret"] {
        assert!(!listed.replace("-> a.txt\n", "").contains(left_out), "{left_out}: {listed}");
    }
}

#[test]
fn names_with_placeholders_move_and_keep_their_parent() {
    let sandbox = with_source();
    sandbox.vault(["create", "-r", "repo", "tree-{now:%Y}-1", "source"]).succeeds();
    let second =
        sandbox.vault(["create", "-r", "repo", "tree-{utcnow:%Y}-2-{hostname}", "source", "--json"]).succeeds();
    let archive = &second.json()["archive"];
    assert!(archive["name"].as_str().unwrap().ends_with("-2-h1"), "{archive}");
    assert!(archive["parent"].is_string(), "{archive}");
}

#[test]
fn a_new_host_label_of_a_known_series_is_warned_of() {
    let sandbox = with_source();
    sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    let run = sandbox.vault(["create", "-r", "repo", "--hostname", "h2", "tree", "source"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("VAULT_HOSTNAME"), "{run:?}");
}

#[test]
fn an_archive_has_the_time_and_comment_it_was_given() {
    let sandbox = with_source();
    let create = |time: &str| {
        let arguments =
            ["create", "-r", "repo", "tree", "source", "--timestamp", time, "--comment", "before {{upgrade}}"];
        sandbox.vault(arguments).succeeds().stderr
    };
    assert_eq!(create("2026-11-20T03:00:00+02:00"), "");
    assert!(create("2026-11-21T03:00").contains("2026-11-21T03:00:00+00:00"), "a naive time is said to be local");
    let listed = sandbox.vault(["list", "-r", "repo", "--json"]).succeeds().json();
    assert_eq!(listed["archives"][0]["time"], "2026-11-20T03:00:00+02:00");
    assert_eq!(listed["archives"][0]["comment"], "before {upgrade}");
    assert!(sandbox.vault(["list", "-r", "repo"]).succeeds().stdout.contains("2026-11-20 01:00:00"), "local time");
}

#[test]
fn names_that_are_no_text_survive() {
    let sandbox = Sandbox::with_repository();
    let name = OsString::from_vec(b"odd-\xff\n".to_vec());
    sandbox.write("source/x", "x");
    fs::write(sandbox.path("source").join(&name), "odd").unwrap();
    sandbox.vault(["create", "-r", "repo", "tree", "source"]).succeeds();
    let listed = sandbox.vault(["list", "repo::tree", "--json"]).succeeds().stdout;
    let lines = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let odd = lines.into_iter().find(|line| line.get("path_base64").is_some()).unwrap();
    assert_eq!(odd["path"], "source/odd-\u{fffd}\n");
    assert_eq!(odd["path_base64"], "c291cmNlL29kZC3/Cg==");
    assert!(sandbox.vault(["list", "repo::tree"]).succeeds().stdout.contains("source/odd-\u{fffd}\\n"));
    let argument = OsString::from_vec(b"source/odd-\xff\n".to_vec());
    let arguments = ["restore".into(), "repo::tree".into(), argument, "--target".into(), OsString::from("out")];
    sandbox.vault(arguments).succeeds();
    assert_eq!(fs::read(sandbox.path("out/source").join(&name)).unwrap(), b"odd");
}
