//! What repairs have set aside. No run reads it, and nothing removes it but [`empty`].

use crate::error::Result;
use crate::repository::Repository;
use crate::store::{Key, Kind, Listed};

/// Every file in the quarantine: its former folder and name, joined by a hyphen, and its size.
pub fn list(repository: &Repository) -> Result<Vec<Listed>> {
    let mut files = repository.store().list(Kind::Quarantine)?;
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Removes these files of the quarantine for good.
pub fn empty(repository: &Repository, files: &[Listed]) -> Result<()> {
    repository.check_writable()?;
    let keys: Vec<Key> = files.iter().map(|file| Key::listed(Kind::Quarantine, &file.name)).collect();
    Ok(repository.store().remove_many(&keys)?)
}
