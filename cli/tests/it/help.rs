//! Help, version, and standard streams that are closed.

use std::io::pipe;

use crate::sandbox::{Sandbox, run};

const VERBS: [&[&str]; 22] = [
    &["init"],
    &["create"],
    &["backup"],
    &["list"],
    &["info"],
    &["restore"],
    &["check"],
    &["prune"],
    &["delete"],
    &["undelete"],
    &["protect"],
    &["unprotect"],
    &["compact"],
    &["benchmark"],
    &["quarantine"],
    &["key"],
    &["key", "add"],
    &["key", "list"],
    &["key", "remove"],
    &["key", "change-passphrase"],
    &["key", "export"],
    &["key", "import"],
];

#[test]
fn every_verb_has_help_with_an_example_and_the_exit_codes() {
    let sandbox = Sandbox::new();
    for verb in VERBS {
        let help = sandbox.vault(verb.iter().chain(&["--help"])).succeeds().stdout;
        assert!(help.contains("Example:\n  vault "), "{verb:?}");
        assert!(help.contains("   52  wrong passphrase"), "{verb:?}");
    }
    let help = sandbox.vault(["--help"]).succeeds().stdout;
    assert!(help.contains("VAULT_PASSCOMMAND") && help.contains("128+N"));
}

#[test]
fn no_verb_shows_help_as_an_error() {
    let run = Sandbox::new().vault::<&str>([]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("Usage: vault"));
}

/// No lock that could be broken, no server that could be asked, no shell that could be given a part of an address.
#[test]
fn no_verb_unlocks_or_serves_and_no_address_is_that_of_a_program() {
    let sandbox = Sandbox::with_repository();
    for word in ["unlock", "break-lock", "lock", "serve", "server", "agent", "mount-helper"] {
        sandbox.vault([word, "-r", "repo"]).fails(2, &[]);
    }
    let help = sandbox.vault(["--help"]).succeeds().stdout;
    let known: Vec<&str> = VERBS.iter().map(|verb| verb[0]).chain(["version", "help"]).collect();
    let commands = help.split("Commands:").nth(1).unwrap().lines().skip(1).take_while(|line| line.starts_with("  "));
    for verb in commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty())) {
        assert!(known.contains(&verb), "{verb} is a verb that no test of help knows");
    }
    let made = sandbox.path("made");
    let touch = format!("touch {}", made.display());
    for address in [
        format!("ssh://-oProxyCommand={touch}/repo"),
        format!("-oProxyCommand={touch}"),
        format!("host:$({touch})"),
        format!("|{touch}"),
        format!("ext::{touch}"),
    ] {
        let run = sandbox.vault(["list", &format!("--repo={address}")]);
        assert!(run.code.is_some_and(|code| code > 1), "{address}: {run:?}");
    }
    assert!(!made.exists());
}

#[test]
fn the_version_names_the_format() {
    let shown = Sandbox::new().vault(["version"]).succeeds().stdout;
    assert!(shown.starts_with("vault ") && shown.ends_with("repository format 1\n"), "{shown}");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let ended = run(Sandbox::new().command(["version"]).stdout(writer));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn errors_need_no_standard_error() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    assert_eq!(run(Sandbox::new().command(["list"]).stderr(writer)).code, Some(13));
}
