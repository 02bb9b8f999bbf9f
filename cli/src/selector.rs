//! ARCHIVE, as users write it: `[HOST/]NAME`, `NAME~1`, `NAME@2026-11-20`, `latest`, `aid:1234abcd`.

use anyhow::Result;
use jiff::tz::TimeZone;
use vault_engine::ops::archives::Selector;

use crate::exit::{Exit, failure};
use crate::time;

/// Reads a selector; dates without an offset are in `zone`.
pub(crate) fn parse(text: &str, zone: &TimeZone) -> Result<Selector> {
    if text == "latest" {
        return Ok(Selector::Latest);
    }
    if let Some(digits) = text.strip_prefix("aid:") {
        return by_id(text, digits);
    }
    let (host, rest) = match text.split_once('/') {
        Some(("", _)) => return Err(bad(text, "a repository is named by -r REPO, an archive by [HOST/]NAME")),
        Some((_, rest)) if rest.contains('/') => {
            return Err(bad(text, "there is one / at most, between HOST and NAME"));
        }
        Some((host, rest)) => (Some(host.to_owned()), rest),
        None => (None, text),
    };
    if let Some((name, limit)) = rest.split_once('@') {
        let name = series(text, name)?;
        return Ok(Selector::At { host, name, at: time::parse_limit(limit, zone)? });
    }
    let (name, back) = match rest.split_once('~') {
        Some((name, count)) => (name, back(text, count)?),
        None => (rest, 0),
    };
    Ok(Selector::Series { host, name: series(text, name)?, back })
}

fn by_id(text: &str, digits: &str) -> Result<Selector> {
    let digits = digits.to_ascii_lowercase();
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && (8..=64).contains(&digits.len()) {
        Ok(Selector::Id(digits))
    } else {
        Err(bad(text, "aid: takes 8 to 64 hexadecimal digits"))
    }
}

fn back(text: &str, count: &str) -> Result<usize> {
    let only_digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let count = if only_digits { count.parse().ok() } else { None };
    count.ok_or_else(|| bad(text, "~ takes a number: NAME~1 is the one before the newest"))
}

fn series(text: &str, name: &str) -> Result<String> {
    if name.is_empty() || name.contains(['~', '@', '*']) || name.contains("::") {
        return Err(bad(text, "write [HOST/]NAME, NAME~1, NAME@2026-11-20, latest or aid:1234abcd"));
    }
    Ok(name.to_owned())
}

fn bad(text: &str, problem: &str) -> anyhow::Error {
    failure(Exit::Error, format!("{text:?} names no archive: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::meta::Timestamp;

    #[track_caller]
    fn check(text: &str, expected: &Selector) {
        assert_eq!(&parse(text, &TimeZone::UTC).unwrap(), expected);
    }

    fn name(host: Option<&str>, name: &str, back: usize) -> Selector {
        Selector::Series { host: host.map(str::to_owned), name: name.to_owned(), back }
    }

    #[test]
    fn series_with_and_without_a_host() {
        check("db", &name(None, "db", 0));
        check("h1/db", &name(Some("h1"), "db", 0));
        check("db~3", &name(None, "db", 3));
        check("h1/db~0", &name(Some("h1"), "db", 0));
        check("h1/latest", &name(Some("h1"), "latest", 0));
    }

    #[test]
    fn points_in_time() {
        let end_of_day = Timestamp { seconds: 1_795_219_199, nanoseconds: 999_999_999 };
        check("db@2026-11-20", &Selector::At { host: None, name: "db".into(), at: end_of_day });
        let night = Timestamp { seconds: 1_795_143_600, nanoseconds: 999_999_999 };
        check("h/db@2026-11-20T03:00", &Selector::At { host: Some("h".into()), name: "db".into(), at: night });
        check("h/db@2026-11-20T04:00+01:00", &Selector::At { host: Some("h".into()), name: "db".into(), at: night });
    }

    #[test]
    fn the_newest_and_ids() {
        check("latest", &Selector::Latest);
        check("aid:0123abCD", &Selector::Id("0123abcd".into()));
    }

    #[test]
    fn what_names_no_archive_is_refused() {
        for text in [
            "",
            "/srv/repo",
            "a/b/c",
            "h/",
            "db~",
            "db~x",
            "db~+1",
            "db@",
            "db@noon",
            "aid:123",
            "aid:0123456x",
            "@2026-11-20",
            "db@2026-11-20~1",
            "db~1@2026-11-20",
            "*",
        ] {
            assert!(parse(text, &TimeZone::UTC).is_err(), "{text}");
        }
    }
}
