//! `vault key`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vault_engine::ops::key;
use vault_engine::repository::Repository;

use crate::args::KeyVerb;
use crate::exit::Exit;
use crate::json::{KeysJson, RepositoryJson, SlotJson, slot_kind};
use crate::out::Out;
use crate::session::{Caller, Purpose};
use crate::{files, render, secrets};

/// An exported slot is a few kilobytes.
const EXPORT_LIMIT: usize = 1 << 20;

/// Adds, lists, removes, changes and carries keys.
pub(super) fn run(caller: Caller<'_>, verb: KeyVerb) -> Result<Exit> {
    let place = caller.place(None)?;
    if let KeyVerb::Import { file } = verb {
        let bytes = read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let id = caller.import_key(&place, &text)?;
        crate::say(&format!("vault: the key opens repository {id}; it is in {} again", place.path.display()));
        return Ok(Exit::Success);
    }
    let repository = caller.open(&place, Purpose::Read)?;
    match verb {
        KeyVerb::Add { new_key_file, name } => add(caller, &repository, new_key_file, &name)?,
        KeyVerb::List { json } => list(&repository, json)?,
        KeyVerb::Remove { id } => {
            key::remove(&repository, &id)?;
            crate::say(
                "vault: removed; a copy of the slot still opens the repository with its secret: \
                 this does not lock out whoever has one",
            );
        }
        KeyVerb::ChangePassphrase => {
            let slot = key::change_passphrase(&repository, &secrets::new_passphrase(caller.signals)?)?;
            crate::say(&format!("vault: changed; the new key slot is {}", slot.id));
        }
        KeyVerb::Export { file } => export(&repository, file.as_deref())?,
        KeyVerb::Import { .. } => {}
    }
    Ok(Exit::Success)
}

fn add(caller: Caller<'_>, repository: &Repository, key_file: Option<PathBuf>, name: &str) -> Result<()> {
    let secret = match key_file {
        Some(path) => secrets::new_key_file(path)?.secret,
        None => secrets::new_passphrase(caller.signals)?,
    };
    let slot = key::add(repository, &secret, name)?;
    crate::say(&format!("vault: added key slot {}", slot.id));
    Ok(())
}

fn list(repository: &Repository, json: bool) -> Result<()> {
    let slots = key::slots(repository)?;
    let mut out = Out::new();
    if json {
        let slots = slots.iter().map(SlotJson::of).collect();
        out.json(&KeysJson { repository: RepositoryJson::of(repository), slots })?;
        return out.finish();
    }
    let head = ["ID", "KIND", "KDF", "NAME"].map(str::to_owned).to_vec();
    let rows = slots.iter().map(|slot| {
        let name = slot.name.as_deref().map(render::text).unwrap_or_default();
        let name = if slot.opened { format!("{name} (opened the repository)") } else { name };
        vec![slot.id.to_string(), slot_kind(slot.kind).to_owned(), slot.kdf.clone(), name.trim_start().to_owned()]
    });
    let table = render::table(std::iter::once(head).chain(rows).collect(), &[]);
    table.into_iter().try_for_each(|line| out.line(line))?;
    out.finish()
}

fn export(repository: &Repository, file: Option<&Path>) -> Result<()> {
    let text = key::export(repository)?;
    let bytes = text.as_bytes();
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        let mut out = Out::new();
        out.bytes(bytes)?;
        return out.finish();
    };
    files::create_private(path, bytes)?;
    crate::say(&format!("vault: wrote {}; it opens with the same passphrase or key file", path.display()));
    Ok(())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let bytes = if file == Path::new("-") {
        files::read_limited(io::stdin(), EXPORT_LIMIT)
    } else {
        files::read_limited(File::open(file)?, EXPORT_LIMIT)
    };
    bytes.map(|bytes| bytes.to_vec())
}
