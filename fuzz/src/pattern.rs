//! Exclusion patterns: any text is read or refused, and patterns together exclude what one of them excludes alone.

use vault_engine::pattern::{PatternSet, Style};

use crate::first;

const STYLES: [Style; 5] = [Style::Fnmatch, Style::Shell, Style::Regex, Style::PathPrefix, Style::PathFull];
/// Regular expressions may multiply their own size; more of them tells nothing new.
const MOST_PATTERN_BYTES: usize = 256;
const MOST_PATTERNS: usize = 6;

/// The first byte is the default style; then lines of patterns, a NUL, and paths with a NUL between them.
pub fn run(data: &[u8]) {
    let (style, rest) = first(data);
    let style = STYLES.get(usize::from(style) % STYLES.len()).copied().unwrap_or(Style::Fnmatch);
    let mut parts = rest.split(|byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let text = text.get(..MOST_PATTERN_BYTES).unwrap_or(text);
    // As a file of patterns: whatever it says, no panic.
    PatternSet::new().add_exclude_lines(text).ok();
    let mut together = PatternSet::new();
    let mut alone = Vec::new();
    for pattern in text.split(|byte| *byte == b'\n').take(MOST_PATTERNS) {
        let mut set = PatternSet::new();
        let added = set.add(style, pattern).is_ok();
        assert_eq!(added, together.add(style, pattern).is_ok(), "a pattern counts by itself or not at all");
        if added {
            alone.push(set);
        }
    }
    for path in parts {
        let expected = alone.iter().any(|set| set.excludes(path));
        assert_eq!(together.excludes(path), expected, "together they exclude something else than one by one");
        let rooted = [b"/", path].concat();
        assert_eq!(together.excludes(&rooted), expected, "a slash before the path counts");
    }
}
