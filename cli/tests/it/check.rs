//! The levels of `check`: slices of the packs, files without a key, and archives that were here and are gone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sandbox::{Run, Sandbox, files};

/// A keyless repository with this many archives of different content: two packs each.
fn nights(count: u8) -> Sandbox {
    let sandbox = Sandbox::with_repository();
    for night in 1..=count {
        another_night(&sandbox, night);
    }
    sandbox
}

fn another_night(sandbox: &Sandbox, night: u8) {
    sandbox.write("source/file", noise(night));
    sandbox.archive("h1", "db", &format!("2026-11-{night:02}T03:00:00Z"), "source");
}

fn noise(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; 20_000];
    blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut bytes);
    bytes
}

fn check(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    sandbox.vault(["check", "-r", "repo"].iter().chain(arguments))
}

/// Files of a folder of the repository, as paths below the home.
fn stored(sandbox: &Sandbox, folder: &str) -> Vec<PathBuf> {
    let folder = Path::new("repo").join(folder);
    files(&sandbox.path(folder.to_str().unwrap())).into_iter().map(|(path, _)| folder.join(path)).collect()
}

/// Flips a bit, and gives the bytes as they were.
fn damage(sandbox: &Sandbox, path: &Path) -> Vec<u8> {
    let path = sandbox.path(path.to_str().unwrap());
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    whole
}

fn mend(sandbox: &Sandbox, path: &Path, bytes: &[u8]) {
    fs::write(sandbox.path(path.to_str().unwrap()), bytes).unwrap();
}

/// The one file of this name in the state directory.
fn state(sandbox: &Sandbox, name: &str) -> PathBuf {
    let found = files(&sandbox.path(".local/state/vault"));
    let mut found = found.into_iter().filter(|(path, _)| path.file_name().is_some_and(|file| file == name));
    let path = found.next().unwrap_or_else(|| panic!("no {name}")).0;
    assert!(found.next().is_none());
    sandbox.path(".local/state/vault").join(path)
}

#[test]
fn every_pack_is_in_one_of_n_parts() {
    let sandbox = nights(4);
    let parts = ["1/3", "2/3", "3/3"];
    let read = |part: &str| {
        let report = check(&sandbox, &["--read-data-subset", part, "--json"]).succeeds().json();
        assert_eq!((&report["read_data"], &report["packs_left"]), (&true.into(), &0.into()), "{report}");
        (report["packs_read"].as_u64().unwrap(), report["bytes_read"].as_u64().unwrap())
    };
    let read: Vec<(u64, u64)> = parts.iter().map(|part| read(part)).collect();
    let packs = stored(&sandbox, "packs");
    let bytes: u64 = packs.iter().map(|path| fs::metadata(sandbox.path(path.to_str().unwrap())).unwrap().len()).sum();
    assert_eq!(read.iter().map(|(packs, _)| packs).sum::<u64>(), packs.len() as u64, "{read:?}");
    assert_eq!(read.iter().map(|(_, bytes)| bytes).sum::<u64>(), bytes, "{read:?}");
    for pack in [&packs[0], &packs[3], &packs[7]] {
        let whole = damage(&sandbox, pack);
        let codes: Vec<i32> =
            parts.iter().map(|part| check(&sandbox, &["--read-data-subset", part]).code.unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == 90).count(), 1, "{codes:?}");
        mend(&sandbox, pack, &whole);
    }
}

#[test]
fn nightly_slices_come_round() {
    let sandbox = nights(5);
    let slice = |share: &str| check(&sandbox, &["--read-data-subset", share, "--json"]);
    let known = || (fs::metadata(state(&sandbox, "verified")).unwrap().len() - 44) / 40;
    let packs = stored(&sandbox, "packs");
    let (mut read, mut rounds) = (0, 0);
    while read < packs.len() as u64 {
        read += slice("20%").succeeds().json()["packs_read"].as_u64().unwrap();
        rounds += 1;
        assert_eq!(known(), read.min(packs.len() as u64), "no pack twice before all were read once");
    }
    assert!((4..=6).contains(&rounds), "{rounds}");

    let whole = damage(&sandbox, &packs[4]);
    let found = (0..=rounds).find(|_| slice("20%").code == Some(90));
    assert!(found.is_some(), "a pack that was damaged after its turn is found when it comes again");
    let run = slice("1B");
    assert_eq!(run.code, Some(90), "and read again until it is mended");
    assert!(run.stdout.contains(packs[4].strip_prefix("repo").unwrap().to_str().unwrap()), "{run:?}");
    mend(&sandbox, &packs[4], &whole);
    slice("1B").succeeds();
    check(&sandbox, &["--read-data"]).succeeds();
    assert_eq!(known(), packs.len() as u64);
}

