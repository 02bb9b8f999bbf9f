//! Every integration test of the engine: one binary, one module for each subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what helps a test fails as the test would"
)]

mod attack;
mod changes;
mod commit;
mod compact;
mod damage;
mod deletion;
mod fidelity;
#[cfg(debug_assertions)]
mod flips;
mod format;
mod golden;
mod incidents;
mod levels;
mod life;
#[path = "../machine/mod.rs"]
mod machine;
mod model;
mod newer;
mod parallel;
mod power;
#[path = "../protocol/mod.rs"]
mod protocol;
mod repair;
mod retention;
mod sample;
mod store;
mod support;
mod tidy;
