//! Each call that touches the repository, the cache or the source fails, with every error that a disk can give.

use std::path::Path;

use nix::errno::Errno;

use super::stage::Files;
use super::{Act, Call, Sample, Stage, Tally, Traced, Verb, attempt, may_trace, verbs};
use crate::sandbox::{Run, Sandbox};

/// How many failures of each verb, place and error belong to the tests.
const SAMPLE: usize = 1;

const CACHE: &str = ".cache";

/// A way to fail.
#[derive(Clone, Copy, Debug)]
struct Fault {
    act: Act,
    /// Whether it only comes of what changes something.
    when_changing: bool,
    /// What the program ends with if the repository did this.
    code: i32,
}

const fn fault(act: Act, when_changing: bool, code: i32) -> Fault {
    Fault { act, when_changing, code }
}

const FAULTS: [Fault; 8] = [
    fault(Act::Fail(Errno::ENOSPC), true, 14),
    fault(Act::FailFromNow(Errno::ENOSPC), true, 14),
    fault(Act::Fail(Errno::EDQUOT), true, 14),
    fault(Act::Fail(Errno::EIO), false, 2),
    fault(Act::FailFromNow(Errno::EIO), false, 2),
    fault(Act::Fail(Errno::EINTR), false, 2),
    fault(Act::Fail(Errno::ESTALE), false, 2),
    fault(Act::Fail(Errno::EACCES), false, 21),
];

/// Those that are tried: each is a campaign of its own, so of a sample it is every third.
fn faults(sample: &Sample) -> Vec<Fault> {
    let chosen = |(number, _): &(usize, Fault)| sample.all || (number + sample.seed).is_multiple_of(3);
    FAULTS.into_iter().enumerate().filter(chosen).map(|(_, fault)| fault).collect()
}

/// What fails while `verb` runs, tried at a sample of its calls; what `after` finds wrong is a problem.
fn try_all(
    verb: &Verb,
    stage: &Stage,
    place: &Path,
    (sample, faults): (&Sample, &[Fault]),
    after: &dyn Fn(&Traced, Fault) -> Vec<String>,
) -> (Tally, Vec<String>) {
    let (mut tally, mut problems) = (Tally::default(), Vec::new());
    for fault in faults {
        let counts = |call: &Call| {
            call.paths.iter().any(|path| path.starts_with(place)) && (call.changes || !fault.when_changing)
        };
        let moments = attempt(stage, verb, &counts, 0, Act::Count).calls.len();
        for at in sample.of(moments) {
            let traced = attempt(stage, verb, &counts, at, fault.act);
            let Some(call) = &traced.hit else { continue };
            tally.add(match traced.run.code {
                Some(code) => format!("{:?} exit {code}", fault.act),
                None => panic!("{} was killed at {call:?}", verb.name),
            });
            let found = after(&traced, *fault);
            let where_to = format!("{}, {:?} at {at}: {} {:?}", verb.name, fault.act, call.name, call.paths);
            problems.extend(found.into_iter().map(|problem| format!("{where_to}: {problem}")));
        }
    }
    (tally, problems)
}

/// In each verb: what was there before is unharmed, a success is one, a failure says what it is, and the next run needs no help.
fn the_disk_fails(test: &str, below: &str, verbs: impl Iterator<Item = &'static Verb>) {
    if !may_trace(test) {
        return;
    }
    let sample = Sample::new("VAULT_FAULTS", SAMPLE);
    let mut problems = Vec::new();
    for verb in verbs {
        let stage = (verb.stage)(Sandbox::new());
        let place = stage.sandbox.path(below);
        let after = |traced: &Traced, fault: Fault| {
            let mut problems = tells_the_truth(&stage, verb, &traced.run, (below, fault));
            problems.extend(verbs::is_run_again(&stage, verb));
            problems
        };
        let (tally, found) = try_all(verb, &stage, &place, (&sample, &faults(&sample)), &after);
        tally.print(&format!("{}, {below} fails", verb.name));
        problems.extend(found);
    }
    assert!(problems.is_empty(), "{} problems, seed {}:\n{}", problems.len(), sample.seed, problems.join("\n"));
}

