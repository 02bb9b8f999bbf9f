//! `{now}` and its kin in NAME and in comments, as borg expands them. An unknown one is an error, never literal text.

use anyhow::Result;
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::exit::{Exit, failure};

const DEFAULT_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// What placeholders stand for in this run.
#[derive(Debug)]
pub(crate) struct Values {
    /// Now, in the local time zone.
    pub(crate) now: Zoned,
    /// The host label.
    pub(crate) hostname: String,
    /// The user's name.
    pub(crate) user: String,
}

/// A text after expansion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The text.
    pub(crate) text: String,
    /// Whether it had any placeholder.
    pub(crate) moving: bool,
}

/// Expands every placeholder; `{{` and `}}` are literal braces.
pub(crate) fn expand(template: &str, values: &Values) -> Result<Expanded> {
    let mut text = String::with_capacity(template.len());
    let mut moving = false;
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else {
            let Some((inner, after)) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
                return Err(malformed(template, "a brace has no partner; write {{ or }} for a literal brace"));
            };
            text.push_str(&value(template, inner, values)?);
            moving = true;
            rest = after;
        }
    }
    text.push_str(rest);
    Ok(Expanded { text, moving })
}

fn value(template: &str, inner: &str, values: &Values) -> Result<String> {
    let (key, format) = match inner.split_once(':') {
        Some((key, format)) => (key, Some(format)),
        None => (inner, None),
    };
    match (key, format) {
        ("now", _) => time(template, format, &values.now),
        ("utcnow", _) => time(template, format, &values.now.with_time_zone(TimeZone::UTC)),
        ("hostname", None) => Ok(values.hostname.clone()),
        ("user", None) => Ok(values.user.clone()),
        ("pid", None) => Ok(std::process::id().to_string()),
        ("version", None) => Ok(env!("CARGO_PKG_VERSION").to_owned()),
        ("hostname" | "user" | "pid" | "version", Some(_)) => {
            Err(malformed(template, &format!("{{{key}}} takes no format")))
        }
        _ => Err(malformed(
            template,
            &format!(
                "unknown placeholder {{{inner}}}; there are {{now}}, {{now:FORMAT}}, {{utcnow}}, {{utcnow:FORMAT}}, \
                 {{hostname}}, {{user}}, {{pid}}, {{version}}, and {{{{ for a literal brace"
            ),
        )),
    }
}

fn time(template: &str, format: Option<&str>, moment: &Zoned) -> Result<String> {
    jiff::fmt::strtime::format(format.unwrap_or(DEFAULT_FORMAT), moment)
        .map_err(|error| malformed(template, &format!("bad time format: {error}")))
}

fn malformed(template: &str, problem: &str) -> anyhow::Error {
    failure(Exit::Placeholder, format!("in {template:?}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let now: Zoned = "2026-11-20T03:04:05.678+02:00[+02:00]".parse().unwrap();
        Values { now, hostname: "db1".into(), user: "root".into() }
    }

    #[track_caller]
    fn check(template: &str, expected: &str, moving: bool) {
        let expanded = expand(template, &values()).unwrap();
        assert_eq!(expanded, Expanded { text: expected.into(), moving });
    }

    #[test]
    fn placeholders_are_expanded() {
        check("plain", "plain", false);
        check("a-{now}", "a-2026-11-20T03:04:05", true);
        check("{now:%Y-%m-%d}.{now:%H:%M}", "2026-11-20.03:04", true);
        check("{utcnow:%d %H}", "20 01", true);
        check("{hostname}-{user}", "db1-root", true);
        check("{version}", env!("CARGO_PKG_VERSION"), true);
        check("{pid}", &std::process::id().to_string(), true);
    }

    #[test]
    fn doubled_braces_are_literal() {
        check("a{{now}}b", "a{now}b", false);
        check("{{{user}}}", "{root}", true);
    }

    #[test]
    fn what_is_unknown_or_malformed_is_an_error_with_its_own_number() {
        for template in ["{nope}", "{", "a}", "{now", "{user:x}", "{}", "{now:%!}", "{Now}"] {
            let error = expand(template, &values()).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Placeholder, "{template}");
        }
    }
}
