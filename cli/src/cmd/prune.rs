//! `vault prune`.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use jiff::tz::TimeZone;
use vault_engine::ops::archives::Selector;
use vault_engine::ops::compact::{self, CompactOptions, CompactReport};
use vault_engine::ops::prune::{
    self, Count, Fate, Judged, Oldest, Period, PruneOptions, PruneReport, Rules, SeriesPattern,
};
use vault_engine::repository::Repository;

use super::compact::{lines, say_left};
use super::delete::parse_glob;
use crate::args::{OldestRule, PruneArgs};
use crate::exit::{Exit, usage};
use crate::json::{CompactionJson, PruneJson};
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::session::{Caller, Purpose};
use crate::state::Memory;
use crate::{render, selector, time};

/// Deletes what no rule keeps.
pub(super) fn run(caller: Caller<'_>, args: &PruneArgs) -> Result<Exit> {
    let (prefix, series) = super::addresses(&args.series, "SERIES")?;
    let options = options(args, &series)?;
    let place = caller.place(prefix)?;
    let purpose = if args.compact { Purpose::Write } else { Purpose::Read };
    let repository = caller.open(&place, purpose)?;

    let show = Show { verbose: caller.common.verbose, ..Show::QUIET };
    let console = Console::new(show, caller.signals);
    let memory = Memory::recall(&repository, &console);
    let pruned = prune::prune(&repository, &options, &console);
    memory.keep_or_warn(&repository, &console);
    let report = pruned?;
    // After a dry run there is nothing to free.
    let compacted = (args.compact && !args.dry_run)
        .then(|| compact::compact(&repository, &CompactOptions::default(), &console))
        .transpose();
    let exit = Exit::with_warnings(console.warnings());
    drop(console);

    // What was deleted is told, whatever became of the compaction.
    let freed = compacted.as_ref().ok().and_then(Option::as_ref);
    let printed = print(&repository, &report, freed, args, caller.common.verbose);
    if let Some(advice) = &report.advice {
        crate::say(&format!("vault: note: {}", render::text(advice)));
    }
    compacted?.iter().for_each(say_left);
    out::ended(printed, exit)
}

fn options(args: &PruneArgs, series: &[&str]) -> Result<PruneOptions> {
    let rules = [
        (Period::Last, args.keep_last),
        (Period::Minutely, args.keep_minutely),
        (Period::Hourly, args.keep_hourly),
        (Period::Daily, args.keep_daily),
        (Period::Weekly, args.keep_weekly),
        (Period::Monthly, args.keep_monthly),
        (Period::ThirteenWeekly, args.keep_13weekly),
        (Period::ThreeMonthly, args.keep_3monthly),
        (Period::Yearly, args.keep_yearly),
    ];
    let keep = rules.into_iter().filter_map(|(period, number)| Some((period, Count::from_signed(number?)?)));
    Ok(PruneOptions {
        series: series.iter().filter(|text| !text.is_empty()).map(|text| parse_series(text)).collect::<Result<_>>()?,
        glob: args.glob_archives.as_deref().map(parse_glob).transpose()?,
        group_by_name: args.group_by.is_some(),
        rules: Rules {
            within: args.keep_within,
            keep: keep.collect(),
            oldest: match args.oldest {
                OldestRule::Every => Oldest::Every,
                OldestRule::Coarsest => Oldest::Coarsest,
            },
        },
        zone: args.tz.as_deref().map_or_else(|| Ok(TimeZone::system()), time::parse_zone).context("--tz")?,
        now: vault_engine::clock::now(),
        dry_run: args.dry_run,
        allow_emptying: args.force >= 2,
    })
}

fn parse_series(text: &str) -> Result<SeriesPattern> {
    match selector::parse(text, &TimeZone::UTC) {
        Ok(Selector::Series { host, name, back: 0 }) if !text.contains('~') => Ok(SeriesPattern { host, name }),
        _ => Err(usage(format!("{text:?} names no series: write [HOST/]NAME; `-a GLOB` means archives by wildcards"))),
    }
}

fn print(
    repository: &Repository,
    report: &PruneReport,
    compacted: Option<&CompactReport>,
    args: &PruneArgs,
    verbose: bool,
) -> Result<()> {
    let mut out = Out::new();
    if args.json {
        let compact = compacted.map(|report| CompactionJson::of(report, false));
        out.json(&PruneJson::of(repository, report, args.dry_run, compact))?;
        return out.finish();
    }
    if args.list {
        list(report, args.dry_run).into_iter().try_for_each(|line| out.line(line))?;
    }
    // Silent in cron.
    if args.dry_run || verbose || io::stdout().is_terminal() {
        out.line(summary(report, args))?;
        if let Some(report) = compacted {
            lines(report, false).into_iter().try_for_each(|line| out.line(line))?;
        }
    }
    out.finish()
}

fn summary(report: &PruneReport, args: &PruneArgs) -> String {
    let archives = render::count(report.pruned(), "archive");
    let kept = report.kept();
    match (args.dry_run, args.compact, report.pruned()) {
        (true, _, _) => format!("would delete {archives} and keep {kept}"),
        (false, true, _) | (false, _, 0) => format!("deleted {archives}, kept {kept}"),
        (false, false, _) => format!("deleted {archives}, kept {kept}; `vault compact` frees their space"),
    }
}

/// Each archive as borg shows it: what happens, which rule keeps it, its name, time and id.
fn list(report: &PruneReport, dry_run: bool) -> Vec<String> {
    let mut number = 0;
    let rows = report.archives.iter().map(|Judged { archive, fate, .. }| {
        let what = match fate {
            Fate::Kept(rule) => format!("Keeping archive (rule: {rule}):"),
            Fate::Protected => "Keeping archive (protected):".to_owned(),
            Fate::Unconfirmed => "Leaving archive (a compaction may drop it):".to_owned(),
            Fate::Pruned if dry_run => "Would prune:".to_owned(),
            Fate::Pruned => {
                number += 1;
                format!("Pruning archive ({number}/{}):", report.pruned())
            }
        };
        let manifest = &archive.manifest;
        let name = format!("{}/{}", render::text(&manifest.host), render::text(&manifest.name));
        vec![what, name, time::local(manifest.time), format!("[aid:{}]", archive.id)]
    });
    render::table(rows.collect(), &[])
}
