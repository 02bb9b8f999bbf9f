//! Cut points that must never change, and what holds for all inputs.

use fastcdc::v2020::{Normalization, select_masks};
use proptest::prelude::*;

use super::zeros::leading_zeros;
use super::{ChunkerError, ChunkerRequest, Cutter, Gear, Piece, PieceKind};
use crate::meta::Chunking;

const KIB: usize = 1024;

fn gear() -> Gear {
    Gear::from_key(&[7; 32])
}

/// Pseudo-random bytes that a label names.
fn noise(label: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Zeros joined, as the caller of a cutter does it.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.kind == PieceKind::Zeros && piece.kind == PieceKind::Zeros => last.length += piece.length,
        _ => pieces.push(piece),
    }
}

/// The pieces of an extent at `offset` that arrives in steps of the given sizes, over and over.
fn cut_in_steps(chunking: Chunking, data: &[u8], offset: u64, steps: &[usize]) -> Vec<Piece> {
    let gear = gear();
    let mut cutter = Cutter::new(&gear, chunking).unwrap();
    let (mut pieces, mut start, mut end) = (Vec::new(), 0, 0);
    let mut steps = steps.iter().cycle();
    while start < data.len() {
        if let Some(piece) = cutter.next(&data[start..end], offset + start as u64, end == data.len()) {
            assert!(piece.length > 0 && piece.length <= (end - start) as u64);
            start += usize::try_from(piece.length).unwrap();
            push(&mut pieces, piece);
        } else {
            assert!(end - start < cutter.window_needed() && end < data.len(), "a piece was due");
            end = data.len().min(end + steps.next().unwrap());
        }
    }
    pieces
}

fn cut(chunking: Chunking, data: &[u8]) -> Vec<Piece> {
    cut_in_steps(chunking, data, 0, &[usize::MAX / 2])
}

fn lengths(pieces: &[Piece]) -> Vec<i64> {
    // Zeros as negative numbers.
    let sign = |kind| if kind == PieceKind::Zeros { -1 } else { 1 };
    pieces.iter().map(|piece| sign(piece.kind) * i64::try_from(piece.length).unwrap()).collect()
}

#[test]
fn gear_must_not_change() {
    let gear = gear();
    let bytes: Vec<u8> = gear.table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    assert_eq!(
        blake3::hash(&bytes).to_hex().as_str(),
        "44083f5f125838fb8c48033a1ce820615b79a2587578c221b671eadbf2e1d3f9"
    );
    assert!(gear.table.iter().zip(gear.shifted.iter()).all(|(entry, shifted)| entry << 1 == *shifted));
    assert_eq!(format!("{gear:?}"), "Gear(..)");
}

#[test]
fn content_defined_cuts_must_not_change() {
    let data = noise("cut points 1", 256 * KIB);
    assert_eq!(
        lengths(&cut(Chunking::ContentDefined(14), &data)),
        [17_015, 32_066, 35_648, 17_656, 15_147, 22_766, 23_109, 14_149, 15_543, 17_030, 15_542, 20_139, 11_673, 4661]
    );
    let mut data = noise("cut points 2", 300 * KIB);
    data[90 * KIB..250 * KIB].fill(0);
    assert_eq!(
        lengths(&cut(Chunking::ContentDefined(13), &data)),
        [13_221, 13_583, 4388, 10_442, 31_507, 11_757, 32_768, -138_334, 14_575, 8638, 4550, 17_719, 5718]
    );
    let data = noise("cut points 3", 8 << 20);
    assert_eq!(
        lengths(&cut(Chunking::ContentDefined(20), &data)),
        [1_258_656, 1_334_057, 1_994_122, 1_403_961, 1_156_103, 1_241_709]
    );
}

/// The algorithm as docs/format.md names it, one byte at a time.
fn reference_cut(gear: &Gear, log2: u8, data: &[u8]) -> usize {
    let average = 1 << log2;
    let (strict, relaxed) = select_masks(average, Normalization::Level1);
    let end = data.len().min(average * 4);
    // Bytes are tested in pairs: an odd one at the end, or before a centre that is the end, makes no cut.
    let tested = end - end % 2;
    let mut hash = 0_u64;
    for (at, byte) in data.iter().enumerate().take(tested).skip(average / 2) {
        hash = (hash << 1).wrapping_add(gear.table[usize::from(*byte)]);
        if hash & (if at < average { strict } else { relaxed }) == 0 {
            return at;
        }
    }
    end
}

