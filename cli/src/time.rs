//! Times as people write and read them: local, with an offset where it matters, RFC 3339 for machines.

use anyhow::{Context, Result};
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp as Instant, Unit, Zoned};
use vault_engine::meta::Timestamp;

use crate::exit::usage;

const LAST_NANOSECOND: u32 = 999_999_999;

/// Now, in the local time zone.
pub(crate) fn now() -> Zoned {
    let now = instant(vault_engine::clock::now()).unwrap_or(Instant::UNIX_EPOCH);
    now.to_zoned(TimeZone::system())
}

/// The engine's time as jiff's; `None` beyond the year 9999.
fn instant(time: Timestamp) -> Option<Instant> {
    Instant::new(time.seconds, i32::try_from(time.nanoseconds).ok()?).ok()
}

/// Jiff's time as the engine's.
pub(crate) fn timestamp(instant: Instant) -> Timestamp {
    let nanoseconds = instant.subsec_nanosecond();
    match u32::try_from(nanoseconds) {
        Ok(nanoseconds) => Timestamp { seconds: instant.as_second(), nanoseconds },
        // Before 1970 jiff counts both backwards; ours always counts nanoseconds forward.
        Err(_) => Timestamp {
            seconds: instant.as_second() - 1,
            nanoseconds: u32::try_from(1_000_000_000 + nanoseconds).unwrap_or(0),
        },
    }
}

/// RFC 3339 with the offset given, in whole minutes, because it knows no others; an offset out of range counts as UTC. `None` beyond the year 9999.
pub(crate) fn rfc3339(time: Timestamp, utc_offset_seconds: i32) -> Option<String> {
    let offset = Offset::from_seconds(utc_offset_seconds / 60 * 60).unwrap_or(Offset::UTC);
    Some(instant(time)?.display_with_offset(offset).to_string())
}

/// RFC 3339 in the local time zone. `None` beyond the year 9999.
pub(crate) fn rfc3339_local(time: Timestamp) -> Option<String> {
    let offset = TimeZone::system().to_offset(instant(time)?);
    rfc3339(time, offset.seconds())
}

/// Local time to the second, for people.
pub(crate) fn local(time: Timestamp) -> String {
    match instant(time) {
        Some(instant) => instant.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => format!("@{}", time.seconds),
    }
}

/// A point in time as the user gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// When.
    pub(crate) time: Timestamp,
    /// Offset of the place it was said at.
    pub(crate) utc_offset_seconds: i32,
    /// Whether no offset was given, so that the local time zone was taken.
    pub(crate) naive: bool,
}

/// `--timestamp`: a date (its begin) or a date and time, with or without an offset.
pub(crate) fn parse_moment(text: &str) -> Result<Moment> {
    let (moment, _) = parse(text, &TimeZone::system())?;
    let time = timestamp(moment.zoned.timestamp());
    Ok(Moment { time, utc_offset_seconds: moment.zoned.offset().seconds(), naive: moment.naive })
}

/// A limit in a selector: a date means its end, and a time the end of the second that it names.
pub(crate) fn parse_limit(text: &str, zone: &TimeZone) -> Result<Timestamp> {
    let (moment, date_only) = parse(text, zone)?;
    if date_only {
        let day_after = moment.zoned.tomorrow().and_then(|day| day.start_of_day());
        let end = day_after.with_context(|| format!("{text:?} is too far away"))?.timestamp();
        return Ok(Timestamp { seconds: end.as_second() - 1, nanoseconds: LAST_NANOSECOND });
    }
    let limit = timestamp(moment.zoned.timestamp());
    let whole_second = limit.nanoseconds == 0 && !text.contains('.');
    Ok(if whole_second { Timestamp { nanoseconds: LAST_NANOSECOND, ..limit } } else { limit })
}

struct Parsed {
    zoned: Zoned,
    naive: bool,
}

fn parse(text: &str, zone: &TimeZone) -> Result<(Parsed, bool)> {
    let bad =
        || usage(format!("{text:?} is no time: write 2026-11-20 or 2026-11-20T03:00, with +01:00 or Z if wanted"));
    let (date, rest) = text.split_at_checked(10).ok_or_else(bad)?;
    let date: Date = date.parse().map_err(|_| bad())?;
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let local: DateTime = match time.strip_prefix(['T', 't', ' ']) {
        Some(clock) => date.to_datetime(clock_time(clock).ok_or_else(bad)?),
        None if time.is_empty() => date.into(),
        None => return Err(bad()),
    };
    let naive = offset.is_empty();
    let zone = if naive { zone.clone() } else { fixed_zone(offset).ok_or_else(bad)? };
    let zoned = local.to_zoned(zone).map_err(|_| bad())?;
    Ok((Parsed { zoned, naive }, time.is_empty()))
}

