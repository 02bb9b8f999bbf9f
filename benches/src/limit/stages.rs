//! The stages of `create` and of `check --read-data` one after another on the thread that calls, at the settings that ship, each with its own
//! stopwatch. Between stopwatches is what the engine may do in another way: walking, look-ups, copies, trees, waiting.
//!
//! One window of a file and one block are in memory; of the rest only ids and lengths.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags, openat};
use serde::Serialize;
use vault_engine::chunker::{
    ChunkerProfile, ChunkerRequest, Cutter, Gear, HEAD_BYTES, PieceKind, choose, is_of_database,
};
use vault_engine::clock::Stopwatch;
use vault_engine::compress::Compression;
use vault_engine::crypto::{KeyRing, Purpose, SecretKey, Subkey};
use vault_engine::format::block::{BlockContent, BlockKind, Entry, compress_block, open_block_payload};
use vault_engine::format::config::Profile;
use vault_engine::format::file::{Class, FileCipher};
use vault_engine::format::verify::{Verify, open_sealed, open_sealed_head, recompute_ids};
use vault_engine::id::{DomainId, ObjectId};
use vault_engine::meta::Chunking;

/// As `create` reads large files.
const WINDOW_BYTES: usize = 8 << 20;
/// As `create` closes blocks of small objects.
const BLOCK_OBJECTS: usize = 4096;

/// What a stage took on one core, and for how many bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Work {
    /// In all.
    pub seconds: f64,
    /// Bytes that went in.
    pub bytes: u64,
}

impl Work {
    fn time<T>(&mut self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let watch = Stopwatch::start();
        let result = work();
        self.seconds += watch.elapsed().as_secs_f64();
        self.bytes += bytes as u64;
        result
    }
}

/// All stages. Bytes are those of files for the first three, of new chunks for those that see plaintext, else as they are sealed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stages {
    /// Open, fstat, pread, close.
    pub read: Work,
    /// Finding the cuts.
    pub cut: Work,
    /// Ids of all chunks.
    pub id: Work,
    /// Blocks of new chunks, judged and compressed.
    pub compress: Work,
    /// Decompressed, ids again; one sealed block in 16 opened.
    pub verify: Work,
    /// Sealing.
    pub seal: Work,
    /// The hash that names packs.
    pub name: Work,
    /// Appending to a file.
    pub write: Work,
    /// Check: reading the sealed blocks.
    pub read_sealed: Work,
    /// Check: the hash that packs are named by.
    pub name_again: Work,
    /// Check: opening and decompressing.
    pub open: Work,
    /// Check: ids.
    pub id_again: Work,
}

impl Stages {
    /// Those of `create`, in order.
    pub fn create(&self) -> [(&'static str, Work); 8] {
        [
            ("read", self.read),
            ("cut", self.cut),
            ("id", self.id),
            ("compress", self.compress),
            ("seal", self.seal),
            ("verify", self.verify),
            ("name hash", self.name),
            ("write", self.write),
        ]
    }

    /// Those of `check --read-data`, in order.
    pub fn check(&self) -> [(&'static str, Work); 4] {
        [
            ("read", self.read_sealed),
            ("name hash", self.name_again),
            ("open, decompress", self.open),
            ("id", self.id_again),
        ]
    }
}

/// Runs every stage for the files below `volume`; sealed blocks go to the file `sealed`, which is made and removed.
///
/// # Errors
/// A file cannot be read, or `sealed` not be written.
pub(super) fn measure(volume: &Path, sealed: &Path) -> Result<Stages> {
    let keys = Keys::new()?;
    let blocks = Blocks::new(&keys, sealed)?;
    let mut files = Files::new(&keys, blocks);
    files.folder(volume)?;
    let stages = files.blocks.finish();
    fs::remove_file(sealed).with_context(|| format!("cannot remove {}", sealed.display()))?;
    stages
}

/// Keys of a domain that nobody else has, and the settings of a new repository.
struct Keys {
    ring: KeyRing,
    gear: Gear,
    cipher: FileCipher,
    /// Derived again from the header, as `create` looks at what it has sealed.
    opener: FileCipher,
    profile: Profile,
}

impl Keys {
    fn new() -> Result<Self> {
        let ring = KeyRing::new(DomainId::from_bytes([1; 32]), SecretKey::new([2; 32]));
        let gear = Gear::from_key(ring.subkey(Subkey::Chunker).expose());
        let cipher = FileCipher::create(&ring, Class::Data, [0; 16])?;
        let opener = FileCipher::open(&ring, Class::Data, cipher.header())?;
        Ok(Self { ring, gear, cipher, opener, profile: Profile::default() })
    }
}

/// Files on their way to new chunks.
struct Files<'k> {
    keys: &'k Keys,
    window: Vec<u8>,
    pieces: Vec<Range<usize>>,
    ids: Vec<ObjectId>,
    seen: HashSet<ObjectId>,
    /// A file with several names is read once.
    links: HashSet<(u64, u64)>,
    blocks: Blocks<'k>,
}

impl<'k> Files<'k> {
    fn new(keys: &'k Keys, blocks: Blocks<'k>) -> Self {
        let window = vec![0; WINDOW_BYTES + (4 << keys.profile.cdc_log2)];
        let (seen, links) = (HashSet::new(), HashSet::new());
        Self { keys, window, pieces: Vec::new(), ids: Vec::new(), seen, links, blocks }
    }

