//! Bytes to types and back, no I/O: docs/format.md in Rust. Every decoder takes hostile input.

pub mod block;
pub mod config;
pub mod file;
pub mod list;
pub mod manifest;
pub mod mark;
pub mod node;
pub mod pack;
pub mod records;
pub mod references;
pub mod segment;
pub mod slot;
pub mod split;
pub mod stamp;
pub mod tree;
pub mod verify;

use crate::codec::DecodeError;

/// Version that every file carries.
pub const FORMAT: u16 = 1;
/// Version that every tree, stamp and content list carries.
pub(crate) const VERSION: u8 = 1;
/// The one suite of algorithms: BLAKE3, AES-256-GCM, argon2id, FastCDC v2020, zstd and lz4.
pub const SUITE: u16 = 1;
/// Most plaintext in a block, and longest object.
pub const OBJECT_LIMIT: usize = 16 << 20;
/// Longest sealed file that is not a pack.
pub const FILE_LIMIT: u64 = 64 << 20;
/// Longest pack.
pub const PACK_LIMIT: u64 = 1 << 30;
/// Most objects in a block.
pub const BLOCK_OBJECTS: usize = 65_536;
/// Most entries of one tree, stamps or list, and warnings of an archive: no rule for splitting them allows more.
pub const PART_ENTRIES: usize = 65_535;
/// Most levels of a tree or list.
pub const LEVELS: u8 = 8;
/// Deepest directory.
pub const DEPTH: usize = 65_536;

/// Whether a tree or list of this level, leaves being 0, may stand below one of level `above`; anywhere, if it is not a part. Levels fall by
/// one, so that no tree or list however made leads in circles.
pub(crate) fn level_fits(level: u8, above: Option<u8>) -> bool {
    level <= LEVELS && above.is_none_or(|above| above == level + 1)
}

/// Why bytes are not what docs/format.md says they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A field is wrong.
    #[error(transparent)]
    Field(DecodeError),
    /// A newer version or an unknown critical feature.
    #[error("{0}")]
    Unsupported(String),
    /// The header's key commitment is not that of our key.
    #[error("it was sealed with another key")]
    OtherKey,
    /// A tag does not match.
    #[error("{0}: the seal is broken")]
    Seal(&'static str),
    /// The payload does not decompress into the length that the head says.
    #[error("{0}")]
    Compression(String),
    /// An object's bytes have another id than the directory says.
    #[error("object {0} has other bytes than its id says")]
    WrongId(String),
}

impl From<DecodeError> for FormatError {
    fn from(error: DecodeError) -> Self {
        if error.is_newer { Self::Unsupported(error.to_string()) } else { Self::Field(error) }
    }
}

impl FormatError {
    /// The file is of another version than this program writes.
    pub(crate) fn version(format: u16) -> Self {
        Self::Unsupported(match format {
            0 => "it was made before the format was final (version 0): restore it with the program that made it"
                .to_owned(),
            newer => format!("it needs a newer version of vault, for format {newer}"),
        })
    }
}

/// Result of opening or decoding.
pub type Opened<T> = Result<T, FormatError>;
