//! What the compiler does not see: layers, headers, lengths, and what no test may do.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `engine/src` by layer (docs/ARCHITECTURE.md).
const LAYERS: [&[&str]; 5] = [
    &["id", "error", "codec", "memory", "meta", "progress", "clock", "process", "sync", "sys", "simulation"],
    &["chunker", "compress", "crypto", "pattern", "retention"],
    &["format", "store", "source"],
    &["repository"],
    &["ops"],
];

const MOST_LINES: usize = 500;

struct Code {
    /// Relative to the folder of the package.
    path: String,
    text: String,
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of Rust below a folder of the workspace.
fn code(folder: &str) -> Vec<Code> {
    let mut found = Vec::new();
    let mut folders = vec![package().parent().unwrap().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(package().parent().unwrap()).unwrap().to_str().unwrap().to_owned();
                found.push(Code { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no code in {folder}");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn everything() -> Vec<Code> {
    ["engine/src", "engine/tests", "cli/src", "cli/tests"].into_iter().flat_map(code).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The module of `engine/src` that a file belongs to.
fn module(path: &str) -> &str {
    let inside = path.strip_prefix("engine/src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The top-level modules that a line names after `crate::`.
fn named(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let mut names = Vec::new();
    for rest in line.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => names.push(word(rest)),
            Some(group) => {
                // Only the outermost names of `{a::{b, c}, d}` are modules of ours.
                let mut depth = 0;
                let outer: String = group
                    .chars()
                    .filter(|letter| {
                        depth += i32::from(*letter == '{') - i32::from(*letter == '}');
                        depth == 0
                    })
                    .collect();
                names.extend(outer.split(',').map(|name| word(name.trim())));
            }
        }
    }
    names.retain(|name: &String| layer(name).is_some());
    names
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs")
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn a_module_imports_only_lower_layers_and_itself() {
    let mut found = Vec::new();
    for Code { path, text } in code("engine/src") {
        let own = module(&path);
        if own == "lib" {
            continue;
        }
        let above = layer(own).unwrap_or_else(|| panic!("{own} has no layer"));
        for (number, line) in (1..).zip(text.lines().filter(|line| !line.trim_start().starts_with("//"))) {
            let bad = |name: &&String| *name != own && layer(name).is_some_and(|below| below >= above && above > 0);
            found.extend(named(line).iter().filter(bad).map(|name| format!("{path}:{number}: {own} imports {name}")));
        }
    }
    assert_none("imports that go up or sideways", &found);
}

#[test]
fn the_table_of_layers_is_the_one_of_the_page() {
    let page = fs::read_to_string(package().parent().unwrap().join("docs/ARCHITECTURE.md")).unwrap();
    for (number, modules) in LAYERS.iter().enumerate() {
        for module in *modules {
            assert!(
                page.contains(&format!("| {number} | `{module}` |")),
                "{module} is not in layer {number} of the page"
            );
        }
    }
    let lib = fs::read_to_string(package().join("src/lib.rs")).unwrap();
    for line in lib.lines().filter(|line| line.contains("mod ")) {
        let name = line.rsplit(' ').next().unwrap().trim_end_matches(';');
        assert!(layer(name).is_some(), "{name} has no layer");
    }
}

#[test]
fn verbs_name_no_cipher() {
    let mut found = Vec::new();
    for Code { path, text } in code("engine/src/ops") {
        for word in ["Aead", "SecretKey", "KeyRing", "RecordKeys", "Commitment", "aes_gcm", "argon2", "nonce"] {
            if text.contains(word) {
                found.push(format!("{path}: {word}"));
            }
        }
    }
    assert_none("ciphers among the verbs", &found);
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let mut found = Vec::new();
    for Code { path, text } in everything() {
        if !text.starts_with("//! ") {
            found.push(format!("{path}: no header"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES && !is_test(&path) {
            found.push(format!("{path}: {lines} lines"));
        }
    }
    assert_none("headers and lengths", &found);
}

#[test]
fn only_sys_is_unsafe_and_only_clock_asks_for_the_time() {
    let mut found = Vec::new();
    for Code { path, text } in code("engine/src") {
        let uses = |word: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
        if uses("unsafe {") && path != "engine/src/sys.rs" {
            found.push(format!("{path}: unsafe"));
        }
        if (uses("SystemTime::now") || uses("Instant::now")) && path != "engine/src/clock.rs" {
            found.push(format!("{path}: asks for the time"));
        }
        for word in ["println!", "eprintln!", "env::var", "env::args", "home_dir"] {
            if uses(word) && !is_test(&path) {
                found.push(format!("{path}: {word}"));
            }
        }
    }
    assert_none("what only one place does", &found);
}

#[test]
fn no_release_build_has_the_hooks_of_the_simulation() {
    let hook = "crate::simulation::";
    let mut found = Vec::new();
    for Code { path, text } in code("engine/src") {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (number, line) in
            (1..).zip(&lines).filter(|(_, line)| line.contains(hook) || **line == "pub mod simulation;")
        {
            let above = lines[..number - 1].iter().rev().take_while(|line| line.starts_with("#["));
            if !above.into_iter().any(|line| *line == "#[cfg(debug_assertions)]") {
                found.push(format!("{path}:{number}: {line}"));
            }
        }
    }
    assert_none("hooks that a release build would have", &found);
}

#[test]
fn no_test_is_ignored_or_sleeps() {
    let words = [concat!("#[", "ignore"), concat!("sleep", "(")];
    let mut found = Vec::new();
    for Code { path, text } in everything() {
        found.extend(words.iter().filter(|word| text.contains(*word)).map(|word| format!("{path}: {word}")));
    }
    assert_none("tests that do not run, or only wait", &found);
}

#[test]
fn every_file_of_tests_is_listed() {
    for folder in ["engine/tests/it", "cli/tests/it"] {
        let main = fs::read_to_string(package().parent().unwrap().join(folder).join("main.rs")).unwrap();
        for Code { path, .. } in code(folder) {
            let inside = path.strip_prefix(folder).unwrap().trim_start_matches('/');
            let (parent, name) = inside.rsplit_once('/').map_or((None, inside), |(parent, name)| (Some(parent), name));
            let name = name.trim_end_matches(".rs");
            let text = match parent {
                Some(parent) => {
                    fs::read_to_string(package().parent().unwrap().join(folder).join(format!("{parent}.rs"))).unwrap()
                }
                None => main.clone(),
            };
            assert!(name == "main" || text.contains(&format!("mod {name};")), "{path} is compiled by nobody");
        }
    }
}
