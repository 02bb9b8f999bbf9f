//! The target `target` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vault_fuzz::run("target", data));
