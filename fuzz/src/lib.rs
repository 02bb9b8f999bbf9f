//! What the fuzzers run: each target is a function of bytes that panics when a promise is broken.
//!
//! libFuzzer calls them from `fuzz_targets`; the program `smoke` calls them with the seeds and mutations of these, on a
//! stable compiler, in a few seconds.

pub mod chunker;
pub mod compress;
pub mod decode;
pub mod pattern;
pub mod requests;
pub mod sealed;

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

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "decode", run: decode::run, mutations: 40_000 },
    Target { name: "chunker", run: chunker::run, mutations: 3_000 },
    Target { name: "compress", run: compress::run, mutations: 20_000 },
    Target { name: "pattern", run: pattern::run, mutations: 3_000 },
    Target { name: "requests", run: requests::run, mutations: 20_000 },
];

/// The first byte, and what follows.
fn first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
