//! `vault protect` and `vault unprotect`.

use anyhow::Result;
use vault_engine::ops::protect;

use crate::args::ProtectArgs;
use crate::exit::Exit;
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{Caller, Purpose};

/// Protects archives, or takes that back.
pub(super) fn run(caller: Caller<'_>, args: &ProtectArgs, protected: bool) -> Result<Exit> {
    let (prefix, wanted) = super::wanted(&args.archives)?;
    let place = caller.place(prefix)?;
    let repository = caller.open(&place, Purpose::Write)?;
    let console = Console::new(Show::QUIET, caller.signals);
    let done = if protected {
        protect::protect(&repository, &wanted, &console)?
    } else {
        protect::unprotect(&repository, &wanted, &console)?
    };
    let warnings = console.warnings();
    drop(console);
    for one in &done {
        let state = match (protected, one.changed) {
            (true, true) => "protected",
            (true, false) => "was protected already:",
            (false, true) => "no longer protected:",
            (false, false) => "was not protected:",
        };
        crate::say(&format!("vault: {state} {}", render::archive_name(&one.archive)));
    }
    Ok(Exit::with_warnings(warnings))
}
