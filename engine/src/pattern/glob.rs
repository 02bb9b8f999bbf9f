//! Wildcards to regular expressions: `fm:` as Python's fnmatch reads them, `sh:` as borg's own reading of the shell's.

use std::fmt::Write;

use regex::Regex;

use super::{PatternError, Style, last_line};

/// Which names are meant: the shell's wildcards against a whole name, as borg's `-a` reads them (`sh:`).
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    expression: Regex,
}

impl Glob {
    /// From what the user wrote.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let error = |problem| PatternError { pattern: text.to_owned(), line: None, problem };
        let translated = translate(Style::Shell, text).map_err(error)?;
        let expression = Regex::new(&format!(r"(?s)\A(?:{translated})\z")).map_err(|bad| error(last_line(&bad)))?;
        Ok(Self { text: text.to_owned(), expression })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a whole name is meant.
    pub fn matches(&self, name: &str) -> bool {
        self.expression.is_match(name)
    }
}

/// Whether a pattern is more than a plain path.
pub(super) fn has_wildcards(style: Style, pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[') || (style == Style::Shell && *byte == b'{'))
}

/// The regular expression for a glob, not anchored. It is read with `.` matching everything.
pub(super) fn translate(style: Style, pattern: &str) -> Result<String, String> {
    let chars: Vec<char> = pattern.chars().collect();
    let braces = if style == Style::Shell { alternatives(&chars) } else { Vec::new() };
    let mut out = String::new();
    let mut at = 0;
    while let Some(char) = chars.get(at).copied() {
        let rest = chars.get(at + 1..).unwrap_or_default();
        at += 1;
        match char {
            '*' if style == Style::Shell && rest.starts_with(&['*', '/']) => {
                out.push_str("(?:[^/]*/)*");
                at += 2;
            }
            '*' => out.push_str(if style == Style::Shell { "[^/]*" } else { ".*" }),
            '?' => out.push_str(if style == Style::Shell { "[^/]" } else { "." }),
            '[' if let Some(class) = class_in(rest) => {
                push_class(style, class, &mut out)?;
                at += class.len() + 1;
            }
            _ => match braces.iter().find(|(position, _)| *position == at - 1) {
                Some((_, replacement)) => out.push_str(replacement),
                None => out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4]))),
            },
        }
    }
    Ok(out)
}

/// What stands between `[` and its `]`; the first character may be a `]` itself. `None`: the `[` stands for itself.
fn class_in(rest: &[char]) -> Option<&[char]> {
    let negation = usize::from(rest.first() == Some(&'!'));
    let first = negation + usize::from(rest.get(negation) == Some(&']'));
    let end = rest.iter().skip(first).position(|char| *char == ']')? + first;
    rest.get(..end)
}

fn push_class(style: Style, class: &[char], out: &mut String) -> Result<(), String> {
    let (negated, mut rest) = match class {
        ['!', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut ranges = String::new();
    while let [first, after @ ..] = rest {
        let (last, next) = match after {
            ['-', last, next @ ..] => (last, next),
            _ => (first, after),
        };
        rest = next;
        if first <= last {
            // Writing to a string cannot fail.
            let _ = write!(ranges, r"\x{{{:x}}}-\x{{{:x}}}", u32::from(*first), u32::from(*last));
        } else if style == Style::Shell {
            return Err(format!("the range {first}-{last} is the wrong way round"));
        }
    }
    match (negated, ranges.is_empty()) {
        (true, true) => out.push('.'),
        // A class of nothing.
        (false, true) => out.push_str(r"[^\x{0}-\x{10ffff}]"),
        (negated, false) => out.extend([if negated { "[^" } else { "[" }, &ranges, "]"]),
    }
    Ok(())
}

/// Where `{`, `,` and `}` make alternatives, and what replaces each: braces that pair and have a comma between them.
/// A backslash before one makes it stand for itself, and so do the brackets of a class.
fn alternatives(chars: &[char]) -> Vec<(usize, &'static str)> {
    let mut open: Vec<usize> = Vec::new();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut commas: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(char) = chars.get(at) {
        let escaped = at > 0 && chars.get(at - 1) == Some(&'\\');
        match char {
            '[' => at += class_in(chars.get(at + 1..).unwrap_or_default()).map_or(0, |class| class.len() + 1),
            '{' if !escaped => open.push(at),
            ',' if !escaped => commas.push(at),
            '}' if !escaped => pairs.extend(open.pop().map(|start| (start, at))),
            _ => {}
        }
        at += 1;
    }
    let within = |comma: usize, pair: &(usize, usize)| pair.0 < comma && comma < pair.1;
    pairs.retain(|pair| commas.iter().any(|comma| within(*comma, pair)));
    commas.retain(|comma| pairs.iter().any(|pair| within(*comma, pair)));
    let braces = pairs.into_iter().flat_map(|(start, end)| [(start, "(?:"), (end, ")")]);
    braces.chain(commas.into_iter().map(|comma| (comma, "|"))).collect()
}
