//! prune and compact: which archives are meant, what is said, and bad input.

use serde_json::Value;

use crate::sandbox::{Run, Sandbox, files};

/// Nights of h1/db from the 11th to the 20th, two of h1/web, one of h2/db, which has a folder of its own.
fn nights() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "text");
    sandbox.write("other/file", "other");
    for day in 11..=20 {
        sandbox.archive("h1", "db", &format!("2026-11-{day}T03:00:00Z"), "source");
    }
    for day in [19, 20] {
        sandbox.archive("h1", "web", &format!("2026-11-{day}T04:00:00Z"), "source");
    }
    sandbox.archive("h2", "db", "2026-11-20T05:00:00Z", "other");
    sandbox
}

fn prune(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    sandbox.vault(["prune", "-r", "repo", "--tz", "UTC"].iter().chain(arguments))
}

/// `HOST/NAME DAY` of every archive, in order.
fn archives(sandbox: &Sandbox) -> Vec<String> {
    let listed = sandbox.vault(["list", "-r", "repo", "--json"]).succeeds().json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown = listed["archives"].as_array().unwrap().iter().map(|archive| {
        format!("{}/{} {}", text(&archive["hostname"]), text(&archive["name"]), &text(&archive["time"])[8..10])
    });
    shown.collect()
}

#[test]
fn each_series_keeps_what_its_rules_say() {
    let sandbox = nights();
    let quiet = prune(&sandbox, &["--keep-daily", "2", "-w", "1"]).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""), "silent in cron");
    // The week before ends on Sunday, the 15th.
    assert_eq!(archives(&sandbox), ["h1/db 15", "h1/db 19", "h1/web 19", "h1/db 20", "h1/web 20", "h2/db 20"]);
    sandbox.vault(["check", "-r", "repo", "--read-data"]).succeeds();
}

#[test]
fn a_list_names_the_rule_of_each_archive() {
    let sandbox = nights();
    let before = files(&sandbox.path("repo"));
    let would = prune(&sandbox, &["h1/db", "-d", "2", "-n", "--list"]).succeeds().stdout;
    assert_eq!(files(&sandbox.path("repo")), before);
    let lines: Vec<&str> = would.lines().collect();
    assert_eq!(lines.len(), 11, "{would}");
    assert!(lines[0].starts_with("Keeping archive (rule: daily #1):") && lines[0].contains("h1/db"), "{would}");
    assert!(lines[0].contains("2026-11-20 03:00:00") && lines[0].contains("[aid:"), "{would}");
    assert!(lines[1].contains("daily #2") && lines[2].starts_with("Would prune:"), "{would}");
    assert_eq!(lines[10], "would delete 8 archives and keep 2");
    let did = prune(&sandbox, &["h1/db", "-d", "2", "--list", "--verbose"]).succeeds().stdout;
    assert!(did.contains("Pruning archive (1/8):") && did.contains("Pruning archive (8/8):"), "{did}");
    assert!(did.ends_with("deleted 8 archives, kept 2; `vault compact` frees their space\n"), "{did}");
    assert_eq!(archives(&sandbox).len(), 5);
}

#[test]
fn the_json_says_the_same() {
    let sandbox = nights();
    let report = prune(&sandbox, &["db", "--keep-last", "1", "-y", "1", "--json", "-n"]).succeeds().json();
    assert_eq!((&report["kept"], &report["pruned"], &report["dry_run"]), (&3.into(), &8.into(), &true.into()));
    let judged = report["archives"].as_array().unwrap();
    let rules: Vec<&str> = judged.iter().filter_map(|archive| archive["rule"].as_str()).collect();
    assert_eq!(judged.len(), 11);
    assert!(rules.iter().any(|rule| rule.starts_with("yearly[oldest] #1")), "{rules:?}");
    assert!(judged.iter().all(|archive| archive["keep"] == archive["rule"].is_string()), "{report}");
    assert_eq!((&judged[0]["group"], &judged[0]["hostname"]), (&"h1/db".into(), &"h1".into()));
}

