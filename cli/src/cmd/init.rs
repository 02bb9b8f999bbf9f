//! `vault init`.

use anyhow::Result;

use crate::args::{Encryption, InitArgs};
use crate::exit::{Exit, usage};
use crate::session::Caller;

/// Makes a repository.
pub(super) fn run(caller: Caller<'_>, args: &InitArgs) -> Result<Exit> {
    if args.encryption == Encryption::None && caller.common.key_file.is_some() {
        return Err(usage("--key-file makes no sense with --encryption none"));
    }
    let place = caller.place(None)?;
    caller.init(&place, args.encryption, args.like.as_deref())?;
    Ok(Exit::Success)
}
