//! The power goes at the begin of a call that changes something, or just before the process ends: what exited 0 is there.
//!
//! That a local store keeps its promises is tested in the engine; this is about what the program makes of them, its cache, which
//! lies on the same disk and is never synced, included.

use std::fs::{self, File};

use super::tracer::trace_while;
use super::{Act, Sample, Tally, attempt, changes_the_disk, verbs};
use crate::machine::{Disk, Format};
use crate::sandbox::Sandbox;

/// How many cuts of each verb and file system belong to the tests.
const SAMPLE: usize = 1;

/// Those that one would notice.
const VERBS: [&str; 3] = ["create", "prune --compact", "compact"];

fn cuts_lose_nothing(test: &str, format: Format) {
    let Some(mut disk) = Disk::new(test, format) else { return };
    let sample = Sample::new("VAULT_POWER_CUTS", SAMPLE);
    let (mut problems, mut cuts, mut losses) = (Vec::new(), 0, 0);
    for verb in verbs::chosen().filter(|verb| VERBS.contains(&verb.name) || sample.all) {
        let stage = (verb.stage)(Sandbox::below(&disk.path()));
        let mut tally = Tally::default();
        let moments = attempt(&stage, verb, &changes_the_disk, 0, Act::Count).calls.len();
        for at in sample.of(moments) {
            stage.reset();
            rustix::fs::syncfs(File::open(disk.path()).unwrap()).unwrap();
            let unsynced = disk.path().join(format!("unsynced {at}"));
            let cut = || {
                let _ = fs::write(&unsynced, b"lost");
                disk.cut();
            };
            let traced = trace_while(&(verb.command)(&stage), &changes_the_disk, at, Act::Wait, &cut);
            let Some(call) = traced.hit else { continue };
            disk.restart();
            tally.add(call.name);
            cuts += 1;
            losses += usize::from(fs::read(&unsynced).ok().is_none_or(|bytes| bytes != b"lost"));
            let mut found: Vec<String> = match traced.run.code {
                Some(0 | 1) => (verb.done)(&stage).err().into_iter().collect(),
                Some(_) => Vec::new(),
                None => vec!["it was killed".to_owned()],
            };
            found.extend(verbs::is_run_again(&stage, verb));
            problems.extend(found.into_iter().map(|problem| format!("{}, {at}: {call:?}: {problem}", verb.name)));
        }
        tally.print(&format!("{format:?}, {}, {moments} calls, cuts", verb.name));
    }
    assert!(problems.is_empty(), "seed {}:\n{}", sample.seed, problems.join("\n"));
    assert!(losses > 0 || cuts == 0, "nothing was ever lost: these were no power cuts and prove nothing");
}

#[test]
fn power_cuts_on_ext4_harm_no_archive() {
    cuts_lose_nothing("power_cuts_on_ext4_harm_no_archive", Format::Ext4);
}

#[test]
fn power_cuts_on_ext4_that_does_not_order_data_harm_no_archive() {
    cuts_lose_nothing("power_cuts_on_ext4_that_does_not_order_data_harm_no_archive", Format::Ext4Writeback);
}

#[test]
fn power_cuts_on_xfs_harm_no_archive() {
    cuts_lose_nothing("power_cuts_on_xfs_harm_no_archive", Format::Xfs);
}