#[test]
fn zeros_at_a_chunk_start_are_zeros_from_65536_on() {
    let chunking = Chunking::ContentDefined(13);
    assert_eq!(lengths(&cut(chunking, &vec![0; 65_536])), [-65_536]);
    assert!(cut(chunking, &vec![0; 65_535]).iter().all(|piece| piece.kind == PieceKind::Chunk));
    let mut data = vec![0; 70_000];
    data.push(1);
    assert_eq!(lengths(&cut(chunking, &data)), [-70_000, 1]);
    // A few zeros more of the same run, in a window of their own, still belong to it.
    assert_eq!(lengths(&cut_in_steps(chunking, &data, 0, &[65_536, 1])), [-70_000, 1]);
}

#[test]
fn a_run_of_zeros_ends_with_its_extent() {
    let gear = gear();
    let mut cutter = Cutter::new(&gear, Chunking::ContentDefined(13)).unwrap();
    let zeros = vec![0; 100_000];
    assert_eq!(cutter.next(&zeros, 0, true), Some(Piece { length: 100_000, kind: PieceKind::Zeros }));
    // Another extent, with too few zeros of its own.
    assert_eq!(cutter.next(&zeros[..100], 200_000, true), Some(Piece { length: 100, kind: PieceKind::Chunk }));
    // The end may also be known only afterwards.
    assert_eq!(cutter.next(&zeros, 300_000, false).map(|piece| piece.kind), Some(PieceKind::Zeros));
    assert_eq!(cutter.next(&[], 400_000, true), None);
    assert_eq!(cutter.next(&zeros[..100], 500_000, true).map(|piece| piece.kind), Some(PieceKind::Chunk));
}

#[test]
fn fixed_cells_stand_on_the_grid_of_the_file() {
    let chunking = Chunking::Fixed(12);
    let mut data = noise("cells", 20_000);
    data[4096..12_288].fill(0);
    assert_eq!(lengths(&cut(chunking, &data)), [4096, -8192, 4096, 3616]);
    let shifted = cut_in_steps(chunking, &data, 1000, &[500]);
    assert_eq!(lengths(&shifted), [3096, 4096, -4096, 4096, 4096, 520]);
    // However short the run, if the cell is the last of its extent.
    assert_eq!(lengths(&cut(chunking, &[0; 10])), [-10]);
}

#[test]
fn limits_are_known_and_kept() {
    let gear = gear();
    let largest = |chunking| Cutter::new(&gear, chunking).map(|cutter| cutter.largest_chunk());
    assert_eq!(largest(Chunking::ContentDefined(21)), Ok(8 << 20));
    assert_eq!(largest(Chunking::ContentDefined(12)), Ok(16 << 10));
    assert_eq!(largest(Chunking::Fixed(9)), Ok(512));
    for chunking in [Chunking::None, Chunking::ContentDefined(22), Chunking::Fixed(8), Chunking::Fixed(255)] {
        assert_eq!(largest(chunking), Err(ChunkerError::Chunking(chunking)));
    }
}

#[test]
fn an_insertion_moves_few_cuts() {
    let data = noise("insertion", 1 << 20);
    let mut changed = data.clone();
    changed.splice(400_000..400_000, *b"a few bytes more");
    let chunks = |data: &[u8]| {
        let mut start = 0;
        let pieces = cut(Chunking::ContentDefined(13), data).into_iter();
        let slices = pieces.map(|piece| {
            let end = start + usize::try_from(piece.length).unwrap();
            data[std::mem::replace(&mut start, end)..end].to_vec()
        });
        slices.collect::<std::collections::HashSet<_>>()
    };
    let (before, after) = (chunks(&data), chunks(&changed));
    assert!(before.len() > 80);
    assert!(after.difference(&before).count() <= 8, "{} new chunks", after.difference(&before).count());
}

