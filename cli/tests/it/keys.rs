//! Passphrases, key files, key slots and the default repository's key.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::sandbox::{Run, Sandbox, files, run};

const PASSPHRASE: (&str, &str) = ("VAULT_PASSPHRASE", "correct horse");

fn encrypted() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.vault_with(&[PASSPHRASE], ["init", "-r", "repo"]).succeeds();
    sandbox
}

fn list_with(sandbox: &Sandbox, variable: &str, value: &str) -> Run {
    sandbox.vault_with(&[(variable, value)], ["list", "-r", "repo"])
}

#[test]
fn nothing_is_made_without_a_usable_passphrase() {
    let sandbox = Sandbox::new();
    let init = |environment: &[(&str, &str)]| sandbox.vault_with(environment, ["init", "-r", "repo"]);
    init(&[]).fails(50, &["VAULT_PASSPHRASE", "VAULT_PASSCOMMAND", "terminal"]);
    init(&[("VAULT_PASSPHRASE", "")]).fails(50, &["empty"]);
    init(&[("VAULT_PASSPHRASE_FILE", "gone")]).fails(50, &["gone"]);
    init(&[("VAULT_PASSPHRASE_FD", "x")]).fails(50, &["VAULT_PASSPHRASE_FD"]);
    init(&[("VAULT_PASSPHRASE_FD", "77")]).fails(50, &["77"]);
    init(&[("VAULT_PASSCOMMAND", "false")]).fails(51, &["VAULT_PASSCOMMAND"]);
    init(&[("VAULT_PASSCOMMAND", "/no/such/program x")]).fails(51, &["/no/such/program"]);
    sandbox.write("empty", "\n");
    init(&[("VAULT_PASSPHRASE_FILE", "empty")]).fails(50, &["empty"]);
    assert!(!sandbox.path("repo").exists());
}

#[test]
fn a_passphrase_comes_from_any_source_and_the_first_wins() {
    let sandbox = encrypted();
    sandbox.write("passphrase", "correct horse\n");
    list_with(&sandbox, "VAULT_PASSPHRASE", "correct horse").succeeds();
    list_with(&sandbox, "VAULT_PASSPHRASE_FILE", "passphrase").succeeds();
    list_with(&sandbox, "VAULT_PASSCOMMAND", "printf '%s' 'correct horse'").succeeds();
    let mut from_descriptor = sandbox.command(["list", "-r", "repo"]);
    let file = fs::File::open(sandbox.path("passphrase")).unwrap();
    run(from_descriptor.env("VAULT_PASSPHRASE_FD", "0").stdin(file)).succeeds();
    let both = [("VAULT_PASSPHRASE", "wrong"), ("VAULT_PASSPHRASE_FILE", "passphrase")];
    sandbox.vault_with(&both, ["list", "-r", "repo"]).fails(52, &["wrong passphrase"]);
}

#[test]
fn without_the_passphrase_nothing_opens() {
    let sandbox = encrypted();
    sandbox.vault(["list", "-r", "repo"]).fails(50, &["VAULT_PASSPHRASE"]);
    list_with(&sandbox, "VAULT_PASSPHRASE", "wrong").fails(52, &["wrong passphrase"]);
    list_with(&sandbox, "VAULT_PASSPHRASE", "correct horse\n").fails(52, &["wrong passphrase"]);
    list_with(&sandbox, "VAULT_PASSPHRASE", "").fails(50, &["empty"]);
    list_with(&sandbox, "VAULT_PASSCOMMAND", "sh -c 'exit 3'").fails(51, &["3"]);
    list_with(&sandbox, "VAULT_KEY_FILE", "gone").fails(50, &["gone"]);
}

#[test]
fn a_keyless_repository_asks_nothing() {
    let sandbox = Sandbox::with_repository();
    sandbox.vault(["list", "-r", "repo"]).succeeds();
}

