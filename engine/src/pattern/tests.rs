//! Borg's own answers, and what its version here does not know yet.

use proptest::prelude::*;

use super::{PatternSet, Style, normalize};

fn excludes(pattern: &[u8], path: &[u8]) -> bool {
    let mut set = PatternSet::new();
    set.add(Style::Fnmatch, pattern).unwrap();
    set.excludes(path)
}

#[test]
fn borg_gives_the_same_answers() {
    let lines = include_str!("borg_vectors.txt").lines().filter(|line| !line.starts_with("# "));
    let mut count = 0;
    for line in lines {
        let [expected, pattern, path] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let mut set = PatternSet::new();
        let found = match set.add(Style::Fnmatch, pattern.as_bytes()) {
            Err(_) => "error",
            Ok(()) if set.excludes(path.as_bytes()) => "yes",
            Ok(()) => "no",
        };
        assert_eq!(found, expected, "pattern {pattern} path {path}");
        count += 1;
    }
    assert!(count > 600, "only {count} vectors");
}

#[test]
fn a_slash_at_the_end_keeps_the_directory_itself() {
    assert!(excludes(b"/home/user/cache/", b"home/user/cache/x"));
    assert!(excludes(b"/home/user/cache/", b"home/user/cache/x/y"));
    assert!(!excludes(b"/home/user/cache/", b"home/user/cache"));
    assert!(excludes(b"/home/user/cache", b"home/user/cache"));
    assert!(!excludes(b"/home/user/cache", b"home/user/cache2"));
    assert!(excludes(b"sh:home/*/.cache/", b"home/user/.cache/x"));
    assert!(!excludes(b"sh:home/*/.cache/", b"home/user/.cache"));
}

#[test]
fn braces_are_alternatives_in_shell_patterns_only() {
    assert!(excludes(b"sh:**/*.{jpg,png}", b"a/b/c.png"));
    assert!(!excludes(b"sh:**/*.{jpg,png}", b"a/b/c.gif"));
    assert!(excludes(b"sh:{a,b/{c,d}}/x", b"b/d/x"));
    assert!(excludes(b"sh:{a,b}{c,d}", b"bc"));
    assert!(excludes(b"sh:{,x}y", b"y"));
    assert!(excludes(b"sh:{one}", b"{one}"));
    assert!(excludes(b"sh:{a,b", b"{a,b"));
    assert!(excludes(br"sh:\{a,b}", br"\{a,b}"));
    assert!(excludes(b"sh:{[},],b}c", b",c"));
    assert!(excludes(b"sh:{(a|b),c}", b"(a|b)"));
    assert!(excludes(b"{a,b}", b"{a,b}"));
    assert!(!excludes(b"{a,b}", b"a"));
}

#[test]
fn names_that_are_not_utf8_match_byte_by_byte() {
    assert!(excludes(b"a?c", b"a\xffc"));
    assert!(excludes("a?c".as_bytes(), "aéc".as_bytes()));
    assert!(!excludes("a??c".as_bytes(), "aéc".as_bytes()));
    assert!(excludes(b"a??c", b"a\xc3\xffc"));
    assert!(excludes(b"*\xff", b"x/\xff"));
    assert!(!excludes(b"*\xff", b"x/\xfe"));
    assert!(excludes(b"\xff", b"\xff/below"));
    assert!(excludes(b"pf:\xfe", b"\xfe"));
    assert!(excludes(b"re:\xfe$", b"a\xfe"));
}

#[test]
fn the_first_match_is_any_match_of_several() {
    let mut set = PatternSet::new();
    assert!(set.is_empty() && !set.excludes(b"a"));
    for pattern in ["*.o", "sh:target/*", "pp:var/tmp", "pf:etc/mtab", "re:~$"] {
        set.add(Style::Fnmatch, pattern.as_bytes()).unwrap();
        assert!(!set.is_empty() && !set.excludes(b"src/main.rs"));
    }
    for path in ["a/b.o", "target/x/y", "var/tmp", "var/tmp/x", "etc/mtab", "a~", "/etc/mtab"] {
        assert!(set.excludes(path.as_bytes()), "{path}");
    }
    for path in ["target", "var/tmpx", "etc/mtab/x", "a~b", ""] {
        assert!(!set.excludes(path.as_bytes()), "{path}");
    }
}

#[test]
fn the_default_style_is_the_callers() {
    let mut set = PatternSet::new();
    set.add(Style::Shell, b"*.tmp").unwrap();
    set.add(Style::PathFull, b"only/this").unwrap();
    assert!(set.excludes(b"a.tmp") && !set.excludes(b"a/b.tmp"));
    assert!(set.excludes(b"only/this") && !set.excludes(b"only/this/x"));
}

#[test]
fn lines_are_trimmed_and_comments_skipped() {
    let mut set = PatternSet::new();
    set.add_exclude_lines(b"# a comment\n\n  *.o \r\n\t#another\nsh:b/*\n \xff \n").unwrap();
    assert!(set.excludes(b"x.o") && set.excludes(b"b/c") && set.excludes(b"\xff"));
    assert!(!set.excludes(b"# a comment") && !set.excludes(b"#another"));
    let error = set.add_exclude_lines(b"good\n\nre:(\n").unwrap_err();
    assert_eq!((error.line, error.pattern.as_str()), (Some(3), "re:("));
}

#[test]
fn what_cannot_be_used_is_refused_with_a_reason() {
    for (pattern, reason) in [
        ("xx:a", "unknown style xx:"),
        ("re:(?!a)b", "look-around"),
        (r"re:(a)\1", "backreferences are not supported"),
        ("sh:[b-a]", "wrong way round"),
        ("re:a{", ""),
    ] {
        let error = PatternSet::new().add(Style::Fnmatch, pattern.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(pattern.trim_end_matches('\\').get(..3).unwrap()), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn paths_are_normalized_as_by_python() {
    for (path, normal) in [
        ("", "."),
        ("/", "/"),
        ("a//b/", "a/b"),
        ("./a/.", "a"),
        ("a/../..", ".."),
        ("../../a", "../../a"),
        ("/../a", "/a"),
        ("a/..", "."),
    ] {
        assert_eq!(normalize(path.as_bytes()), normal.as_bytes(), "{path}");
    }
}

proptest! {
    #[test]
    fn no_pattern_and_no_path_panics(
        style in prop::sample::select(vec!["fm:", "sh:", "re:", "pp:", "pf:", ""]),
        pattern in r"[a-c/*?{},!\[\]\\().^$|&~-]{0,12}",
        path in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut set = PatternSet::new();
        if set.add(Style::Fnmatch, format!("{style}{pattern}").as_bytes()).is_ok() {
            set.excludes(&path);
        }
    }

    #[test]
    fn every_glob_without_ranges_compiles(pattern in r"[a-c/*?{},!\[\]\\().^$|&~]{0,16}") {
        for style in ["fm:", "sh:"] {
            let added = PatternSet::new().add(Style::Fnmatch, [style, &pattern].concat().as_bytes());
            prop_assert_eq!(added, Ok(()));
        }
    }

    #[test]
    fn a_path_excludes_itself_and_what_is_below(path in "[a-z.é]{1,5}(/[a-zé]{1,5}){0,3}") {
        prop_assume!(!path.split('/').any(|part| part == "." || part == ".."));
        for style in ["fm:", "sh:", "pp:", "pf:"] {
            let pattern = format!("{style}{path}");
            prop_assert!(excludes(pattern.as_bytes(), path.as_bytes()));
            let below = format!("{path}/x");
            prop_assert_eq!(excludes(pattern.as_bytes(), below.as_bytes()), style != "pf:");
        }
    }
}