#[test]
fn groups_are_series_names_or_a_glob() {
    let sandbox = nights();
    let kept = |arguments: &[&str]| {
        let arguments = [&["--keep-last", "1", "-n", "--json"], arguments].concat();
        prune(&sandbox, &arguments).succeeds().json()["kept"].as_u64().unwrap()
    };
    assert_eq!(kept(&[]), 3);
    assert_eq!(kept(&["--group-by", "name"]), 2);
    assert_eq!(kept(&["-a", "*"]), 1);
    assert_eq!(kept(&["-a", "h1/*"]), 1);
    assert_eq!(kept(&["h2/db", "web"]), 2);
    let repository = sandbox.vault(["prune", "repo::web", "--keep-last", "1", "-n"]).succeeds().stdout;
    assert_eq!(repository, "would delete 1 archive and keep 1\n");
    let environment = [("VAULT_REPO", "repo")];
    sandbox.vault_with(&environment, ["prune", "::web", "--keep-last", "1"]).succeeds();
    sandbox.vault(["prune", "repo::", "--keep-last", "1"]).succeeds();
    assert_eq!(archives(&sandbox), ["h1/db 20", "h1/web 20", "h2/db 20"]);
}

#[test]
fn numbers_below_zero_have_no_end_and_zero_is_off() {
    let sandbox = nights();
    let kept = |arguments: &[&str]| {
        let arguments = [&["-a", "*", "-n", "--json"], arguments].concat();
        prune(&sandbox, &arguments).succeeds().json()["kept"].as_u64().unwrap()
    };
    assert_eq!(kept(&["--keep-daily", "-1"]), 10);
    assert_eq!(kept(&["--keep-daily=-1", "-H", "0"]), 10);
    assert_eq!(kept(&["--keep-secondly", "3"]), 3);
    assert_eq!(kept(&["--keep-within", "1000y"]), 13);
    prune(&sandbox, &["--keep-daily", "0"]).fails(2, &["keep"]);
}

#[test]
fn a_policy_that_makes_no_sense_is_refused() {
    let sandbox = nights();
    prune(&sandbox, &[]).fails(2, &["keep"]);
    prune(&sandbox, &["--keep-daily", "x"]).fails(2, &["--keep-daily"]);
    prune(&sandbox, &["--keep-daily", "1.5"]).fails(2, &["--keep-daily"]);
    prune(&sandbox, &["--keep-within", "2"]).fails(2, &["--keep-within", "2"]);
    prune(&sandbox, &["--keep-within", "2M"]).fails(2, &["--keep-within", "M"]);
    prune(&sandbox, &["--keep-within", "0d"]).fails(2, &["--keep-within"]);
    prune(&sandbox, &["--keep-within", "-2d"]).fails(2, &["--keep-within", "negative"]);
    prune(&sandbox, &["--keep-13weekly", "1", "--keep-3monthly", "1"]).fails(2, &["13weekly", "3monthly"]);
    sandbox.vault(["prune", "-r", "repo", "-d", "1", "--tz", "Mars/Olympus"]).fails(2, &["--tz", "Europe/Berlin"]);
    prune(&sandbox, &["-d", "1", "-a", "*", "db"]).fails(2, &["--glob-archives"]);
    prune(&sandbox, &["-d", "1", "-a", "[b-a]"]).fails(2, &["b-a"]);
    prune(&sandbox, &["-d", "1", "--group-by", "host"]).fails(2, &["--group-by", "name"]);
    prune(&sandbox, &["-d", "1", "db~1"]).fails(2, &["db~1", "[HOST/]NAME"]);
    prune(&sandbox, &["-d", "1", "nope"]).fails(31, &["nope", "h1/db"]);
    let nothing = prune(&sandbox, &["-d", "1", "-a", "nope*"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("warning: no archive matches nope*"), "{nothing:?}");
    assert_eq!(archives(&sandbox).len(), 13);
}

#[test]
fn what_would_keep_nothing_must_be_said_twice() {
    let sandbox = nights();
    let rules = ["--keep-within", "1H", "h1/web"];
    prune(&sandbox, &rules).fails(2, &["h1/web", "--force twice"]);
    prune(&sandbox, &[&rules[..], &["--force"]].concat()).fails(2, &["--force twice"]);
    assert_eq!(archives(&sandbox).len(), 13);
    prune(&sandbox, &[&rules[..], &["--force", "--force"]].concat()).succeeds();
    assert_eq!(archives(&sandbox).len(), 11);
}

#[test]
fn names_that_hold_the_time_get_advice() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "text");
    for day in 18..=20 {
        sandbox.archive("h1", &format!("h1-db-2026-11-{day}"), &format!("2026-11-{day}T03:00:00Z"), "source");
    }
    let advised = prune(&sandbox, &["--keep-daily", "1"]).succeeds();
    assert!(advised.stderr.starts_with("vault: note: ") && advised.stderr.contains("-a 'h1-db-*'"), "{advised:?}");
    assert_eq!(archives(&sandbox).len(), 3);
    let done = prune(&sandbox, &["--keep-daily", "1", "-a", "h1-db-*"]).succeeds();
    assert_eq!(done.stderr, "");
    assert_eq!(archives(&sandbox).len(), 1);
}

