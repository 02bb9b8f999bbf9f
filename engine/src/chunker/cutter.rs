//! The state machine that cuts one extent of data, piece by piece, from a window that the caller keeps filled.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

use super::zeros::{is_all_zeros, leading_zeros};
use super::{ChunkerError, Gear, is_supported};
use crate::meta::Chunking;

/// A run of zeros this long, at the start of a content-defined chunk, is no chunk.
pub const ZERO_RUN_BYTES: usize = 65_536;

/// What the bytes of a piece become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// A chunk with an id.
    Chunk,
    /// Zeros: only their number is kept. A run may come as several pieces, which the caller joins.
    Zeros,
}

/// The next bytes of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// How many; never 0.
    pub length: u64,
    /// What they become.
    pub kind: PieceKind,
}

impl Piece {
    fn chunk(length: usize) -> Self {
        Self { length: length as u64, kind: PieceKind::Chunk }
    }

    fn zeros(length: usize) -> Self {
        Self { length: length as u64, kind: PieceKind::Zeros }
    }
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    ContentDefined(ContentDefined),
    Fixed { size: usize },
}

/// The parameters of `FastCDC` v2020 at normalisation level 1.
#[derive(Clone, Copy, Debug)]
struct ContentDefined {
    average: usize,
    /// Which bits of the hash must be zero for a cut before the average.
    strict: u64,
    /// And after it.
    relaxed: u64,
}

impl ContentDefined {
    fn new(log2: u8) -> Self {
        let average = 1 << log2;
        let (strict, relaxed) = select_masks(average, Normalization::Level1);
        Self { average, strict, relaxed }
    }

    fn minimum(&self) -> usize {
        self.average / 2
    }

    fn maximum(&self) -> usize {
        self.average * 4
    }

    /// The length of the chunk at the start of `window`, which holds the maximum or all that is left.
    fn cut(&self, gear: &Gear, window: &[u8]) -> usize {
        let (_, length) = cut_gear(
            window,
            self.minimum(),
            self.average,
            self.maximum(),
            self.strict,
            self.relaxed,
            self.strict << 1,
            self.relaxed << 1,
            gear.table.as_slice(),
            gear.shifted.as_slice(),
        );
        length
    }
}

/// Cuts the data of one file, extent by extent.
///
/// The caller owns a window of bytes that begins where the last piece ended, and asks for the next piece until the
/// extent is used up. Equal extents are cut alike however the bytes are spread over windows.
#[derive(Debug)]
pub struct Cutter<'a> {
    gear: &'a Gear,
    rule: Rule,
    /// The last piece was zeros and reached the end of its window: what zeros follow belong to the same run.
    in_zeros: bool,
}

impl<'a> Cutter<'a> {
    /// A cutter at the start of an extent; refuses sizes outside the limits.
    pub fn new(gear: &'a Gear, chunking: Chunking) -> Result<Self, ChunkerError> {
        let rule = match chunking {
            _ if !is_supported(chunking) => None,
            Chunking::None | Chunking::Unknown { .. } => None,
            Chunking::Fixed(log2) => Some(Rule::Fixed { size: 1 << log2 }),
            Chunking::ContentDefined(log2) => Some(Rule::ContentDefined(ContentDefined::new(log2))),
        };
        let rule = rule.ok_or(ChunkerError::Chunking(chunking))?;
        Ok(Self { gear, rule, in_zeros: false })
    }

    /// No chunk is longer.
    pub fn largest_chunk(&self) -> usize {
        match self.rule {
            Rule::ContentDefined(parameters) => parameters.maximum(),
            Rule::Fixed { size } => size,
        }
    }

    /// With so many bytes in the window there is always a next piece.
    pub fn window_needed(&self) -> usize {
        match self.rule {
            Rule::ContentDefined(parameters) => parameters.maximum().max(ZERO_RUN_BYTES),
            Rule::Fixed { size } => size,
        }
    }

    /// The piece at the start of `window`, whose first byte is at `offset` of the file.
    ///
    /// `end_of_extent` says that nothing of this extent follows the window. `None` asks for more bytes in the window;
    /// it never comes with [`Self::window_needed`] bytes, and at the end of the extent only for an empty window.
    pub fn next(&mut self, window: &[u8], offset: u64, end_of_extent: bool) -> Option<Piece> {
        if window.is_empty() {
            self.in_zeros &= !end_of_extent;
            return None;
        }
        match self.rule {
            Rule::Fixed { size } => next_cell(window, size, offset, end_of_extent),
            Rule::ContentDefined(parameters) => self.next_content_defined(parameters, window, end_of_extent),
        }
    }

    fn next_content_defined(
        &mut self,
        parameters: ContentDefined,
        window: &[u8],
        end_of_extent: bool,
    ) -> Option<Piece> {
        let zeros = leading_zeros(window);
        if zeros >= ZERO_RUN_BYTES || (self.in_zeros && zeros > 0) {
            self.in_zeros = zeros == window.len() && !end_of_extent;
            return Some(Piece::zeros(zeros));
        }
        self.in_zeros = false;
        // A cut found in fewer bytes would be the same one, but a search that finds none would have to begin again.
        if window.len() < self.window_needed() && !end_of_extent {
            return None;
        }
        Some(Piece::chunk(parameters.cut(self.gear, window)))
    }
}

/// A cell of the grid that begins at offset 0 of the file, or what the extent has of it.
fn next_cell(window: &[u8], size: usize, offset: u64, end_of_extent: bool) -> Option<Piece> {
    let into_cell = usize::try_from(offset % size as u64).unwrap_or(0);
    let wanted = size - into_cell;
    if window.len() < wanted && !end_of_extent {
        return None;
    }
    let cell = window.get(..wanted).unwrap_or(window);
    Some(if is_all_zeros(cell) { Piece::zeros(cell.len()) } else { Piece::chunk(cell.len()) })
}
