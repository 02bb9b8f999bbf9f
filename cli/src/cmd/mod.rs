//! One file a verb: options in, one call of the engine, its answer shown.

mod benchmark;
mod check;
mod compact;
mod create;
mod delete;
mod info;
mod init;
mod key;
mod list;
mod protect;
mod prune;
mod quarantine;
mod repair;
mod restore;
mod undelete;
mod version;

use std::ffi::{OsStr, OsString};

use anyhow::Result;
use jiff::tz::TimeZone;
use vault_engine::ops::archives::{self, Archive, Wanted};
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
        Verb::Check(args) if args.repair => repair::run(caller, &args),
        Verb::Check(args) => check::run(caller, &args),
        Verb::Prune(args) => prune::run(caller, &args),
        Verb::Delete(args) => delete::run(caller, &args),
        Verb::Undelete(args) => undelete::run(caller, &args),
        Verb::Protect(args) => protect::run(caller, &args, true),
        Verb::Unprotect(args) => protect::run(caller, &args, false),
        Verb::Compact(args) => compact::run(caller, &args),
        Verb::Quarantine(args) => quarantine::run(caller, &args),
        Verb::Benchmark(args) => benchmark::run(caller, &args),
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

/// Several arguments, of which each may have `REPO::` before it: the repository, and what is behind.
fn addresses<'a>(arguments: &'a [OsString], what: &str) -> Result<(Option<&'a OsStr>, Vec<&'a str>)> {
    let mut repository = None;
    let mut texts = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let (prefix, text) = split_address(argument);
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        if let (Some(one), Some(other)) = (repository, prefix)
            && one != other
        {
            return Err(usage("one repository at a time: the arguments name two before their ::"));
        }
        repository = repository.or(prefix);
        if argument.is_empty() {
            return Err(usage(format!("{what} is empty")));
        }
        texts.push(text.to_str().ok_or_else(|| usage(format!("{what} is not UTF-8")))?);
    }
    Ok((repository, texts))
}

/// Several archives. Read before anything is opened: a wrong one should not cost a passphrase.
fn wanted(arguments: &[OsString]) -> Result<(Option<&OsStr>, Vec<Wanted>)> {
    let (repository, texts) = addresses(arguments, "ARCHIVE")?;
    let zone = TimeZone::system();
    let wanted =
        texts.into_iter().map(|text| Ok(Wanted { selector: selector::parse(text, &zone)?, text: text.to_owned() }));
    Ok((repository, wanted.collect::<Result<_>>()?))
}
