//! Every decoder of docs/format.md: no panic, no allocation that the bytes do not back, and what decodes is encoded and
//! decoded again to the same. What stands behind a seal is sealed and opened first, as it would be in a repository.

use std::fmt::Debug;

use vault_engine::codec::Decoded;
use vault_engine::crypto::Purpose;
use vault_engine::format::block::{Head, decode_directory};
use vault_engine::format::file::Class;
use vault_engine::format::list::List;
use vault_engine::format::manifest::{Manifest, decode_warnings, encode_warnings};
use vault_engine::format::mark::{MARK_LEN, Mark};
use vault_engine::format::node::{decode_xattrs, encode_xattrs};
use vault_engine::format::pack::{decode_trailer, encode_block_entry};
use vault_engine::format::records::{Event, GcRecord, SessionRecord};
use vault_engine::format::references::{ObjectKind, references, roots};
use vault_engine::format::segment::Segment;
use vault_engine::format::stamp::Stamps;
use vault_engine::format::tree::Tree;
use vault_engine::id::ArchiveId;

use crate::{first, memory, sealed};

/// A name, and a decoder that says whether it accepts the bytes.
pub type Decoder = (&'static str, fn(&[u8]) -> bool);

/// The decoders of each target, of which an input's first byte picks one. New ones go to the end of theirs, so that the first
/// byte of a seed keeps its meaning.
pub const FAMILIES: [(&str, &[Decoder]); 15] = [
    ("config", &[("config", sealed::config), ("profile", sealed::profile)]),
    ("slot", &[("slot", sealed::slot), ("bundle", sealed::bundle)]),
    ("header", &[("file", sealed::file), ("payload", sealed::payload)]),
    (
        "block",
        &[
            ("block", sealed::block),
            ("round-trip", sealed::block_round_trip),
            ("head", |data| memory::bounded(data, Head::decode).is_ok()),
            ("directory", |data| memory::bounded(data, decode_directory).is_ok()),
        ],
    ),
    ("trailer", &[("trailer", trailer), ("tail", sealed::tail)]),
    ("segment", &[("segment", segment)]),
    (
        "tree",
        &[
            ("tree", |data| in_block(data) && stable(data, Tree::decode, Tree::encode).is_some()),
            ("xattrs", |data| in_block(data) && canonical(data, decode_xattrs, |xattrs| encode_xattrs(xattrs))),
        ],
    ),
    ("list", &[("list", list)]),
    ("stamps", &[("stamps", |data| in_block(data) && canonical(data, Stamps::decode, Stamps::encode))]),
    (
        "manifest",
        &[
            ("manifest", |data| in_file(Class::Root, data, Manifest::decode, Manifest::encode)),
            ("warnings", |data| stable(data, decode_warnings, |warnings| encode_warnings(warnings)).is_some()),
        ],
    ),
    ("mark", &[("mark", mark)]),
    ("event", &[("event", |data| in_file(Class::Event, data, Event::decode, Event::encode))]),
    ("gc", &[("gc", |data| in_file(Class::Gc, data, GcRecord::decode, GcRecord::encode))]),
    ("session", &[("session", |data| in_file(Class::Session, data, SessionRecord::decode, SessionRecord::encode))]),
    (
        "references",
        &[
            ("tree", |data| refers(ObjectKind::Tree, data, Tree::decode(data).is_ok())),
            ("stamps", |data| refers(ObjectKind::Stamps, data, Stamps::decode(data).is_ok())),
            ("list", |data| refers(ObjectKind::List, data, List::decode(data).is_ok())),
            ("leaf", |data| refers(ObjectKind::Leaf(Purpose::Meta), data, true)),
            ("roots", |data| Manifest::decode(data).is_ok_and(|manifest| roots(&manifest).len() <= 4)),
        ],
    ),
];

/// Runs the decoder that the first byte picks, of the target of this name.
///
/// # Panics
/// A promise is broken, or there is no such target.
pub fn run(family: &str, data: &[u8]) {
    accepts(family, data);
}

/// The same, and whether the decoder takes the bytes for good: a seed that is refused at its door tests nothing.
pub fn accepts(family: &str, data: &[u8]) -> bool {
    let decoders = decoders(family);
    let (which, input) = first(data);
    let Some((_, decode)) = decoders.get(usize::from(which) % decoders.len()) else { return false };
    decode(input)
}

/// The decoders of a target.
pub fn decoders(family: &str) -> &'static [Decoder] {
    FAMILIES.iter().find(|(name, _)| *name == family).expect("a target of this name").1
}

/// What decodes is encoded to bytes that decode to the same; gives value and bytes.
fn stable<T: PartialEq + Debug>(
    input: &[u8],
    decode: impl Fn(&[u8]) -> Decoded<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<(T, Vec<u8>)> {
    let value = memory::bounded(input, &decode).ok()?;
    let encoded = encode(&value);
    assert!(decode(&encoded).as_ref() == Ok(&value), "what was encoded decodes to something else");
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

/// For the payload of a file that is sealed whole.
fn in_file<T: PartialEq + Debug>(
    class: Class,
    input: &[u8],
    decode: impl Fn(&[u8]) -> Decoded<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> bool {
    assert!(sealed::through_file(class, input) == input, "another payload came back");
    stable(input, decode, encode).is_some()
}

/// For objects, which stand in sealed blocks.
fn in_block(input: &[u8]) -> bool {
    assert!(sealed::through_block(input) == input, "another object came back");
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
    assert!(sealed::through_file(Class::Index, data) == data, "another payload came back");
    let Some((segment, encoded)) = stable(data, Segment::decode, Segment::encode) else { return false };
    assert!(encoded == data, "two encodings of one segment");
    segment.packs.iter().all(|pack| trailer(&pack.trailer) && pack.blocks().is_ok())
}

fn list(data: &[u8]) -> bool {
    in_block(data);
    let Some((list, encoded)) = stable(data, List::decode, List::encode) else { return false };
    assert!(encoded == data, "two encodings of one list");
    list.covered();
    true
}

/// Whoever counts references refuses exactly what the decoder refuses, and names no more than the bytes have room for.
fn refers(kind: ObjectKind, data: &[u8], decodes: bool) -> bool {
    let mut named = 0;
    let counted = memory::bounded(data, |data| references(kind, data, &mut |_, _| named += 1).is_ok());
    assert!(counted == decodes, "the decoder and the count of references disagree");
    assert!(named * 32 <= data.len(), "{named} references in {} bytes", data.len());
    counted
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
