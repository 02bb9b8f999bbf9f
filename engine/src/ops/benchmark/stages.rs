//! The stages of `create` and `restore` on made data, at the settings of a new repository, on the thread that calls.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use super::data::Contents;
use super::{BenchmarkOptions, CodecReport, DataReport, Timer, per_second};
use crate::chunker::Cutter;
use crate::compress::{Codec, Compression, compress, decompress};
use crate::crypto::{self, KdfParameters, Purpose};
use crate::error::{Error, Result};
use crate::format::block::{BlockContent, BlockKind, Compressed, Entry, compress_block, open_block_payload};
use crate::format::config::Profile;
use crate::format::file::{Class, FileCipher};
use crate::meta::Chunking;
use crate::repository::{InitOptions, OpenOptions, Repository};
use crate::store::MemoryStore;

/// A small file.
const TEXT_OBJECT_BYTES: usize = 16 << 10;
/// A chunk of a large one.
const NOISE_OBJECT_BYTES: usize = 1 << 20;

/// Every kind of data.
pub(super) fn measure(options: &BenchmarkOptions, timer: &Timer<'_>) -> Result<Vec<DataReport>> {
    let repository = repository()?;
    let profile = repository.profile();
    let (by_content, page) = (Chunking::ContentDefined(profile.cdc_log2), Chunking::Fixed(profile.page_log2));
    let (block, page_bytes) = (profile.block_bytes as usize, 1 << profile.page_log2);
    let mut contents = Contents::new();
    let length = options.data_bytes;
    let kinds = [
        ("text", contents.text(length), by_content, TEXT_OBJECT_BYTES, block),
        ("pages", contents.pages(length), page, page_bytes, block),
        // Each is a block alone.
        ("noise", contents.noise(length), by_content, NOISE_OBJECT_BYTES, NOISE_OBJECT_BYTES),
    ];
    let kinds = kinds.into_iter().map(|(name, plain, chunking, object, block)| {
        let sample = Sample { repository: &repository, plain: &plain, chunking, object, block };
        sample.measure(name, &options.compressions, timer)
    });
    kinds.collect()
}

/// Keys and settings as a new repository has them, and nothing in it.
fn repository() -> Result<Repository> {
    let store = MemoryStore::new();
    let profile = Profile::default();
    let options = InitOptions { encrypted: false, secret: None, slot_name: String::new(), like: None, profile };
    Repository::init(&store, &options)?;
    Repository::open(Arc::new(store), OpenOptions::default())
}

/// From a passphrase to a key.
pub(super) fn key_derivation(timer: &Timer<'_>) -> Result<Duration> {
    let pass = |(): &mut ()| crypto::stretch(b"a passphrase", &[7; 32], KdfParameters::FLOOR).map(drop);
    timer.fastest(|| (), pass)
}

/// One kind of data.
struct Sample<'a> {
    repository: &'a Repository,
    plain: &'a [u8],
    chunking: Chunking,
    /// Length of its objects.
    object: usize,
    /// And of its blocks.
    block: usize,
}

