//! Making a block smaller and whole again: zstd, lz4 or neither, decided block by block (docs/format.md §5).
//!
//! No dictionary, so that nothing of one block shows in the size of another; no checksum, because sealing has one.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io::Cursor;
use std::str::FromStr;

use zstd::bulk;
use zstd::zstd_safe;

/// The level of zstd when none is named: with it a create takes about as long as `tar | zstd -1 -T2`, and stores less (docs/performance.md).
pub const DEFAULT_LEVEL: i8 = 2;
/// The level for databases when none is named: of PostgreSQL's logs it makes a fifth less, and a night has little of a database.
pub const DATABASE_LEVEL: i8 = 3;

const LEAST_LEVEL: i8 = -50;
const MOST_LEVEL: i8 = 22;

/// A block must become smaller by this and by a fiftieth, or it is stored as it is and costs a reader nothing.
const LEAST_GAIN_BYTES: usize = 64;
const LEAST_GAIN_DIVISOR: usize = 50;

/// A block up to this size is compressed without asking first.
const PROBED_BYTES: usize = 32 << 10;
const SAMPLES: usize = 4;
const SAMPLE_BYTES: usize = 4096;
/// The samples are promising if a tenth is gained. Vectors of floats would gain a fourteenth (the bits of the exponent)
/// and cost more time than hashing and sealing together; who wants that names zstd without auto.
const SAMPLE_GAIN_DIVISOR: usize = 10;
/// With Huffman coding, which base64 or hexadecimal text needs to shrink at all.
const SAMPLE_LEVEL: i8 = 1;
/// Gives up on bytes without repetition at several GB/s.
const CONFIRM_LEVEL: i8 = -1;

const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// How a block's payload is stored; the numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    None = 0,
    /// One zstd frame.
    Zstd = 1,
    /// One raw lz4 block.
    Lz4 = 2,
}

impl Codec {
    /// The codec of a number in a block's head.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Zstd),
            2 => Some(Self::Lz4),
            _ => None,
        }
    }

    /// Its number in a block's head.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// What the user wants: the words of `-C`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// zstd where a quick look finds something to gain, at a level that depends on what it is.
    #[default]
    Auto,
    /// Store all blocks as they are.
    None,
    /// lz4, which finds out by itself what cannot be compressed.
    Lz4,
    /// zstd at this level.
    Zstd(i8),
    /// zstd at this level for blocks in which a quick look finds something to gain.
    AutoZstd(i8),
    /// lz4 where it gains something; what lz4 does anyhow.
    AutoLz4,
}

impl Compression {
    /// The setting for what belongs to a database.
    #[must_use]
    pub fn for_database(self) -> Self {
        if self == Self::Auto { Self::AutoZstd(DATABASE_LEVEL) } else { self }
    }
}

/// The words after `-C` make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compression {text:?}: {problem}")]
pub struct CompressionParseError {
    /// As written.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl FromStr for Compression {
    type Err = CompressionParseError;

    fn from_str(text: &str) -> Result<Self, CompressionParseError> {
        let refuse = |problem: String| CompressionParseError { text: text.to_owned(), problem };
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        match *words.as_slice() {
            ["none"] => Ok(Self::None),
            ["lz4"] => Ok(Self::Lz4),
            ["zstd"] => Ok(Self::Zstd(DEFAULT_LEVEL)),
            ["zstd", level] => parse_level(level).map(Self::Zstd).map_err(refuse),
            ["auto"] => Ok(Self::Auto),
            ["auto", "zstd"] => Ok(Self::AutoZstd(DEFAULT_LEVEL)),
            ["auto", "zstd", level] => parse_level(level).map(Self::AutoZstd).map_err(refuse),
            ["auto", "lz4"] => Ok(Self::AutoLz4),
            _ => Err(refuse("expected none, lz4, zstd, zstd,LEVEL or auto, auto,lz4, auto,zstd,LEVEL".to_owned())),
        }
    }
}

fn parse_level(text: &str) -> Result<i8, String> {
    let level = text.parse::<i8>().ok().filter(|level| (LEAST_LEVEL..=MOST_LEVEL).contains(level));
    level.ok_or_else(|| format!("the level must be a number from {LEAST_LEVEL} to {MOST_LEVEL}, not {text:?}"))
}

impl fmt::Display for Compression {
    /// In words that parse to the same setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd,{level}"),
            Self::AutoZstd(level) => write!(f, "auto,zstd,{level}"),
            Self::AutoLz4 => f.write_str("auto,lz4"),
        }
    }
}

/// How a payload was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compressed {
    /// With which codec.
    pub codec: Codec,
    /// At which level; 0 where the codec has none.
    pub level: i8,
}

impl Compressed {
    const AS_IT_IS: Self = Self { codec: Codec::None, level: 0 };
}

/// Appends the stored form of `plain` to `out`. What gains too little is stored as it is.
pub fn compress(setting: Compression, plain: &[u8], out: &mut Vec<u8>) -> Compressed {
    let stored = match setting {
        Compression::None => None,
        Compression::Lz4 | Compression::AutoLz4 => append_lz4(plain, out),
        Compression::Auto | Compression::AutoZstd(_) if !is_promising(plain, out) => None,
        Compression::Auto => append_zstd(DEFAULT_LEVEL, plain, out),
        Compression::Zstd(level) | Compression::AutoZstd(level) => append_zstd(level, plain, out),
    };
    stored.unwrap_or_else(|| {
        out.extend_from_slice(plain);
        Compressed::AS_IT_IS
    })
}

/// The largest stored form that is worth decompressing; `None` for what is too small to gain anything.
fn largest_gain(plain: &[u8]) -> Option<usize> {
    let gain = LEAST_GAIN_BYTES.max(plain.len() / LEAST_GAIN_DIVISOR);
    plain.len().checked_sub(gain).filter(|most| *most > 0)
}

