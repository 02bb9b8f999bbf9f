//! Which archives a prune keeps: borg's rules as one pure function of archives, rules, now and a time zone.
//!
//! docs/retention.md has the semantics in prose and a picture. Nothing here reads a clock, a zone from the
//! environment or a repository, so that a decision can be repeated, explained and compared with borg's.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::id::ArchiveId;
use crate::meta::Timestamp;

/// What a rule counts in. The order is that in which rules are applied, whatever the order in which they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Every archive is a period of its own.
    Last,
    /// Minutes of the clock on the wall.
    Minutely,
    /// Hours of the clock on the wall.
    Hourly,
    /// Days of the calendar.
    Daily,
    /// Weeks of ISO 8601, from Monday to Sunday.
    Weekly,
    /// Months of the calendar.
    Monthly,
    /// Quarters of thirteen ISO weeks; the last of a long year has fourteen.
    ThirteenWeekly,
    /// Quarters of three months.
    ThreeMonthly,
    /// Years of the calendar.
    Yearly,
}

impl Period {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 9] = [
        Self::Last,
        Self::Minutely,
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::ThirteenWeekly,
        Self::ThreeMonthly,
        Self::Yearly,
    ];

    /// What equal moments of one period have in common; `None` where no two archives share one.
    fn of(self, local: DateTime) -> Option<[i16; 5]> {
        let (year, month, day) = (local.year(), i16::from(local.month()), i16::from(local.day()));
        let (hour, minute) = (i16::from(local.hour()), i16::from(local.minute()));
        // January 1st may be in the last week of the year before: a week has a year of its own.
        let iso = local.date().iso_week_date();
        let week = i16::from(iso.week());
        match self {
            Self::Last => None,
            Self::Minutely => Some([year, month, day, hour, minute]),
            Self::Hourly => Some([year, month, day, hour, 0]),
            Self::Daily => Some([year, month, day, 0, 0]),
            Self::Weekly => Some([iso.year(), week, 0, 0, 0]),
            Self::Monthly => Some([year, month, 0, 0, 0]),
            Self::ThirteenWeekly => Some([iso.year(), ((week - 1) / 13).min(3), 0, 0, 0]),
            Self::ThreeMonthly => Some([year, (month - 1) / 3, 0, 0, 0]),
            Self::Yearly => Some([year, 0, 0, 0, 0]),
        }
    }
}

impl fmt::Display for Period {
    /// The option's name without `--keep-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::Minutely => "minutely",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::ThirteenWeekly => "13weekly",
            Self::ThreeMonthly => "3monthly",
            Self::Yearly => "yearly",
        })
    }
}

/// How many periods a rule keeps the newest archive of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// So many, at least one.
    Of(u32),
    /// However many there are.
    All,
}

impl Count {
    /// The number of a command line as borg reads it: negative is all, zero switches the rule off.
    pub fn from_signed(number: i64) -> Option<Self> {
        match number {
            0 => None,
            ..0 => Some(Self::All),
            // More archives than that there are not; it stays a number that is not reached.
            1.. => Some(Self::Of(u32::try_from(number).unwrap_or(u32::MAX))),
        }
    }

    fn is_reached(self, kept: u32) -> bool {
        match self {
            Self::Of(number) => kept >= number,
            Self::All => false,
        }
    }
}

/// A span of time as `--keep-within` takes it: a whole number of hours, days, weeks, months or years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    number: u32,
    unit: Unit,
}

/// The units of an interval, as long as borg has them: no calendar is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

impl Unit {
    const ALL: [Self; 5] = [Self::Hours, Self::Days, Self::Weeks, Self::Months, Self::Years];

    const fn hours(self) -> i64 {
        match self {
            Self::Hours => 1,
            Self::Days => 24,
            Self::Weeks => 7 * 24,
            Self::Months => 31 * 24,
            Self::Years => 365 * 24,
        }
    }

    const fn letter(self) -> &'static str {
        match self {
            Self::Hours => "H",
            Self::Days => "d",
            Self::Weeks => "w",
            Self::Months => "m",
            Self::Years => "y",
        }
    }
}

impl Interval {
    /// The longest that can be meant: the calendar of this program ends with the year 9999.
    const MOST_HOURS: i64 = 10_000 * Unit::Years.hours();

    /// Its length.
    pub const fn seconds(self) -> i64 {
        self.hours() * 3600
    }

    const fn hours(self) -> i64 {
        // Four billion times the hours of a year are far from the end of an i64.
        self.number as i64 * self.unit.hours()
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit.letter())
    }
}

impl FromStr for Interval {
    type Err = IntervalProblem;