impl Sample<'_> {
    fn measure(&self, name: &'static str, compressions: &[Compression], timer: &Timer<'_>) -> Result<DataReport> {
        let (cut, id) = (self.cut(timer)?, self.id(timer)?);
        let (seal, open) = self.seal_and_open(timer)?;
        let codecs = compressions.iter().map(|compression| self.codec(*compression, timer)).collect::<Result<_>>()?;
        Ok(DataReport { name, bytes: self.plain.len() as u64, cut, id, seal, open, codecs })
    }

    fn speed(&self, time: Duration) -> u64 {
        per_second(self.plain.len() as u64, time)
    }

    fn cut(&self, timer: &Timer<'_>) -> Result<u64> {
        let gear = self.repository.gear();
        let pass = |(): &mut ()| {
            let cutter = Cutter::new(gear, self.chunking);
            let mut cutter = cutter.map_err(|error| Error::Internal(error.to_string()))?;
            let (mut window, mut offset) = (self.plain, 0);
            while let Some(piece) = cutter.next(window, offset, true) {
                offset += piece.length;
                window = usize::try_from(piece.length).ok().and_then(|used| window.get(used..)).unwrap_or_default();
            }
            black_box(offset);
            Ok(())
        };
        Ok(self.speed(timer.fastest(|| (), pass)?))
    }

    fn id(&self, timer: &Timer<'_>) -> Result<u64> {
        let ring = self.repository.ring();
        let pass = |(): &mut ()| {
            for object in self.plain.chunks(self.object) {
                black_box(ring.object_id(Purpose::Data, object));
            }
            Ok(())
        };
        Ok(self.speed(timer.fastest(|| (), pass)?))
    }

    /// Of blocks that are stored as they are, so that nothing else is measured.
    fn seal_and_open(&self, timer: &Timer<'_>) -> Result<(u64, u64)> {
        let cipher = FileCipher::create(self.repository.ring(), Class::Data, crypto::random()?)?;
        let blocks = self.plain.chunks(self.block).map(|plain| self.compressed(plain)).collect::<Result<Vec<_>>>()?;
        let seal = |(number, block): (u32, &Compressed)| block.seal(&cipher, number, BlockKind::Objects);
        let seal = timer.fastest(
            || (),
            |(): &mut ()| {
                (0..).zip(&blocks).try_for_each(|numbered| seal(numbered).map(|sealed| drop(black_box(sealed))))
            },
        )?;
        let mut sealed = Vec::with_capacity(blocks.len());
        for (number, block) in (0..).zip(&blocks) {
            let block = block.seal(&cipher, number, BlockKind::Objects)?;
            sealed.push([block.head, block.body].concat());
        }
        // Blocks are opened in place.
        let open = timer.fastest(
            || sealed.clone(),
            |blocks: &mut Vec<Vec<u8>>| {
                blocks.iter_mut().try_for_each(|block| match open_block_payload(&cipher, block) {
                    Ok(payload) => {
                        black_box(payload);
                        Ok(())
                    }
                    Err(error) => Err(Error::Internal(format!("what was sealed does not open: {error}"))),
                })
            },
        )?;
        Ok((self.speed(seal), self.speed(open)))
    }

    fn compressed(&self, plain: &[u8]) -> Result<Compressed> {
        let entry = |object: &[u8]| Entry {
            id: self.repository.ring().object_id(Purpose::Data, object),
            length: u32::try_from(object.len()).unwrap_or(u32::MAX),
        };
        let entries: Vec<Entry> = plain.chunks(self.object).map(entry).collect();
        compress_block(&BlockContent { entries: &entries, plain }, Compression::None)
    }

    fn codec(&self, compression: Compression, timer: &Timer<'_>) -> Result<CodecReport> {
        let mut out = Vec::new();
        let pass = |(): &mut ()| {
            for plain in self.plain.chunks(self.block) {
                out.clear();
                black_box(compress(compression, plain, &mut out));
            }
            Ok(())
        };
        let compress_time = timer.fastest(|| (), pass)?;

        let stored = self.plain.chunks(self.block).map(|plain| {
            let mut stored = Vec::new();
            let codec = compress(compression, plain, &mut stored).codec;
            (codec, stored, plain.len())
        });
        let stored: Vec<(Codec, Vec<u8>, usize)> = stored.collect();
        let stored_bytes: usize = stored.iter().map(|(_, stored, _)| stored.len()).sum();
        let is_smaller = stored.iter().any(|(codec, ..)| *codec != Codec::None);
        let mut back = vec![0; self.block];
        let pass = |(): &mut ()| {
            stored.iter().try_for_each(|(codec, stored, length)| {
                decompress(*codec, stored, back.get_mut(..*length).unwrap_or_default())
                    .map_err(|error| Error::Internal(format!("what was compressed is damaged: {error}")))
            })
        };
        let decompress_time = if is_smaller { Some(timer.fastest(|| (), pass)?) } else { None };
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs three digits")]
        let ratio = self.plain.len() as f64 / stored_bytes.max(1) as f64;
        let (compress, decompress) = (self.speed(compress_time), decompress_time.map(|time| self.speed(time)));
        Ok(CodecReport { compression, compress, decompress, ratio })
    }
}
