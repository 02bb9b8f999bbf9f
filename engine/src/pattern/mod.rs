//! Which paths are left out: the pattern language of `--exclude` and `--exclude-from`, as borg 1.4 defines it.
//!
//! A pattern that means something else than it did to borg silently drops data, so the meaning is borg's to the letter
//! (`borg_vectors.txt` holds its answers), also for names that are not UTF-8. What Rust's regular expressions cannot
//! say (look-around, references back) is refused; in turn no pattern can take more than linear time.

mod glob;
mod python;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::OnceLock;

use regex::{Regex, RegexSet, RegexSetBuilder};

pub use glob::Glob;

/// How a pattern is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `fm:` shell wildcards, `*` and `?` also match `/`; the default of excludes.
    Fnmatch,
    /// `sh:` shell wildcards that stop at `/`; `**/` is any depth and `{a,b}` are alternatives.
    Shell,
    /// `re:` a regular expression, found anywhere in the path.
    Regex,
    /// `pp:` a path with all below it.
    PathPrefix,
    /// `pf:` one path.
    PathFull,
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?}{}: {problem}", line.map(|line| format!(" in line {line}")).unwrap_or_default())]
pub struct PatternError {
    /// As written.
    pub pattern: String,
    /// Its line, from 1, if it came from a file.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub problem: String,
}

/// Patterns, any of which excludes a path.
///
/// Kept by the work that they cause: what is a plain path is looked up, and only the rest is searched for. The order
/// of excludes does not matter; includes, if they come, need the number of each pattern beside it.
#[derive(Clone, Debug, Default)]
pub struct PatternSet {
    paths: HashSet<Vec<u8>>,
    prefixes: HashSet<Vec<u8>>,
    /// Matched against the path with a `/` after it, so that a pattern ends where a component does.
    globs: Expressions,
    /// Searched for in the path.
    searches: Expressions,
}

