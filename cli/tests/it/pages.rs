//! The commands of the README and of the pages run as they are printed.

use std::path::Path;
use std::process::Command;

use crate::sandbox::{Sandbox, run};

/// The commands of every block of this kind in a page.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{kind}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_readme_runs_as_it_is_printed() {
    let sandbox = Sandbox::new();
    sandbox.write("docs/page.md", "text");
    sandbox.write("volumes/pg/base/1/16384", vec![7; 100_000]);
    sandbox.write("backup/passphrase", "a long passphrase\n");
    sandbox.vault(["create", "--init", "docs", "docs"]).succeeds();
    let commands = blocks("README.md", "sh");
    assert_eq!(commands.len(), 2);
    let binary = Path::new(env!("CARGO_BIN_EXE_vault")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    for block in commands {
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &block]).env_clear().env("PATH", &path).env("HOME", sandbox.path("")).env("TZ", "UTC");
        run(shell.env("VAULT_HOSTNAME", "h1").current_dir(sandbox.path(""))).succeeds();
    }
    assert_eq!(std::fs::read_to_string(sandbox.path("restored/docs/page.md")).unwrap(), "text");
    let volume = sandbox.path("new-server").join(sandbox.path("volumes/pg/base/1/16384").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(volume).unwrap(), vec![7; 100_000]);
}

#[test]
fn the_set_up_is_what_ci_runs() {
    let ci = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/run")).unwrap();
    for line in blocks("README.md", "console").iter().flat_map(|block| block.lines()) {
        assert!(ci.contains(line), "{line} is not run by .ci/run");
    }
}

#[test]
fn what_to_do_at_3_am_runs_as_it_is_printed() {
    let sandbox = Sandbox::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_vault")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let (repository, copy) = (sandbox.path("encrypted"), sandbox.path("copy"));
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", script]).env_clear().env("PATH", &path).env("HOME", sandbox.path("")).env("TZ", "UTC");
        shell.env("VAULT_HOSTNAME", "h1").env("VAULT_REPO", &repository).env("VAULT_KEY_FILE", sandbox.path("key"));
        shell.env("OTHER_COPY", &copy).env("EXPORTED_KEY", sandbox.path("exported"));
        run(shell.current_dir(sandbox.path(""))).succeeds();
    };
    for number in 0..3 {
        sandbox.write(&format!("docs/{number}"), format!("page {number}\n").repeat(5000));
    }
    shell(
        "vault init; vault create docs docs; vault key export \"$EXPORTED_KEY\"; cp -a \"$VAULT_REPO\" \"$OTHER_COPY\"",
    );
    let blocks = blocks("docs/recovery.md", "sh");
    assert_eq!(blocks.len(), 10);
    for block in blocks {
        // What stands before the complaint: a pack with a byte that is not what it was.
        if block.starts_with("vault check --read-data ||") || block.contains("--from") {
            let pack = sandbox.largest_file("encrypted/packs");
            let mut bytes = std::fs::read(&pack).unwrap();
            bytes[1000] ^= 1;
            std::fs::write(&pack, bytes).unwrap();
        }
        shell(&block);
    }
    let there = std::fs::read_to_string(sandbox.path("restored-there/docs/1")).unwrap();
    assert_eq!(there, "page 1\n".repeat(5000));
}

/// Every test that a promise or an incident names is there.
#[test]
fn promises_are_held_up_by_tests_that_exist() {
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut text = String::new();
    for folder in ["engine/tests", "engine/src", "cli/tests", "cli/src"] {
        sources(&root.join(folder), &mut text);
    }
    for (page, least) in [("docs/promises.md", 20), ("docs/incidents.md", 60)] {
        let page = std::fs::read_to_string(root.join(page)).unwrap();
        let named = page.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 2);
        let mut count = 0;
        for name in named {
            count += 1;
            // One that is given values has them behind its name.
            assert!(text.contains(&format!("fn {name}(")), "no test {name}");
        }
        assert!(count > least, "{count} names");
    }
}
