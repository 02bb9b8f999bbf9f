//! What is tried: a verb is a line of the table.

use std::process::Command;

use super::stage::{Archived, Stage};
use crate::sandbox::{Sandbox, run};

/// A command and what must be true of it.
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// What it begins with.
    pub(super) stage: fn(Sandbox) -> Stage,
    pub(super) command: fn(&Stage) -> Command,
    /// Which archives it must leave alone, whatever happens.
    pub(super) keeps: fn(&Stage) -> &[Archived],
    /// The codes with which it may end when it is run again: 0, and others if it was done already.
    pub(super) again: &'static [i32],
    /// What must be true when it has succeeded.
    pub(super) done: fn(&Stage) -> Result<(), String>,
}

const CREATE: Verb = Verb {
    name: "create",
    stage: Stage::full,
    command: |stage| stage.command(&["create", "one", "source"]),
    keeps: all,
    again: &[0],
    done: source_is_archived,
};

const VERBS: &[Verb] = &[
    Verb {
        name: "init",
        stage: Stage::bare,
        command: |stage| stage.command(&["init"]),
        again: &[0, 10],
        done: |_| Ok(()),
        ..CREATE
    },
    Verb { name: "first create", stage: Stage::empty, ..CREATE },
    CREATE,
    Verb {
        name: "prune --compact",
        command: |stage| stage.command(&["prune", "--keep-last", "1", "--compact"]),
        keeps: newest_two,
        done: only_newest_two,
        ..CREATE
    },
    Verb {
        name: "compact",
        stage: Stage::deleted,
        command: |stage| stage.command(&["compact", "--threshold", "0", "--grace", "0s"]),
        keeps: newest_two,
        done: only_newest_two,
        ..CREATE
    },
    Verb {
        name: "delete",
        command: |stage| stage.command(&["delete", &stage.archives[0].selector()]),
        keeps: |stage| &stage.archives[1..],
        again: &[0, 31],
        done: |stage| if stage.listed().contains(&stage.archives[0].id) { Err("it is listed".into()) } else { Ok(()) },
        ..CREATE
    },
    Verb {
        name: "undelete",
        stage: Stage::deleted,
        command: |stage| stage.command(&["undelete", &stage.archives[0].selector()]),
        keeps: newest_two,
        again: &[0, 31],
        done: |stage| holds(stage, &stage.archives[0]),
    },
    Verb {
        name: "protect",
        command: |stage| stage.command(&["protect", &stage.archives[0].selector()]),
        done: |_| Ok(()),
        ..CREATE
    },
    Verb {
        name: "key add",
        command: |stage| stage.command(&["key", "add", "--new-key-file", "spare"]),
        done: |stage| opens(stage, "VAULT_KEY_FILE", "spare"),
        ..CREATE
    },
    Verb {
        name: "key change-passphrase",
        stage: Stage::with_spare_key,
        command: |stage| {
            let mut command = stage.command(&["key", "change-passphrase"]);
            command.env("VAULT_NEW_PASSPHRASE", "new");
            command
        },
        // What it is run with opens nothing any more.
        again: &[0, 52],
        done: |stage| opens(stage, "VAULT_PASSPHRASE", "new"),
        ..CREATE
    },
    Verb {
        name: "key remove",
        stage: Stage::with_spare_key,
        command: |stage| {
            let mut command = stage.command(&["key", "remove", &stage.first_slot()]);
            command.env("VAULT_KEY_FILE", "spare");
            command
        },
        again: &[0, 2],
        done: |stage| if opens(stage, "VAULT_KEY_FILE", "key").is_ok() { Err("it opens".into()) } else { Ok(()) },
        ..CREATE
    },
    Verb {
        name: "repair",
        stage: Stage::damaged,
        command: |stage| stage.command(&["check", "--repair", "--yes"]),
        done: |stage| stage.check().into_iter().next().map_or(Ok(()), Err),
        ..CREATE
    },
    Verb {
        name: "repair --from",
        stage: Stage::lossy,
        command: |stage| stage.command(&["check", "--repair", "--yes", "--from", "whole"]),
        again: &[0],
        done: |stage| {
            stage.vault(&["check"]).succeeds();
            stage.problems_of(&stage.archives).into_iter().next().map_or(Ok(()), Err)
        },
        ..LOSS
    },
    LOSS,
    Verb {
        name: "quarantine --empty",
        stage: Stage::repaired,
        command: |stage| stage.command(&["quarantine", "--empty"]),
        again: &[0],
        done: |stage| if stage.quarantined().is_empty() { Ok(()) } else { Err("something is left".into()) },
        ..LOSS
    },
];

