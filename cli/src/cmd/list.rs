//! `vault list`.

use anyhow::Result;
use vault_engine::Error;
use vault_engine::ops::archives::{self, Archive};
use vault_engine::repository::Repository;

use crate::args::ListArgs;
use crate::exit::Exit;
use crate::json::{ArchiveJson, EntryJson, ListJson, RepositoryJson};
use crate::out::Out;
use crate::progress::{Console, Show};
use crate::render;
use crate::session::Caller;

/// Lists archives, or the files of one.
pub(super) fn run(caller: Caller<'_>, args: &ListArgs) -> Result<Exit> {
    let selected = super::select(caller, args.archive.as_ref())?;
    let mut out = Out::new();
    let console = Console::new(Show::QUIET, caller.signals);
    match &selected.archive {
        Some(archive) => entries(&selected.repository, archive, args.json, &mut out)?,
        None => archives(&selected.repository, &console, args.json, &mut out)?,
    }
    out.finish()?;
    Ok(Exit::with_warnings(selected.warnings + console.warnings()))
}

fn archives(repository: &Repository, console: &Console<'_>, json: bool, out: &mut Out) -> Result<()> {
    let archives = archives::list(repository, console)?;
    if json {
        let archives = archives.iter().map(ArchiveJson::of).collect();
        return out.json(&ListJson { repository: RepositoryJson::of(repository), archives });
    }
    if archives.is_empty() {
        crate::say("vault: there are no archives yet");
        return Ok(());
    }
    render::archives(&archives).into_iter().try_for_each(|line| out.line(line))
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
