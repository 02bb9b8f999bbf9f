//! Measuring: bytes like those that people archive, and vault beside other archivers on them (docs/performance.md).

use std::io::{self, Write};

pub mod compare;
pub mod content;
pub mod data;
pub mod index;
pub mod limit;
pub mod measure;
pub mod pages;
pub mod random;
pub mod report;
pub mod retention;
pub mod tools;

/// Tells whoever watches how far it is.
fn say(text: &str) {
    // Nobody to tell is no reason to stop.
    writeln!(io::stderr().lock(), "{text}").ok();
}
