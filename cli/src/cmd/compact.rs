//! `vault compact`.

use std::io::{self, IsTerminal};

use anyhow::Result;
use vault_engine::memory::Need;
use vault_engine::ops::compact::{self, CompactOptions, CompactReport};

use crate::args::CompactArgs;
use crate::exit::{Exit, usage};
use crate::json::CompactJson;
use crate::location::split_address;
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{Caller, Purpose};

/// Frees the space of what no archive needs.
pub(super) fn run(caller: Caller<'_>, args: &CompactArgs) -> Result<Exit> {
    let prefix = match args.repository.as_ref().map(|text| split_address(text)) {
        None => None,
        Some((Some(prefix), text)) if text.is_empty() => Some(prefix),
        Some(_) => return Err(usage("compact works on a whole repository: name it by -r REPO or REPO::")),
    };
    let place = caller.place(prefix)?;
    let repository = caller.open(&place, Purpose::Write)?;
    let options = CompactOptions {
        threshold: args.threshold,
        max_repack: args.max_repack,
        max_duration: args.max_duration,
        grace: args.grace,
        dry_run: args.dry_run,
        jobs: args.workers.count(Need::WRITE)?,
    };
    let show = Show { verbose: caller.common.verbose, list: false, progress: args.progress };
    let console = Console::new(show, caller.signals);
    let report = compact::compact(&repository, &options, &console)?;
    let exit = Exit::with_warnings(console.warnings());
    drop(console);

    let print = || {
        let mut out = Out::new();
        if args.json {
            out.json(&CompactJson::of(&repository, &report, args.dry_run))?;
        } else if args.dry_run || caller.common.verbose || io::stdout().is_terminal() {
            lines(&report, args.dry_run).into_iter().try_for_each(|line| out.line(line))?;
        }
        out.finish()
    };
    let printed = print();
    say_left(&report);
    out::ended(printed, exit)
}

/// Why more was not done.
pub(super) fn say_left(report: &CompactReport) {
    for reason in &report.left {
        crate::say(&format!("vault: note: {}", render::text(reason)));
    }
}

/// What was done and why, one line each, and what came of it.
pub(super) fn lines(report: &CompactReport, dry_run: bool) -> Vec<String> {
    let did = |past: &str, plain: &str| if dry_run { format!("would {plain}") } else { past.to_owned() };
    let mut lines = Vec::new();
    let mut say = |number: u64, line: String| {
        if number > 0 {
            lines.push(line);
        }
    };
    say(report.purged, format!("{} {}", did("purged", "purge"), render::count(report.purged, "deleted archive")));
    say(
        report.expired,
        format!(
            "{} {} that no run finished",
            did("expired", "expire"),
            render::count(report.expired, "pending archive")
        ),
    );
    say(
        report.dead_packs,
        format!(
            "{} {} ({}) of which nothing is needed",
            did("deleted", "delete"),
            render::count(report.dead_packs, "pack"),
            render::bytes(report.dead_bytes)
        ),
    );
    say(
        report.rewritten_packs,
        format!(
            "{} {} ({}) that are partly dead or small, copying {}",
            did("rewrote", "rewrite"),
            render::count(report.rewritten_packs, "pack"),
            render::bytes(report.rewritten_bytes),
            render::bytes(report.copied_bytes)
        ),
    );
    say(
        report.spared,
        format!(
            "{} {} that no archive needs: the run that stored them may go on or be repeated (see --grace)",
            did("kept", "keep"),
            render::count(report.spared, "pack")
        ),
    );
    let segments = report.segments_before.abs_diff(report.segments_after);
    say(
        segments,
        format!(
            "{} {} by {}",
            did("replaced", "replace"),
            render::count(report.segments_before, "index segment"),
            report.segments_after
        ),
    );
    lines.push(format!(
        "{} {} of {} in {}, {:.1} s",
        did("freed", "free"),
        render::bytes(report.freed_bytes),
        render::bytes(report.bytes_before),
        render::count(report.packs_before, "pack"),
        report.duration.as_secs_f64()
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_done_is_said() {
        let nothing = CompactReport { bytes_before: 5000, packs_before: 1, ..CompactReport::default() };
        assert_eq!(lines(&nothing, false), ["freed 0 B of 5.00 kB in 1 pack, 0.0 s"]);
        let report = CompactReport {
            purged: 2,
            dead_packs: 1,
            dead_bytes: 1000,
            rewritten_packs: 3,
            rewritten_bytes: 3000,
            copied_bytes: 2000,
            freed_bytes: 2000,
            ..nothing
        };
        let said = lines(&report, true);
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said.iter().all(|line| line.starts_with("would ")), "{said:?}");
        assert_eq!(said[0], "would purge 2 deleted archives");
        assert_eq!(said[2], "would rewrite 3 packs (3.00 kB) that are partly dead or small, copying 2.00 kB");
    }
}
