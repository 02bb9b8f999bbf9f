//! The bytes of a repository: what is encoded comes back, in one way only; what is not right is refused; nothing panics.

use proptest::prelude::*;
use vault_engine::crypto::{KeyRing, SecretKey};
use vault_engine::format::file::{Class, open_file};
use vault_engine::format::list::List;
use vault_engine::format::manifest::{Manifest, decode_warnings};
use vault_engine::format::node::decode_xattrs;
use vault_engine::format::pack::decode_trailer;
use vault_engine::format::records::{Event, GcRecord, SessionRecord};
use vault_engine::format::segment::Segment;
use vault_engine::format::slot::{Slot, SlotKind};
use vault_engine::format::stamp::Stamps;
use vault_engine::format::tree::Tree;
use vault_engine::format::{block, config, mark};
use vault_engine::id::{ArchiveId, DomainId};

mod records;
mod sealed;
mod split;
mod values;

fn ring() -> KeyRing {
    KeyRing::new(DomainId::from_bytes([7; 32]), SecretKey::new([9; 32]))
}

/// Every decoder of what needs no key, and every opener of what needs one.
fn decode_all(bytes: &[u8]) {
    let _ = Tree::decode(bytes);
    let _ = List::decode(bytes);
    let _ = Stamps::decode(bytes);
    let _ = Manifest::decode(bytes);
    let _ = decode_warnings(bytes);
    let _ = decode_xattrs(bytes);
    let _ = Segment::decode(bytes);
    let _ = decode_trailer(bytes);
    let _ = GcRecord::decode(bytes);
    let _ = SessionRecord::decode(bytes);
    let _ = Event::decode(bytes);
    let _ = block::Head::decode(bytes);
    let _ = block::decode_directory(bytes);
    let _ = mark::Mark::Ok.verify(ArchiveId::zero(), bytes);
    let _ = config::Config::decode(bytes).map(|config| config.open(&ring()));
    if let Ok(slot) = Slot::decode(bytes)
        && !matches!(slot.kind, SlotKind::Passphrase(_))
    {
        let _ = slot.open(b"0123456789abcdef0123456789abcdef");
    }
    for class in [Class::Data, Class::Meta, Class::Index, Class::Root, Class::Event, Class::Gc, Class::Session] {
        let _ = open_file(&ring(), class, bytes);
    }
}

/// A change to bytes: what a bad disk, a cut-off file or a hostile writer makes of them.
fn damage() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    prop::collection::vec((0..4_u8, any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

fn damaged(bytes: &[u8], changes: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (how, at, value) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = *value,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, *value),
            _ => drop(bytes.splice(at.., std::iter::repeat_n(*value, 8))),
        }
    }
    bytes
}

proptest! {
    #[test]
    fn no_decoder_panics_on_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_decoder_panics_on_lengths_that_lie(
        zeros in 0..20_usize, length in prop::sample::select(vec![0xFF_u8, 0x7F, 0x80, 1]), tail in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        let mut bytes = vec![0; zeros];
        bytes.extend([length; 8]);
        bytes.extend(tail);
        decode_all(&bytes);
    }

    #[test]
    fn no_decoder_panics_on_damaged_records(encoded in values::any_record(), changes in damage()) {
        decode_all(&damaged(&encoded, &changes));
    }
}
