//! Reads and writes that do a part of what they were asked to: pipes, signals, network file systems and full disks do so.

use std::process::Command;

use super::{Act, Call, Stage, may_trace, trace, verbs};
use crate::sandbox::Sandbox;

/// Calls that say how much they did.
const PARTIAL: [&str; 10] =
    ["read", "pread64", "readv", "preadv", "write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range"];

/// How many calls of a command were cut short, all in these folders.
#[track_caller]
fn cut_short(stage: &Stage, command: &Command, folders: &[&str]) -> usize {
    let folders: Vec<_> = folders.iter().map(|folder| stage.sandbox.path(folder)).collect();
    let counts = |call: &Call| {
        PARTIAL.contains(&call.name)
            && call.paths.iter().any(|path| folders.iter().any(|folder| path.starts_with(folder)))
    };
    let traced = trace(command, &counts, 0, Act::Short);
    traced.run.succeeds();
    traced.calls.len()
}

#[test]
fn what_is_read_and_written_in_pieces_is_whole() {
    if !may_trace("what_is_read_and_written_in_pieces_is_whole") {
        return;
    }
    let stage = Stage::full(Sandbox::new());
    // Of several windows, so that pieces meet their borders.
    stage.sandbox.write("source/large", vec![7; 9_000_000]);
    stage.sandbox.write("source/empty", "");
    let everywhere = ["source", "repo", ".cache", "restored"];
    let made = cut_short(&stage, &(verbs::create().command)(&stage), &everywhere);
    let newest = stage.listed().pop().unwrap();
    assert!(stage.restored(&newest).is_ok_and(|files| files == stage.source()));
    assert_eq!(stage.check(), [] as [String; 0]);
    let compacted = stage.command(&["compact", "--threshold", "0", "--grace", "0s"]);
    let compacted = cut_short(&stage, &compacted, &everywhere);
    let checked = cut_short(&stage, &stage.command(&["check", "--read-data"]), &everywhere);
    let _ = std::fs::remove_dir_all(stage.sandbox.path("restored"));
    let restore = stage.command(&["restore", &format!("aid:{newest}"), "--target", "restored"]);
    let restored = cut_short(&stage, &restore, &everywhere);
    assert_eq!(crate::sandbox::files(&stage.sandbox.path("restored/source")), Vec::from_iter(stage.source()));
    assert_eq!(stage.problems_of(&stage.archives), [] as [String; 0]);
    assert_eq!(stage.check(), [] as [String; 0]);
    let counts = [made, compacted, checked, restored];
    assert!(counts.iter().all(|count| *count > 10), "{counts:?} calls were cut short");
}
