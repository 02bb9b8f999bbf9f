//! Sealed files and blocks: they open to what was sealed, and with any byte changed they do not open.

use proptest::prelude::*;
use vault_engine::compress::{Codec, Compression};
use vault_engine::crypto::{KdfParameters, KeyRing, Purpose, SecretKey};
use vault_engine::format::FormatError;
use vault_engine::format::block::{
    BlockContent, BlockKind, Entry, Head, compress_block, open_block, open_head, open_trailer, seal_padding,
};
use vault_engine::format::config::{Config, Profile};
use vault_engine::format::file::{Class, FileCipher, open_file, padded, seal_file};
use vault_engine::format::mark::{MARK_LEN, Mark};
use vault_engine::format::pack::Tail;
use vault_engine::format::slot::{Bundle, Slot, SlotKind};
use vault_engine::format::split::SplitRule;
use vault_engine::id::{ArchiveId, DomainId, RepositoryId};
use vault_engine::meta::Timestamp;

use super::ring;

const CLASSES: [Class; 7] =
    [Class::Data, Class::Meta, Class::Index, Class::Root, Class::Event, Class::Gc, Class::Session];
const SESSION: [u8; 16] = [3; 16];

/// Calls back with the bytes once for each of their bytes, one bit of it changed.
fn each_flip(bytes: &[u8], mut check: impl FnMut(usize, Vec<u8>)) {
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        check(at, flipped);
    }
}

#[test]
fn a_sealed_file_opens_only_whole_with_its_key_and_as_its_class() {
    let ring = ring();
    for class in CLASSES {
        let sealed = seal_file(&ring, class, SESSION, b"payload").unwrap();
        assert_eq!(open_file(&ring, class, &sealed).unwrap(), b"payload");
        each_flip(&sealed, |at, flipped| assert!(open_file(&ring, class, &flipped).is_err(), "{class:?}: byte {at}"));
        for length in (0..sealed.len()).step_by(61) {
            assert!(open_file(&ring, class, &sealed[..length]).is_err(), "{class:?}: {length} bytes");
        }
        assert!(open_file(&ring, class, &[sealed.as_slice(), &[0]].concat()).is_err());
        for other in CLASSES.into_iter().filter(|&other| other != class) {
            assert!(open_file(&ring, other, &sealed).is_err(), "{class:?} is no {other:?}");
        }
        for (domain, root) in [([7; 32], [8; 32]), ([8; 32], [9; 32])] {
            let stranger = KeyRing::new(DomainId::from_bytes(domain), SecretKey::new(root));
            assert_eq!(open_file(&stranger, class, &sealed), Err(FormatError::OtherKey));
        }
    }
}

proptest! {
    #[test]
    fn any_payload_comes_back_from_a_padded_file(payload in prop::collection::vec(any::<u8>(), 0..20_000)) {
        let sealed = seal_file(&ring(), Class::Index, SESSION, &payload).unwrap();
        prop_assert_eq!(sealed.len() as u64, padded(sealed.len() as u64));
        prop_assert_eq!(open_file(&ring(), Class::Index, &sealed).unwrap(), payload);
    }

    #[test]
    fn padding_costs_little_and_leaves_few_lengths(length in 4096..1_u64 << 40) {
        let target = padded(length);
        prop_assert!(target >= length && target - length <= length / 8, "{} for {}", target, length);
        prop_assert_eq!(padded(target), target);
        prop_assert_eq!(target % 64, 0);
    }
}

#[test]
fn nothing_is_sealed_twice_alike() {
    let one = seal_file(&ring(), Class::Root, SESSION, b"the same").unwrap();
    let two = seal_file(&ring(), Class::Root, SESSION, b"the same").unwrap();
    assert_ne!(one[32..64], two[32..64]);
    assert_ne!(one[64..], two[64..]);
}

/// Objects as a block holds them.
fn content(ring: &KeyRing, purpose: Purpose, objects: &[Vec<u8>]) -> (Vec<Entry>, Vec<u8>) {
    let entry =
        |object: &Vec<u8>| Entry { id: ring.object_id(purpose, object), length: u32::try_from(object.len()).unwrap() };
    (objects.iter().map(entry).collect(), objects.concat())
}

