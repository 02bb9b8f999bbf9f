//! `vault delete`.

use anyhow::{Context, Result};
use vault_engine::ops::delete::{self, DeleteOptions};
use vault_engine::pattern::Glob;

use crate::args::DeleteArgs;
use crate::exit::{Exit, usage};
use crate::json::DeleteJson;
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{Caller, Purpose};
use crate::state::Memory;

/// Deletes archives.
pub(super) fn run(caller: Caller<'_>, args: &DeleteArgs) -> Result<Exit> {
    let (prefix, archives) = super::wanted(&args.archives)?;
    let glob = args.glob_archives.as_deref().map(parse_glob).transpose()?;
    let place = caller.place(prefix)?;
    let repository = caller.open(&place, Purpose::Read)?;
    let console = Console::new(Show::QUIET, caller.signals);
    let memory = Memory::recall(&repository, &console);
    let deleted = delete::delete(&repository, &DeleteOptions { archives, glob, dry_run: args.dry_run }, &console);
    memory.keep_or_warn(&repository, &console);
    let deleted = deleted?;
    let exit = Exit::with_warnings(console.warnings());
    drop(console);

    for one in &deleted {
        let name = match &one.archive {
            Some(archive) => render::archive_name(archive),
            None => format!("aid:{}, which is damaged", one.id),
        };
        crate::say(&format!("vault: {} {name}", if args.dry_run { "would delete" } else { "deleted" }));
    }
    if !args.dry_run && !deleted.is_empty() {
        crate::say("vault: `vault undelete` brings it back until `vault compact` frees its space");
    }
    let print = || {
        let mut out = Out::new();
        if args.json {
            out.json(&DeleteJson::of(&repository, &deleted, args.dry_run))?;
        }
        out.finish()
    };
    out::ended(print(), exit)
}

/// `-a GLOB`.
pub(super) fn parse_glob(text: &str) -> Result<Glob> {
    if text.is_empty() {
        return Err(usage("--glob-archives is empty: -a '*' means all archives"));
    }
    Glob::new(text).context("--glob-archives")
}
