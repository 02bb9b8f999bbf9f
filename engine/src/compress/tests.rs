//! What goes in comes out, at every setting, and nothing else comes out.

use proptest::prelude::*;

use super::{Codec, CompressError, Compressed, Compression, DATABASE_LEVEL, DEFAULT_LEVEL, compress, decompress};

const SETTINGS: [Compression; 10] = [
    Compression::Auto,
    Compression::None,
    Compression::Lz4,
    Compression::AutoLz4,
    Compression::AutoZstd(3),
    Compression::AutoZstd(-50),
    Compression::Zstd(-7),
    Compression::Zstd(1),
    Compression::Zstd(3),
    Compression::Zstd(19),
];

fn noise(label: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    let words = ["archive ", "block ", "of ", "the ", "is ", "stored\n", "each ", "chunk ", "7 ", "and "];
    let words = noise("words", len).into_iter().flat_map(|byte| words[usize::from(byte) % words.len()].bytes());
    words.take(len).collect()
}

/// Compresses behind a directory, as a block does it, and checks that it comes back.
fn stored(setting: Compression, plain: &[u8]) -> (Compressed, usize) {
    let mut out = b"directory".to_vec();
    let how = compress(setting, plain, &mut out);
    let payload = out.strip_prefix(b"directory").unwrap();
    let mut back = vec![1; plain.len()];
    decompress(how.codec, payload, &mut back).unwrap();
    assert!(back == plain, "{setting} gave other bytes back");
    (how, payload.len())
}

#[test]
fn text_becomes_smaller_at_every_setting() {
    for len in [200, 5000, 100_000, 600_000] {
        for setting in SETTINGS {
            let (how, size) = stored(setting, &text(len));
            let expected = match setting {
                Compression::None => Compressed { codec: Codec::None, level: 0 },
                Compression::Lz4 | Compression::AutoLz4 => Compressed { codec: Codec::Lz4, level: 0 },
                Compression::Auto => Compressed { codec: Codec::Zstd, level: DEFAULT_LEVEL },
                Compression::Zstd(level) | Compression::AutoZstd(level) => Compressed { codec: Codec::Zstd, level },
            };
            let too_short = len == 200 && how.codec == Codec::None;
            assert!(too_short || how == expected, "{setting} stored {len} bytes as {how:?}");
            assert_eq!(size < len, how.codec != Codec::None);
        }
    }
}

#[test]
fn databases_get_a_level_of_their_own_unless_one_is_named() {
    assert_eq!(Compression::Auto.for_database(), Compression::AutoZstd(DATABASE_LEVEL));
    for setting in SETTINGS.into_iter().filter(|setting| *setting != Compression::Auto) {
        assert_eq!(setting.for_database(), setting);
    }
}

#[test]
fn noise_is_stored_as_it_is() {
    for len in [0, 1, 63, 64, 1000, 40_000, 600_000] {
        for setting in SETTINGS {
            let (how, size) = stored(setting, &noise("incompressible", len));
            assert_eq!((how.codec, size), (Codec::None, len), "{setting}");
        }
    }
}

#[test]
fn what_gains_less_than_a_fiftieth_is_stored_as_it_is() {
    let mut plain = noise("nearly", 400_000);
    plain[..7_000].fill(b'x');
    assert_eq!(stored(Compression::Zstd(3), &plain).0.codec, Codec::None);
    plain[..9_000].fill(b'x');
    assert_eq!(stored(Compression::Zstd(3), &plain).0.codec, Codec::Zstd);
}

#[test]
fn auto_finds_what_its_samples_miss() {
    // Text only at the end: the middle of the last quarter is noise still.
    let mut plain = noise("several files", 512 << 10);
    let start = plain.len() - 40_000;
    plain.truncate(start);
    plain.extend(text(40_000));
    assert_eq!(stored(Compression::AutoZstd(3), &plain).0, Compressed { codec: Codec::Zstd, level: 3 });
    // No repetition at all, but only 16 of 256 byte values.
    let digits: Vec<u8> =
        noise("hexadecimal", 300_000).iter().map(|byte| b"0123456789abcdef"[usize::from(byte % 16)]).collect();
    let (how, size) = stored(Compression::AutoZstd(3), &digits);
    assert!(how.codec == Codec::Zstd && size < 170_000);
}

#[test]
fn auto_leaves_vectors_of_floats_alone() {
    // Three bytes of mantissa, and an exponent of which few values occur.
    let mut floats = noise("vectors", 512 << 10);
    floats.iter_mut().skip(3).step_by(4).for_each(|exponent| *exponent %= 16);
    assert_eq!(stored(Compression::AutoZstd(3), &floats).0.codec, Codec::None);
    assert_eq!(stored(Compression::Zstd(3), &floats).0.codec, Codec::Zstd);
}