/// A context for each of the few levels in use, because a change of level would set up its tables again.
struct Compressors {
    by_level: Vec<(i8, bulk::Compressor<'static>)>,
}

impl Compressors {
    /// Sample, confirmation, and two levels by default; more only if one process uses several settings.
    const KEPT: usize = 5;

    fn at(&mut self, level: i8) -> Option<&mut bulk::Compressor<'static>> {
        if !self.by_level.iter().any(|(known, _)| *known == level) {
            let compressor = bulk::Compressor::new(i32::from(level)).ok()?;
            self.by_level.truncate(Self::KEPT - 1);
            self.by_level.insert(0, (level, compressor));
        }
        self.by_level.iter_mut().find(|(known, _)| *known == level).map(|(_, compressor)| compressor)
    }
}

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = const { RefCell::new(Compressors { by_level: Vec::new() }) };
    static SAMPLES_TAKEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static DECOMPRESSOR: RefCell<Option<bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends one frame if it has at most `most` bytes. zstd stops as soon as it is out of space.
fn append_frame(level: i8, plain: &[u8], most: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.reserve_exact(most);
    let mut target = Cursor::new(std::mem::take(out));
    target.set_position(start as u64);
    let written = COMPRESSORS.with_borrow_mut(|compressors| {
        compressors.at(level).and_then(|compressor| compressor.compress_to_buffer(plain, &mut target).ok())
    });
    *out = target.into_inner();
    let fits = written.is_some_and(|written| written <= most);
    out.truncate(if fits { start + written.unwrap_or(0) } else { start });
    fits
}

fn append_zstd(level: i8, plain: &[u8], out: &mut Vec<u8>) -> Option<Compressed> {
    let most = largest_gain(plain)?;
    append_frame(level, plain, most, out).then_some(Compressed { codec: Codec::Zstd, level })
}

fn append_lz4(plain: &[u8], out: &mut Vec<u8>) -> Option<Compressed> {
    let most = largest_gain(plain)?;
    let start = out.len();
    // lz4 wants room for its worst case before it begins.
    out.resize(start + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = lz4_flex::block::compress_into(plain, target).ok().filter(|written| *written <= most);
    out.truncate(start + written.unwrap_or(0));
    written.map(|_| Compressed { codec: Codec::Lz4, level: 0 })
}

/// Whether it is worth to compress the block: samples spread over it gain something, or else the whole block does at a
/// level that gives up fast. A block may hold several files, and the samples may have met only the wrong ones.
/// What is tried goes to the end of `out` and is taken away again.
fn is_promising(plain: &[u8], out: &mut Vec<u8>) -> bool {
    if plain.len() <= PROBED_BYTES {
        return true;
    }
    let start = out.len();
    let samples_gain = SAMPLES_TAKEN.with_borrow_mut(|samples| {
        take_samples(plain, samples);
        let most = samples.len() - samples.len() / SAMPLE_GAIN_DIVISOR;
        append_frame(SAMPLE_LEVEL, samples, most, out)
    });
    out.truncate(start);
    let gain = samples_gain || largest_gain(plain).is_some_and(|most| append_frame(CONFIRM_LEVEL, plain, most, out));
    out.truncate(start);
    gain
}

/// The middle of each of a few equal parts.
fn take_samples(plain: &[u8], samples: &mut Vec<u8>) {
    samples.clear();
    for part in plain.chunks(plain.len() / SAMPLES).take(SAMPLES) {
        let middle = part.len().saturating_sub(SAMPLE_BYTES) / 2;
        let (_, sample) = part.split_at_checked(middle).unwrap_or_default();
        samples.extend_from_slice(sample.get(..SAMPLE_BYTES).unwrap_or(sample));
    }
}

/// Why stored bytes do not become the payload that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// The compressed stream is damaged, or longer or shorter than the block's head says.
    #[error("the compressed data is damaged ({0:?})")]
    Damaged(Codec),
    /// More or fewer bytes than there should be.
    #[error("the payload has {found} bytes instead of {expected}")]
    Length {
        /// What the block's head says.
        expected: usize,
        /// What came out.
        found: usize,
    },
    /// The system has no memory for a decompressor.
    #[error("no memory to decompress")]
    NoMemory,
}

/// Fills `out` exactly with the payload whose stored form is `stored`. Allocates nothing by what the bytes say.
pub fn decompress(codec: Codec, stored: &[u8], out: &mut [u8]) -> Result<(), CompressError> {
    let found = match codec {
        Codec::None => {
            if stored.len() == out.len() {
                out.copy_from_slice(stored);
            }
            stored.len()
        }
        Codec::Zstd => decompress_zstd(stored, out)?,
        Codec::Lz4 => lz4_flex::block::decompress_into(stored, out).map_err(|_| CompressError::Damaged(Codec::Lz4))?,
    };
    if found == out.len() { Ok(()) } else { Err(CompressError::Length { expected: out.len(), found }) }
}

fn decompress_zstd(stored: &[u8], out: &mut [u8]) -> Result<usize, CompressError> {
    let damaged = CompressError::Damaged(Codec::Zstd);
    // The library would also take several frames, frames to skip, and frames of its first versions.
    let frame_len = zstd_safe::find_frame_compressed_size(stored).map_err(|_| damaged)?;
    if !stored.starts_with(&ZSTD_MAGIC) || frame_len != stored.len() {
        return Err(damaged);
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(bulk::Decompressor::new().map_err(|_| CompressError::NoMemory)?),
        };
        decompressor.decompress_to_buffer(stored, out).map_err(|_| damaged)
    })
}