#[test]
fn a_key_file_is_made_private_and_opens_the_repository() {
    let sandbox = Sandbox::new();
    let made = sandbox.vault(["init", "-r", "repo", "--key-file", "keys/repo.key"]).succeeds();
    assert!(made.stderr.contains("keys/repo.key"), "{made:?}");
    let key = sandbox.path("keys/repo.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&key).unwrap().len(), 65);
    sandbox.vault(["list", "-r", "repo"]).fails(50, &["--key-file"]);
    sandbox.vault(["list", "-r", "repo", "--key-file", "keys/repo.key"]).succeeds();
    list_with(&sandbox, "VAULT_KEY_FILE", "keys/repo.key").succeeds();
    sandbox.write("other.key", format!("{}\n", "ab".repeat(32)));
    list_with(&sandbox, "VAULT_KEY_FILE", "other.key").fails(52, &["key file"]);
    sandbox.write("short.key", "short\n");
    list_with(&sandbox, "VAULT_KEY_FILE", "short.key").fails(50, &[]);
}

#[test]
fn an_existing_key_file_is_used_as_it_is() {
    let sandbox = Sandbox::new();
    let key = sandbox.write("mine.key", [b'\xff'; 40]);
    sandbox.vault(["init", "-r", "repo", "--key-file", "mine.key"]).succeeds();
    assert_eq!(fs::read(key).unwrap(), [b'\xff'; 40]);
    list_with(&sandbox, "VAULT_KEY_FILE", "mine.key").succeeds();
}

#[test]
fn slots_are_added_changed_and_removed() {
    let sandbox = encrypted();
    let second = ("VAULT_NEW_PASSPHRASE", "second");
    sandbox.vault_with(&[PASSPHRASE, second], ["key", "add", "-r", "repo", "--name", "two"]).succeeds();
    list_with(&sandbox, "VAULT_PASSPHRASE", "second").succeeds();
    list_with(&sandbox, "VAULT_PASSPHRASE", PASSPHRASE.1).succeeds();

    let third = [("VAULT_PASSPHRASE", "second"), ("VAULT_NEW_PASSPHRASE", "third")];
    sandbox.vault_with(&third, ["key", "change-passphrase", "-r", "repo"]).succeeds();
    list_with(&sandbox, "VAULT_PASSPHRASE", "second").fails(52, &[]);
    list_with(&sandbox, "VAULT_PASSPHRASE", "third").succeeds();
    sandbox.vault_with(&[PASSPHRASE, ("VAULT_NEW_PASSPHRASE", "")], ["key", "add", "-r", "repo"]).fails(50, &["empty"]);
    sandbox.vault_with(&[PASSPHRASE], ["key", "add", "-r", "repo"]).fails(50, &["VAULT_NEW_PASSPHRASE"]);

    let slots = sandbox.vault_with(&[PASSPHRASE], ["key", "list", "-r", "repo", "--json"]).succeeds().json();
    let slots = slots["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 2, "{slots:?}");
    let other = slots.iter().find(|slot| slot["opened"] == false).unwrap()["id"].as_str().unwrap();
    sandbox.vault_with(&[PASSPHRASE], ["key", "remove", "-r", "repo", &other[..8]]).succeeds();
    list_with(&sandbox, "VAULT_PASSPHRASE", "third").fails(52, &[]);
    let last = slots.iter().find(|slot| slot["opened"] == true).unwrap()["id"].as_str().unwrap();
    let refused = sandbox.vault_with(&[PASSPHRASE], ["key", "remove", "-r", "repo", last]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    list_with(&sandbox, "VAULT_PASSPHRASE", PASSPHRASE.1).succeeds();
}

#[test]
fn hostile_slots_neither_take_memory_nor_hide_the_right_one() {
    let sandbox = encrypted();
    let slot = fs::read_dir(sandbox.path("repo/keys")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(slot).unwrap();
    for number in 0..2000_u32 {
        let mut hostile = bytes.clone();
        hostile[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        hostile[32..36].copy_from_slice(&number.to_le_bytes());
        let name = vault_engine::id::hex(&blake3::hash(&hostile).as_bytes()[..]);
        fs::write(sandbox.path("repo/keys").join(name), hostile).unwrap();
    }
    list_with(&sandbox, "VAULT_PASSPHRASE", PASSPHRASE.1).succeeds();
    assert_ne!(list_with(&sandbox, "VAULT_PASSPHRASE", "wrong").code, Some(0));
}

#[test]
fn a_keyless_repository_in_the_place_of_an_encrypted_one_is_refused() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "secret");
    let refused = sandbox.vault_with(&[PASSPHRASE], ["create", "-r", "repo", "a", "source"]);
    refused.fails(50, &["not encrypted"]);
    sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
}

#[test]
fn an_exported_slot_brings_a_repository_back() {
    let sandbox = encrypted();
    sandbox.write("source/file", "text");
    sandbox.vault_with(&[PASSPHRASE], ["create", "-r", "repo", "a", "source"]).succeeds();
    sandbox.vault_with(&[PASSPHRASE], ["key", "export", "-r", "repo", "slot.txt"]).succeeds();
    let to_stdout = sandbox.vault_with(&[PASSPHRASE], ["key", "export", "-r", "repo"]).succeeds().stdout;
    assert_eq!(fs::read_to_string(sandbox.path("slot.txt")).unwrap(), to_stdout);
    assert_eq!(fs::metadata(sandbox.path("slot.txt")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = sandbox.vault_with(&[PASSPHRASE], ["key", "export", "-r", "repo", "slot.txt"]);
    assert_ne!(again.code, Some(0), "an export overwrites nothing");

    fs::remove_dir_all(sandbox.path("repo/keys")).unwrap();
    sandbox.vault_with(&[PASSPHRASE], ["list", "-r", "repo"]).fails(44, &["vault key import"]);
    sandbox.write("damaged.txt", to_stdout.replacen(['a', 'A'], "b", 2));
    let import = |passphrase: &str, file: &str| {
        sandbox.vault_with(&[("VAULT_PASSPHRASE", passphrase)], ["key", "import", "-r", "repo", file])
    };
    import(PASSPHRASE.1, "damaged.txt").fails(50, &["exported key"]);
    import("wrong", "slot.txt").fails(52, &[]);
    fs::remove_file(sandbox.path("repo/config")).unwrap();
    import(PASSPHRASE.1, "slot.txt").succeeds();
    list_with(&sandbox, "VAULT_PASSPHRASE", "wrong").fails(52, &[]);
    sandbox.vault_with(&[PASSPHRASE], ["list", "-r", "repo", "a"]).succeeds();
}

#[test]
fn a_fresh_machine_needs_one_command() {
    let sandbox = Sandbox::new();
    sandbox.write("source/file", "text");
    let made = sandbox.vault(["create", "--init", "home", "source"]).succeeds();
    for part in [".local/share/vault/repository", ".config/vault/default.key", "copy that file"] {
        assert!(made.stderr.contains(part), "{part}: {made:?}");
    }
    let key = sandbox.path(".config/vault/default.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(sandbox.vault(["list"]).succeeds().stdout.contains("home"));
    let second = sandbox.vault(["create", "--init", "home", "source"]).succeeds();
    assert_eq!(second.stderr, "", "--init of a repository that is there says nothing");
    sandbox.vault(["restore", "home", "--target", "out"]).succeeds();
    assert_eq!(fs::read(sandbox.path("out/source/file")).unwrap(), b"text");
    let host_id = sandbox.path(".local/state/vault/host-id");
    assert_eq!(fs::metadata(host_id).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(key).unwrap();
    sandbox.vault(["list"]).fails(50, &["key file"]);
}

#[test]
fn base_folders_follow_the_environment() {
    let sandbox = Sandbox::new();
    sandbox.write("source/file", "text");
    let root = sandbox.path("x");
    let below = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let (data, config, cache, state) = (below("data"), below("config"), below("cache"), below("state"));
    let environment = [
        ("XDG_DATA_HOME", data.as_str()),
        ("XDG_CONFIG_HOME", config.as_str()),
        ("XDG_CACHE_HOME", cache.as_str()),
        ("XDG_STATE_HOME", state.as_str()),
    ];
    sandbox.vault_with(&environment, ["create", "--init", "home", "source"]).succeeds();
    for path in ["data/vault/repository/config", "config/vault/default.key", "state/vault/host-id"] {
        assert!(root.join(path).exists(), "{path}");
    }
    assert!(!sandbox.path(".local").exists() && !sandbox.path(".config").exists() && !sandbox.path(".cache").exists());
}

#[test]
fn like_shares_keys_and_has_its_own_passphrase() {
    let sandbox = encrypted();
    sandbox.vault_with(&[PASSPHRASE], ["init", "-r", "second", "--like", "repo"]).succeeds();
    sandbox.write("source/file", "text");
    let root = |repository: &str| {
        let arguments = ["create", "-r", repository, "a", "source", "--json"];
        sandbox.vault_with(&[PASSPHRASE], arguments).succeeds().json()["root_tree"].clone()
    };
    assert_eq!(root("repo"), root("second"));
    sandbox.vault_with(&[PASSPHRASE], ["init", "-r", "third", "--like", "gone"]).fails(13, &["gone"]);
    assert!(!sandbox.path("third").exists());
}

/// What the passphrase protects, and the passphrase itself, stand in no file that is left behind.
#[test]
fn no_file_that_is_left_behind_tells_the_passphrase_or_a_name_or_what_was_archived() {
    let sandbox = encrypted();
    let content = "the content that nobody may see; ".repeat(200);
    sandbox.write("source/the name of a file/the name of another", &content);
    let vault = |arguments: &[&str]| sandbox.vault_with(&[PASSPHRASE, ("VAULT_REPO", "repo")], arguments);
    for _ in 0..2 {
        sandbox.write("source/changes", &content);
        vault(&["create", "--compression", "none", "--comment", "the comment", "the-series", "source"]).succeeds();
    }
    vault(&["check", "--read-data"]).succeeds();
    vault(&["restore", "the-series", "--target", "restored"]).succeeds();
    vault(&["delete", "the-series~1"]).succeeds();
    vault(&["compact", "--threshold", "0", "--grace", "0s"]).succeeds();
    let secrets =
        [PASSPHRASE.1, "nobody may see", "the name of a file", "the name of another", "the comment", "the-series"];
    let mut looked = 0;
    for (path, bytes) in files(&sandbox.path("")) {
        if path.starts_with("source") || path.starts_with("restored") {
            continue;
        }
        looked += 1;
        for secret in secrets {
            // A client remembers which series it has seen, for the user himself (docs/security.md, section 11).
            if secret == "the-series" && path.starts_with(".local/state") && path.ends_with("seen") {
                continue;
            }
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found && !path.to_string_lossy().contains(secret), "{} tells {secret:?}", path.display());
        }
    }
    assert!(looked > 10, "{looked} files");
}
