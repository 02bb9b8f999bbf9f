//! The parsers of the command line. `vault` is a program and nothing else, and these files know only the engine and each
//! other: they are compiled once more here, so that neither a library nor public items exist for the fuzzers' sake alone.

#[path = "../../cli/src/exit.rs"]
#[expect(dead_code, reason = "parsers only make errors; the program shows them")]
pub(crate) mod exit;
#[path = "../../cli/src/name.rs"]
pub(crate) mod name;
#[path = "../../cli/src/placeholders.rs"]
pub(crate) mod placeholders;
#[path = "../../cli/src/selector.rs"]
pub(crate) mod selector;
#[path = "../../cli/src/time.rs"]
#[expect(dead_code, reason = "what shows times to people is not fuzzed")]
pub(crate) mod time;
#[path = "../../cli/src/units.rs"]
pub(crate) mod units;