    fn from_str(text: &str) -> Result<Self, IntervalProblem> {
        let whole = || text.to_owned();
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, unit) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if digits.is_empty() || unit.contains(|letter: char| !letter.is_alphabetic()) {
            return Err(IntervalProblem::NoNumber { text: whole() });
        }
        if unit.is_empty() {
            return Err(IntervalProblem::NoUnit { text: whole() });
        }
        let Some(unit) = Unit::ALL.into_iter().find(|known| known.letter() == unit) else {
            return Err(IntervalProblem::UnknownUnit { text: whole(), unit: unit.to_owned() });
        };
        if negative {
            return Err(IntervalProblem::Negative { text: whole() });
        }
        match digits.parse().map(|number| Self { number, unit }) {
            Ok(interval) if interval.number == 0 => Err(IntervalProblem::Zero { text: whole() }),
            Ok(interval) if interval.hours() <= Self::MOST_HOURS => Ok(interval),
            _ => Err(IntervalProblem::TooLarge { text: whole() }),
        }
    }
}

/// Why a text is no [`Interval`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IntervalProblem {
    /// It does not begin with a whole number, or something is between number and unit.
    #[error("{text:?} is not a whole number and a unit, such as 12H, 2d, 4w, 6m or 1y")]
    NoNumber {
        /// What was given.
        text: String,
    },
    /// It is a number alone.
    #[error(
        "{text:?} has no unit: write {text}H for hours, {text}d days, {text}w weeks, {text}m months, {text}y years"
    )]
    NoUnit {
        /// What was given.
        text: String,
    },
    /// Units are one letter, and upper and lower case differ.
    #[error(
        "{text:?} has the unknown unit {unit:?}: there are H (hours), d (days), w (weeks), m (months of 31 days) and y (years of 365 days)"
    )]
    UnknownUnit {
        /// What was given.
        text: String,
        /// What stands where the unit should.
        unit: String,
    },
    /// Nothing is newer than now.
    #[error(
        "{text:?} keeps nothing: an interval is at least 1H; leave --keep-within out to keep by the other rules alone"
    )]
    Zero {
        /// What was given.
        text: String,
    },
    /// An interval always reaches into the past.
    #[error("{text:?} is negative: an interval reaches back from now, write it without the sign")]
    Negative {
        /// What was given.
        text: String,
    },
    /// Longer than anything that can be meant.
    #[error("{text:?} is too long: at most 10000y; --keep-last -1 keeps every archive")]
    TooLarge {
        /// What was given.
        text: String,
    },
}

/// Which rules keep the oldest archive when they end short of their count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Oldest {
    /// Every rule with a number, so that the finest of those that fall short does: borg 1.2 to 1.4.
    #[default]
    Every,
    /// The coarsest rule alone, and it also when it keeps all: borg 2.
    Coarsest,
}

/// A policy: what a prune is to keep.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rules {
    /// Everything younger than this is kept, before any rule counts.
    pub within: Option<Interval>,
    /// In any order, each period at most once.
    pub keep: Vec<(Period, Count)>,
    /// Who keeps the oldest archive.
    pub oldest: Oldest,
}

impl Rules {
    /// Refuses what nobody can mean. [`decide`] takes such rules as they stand: empty ones keep nothing.
    pub fn validate(&self) -> Result<(), RulesProblem> {
        if self.within.is_none() && self.keep.is_empty() {
            return Err(RulesProblem::Empty);
        }
        let times = |period| self.keep.iter().filter(|(other, _)| *other == period).count();
        if let Some(period) = Period::ALL.into_iter().find(|period| times(*period) > 1) {
            return Err(RulesProblem::Twice { period });
        }
        if let Some((period, _)) = self.keep.iter().find(|(_, count)| *count == Count::Of(0)) {
            return Err(RulesProblem::Zero { period: *period });
        }
        if times(Period::ThirteenWeekly) > 0 && times(Period::ThreeMonthly) > 0 {
            return Err(RulesProblem::BothQuarters);
        }
        Ok(())
    }

    fn in_order(&self) -> Vec<(Period, Count)> {
        let mut keep = self.keep.clone();
        keep.sort_by_key(|(period, _)| *period);
        keep
    }

