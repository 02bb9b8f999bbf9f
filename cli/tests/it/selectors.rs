//! Which archive an argument names.

use crate::sandbox::Sandbox;

/// Two nights of h1/db, one of h1/web, one of h2/web, which has a folder of its own: a new host with the same
/// series and the same paths would be warned of.
fn nights() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    for (folder, host, name, time) in [
        ("source", "h1", "db", "2026-11-18T03:00:00Z"),
        ("source", "h1", "db", "2026-11-20T03:00:00Z"),
        ("source", "h1", "web", "2026-11-20T04:00:00Z"),
        ("other", "h2", "web", "2026-11-21T03:00:00Z"),
    ] {
        sandbox.write(&format!("{folder}/night"), time);
        sandbox.archive(host, name, time, folder);
    }
    sandbox
}

#[track_caller]
fn check(sandbox: &Sandbox, selector: &str, host: &str, name: &str, time: &str) {
    let info = sandbox.vault(["info", "-r", "repo", selector, "--json"]).succeeds().json();
    let archive = &info["archive"];
    let found = ["hostname", "name", "time"].map(|key| archive[key].as_str().unwrap().to_owned());
    assert_eq!(found, [host, name, &format!("2026-11-{time}+00:00")], "{selector}");
}

#[test]
fn series_and_points_in_time() {
    let sandbox = nights();
    check(&sandbox, "db", "h1", "db", "20T03:00:00");
    check(&sandbox, "h1/db", "h1", "db", "20T03:00:00");
    check(&sandbox, "db~0", "h1", "db", "20T03:00:00");
    check(&sandbox, "db~1", "h1", "db", "18T03:00:00");
    check(&sandbox, "db@2026-11-19", "h1", "db", "18T03:00:00");
    check(&sandbox, "db@2026-11-20", "h1", "db", "20T03:00:00");
    check(&sandbox, "db@2026-11-20T03:00", "h1", "db", "20T03:00:00");
    check(&sandbox, "db@2026-11-20T02:59", "h1", "db", "18T03:00:00");
    check(&sandbox, "db@2026-11-20T03:59:59+01:00", "h1", "db", "18T03:00:00");
    check(&sandbox, "h2/web", "h2", "web", "21T03:00:00");
    check(&sandbox, "h1/web@2026-11-30", "h1", "web", "20T04:00:00");
}

#[test]
fn ids_and_the_newest() {
    let sandbox = nights();
    check(&sandbox, "latest", "h2", "web", "21T03:00:00");
    let archives = sandbox.vault(["list", "-r", "repo", "--json"]).succeeds().json();
    let id = archives["archives"][0]["id"].as_str().unwrap();
    check(&sandbox, &format!("aid:{id}"), "h1", "db", "18T03:00:00");
    check(&sandbox, &format!("aid:{}", &id[..8]), "h1", "db", "18T03:00:00");
    sandbox.vault(["info", "-r", "repo", "aid:00000000"]).fails(31, &["aid:00000000"]);
}

#[test]
fn what_matches_series_of_several_hosts_lists_them() {
    let sandbox = nights();
    sandbox.vault(["list", "-r", "repo", "web"]).fails(31, &["web is ambiguous", "h1/web", "h2/web"]);
    sandbox.vault(["restore", "-r", "repo", "web@2026-11-30", "--target", "t"]).fails(31, &["h1/web", "h2/web"]);
    assert!(!sandbox.path("t").exists());
}

#[test]
fn what_matches_nothing_says_so() {
    let sandbox = nights();
    for selector in ["nope", "h2/db", "db~2", "db@2026-11-17", "h3/web"] {
        sandbox.vault(["list", "-r", "repo", selector]).fails(31, &[selector]);
    }
    let empty = Sandbox::with_repository();
    empty.vault(["info", "-r", "repo", "latest"]).fails(31, &["latest"]);
}

#[test]
fn repositories_are_named_in_three_ways() {
    let sandbox = nights();
    for arguments in [&["list", "-r", "repo", "db"][..], &["list", "repo::db"], &["list", "-r", "repo", "repo::db"]] {
        assert!(sandbox.vault(arguments).succeeds().stdout.contains("source/night"), "{arguments:?}");
    }
    let environment = [("VAULT_REPO", "repo")];
    for arguments in [["list", "db"], ["list", "::db"]] {
        assert!(sandbox.vault_with(&environment, arguments).succeeds().stdout.contains("source/night"));
    }
    assert!(sandbox.vault(["list", "repo::"]).succeeds().stdout.contains("web"));
}

#[test]
fn local_time_is_the_readers() {
    let sandbox = nights();
    let arguments = ["info", "-r", "repo", "db@2026-11-20T03:30", "--json"];
    let info = sandbox.vault_with(&[("TZ", "<+05>-5")], arguments).succeeds().json();
    assert_eq!(info["archive"]["time"], "2026-11-18T03:00:00+00:00", "03:30 there is 22:30 of the day before in UTC");
}
