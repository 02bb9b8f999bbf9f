//! Sealed files, as they stand and as a writer who has the keys and means ill would seal them: a random mutation never gets
//! past a tag, so what is to be fuzzed behind it is sealed here first.

use vault_engine::codec::Put;
use vault_engine::compress::Compression;
use vault_engine::crypto::{KeyRing, NONCE_LEN, Purpose, RecordKeys, SEAL_OVERHEAD, SecretKey, Subkey};
use vault_engine::format::block::{
    BlockContent, BlockKind, Entry, compress_block, open_block, open_head, open_trailer,
};
use vault_engine::format::config::Config;
use vault_engine::format::file::{Class, FileCipher, HEADER_LEN, Record, open_file, seal_file, session_in};
use vault_engine::format::pack::Tail;
use vault_engine::format::slot::{Slot, SlotKind};
use vault_engine::id::{DomainId, RepositoryId};

use crate::{first, memory};

/// The repository of all targets.
pub const REPOSITORY: RepositoryId = RepositoryId::from_bytes([2; 32]);
/// Opens the slots that are key files, also that of the golden repository.
pub const KEY_FILE: &[u8] = b"0123456789abcdef0123456789abcdef";
const DOMAIN: DomainId = DomainId::from_bytes([1; 32]);
const SALT: [u8; 32] = [5; 32];
const SESSION: [u8; 16] = [6; 16];
const CLASSES: [Class; 7] =
    [Class::Data, Class::Meta, Class::Index, Class::Root, Class::Event, Class::Gc, Class::Session];

/// The keys of all targets.
pub fn ring() -> KeyRing {
    KeyRing::new(DOMAIN, SecretKey::new([3; 32]))
}

fn class(number: u8) -> Class {
    CLASSES.get(usize::from(number) % CLASSES.len()).copied().unwrap_or(Class::Data)
}

fn with_room(plain: &[u8]) -> Vec<u8> {
    [&[0; NONCE_LEN], plain].concat()
}

fn cipher(class: Class) -> FileCipher {
    FileCipher::create(&ring(), class, SESSION).expect("a cipher")
}

/// A payload out of a file that is sealed whole, as it went in.
pub fn through_file(class: Class, payload: &[u8]) -> Vec<u8> {
    let ring = ring();
    let sealed = seal_file(&ring, class, SESSION, payload).expect("sealed");
    open_file(&ring, class, &sealed).expect("our own file")
}

/// An object out of a sealed block, as it went in.
pub fn through_block(object: &[u8]) -> Vec<u8> {
    let ring = ring();
    let entry = Entry {
        id: ring.object_id(Purpose::Meta, object),
        length: u32::try_from(object.len()).expect("an object in memory"),
    };
    let content = BlockContent { entries: &[entry], plain: object };
    let cipher = cipher(Class::Meta);
    let compressed = compress_block(&content, Compression::None).expect("compressed");
    let sealed = compressed.seal(&cipher, 0, BlockKind::Objects).expect("sealed");
    let mut bytes = [sealed.head, sealed.body].concat();
    open_block(&ring, &cipher, Purpose::Meta, &mut bytes).expect("our own block").plain
}

/// `config` as it stands, with its checksum put right.
pub fn config(data: &[u8]) -> bool {
    let Some((body, _)) = data.split_last_chunk::<32>() else {
        return memory::bounded(data, Config::decode).is_ok();
    };
    let fixed = [body, blake3::hash(body).as_bytes()].concat();
    let Ok(config) = memory::bounded(&fixed, Config::decode) else { return false };
    assert!(config.bytes == fixed, "other bytes than were read");
    config.open(&ring()).is_ok()
}

