//! The counts on disk: which archives they were made for, and the count of each object by its id.
//!
//! Layout: `magic 8 | archives u32`, each `id 32 | roots u8`, each root `kind u8 | id 32`; then `id 32 | count u32` for every object that is
//! referred to, ascending, to the end; then the keyed hash of all that. By id and not by slot, because copies move and runs come and go.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use super::counts::Counts;
use crate::codec::{Decoded, Put, Take};
use crate::crypto::{Purpose, Subkey};
use crate::error::Result;
use crate::format::references::ObjectKind;
use crate::id::{ArchiveId, ObjectId};
use crate::repository::{Index, Repository};
use crate::sys;

const MAGIC: &[u8; 8] = b"VAULTLV1";
const SUM_LEN: usize = 32;
const ENTRY_LEN: usize = 36;
const KINDS: [ObjectKind; 5] = [
    ObjectKind::Tree,
    ObjectKind::Stamps,
    ObjectKind::List,
    ObjectKind::Leaf(Purpose::Meta),
    ObjectKind::Leaf(Purpose::Data),
];

/// Archives, each with what its manifest refers to: enough to take it back when the manifest has gone.
pub(super) type Roots = BTreeMap<ArchiveId, Vec<(ObjectKind, ObjectId)>>;

fn path_of(repository: &Repository) -> Option<PathBuf> {
    Some(repository.cache_dir()?.join("live"))
}

/// Only a holder of the repository's key can have written what this fits.
fn hasher(repository: &Repository) -> blake3::Hasher {
    let key = blake3::derive_key("vault 1 local live counts", repository.ring().subkey(Subkey::SealIndex).expose());
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(repository.id().as_bytes());
    hasher
}

/// Fills `counts` with what was saved and says for which archives it stands. For none if nothing was saved, if it is not ours, or if it
/// counts an object that the index does not name.
pub(super) fn load(repository: &Repository, index: &Index, counts: &Counts) -> Result<Roots> {
    let none = Ok(Roots::new());
    let mapped = path_of(repository).and_then(|path| sys::map_file(&File::open(path).ok()?).ok());
    let Some(map) = mapped else { return none };
    let Some((body, sum)) = map.split_last_chunk::<SUM_LEN>() else { return none };
    if hasher(repository).update(body).finalize() != *sum {
        return none;
    }
    let mut take = Take::new(body);
    let Ok(Some(roots)) = take_roots(&mut take) else { return none };
    let entries = body.get(take.offset()..).unwrap_or_default();
    if fill(entries, index, counts)? {
        return Ok(roots);
    }
    counts.clear();
    none
}

fn take_roots(take: &mut Take<'_>) -> Decoded<Option<Roots>> {
    if take.bytes(MAGIC.len(), "magic")? != MAGIC {
        return Ok(None);
    }
    let mut roots = Roots::new();
    for _ in 0..take.u32("archives")? {
        let archive = ArchiveId::from_bytes(take.id("archive")?);
        let mut named = Vec::new();
        for _ in 0..take.u8("roots")? {
            let kind = KINDS.get(usize::from(take.u8("kind")?)).ok_or_else(|| take.error("kind", "unknown"))?;
            named.push((*kind, ObjectId::from_bytes(take.id("root")?)));
        }
        roots.insert(archive, named);
    }
    Ok(Some(roots))
}

/// Merges the entries with the index, both in order of ids; whether every entry found its object.
fn fill(entries: &[u8], index: &Index, counts: &Counts) -> Result<bool> {
    let (entries, rest) = entries.as_chunks::<ENTRY_LEN>();
    let mut saved = entries.iter().peekable();
    index.scan(&mut |object| {
        if let Some(entry) = saved.next_if(|entry| entry.starts_with(object.id.as_bytes()))
            && let Some(count) = entry.last_chunk()
        {
            counts.set(object.slot, u32::from_le_bytes(*count));
        }
        Ok(())
    })?;
    // One that the index does not name would have held up all behind it.
    Ok(saved.next().is_none() && rest.is_empty())
}

/// Saves the counts of these archives. Failing to costs time only.
pub(super) fn save(repository: &Repository, index: &Index, counts: &Counts, roots: &Roots) -> Result<()> {
    let Some(path) = path_of(repository) else { return Ok(()) };
    let Some(folder) = path.parent() else { return Ok(()) };
    let made = fs::create_dir_all(folder);
    let Ok(file) = made.and_then(|()| tempfile::Builder::new().prefix(".live-").tempfile_in(folder)) else {
        return Ok(());
    };
    let mut out = Summed { out: file, hasher: hasher(repository), buffer: Vec::new(), failed: None };
    out.put(MAGIC);
    out.put_count(roots.len());
    for (archive, named) in roots {
        out.put(archive.as_bytes());
        out.put_u8(u8::try_from(named.len()).unwrap_or(u8::MAX));
        for (kind, id) in named {
            let number = KINDS.iter().position(|known| known == kind).unwrap_or(KINDS.len());
            out.put_u8(u8::try_from(number).unwrap_or(u8::MAX));
            out.put(id.as_bytes());
        }
    }
    index.scan(&mut |object| {
        let count = counts.word(object.slot);
        if count != 0 {
            out.put(object.id.as_bytes());
            out.put_u32(count);
        }
        Ok(())
    })?;
    if let Ok(file) = out.finish() {
        let _ = file.persist(path);
    }
    Ok(())
}

/// Hashes what it writes; remembers the first failure to the end.
struct Summed {
    out: tempfile::NamedTempFile,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    failed: Option<io::Error>,
}

impl Put for Summed {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 1 << 16 {
            self.flush();
        }
    }
}

impl Summed {
    fn flush(&mut self) {
        self.hasher.update(&self.buffer);
        if self.failed.is_none() {
            self.failed = self.out.write_all(&self.buffer).err();
        }
        self.buffer.clear();
    }

    fn finish(mut self) -> io::Result<tempfile::NamedTempFile> {
        self.flush();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.out.write_all(self.hasher.finalize().as_bytes())?;
        Ok(self.out)
    }
}
