//! `vault undelete`.

use anyhow::Result;
use vault_engine::ops::undelete::{self, Undeleted};

use crate::args::UndeleteArgs;
use crate::exit::{Exit, failure};
use crate::json::UndeleteJson;
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{Caller, Purpose};

/// So many paths are named, one a line; `--json` names more.
const NAMED_PATHS: usize = 20;

/// Brings deleted archives back.
pub(super) fn run(caller: Caller<'_>, args: &UndeleteArgs) -> Result<Exit> {
    let (prefix, wanted) = super::wanted(&args.archives)?;
    let place = caller.place(prefix)?;
    let repository = caller.open(&place, Purpose::Write)?;
    let show = Show { verbose: caller.common.verbose, ..Show::QUIET };
    let console = Console::new(show, caller.signals);
    let undeleted = undelete::undelete(&repository, &wanted, &console)?;
    let warnings = console.warnings();
    drop(console);

    let print = || {
        let mut out = Out::new();
        if args.json {
            out.json(&UndeleteJson::of(&repository, &undeleted))?;
        }
        out.finish()
    };
    out::ended(print(), Exit::Success)?;
    undeleted.iter().for_each(say);
    match undeleted.iter().filter(|one| one.archive.is_none()).count() {
        0 => Ok(Exit::with_warnings(warnings)),
        lost => Err(failure(
            Exit::ObjectMissing,
            format!(
                "{lost} of {} archives cannot be brought back: the repository no longer holds what they need; \
                 `vault check` says more",
                undeleted.len()
            ),
        )),
    }
}

fn say(one: &Undeleted) {
    let name = render::archive_name(&one.deleted);
    if let Some(archive) = &one.archive {
        crate::say(&format!("vault: undeleted {name} as aid:{}", archive.id));
        return;
    }
    for (path, message) in one.missing.iter().take(NAMED_PATHS) {
        let path = if path.is_empty() { "its root".to_owned() } else { render::path(path) };
        crate::say(&format!("vault: {name}: {path}: {}", render::text(message)));
    }
    if let Some(more) = one.missing.len().checked_sub(NAMED_PATHS).filter(|more| *more > 0) {
        crate::say(&format!("vault: {name}: and {more} more"));
    }
}