fn sealed_block(cipher: &FileCipher, entries: &[Entry], plain: &[u8], setting: Compression) -> Vec<u8> {
    let compressed = compress_block(&BlockContent { entries, plain }, setting).unwrap();
    let length = compressed.sealed_length();
    let block = compressed.seal(cipher, 4, BlockKind::Objects).unwrap();
    let bytes = [block.head, block.body].concat();
    assert_eq!(bytes.len(), length);
    assert_eq!(bytes.len() % 64, 0);
    bytes
}

const SETTINGS: [Compression; 5] =
    [Compression::None, Compression::Lz4, Compression::Zstd(1), Compression::Zstd(19), Compression::AutoZstd(3)];

proptest! {
    #[test]
    fn blocks_come_back_with_every_codec(
        objects in prop::collection::vec(prop::collection::vec(0..4_u8, 0..600), 0..12), meta in any::<bool>()
    ) {
        let (ring, purpose) = (ring(), if meta { Purpose::Meta } else { Purpose::Data });
        let class = if meta { Class::Meta } else { Class::Data };
        let cipher = FileCipher::create(&ring, class, SESSION).unwrap();
        let (entries, plain) = content(&ring, purpose, &objects);
        for setting in SETTINGS {
            let mut sealed = sealed_block(&cipher, &entries, &plain, setting);
            let opened = open_block(&ring, &cipher, purpose, &mut sealed).unwrap();
            prop_assert_eq!(&opened.entries, &entries);
            let found: Vec<_> = opened.objects().map(|(_, object)| object.to_vec()).collect();
            prop_assert_eq!(&found, &objects);
        }
    }
}

#[test]
fn a_block_with_any_byte_changed_is_refused() {
    let ring = ring();
    let cipher = FileCipher::create(&ring, Class::Data, SESSION).unwrap();
    let objects: Vec<Vec<u8>> = (0..5).map(|n| vec![b'a' + n; 300]).collect();
    let (entries, plain) = content(&ring, Purpose::Data, &objects);
    let mut codecs = Vec::new();
    for setting in [Compression::None, Compression::Lz4, Compression::Zstd(3)] {
        let sealed = sealed_block(&cipher, &entries, &plain, setting);
        let opened = open_block(&ring, &cipher, Purpose::Data, &mut sealed.clone()).unwrap();
        codecs.push(opened.head.codec);
        each_flip(&sealed, |at, mut flipped| {
            assert!(open_block(&ring, &cipher, Purpose::Data, &mut flipped).is_err(), "{setting:?}: byte {at}");
        });
        for length in 0..sealed.len() {
            assert!(open_block(&ring, &cipher, Purpose::Data, &mut sealed[..length].to_vec()).is_err());
        }
        assert!(open_block(&ring, &cipher, Purpose::Meta, &mut sealed.clone()).is_err(), "data is no metadata");
        assert!(open_trailer(&cipher, &mut sealed.clone()).is_err(), "objects are no trailer");
        let other = FileCipher::create(&ring, Class::Data, SESSION).unwrap();
        assert!(open_block(&ring, &other, Purpose::Data, &mut sealed.clone()).is_err(), "a block of another pack");
    }
    assert_eq!(codecs, [Codec::None, Codec::Lz4, Codec::Zstd]);
}

