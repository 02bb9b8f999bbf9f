//! The target `round_trip` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vault_fuzz::run("round_trip", data));
