//! delete, undelete, protect, unprotect, list --deleted.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Run, Sandbox, files};

/// Three nights of h1/db.
fn nights() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    for day in 18..=20 {
        sandbox.write("source/night", format!("the {day}th"));
        sandbox.archive("h1", "db", &format!("2026-11-{day}T03:00:00Z"), "source");
    }
    sandbox
}

fn repo(sandbox: &Sandbox, verb: &str, arguments: &[&str]) -> Run {
    sandbox.vault([verb, "-r", "repo"].iter().chain(arguments))
}

/// The days of the archives that a listing shows.
fn days(sandbox: &Sandbox, arguments: &[&str]) -> Vec<u32> {
    let listed = repo(sandbox, "list", &[arguments, &["--json"]].concat()).succeeds().json();
    let day = |archive: &Value| archive["time"].as_str().unwrap()[8..10].parse().unwrap();
    listed["archives"].as_array().unwrap().iter().map(day).collect()
}

fn id(sandbox: &Sandbox, selector: &str) -> String {
    repo(sandbox, "info", &[selector, "--json"]).succeeds().json()["archive"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_deleted_is_listed_apart_and_comes_back() {
    let sandbox = nights();
    let deleted = repo(&sandbox, "delete", &["db~1"]).succeeds();
    assert!(deleted.stderr.contains("h1/db of 2026-11-19") && deleted.stderr.contains("vault undelete"), "{deleted:?}");
    assert!(deleted.stderr.contains("vault compact"), "{deleted:?}");
    assert_eq!((days(&sandbox, &[]), days(&sandbox, &["--deleted"])), (vec![18, 20], vec![19]));
    let shown = repo(&sandbox, "list", &["--deleted"]).succeeds().stdout;
    assert!(shown.contains("2026-11-19 03:00:00") && !shown.contains("2026-11-20"), "{shown}");

    let undeleted = repo(&sandbox, "undelete", &["db"]).succeeds();
    assert!(undeleted.stderr.contains("undeleted aid:") && undeleted.stderr.contains("2026-11-19"), "{undeleted:?}");
    assert_eq!((days(&sandbox, &[]), days(&sandbox, &["--deleted"])), (vec![18, 19, 20], vec![]));
    assert!(repo(&sandbox, "list", &["--deleted"]).succeeds().stderr.contains("no deleted archives"));
    repo(&sandbox, "restore", &["db~1", "--target", "out"]).succeeds();
    assert_eq!(fs::read(sandbox.path("out/source/night")).unwrap(), b"the 19th");
    repo(&sandbox, "check", &["--read-data"]).succeeds();
}

#[test]
fn a_compaction_ends_what_can_be_brought_back() {
    let sandbox = nights();
    repo(&sandbox, "delete", &["db~1"]).succeeds();
    let would = repo(&sandbox, "compact", &["-n"]).succeeds().stdout;
    assert!(would.contains("would purge 1 deleted archive\n"), "{would}");
    assert_eq!(days(&sandbox, &["--deleted"]), [19], "a dry run purges nothing");
    let report = repo(&sandbox, "compact", &["--json"]).succeeds().json();
    assert_eq!(report["purged_archives"], 1, "{report}");
    assert_eq!((days(&sandbox, &[]), days(&sandbox, &["--deleted"])), (vec![18, 20], vec![]));
    repo(&sandbox, "undelete", &["db"]).fails(31, &["none is deleted", "purged"]);
    repo(&sandbox, "check", &["--read-data"]).succeeds();
}

#[test]
fn what_was_brought_back_outlives_a_compaction() {
    let sandbox = nights();
    repo(&sandbox, "delete", &["db~2"]).succeeds();
    repo(&sandbox, "undelete", &["db"]).succeeds();
    repo(&sandbox, "compact", &["--grace", "0"]).succeeds();
    assert_eq!((days(&sandbox, &[]), days(&sandbox, &["--deleted"])), (vec![18, 19, 20], vec![]));
    repo(&sandbox, "restore", &["db~2", "--target", "out"]).succeeds();
    assert_eq!(fs::read(sandbox.path("out/source/night")).unwrap(), b"the 18th");
    repo(&sandbox, "check", &["--read-data"]).succeeds();
}

#[test]
fn several_selectors_mean_what_they_meant_at_the_start() {
    let sandbox = nights();
    repo(&sandbox, "delete", &["db", "db~1"]).succeeds();
    assert_eq!(days(&sandbox, &[]), [18]);
    sandbox.vault(["undelete", "repo::db", "repo::db~1", "--json"]).succeeds();
    assert_eq!(days(&sandbox, &[]), [18, 19, 20]);
}

#[test]
fn a_dry_run_deletes_nothing() {
    let sandbox = nights();
    let before = files(&sandbox.path("repo"));
    let run = repo(&sandbox, "delete", &["-a", "d?", "-n", "--json"]).succeeds();
    assert_eq!(run.json()["archives"].as_array().unwrap().len(), 3);
    assert!(run.stderr.contains("would delete aid:"), "{run:?}");
    assert_eq!(files(&sandbox.path("repo")), before);
}

#[test]
fn what_cannot_be_deleted_or_brought_back_says_why() {
    let sandbox = nights();
    repo(&sandbox, "delete", &[]).fails(2, &["ARCHIVE", "see vault delete --help"]);
    repo(&sandbox, "delete", &["db", "nope"]).fails(31, &["nope", "h1/db"]);
    repo(&sandbox, "delete", &["db~7"]).fails(31, &["db~7", "3 archives"]);
    repo(&sandbox, "delete", &["a/b/c"]).fails(2, &["a/b/c"]);
    repo(&sandbox, "delete", &["-a", ""]).fails(2, &["--glob-archives"]);
    repo(&sandbox, "delete", &["-a", "[z-a]"]).fails(2, &["z-a"]);
    sandbox.vault(["delete", "repo::db", "other::db"]).fails(2, &["one repository"]);
    let nothing = repo(&sandbox, "delete", &["-a", "web*"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("warning: no archive matches web*"), "{nothing:?}");
    repo(&sandbox, "undelete", &["db"]).fails(31, &["db", "none is deleted"]);
    repo(&sandbox, "undelete", &[&format!("aid:{}", id(&sandbox, "db"))]).fails(31, &["is not deleted"]);
    repo(&sandbox, "undelete", &[]).fails(2, &["ARCHIVE"]);
    repo(&sandbox, "list", &["--deleted", "db"]).fails(2, &["--deleted"]);
    assert_eq!(days(&sandbox, &[]), [18, 19, 20]);
}

#[test]
fn what_needs_files_that_are_gone_is_not_brought_back_and_says_which() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/lost", vec![7; 3 << 20]);
    sandbox.archive("h1", "db", "2026-11-20T03:00:00Z", "source");
    repo(&sandbox, "delete", &["db"]).succeeds();
    let packs = sandbox.path("repo/packs");
    for (path, _) in files(&packs) {
        fs::remove_file(packs.join(path)).unwrap();
    }
    let run = repo(&sandbox, "undelete", &["db", "--json"]).fails(17, &["1 of 1 archives"]);
    assert!(run.stderr.lines().count() > 1, "{run:?}");
    let undeleted = &run.json()["archives"][0];
    assert!(undeleted["archive"].is_null() && !undeleted["missing"].as_array().unwrap().is_empty(), "{undeleted}");
    assert_eq!(days(&sandbox, &[]), [0; 0]);
}

#[test]
fn a_damaged_archive_goes_by_its_full_id() {
    let sandbox = nights();
    let id = id(&sandbox, "db~1");
    let path = sandbox.path("repo/archives").join(&id);
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(repo(&sandbox, "list", &[]).code, Some(1));
    repo(&sandbox, "delete", &[&format!("aid:{}", &id[..10])]).fails(31, &["full id", &id]);
    repo(&sandbox, "delete", &[&format!("aid:{id}")]).succeeds();
    repo(&sandbox, "list", &[]).succeeds();
    assert_eq!(days(&sandbox, &[]), [18, 20]);
}

#[test]
fn protected_archives_stay_until_that_is_taken_back() {
    let sandbox = nights();
    let run = repo(&sandbox, "protect", &["db~2"]).succeeds();
    assert!(run.stderr.contains("protected aid:") && run.stderr.contains("2026-11-18"), "{run:?}");
    assert!(repo(&sandbox, "protect", &["db~2"]).succeeds().stderr.contains("already"));
    let listed = repo(&sandbox, "list", &[]).succeeds().stdout;
    let marked: Vec<&str> = listed.lines().filter(|line| line.ends_with("  protected")).collect();
    assert!(marked.len() == 1 && marked[0].contains("2026-11-18"), "{listed}");
    let listed = repo(&sandbox, "list", &["--json"]).succeeds().json();
    assert_eq!(
        (&listed["archives"][0]["protected"], &listed["archives"][1]["protected"]),
        (&true.into(), &false.into())
    );
    assert!(repo(&sandbox, "info", &["db~2"]).succeeds().stdout.contains("Protected:   yes"));

    repo(&sandbox, "delete", &["db", "db~2"]).fails(2, &["protected", "nothing was deleted", "vault unprotect"]);
    repo(&sandbox, "delete", &["-a", "*"]).fails(2, &["protected"]);
    repo(&sandbox, "prune", &["--keep-last", "1"]).succeeds();
    assert_eq!(days(&sandbox, &[]), [18, 20]);
    assert!(repo(&sandbox, "unprotect", &["db~1"]).succeeds().stderr.contains("no longer protected"));
    assert!(repo(&sandbox, "unprotect", &["db~1"]).succeeds().stderr.contains("was not protected"));
    repo(&sandbox, "prune", &["--keep-last", "1"]).succeeds();
    assert_eq!(days(&sandbox, &[]), [20]);
    repo(&sandbox, "protect", &["nope"]).fails(31, &["nope"]);
}

#[test]
fn nothing_is_deleted_while_an_event_cannot_be_read() {
    let sandbox = nights();
    repo(&sandbox, "protect", &["db~2"]).succeeds();
    let (name, mut bytes) = files(&sandbox.path("repo/events")).remove(0);
    bytes[300] ^= 1;
    fs::write(sandbox.path("repo/events").join(&name), bytes).unwrap();
    let name = name.to_str().unwrap();
    repo(&sandbox, "prune", &["--keep-last", "1"]).fails(90, &[name, "may protect"]);
    repo(&sandbox, "delete", &["db"]).fails(90, &[name, "may protect"]);
    let listed = repo(&sandbox, "list", &[]);
    assert_eq!((listed.code, listed.stderr.contains(name)), (Some(1), true), "{listed:?}");
    assert_eq!(days_despite_warnings(&sandbox), 3);
}

fn days_despite_warnings(sandbox: &Sandbox) -> usize {
    repo(sandbox, "list", &["--json"]).json()["archives"].as_array().unwrap().len()
}