/// A repair that brings back all but what is gone.
const LOSS: Verb = Verb {
    name: "repair of a loss",
    stage: Stage::lossy,
    command: |stage| stage.command(&["check", "--repair", "--yes"]),
    keeps: |stage| &stage.archives[..stage.archives.len() - 1],
    again: &[1],
    done: |stage| {
        let newest = stage.archives.last().unwrap();
        let mut left = newest.files.clone();
        left.retain(|path, _| !["changes", "folder/noise", "new 5"].contains(&path.to_str().unwrap()));
        let found = stage.restored_partly(&newest.id);
        if found == left { Ok(()) } else { Err(format!("of the newest there is {:?}", found.keys())) }
    },
};

/// All of them, or those that `VAULT_VERBS` names, with commas between.
pub(super) fn chosen() -> impl Iterator<Item = &'static Verb> {
    let only = std::env::var("VAULT_VERBS").ok();
    let chosen = move |verb: &&Verb| only.as_deref().is_none_or(|only| only.split(',').any(|name| name == verb.name));
    VERBS.iter().filter(chosen)
}

/// The one that reads a source.
pub(super) fn create() -> &'static Verb {
    &CREATE
}

/// What is wrong after an attempt that was cut off: archives that must restore do not, or the same command, run again without any
/// help, does not do what it should.
pub(super) fn is_run_again(stage: &Stage, verb: &Verb) -> Vec<String> {
    let keeps = (verb.keeps)(stage);
    let mut problems = stage.problems_of(keeps);
    problems.extend(stage.damage_is_kept());
    let again = run(&mut (verb.command)(stage));
    if !again.code.is_some_and(|code| verb.again.contains(&code)) {
        problems.push(format!("the next run: {again:?}"));
    } else if let Err(problem) = (verb.done)(stage) {
        problems.push(format!("after the next run: {problem}"));
    }
    problems.extend(stage.problems_of(keeps));
    problems.extend(stage.damage_is_kept());
    problems.extend(stage.check());
    problems
}

fn all(stage: &Stage) -> &[Archived] {
    &stage.archives
}

fn newest_two(stage: &Stage) -> &[Archived] {
    &stage.archives[2..]
}

fn source_is_archived(stage: &Stage) -> Result<(), String> {
    let newest = stage.listed().pop().ok_or("there is no archive")?;
    let files = stage.restored(&newest).map_err(|run| format!("the new archive does not restore: {run:?}"))?;
    if files == stage.source() { Ok(()) } else { Err("the new archive is not what the source is".into()) }
}

fn only_newest_two(stage: &Stage) -> Result<(), String> {
    let mut expected: Vec<String> = newest_two(stage).iter().map(|archive| archive.id.clone()).collect();
    let mut listed = stage.listed();
    expected.sort();
    listed.sort();
    if listed == expected { Ok(()) } else { Err(format!("{listed:?} are listed")) }
}

/// Some archive holds what this one did.
fn holds(stage: &Stage, archive: &Archived) -> Result<(), String> {
    let held = stage.listed().iter().any(|id| stage.restored(id).is_ok_and(|files| files == archive.files));
    if held { Ok(()) } else { Err("it is not back".into()) }
}

fn opens(stage: &Stage, variable: &str, secret: &str) -> Result<(), String> {
    let mut command = stage.command(&["list"]);
    let listed = run(command.env_remove("VAULT_KEY_FILE").env(variable, secret));
    if listed.code == Some(0) { Ok(()) } else { Err(format!("the new secret does not open it: {listed:?}")) }
}
