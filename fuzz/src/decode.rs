//! Every decoder of docs/format.md: no panic, no allocation that the bytes do not back, and what decodes is encoded and
//! decoded again to the same.

use std::fmt::Debug;

use vault_engine::codec::Decoded;
use vault_engine::format::block::{Head, decode_directory};
use vault_engine::format::list::List;
use vault_engine::format::manifest::{Manifest, decode_warnings, encode_warnings};
use vault_engine::format::mark::{MARK_LEN, Mark};
use vault_engine::format::node::{decode_xattrs, encode_xattrs};
use vault_engine::format::pack::{decode_trailer, encode_block_entry};
use vault_engine::format::records::{Event, GcRecord, SessionRecord};
use vault_engine::format::segment::Segment;
use vault_engine::format::stamp::Stamps;
use vault_engine::format::tree::Tree;
use vault_engine::id::ArchiveId;

use crate::{first, sealed};

/// A name, and a decoder that says whether it accepts the bytes. A seed's first byte is its place in the table.
pub type Decoder = (&'static str, fn(&[u8]) -> bool);

/// All decoders. New ones go to the end, so that the first byte of a seed keeps its meaning.
pub const DECODERS: [Decoder; 23] = [
    ("config", sealed::config),
    ("profile", sealed::profile),
    ("slot", sealed::slot),
    ("bundle", sealed::bundle),
    ("file", sealed::file),
    ("payload", sealed::payload),
    ("block", sealed::block),
    ("block-round-trip", sealed::block_round_trip),
    ("tail", sealed::tail),
    ("head", |data| Head::decode(data).is_ok()),
    ("directory", |data| decode_directory(data).is_ok()),
    ("trailer", trailer),
    ("segment", segment),
    ("tree", |data| stable(data, Tree::decode, Tree::encode).is_some()),
    ("list", list),
    ("stamps", |data| canonical(data, Stamps::decode, Stamps::encode)),
    ("manifest", |data| stable(data, Manifest::decode, Manifest::encode).is_some()),
    ("warnings", |data| stable(data, decode_warnings, |warnings| encode_warnings(warnings)).is_some()),
    ("xattrs", |data| canonical(data, decode_xattrs, |xattrs| encode_xattrs(xattrs))),
    ("gc", |data| stable(data, GcRecord::decode, GcRecord::encode).is_some()),
    ("session", |data| stable(data, SessionRecord::decode, SessionRecord::encode).is_some()),
    ("event", |data| stable(data, Event::decode, Event::encode).is_some()),
    ("mark", mark),
];

/// The first byte picks the decoder.
pub fn run(data: &[u8]) {
    accepts(data);
}

/// The same, and whether the decoder takes the bytes for good: a seed that is refused at its door tests nothing.
pub fn accepts(data: &[u8]) -> bool {
    let (which, input) = first(data);
    DECODERS.get(usize::from(which) % DECODERS.len()).is_some_and(|(_, decode)| decode(input))
}

/// What decodes is encoded to bytes that decode to the same; gives value and bytes.
fn stable<T: PartialEq + Debug>(
    input: &[u8],
    decode: impl Fn(&[u8]) -> Decoded<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<(T, Vec<u8>)> {
    let value = decode(input).ok()?;
    let encoded = encode(&value);
    assert_eq!(decode(&encoded).as_ref(), Ok(&value), "what was encoded decodes to something else");
    Some((value, encoded))
}

/// The same for objects that have one encoding only: they are named by the hash of it.
fn canonical<T: PartialEq + Debug>(
    input: &[u8],
    decode: impl Fn(&[u8]) -> Decoded<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Some((_, encoded)) = stable(input, decode, encode) else { return false };
    assert!(encoded == input, "two encodings of one value");
    true
}

fn trailer(data: &[u8]) -> bool {
    let encode = |blocks: &Vec<_>| {
        let mut out = Vec::new();
        for block in blocks {
            encode_block_entry(block, &mut out);
        }
        out
    };
    canonical(data, decode_trailer, encode)
}

fn segment(data: &[u8]) -> bool {
    let Some((segment, encoded)) = stable(data, Segment::decode, Segment::encode) else { return false };
    assert!(encoded == data, "two encodings of one segment");
    segment.packs.iter().all(|pack| trailer(&pack.trailer) && pack.blocks().is_ok())
}

fn list(data: &[u8]) -> bool {
    let Some((list, encoded)) = stable(data, List::decode, List::encode) else { return false };
    assert!(encoded == data, "two encodings of one list");
    list.covered();
    true
}

/// 32 bytes of an archive's id, then the mark.
fn mark(data: &[u8]) -> bool {
    let (id, bytes) = data
        .split_first_chunk::<32>()
        .map_or((ArchiveId::zero(), data), |(id, bytes)| (ArchiveId::from_bytes(*id), bytes));
    let kinds = [Mark::Ok, Mark::Deleted].map(|mark| mark.verify(id, bytes).is_ok());
    assert!(kinds != [true, true], "both marks at once");
    assert!(kinds == [false, false] || bytes.len() == MARK_LEN, "a mark of another length");
    for mark in [Mark::Ok, Mark::Deleted] {
        assert!(mark.verify(id, &mark.encode(id)).is_ok(), "our own mark is refused");
    }
    kinds != [false, false]
}
