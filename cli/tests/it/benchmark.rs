//! What a host does in a second: the numbers are there, and the repository is as it was.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::sandbox::{Sandbox, files};

#[test]
fn a_benchmark_has_every_number_and_leaves_the_repository_as_it_was() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/file", "text".repeat(1000));
    sandbox.vault(["create", "-r", "repo", "a", "source"]).succeeds();
    let before = files(&sandbox.path("repo"));
    let report = sandbox.vault(["benchmark", "-r", "repo", "--json"]).succeeds().json();
    assert!(files(&sandbox.path("repo")) == before);
    assert!(sandbox.path("repo/tmp").read_dir().unwrap().next().is_none());

    let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
    for data in report["data"].as_array().unwrap() {
        assert!(["cut", "id", "seal", "open"].iter().all(|stage| positive(&data[stage])), "{data}");
        let codecs = data["codecs"].as_array().unwrap();
        let settings: Vec<_> = codecs.iter().map(|codec| codec["compression"].as_str().unwrap()).collect();
        assert_eq!(settings, ["lz4", "zstd,1", "zstd,2", "zstd,3", "zstd,6", "zstd,9"]);
        assert!(codecs.iter().all(|codec| positive(&codec["compress"]) && positive(&codec["ratio"])), "{data}");
    }
    let store = &report["store"];
    assert!(["put", "read", "put_small", "put_small_together", "list"].iter().all(|key| positive(&store[key])));
    assert_eq!((&store["packs"], &store["pack_bytes"]), (&Value::from(4), &Value::from(32 << 20)));
    assert!(positive(&report["key_derivation"]));
}

#[test]
fn a_benchmark_without_a_repository_measures_the_host_alone() {
    let sandbox = Sandbox::new();
    let shown = sandbox.vault(["benchmark"]).succeeds().stdout;
    assert!(shown.starts_with("ONE CORE ") && shown.contains("\nzstd,3 ") && shown.contains("key from a passphrase"));
    assert!(!shown.contains("small file"), "{shown}");
    assert!(files(&sandbox.path("")).is_empty(), "no repository was made");
}

#[test]
fn a_benchmark_needs_no_secret_and_a_place_that_is_a_repository() {
    let sandbox = Sandbox::new();
    sandbox.vault(["benchmark", "-r", "nowhere"]).fails(13, &["nowhere"]);
    sandbox.write("folder/file", "");
    sandbox.vault(["benchmark", "-r", "folder"]).fails(15, &["no repository"]);
    sandbox.vault(["benchmark", "--key-file", "key"]).fails(2, &["--key-file"]);
}

#[test]
fn a_benchmark_that_is_interrupted_leaves_nothing() {
    let sandbox = Sandbox::with_repository();
    let before = files(&sandbox.path("repo"));
    let mut child =
        sandbox.command(["benchmark", "-r", "repo"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // What is put goes below tmp/; from there on a signal asks.
    let has_begun = || sandbox.path("repo/tmp").read_dir().is_ok_and(|mut folder| folder.next().is_some());
    while !has_begun() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(files(&sandbox.path("repo")) == before);
}