#[test]
fn the_memory_of_what_was_verified_may_be_lost() {
    let sandbox = nights(2);
    let slice = || check(&sandbox, &["--read-data-subset", "50%", "--json"]).succeeds().json();
    assert!(slice()["packs_read"].as_u64().unwrap() < 4);
    let path = state(&sandbox, "verified");
    fs::write(&path, "rubbish").unwrap();
    slice();
    assert_eq!(slice()["findings"], serde_json::json!([]));
    assert_eq!(fs::metadata(&path).unwrap().len(), 44 + 4 * 40);
    // What is gone is not remembered.
    sandbox.vault(["delete", "-r", "repo", "db~1"]).succeeds();
    sandbox.vault(["compact", "-r", "repo", "--grace", "0"]).succeeds();
    let packs = stored(&sandbox, "packs").len() as u64;
    check(&sandbox, &["--read-data"]).succeeds();
    assert_eq!(fs::metadata(&path).unwrap().len(), 44 + packs * 40);
    // Where it cannot be kept, the slices would not move on.
    fs::write(sandbox.path("file"), "").unwrap();
    let home = sandbox.path("file");
    let environment = [("XDG_STATE_HOME", home.to_str().unwrap())];
    let run = sandbox.vault_with(&environment, ["check", "-r", "repo", "--read-data-subset", "50%"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("does not know which packs were verified"), "{run:?}");
}

#[test]
fn no_pack_is_begun_when_the_time_is_over() {
    let sandbox = nights(1);
    let report = check(&sandbox, &["--max-duration", "0", "--json"]).succeeds().json();
    let number = |key: &str| report[key].as_u64().unwrap();
    assert_eq!((number("packs_read"), number("bytes_read")), (0, 0));
    assert_eq!((number("packs_left"), number("archives")), (number("packs"), 1));
    assert!(number("bytes_left") > 0);
    let said = check(&sandbox, &["--read-data", "--max-duration", "0", "--verbose"]).succeeds().stdout;
    assert!(said.contains("no problem found") && said.contains("the time was over before 2 packs"), "{said}");
    let report = check(&sandbox, &["--max-duration", "1h", "--json"]).succeeds().json();
    assert_eq!((&report["packs_read"], &report["packs_left"]), (&report["packs"], &0.into()));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let sandbox = Sandbox::with_repository();
    let subset = |text: &str, says: &[&str]| check(&sandbox, &["--read-data-subset", text]).fails(2, says);
    subset("0%", &["0 % is nothing", "5%, 2/7"]);
    subset("101%", &["1 % to 100 %"]);
    subset("8/7", &["no such part"]);
    subset("0/5", &["counted from 1"]);
    subset("5", &["no unit"]);
    subset("10Z", &["unit that is known"]);
    check(&sandbox, &["--max-duration", "2"]).fails(2, &["no unit"]);
    for other in
        [&["--read-data-subset", "5%"][..], &["--read-data"], &["--max-duration", "1h"], &["--accept-rollback"]]
    {
        check(&sandbox, &[other, &["--no-key"]].concat()).fails(2, &["--no-key", "cannot be used with", other[0]]);
    }
    check(&sandbox, &["--read-data", "--read-data-subset", "5%"]).fails(2, &["cannot be used with"]);
    check(&sandbox, &["--no-key", "--key-file", "k"]).fails(2, &["--no-key", "--key-file"]);
}

#[test]
fn who_has_no_key_finds_what_decays() {
    let sandbox = Sandbox::new();
    let passphrase = [("VAULT_PASSPHRASE", "correct horse battery")];
    sandbox.write("source/file", noise(1));
    sandbox.vault_with(&passphrase, ["create", "--init", "-r", "repo", "db", "source"]).succeeds();
    sandbox.vault_with(&passphrase, ["protect", "-r", "repo", "db"]).succeeds();
    sandbox.vault_with(&passphrase, ["create", "-r", "repo", "gone", "source"]).succeeds();
    sandbox.vault_with(&passphrase, ["delete", "-r", "repo", "gone"]).succeeds();
    check(&sandbox, &[]).fails(50, &["passphrase"]);
    let report = check(&sandbox, &["--no-key", "--json"]).succeeds().json();
    let folders = ["archives", "events", "index", "keys", "packs"];
    let all: Vec<PathBuf> = folders.iter().flat_map(|folder| stored(&sandbox, folder)).collect();
    assert_eq!(report["files"], all.len(), "{report}");
    assert_eq!(report["repository"]["encryption"], "aes-256-gcm");
    assert!(
        check(&sandbox, &["--no-key", "-v"]).succeeds().stdout.contains("without a key nobody"),
        "it says its limits"
    );

    for path in all.iter().chain([&PathBuf::from("repo/config")]) {
        let whole = damage(&sandbox, path);
        let run = check(&sandbox, &["--no-key"]);
        let name = path.strip_prefix("repo").unwrap().to_str().unwrap();
        assert_eq!(run.code, Some(90), "{name}: {run:?}");
        let errors: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains(name) && errors[0].contains("`vault "), "{name}: {run:?}");
        mend(&sandbox, path, &whole);
    }
    let pack = &stored(&sandbox, "packs")[0];
    let moved = sandbox.path("repo/index").join(pack.file_name().unwrap());
    fs::copy(sandbox.path(pack.to_str().unwrap()), &moved).unwrap();
    assert!(check(&sandbox, &["--no-key"]).stdout.contains("no file of this folder"), "whole, but in a wrong place");
    fs::remove_file(moved).unwrap();
    sandbox.write("repo/index/README", "by hand");
    let run = check(&sandbox, &["--no-key"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("index/README") && run.stdout.contains("harms nothing"), "{run:?}");
}

#[test]
fn no_key_needs_a_repository_all_the_same() {
    let sandbox = Sandbox::new();
    check(&sandbox, &["--no-key"]).fails(13, &["no repository at repo"]);
    fs::create_dir(sandbox.path("repo")).unwrap();
    check(&sandbox, &["--no-key"]).fails(15, &["repo is no repository", "vault init"]);
}

/// Puts the repository back to what it was when the last archive was made by `before`.
fn rolled_back(before: u8, now: u8) -> Sandbox {
    let sandbox = nights(before);
    let older = files(&sandbox.path("repo"));
    (before + 1..=now).for_each(|night| another_night(&sandbox, night));
    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    for (path, bytes) in older {
        sandbox.write(Path::new("repo").join(path).to_str().unwrap(), bytes);
    }
    sandbox
}

#[test]
fn a_repository_that_went_back_is_found_out() {
    let sandbox = rolled_back(1, 3);
    let run = check(&sandbox, &["--json"]);
    assert_eq!(run.code, Some(90), "{run:?}");
    let findings = run.json()["findings"].clone();
    assert_eq!(findings.as_array().unwrap().len(), 1, "{findings}");
    let said = findings[0]["message"].as_str().unwrap();
    let parts = [
        "db of h1, made at 2026-11-03T03:00:00Z",
        "was here and is gone",
        "rolled back",
        "vault check --accept-rollback",
    ];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    assert_eq!(findings[0]["harms"][0]["path"], "", "all of it is harmed");

    // It stays so until somebody says that it may, or that host has gone on beyond what was lost.
    sandbox.vault(["list", "-r", "repo"]).succeeds();
    let created = sandbox.vault(["create", "-r", "repo", "db", "source"]);
    assert_eq!(created.code, Some(1), "{created:?}");
    assert!(created.stderr.contains("warning: archive aid:") && created.stderr.contains("was here and is gone"));
    assert_eq!(check(&sandbox, &[]).code, Some(90));
    let accepted = check(&sandbox, &["--accept-rollback"]).succeeds();
    assert!(accepted.stderr.contains("h1/db is gone, and from now on not missed"), "{accepted:?}");
    check(&sandbox, &[]).succeeds();
    assert_eq!(check(&sandbox, &["--accept-rollback"]).succeeds().stderr, "");
    sandbox.vault(["create", "-r", "repo", "db", "source"]).succeeds();
}

#[test]
fn life_goes_on_when_the_host_is_beyond_what_was_lost() {
    let sandbox = rolled_back(1, 2);
    assert_eq!(sandbox.vault(["create", "-r", "repo", "db", "source"]).code, Some(1), "number 2 is missed");
    assert_eq!(check(&sandbox, &[]).code, Some(90), "another archive has its number");
    assert_eq!(sandbox.vault(["create", "-r", "repo", "db", "source"]).code, Some(1));
    check(&sandbox, &[]).succeeds();
}

#[test]
fn what_this_client_deletes_is_not_missed() {
    let sandbox = nights(3);
    let vault = |arguments: &[&str]| sandbox.vault(arguments.iter().chain(&["-r", "repo"])).succeeds();
    vault(&["delete", "db"]);
    check(&sandbox, &[]).succeeds();
    vault(&["undelete", "db"]);
    check(&sandbox, &[]).succeeds();
    vault(&["compact", "--grace", "0"]);
    check(&sandbox, &[]).succeeds();
    vault(&["delete", "db"]);
    vault(&["compact", "--grace", "0"]);
    check(&sandbox, &[]).succeeds();
    vault(&["prune", "-a", "*", "--force", "--force"]);
    vault(&["compact", "--grace", "0"]);
    check(&sandbox, &[]).succeeds();
    assert_eq!(vault(&["list", "--json"]).json()["archives"], serde_json::json!([]));
    another_night(&sandbox, 9);
    check(&sandbox, &["--read-data"]).succeeds();
}

#[test]
fn what_another_client_deletes_is_missed_when_it_is_purged() {
    let sandbox = nights(2);
    let other = sandbox.path("other");
    let other = [("XDG_STATE_HOME", other.to_str().unwrap())];
    sandbox.vault_with(&other, ["delete", "-r", "repo", "db"]).succeeds();
    check(&sandbox, &[]).succeeds();
    sandbox.vault_with(&other, ["compact", "-r", "repo", "--grace", "0"]).succeeds();
    sandbox.vault_with(&other, ["check", "-r", "repo"]).succeeds();
    assert_eq!(check(&sandbox, &[]).code, Some(90));
    check(&sandbox, &["--accept-rollback"]).succeeds();
    check(&sandbox, &[]).succeeds();
}

#[test]
fn the_newest_archive_without_its_mark_is_missed() {
    let sandbox = nights(2);
    let id = sandbox.vault(["info", "-r", "repo", "db", "--json"]).json()["archive"]["id"].as_str().unwrap().to_owned();
    sandbox.vault(["list", "-r", "repo"]).succeeds();
    fs::remove_file(sandbox.path(&format!("repo/archives/{id}.ok"))).unwrap();
    let run = check(&sandbox, &[]);
    assert_eq!(run.code, Some(90), "{run:?}");
    assert!(run.stdout.contains(&format!("archives/{id}.ok: archive aid:")) && run.stdout.contains("its mark is gone"));
}

#[test]
fn a_memory_that_is_damaged_is_said_once() {
    let sandbox = rolled_back(1, 2);
    fs::write(state(&sandbox, "seen"), "rubbish").unwrap();
    let run = check(&sandbox, &[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("seen is damaged") && run.stderr.contains("forgotten"), "{run:?}");
    check(&sandbox, &[]).succeeds();
}

#[test]
fn another_repository_in_the_same_place_is_another_memory() {
    let sandbox = nights(2);
    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    sandbox.vault(["init", "-r", "repo", "--encryption", "none"]).succeeds();
    check(&sandbox, &[]).succeeds();
    another_night(&sandbox, 3);
    check(&sandbox, &[]).succeeds();
}