#[test]
fn settings_are_parsed_and_written_alike() {
    for (text, setting, written) in [
        ("none", Compression::None, "none"),
        ("lz4", Compression::Lz4, "lz4"),
        ("zstd", Compression::Zstd(2), "zstd,2"),
        ("zstd,-7", Compression::Zstd(-7), "zstd,-7"),
        ("auto", Compression::default(), "auto"),
        ("auto,zstd", Compression::AutoZstd(2), "auto,zstd,2"),
        ("auto, zstd, 22", Compression::AutoZstd(22), "auto,zstd,22"),
        ("auto,lz4", Compression::AutoLz4, "auto,lz4"),
    ] {
        assert_eq!(text.parse(), Ok(setting), "{text}");
        assert_eq!(setting.to_string(), written);
        assert_eq!(written.parse(), Ok(setting));
    }
    for text in ["", "gzip", "zstd,23", "zstd,-51", "zstd,x", "lz4,1", "auto,none", "zstd,3,4", "zstd,999"] {
        let error = text.parse::<Compression>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")) || error.contains("from -50 to 22"), "{error}");
    }
}

#[test]
fn codecs_have_the_numbers_of_the_format() {
    for (number, codec) in [(0, Codec::None), (1, Codec::Zstd), (2, Codec::Lz4)] {
        assert_eq!(Codec::from_number(number), Some(codec));
        assert_eq!(codec.number(), number);
    }
    assert_eq!(Codec::from_number(3), None);
}

#[test]
fn only_the_exact_length_is_accepted() {
    let plain = text(10_000);
    for setting in [Compression::None, Compression::Lz4, Compression::Zstd(3)] {
        let mut payload = Vec::new();
        let codec = compress(setting, &plain, &mut payload).codec;
        for len in [0, 1, 9_999, 10_001, 20_000] {
            decompress(codec, &payload, &mut vec![0; len]).unwrap_err();
        }
        let longer = [payload.as_slice(), &[0]].concat();
        decompress(codec, &longer, &mut vec![0; 10_000]).unwrap_err();
        let shorter = &payload[..payload.len() - 1];
        decompress(codec, shorter, &mut vec![0; 10_000]).unwrap_err();
    }
}

#[test]
fn a_payload_is_one_zstd_frame() {
    let frame = zstd::bulk::compress(b"half", 3).unwrap();
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9];
    let damaged = Err(CompressError::Damaged(Codec::Zstd));
    assert_eq!(decompress(Codec::Zstd, &frame, &mut [0; 4]), Ok(()));
    assert_eq!(decompress(Codec::Zstd, &frame.repeat(2), &mut [0; 8]), damaged);
    assert_eq!(decompress(Codec::Zstd, &[&skippable, frame.as_slice()].concat(), &mut [0; 4]), damaged);
    assert_eq!(decompress(Codec::Zstd, &skippable, &mut []), damaged);
    assert_eq!(decompress(Codec::Zstd, &[], &mut []), damaged);
}

proptest! {
    #[test]
    fn every_payload_comes_back(
        parts in prop::collection::vec((any::<bool>(), 0..40_000_usize), 0..5),
        setting in prop::sample::select(SETTINGS.to_vec()),
    ) {
        let part = |(plain, len): (bool, usize)| if plain { text(len) } else { noise("part", len) };
        let plain: Vec<u8> = parts.into_iter().flat_map(part).collect();
        let (_, size) = stored(setting, &plain);
        prop_assert!(size <= plain.len());
    }

    #[test]
    fn garbage_is_refused_without_panic(
        garbage in prop::collection::vec(any::<u8>(), 0..200),
        len in 0..1000_usize,
        framed in any::<bool>(),
    ) {
        let stored = if framed { [&super::ZSTD_MAGIC, garbage.as_slice()].concat() } else { garbage };
        for codec in [Codec::None, Codec::Zstd, Codec::Lz4] {
            let _ = decompress(codec, &stored, &mut vec![0; len]);
        }
    }

    #[test]
    fn damage_is_refused_or_harmless(at in any::<prop::sample::Index>(), bit in 0..8_u32, lz4 in any::<bool>()) {
        let plain = text(3000);
        let mut payload = Vec::new();
        let codec = compress(if lz4 { Compression::Lz4 } else { Compression::Zstd(3) }, &plain, &mut payload).codec;
        let at = at.index(payload.len());
        payload[at] ^= 1_u8 << bit;
        let _ = decompress(codec, &payload, &mut vec![0; plain.len()]);
    }
}
