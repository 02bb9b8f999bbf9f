//! Which names a series and a host label may have: those that a selector and a shell can carry.

use anyhow::Result;

use crate::exit::usage;

const RULE: &str = "1 to 200 bytes of UTF-8 without / @ ~ * and ::, control characters, \
                    a leading - and blanks at either end";

/// Verifies NAME after its placeholders were expanded.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name == "latest" || name.starts_with("aid:") {
        return Err(usage(format!("{name:?} cannot be the NAME of an archive: `latest` and `aid:` select archives")));
    }
    match problem(name) {
        None => Ok(()),
        Some(problem) => Err(usage(format!("{name:?} cannot be the NAME of an archive: {problem} (allowed: {RULE})"))),
    }
}

/// Verifies a host label.
pub(crate) fn check_host(label: &str) -> Result<()> {
    let selects = label.starts_with("aid:").then(|| "it begins with aid:, which selects archives".to_owned());
    match selects.or_else(|| problem(label)) {
        None => Ok(()),
        Some(problem) => Err(usage(format!(
            "{label:?} cannot be a host label: {problem} (allowed: {RULE}); set --hostname or VAULT_HOSTNAME"
        ))),
    }
}

fn problem(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    if text.len() > 200 {
        return Some(format!("it has {} bytes", text.len()));
    }
    if let Some(found) = text.chars().find(|c| matches!(c, '/' | '@' | '~' | '*') || c.is_control()) {
        return Some(format!("it contains {found:?}"));
    }
    if text.contains("::") {
        return Some("it contains ::".to_owned());
    }
    if text.starts_with('-') {
        return Some("it begins with -".to_owned());
    }
    (text.trim() != text).then(|| "it begins or ends with a blank".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["a", "db-2026-11-20T03:00:00", "Größe (1)", "a b", ".", "x".repeat(200).as_str(), "a:b"] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn what_a_selector_could_not_name_is_refused_with_the_rule() {
        let long = "x".repeat(201);
        for name in ["", "a/b", "a@b", "a~1", "a*", "a::b", "-a", " a", "a ", "a\n", "a\u{85}b", &long] {
            let message = check_name(name).unwrap_err().to_string();
            assert!(message.contains("1 to 200 bytes"), "{message}");
        }
        assert!(check_name("latest").is_err());
        assert!(check_name("aid:12345678").is_err());
    }

    #[test]
    fn a_host_label_follows_the_same_rule() {
        check_host("db1.example.org").unwrap();
        check_host("latest").unwrap();
        assert!(check_host("aid:0123abcd").is_err(), "aid:0123abcd/NAME would be an id");
        assert!(check_host("a/b").unwrap_err().to_string().contains("VAULT_HOSTNAME"));
    }
}
