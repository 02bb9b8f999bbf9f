//! `vault`, the command line: reads arguments and the environment, calls the engine, shows what it answers.

mod args;
mod cmd;
mod exit;
mod files;
mod json;
mod location;
mod name;
mod out;
mod placeholders;
mod progress;
mod render;
mod secrets;
mod selector;
mod session;
mod signals;
mod state;
mod stdin;
mod time;
mod units;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::FromArgMatches;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use vault_engine::Error;

use crate::args::Cli;
use crate::exit::Exit;
use crate::signals::Signals;

fn main() -> ExitCode {
    prepare_process();
    let parsed = args::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let exit = match parsed {
        Ok(cli) => run(cli),
        Err(error) => refuse(&error),
    };
    ExitCode::from(exit.code())
}

fn run(cli: Cli) -> Exit {
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return report(&anyhow::Error::from(error).context("cannot handle signals"), Exit::Error),
    };
    match cmd::run(cli, &signals) {
        Ok(exit) => exit,
        Err(error) if error.downcast_ref::<out::ReaderGone>().is_some() => Exit::Success,
        Err(error) if matches!(error.downcast_ref(), Some(Error::Interrupted)) => report(&error, signals.exit()),
        Err(error) => report(&error, Exit::of(&error)),
    }
}

/// The one place that prints an error: one line with its causes.
fn report(error: &anyhow::Error, exit: Exit) -> Exit {
    let line = render::chain(error);
    say(&format!("vault: error: {line}"));
    exit
}

/// A wrong command line in one line, or the help that was asked for.
fn refuse(error: &clap::Error) -> Exit {
    if !error.use_stderr() || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody reads it: nothing to do.
        let _ = error.print();
        return if error.use_stderr() { Exit::Error } else { Exit::Success };
    }
    say(&format!("vault: error: {}", render::usage_error(&error.to_string())));
    Exit::Error
}

/// One line on standard error; where that is closed nobody can be told.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Keys never reach a core file, and a repository with many packs may open many files.
/// Both are best effort: a sandbox that forbids them does not forbid archives.
fn prepare_process() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
}
