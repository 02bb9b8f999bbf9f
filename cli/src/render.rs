//! Text for people: paths that cannot hurt a terminal, sizes, tables, errors in one line.

use std::fmt::Write;

use vault_engine::meta::{Node, NodeKind};
use vault_engine::ops::archives::{Archive, Facts};

use crate::time;

/// A path or name for people: lossy, with control characters escaped, so that no name can command a terminal.
pub(crate) fn path(bytes: &[u8]) -> String {
    text(&String::from_utf8_lossy(bytes))
}

/// The same for text that came from an archive.
pub(crate) fn text(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// `1.23 MB`, in powers of 1000.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = "B";
    let mut divisor: u64 = 1;
    for next in UNITS {
        if count / divisor < 1000 {
            break;
        }
        divisor = divisor.saturating_mul(1000);
        unit = next;
    }
    if divisor == 1 {
        return format!("{count} B");
    }
    let hundredths = u128::from(count) * 100 / u128::from(divisor);
    format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("{number} {noun}") } else { format!("{number} {noun}s") }
}

/// The error and its causes in one line; a cause that repeats what was said is left out.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    text(&line.replace('\n', "; "))
}

/// Clap's several lines in one: the problem, its tip, and where help is.
pub(crate) fn usage_error(rendered: &str) -> String {
    let mut usage = "vault";
    let mut parts: Vec<&str> = Vec::new();
    for line in rendered.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("Usage: ") {
            usage =
                rest.split([' ', '\t']).take_while(|word| is_verb(word)).last().map_or("vault", |last| {
                    rest.find(last).and_then(|at| rest.get(..at + last.len())).unwrap_or("vault")
                });
            break;
        }
        if !line.starts_with("For more information") {
            parts.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    format!("{} (see {usage} --help)", text(&parts.join(" ").replace(" tip: ", "; tip: ")))
}

fn is_verb(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
}

/// `-rw-r--r--`, as ls writes it.
pub(crate) fn mode(node: &Node) -> String {
    let bits = u32::from(node.attributes.mode);
    let triple = |shift: u32, special: u32, executable: char, plain: char| {
        let bit = |mask: u32, letter: char| if bits >> shift & mask == mask { letter } else { '-' };
        let last = match (bits & special != 0, bits >> shift & 1 == 1) {
            (true, true) => executable,
            (true, false) => plain,
            (false, _) => bit(1, 'x'),
        };
        [bit(4, 'r'), bit(2, 'w'), last]
    };
    let mut out = String::from(kind_letter(&node.kind));
    out.extend(triple(6, 0o4000, 's', 'S'));
    out.extend(triple(3, 0o2000, 's', 'S'));
    out.extend(triple(0, 0o1000, 't', 'T'));
    out
}

/// The letter of a kind, as ls and borg write it.
pub(crate) fn kind_letter(kind: &NodeKind) -> char {
    match kind {
        NodeKind::File { .. } => '-',
        NodeKind::Directory { .. } => 'd',
        NodeKind::Symlink { .. } => 'l',
        NodeKind::Fifo => 'p',
        NodeKind::CharDevice { .. } => 'c',
        NodeKind::BlockDevice { .. } => 'b',
    }
}

/// One file of an archive.
pub(crate) fn entry(bytes: &[u8], node: &Node) -> String {
    let owner = |owner: &vault_engine::meta::Owner| {
        if owner.name.is_empty() { owner.number.to_string() } else { path(&owner.name) }
    };
    let size = match node.kind {
        NodeKind::File { size, .. } => size.to_string(),
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => format!("{major},{minor}"),
        _ => "0".to_owned(),
    };
    let attributes = &node.attributes;
    let mut line = format!(
        "{} {:<8} {:<8} {size:>12} {} {}",
        mode(node),
        owner(&attributes.owner),
        owner(&attributes.group),
        time::local(attributes.mtime),
        path(bytes),
    );
    if let NodeKind::Symlink { target } = &node.kind {
        // Writing to a String cannot fail.
        let _ = write!(line, " -> {}", path(target));
    }
    line
}

/// Which archive is meant: id, series and time.
pub(crate) fn archive_name(archive: &Archive) -> String {
    let manifest = &archive.manifest;
    let (host, name, time) = (text(&manifest.host), text(&manifest.name), time::local(manifest.time));
    format!("aid:{} {host}/{name} of {time}", archive.id)
}

/// Archives as a table, oldest first. The last column has no title, and a word for those that are protected.
pub(crate) fn archives(archives: &[Archive], facts: &Facts) -> Vec<String> {
    let head = ["ID", "TIME", "HOST", "NAME", "FILES", "SIZE", "ADDED", ""].map(str::to_owned).to_vec();
    let rows = archives.iter().map(|archive| {
        let manifest = &archive.manifest;
        vec![
            archive.id.to_string(),
            time::local(manifest.time),
            text(&manifest.host),
            text(&manifest.name),
            manifest.statistics.files.to_string(),
            bytes(manifest.statistics.bytes),
            bytes(manifest.statistics.stored_bytes),
            standing(facts, archive),
        ]
    });
    table(std::iter::once(head).chain(rows).collect(), &[4, 5, 6])
}

/// What events say of an archive, in words.
fn standing(facts: &Facts, archive: &Archive) -> String {
    let said = [(facts.is_protected(archive.id), "protected"), (facts.is_incomplete(archive.id), "incomplete")];
    said.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect::<Vec<_>>().join(", ")
}

/// Rows of cells in aligned columns; the columns named are numbers and stand to the right.
pub(crate) fn table(rows: Vec<Vec<String>>, right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: Vec<String>| {
        let cells = row.into_iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::meta::Attributes;

    #[test]
    fn sizes_are_in_powers_of_1000() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.00 kB");
        assert_eq!(bytes(1_234_567), "1.23 MB");
        assert_eq!(bytes(u64::MAX), "18.44 EB");
    }

    #[test]
    fn names_cannot_command_a_terminal() {
        assert_eq!(path(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(path(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn causes_follow_in_one_line_and_once() {
        let error = anyhow::anyhow!("cannot open x: denied").context("cannot open x: denied").context("list");
        assert_eq!(chain(&error), "list: cannot open x: denied");
    }

    #[test]
    fn modes_look_as_ls_writes_them() {
        let node = |mode| Node {
            name: b"x".to_vec(),
            implied: false,
            changed: false,
            missing: false,
            attributes: Attributes { mode, ..Attributes::default() },
            kind: NodeKind::Fifo,
        };
        assert_eq!(mode(&node(0o644)), "prw-r--r--");
        assert_eq!(mode(&node(0o4755)), "prwsr-xr-x");
        assert_eq!(mode(&node(0o6600)), "prwS--S---");
        assert_eq!(mode(&node(0o1777)), "prwxrwxrwt");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["bcd".into(), "23".into()]];
        assert_eq!(table(rows, &[1]), ["a     1", "bcd  23"]);
    }

    #[test]
    fn clap_errors_become_one_line() {
        let rendered = "error: unexpected argument '--foo' found\n\n  tip: to pass '--foo' as a value, use '-- --foo'\n\n\
                        Usage: vault key list [OPTIONS]\n\nFor more information, try '--help'.\n";
        let line = "unexpected argument '--foo' found; tip: to pass '--foo' as a value, use '-- --foo' \
                    (see vault key list --help)";
        assert_eq!(usage_error(rendered), line);
    }
}
