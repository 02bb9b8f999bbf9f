//! The engine's [`Monitor`] on a console: warnings, `--list` lines and a progress line, all on standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use vault_engine::progress::{Counters, Monitor};

use crate::render;
use crate::signals::{Held, Signals};

/// What the user wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Show {
    /// Notes.
    pub(crate) verbose: bool,
    /// Every entry.
    pub(crate) list: bool,
    /// A progress line even beside a list.
    pub(crate) progress: bool,
}

impl Show {
    /// Warnings only: for what is over at once.
    pub(crate) const QUIET: Self = Self { verbose: false, list: true, progress: false };
}

/// Speaks to the user while an operation runs; while it lives a first signal asks the operation to stop.
#[derive(Debug)]
pub(crate) struct Console<'a> {
    show: Show,
    signals: &'a Signals,
    _held: Held<'a>,
    counters: Arc<Counters>,
    warnings: AtomicU64,
    bar: ProgressBar,
}

impl<'a> Console<'a> {
    /// The progress line is drawn on terminals only, and there unless a list would run through it.
    pub(crate) fn new(show: Show, signals: &'a Signals) -> Self {
        let counters = Arc::new(Counters::default());
        let draws = io::stderr().is_terminal() && (show.progress || !show.list);
        let bar = if draws { progress_line(&counters) } else { ProgressBar::hidden() };
        Self { show, signals, _held: signals.hold(), counters, warnings: AtomicU64::new(0), bar }
    }

    /// How many warnings were shown.
    pub(crate) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    fn say(&self, line: &str) {
        // Where standard error is closed nobody can be told.
        self.bar.suspend(|| drop(writeln!(io::stderr().lock(), "{line}")));
    }
}

impl Drop for Console<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for Console<'_> {
    fn warning(&self, path: &[u8], message: &str) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.say(&warning_line(path, message));
    }

    fn note(&self, message: &str) {
        if self.show.verbose {
            self.say(&format!("vault: note: {}", render::text(message)));
        }
    }

    fn entry(&self, status: char, path: &[u8]) {
        if self.show.list {
            self.say(&format!("{status} {}", render::path(path)));
        }
    }

    fn counters(&self) -> Option<&Counters> {
        Some(&self.counters)
    }

    fn cancelled(&self) -> bool {
        self.signals.cancelled()
    }
}

/// A warning as users and their log readers know it.
fn warning_line(path: &[u8], message: &str) -> String {
    if path.is_empty() {
        format!("vault: warning: {}", render::text(message))
    } else {
        format!("vault: warning: {}: {}", render::path(path), render::text(message))
    }
}

fn progress_line(counters: &Arc<Counters>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let counters = Arc::clone(counters);
    let numbers = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A progress line that cannot be written is not worth an error.
        let _ = out.write_str(&numbers(&counters));
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {numbers}") {
        bar.set_style(style.with_key("numbers", numbers));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn numbers(counters: &Counters) -> String {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (done, total) = (value(&counters.bytes), value(&counters.total_bytes));
    let mut parts = vec![render::count(value(&counters.entries), "file")];
    if total > 0 {
        let percent = (u128::from(done) * 100 / u128::from(total)).min(100);
        parts.push(format!("{} of {} ({percent} %)", render::bytes(done), render::bytes(total)));
    } else {
        parts.push(render::bytes(done));
    }
    let stored = value(&counters.stored_bytes);
    if stored > 0 {
        parts.push(format!("{} stored", render::bytes(stored)));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_name_the_path_if_there_is_one() {
        assert_eq!(warning_line(b"a\n", "gone"), "vault: warning: a\\n: gone");
        assert_eq!(warning_line(b"", "set VAULT_HOSTNAME"), "vault: warning: set VAULT_HOSTNAME");
    }

    #[test]
    fn numbers_show_what_is_known() {
        let counters = Counters::default();
        Counters::add(&counters.entries, 1);
        Counters::add(&counters.bytes, 500);
        assert_eq!(numbers(&counters), "1 file, 500 B");
        Counters::add(&counters.total_bytes, 1000);
        assert_eq!(numbers(&counters), "1 file, 500 B of 1.00 kB (50 %)");
    }
}
