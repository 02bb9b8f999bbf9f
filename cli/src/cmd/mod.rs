//! One file a verb: options in, one call of the engine, its answer shown.

mod check;
mod create;
mod info;
mod init;
mod key;
mod list;
mod restore;
mod version;

use std::ffi::{OsStr, OsString};

use anyhow::Result;
use jiff::tz::TimeZone;
use vault_engine::ops::archives::{self, Archive};
use vault_engine::repository::Repository;

use crate::args::{Cli, Verb};
use crate::exit::{Exit, usage};
use crate::location::split_address;
use crate::progress::{Console, Show};
use crate::selector;
use crate::session::{Caller, Purpose};
use crate::signals::Signals;

/// Runs the verb.
pub(crate) fn run(cli: Cli, signals: &Signals) -> Result<Exit> {
    let caller = Caller { common: &cli.common, signals };
    match cli.verb {
        Verb::Init(args) => init::run(caller, &args),
        Verb::Create(args) => create::run(caller, *args),
        Verb::List(args) => list::run(caller, &args),
        Verb::Info(args) => info::run(caller, &args),
        Verb::Restore(args) => restore::run(caller, &args),
        Verb::Check(args) => check::run(caller, &args),
        Verb::Key(args) => key::run(caller, args.verb),
        Verb::Version => version::run(),
    }
}

/// An archive as it was asked for, in a repository that is open.
struct Selected {
    repository: Repository,
    /// `None` where the argument named a repository only.
    archive: Option<Archive>,
    /// Archives that could not be read when this one was looked for.
    warnings: u64,
}

/// Opens the repository and finds the archive of `ARCHIVE`, `REPO::ARCHIVE` or `REPO::`.
fn select(caller: Caller<'_>, argument: Option<&OsString>) -> Result<Selected> {
    let (prefix, text) = argument.map_or((None, OsStr::new("")), |argument| split_address(argument));
    if argument.is_some() && prefix.is_none() && text.is_empty() {
        return Err(usage("ARCHIVE is empty"));
    }
    let place = caller.place(prefix)?;
    let text = text.to_str().ok_or_else(|| usage("ARCHIVE is not UTF-8"))?;
    // Read before anything is opened: a wrong one should not cost a passphrase.
    let selector = if text.is_empty() { None } else { Some(selector::parse(text, &TimeZone::system())?) };
    let repository = caller.open(&place, Purpose::Read)?;
    let console = Console::new(Show::QUIET, caller.signals);
    let archive = selector.map(|selector| archives::select(&repository, &selector, text, &console)).transpose()?;
    Ok(Selected { repository, archive, warnings: console.warnings() })
}