#[test]
fn prune_can_compact_too() {
    let sandbox = nights();
    let report = prune(&sandbox, &["--keep-last", "1", "--compact", "--json"]).succeeds().json();
    assert_eq!(report["pruned"], 10);
    assert_eq!(report["compact"]["dry_run"], false);
    let dry = prune(&sandbox, &["--keep-last", "1", "--compact", "--json", "-n"]).succeeds().json();
    assert_eq!(dry.get("compact"), None, "nothing was deleted, so nothing can be freed");
    sandbox.vault(["check", "-r", "repo", "--read-data"]).succeeds();
}

#[test]
fn what_only_pruned_archives_needed_is_freed() {
    let sandbox = Sandbox::with_repository();
    for day in 18..=20 {
        // Noise, so that nothing is smaller than it looks.
        let mut content = vec![0; 2_000_000];
        blake3::Hasher::new().update(&[day]).finalize_xof().fill(&mut content);
        sandbox.write("source/file", content);
        sandbox.archive("h1", "db", &format!("2026-11-{day}T03:00:00Z"), "source");
    }
    prune(&sandbox, &["--keep-last", "1"]).succeeds();
    let compact = |arguments: &[&str]| {
        sandbox.vault(["compact", "-r", "repo", "--json"].iter().chain(arguments)).succeeds().json()
    };
    let (would, did) = (compact(&["-n"]), compact(&[]));
    assert!(would["dead_bytes"].as_u64().unwrap() > 4_000_000, "{would}");
    assert_eq!(would["dead_bytes"], did["dead_bytes"]);
    assert!(did["freed_bytes"].as_u64().unwrap() > 4_000_000, "{did}");
    sandbox.vault(["check", "-r", "repo", "--read-data"]).succeeds();
    sandbox.vault(["restore", "-r", "repo", "db", "--target", "out"]).succeeds();
    assert_eq!(files(&sandbox.path("out/source")), files(&sandbox.path("source")));
}

#[test]
fn compact_says_what_it_does_when_asked() {
    let sandbox = nights();
    let compact = |arguments: &[&str]| sandbox.vault(["compact"].iter().chain(arguments));
    let quiet = compact(&["-r", "repo"]).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""), "silent in cron");
    assert!(compact(&["repo::", "-n"]).succeeds().stdout.contains("would free "));
    assert!(compact(&["-r", "repo", "--verbose"]).succeeds().stdout.contains("freed "));
    let options =
        ["-r", "repo", "--threshold", "0", "--max-repack", "1.5GiB", "--max-duration", "1h30m", "--grace", "0"];
    assert_eq!(compact(&[&options[..], &["--json"]].concat()).succeeds().json()["dry_run"], false);
    sandbox.vault(["check", "-r", "repo", "--read-data"]).succeeds();
}

#[test]
fn numbers_that_compact_cannot_read() {
    let sandbox = Sandbox::new();
    let compact = |arguments: &[&str]| sandbox.vault(["compact", "-r", "repo"].iter().chain(arguments));
    compact(&["--threshold", "101"]).fails(2, &["--threshold", "0 to 100"]);
    compact(&["--max-repack", "10X"]).fails(2, &["--max-repack", "10GiB"]);
    compact(&["--max-duration", "30"]).fails(2, &["--max-duration", "no unit"]);
    compact(&["--grace", "7M"]).fails(2, &["--grace", "\"M\""]);
    compact(&["--jobs", "0"]).fails(2, &["--jobs"]);
    compact(&["repo::db"]).fails(2, &["whole repository"]);
    compact(&[]).fails(13, &["repo"]);
}

#[test]
fn no_rule_at_all_deletes_everything_only_if_that_is_said_twice() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "x");
    sandbox.archive("h1", "db", "2026-01-01T00:00:00Z", "source");
    sandbox.vault(["prune", "-r", "repo", "--force"]).fails(2, &["no rule says what to keep"]);
    sandbox.vault(["prune", "-r", "repo", "--force", "--force"]).succeeds();
    assert_eq!(sandbox.vault(["list", "-r", "repo"]).succeeds().stdout, "");
}
