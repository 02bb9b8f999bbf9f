//! The largest records that a repository may hold, made of the smallest items: where few bytes of input become many in
//! memory. The mutations of a fuzzer are too short to come near the bound that decoders promise to keep.

use vault_engine::codec::Put;
use vault_engine::format::{OBJECT_LIMIT, PART_ENTRIES};

const ALL_THERE_IS: usize = usize::MAX;
/// What the payload of a sealed file may have, with the room that is left for header, seal and length.
const PAYLOAD: usize = (64 << 20) - 4096;

/// A target, which of its decoders, what the record is, and who makes it: one at a time is in memory.
pub type Maker = (&'static str, u8, &'static str, fn() -> Vec<u8>);

/// All of them: as many items as there is room for, and as many as a record may have.
pub const ALL: [Maker; 16] = [
    ("tree", 0, "nodes of one owner with a long name", || nodes(60_000, ALL_THERE_IS)),
    ("tree", 0, "65,535 nodes of one owner with a long name", || nodes(60_000, PART_ENTRIES)),
    ("tree", 0, "small nodes", || nodes(0, ALL_THERE_IS)),
    ("tree", 0, "parts", || parts(ALL_THERE_IS)),
    ("tree", 0, "65,535 parts", || parts(PART_ENTRIES)),
    ("tree", 1, "attributes", attributes),
    ("stamps", 0, "stamps that say nothing", || stamps(ALL_THERE_IS)),
    ("stamps", 0, "65,535 stamps that say nothing", || stamps(PART_ENTRIES)),
    ("list", 0, "holes", || holes(ALL_THERE_IS)),
    ("list", 0, "65,535 holes", || holes(PART_ENTRIES)),
    ("manifest", 0, "paths and segments", manifest),
    ("manifest", 1, "warnings", || warnings(ALL_THERE_IS)),
    ("manifest", 1, "65,535 warnings", || warnings(PART_ENTRIES)),
    ("trailer", 0, "blocks without objects", blocks),
    ("segment", 0, "packs without blocks", packs),
    ("gc", 0, "packs", condemned),
];

/// The input of its target.
pub fn input(maker: &Maker) -> Vec<u8> {
    let (_, decoder, _, make) = maker;
    [&[*decoder], make().as_slice()].concat()
}

/// Version and level of a tree, stamps or list, and the count behind them.
fn begin(level: u8, count: usize) -> Vec<u8> {
    let mut out = vec![1, level, 0, 0];
    out.put_count(count);
    out
}

/// A tree of FIFOs with names as short as may be, all of one owner.
fn nodes(owner_name: usize, most: usize) -> Vec<u8> {
    let owner = vec![b'o'; owner_name];
    let count = most.min((OBJECT_LIMIT - owner_name - 64) / 34);
    let mut out = begin(0, count);
    out.put_u16(1);
    out.put_u32(0);
    out.put_str(&owner);
    for number in 0..count {
        // Ascending, and without / and NUL.
        let digits = [18, 12, 6, 0].map(|shift| b'0' + u8::try_from(number >> shift & 0x3F).unwrap_or(0));
        out.put_str(&digits);
        out.put_u8(4);
        out.put(&[0; 2 + 2 + 2 + 2 + 12 + 4]);
    }
    out
}

fn parts(most: usize) -> Vec<u8> {
    let count = most.min(OBJECT_LIMIT / 46 - 1);
    let mut out = begin(1, count);
    for number in 0..count {
        out.put_str(&u32::try_from(number).unwrap_or(0).swap_bytes().to_le_bytes());
        out.put_u64(1);
        out.put(&[1; 32]);
    }
    out
}

fn attributes() -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u16(u16::MAX);
    for number in 0..u16::MAX {
        out.put_str(&(u32::from(number) + 0x0101_0101).swap_bytes().to_le_bytes());
        out.put_blob(&[7; 240]);
    }
    out
}

fn stamps(most: usize) -> Vec<u8> {
    let count = most.min(OBJECT_LIMIT - 64);
    let mut out = begin(0, count);
    out.put(&[3; 32]);
    out.resize(out.len() + count, 0);
    out
}

fn holes(most: usize) -> Vec<u8> {
    let count = most.min((OBJECT_LIMIT - 64) / 9);
    let mut out = begin(0, count);
    out.put_u64(count as u64);
    for _ in 0..count {
        out.put_u8(3);
        out.put_u64(1);
    }
    out
}

fn manifest() -> Vec<u8> {
    let mut out = Vec::new();
    // The root: no name, a directory, attributes and owners of zeros.
    out.put_str(b"");
    out.put_u8(2);
    out.put(&[0; 2 + 2 + 6 + 6 + 12 + 4 + 32]);
    // Stamps, repository, two labels, host id, sequence, two archives, three times, offset, three texts.
    out.put(&[0; 32 + 32 + 2 + 2 + 16 + 8 + 64 + 36 + 4 + 6]);
    out.put_u16(u16::MAX);
    out.resize(out.len() + 2 * usize::from(u16::MAX), 0);
    out.put(&[0; 48 + 32]);
    let segments = (PAYLOAD - out.len() - 64) / 32;
    out.put_count(segments);
    out.resize(out.len() + segments * 32, 1);
    out.put_u32(0);
    out
}

fn warnings(most: usize) -> Vec<u8> {
    let count = most.min(OBJECT_LIMIT / 8 - 8);
    let mut out = Vec::new();
    out.put_count(count);
    out.resize(out.len() + count * 8, 0);
    out
}

fn blocks() -> Vec<u8> {
    let count = PAYLOAD / 16 - 8;
    let mut out = Vec::with_capacity(PAYLOAD);
    for number in 0..count {
        out.put_count(128 + number * 64);
        out.put(&[0; 12]);
    }
    out
}

fn packs() -> Vec<u8> {
    let count = PAYLOAD / 48 - 8;
    let mut out = vec![0; 20];
    out.put_count(count);
    for _ in 0..count {
        out.put(&[1; 32]);
        out.put_u64(0);
        out.put(&[1, 0, 0, 0]);
        out.put_u32(0);
    }
    out
}

fn condemned() -> Vec<u8> {
    let count = (PAYLOAD - 64) / 32;
    let mut out = Vec::new();
    out.put_count(count);
    out.resize(out.len() + count * 32, 1);
    out.put_u32(0);
    out.put(&[0; 20]);
    out
}