    /// In the order of names, as `create` goes.
    fn folder(&mut self, path: &Path) -> Result<()> {
        let listed = || format!("cannot list {}", path.display());
        let folder = File::open(path).with_context(listed)?;
        let entries = fs::read_dir(path).with_context(listed)?.collect::<std::io::Result<Vec<_>>>();
        let mut entries = entries.with_context(listed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                self.folder(&path)?;
            } else if kind.is_file() {
                let read = self.file(&folder, &entry.file_name(), &path);
                read.with_context(|| format!("cannot read {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, folder: &File, name: &OsStr, path: &Path) -> Result<()> {
        let (file, metadata) = self.blocks.stages.read.time(0, || {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = File::from(openat(folder, name, flags, Mode::empty())?);
            let metadata = file.metadata()?;
            Ok::<_, std::io::Error>((file, metadata))
        })?;
        if metadata.nlink() == 1 || self.links.insert((metadata.dev(), metadata.ino())) {
            self.content(&file, path, metadata.len())?;
        }
        self.blocks.stages.read.time(0, || drop(file));
        Ok(())
    }

    /// Window by window; what the cutter leaves of one is carried into the next.
    fn content(&mut self, file: &File, path: &Path, size: u64) -> Result<()> {
        let keys = self.keys;
        let mut cutter = None;
        let (mut offset, mut carried) = (0, 0);
        while offset < size {
            let left = usize::try_from(size - offset).unwrap_or(usize::MAX) - carried;
            let wanted = left.min(WINDOW_BYTES);
            let space = self.window.get_mut(carried..carried + wanted).unwrap_or_default();
            let read = self.blocks.stages.read.time(0, || read_full(file, space, offset + carried as u64))?;
            self.blocks.stages.read.bytes += read as u64;
            let filled = carried + read;
            let is_last = read < wanted || read == left;
            let cutter = if let Some(cutter) = &mut cutter {
                cutter
            } else {
                let (chunking, compression) = self.handling(path, size, filled);
                self.blocks.compress_as(compression)?;
                cutter.insert(Cutter::new(&keys.gear, chunking)?)
            };
            let used = self.cut(cutter, filled, offset, is_last);
            self.collect()?;
            if is_last {
                break;
            }
            self.window.copy_within(used..filled, 0);
            carried = filled - used;
            offset += used as u64;
        }
        Ok(())
    }

    /// How `create` cuts and compresses it.
    fn handling(&self, path: &Path, size: u64, filled: usize) -> (Chunking, Compression) {
        let Profile { cdc_log2, page_log2, smallest_paged, .. } = self.keys.profile;
        let profile = ChunkerProfile { cdc_log2, page_log2, smallest_paged };
        let head = self.window.get(..filled.min(HEAD_BYTES)).unwrap_or_default();
        let path = path.as_os_str().as_bytes();
        let chunking = choose(&profile, ChunkerRequest::Auto, path, size, head, None);
        let shipped = Compression::default();
        (chunking, if is_of_database(chunking, path, head) { shipped.for_database() } else { shipped })
    }

    /// The chunks of the window, zeros left out; gives how many bytes were used.
    fn cut(&mut self, cutter: &mut Cutter<'_>, filled: usize, offset: u64, is_last: bool) -> usize {
        let window = self.window.get(..filled).unwrap_or_default();
        let pieces = &mut self.pieces;
        pieces.clear();
        let used = self.blocks.stages.cut.time(0, || {
            let mut used = 0;
            while let Some(piece) = cutter.next(window.get(used..).unwrap_or_default(), offset + used as u64, is_last) {
                let end = used + usize::try_from(piece.length).unwrap_or(0);
                if piece.kind == PieceKind::Chunk {
                    pieces.push(used..end);
                }
                used = end;
            }
            used
        });
        self.blocks.stages.cut.bytes += used as u64;
        used
    }

    /// Ids of the window's chunks; what is new goes into blocks.
    fn collect(&mut self) -> Result<()> {
        let (ring, window, pieces, ids) = (&self.keys.ring, &self.window, &self.pieces, &mut self.ids);
        ids.clear();
        let bytes = pieces.iter().map(Range::len).sum();
        self.blocks.stages.id.time(bytes, || {
            let chunks = pieces.iter().filter_map(|piece| window.get(piece.clone()));
            ids.extend(chunks.map(|chunk| ring.object_id(Purpose::Data, chunk)));
        });
        for (piece, id) in self.pieces.iter().zip(&self.ids) {
            if self.seen.insert(*id) {
                self.blocks.add(*id, self.window.get(piece.clone()).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// As many bytes as there are, up to the end of the buffer.
fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
        match file.read_at(space, offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// New chunks on their way to the disk, and back for a check.
struct Blocks<'k> {
    keys: &'k Keys,
    compression: Compression,
    entries: Vec<Entry>,
    plain: Vec<u8>,
    sealed: File,
    name: blake3::Hasher,
    /// Of the sealed blocks.
    lengths: Vec<usize>,
    stages: Stages,
}

impl<'k> Blocks<'k> {
    fn new(keys: &'k Keys, sealed: &Path) -> Result<Self> {
        let made = File::options().read(true).write(true).create_new(true).open(sealed);
        Ok(Self {
            keys,
            compression: Compression::default(),
            entries: Vec::new(),
            plain: Vec::new(),
            sealed: made.with_context(|| format!("cannot make {}", sealed.display()))?,
            name: blake3::Hasher::new(),
            lengths: Vec::new(),
            stages: Stages::default(),
        })
    }

    /// No block has chunks of two settings.
    fn compress_as(&mut self, compression: Compression) -> Result<()> {
        if self.compression != compression {
            self.flush()?;
            self.compression = compression;
        }
        Ok(())
    }

    /// Small chunks together, large ones alone.
    fn add(&mut self, id: ObjectId, chunk: &[u8]) -> Result<()> {
        let block_bytes = self.keys.profile.block_bytes as usize;
        let entry = Entry { id, length: u32::try_from(chunk.len())? };
        if chunk.len() >= block_bytes / 2 {
            return self.store(&[entry], chunk);
        }
        self.entries.push(entry);
        self.plain.extend_from_slice(chunk);
        let is_full = self.plain.len() >= block_bytes || self.entries.len() >= BLOCK_OBJECTS;
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let (mut entries, mut plain) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.plain));
        self.store(&entries, &plain)?;
        entries.clear();
        plain.clear();
        (self.entries, self.plain) = (entries, plain);
        Ok(())
    }

    fn store(&mut self, entries: &[Entry], plain: &[u8]) -> Result<()> {
        let Keys { ring, cipher, opener, .. } = self.keys;
        let ordinal = u32::try_from(self.lengths.len())?;
        let content = BlockContent { entries, plain };
        let block = self.stages.compress.time(plain.len(), || compress_block(&content, self.compression))?;
        let length = block.sealed_length();
        let sealed = self.stages.seal.time(length, || block.seal(cipher, ordinal, BlockKind::Objects))?;
        self.stages.verify.time(plain.len(), || {
            open_sealed_head(cipher, &block, &sealed)?;
            if Verify::default().opens(u64::from(ordinal)) {
                open_sealed(ring, opener, Purpose::Data, &sealed, entries)?;
            }
            recompute_ids(ring, Purpose::Data, &block, entries)
        })?;
        self.stages.name.time(length, || {
            self.name.update(&sealed.head).update(&sealed.body);
        });
        let file = &mut self.sealed;
        let written = || file.write_all(&sealed.head).and_then(|()| file.write_all(&sealed.body));
        self.stages.write.time(length, written)?;
        self.lengths.push(length);
        Ok(())
    }

    /// The last block; then all of them as a check reads them.
    fn finish(mut self) -> Result<Stages> {
        self.flush()?;
        let Keys { ring, opener, .. } = self.keys;
        let mut buffer = Vec::new();
        let mut offset = 0;
        self.name.reset();
        for &length in &self.lengths {
            buffer.resize(length, 0);
            self.stages.read_sealed.time(length, || self.sealed.read_exact_at(&mut buffer, offset))?;
            self.stages.name_again.time(length, || {
                self.name.update(&buffer);
            });
            let payload = self.stages.open.time(length, || open_block_payload(opener, &mut buffer))?;
            let bytes = payload.plain_length();
            self.stages.id_again.time(bytes, || payload.check_ids(ring, Purpose::Data))?;
            offset += length as u64;
        }
        Ok(self.stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataSet, generate};

    #[test]
    fn every_byte_is_read_cut_and_named_once_and_what_was_stored_is_opened() {
        let scratch = tempfile::tempdir().unwrap();
        for set in [DataSet::Vectors, DataSet::Pages] {
            let volume = generate(&set, 20 << 20, scratch.path()).unwrap();
            let stages = measure(&volume.path, &scratch.path().join("sealed")).unwrap();
            assert_eq!([stages.read, stages.cut, stages.id].map(|work| work.bytes), [volume.bytes; 3]);
            let stored = [stages.name, stages.write, stages.read_sealed, stages.name_again, stages.open];
            assert_eq!(stored.map(|work| work.bytes), [stages.seal.bytes; 5]);
            assert_eq!([stages.compress, stages.verify, stages.id_again].map(|work| work.bytes), [volume.bytes; 3]);
        }
    }

    #[test]
    fn equal_files_are_stored_once_and_links_are_read_once() {
        let scratch = tempfile::tempdir().unwrap();
        let volume = scratch.path().join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("one"), vec![7; 1000]).unwrap();
        fs::write(volume.join("other"), vec![7; 1000]).unwrap();
        fs::hard_link(volume.join("one"), volume.join("link")).unwrap();
        let stages = measure(&volume, &scratch.path().join("sealed")).unwrap();
        assert_eq!((stages.read.bytes, stages.compress.bytes), (2000, 1000));
    }
}
