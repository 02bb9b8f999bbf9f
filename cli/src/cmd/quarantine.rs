//! `vault quarantine`.

use anyhow::Result;
use vault_engine::ops::quarantine;

use crate::args::QuarantineArgs;
use crate::exit::Exit;
use crate::json::QuarantineJson;
use crate::out::{self, Out};
use crate::render;
use crate::session::{Caller, Purpose};

/// Lists what repairs have set aside, or removes it.
pub(super) fn run(caller: Caller<'_>, args: &QuarantineArgs) -> Result<Exit> {
    let place = caller.place(None)?;
    let repository = caller.open(&place, Purpose::Read)?;
    let files = quarantine::list(&repository)?;
    if args.empty {
        quarantine::empty(&repository, &files)?;
    }
    let print = || {
        let mut out = Out::new();
        if args.json {
            out.json(&QuarantineJson::of(&repository, &files, args.empty))?;
        } else {
            for file in &files {
                out.line(format!("{:>12}  {}", render::bytes(file.size), file.name))?;
            }
        }
        out.finish()
    };
    let printed = out::ended(print(), Exit::Success)?;
    if args.empty {
        crate::say(&format!("vault: removed {} from the quarantine", render::count(files.len() as u64, "file")));
    }
    Ok(printed)
}
