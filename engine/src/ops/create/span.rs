//! A window that has been read, cut into spans: chunks that become extents together, on whatever core is free.

use std::sync::Arc;

use crate::chunker::{Cutter, PieceKind};
use crate::compress::Compression;
use crate::ops::create::window::Window;

/// About as many bytes of chunks are one span.
pub(super) const SPAN_BYTES: usize = 512 << 10;

/// Chunks of a window.
#[derive(Debug)]
pub(super) struct Span {
    /// How what is new of it is compressed.
    pub(super) compression: Compression,
    pub(super) window: Arc<Window>,
    pub(super) chunks: Chunks,
    /// Its place among the spans of its file.
    pub(super) number: usize,
}

/// Where in the window each begins and ends.
pub(super) type Chunks = Vec<(usize, usize)>;

/// What a window is cut into.
#[derive(Debug)]
pub(super) enum Cut {
    /// As many as a span has.
    Chunks(Chunks),
    /// So many bytes of zeros.
    Zeros(u64),
}

/// Cuts `bytes`, which stand at `offset` of the file, and calls back in order; gives how many bytes were used. Only with the last bytes of
/// the file, or those before a hole, are all.
pub(super) fn cut<E>(
    cutter: &mut Cutter<'_>,
    bytes: &[u8],
    offset: u64,
    is_last: bool,
    mut each: impl FnMut(Cut) -> Result<(), E>,
) -> Result<usize, E> {
    let mut used = 0;
    let mut chunks = Vec::new();
    let mut begin = 0;
    while let Some(piece) = cutter.next(bytes.get(used..).unwrap_or_default(), offset + used as u64, is_last) {
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        let end = used + length;
        if piece.kind == PieceKind::Chunk {
            chunks.push((used, end));
        }
        used = end;
        let is_full = end - begin >= SPAN_BYTES || piece.kind == PieceKind::Zeros;
        if is_full && !chunks.is_empty() {
            each(Cut::Chunks(std::mem::take(&mut chunks)))?;
        }
        if piece.kind == PieceKind::Zeros {
            each(Cut::Zeros(piece.length))?;
        }
        if is_full {
            begin = end;
        }
    }
    if !chunks.is_empty() {
        each(Cut::Chunks(chunks))?;
    }
    Ok(used)
}