#[test]
fn a_head_whose_lengths_do_not_agree_is_refused() {
    const OBJECTS: u8 = 1;
    const PADDING: u8 = 3;
    let reads = |[body, count, directory, stored, plain]: [u32; 5], kind: u8| {
        let numbers = [body, count, directory, stored, plain, 0].map(u32::to_le_bytes).concat();
        Head::decode(&[numbers.as_slice(), &[0, 0, kind], &[0; 9]].concat()).is_ok()
    };
    // Two objects of 100 bytes together: 72 of directory, 100 as they are, 28 for the seal, filled up to 64.
    assert!(reads([256, 2, 72, 100, 100], OBJECTS));
    for body in [0, 64, 128, 192, 199, 200, 255, 257, 264, 320, 64 << 20] {
        assert!(!reads([body, 2, 72, 100, 100], OBJECTS), "a body of {body}");
    }
    for (count, directory) in [(2, 36), (2, 71), (2, 73), (1, 72), (3, 72), (0, 72), (65_537, 36 * 65_537)] {
        assert!(!reads([256, count, directory, 100, 100], OBJECTS), "{count} objects in {directory}");
    }
    let most = 16 << 20;
    assert!(reads([256, 2, 72, 100, most], OBJECTS) && !reads([256, 2, 72, 100, most + 1], OBJECTS));
    let body = (72 + most + 1 + 28).next_multiple_of(64);
    assert!(!reads([body, 2, 72, most + 1, 100], OBJECTS));
    for body in [0, 64, 4096] {
        assert!(reads([body, 0, 0, 0, 0], PADDING), "padding of {body}");
    }
    assert!(!reads([0, 0, 0, 0, 0], OBJECTS) && !reads([0, 2, 72, 0, 0], PADDING) && !reads([32, 0, 0, 0, 0], PADDING));
    for kind in [0, 4, 255] {
        assert!(!reads([256, 2, 72, 100, 100], kind), "kind {kind}");
    }
}

#[test]
fn a_body_does_not_open_behind_another_head() {
    let ring = ring();
    let cipher = FileCipher::create(&ring, Class::Data, SESSION).unwrap();
    let (one, one_plain) = content(&ring, Purpose::Data, &[vec![1; 700]]);
    let (two, two_plain) = content(&ring, Purpose::Data, &[vec![2; 700]]);
    let first = sealed_block(&cipher, &one, &one_plain, Compression::None);
    let second = sealed_block(&cipher, &two, &two_plain, Compression::Zstd(1));
    let mut mixed = [&first[..64], &second[64..]].concat();
    assert!(open_block(&ring, &cipher, Purpose::Data, &mut mixed).is_err());
}

#[test]
fn an_id_that_is_not_that_of_its_bytes_is_refused() {
    let ring = ring();
    let cipher = FileCipher::create(&ring, Class::Data, SESSION).unwrap();
    let (mut entries, plain) = content(&ring, Purpose::Data, &[b"one".to_vec(), b"two".to_vec()]);
    entries[1].id = ring.object_id(Purpose::Data, b"other");
    let mut sealed = sealed_block(&cipher, &entries, &plain, Compression::None);
    let error = open_block(&ring, &cipher, Purpose::Data, &mut sealed).unwrap_err();
    assert_eq!(error, FormatError::WrongId(entries[1].id.to_hex()));
    entries[1] = Entry { id: ring.object_id(Purpose::Data, b"tw"), length: 2 };
    let mut sealed = sealed_block(&cipher, &entries, &plain, Compression::None);
    assert!(open_block(&ring, &cipher, Purpose::Data, &mut sealed).is_err(), "lengths that leave bytes over");
}

#[test]
fn padding_blocks_fill_every_gap() {
    let ring = ring();
    let cipher = FileCipher::create(&ring, Class::Meta, SESSION).unwrap();
    for length in (64..2048).step_by(64) {
        let padding = seal_padding(&cipher, 9, length).unwrap();
        assert_eq!(padding.head.len() + padding.body.len(), length);
        let (head, _) = open_head(&cipher, &padding.head).unwrap();
        assert_eq!((head.kind, head.body_length as usize), (BlockKind::Padding, length - 64));
    }
}

#[test]
fn a_tail_with_any_byte_changed_is_refused() {
    let cipher = FileCipher::create(&ring(), Class::Data, SESSION).unwrap();
    let tail = Tail { trailer_offset: 128, blocks: 2, objects: 3, plain_bytes: 4, writer: [5; 16] };
    let sealed = tail.seal(&cipher).unwrap();
    assert_eq!(Tail::open(&cipher, &mut sealed.clone()).unwrap(), tail);
    each_flip(&sealed, |at, mut flipped| assert!(Tail::open(&cipher, &mut flipped).is_err(), "byte {at}"));
}

