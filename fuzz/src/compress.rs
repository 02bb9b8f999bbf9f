//! Codecs: what goes in comes out, and nothing that is no stored form makes them panic or write past the end.

use vault_engine::compress::{Codec, Compression, compress, decompress};

use crate::first;

const SETTINGS: [Compression; 9] = [
    Compression::None,
    Compression::Lz4,
    Compression::AutoLz4,
    Compression::AutoZstd(3),
    Compression::Zstd(-50),
    Compression::Zstd(-1),
    Compression::Zstd(3),
    Compression::Zstd(9),
    Compression::Auto,
];
const BEFORE: &[u8] = b"directory";

/// The first byte says what to do, the second with which setting or codec.
pub fn run(data: &[u8]) {
    let (what, rest) = first(data);
    let (which, rest) = first(rest);
    match what % 3 {
        0 => round_trip(which, rest),
        1 => garbage(which, rest),
        _ => damage(which, rest),
    }
}

fn setting(which: u8) -> Compression {
    SETTINGS.get(usize::from(which) % SETTINGS.len()).copied().unwrap_or_default()
}

/// So many copies of the bytes that blocks are met which are probed first.
fn plaintext(which: u8, bytes: &[u8]) -> Vec<u8> {
    bytes.repeat(1 << (which / 32))
}

fn round_trip(which: u8, bytes: &[u8]) {
    let plain = plaintext(which, bytes);
    let (codec, stored) = stored(setting(which), &plain);
    let mut back = vec![1; plain.len()];
    decompress(codec, &stored, &mut back).expect("what was compressed is refused");
    assert!(back == plain, "other bytes came back");
    for wrong in [plain.len() + 1, plain.len().wrapping_sub(1).min(plain.len() + 2)] {
        assert!(decompress(codec, &stored, &mut vec![0; wrong]).is_err(), "another length is accepted");
    }
}

fn stored(setting: Compression, plain: &[u8]) -> (Codec, Vec<u8>) {
    let mut out = BEFORE.to_vec();
    let how = compress(setting, plain, &mut out);
    let stored = out.strip_prefix(BEFORE).expect("what stood before was changed").to_vec();
    assert!(stored.len() <= plain.len(), "it grew");
    (how.codec, stored)
}

fn garbage(which: u8, bytes: &[u8]) {
    let codec = Codec::from_number(which % 3).expect("there are three codecs");
    let (length, bytes) =
        bytes.split_first_chunk::<2>().map_or((0, bytes), |(two, rest)| (usize::from(u16::from_le_bytes(*two)), rest));
    decompress(codec, bytes, &mut vec![0; length]).ok();
    decompress(codec, bytes, &mut vec![0; bytes.len()]).ok();
}

/// A stored form with one byte changed: refused, or at least as long as it should be.
fn damage(which: u8, bytes: &[u8]) {
    let (at, bytes) =
        bytes.split_first_chunk::<2>().map_or((0, bytes), |(two, rest)| (usize::from(u16::from_le_bytes(*two)), rest));
    let plain = plaintext(which, bytes);
    let (codec, mut stored) = stored(setting(which), &plain);
    let length = stored.len().max(1);
    if let Some(byte) = stored.get_mut(at % length) {
        *byte ^= 1 << (at % 8);
    }
    decompress(codec, &stored, &mut vec![0; plain.len()]).ok();
}