/// `03:00`, `03:00:59` or `03:00:59.25`; jiff alone would also take `03`.
fn clock_time(text: &str) -> Option<jiff::civil::Time> {
    let starts_with_minutes = text.get(2..3) == Some(":");
    if starts_with_minutes { text.parse().ok() } else { None }
}

fn fixed_zone(text: &str) -> Option<TimeZone> {
    if text.eq_ignore_ascii_case("z") {
        return Some(TimeZone::UTC);
    }
    // jiff reads an offset as part of a time only.
    let probe = format!("2000-01-01T00:00{text}");
    let offset_seconds = 946_684_800 - probe.parse::<Instant>().ok()?.as_second();
    Some(Offset::from_seconds(i32::try_from(offset_seconds).ok()?).ok()?.to_time_zone())
}

/// `--tz`: a name of the time zone database, or an offset.
pub(crate) fn parse_zone(text: &str) -> Result<TimeZone> {
    let offset = text.starts_with(['+', '-']).then(|| fixed_zone(text)).flatten();
    let zone = offset.or_else(|| TimeZone::get(text).ok().filter(|_| !text.is_empty()));
    zone.ok_or_else(|| {
        usage(format!("{text:?} is no time zone that this machine knows: write Europe/Berlin, UTC or +02:00"))
    })
}

/// Rounds a duration for people: `1.25s`.
pub(crate) fn seconds(duration: std::time::Duration) -> f64 {
    let rounded = jiff::SignedDuration::try_from(duration)
        .ok()
        .and_then(|signed| signed.round(jiff::SignedDurationRound::new().smallest(Unit::Millisecond)).ok());
    rounded.map_or(0.0, |signed| signed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[track_caller]
    fn limit(text: &str, expected: &str) {
        let found = parse_limit(text, &berlin()).unwrap();
        assert_eq!(rfc3339(found, 0).unwrap(), expected);
    }

    #[test]
    fn a_date_means_its_end_in_the_local_zone() {
        limit("2026-11-20", "2026-11-20T22:59:59.999999999+00:00");
        limit("2026-07-01", "2026-07-01T21:59:59.999999999+00:00");
        // The day on which clocks go back has 25 hours.
        limit("2026-10-25", "2026-10-25T22:59:59.999999999+00:00");
        limit("2026-11-20Z", "2026-11-20T23:59:59.999999999+00:00");
    }

    #[test]
    fn a_time_means_the_second_that_it_names() {
        limit("2026-11-20T03:00", "2026-11-20T02:00:00.999999999+00:00");
        limit("2026-11-20T03:00:07", "2026-11-20T02:00:07.999999999+00:00");
        limit("2026-11-20T03:00:07.25", "2026-11-20T02:00:07.25+00:00");
        limit("2026-11-20T03:00Z", "2026-11-20T03:00:00.999999999+00:00");
        limit("2026-11-20T03:00:00-05:30", "2026-11-20T08:30:00.999999999+00:00");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-20T",
            "2026-11-20T3",
            "2026-11-20T25:00",
            "2026-11-20x",
            "2026-11-20T03:00+99:00",
            "2026-11-2ö",
            "2026-11-20T03",
        ] {
            assert!(parse_limit(text, &berlin()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_keeps_its_offset() {
        let moment = parse_moment("2026-11-20T03:00:00+02:00").unwrap();
        assert_eq!((moment.utc_offset_seconds, moment.naive), (7200, false));
        assert_eq!(rfc3339(moment.time, 7200).unwrap(), "2026-11-20T03:00:00+02:00");
        assert!(parse_moment("2026-11-20T03:00:00").unwrap().naive);
        assert!(parse_moment("2026-11-20").unwrap().naive);
    }

    #[test]
    fn an_offset_with_seconds_is_shown_as_one_without() {
        let moment = parse_moment("1890-01-01T12:00:00+00:53:28").unwrap();
        assert_eq!(moment.utc_offset_seconds, 3208);
        let shown = rfc3339(moment.time, moment.utc_offset_seconds).unwrap();
        assert_eq!(shown, "1890-01-01T11:59:32+00:53");
        assert_eq!(parse_moment(&shown).unwrap().time, moment.time);
    }

    #[test]
    fn times_before_1970_and_beyond_all_calendars() {
        let before = Timestamp { seconds: -2, nanoseconds: 500_000_000 };
        assert_eq!(rfc3339(before, 0).unwrap(), "1969-12-31T23:59:58.5+00:00");
        assert_eq!(timestamp(instant(before).unwrap()), before);
        assert_eq!(rfc3339(Timestamp { seconds: i64::MAX, nanoseconds: 0 }, 0), None);
        assert_eq!(local(Timestamp { seconds: i64::MAX, nanoseconds: 0 }), format!("@{}", i64::MAX));
    }
}
