//! From the bytes of a file to the places where they are cut (docs/format.md §8). Pure: no I/O, no clock.
//!
//! The gear table derives from a key, so that chunk sizes say nothing about known files. What is cut where depends on
//! the bytes of an extent alone, never on how they came into memory: two hosts and two releases must cut alike.

mod choose;
mod cutter;
mod request;
mod zeros;

#[cfg(test)]
mod choose_tests;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::{Zeroize, Zeroizing};

use crate::codec::Take;
use crate::meta::Chunking;

pub use choose::{ChunkerProfile, HEAD_BYTES, PreviousCut, choose, is_of_database};
pub use cutter::{Cutter, Piece, PieceKind, ZERO_RUN_BYTES};
pub use request::ChunkerRequest;

/// Averages that content-defined chunks may have, as powers of two.
pub const CDC_LOG2: RangeInclusive<u8> = 12..=21;
/// Sizes that fixed chunks may have, as powers of two.
pub const FIXED_LOG2: RangeInclusive<u8> = 9..=22;

const ENTRIES: usize = 256;
const TABLE_BYTES: usize = ENTRIES * 8;

/// Why a file cannot be cut as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkerError {
    /// What the user wrote is no way to cut.
    #[error("chunker parameters {text:?}: {problem}")]
    Request {
        /// As written.
        text: String,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
    /// A size that no writer chooses.
    #[error("no chunker cuts like this: {0:?}")]
    Chunking(Chunking),
}

/// Whether a cutter exists for it: the sizes that a repository names are checked before they are used.
pub fn is_supported(chunking: Chunking) -> bool {
    match chunking {
        Chunking::None | Chunking::Unknown { .. } => false,
        Chunking::ContentDefined(log2) => CDC_LOG2.contains(&log2),
        Chunking::Fixed(log2) => FIXED_LOG2.contains(&log2),
    }
}

/// The tables of the rolling hash: as secret as the key that they derive from.
pub struct Gear {
    table: Box<[u64; ENTRIES]>,
    /// Each value shifted left by one: `FastCDC` looks at two bytes at a time.
    shifted: Box<[u64; ENTRIES]>,
}

impl Gear {
    /// From the chunker key of a key domain.
    pub fn from_key(key: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("vault 1 gear");
        hasher.update(key);
        let mut bytes = Zeroizing::new([0; TABLE_BYTES]);
        let mut output = hasher.finalize_xof();
        output.fill(bytes.as_mut());
        hasher.zeroize();
        output.zeroize();
        let mut gear = Self { table: Box::new([0; ENTRIES]), shifted: Box::new([0; ENTRIES]) };
        let mut take = Take::new(bytes.as_slice());
        for (entry, shifted) in gear.table.iter_mut().zip(gear.shifted.iter_mut()) {
            // The bytes are exactly as many as the entries need.
            *entry = take.u64("gear").unwrap_or_default();
            *shifted = *entry << 1;
        }
        gear
    }
}

impl Drop for Gear {
    fn drop(&mut self) {
        self.table.zeroize();
        self.shifted.zeroize();
    }
}

impl fmt::Debug for Gear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gear(..)")
    }
}