#[test]
fn a_mark_says_one_thing_of_one_archive() {
    let (id, other) = (ArchiveId::from_bytes([1; 32]), ArchiveId::from_bytes([2; 32]));
    let bytes = Mark::Ok.encode(id);
    assert_eq!(bytes.len(), MARK_LEN);
    assert!(Mark::Ok.verify(id, &bytes).is_ok());
    assert!(Mark::Ok.verify(other, &bytes).is_err());
    assert!(Mark::Deleted.verify(id, &bytes).is_err());
    each_flip(&bytes, |at, flipped| assert!(Mark::Ok.verify(id, &flipped).is_err(), "byte {at}"));
}

#[test]
fn a_config_with_any_byte_changed_is_refused_even_with_its_check_made_right() {
    let ring = ring();
    let profile = Profile { cdc_log2: 19, page_log2: 12, ..Profile::default() };
    let config = Config::create(&ring, RepositoryId::from_bytes([4; 32]), true, &profile).unwrap();
    assert_eq!(Config::decode(&config.bytes).unwrap(), config);
    assert_eq!(config.open(&ring).unwrap(), profile);
    each_flip(&config.bytes, |at, mut flipped| {
        assert!(Config::decode(&flipped).is_err(), "byte {at}");
        let checked = flipped.len() - 32;
        let check = blake3::hash(&flipped[..checked]);
        flipped[checked..].copy_from_slice(check.as_bytes());
        if at < checked {
            let opened = Config::decode(&flipped).and_then(|config| config.open(&ring));
            assert!(opened.is_err(), "byte {at}, with the check of what it was made");
        }
    });
}

/// With parts of one entry a directory would have as many on every level, and a create would never end.
#[test]
fn a_profile_whose_parts_do_not_become_fewer_is_refused() {
    let ring = ring();
    let with = |tree: u16, list: u16| {
        let rule = |minimum| SplitRule { minimum, bits: 1, maximum: 4 };
        let profile = Profile { tree_split: rule(tree), list_split: rule(list), ..Profile::default() };
        Config::create(&ring, RepositoryId::from_bytes([4; 32]), true, &profile).unwrap().open(&ring)
    };
    assert!(with(2, 2).is_ok());
    for (tree, list) in [(1, 2), (2, 1), (0, 2), (2, 5)] {
        assert!(with(tree, list).is_err(), "{tree}, {list}");
    }
}

fn bundle() -> Bundle {
    let created = Timestamp { seconds: 1_700_000_000, nanoseconds: 1 };
    Bundle { root: SecretKey::new([6; 32]), config: vec![1, 2, 3], name: "laptop".to_owned(), created, has_more: false }
}

#[test]
fn a_key_slot_opens_with_its_secret_and_unchanged_only() {
    let secret = [b'k'; 32];
    let bytes = Slot::create(SlotKind::KeyFile, &secret, &bundle()).unwrap();
    assert_eq!(bytes.len() as u64, padded(bytes.len() as u64));
    let slot = Slot::decode(&bytes).unwrap();
    let opened = slot.open(&secret).unwrap().unwrap().unwrap();
    assert_eq!(opened.root.expose(), &[6; 32]);
    assert_eq!((opened.config, opened.name, opened.created), (vec![1, 2, 3], "laptop".to_owned(), bundle().created));
    assert!(slot.open(&[b'l'; 32]).unwrap().is_none());
    each_flip(&bytes, |at, flipped| {
        let Ok(slot) = Slot::decode(&flipped) else { return };
        assert!(!matches!(slot.open(&secret), Ok(Some(Ok(_)))), "byte {at}");
    });
}

#[test]
fn a_slot_says_what_it_asks_for_before_anything_is_allocated() {
    let bytes = Slot::create(SlotKind::Plain, &[], &bundle()).unwrap();
    let mut asking = bytes;
    asking[12] = 1;
    asking[16..28].fill(0xFF);
    let kind = Slot::decode(&asking).unwrap().kind;
    let most = u32::MAX;
    assert_eq!(kind, SlotKind::Passphrase(KdfParameters { memory_kib: most, passes: most, lanes: most }));
}

#[test]
fn padded_lengths_are_the_known_answers_of_format_md() {
    for (length, file) in [(0, 4096), (4097, 4352), (100_000, 100_352), (1_048_577, 1_081_344)] {
        assert_eq!(vault_engine::format::file::padded(length), file);
    }
}