    /// Whether a rule that kept so many is one that also keeps the oldest archive.
    fn keeps_oldest(&self, period: Period, count: Count, kept: u32) -> bool {
        let is_coarsest = self.keep.iter().all(|(other, _)| *other <= period);
        match (self.oldest, count) {
            (Oldest::Every, Count::All) => false,
            (Oldest::Every, Count::Of(_)) => !count.is_reached(kept),
            (Oldest::Coarsest, _) => is_coarsest && !count.is_reached(kept),
        }
    }
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RulesProblem {
    /// Nothing would be kept.
    #[error("no rule says what to keep: give at least one, such as --keep-daily 7 or --keep-within 30d")]
    Empty,
    /// Two counts for one period.
    #[error("--keep-{period} is given twice: give one number")]
    Twice {
        /// What both count in.
        period: Period,
    },
    /// A rule that is there and keeps nothing.
    #[error("--keep-{period} 0 keeps nothing: leave the rule out, or give a number from 1, or -1 for all")]
    Zero {
        /// What it counts in.
        period: Period,
    },
    /// Two kinds of quarters, whose edges are days apart.
    #[error("--keep-13weekly and --keep-3monthly are two kinds of quarters: give one of them")]
    BothQuarters,
}

/// One archive to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Which one. Of archives with equal times the one with the greater id counts as newer.
    pub id: ArchiveId,
    /// Its nominal time.
    pub time: Timestamp,
}

/// What becomes of one archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Which one.
    pub id: ArchiveId,
    /// Why it is kept; `None`: it is to be deleted.
    pub kept_by: Option<KeptBy>,
}

/// The rule that keeps an archive, and the how-manieth it is of that rule. Displays as `daily #3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeptBy {
    /// The rule.
    pub rule: Rule,
    /// Whether it was kept only for being the oldest of all.
    pub oldest: bool,
    /// Counts from 1, newest first, for each rule.
    pub number: u32,
}

/// What can keep an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// It is younger than the interval.
    Within,
    /// It is the newest archive of a period.
    Newest(Period),
}

impl fmt::Display for KeptBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::Within => f.write_str("within")?,
            Rule::Newest(period) => period.fmt(f)?,
        }
        write!(f, "{} #{}", if self.oldest { "[oldest]" } else { "" }, self.number)
    }
}

/// The whole of prune's judgement about one group of archives, newest first.
///
/// Archives that no rule may touch, protected ones, are not to be among them.
pub fn decide(archives: &[Candidate], rules: &Rules, now: Timestamp, zone: &TimeZone) -> Vec<Decision> {
    let mut judged: Vec<Judged> = archives.iter().map(|candidate| Judged::new(*candidate, zone)).collect();
    judged.sort_by_key(|archive| Reverse((archive.candidate.time, archive.candidate.id)));
    if let Some(within) = rules.within {
        keep_within(&mut judged, within, now);
    }
    for (period, count) in rules.in_order() {
        let kept = keep_newest(&mut judged, period, count);
        if rules.keeps_oldest(period, count, kept)
            && let Some(oldest) = judged.last_mut().filter(|oldest| oldest.kept_by.is_none())
        {
            oldest.kept_by = Some(KeptBy { rule: Rule::Newest(period), oldest: true, number: kept + 1 });
        }
    }
    judged.into_iter().map(|Judged { candidate, kept_by, .. }| Decision { id: candidate.id, kept_by }).collect()
}

/// An archive while rules are applied to it.
#[derive(Debug)]
struct Judged {
    candidate: Candidate,
    /// What calendar and clock on the wall said.
    local: DateTime,
    kept_by: Option<KeptBy>,
}

impl Judged {
    fn new(candidate: Candidate, zone: &TimeZone) -> Self {
        let seconds = candidate.time.seconds;
        // Beyond the calendar's ends all archives share a period, and are still in the order of their times.
        let end = if seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let instant = jiff::Timestamp::from_second(seconds).unwrap_or(end);
        Self { candidate, local: zone.to_datetime(instant), kept_by: None }
    }
}

/// Keeps what is younger than the interval; an archive exactly so old is not.
fn keep_within(judged: &mut [Judged], within: Interval, now: Timestamp) {
    let edge = Timestamp { seconds: now.seconds.saturating_sub(within.seconds()), ..now };
    let young = judged.iter_mut().filter(|archive| archive.candidate.time > edge);
    for (number, archive) in (1..).zip(young) {
        archive.kept_by = Some(KeptBy { rule: Rule::Within, oldest: false, number });
    }
}

/// Keeps the newest archive of each period, until it has kept as many as it should; how many it kept.
///
/// A period whose newest archive an earlier rule kept is used up: it does not count, and its second newest is not
/// taken instead. Only neighbours are compared, as in borg: when the clock is set back, an hour of it that comes
/// twice is two stretches of the same minutes, and each minute is found in both.
fn keep_newest(judged: &mut [Judged], period: Period, count: Count) -> u32 {
    let mut kept = 0;
    let mut last = None;
    for archive in judged {
        if count.is_reached(kept) {
            break;
        }
        let current = period.of(archive.local);
        let is_newest = current.is_none() || current != last;
        last = current;
        if is_newest && archive.kept_by.is_none() {
            kept += 1;
            archive.kept_by = Some(KeptBy { rule: Rule::Newest(period), oldest: false, number: kept });
        }
    }
    kept
}
