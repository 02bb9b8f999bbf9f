//! Black-box tests of the binary `vault`: what a user types, what comes back, and the exit code.

#[cfg(test)]
mod benchmark;
#[cfg(test)]
mod check;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod errors;
#[cfg(test)]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod faults;
#[cfg(test)]
mod help;
#[cfg(test)]
mod json;
#[cfg(test)]
mod keys;
#[cfg(test)]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../../../engine/tests/machine/mod.rs"]
mod machine;
#[cfg(test)]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod memory;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod repository;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod selectors;
#[cfg(test)]
mod stress;
