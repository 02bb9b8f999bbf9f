//! What this machine remembers of an archive: the packs that it refers to. With all of them good, what is inherited needs no look-up.
//!
//! A cache: losing it costs look-ups. It is keyed, so that only a holder of the repository's key can have written it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::codec::{Put, Take};
use crate::crypto::Subkey;
use crate::id::{ArchiveId, PackId};
use crate::repository::{Archive, Repository};

const MAGIC: &[u8; 8] = b"VAULTPS1";
const ENTRY_LEN: usize = 40;

fn path_of(repository: &Repository, id: ArchiveId) -> Option<PathBuf> {
    Some(repository.cache_dir()?.join("references").join(id.to_hex()))
}

fn check(repository: &Repository, id: ArchiveId, body: &[u8]) -> [u8; 32] {
    let key = blake3::derive_key("vault 1 local references", repository.ring().subkey(Subkey::SealIndex).expose());
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(id.as_bytes());
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

/// The packs of an archive, if they are remembered.
pub(super) fn packs_of(repository: &Repository, archive: &Archive) -> Option<Vec<(PackId, u64)>> {
    let bytes = fs::read(path_of(repository, archive.id)?).ok()?;
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    if check(repository, archive.id, body) != *sum {
        return None;
    }
    let mut take = Take::new(body);
    if take.bytes(8, "magic").ok()? != MAGIC {
        return None;
    }
    let count = take.count(ENTRY_LEN, "packs").ok()?;
    (0..count).map(|_| Some((PackId::from_bytes(take.id("pack").ok()?), take.u64("size").ok()?))).collect()
}

/// Remembers the packs of an archive that has just been committed. Failing to costs time only.
pub(super) fn remember(repository: &Repository, id: ArchiveId, packs: &[(PackId, u64)]) {
    let Some(path) = path_of(repository, id) else { return };
    let Some(folder) = path.parent() else { return };
    let mut body = MAGIC.to_vec();
    body.put_count(packs.len());
    for (pack, size) in packs {
        body.put(pack.as_bytes());
        body.put_u64(*size);
    }
    let sum = check(repository, id, &body);
    body.put(&sum);
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::Builder::new().prefix(".references-").tempfile_in(folder)?;
        file.write_all(&body)?;
        file.persist(&path).map_err(|error| error.error)
    });
    if written.is_ok() {
        forget_old(folder);
    }
}

/// Keeps what the newest few hundred archives refer to.
fn forget_old(folder: &std::path::Path) {
    const KEPT: usize = 512;
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<_> =
        entries.flatten().filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    if files.len() > KEPT {
        files.sort_unstable();
        for (_, path) in files.iter().take(files.len() - KEPT) {
            let _ = fs::remove_file(path);
        }
    }
}