#[test]
fn requests_are_parsed_and_written_alike() {
    for (text, request, written) in [
        ("auto", ChunkerRequest::Auto, "auto"),
        ("cdc", ChunkerRequest::ContentDefined(None), "fastcdc"),
        ("fastcdc,1MiB", ChunkerRequest::ContentDefined(Some(20)), "fastcdc,1MiB"),
        ("cdc, 65536", ChunkerRequest::ContentDefined(Some(16)), "fastcdc,64KiB"),
        ("fixed,512", ChunkerRequest::Fixed(9), "fixed,512"),
        ("fixed,16kib", ChunkerRequest::Fixed(14), "fixed,16KiB"),
        ("fixed,4M", ChunkerRequest::Fixed(22), "fixed,4MiB"),
    ] {
        assert_eq!(text.parse(), Ok(request), "{text}");
        assert_eq!(request.to_string(), written);
        assert_eq!(written.parse(), Ok(request));
    }
    for (text, reason) in [
        ("", "expected auto"),
        ("rabin", "expected auto"),
        ("auto,1", "no parameters"),
        ("fixed", "a size is missing"),
        ("fixed,5000", "power of two"),
        ("fixed,8MiB", "from 512 to 4MiB"),
        ("fastcdc,20", "from 4KiB to 2MiB"),
        ("fastcdc,1GB", "not a size"),
        ("fastcdc,18446744073709551615M", "power of two"),
        ("fastcdc,19,23,21,4095", "borg"),
        ("buzhash,19,23,21,4095", "borg"),
        ("19,23,21,4095", "borg"),
    ] {
        let error = text.parse::<ChunkerRequest>().unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(text), "{error}");
    }
}

/// Data in which noise and runs of zeros of all interesting lengths take turns.
fn mixed() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![1..2000_usize, 60_000..70_000_usize, 0..200_000_usize];
    let parts = prop::collection::vec((any::<bool>(), any::<u32>(), lengths), 1..6);
    parts.prop_map(|parts| {
        let part =
            |(zero, seed, len): (bool, u32, usize)| if zero { vec![0; len] } else { noise(&seed.to_string(), len) };
        parts.into_iter().flat_map(part).collect()
    })
}

fn any_chunking() -> impl Strategy<Value = Chunking> {
    prop_oneof![(12..=16_u8).prop_map(Chunking::ContentDefined), (9..=17_u8).prop_map(Chunking::Fixed)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_of_any_size_give_the_same_pieces(
        data in mixed(),
        chunking in any_chunking(),
        offset in 0..1_000_000_u64,
        steps in prop::collection::vec(prop_oneof![500..5000_usize, 5000..100_000_usize], 1..8),
    ) {
        let whole = cut_in_steps(chunking, &data, offset, &[data.len()]);
        prop_assert_eq!(&whole, &cut_in_steps(chunking, &data, offset, &steps));
        prop_assert_eq!(whole.iter().map(|piece| piece.length).sum::<u64>(), data.len() as u64);
    }

    #[test]
    fn a_chunk_is_cut_to_itself(data in mixed(), chunking in any_chunking()) {
        let mut start = 0;
        for piece in cut(chunking, &data) {
            let end = start + usize::try_from(piece.length).unwrap();
            prop_assert_eq!(cut(chunking, &data[start..end]), vec![piece]);
            if piece.kind == PieceKind::Zeros {
                prop_assert!(data[start..end].iter().all(|byte| *byte == 0));
            }
            start = end;
        }
    }

    #[test]
    fn cuts_are_those_of_the_published_algorithm(seed in any::<u32>(), len in 1..200_000_usize, log2 in 12..=15_u8) {
        let (gear, data) = (gear(), noise(&seed.to_string(), len));
        let mut rest = data.as_slice();
        for piece in cut(Chunking::ContentDefined(log2), &data) {
            prop_assert_eq!(piece.length, reference_cut(&gear, log2, rest) as u64);
            rest = &rest[usize::try_from(piece.length).unwrap()..];
        }
    }

    #[test]
    fn zeros_are_counted_to_the_byte(zeros in 0..2000_usize, rest in prop::collection::vec(1..=255_u8, 0..3)) {
        let mut data = vec![0; zeros];
        data.extend(&rest);
        data.extend([0; 300]);
        prop_assert_eq!(leading_zeros(&data), if rest.is_empty() { data.len() } else { zeros });
    }
}
