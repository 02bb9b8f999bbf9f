//! ARCHIVE as users write it, the names that archives may have, and the placeholders in them: every selector can be written
//! out again, and every name that is allowed can be selected.

use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, Zoned};
use vault_engine::ops::archives::Selector;

use crate::cli::placeholders::{self, Values};
use crate::cli::{name, selector};
use crate::units::exact;

/// Two texts with a NUL between them: an archive's name or selector, and a host label.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, host) = text.split_once('\0').unwrap_or((&text, "db1"));
    reads_back(text);
    names(text, host);
    expands(text, host);
}

fn reads_back(text: &str) {
    match selector::parse(text, &TimeZone::UTC) {
        Ok(selector) => {
            let again = selector::parse(&written(&selector), &TimeZone::UTC);
            assert_eq!(again.ok().as_ref(), Some(&selector), "{text:?} written out means something else");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn written(selector: &Selector) -> String {
    let host = |host: &Option<String>| host.as_ref().map(|host| format!("{host}/")).unwrap_or_default();
    match selector {
        Selector::Latest => "latest".to_owned(),
        Selector::Id(digits) => format!("aid:{digits}"),
        Selector::Series { host: label, name, back } => format!("{}{name}~{back}", host(label)),
        Selector::At { host: label, name, at } => {
            format!("{}{name}@{}", host(label), exact(*at))
        }
    }
}

fn names(text: &str, host: &str) {
    if name::check_name(text).is_err() {
        return;
    }
    let select = |written: &str| selector::parse(written, &TimeZone::UTC).ok();
    let series =
        |host: Option<&str>| Selector::Series { host: host.map(str::to_owned), name: text.to_owned(), back: 0 };
    assert_eq!(select(text), Some(series(None)), "a name that no selector means");
    if name::check_host(host).is_ok() {
        assert_eq!(select(&format!("{host}/{text}")), Some(series(Some(host))), "a host that no selector means");
    }
}

fn expands(text: &str, host: &str) {
    let now = Zoned::new(Instant::UNIX_EPOCH, TimeZone::UTC);
    let values = Values { now, hostname: host.to_owned(), user: "root".to_owned() };
    if let Ok(expanded) = placeholders::expand(text, &values) {
        let plain = text.replace("{{", "{").replace("}}", "}");
        assert!(expanded.moving || expanded.text == plain, "{text:?} became {:?}", expanded.text);
    }
}
