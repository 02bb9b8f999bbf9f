//! SIGKILL at the begin of each call that changes something, and at the end of the process.

use super::{Act, Call, Sample, Stage, Tally, Verb, attempt, verbs};

/// How many kills of each verb belong to the tests.
const SAMPLE: usize = 4;

/// What is on the disk differs before and after these only, and what the caller was told before and after the last.
fn changes_the_disk(call: &Call) -> bool {
    (call.changes && !call.paths.is_empty()) || call.name == "exit_group"
}

#[test]
fn a_process_killed_at_any_call_harms_nothing_and_is_run_again() {
    let sample = Sample::new("VAULT_KILLS", SAMPLE);
    let mut problems = Vec::new();
    let only = std::env::var("VAULT_VERB").ok();
    for verb in verbs::VERBS.iter().filter(|verb| only.as_deref().is_none_or(|only| only == verb.name)) {
        let stage = (verb.stage)();
        let mut tally = Tally::default();
        let moments = attempt(&stage, verb, &changes_the_disk, 0, Act::Count).calls.len();
        assert!(moments > 4, "{}: {moments} calls are too few", verb.name);
        for at in sample.of(moments) {
            let traced = attempt(&stage, verb, &changes_the_disk, at, Act::Kill);
            // Threads do not do the same number of things in each run.
            let Some(call) = traced.hit else { continue };
            assert_eq!(traced.run.code, None, "{} was not killed at {call:?}", verb.name);
            tally.add(call.name);
            let found = after_a_kill(&stage, verb);
            problems.extend(found.into_iter().map(|problem| format!("{}, {at}: {call:?}: {problem}", verb.name)));
        }
        tally.print(&format!("{}, {moments} calls, kills", verb.name));
    }
    assert!(problems.is_empty(), "seed {}:\n{}", sample.seed, problems.join("\n"));
}

fn after_a_kill(stage: &Stage, verb: &Verb) -> Vec<String> {
    let keeps = (verb.keeps)(stage);
    let mut problems = stage.problems_of(keeps);
    let again = verb.run(stage);
    if !again.code.is_some_and(|code| verb.again.contains(&code)) {
        problems.push(format!("the next run: {again:?}"));
    } else if let Err(problem) = (verb.done)(stage) {
        problems.push(format!("after the next run: {problem}"));
    }
    problems.extend(stage.problems_of(keeps));
    problems.extend(stage.check());
    problems
}
