//! Key slots: who can open a repository. Every change makes the new slot durable before an old one goes.

use crate::error::{Error, KeyProblem, Result};
use crate::id::{FileId, RepositoryId};
use crate::repository::{OpenOptions, Repository, Secret};
use crate::store::Store;

pub use crate::repository::{SlotInfo, SlotKind};

const ARMOUR_BEGIN: &str = "-----BEGIN VAULT KEY-----";
const ARMOUR_END: &str = "-----END VAULT KEY-----";
const LINE_DIGITS: usize = 64;

/// All slots.
pub fn slots(repository: &Repository) -> Result<Vec<SlotInfo>> {
    repository.slots()
}

/// Adds a slot for another secret.
pub fn add(repository: &Repository, secret: &Secret, name: &str) -> Result<SlotInfo> {
    repository.add_slot(secret, name)
}

/// Removes the slot whose id begins with `prefix`.
///
/// # Errors
/// None or several match, or it is the last one.
pub fn remove(repository: &Repository, prefix: &str) -> Result<FileId> {
    let matching: Vec<FileId> =
        repository.slots()?.into_iter().map(|slot| slot.id).filter(|id| id.to_hex().starts_with(prefix)).collect();
    match matching.as_slice() {
        [one] if !prefix.is_empty() => {
            repository.remove_slot(*one)?;
            Ok(*one)
        }
        [] => Err(Error::Usage(format!("no key slot begins with {prefix:?}; `vault key list` shows them"))),
        _ => Err(Error::Usage(format!("{} key slots begin with {prefix:?}; give more digits", matching.len()))),
    }
}

/// Replaces the slot that opened the repository by one for another secret.
pub fn change_passphrase(repository: &Repository, new: &Secret) -> Result<SlotInfo> {
    repository.replace_slot(new)
}

/// The slot that opened the repository as text: with its passphrase or key file it brings back a repository whose `keys/` or `config` is lost.
pub fn export(repository: &Repository) -> Result<String> {
    let slot = repository.export_slot()?;
    let mut text = format!("{ARMOUR_BEGIN}\nrepository {}\n", repository.id().to_hex());
    let digits = crate::id::hex(&slot);
    let mut rest = digits.as_str();
    while let Some((line, behind)) = rest.split_at_checked(LINE_DIGITS.min(rest.len())) {
        if line.is_empty() {
            break;
        }
        // A short checksum a line says which one was mistyped.
        let check = blake3::hash(line.as_bytes()).to_hex();
        text.extend([line, " ", check.get(..4).unwrap_or_default(), "\n"]);
        rest = behind;
    }
    text.push_str(ARMOUR_END);
    text.push('\n');
    Ok(text)
}

/// Puts an exported slot back, and `config` with it if that is lost. The secrets must open it.
pub fn import(store: &dyn Store, text: &str, options: &OpenOptions) -> Result<RepositoryId> {
    Repository::import_slot(
        store,
        &unarmour(text).map_err(|problem| Error::Key(KeyProblem::Unusable(problem)))?,
        options,
    )
}

fn unarmour(text: &str) -> std::result::Result<Vec<u8>, String> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != ARMOUR_BEGIN);
    if lines.next().is_none() {
        return Err(format!("an exported key begins with the line {ARMOUR_BEGIN}"));
    }
    let mut bytes = Vec::new();
    for (number, line) in (1..).zip(lines) {
        if line == ARMOUR_END {
            return Ok(bytes);
        }
        if line.starts_with("repository ") || line.is_empty() {
            continue;
        }
        let wrong = || format!("line {number} of the exported key is mistyped or damaged");
        let (digits, check) = line.split_once(' ').ok_or_else(wrong)?;
        if blake3::hash(digits.as_bytes()).to_hex().get(..4) != Some(check) {
            return Err(wrong());
        }
        for pair in digits.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).ok().and_then(crate::id::unhex::<1>);
            bytes.extend_from_slice(&pair.ok_or_else(wrong)?);
        }
    }
    Err(format!("an exported key ends with the line {ARMOUR_END}"))
}
