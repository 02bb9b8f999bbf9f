//! What is to be done about each file that a check complains of.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::format::mark::Mark;
use crate::id::{ArchiveId, FileId};
use crate::ops::check::CheckReport;
use crate::repository::{Repository, Verdict, read_optional};
use crate::store::{Key, Kind};

/// What is done about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A pack: what can be read of it is copied, what cannot is looked for elsewhere; its bytes go to the quarantine.
    Salvage,
    /// A pack that is gone: the index stops naming it.
    Forget,
    /// It is whole and has the wrong name: it gets its own.
    PutInPlace(Key),
    /// A mark: it is put as it must be.
    MarkAgain(ArchiveId, Mark),
    /// Nothing in it can be read, or another copy stands: its bytes go to the quarantine.
    SetAside,
    /// Nothing.
    Leave,
}

/// A file and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// The file.
    pub key: Key,
    /// What is done.
    pub remedy: Remedy,
    /// The same in words, with what it means.
    pub message: String,
}

/// One treatment for each file.
pub(super) fn treatments(repository: &Repository, found: &CheckReport) -> Result<Vec<Treatment>> {
    let keys: BTreeSet<Key> = found.findings.iter().filter_map(|finding| Key::from_path(&finding.file)).collect();
    let mut treatments: Vec<Treatment> =
        keys.into_iter().map(|key| treatment(repository, key)).collect::<Result<_>>()?;
    // A mark whose manifest is found under another name stays.
    let found = |one: &Treatment| match &one.remedy {
        Remedy::PutInPlace(right) => ArchiveId::from_hex(right.name()).map(Key::ok_mark),
        _ => None,
    };
    let counted: BTreeSet<Key> = treatments.iter().filter_map(found).collect();
    treatments.retain(|one| !counted.contains(&one.key));
    Ok(treatments)
}

fn treatment(repository: &Repository, key: Key) -> Result<Treatment> {
    let (remedy, message) = match key.kind() {
        Kind::Packs => pack(repository, &key)?,
        Kind::Archives if key.name().contains('.') => mark(repository, &key)?,
        Kind::Keys | Kind::Index | Kind::Archives | Kind::Events | Kind::Gc => small(repository, &key)?,
        Kind::Config | Kind::Sessions | Kind::Quarantine => (Remedy::Leave, "left as it is"),
    };
    Ok(Treatment { key, remedy, message: message.to_owned() })
}

fn pack(repository: &Repository, key: &Key) -> Result<(Remedy, &'static str)> {
    Ok(match repository.store().size(key)? {
        None => (Remedy::Forget, "the pack is gone: the index stops naming it, what was in it is looked for elsewhere"),
        Some(_) => (Remedy::Salvage, "what can be read of it is copied into new packs; its bytes go to quarantine/"),
    })
}

fn mark(repository: &Repository, key: &Key) -> Result<(Remedy, &'static str)> {
    let Some((archive, mark)) = marked(key) else {
        return Ok((Remedy::Leave, "not a name that vault gives: left as it is"));
    };
    let bytes = read_optional(repository.store().as_ref(), key)?;
    let readable = match repository.archive(archive) {
        Ok(manifest) => manifest.is_some(),
        Err(Error::Damaged { .. } | Error::Unsupported { .. }) => false,
        Err(error) => return Err(error),
    };
    Ok(match (readable, bytes) {
        (true, Some(bytes)) if mark.verify(archive, &bytes).is_ok() => (Remedy::Leave, "the mark is whole"),
        (true, _) => (Remedy::MarkAgain(archive, mark), "the mark is put again as it must be"),
        (false, Some(_)) => {
            (Remedy::SetAside, "the archive that it belongs to cannot be read: the mark goes to quarantine/")
        }
        (false, None) => (Remedy::Leave, "it is gone"),
    })
}

fn marked(key: &Key) -> Option<(ArchiveId, Mark)> {
    let (name, suffix) = key.name().split_once('.')?;
    let mark = match suffix {
        "ok" => Mark::Ok,
        "del" => Mark::Deleted,
        _ => return None,
    };
    Some((ArchiveId::from_hex(name)?, mark))
}

fn small(repository: &Repository, key: &Key) -> Result<(Remedy, &'static str)> {
    if FileId::from_hex(key.name()).is_none() {
        return Ok((Remedy::Leave, "not a name that vault gives: left as it is"));
    }
    let means = match key.kind() {
        Kind::Index => {
            "the packs that it named say themselves what is in them and get a new one; its bytes go to quarantine/"
        }
        Kind::Keys => "no secret opens it any more; its bytes go to quarantine/",
        Kind::Events => {
            "it may have protected an archive: look at `vault list` and protect it again; its bytes go to quarantine/"
        }
        Kind::Gc => {
            "it said what a compaction was about to remove. Make sure that no compaction runs on any host, then it may go to quarantine/"
        }
        _ => "the archive cannot be read any more, and what only it needed will be freed; its bytes go to quarantine/",
    };
    Ok(match repository.judge(key)? {
        Verdict::Gone => (Remedy::Leave, "it is gone; what it said is rebuilt from what stands"),
        Verdict::Sound => (Remedy::Leave, "it is whole"),
        Verdict::Misplaced(right) => (Remedy::PutInPlace(right), "it is whole, its name is not: it gets its own again"),
        Verdict::Broken => (Remedy::SetAside, means),
    })
}
