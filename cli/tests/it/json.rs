//! docs/json.md against what the program writes: the keys of its examples are the keys of the output.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::sandbox::Sandbox;

const PAGE: &str = include_str!("../../../docs/json.md");

/// One section of the page: the keys of its example, and which of them may be absent.
struct Schema {
    keys: BTreeSet<String>,
    optional: BTreeSet<String>,
}

fn schema(title: &str) -> Schema {
    let heading = format!("\n## {title}\n");
    let (_, section) = PAGE.split_once(&heading).unwrap_or_else(|| panic!("no section {title}"));
    let section = section.split("\n## ").next().unwrap();
    let example = section.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut keys = BTreeSet::new();
    collect(&serde_json::from_str(example).unwrap(), "", &mut keys);
    let optional = section.lines().find_map(|line| line.strip_prefix("Optional: ")).unwrap_or_default();
    let optional = optional.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Schema { keys, optional }
}

/// Paths of all keys: `archives[].stats.files`.
fn collect(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys.insert(below.clone());
                collect(value, &below, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, &format!("{path}[]"), keys)),
        _ => {}
    }
}

#[track_caller]
fn compare(title: &str, found: &[Value]) {
    let schema = schema(title);
    assert!(!found.is_empty(), "{title}: nothing to compare");
    for value in found {
        let mut keys = BTreeSet::new();
        collect(value, "", &mut keys);
        let unknown: Vec<&String> = keys.difference(&schema.keys).collect();
        assert!(unknown.is_empty(), "{title}: not on the page: {unknown:?}");
        let missing: Vec<&String> =
            schema.keys.difference(&keys).filter(|key| !schema.optional.contains(*key)).collect();
        assert!(missing.is_empty(), "{title}: not written: {missing:?}");
    }
}

#[test]
fn the_page_can_be_read() {
    let titles =
        ["list", "list ARCHIVE", "info", "info ARCHIVE", "create", "restore", "check", "check --no-key", "key list"];
    for title in titles.into_iter().chain([
        "check --repair",
        "quarantine",
        "prune",
        "delete",
        "undelete",
        "compact",
        "benchmark",
    ]) {
        let schema = schema(&format!("vault {title}"));
        assert!(schema.keys.len() > 5);
        let stray: Vec<_> = schema.optional.difference(&schema.keys).collect();
        assert!(stray.is_empty(), "{title}: {stray:?}");
    }
}

#[test]
fn every_output_has_the_keys_of_the_page() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "text");
    std::os::unix::fs::symlink("file", sandbox.path("source/link")).unwrap();
    let json = |arguments: &[&str]| sandbox.vault(arguments.iter().chain(&["-r", "repo", "--json"])).succeeds().json();
    compare("vault create", &[json(&["create", "a", "source"])]);
    compare("vault list", &[json(&["list"])]);
    compare("vault info", &[json(&["info"])]);
    compare("vault info ARCHIVE", &[json(&["info", "a"])]);
    compare("vault restore", &[json(&["restore", "a", "--target", "out"])]);
    compare("vault check", &[json(&["check", "--read-data"]), json(&["check"])]);
    compare("vault check --no-key", &[json(&["check", "--no-key"])]);
    compare("vault key list", &[json(&["key", "list"])]);
    compare("vault check --repair", &[json(&["check", "--repair"]), json(&["check", "--repair", "--yes"])]);
    let pack = sandbox.largest_file("repo/packs");
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let repaired = sandbox.vault(["check", "-r", "repo", "--repair", "--yes", "--json"]).json();
    compare("vault check --repair", &[repaired]);
    compare("vault quarantine", &[json(&["quarantine"]), json(&["quarantine", "--empty"])]);

    json(&["create", "a", "source"]);
    compare("vault prune", &[json(&["prune", "--keep-last", "1", "--compact"]), json(&["prune", "-d", "1", "-n"])]);
    compare("vault delete", &[json(&["delete", "a"])]);
    compare("vault undelete", &[json(&["undelete", "a"])]);
    compare("vault compact", &[json(&["compact"]), json(&["compact", "-n"])]);

    compare("vault benchmark", &[json(&["benchmark"])]);

    let lines = sandbox.vault(["list", "repo::a", "--json"]).succeeds().stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    compare("vault list ARCHIVE", &lines);
    let symbolic: Vec<&Value> = lines.iter().filter(|line| line["type"] == "l").collect();
    assert_eq!(symbolic.len(), 1);
    assert_eq!(symbolic[0]["target"], "file");
}