/// A profile that was sealed into a good `config`.
pub fn profile(data: &[u8]) -> bool {
    let ring = ring();
    let key = ring.subkey(Subkey::SealConfig);
    let keys = RecordKeys::derive("vault 1 config", &[key.expose(), DOMAIN.as_bytes(), REPOSITORY.as_bytes()]);
    let mut bytes = b"VAULT\0K1".to_vec();
    bytes.put_u16(1);
    bytes.put_u16(1);
    bytes.put_count(data.len() + SEAL_OVERHEAD);
    bytes.put(&[0; 24]);
    bytes.put(REPOSITORY.as_bytes());
    bytes.put(DOMAIN.as_bytes());
    bytes.put(keys.commitment.as_bytes());
    bytes.put(&[0; 56]);
    let mut record = with_room(data);
    keys.aead.seal(&mut record, &[data], &bytes).expect("sealed");
    bytes.put(&record);
    bytes.put(blake3::hash(&bytes).as_bytes());
    let config = Config::decode(&bytes).expect("a good config");
    let Ok(profile) = memory::bounded(&bytes, |_| config.open(&ring)) else { return false };
    let again = Config::create(&ring, REPOSITORY, true, &profile).expect("created");
    assert_eq!(again.open(&ring).as_ref(), Ok(&profile), "another profile came back");
    true
}

/// A key slot as it stands.
pub fn slot(data: &[u8]) -> bool {
    match memory::bounded(data, Slot::decode) {
        // Stretching takes its time by design; what is asked for is judged before.
        Ok(Slot { kind: SlotKind::Passphrase(parameters), .. }) => {
            let cost = parameters.cost_kib();
            assert!(!parameters.acceptable(1 << 20) || cost <= 4 << 20, "a slot may ask for {cost} KiB");
            true
        }
        Ok(slot) => matches!(slot.open(KEY_FILE).expect("no key is stretched"), Some(Ok(_))),
        Err(_) => false,
    }
}

/// A bundle that was sealed into a good slot.
pub fn bundle(data: &[u8]) -> bool {
    let keys = RecordKeys::derive("vault 1 slot", &[&[3], &SALT]);
    let mut bytes = b"VAULT\0KS".to_vec();
    bytes.put_u16(1);
    bytes.put_u16(1);
    bytes.put(&[3, 1, 0, 0]);
    bytes.put(&[0; 12]);
    bytes.put_count(data.len() + SEAL_OVERHEAD);
    bytes.put(&SALT);
    bytes.put(keys.commitment.as_bytes());
    bytes.put(&[0; 32]);
    let mut record = with_room(data);
    keys.aead.seal(&mut record, &[data], &bytes).expect("sealed");
    bytes.put(&record);
    let slot = Slot::decode(&bytes).expect("a good slot");
    let opened =
        memory::bounded(&bytes, |_| slot.open(b"")).expect("no key is stretched").expect("the commitment is right");
    let Ok(bundle) = opened else { return false };
    let again = Slot::create(SlotKind::Plain, b"", &bundle).expect("created");
    let again = Slot::decode(&again).expect("a good slot").open(b"").expect("no key is stretched");
    let again = again.expect("the commitment is right").expect("opened");
    assert!(again.root.expose() == bundle.root.expose() && again.config == bundle.config, "another bundle");
    true
}

/// A sealed file as it stands; the first byte says what it should be.
pub fn file(data: &[u8]) -> bool {
    let (number, bytes) = first(data);
    if let Some(header) = bytes.first_chunk::<HEADER_LEN>()
        && let Ok(cipher) = FileCipher::open(&ring(), class(number), header)
    {
        let mut rest = bytes.get(HEADER_LEN..).unwrap_or_default().to_vec();
        open_block(&ring(), &cipher, Purpose::Data, &mut rest).ok();
    }
    session_in_header(bytes);
    memory::bounded(bytes, |bytes| open_file(&ring(), class(number), bytes)).is_ok()
}

/// The session that a clear header names is the one that its key field begins with.
fn session_in_header(bytes: &[u8]) {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return };
    if let Some(session) = session_in(header) {
        assert_eq!(header.get(32..48), Some(session.as_slice()), "another session");
    }
}