fn tells_the_truth(stage: &Stage, verb: &Verb, run: &Run, (below, fault): (&str, Fault)) -> Vec<String> {
    match run.code {
        Some(0 | 1) => (verb.done)(stage).err().map(|problem| format!("{problem} after {run:?}")).into_iter().collect(),
        Some(90) if !run.stderr.contains("vault: error: ") && only_unreadable_is_left(run) => Vec::new(),
        Some(code) => {
            // That something was denied is told of the repository only.
            let expected = if below == CACHE && fault.code == 21 { 2 } else { fault.code };
            let said = run.stderr.lines().filter(|line| line.starts_with("vault: error: ")).count();
            let sound = code == expected && said == 1 && !run.stderr.contains("panicked");
            if sound { Vec::new() } else { vec![format!("{run:?}")] }
        }
        None => vec!["it was killed".to_owned()],
    }
}

/// A repair ends with a check, which names what it cannot read and goes on.
fn only_unreadable_is_left(run: &Run) -> bool {
    let mut left = run.stdout.lines().filter(|line| line.starts_with("left: error: ")).peekable();
    left.peek().is_some() && left.all(|line| line.contains(": cannot read "))
}

#[test]
fn a_repository_that_fails_at_any_call_loses_nothing_and_is_told_from_one_that_did_not() {
    let test = "a_repository_that_fails_at_any_call_loses_nothing_and_is_told_from_one_that_did_not";
    the_disk_fails(test, "repo", verbs::chosen());
}

#[test]
fn a_cache_that_fails_at_any_call_changes_no_result() {
    the_disk_fails("a_cache_that_fails_at_any_call_changes_no_result", CACHE, verbs::chosen());
}

#[test]
fn a_repository_to_take_from_that_fails_at_any_call_is_no_loss() {
    let verbs = verbs::chosen().filter(|verb| verb.name == "repair --from");
    the_disk_fails("a_repository_to_take_from_that_fails_at_any_call_is_no_loss", "whole", verbs);
}

/// Warned of and left out, or there as it is; everything else is there.
#[test]
fn a_source_that_fails_at_any_call_is_archived_as_far_as_it_can_be_read() {
    if !may_trace("a_source_that_fails_at_any_call_is_archived_as_far_as_it_can_be_read") {
        return;
    }
    let sample = Sample::new("VAULT_FAULTS", 4 * SAMPLE);
    let verb = verbs::create();
    let stage = (verb.stage)(Sandbox::new());
    let after = |traced: &Traced, _: Fault| {
        let mut problems: Vec<String> = what_was_read(&stage, traced).err().into_iter().collect();
        problems.extend(verbs::is_run_again(&stage, verb));
        problems
    };
    // It may go away at any moment too.
    let mut faults = faults(&sample);
    faults.push(fault(Act::Fail(Errno::ENOENT), false, 1));
    let (tally, problems) = try_all(verb, &stage, &stage.sandbox.path("source"), (&sample, &faults), &after);
    tally.print("create, the source fails");
    assert!(problems.is_empty(), "{} problems, seed {}:\n{}", problems.len(), sample.seed, problems.join("\n"));
}

fn what_was_read(stage: &Stage, traced: &Traced) -> Result<(), String> {
    let run = &traced.run;
    let newest = stage.listed().pop().filter(|id| stage.archives.iter().all(|archive| archive.id != *id));
    let source = stage.source();
    match (run.code, newest) {
        (Some(0), Some(id)) => {
            let found = stage.restored(&id).map_err(|run| format!("it does not restore: {run:?}"))?;
            if found == source {
                Ok(())
            } else {
                Err(format!("{} are missing, and nobody said so", missing(&source, &found)))
            }
        }
        (Some(1), Some(id)) => {
            // What could not be read is left out of the restore too, with a warning.
            let found = stage.restored_partly(&id);
            let changed = found.iter().any(|(path, bytes)| source.get(path) != Some(bytes));
            let silent = source.keys().any(|path| !found.contains_key(path) && !warned_of(run, path));
            if changed || silent {
                return Err(format!("{} are missing or wrong: {run:?}", missing(&source, &found)));
            }
            Ok(())
        }
        // The root of the source cannot be read.
        (Some(2), None) if run.stderr.contains("nothing to archive") => Ok(()),
        (_, archive) => Err(format!("{archive:?} after {run:?}")),
    }
}

/// Of the file, or of a folder that it is in.
fn warned_of(run: &Run, path: &Path) -> bool {
    let mut above = Path::new("source").join(path);
    while !run.stderr.contains(&format!("warning: {}: ", above.display())) {
        if !above.pop() {
            return false;
        }
    }
    true
}

fn missing(all: &Files, found: &Files) -> String {
    let missing: Vec<String> =
        all.keys().filter(|path| all.get(*path) != found.get(*path)).map(|path| path.display().to_string()).collect();
    missing.join(", ")
}
