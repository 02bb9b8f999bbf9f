//! Cut points: the pieces of an extent do not depend on how its bytes came into memory, and add up to it; and whoever begins at
//! a cut, or has one piece alone, cuts as whoever cut the whole. (That files are cut alike by one thread and by several is
//! promised, and tried, where there are threads: `round_trip`.)

use std::sync::OnceLock;

use vault_engine::chunker::{ChunkerProfile, ChunkerRequest, Cutter, Gear, Piece, PieceKind, choose, is_supported};
use vault_engine::meta::Chunking;

use crate::first;

const MOST_BYTES: usize = 192 << 10;

/// Byte 0: how to cut. Byte 1: where in its file the extent begins. Bytes 2 to 5: how the window grows. The rest tells
/// what the extent holds.
pub fn run(data: &[u8]) {
    chosen(data);
    let (how, rest) = first(data);
    let (place, rest) = first(rest);
    let (steps, program) = rest.split_first_chunk::<4>().unwrap_or((&[0; 4], rest));
    let chunking = match how % 2 {
        0 => Chunking::ContentDefined(12 + how / 2 % 2),
        _ => Chunking::Fixed(9 + how / 2 % 6),
    };
    let extent = expand(program);
    let offset = u64::from(place) * 739;
    // Not too small, because every step looks at the window anew.
    let steps = steps.map(|step| usize::from(step) * 257 + 191);
    let at_once = cut(chunking, &extent, offset, &[extent.len()]);
    let in_steps = cut(chunking, &extent, offset, &steps);
    assert_eq!(at_once, in_steps, "windows show in the pieces");
    let total: u64 = at_once.iter().map(|piece| piece.length).sum();
    assert_eq!(total, extent.len() as u64, "bytes are lost or invented");
    again(chunking, &extent, offset, &at_once, usize::from(place));
}

/// From one of the cuts on, and each piece alone.
fn again(chunking: Chunking, extent: &[u8], offset: u64, pieces: &[Piece], which: usize) {
    let (mut start, from) = (0, which % pieces.len().max(1));
    for (number, piece) in pieces.iter().enumerate() {
        let rest = extent.get(start..).unwrap_or_default();
        let at = offset + start as u64;
        let length = usize::try_from(piece.length).expect("a piece in memory");
        if number == from {
            let behind = pieces.get(number..).unwrap_or_default();
            assert_eq!(cut(chunking, rest, at, &[rest.len()]), behind, "what lies before a cut shows behind it");
        }
        let alone = rest.get(..length).unwrap_or_default();
        assert_eq!(cut(chunking, alone, at, &[length]), [*piece], "a piece is cut once more");
        start += length;
    }
}

fn gear() -> &'static Gear {
    static GEAR: OnceLock<Gear> = OnceLock::new();
    GEAR.get_or_init(|| Gear::from_key(&[7; 32]))
}

/// What is chosen for a file that begins with these bytes can be done.
fn chosen(data: &[u8]) {
    let profile = ChunkerProfile { cdc_log2: 20, page_log2: 13, smallest_paged: 0 };
    let (size, head) =
        data.split_first_chunk::<4>().map_or((1, data), |(size, head)| (u32::from_le_bytes(*size), head));
    for path in [b"base/1/2".as_slice(), b"volume/data.mdb", head] {
        let chunking = choose(&profile, ChunkerRequest::Auto, path, u64::from(size), head, None);
        assert!(size == 0 || is_supported(chunking), "no cutter for {chunking:?}");
    }
}

fn cut(chunking: Chunking, extent: &[u8], offset: u64, steps: &[usize]) -> Vec<Piece> {
    let mut cutter = Cutter::new(gear(), chunking).expect("a size within the limits");
    let (mut pieces, mut start, mut end) = (Vec::new(), 0, 0);
    let mut steps = steps.iter().cycle();
    while start < extent.len() {
        let window = extent.get(start..end).expect("the window lies in the extent");
        if let Some(piece) = cutter.next(window, offset + start as u64, end == extent.len()) {
            let length = usize::try_from(piece.length).expect("a piece in memory");
            assert!(length > 0 && length <= window.len(), "a piece of {length} bytes");
            assert!(piece.kind == PieceKind::Zeros || length <= cutter.largest_chunk(), "a chunk too long");
            let bytes = window.get(..length).unwrap_or_default();
            assert!(piece.kind == PieceKind::Chunk || bytes.iter().all(|byte| *byte == 0), "data lost as zeros");
            start += length;
            push(&mut pieces, piece);
        } else {
            assert!(window.len() < cutter.window_needed() && end < extent.len(), "a piece was due");
            end = extent.len().min(end + steps.next().copied().unwrap_or(1));
        }
    }
    pieces
}

/// Zeros joined, as the caller of a cutter does it.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.kind == PieceKind::Zeros && piece.kind == PieceKind::Zeros => last.length += piece.length,
        _ => pieces.push(piece),
    }
}

/// A few bytes say what long runs there are: zeros, noise, bytes as they stand, what came before once more.
pub(crate) fn expand(program: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = program;
    while let Some(([what, length], behind)) = rest.split_first_chunk::<2>() {
        rest = behind;
        let length = usize::from(*length) + 1;
        match what % 4 {
            0 => out.resize(out.len() + length * 512, 0),
            1 => noise(*what, length * 128, &mut out),
            2 => {
                let (literal, behind) = rest.split_at(length.min(rest.len()));
                out.extend_from_slice(literal);
                rest = behind;
            }
            _ => out.extend_from_within(out.len().saturating_sub(length * 64)..),
        }
        if out.len() > MOST_BYTES {
            out.truncate(MOST_BYTES);
            break;
        }
    }
    out
}

fn noise(seed: u8, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + length, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(target);
}
