//! Blocks whose heads lie, made by somebody who has the keys: bombs, lengths, objects under ids of others.

use vault_engine::codec::Put;
use vault_engine::compress::Compression;
use vault_engine::crypto::Purpose;
use vault_engine::format::block::{BlockContent, BlockKind, Entry, compress_block};
use vault_engine::format::file::{Class, FileCipher, Record};
use vault_engine::format::list::{Extent, List};
use vault_engine::format::pack::{BlockEntry, Tail, encode_block_entry};
use vault_engine::format::segment::{IndexedPack, Segment};
use vault_engine::id::{ObjectId, PackId};
use vault_engine::meta::{Chunking, Content, NodeKind};
use vault_engine::store::{Key, Kind, Store};

use super::{Forger, assert_told, node};
use crate::sample;

const ZSTD: u8 = 1;
const LZ4: u8 = 2;

/// What a forged head says. Its lengths of directory and body are right unless they are given.
#[derive(Clone, Default)]
struct Lie {
    what: &'static str,
    codec: u8,
    payload: Vec<u8>,
    stored: Option<u32>,
    plain: u32,
    count: Option<u32>,
    directory: Option<u32>,
    body: Option<u32>,
    length: u32,
}

/// Seals a pack with one block, and the index segment that names it.
fn put_pack(forger: &Forger, id: ObjectId, lie: &Lie) {
    let ring = forger.repository.ring();
    let cipher = FileCipher::create(ring, Class::Data, [8; 16]).unwrap();
    let entry = Entry { id, length: lie.length };
    let mut body = Vec::new();
    body.put(entry.id.as_bytes());
    body.put_u32(entry.length);
    body.put(&lie.payload);
    body.resize((body.len() + 28).next_multiple_of(64) - 28, 0);
    let mut head = Vec::new();
    head.put_u32(lie.body.unwrap_or(u32::try_from(body.len() + 28).unwrap()));
    head.put_u32(lie.count.unwrap_or(1));
    head.put_u32(lie.directory.unwrap_or(36));
    head.put_u32(lie.stored.unwrap_or(u32::try_from(lie.payload.len()).unwrap()));
    head.put_u32(lie.plain);
    head.put_u32(0);
    head.put(&[lie.codec, 3, 1]);
    head.put(&[0; 9]);
    let mut file = cipher.header().to_vec();
    file.extend(cipher.seal_apart(Record::Head, 0, &head, &[], &head).unwrap());
    file.extend(cipher.seal_apart(Record::Body, 0, &body, &head, &body).unwrap());
    let body_length = u32::try_from(body.len() + 28).unwrap();
    let codec = vault_engine::compress::Codec::from_number(lie.codec).unwrap();
    let mut trailer = Vec::new();
    encode_block_entry(&BlockEntry { offset: 128, body_length, codec, entries: vec![entry] }, &mut trailer);
    let tail = Tail {
        trailer_offset: u32::try_from(file.len()).unwrap(),
        blocks: 1,
        objects: 1,
        plain_bytes: u64::from(lie.length),
        writer: [8; 16],
    };
    let content = BlockContent { entries: &[], plain: &trailer };
    let sealed = compress_block(&content, Compression::None).unwrap().seal(&cipher, 1, BlockKind::Trailer).unwrap();
    file.extend(sealed.head);
    file.extend(sealed.body);
    file.extend(tail.seal(&cipher).unwrap());
    let pack = PackId::from_bytes(*blake3::hash(&file).as_bytes());
    let size = file.len() as u64;
    forger.store.insert_raw(Key::pack(pack), file);
    let pack = IndexedPack { id: pack, size, class: Class::Data, trailer };
    let segment = Segment { writer: [8; 16], replaces: Vec::new(), packs: vec![pack] };
    put_segment(forger, &segment);
}

fn put_segment(forger: &Forger, segment: &Segment) {
    let sealed =
        vault_engine::format::file::seal_file(forger.repository.ring(), Class::Index, [8; 16], &segment.encode());
    let sealed = sealed.unwrap();
    let id = vault_engine::id::FileId::from_bytes(*blake3::hash(&sealed).as_bytes());
    forger.store.put(&Key::file(Kind::Index, id), &sealed).unwrap();
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    vault_engine::compress::compress(Compression::Zstd(3), bytes, &mut out);
    out
}