/// What stands inside a good seal: a length, a payload, padding. And any payload comes back.
pub fn payload(data: &[u8]) -> bool {
    let (number, plain) = first(data);
    let class = class(number);
    let cipher = cipher(class);
    let mut record = with_room(plain);
    cipher.seal(Record::Payload, 0, plain, &[], &mut record).expect("sealed");
    let accepted = open_file(&ring(), class, &[cipher.header(), record.as_slice()].concat()).is_ok();
    let sealed = seal_file(&ring(), class, SESSION, plain).expect("sealed");
    assert_eq!(open_file(&ring(), class, &sealed).as_deref(), Ok(plain), "another payload came back");
    accepted
}

/// 36 bytes of a head and what its body holds, both in good seals.
pub fn block(data: &[u8]) -> bool {
    let (head_plain, body_plain) = data.split_at(data.len().min(36));
    let cipher = cipher(Class::Data);
    let mut sealed = with_room(head_plain);
    cipher.seal(Record::Head, 0, head_plain, &[], &mut sealed).expect("sealed");
    let mut body = with_room(body_plain);
    cipher.seal(Record::Body, 0, body_plain, head_plain, &mut body).expect("sealed");
    sealed.append(&mut body);
    memory::bounded(&sealed, |sealed| open_head(&cipher, sealed)).ok();
    memory::bounded(data, |_| open_trailer(&cipher, &mut sealed.clone())).ok();
    let opened = memory::bounded(data, |_| open_block(&ring(), &cipher, Purpose::Data, &mut sealed));
    let Ok(block) = opened else { return false };
    let total: usize = block.objects().map(|(_, object)| object.len()).sum();
    assert_eq!(total, block.plain.len(), "objects and payload differ");
    assert!(block.objects().all(|(id, object)| ring().object_id(Purpose::Data, object) == id), "a wrong id");
    true
}

/// Objects become a block and come back. The first byte is the setting, the second the length of the objects.
pub fn block_round_trip(data: &[u8]) -> bool {
    let (setting, rest) = first(data);
    let (length, plain) = first(rest);
    let ring = ring();
    let settings = [Compression::None, Compression::Lz4, Compression::AutoZstd(3)];
    let setting = settings.get(usize::from(setting) % settings.len()).copied().unwrap_or_default();
    let entries: Vec<Entry> = plain
        .chunks(usize::from(length) + 1)
        .map(|object| Entry {
            id: ring.object_id(Purpose::Meta, object),
            length: u32::try_from(object.len()).expect("a few bytes"),
        })
        .collect();
    let content = BlockContent { entries: &entries, plain };
    let cipher = cipher(Class::Meta);
    let compressed = compress_block(&content, setting).expect("compressed");
    let expected = compressed.sealed_length();
    let sealed = compressed.seal(&cipher, 7, BlockKind::Objects).expect("sealed");
    let mut bytes = [sealed.head, sealed.body].concat();
    assert_eq!(bytes.len(), expected, "its length was foretold wrongly");
    let again = FileCipher::open(&ring, Class::Meta, cipher.header()).expect("our own header");
    let block = open_block(&ring, &again, Purpose::Meta, &mut bytes).expect("our own block");
    assert!(block.entries == entries && block.plain == plain, "other objects came back");
    true
}

/// The tail of a pack inside a good seal.
pub fn tail(data: &[u8]) -> bool {
    let cipher = cipher(Class::Data);
    let mut record = with_room(data);
    cipher.seal(Record::Tail, u32::MAX, data, &[], &mut record).expect("sealed");
    let Ok(tail) = Tail::open(&cipher, &mut record) else { return false };
    let mut again = tail.seal(&cipher).expect("sealed");
    assert_eq!(Tail::open(&cipher, &mut again), Ok(tail), "another tail came back");
    true
}