impl PatternSet {
    /// Excludes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no pattern was added.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.prefixes.is_empty() && self.globs.is_empty() && self.searches.is_empty()
    }

    /// Adds a pattern, of the style that its first three characters name or else `default`.
    pub fn add(&mut self, default: Style, text: &[u8]) -> Result<(), PatternError> {
        self.add_styled(default, text).map_err(|problem| PatternError {
            pattern: String::from_utf8_lossy(text).into_owned(),
            line: None,
            problem,
        })
    }

    /// Adds the patterns of a file as `--exclude-from` reads it: white space around a line does not count, empty lines
    /// and lines that begin with `#` are skipped.
    pub fn add_exclude_lines(&mut self, text: &[u8]) -> Result<(), PatternError> {
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            // A single carriage return ends a line, too.
            for part in line.split(|byte| *byte == b'\r') {
                let pattern = trim(part);
                if !pattern.is_empty() && !pattern.starts_with(b"#") {
                    let at_line = |error| PatternError { line: Some(number + 1), ..error };
                    self.add(Style::Fnmatch, pattern).map_err(at_line)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a pattern matches the path, which is written as in an archive: no slash before it (one is ignored).
    pub fn excludes(&self, path: &[u8]) -> bool {
        let path = strip_leading_slashes(path);
        self.paths.contains(path) || self.has_prefix_of(path) || self.globs_match(path) || self.search_finds(path)
    }

    fn add_styled(&mut self, default: Style, text: &[u8]) -> Result<(), String> {
        let (style, pattern) = split_style(default, text)?;
        match style {
            Style::PathFull => {
                self.paths.insert(strip_leading_slashes(&normalize(pattern)).to_vec());
            }
            Style::PathPrefix => {
                self.prefixes.insert(strip_leading_slashes(&normalize(pattern)).to_vec());
            }
            Style::Regex => self.searches.add(&python::translate(&decode(pattern)))?,
            Style::Fnmatch | Style::Shell => self.add_glob(style, pattern)?,
        }
        Ok(())
    }

    /// A glob matches a path and all below it; with a slash at its end only what is below.
    fn add_glob(&mut self, style: Style, pattern: &[u8]) -> Result<(), String> {
        let normal = normalize(pattern);
        let path = strip_leading_slashes(&normal);
        let only_below = pattern.ends_with(b"/");
        if !only_below && !glob::has_wildcards(style, path) {
            self.prefixes.insert(path.to_vec());
            return Ok(());
        }
        let mut folder = decode(path).into_owned();
        if !path.is_empty() {
            folder.push('/');
        }
        let translated = glob::translate(style, &folder)?;
        self.globs.add(&format!(r"(?s)\A{translated}{}", if only_below { "." } else { "" }))
    }

    fn has_prefix_of(&self, path: &[u8]) -> bool {
        if self.prefixes.is_empty() {
            return false;
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        // The empty prefix is the pattern "/": everything.
        std::iter::once(0)
            .chain(slashes)
            .chain([path.len()])
            .any(|end| path.get(..end).is_some_and(|prefix| self.prefixes.contains(prefix)))
    }

    fn globs_match(&self, path: &[u8]) -> bool {
        if self.globs.is_empty() {
            return false;
        }
        let mut folder = decode(path).into_owned();
        folder.push('/');
        self.globs.find_in(&folder)
    }

    fn search_finds(&self, path: &[u8]) -> bool {
        !self.searches.is_empty() && self.searches.find_in(&decode(path))
    }
}

/// Regular expressions that are tried together.
#[derive(Clone, Debug, Default)]
struct Expressions {
    single: Vec<Regex>,
    /// All in one automaton, built when the first path is looked at. `None`: it grew too large.
    together: OnceLock<Option<RegexSet>>,
}

impl Expressions {
    fn is_empty(&self) -> bool {
        self.single.is_empty()
    }

    fn add(&mut self, source: &str) -> Result<(), String> {
        let expression = Regex::new(source).map_err(|error| last_line(&error))?;
        self.single.push(expression);
        self.together = OnceLock::new();
        Ok(())
    }

    fn find_in(&self, text: &str) -> bool {
        let together = self.together.get_or_init(|| {
            let sources = self.single.iter().map(Regex::as_str);
            RegexSetBuilder::new(sources).size_limit(64 << 20).build().ok()
        });
        match together {
            Some(set) => set.is_match(text),
            None => self.single.iter().any(|expression| expression.is_match(text)),
        }
    }
}

/// The lines before it draw the expression and an arrow.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// Two letters or digits and a colon name a style; a path that begins like this needs `fm:` before it.
fn split_style(default: Style, text: &[u8]) -> Result<(Style, &[u8]), String> {
    let named = match text {
        [first, second, b':', rest @ ..] if first.is_ascii_alphanumeric() && second.is_ascii_alphanumeric() => {
            Some(([*first, *second], rest))
        }
        _ => None,
    };
    match named {
        None => Ok((default, text)),
        Some(([b'f', b'm'], rest)) => Ok((Style::Fnmatch, rest)),
        Some(([b's', b'h'], rest)) => Ok((Style::Shell, rest)),
        Some(([b'r', b'e'], rest)) => Ok((Style::Regex, rest)),
        Some(([b'p', b'p'], rest)) => Ok((Style::PathPrefix, rest)),
        Some(([b'p', b'f'], rest)) => Ok((Style::PathFull, rest)),
        Some((name, _)) => {
            let name = String::from_utf8_lossy(&name).into_owned();
            Err(format!("unknown style {name}: (known are fm, sh, re, pp and pf)"))
        }
    }
}

/// The path without empty and `.` components, without the `..` that follow a name, and without a slash at the end.
fn normalize(path: &[u8]) -> Vec<u8> {
    let absolute = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if absolute && parts.is_empty() => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (absolute, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

fn strip_leading_slashes(path: &[u8]) -> &[u8] {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    path.get(slashes..).unwrap_or_default()
}

fn trim(line: &[u8]) -> &[u8] {
    std::str::from_utf8(line).map_or_else(|_| line.trim_ascii(), |text| text.trim().as_bytes())
}

/// As text in which every byte that is not UTF-8 is one character of its own, at the end of the private planes: a `?`
/// matches one such byte, and the pattern for a name may hold it.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        text.extend(part.invalid().iter().filter_map(|byte| char::from_u32(0x10_FF00 + u32::from(*byte))));
    }
    Cow::Owned(text)
}
