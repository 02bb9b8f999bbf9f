//! SIGKILL at the begin of each call that changes something, and at the end of the process.

use std::fs;

use super::{Act, Sample, Tally, attempt, changes_the_disk, may_trace, verbs};
use crate::sandbox::Sandbox;

/// How many kills of each verb belong to the tests.
const SAMPLE: usize = 3;

#[test]
fn a_process_killed_at_any_call_harms_nothing_and_is_run_again() {
    if !may_trace("a_process_killed_at_any_call_harms_nothing_and_is_run_again") {
        return;
    }
    let sample = Sample::new("VAULT_KILLS", SAMPLE);
    let mut problems = Vec::new();
    for verb in verbs::chosen() {
        let stage = (verb.stage)(Sandbox::new());
        let mut tally = Tally::default();
        let moments = attempt(&stage, verb, &changes_the_disk, 0, Act::Count).calls.len();
        assert!(moments > 4, "{}: {moments} calls are too few", verb.name);
        for at in sample.of(moments) {
            let traced = attempt(&stage, verb, &changes_the_disk, at, Act::Kill);
            // Threads do not do the same number of things in each run.
            let Some(call) = traced.hit else { continue };
            assert_eq!(traced.run.code, None, "{} was not killed at {call:?}", verb.name);
            tally.add(call.name);
            let found = verbs::is_run_again(&stage, verb);
            problems.extend(found.into_iter().map(|problem| format!("{}, {at}: {call:?}: {problem}", verb.name)));
        }
        tally.print(&format!("{}, {moments} calls, kills", verb.name));
    }
    assert!(problems.is_empty(), "seed {}:\n{}", sample.seed, problems.join("\n"));
}

/// The slot that it left opens with the same secret and has another config in it. Which of the two is tried first is chance.
#[test]
fn an_init_that_was_cut_off_before_its_config_leaves_nothing_that_hinders_the_next() {
    for encryption in [&["--encryption", "none"][..], &["--key-file", "key"]] {
        let sandbox = Sandbox::new();
        let vault = |arguments: &[&str]| {
            let with_key = encryption[0] == "--key-file" && arguments[0] != "init";
            sandbox.vault(arguments.iter().chain(if with_key { encryption } else { &[] }))
        };
        let init = [&["init", "-r", "repo"][..], encryption].concat();
        for _ in 0..8 {
            vault(&init).succeeds();
            vault(&["list", "-r", "repo"]).succeeds();
            fs::remove_file(sandbox.path("repo/config")).unwrap();
        }
        vault(&["list", "-r", "repo"]).fails(15, &["no file `config`"]);
    }
}
