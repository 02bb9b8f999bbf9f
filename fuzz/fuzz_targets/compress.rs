//! The target `compress` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vault_fuzz::run("compress", data));
