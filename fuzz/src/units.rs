//! Sizes, durations, shares, times and time zones as users write them: read without a panic, and what was read can be
//! written so that it reads back the same.

use std::time::Duration;

use jiff::tz::TimeZone;
use vault_engine::meta::Timestamp;

use crate::cli::{time, units};

/// Two texts with a NUL between them, each read as everything.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, other) = text.split_once('\0').unwrap_or((&text, "1h"));
    size(text);
    durations(text, other);
    if let Ok(percent) = units::percent(text) {
        assert!(percent <= 100, "more than the whole");
        assert_eq!(units::percent(&format!("{percent}%")), Ok(percent));
    }
    if let Ok(share) = units::subset(text) {
        assert_eq!(units::subset(&text.to_ascii_uppercase()), Ok(share), "{text:?}: a unit's case counts");
    }
    times(text, other);
}

fn size(text: &str) {
    let Ok(bytes) = units::size(text) else { return };
    assert_eq!(units::size(&bytes.to_string()), Ok(bytes), "{text:?}: the bytes are another size");
    assert_eq!(units::size(&text.to_ascii_uppercase()), Ok(bytes), "{text:?}: a unit's case counts");
}

/// Durations are read to the millisecond, and one behind another is their sum.
fn durations(text: &str, other: &str) {
    let Ok(duration) = units::duration(text) else { return };
    let written = format!("{}.{:03}s", duration.as_secs(), duration.subsec_millis());
    assert_eq!(units::duration(&written), Ok(duration), "{text:?} written out is another duration");
    let has_unit = |text: &str| text != "0";
    if let Ok(more) = units::duration(other)
        && has_unit(text)
        && has_unit(other)
    {
        let sum: Option<Duration> = duration.checked_add(more);
        assert_eq!(units::duration(&format!("{text}{other}")).ok(), sum, "{text:?} and {other:?}");
    }
}

fn times(text: &str, other: &str) {
    let zone = time::parse_zone(other).unwrap_or(TimeZone::UTC);
    if let Ok(limit) = time::parse_limit(text, &zone) {
        let written = exact(limit);
        assert_eq!(time::parse_limit(&written, &TimeZone::UTC).ok(), Some(limit), "{text:?} is not {written}");
    }
    if let Ok(moment) = time::parse_moment(text) {
        let written = time::rfc3339(moment.time, moment.utc_offset_seconds).expect("a time that was read");
        let again = time::parse_moment(&written).ok();
        assert_eq!(again.map(|again| again.time), Some(moment.time), "{text:?} is not {written}");
    }
}

/// A limit in words that mean this moment and not the end of its second.
pub(crate) fn exact(limit: Timestamp) -> String {
    let written = time::rfc3339(limit, 0).expect("a time that was read");
    if limit.nanoseconds == 0 { written.replace("+00:00", ".0+00:00") } else { written }
}