#[test]
fn no_head_however_it_lies_makes_a_reader_expand_or_return_anything_else() {
    let zeros = vec![0; 64 << 20];
    let bomb = zstd(&zeros);
    let mut lz4_bomb = Vec::new();
    vault_engine::compress::compress(Compression::Lz4, &zeros, &mut lz4_bomb);
    let text = b"twenty bytes of text".to_vec();
    let frame = zstd(&b"many words ".repeat(100));
    let two_frames = [frame.clone(), frame.clone()].concat();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], frame.as_slice()].concat();
    let honest = Lie { payload: text.clone(), plain: 20, length: 20, ..Lie::default() };
    let lies = [
        Lie { what: "64 MiB in 20", codec: ZSTD, payload: bomb.clone(), ..honest.clone() },
        Lie {
            what: "64 MiB in 16",
            codec: ZSTD,
            payload: bomb.clone(),
            plain: 16 << 20,
            length: 16 << 20,
            ..honest.clone()
        },
        Lie { what: "64 MiB", codec: ZSTD, payload: bomb.clone(), plain: 64 << 20, length: 64 << 20, ..honest.clone() },
        Lie { what: "4 GiB", codec: ZSTD, payload: bomb, plain: u32::MAX, length: u32::MAX, ..honest.clone() },
        Lie { what: "lz4 in 20", codec: LZ4, payload: lz4_bomb.clone(), ..honest.clone() },
        Lie {
            what: "lz4 of 4 GiB",
            codec: LZ4,
            payload: lz4_bomb,
            plain: u32::MAX,
            length: u32::MAX,
            ..honest.clone()
        },
        Lie { what: "two frames", codec: ZSTD, payload: two_frames, plain: 2200, length: 2200, ..honest.clone() },
        Lie { what: "a skippable frame", codec: ZSTD, payload: skippable, plain: 1100, length: 1100, ..honest.clone() },
        Lie { what: "no frame", codec: ZSTD, ..honest.clone() },
        Lie { what: "longer than it is", plain: 21, length: 21, ..honest.clone() },
        Lie { what: "shorter than it is", plain: 19, length: 19, ..honest.clone() },
        Lie { what: "the object longer than the payload", length: 21, ..honest.clone() },
        Lie { what: "the object of 4 GiB", length: u32::MAX, ..honest.clone() },
        Lie { what: "the object shorter", length: 0, ..honest.clone() },
        Lie { what: "stored as 4 GiB", stored: Some(u32::MAX), ..honest.clone() },
        Lie { what: "stored as nothing", stored: Some(0), ..honest.clone() },
        Lie { what: "a directory of 4 GiB", directory: Some(u32::MAX), ..honest.clone() },
        Lie { what: "no directory", directory: Some(0), count: Some(0), ..honest.clone() },
        Lie { what: "2^32 objects", count: Some(u32::MAX), ..honest.clone() },
        Lie { what: "objects and directory overflow", count: Some(119_304_648), directory: Some(32), ..honest.clone() },
        Lie { what: "a body of 4 GiB", body: Some(u32::MAX - 63), ..honest.clone() },
        Lie { what: "no body", body: Some(0), ..honest.clone() },
        Lie { what: "bytes of another object", payload: b"twenty bytes, others".to_vec(), ..honest },
    ];
    for lie in lies {
        let mut forger = Forger::new();
        let id = forger.repository.ring().object_id(Purpose::Data, &text);
        put_pack(&forger, id, &lie);
        let list = forger.meta(&List::Leaf(vec![Extent::Chunk { id, length: 20 }, Extent::Hole(1)]).encode());
        let file = |content, size| NodeKind::File { size, chunking: Chunking::None, content, link: None };
        let root = forger
            .leaf(vec![node(b"chunk", file(Content::Chunk(id), 20)), node(b"list", file(Content::List(list), 21))]);
        let archive = forger.archive(root);
        let (report, sandbox, restored) = forger.expose(&archive);
        assert_eq!(restored.unwrap().0.damaged, 2, "{}", lie.what);
        assert_eq!(sample::files(&sandbox.target()).len(), 0, "{}", lie.what);
        assert_told(&report, &archive, lie.what);
    }
}

#[test]
fn an_index_that_names_other_places_misleads_nobody() {
    for (shift, size) in [(64u32, 0i64), (0x7fff_ffc0, 0), (0, 64), (0, -64), (0, i64::MAX / 2)] {
        let forger = Forger::new();
        let key = forger.store.files().into_iter().find(|key| key.kind() == Kind::Index).unwrap();
        let bytes = forger.store.read(&key, 1 << 30).unwrap();
        let payload = vault_engine::format::file::open_file(forger.repository.ring(), Class::Index, &bytes).unwrap();
        let mut segment = Segment::decode(&payload).unwrap();
        for pack in &mut segment.packs {
            pack.size = pack.size.saturating_add_signed(size);
            let mut trailer = Vec::new();
            for mut block in pack.blocks().unwrap() {
                block.offset += shift;
                encode_block_entry(&block, &mut trailer);
            }
            pack.trailer = trailer;
        }
        // Beside the true one, and then alone.
        put_segment(&forger, &segment);
        for _ in 0..2 {
            let report = sample::check_data(&forger.open());
            assert!(!report.findings.is_empty(), "{shift} {size}");
            let sandbox = super::Sandbox::new();
            let (restored, _) = sandbox.restore(&forger.open(), &forger.honest).unwrap();
            let found = sample::files(&sandbox.target());
            assert!(found.values().all(|bytes| bytes == b"an honest file"), "{shift} {size}");
            assert!(!found.is_empty() || restored.damaged > 0, "{shift} {size}");
            forger.store.remove_raw(&key);
        }
    }
}
