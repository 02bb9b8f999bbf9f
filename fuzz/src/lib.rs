//! What the fuzzers run: each target is a function of bytes that panics when a promise is broken.
//!
//! libFuzzer calls them from `fuzz_targets`; the program `smoke` calls them with the seeds and mutations of these, on a
//! stable compiler, in a few seconds.

pub mod chunker;
mod cli;
pub mod compress;
pub mod decode;
mod hostile;
pub mod memory;
pub mod pattern;
pub mod repository;
pub mod requests;
pub mod restore;
pub mod round_trip;
pub mod scratch;
pub mod sealed;
pub mod selector;
pub mod swollen;
pub mod units;

// Where those files look for one another.
use cli::{exit, time};

/// A target as the smoke test sees it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of seeds.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
    /// How many mutations the smoke test tries: as many as take a second or so.
    pub mutations: u32,
}

/// All of them: the decoders of `decode::FAMILIES` first.
pub const TARGETS: [Target; 25] = [
    Target { name: "config", run: |data| decode::run("config", data), mutations: 8000 },
    Target { name: "slot", run: |data| decode::run("slot", data), mutations: 8000 },
    Target { name: "header", run: |data| decode::run("header", data), mutations: 8000 },
    Target { name: "block", run: |data| decode::run("block", data), mutations: 8000 },
    Target { name: "trailer", run: |data| decode::run("trailer", data), mutations: 8000 },
    Target { name: "segment", run: |data| decode::run("segment", data), mutations: 8000 },
    Target { name: "tree", run: |data| decode::run("tree", data), mutations: 8000 },
    Target { name: "list", run: |data| decode::run("list", data), mutations: 8000 },
    Target { name: "stamps", run: |data| decode::run("stamps", data), mutations: 8000 },
    Target { name: "manifest", run: |data| decode::run("manifest", data), mutations: 8000 },
    Target { name: "mark", run: |data| decode::run("mark", data), mutations: 8000 },
    Target { name: "event", run: |data| decode::run("event", data), mutations: 8000 },
    Target { name: "gc", run: |data| decode::run("gc", data), mutations: 8000 },
    Target { name: "session", run: |data| decode::run("session", data), mutations: 8000 },
    Target { name: "references", run: |data| decode::run("references", data), mutations: 8000 },
    Target { name: "chunker", run: chunker::run, mutations: 2000 },
    Target { name: "compress", run: compress::run, mutations: 10_000 },
    Target { name: "pattern", run: pattern::run, mutations: 3000 },
    Target { name: "requests", run: requests::run, mutations: 20_000 },
    Target { name: "selector", run: selector::run, mutations: 20_000 },
    Target { name: "units", run: units::run, mutations: 20_000 },
    Target { name: "target", run: restore::run, mutations: 1000 },
    Target { name: "archive", run: restore::archive, mutations: 100 },
    Target { name: "repository", run: repository::run, mutations: 100 },
    Target { name: "round_trip", run: round_trip::run, mutations: 100 },
];

/// Runs the target of this name.
///
/// # Panics
/// A promise is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(data);
}

/// The first byte, and what follows.
fn first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
