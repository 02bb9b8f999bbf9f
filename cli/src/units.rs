//! Sizes, durations and shares as people write them: `10GiB`, `500M`, `90s`, `2h`, `7d`, `10`.

use std::time::Duration;

use vault_engine::ops::check::Share;

/// A size in bytes: `k M G T` and `kB MB GB TB` are powers of 1000, `KiB MiB GiB TiB` of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no size: write 500M, 2.5G or 10GiB");
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    scaled(number, u128::from(factor)).and_then(|bytes| u64::try_from(bytes).ok()).ok_or_else(bad)
}

/// A duration: `90s`, `30m`, `2h`, `7d`, `2w`, or several of them, `1h30m`. Only 0 needs no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = |problem: &str| format!("{text:?} is no duration: {problem} write 90s, 30m (minutes), 2h, 7d or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, behind) = split(rest);
        let length = behind.find(|letter: char| !letter.is_alphabetic()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at_checked(length).unwrap_or((behind, ""));
        let milliseconds: u128 = match unit {
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" | "H" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "" => return Err(bad("it has no unit;")),
            _ => return Err(bad(&format!("there is no unit {unit:?};"))),
        };
        let part = scaled(number, milliseconds).and_then(|sum| u64::try_from(sum).ok());
        let part = part.map(Duration::from_millis).ok_or_else(|| bad("a number is missing or too large;"))?;
        total = total.checked_add(part).ok_or_else(|| bad("it is too long;"))?;
        rest = next;
    }
    if text.is_empty() { Err(bad("it is empty;")) } else { Ok(total) }
}

/// A whole number of percent, with or without the sign.
pub(crate) fn percent(text: &str) -> Result<u8, String> {
    let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
    let number = digits.parse::<u8>().ok().filter(|number| *number <= 100 && !digits.starts_with('+'));
    number.ok_or_else(|| format!("{text:?} is no share: write a whole number of percent, 0 to 100"))
}

/// A share of the packs: `5%`, `2/7` or `10GiB`. A number alone may mean any of them, so it is refused.
pub(crate) fn subset(text: &str) -> Result<Share, String> {
    let bad =
        |problem: &str| format!("{text:?} is no subset: {problem} write 5%, 2/7 (the second of seven parts) or 10GiB");
    if let Some((number, of)) = text.split_once('/') {
        let number: u64 = number.parse().map_err(|_| bad("what stands before the / is no whole number;"))?;
        let of: u64 = of.parse().map_err(|_| bad("what stands behind the / is no whole number;"))?;
        return match number {
            0 => Err(bad("parts are counted from 1;")),
            _ if number > of => Err(bad("there is no such part;")),
            _ => Ok(Share::Part { number, of }),
        };
    }
    if text.ends_with('%') {
        let share = percent(text).map_err(|_| bad("a share is 1 % to 100 %, in whole percent;"))?;
        return if share == 0 { Err(bad("0 % is nothing;")) } else { Ok(Share::Percent(share)) };
    }
    if !text.contains(char::is_alphabetic) {
        return Err(bad("it has no unit;"));
    }
    match size(text).map_err(|_| bad("it has no unit that is known;"))? {
        0 => Err(bad("it is nothing;")),
        bytes => Ok(Share::Bytes(bytes)),
    }
}

/// The digits and the point that a text begins with, and what follows, blanks between them left out.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (number, rest.trim_start())
}

/// A decimal number times a factor, rounded down. `None`: it is no number, or has no end.
fn scaled(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let tenths = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(factor)?.checked_add(fraction.checked_mul(factor)? / tenths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("123"), Ok(123));
        assert_eq!(size("500M"), Ok(500_000_000));
        assert_eq!(size("2.5G"), Ok(2_500_000_000));
        assert_eq!(size("10GiB"), Ok(10 << 30));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        assert_eq!(size("3tb"), Ok(3_000_000_000_000));
        for text in ["", "M", "-1", "1X", "1.M", ".5M", "1,5G", "99999999999T", "1 2", "1MiBs", "1..5"] {
            assert!(size(text).unwrap_err().contains("10GiB"), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let seconds = |text: &str| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("0.5h"), Ok(1800));
        assert_eq!(seconds("7d"), Ok(7 * 86400));
        assert_eq!(seconds("2w"), Ok(14 * 86400));
        assert!(duration("30").unwrap_err().contains("no unit"));
        assert!(duration("3M").unwrap_err().contains("\"M\""));
        for text in ["", "h", "-1h", "1y", "1h2", "99999999999999999999d", "1 h h"] {
            assert!(duration(text).unwrap_err().contains("2h"), "{text}");
        }
    }

    #[test]
    fn a_subset_is_a_share_a_part_or_a_size() {
        assert_eq!(subset("5%"), Ok(Share::Percent(5)));
        assert_eq!(subset("100%"), Ok(Share::Percent(100)));
        assert_eq!(subset("1/1"), Ok(Share::Part { number: 1, of: 1 }));
        assert_eq!(subset("7/7"), Ok(Share::Part { number: 7, of: 7 }));
        assert_eq!(subset("10GiB"), Ok(Share::Bytes(10 << 30)));
        for (text, says) in [
            ("0%", "nothing"),
            ("101%", "1 % to 100 %"),
            ("2.5%", "whole percent"),
            ("%", "whole percent"),
            ("8/7", "no such part"),
            ("0/5", "counted from 1"),
            ("0/0", "counted from 1"),
            ("1/0", "no such part"),
            ("1/", "behind the /"),
            ("/5", "before the /"),
            ("1/2/3", "behind the /"),
            ("5", "no unit"),
            ("", "no unit"),
            ("10X", "unit that is known"),
            ("0GiB", "nothing"),
        ] {
            assert!(subset(text).unwrap_err().contains(says), "{text}: {:?}", subset(text));
        }
    }

    #[test]
    fn shares_are_whole_percent() {
        assert_eq!(percent("0"), Ok(0));
        assert_eq!(percent("100%"), Ok(100));
        for text in ["", "101", "-1", "+5", "1.5", "%"] {
            assert!(percent(text).unwrap_err().contains("0 to 100"), "{text}");
        }
    }
}
