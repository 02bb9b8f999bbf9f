//! What several tests need that is no test.

use std::io::Write;

/// Says that a test cannot run for want of something that could be had: a package, a right. It fails where all must run.
pub(crate) fn skip_missing(test: &str, needs: &str) {
    say(&format!("SKIPPED {test}: needs {needs}"));
    let required = std::env::var_os("VAULT_TEST_REQUIRE").is_some_and(|value| value == "1");
    assert!(!required, "{test} needs {needs}, and VAULT_TEST_REQUIRE=1 allows no test to be skipped");
}

/// Says that a test cannot run because this machine's kernel does not do it, which no package changes.
pub(crate) fn skip_unavailable(test: &str, reason: &str) {
    say(&format!("SKIPPED {test}: {reason}"));
}

/// Past the capture of what passing tests print: a skipped test must be seen.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
