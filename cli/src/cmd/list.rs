//! `vault list`.

use anyhow::Result;
use vault_engine::Error;
use vault_engine::ops::archives::{self, Archive};
use vault_engine::repository::Repository;

use crate::args::ListArgs;
use crate::exit::{Exit, usage};
use crate::json::{ArchiveJson, EntryJson, ListJson, RepositoryJson};
use crate::location::split_address;
use crate::out::Out;
use crate::progress::{Console, Show};
use crate::render;
use crate::session::Caller;
use crate::state::Memory;

/// Lists archives, or the files of one.
pub(super) fn run(caller: Caller<'_>, args: &ListArgs) -> Result<Exit> {
    if args.deleted && args.archive.as_ref().is_some_and(|text| !split_address(text).1.is_empty()) {
        return Err(usage("--deleted lists archives; undelete one to see its files"));
    }
    let selected = super::select(caller, args.archive.as_ref())?;
    let mut out = Out::new();
    let console = Console::new(Show::QUIET, caller.signals);
    if let Some(archive) = &selected.archive {
        entries(&selected.repository, archive, args.json, &mut out)?;
    } else {
        let memory = Memory::recall(&selected.repository, &console);
        archives(&selected.repository, &console, args, &mut out)?;
        // Whoever only lists may have no place to write to.
        let _ = memory.keep(&selected.repository);
    }
    out.finish()?;
    Ok(Exit::with_warnings(selected.warnings + console.warnings()))
}

fn archives(repository: &Repository, console: &Console<'_>, args: &ListArgs, out: &mut Out) -> Result<()> {
    let (archives, none) = if args.deleted {
        (
            archives::list_deleted(repository, console)?,
            "vault: there are no deleted archives, or all of them are purged",
        )
    } else {
        (archives::list(repository, console)?, "vault: there are no archives yet")
    };
    let facts = archives::facts(repository, console)?;
    if args.json {
        let archives = archives.iter().map(|archive| ArchiveJson::of(archive).with_facts(&facts)).collect();
        return out.json(&ListJson { repository: RepositoryJson::of(repository), archives });
    }
    if archives.is_empty() {
        crate::say(none);
        return Ok(());
    }
    render::archives(&archives, &facts).into_iter().try_for_each(|line| out.line(line))
}

fn entries(repository: &Repository, archive: &Archive, json: bool, out: &mut Out) -> Result<()> {
    // The engine's walk ends at the first error it is given; what really happened is kept here.
    let mut failed = None;
    let walked = archives::entries(repository, archive, &mut |path, node| {
        let written = if json { out.json(&EntryJson::of(path, node)) } else { out.line(render::entry(path, node)) };
        written.map_err(|error| {
            failed = Some(error);
            Error::Interrupted
        })
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(walked?),
    }
}
