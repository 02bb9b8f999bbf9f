//! A window that has been read, cut into spans: pieces that become extents together, on whatever core is free.

use std::sync::Arc;

use crate::chunker::{Cutter, PieceKind};
use crate::compress::Compression;
use crate::ops::create::window::Window;

/// About as many bytes are one span.
pub(super) const SPAN_BYTES: usize = 512 << 10;

/// Pieces of a window.
#[derive(Debug)]
pub(super) struct Span {
    /// How what is new of it is compressed.
    pub(super) compression: Compression,
    pub(super) window: Arc<Window>,
    pub(super) pieces: Vec<SpanPiece>,
    /// Its place among the spans of its file.
    pub(super) number: usize,
}

/// What a span is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum SpanPiece {
    /// Where in the window a chunk begins and ends.
    Chunk(usize, usize),
    /// So many bytes of zeros.
    Zeros(u64),
}

/// Cuts `bytes`, which stand at `offset` of the file, and calls back with spans in order; gives how many bytes were used. Only with the last
/// bytes of the file, or those before a hole, are all.
pub(super) fn cut<E>(
    cutter: &mut Cutter<'_>,
    bytes: &[u8],
    offset: u64,
    is_last: bool,
    mut each: impl FnMut(Vec<SpanPiece>) -> Result<(), E>,
) -> Result<usize, E> {
    let (mut used, mut begin) = (0, 0);
    let mut pieces = Vec::new();
    while let Some(piece) = cutter.next(bytes.get(used..).unwrap_or_default(), offset + used as u64, is_last) {
        let end = used + usize::try_from(piece.length).unwrap_or(usize::MAX);
        pieces.push(match piece.kind {
            PieceKind::Chunk => SpanPiece::Chunk(used, end),
            PieceKind::Zeros => SpanPiece::Zeros(piece.length),
        });
        used = end;
        if end - begin >= SPAN_BYTES {
            each(std::mem::take(&mut pieces))?;
            begin = end;
        }
    }
    if !pieces.is_empty() {
        each(pieces)?;
    }
    Ok(used)
}
