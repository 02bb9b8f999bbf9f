//! The verbs that decide what stays: prune, delete, undelete, protect, unprotect, compact.
#![expect(clippy::doc_markdown, reason = "doc comments are help texts here, and backticks would show")]

use std::ffi::OsString;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use vault_engine::ops::prune::Interval;

use crate::units;

pub(super) const PRUNE_HELP: &str = "\
Each rule keeps the newest archive of its latest N periods (hours, days, ISO weeks, …), as borg 1.4 does; rules come in the
order above, and what one keeps the next does not count. A negative N is without end, 0 switches a rule off. Series are
thinned one by one; with -a all archives that match are one group, as scripts for borg expect. INTERVAL is a number
with H, d, w, m (31 days) or y. Deleted archives can be undeleted until `vault compact` frees their space.

Example:
  vault prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --list -n
  vault prune -a 'host1-db-*' --keep-within 2d -d 14 --compact";

/// `vault prune`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct PruneArgs {
    /// Only these series, [HOST/]NAME; REPO:: alone names a repository
    #[arg(value_name = "SERIES", conflicts_with = "glob_archives")]
    pub(crate) series: Vec<OsString>,
    /// Thin all archives whose NAME (or HOST/NAME) matches as one group
    #[arg(short = 'a', long, value_name = "GLOB")]
    pub(crate) glob_archives: Option<String>,
    /// Keep everything younger than this
    #[arg(long, value_name = "INTERVAL", allow_hyphen_values = true)]
    pub(crate) keep_within: Option<Interval>,
    /// Keep the newest N archives
    #[arg(long, value_name = "N", alias = "keep-secondly", allow_negative_numbers = true)]
    pub(crate) keep_last: Option<i64>,
    /// Keep N archives by the minute
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_minutely: Option<i64>,
    /// Keep N archives by the hour
    #[arg(short = 'H', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_hourly: Option<i64>,
    /// Keep N archives by the day
    #[arg(short = 'd', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_daily: Option<i64>,
    /// Keep N archives by the week, Monday to Sunday
    #[arg(short = 'w', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_weekly: Option<i64>,
    /// Keep N archives by the month
    #[arg(short = 'm', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_monthly: Option<i64>,
    /// Keep N archives by quarters of 13 weeks
    #[arg(long = "keep-13weekly", value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_13weekly: Option<i64>,
    /// Keep N archives by quarters of 3 months
    #[arg(long = "keep-3monthly", value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_3monthly: Option<i64>,
    /// Keep N archives by the year
    #[arg(short = 'y', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_yearly: Option<i64>,
    /// Where days begin: Europe/Berlin, UTC, +02:00 [default: local time]
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Which rules that fall short also keep the oldest archive: all, as borg 1.4, or the coarsest, as borg 2
    #[arg(long, value_enum, default_value_t = OldestRule::Every)]
    pub(crate) oldest: OldestRule,
    /// Thin series of one name on all hosts together
    #[arg(long, value_enum, value_name = "BY", conflicts_with = "glob_archives")]
    pub(crate) group_by: Option<GroupBy>,
    /// Say what would be deleted, delete nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Show every archive with the rule that keeps it
    #[arg(long)]
    pub(crate) list: bool,
    /// Show the same as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Then free space, as `vault compact` does
    #[arg(long)]
    pub(crate) compact: bool,
    /// Given twice: go on although nothing of a series is kept
    #[arg(long, action = ArgAction::Count)]
    pub(crate) force: u8,
}

/// Which rules that fall short keep the oldest archive too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OldestRule {
    /// Each
    Every,
    /// Only the one with the longest periods
    Coarsest,
}

/// What makes a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    /// The name, whatever the host
    Name,
}

/// `vault delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Which archives; one that is damaged by its full aid
    #[arg(value_name = "ARCHIVE", required_unless_present = "glob_archives")]
    pub(crate) archives: Vec<OsString>,
    /// All archives whose NAME (or HOST/NAME) matches
    #[arg(short = 'a', long, value_name = "GLOB")]
    pub(crate) glob_archives: Option<String>,
    /// Say what would be deleted, delete nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Show what was deleted as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `vault undelete`.
#[derive(Debug, Args)]
pub(crate) struct UndeleteArgs {
    /// Which of the deleted archives, as `vault list --deleted` shows them
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) archives: Vec<OsString>,
    /// Show what was made as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `vault protect` and `vault unprotect`.
#[derive(Debug, Args)]
pub(crate) struct ProtectArgs {
    /// Which archives
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) archives: Vec<OsString>,
}

/// `vault compact`.
#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    /// REPO:: names a repository
    #[arg(value_name = "REPO::")]
    pub(crate) repository: Option<OsString>,
    /// Rewrite a pack or block of which at least this share is dead; a fifth of it may be left dead over all packs
    #[arg(long, value_name = "PERCENT", default_value = "20", value_parser = units::percent)]
    pub(crate) threshold: u8,
    /// Copy at most this much out of packs that are partly alive: 500M, 10GiB
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) max_repack: Option<u64>,
    /// Begin nothing new after this: 90s, 30m, 2h
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) max_duration: Option<Duration>,
    /// How long to keep what a run has stored that made no archive, for it to go on or to be repeated
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = units::duration)]
    pub(crate) grace: Duration,
    /// Say what would be freed and why, change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Show what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show progress (on a terminal)
    #[arg(short, long)]
    pub(crate) progress: bool,
    #[command(flatten)]
    pub(crate) workers: super::Workers,
}
