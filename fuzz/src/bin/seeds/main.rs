//! Writes `fuzz/seeds` anew, from the golden repository and with the engine's own encoders: small inputs that take every target
//! into its depth. Run it when a format or a target changes, and commit what it writes.

mod golden;
mod programs;

use std::io;
use std::path::Path;

use vault_engine::codec::Put;
use vault_engine::compress::Codec;
use vault_engine::crypto::{KdfParameters, Purpose, SecretKey};
use vault_engine::error::Result;
use vault_engine::format::block::Entry;
use vault_engine::format::config::{Config, Profile};
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::list::{Extent, List};
use vault_engine::format::manifest::{Manifest, Statistics, encode_warnings};
use vault_engine::format::mark::Mark;
use vault_engine::format::node::encode_xattrs;
use vault_engine::format::pack::{BlockEntry, encode_block_entry};
use vault_engine::format::records::{Event, GcRecord, SessionRecord, Verb};
use vault_engine::format::segment::{IndexedPack, Segment};
use vault_engine::format::slot::{Bundle, Slot, SlotKind};
use vault_engine::format::stamp::{NodeStamp, StampBody, Stamps};
use vault_engine::format::tree::{Tree, TreePart};
use vault_engine::id::{ArchiveId, FileId, ObjectId, PackId};
use vault_engine::meta::{Attributes, Chunking, Content, Node, NodeKind, Owner, Stamp, Timestamp, Xattr};
use vault_engine::process::ProcessId;
use vault_fuzz::decode::{accepts, decoders};
use vault_fuzz::sealed::{KEY_FILE, REPOSITORY, ring};

const TIME: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

fn main() -> io::Result<()> {
    let mut seeds = Seeds::default();
    sealed(&mut seeds).map_err(io::Error::other)?;
    blocks(&mut seeds);
    objects(&mut seeds);
    records(&mut seeds);
    programs::words(&mut seeds);
    programs::programs(&mut seeds);
    golden::golden(&mut seeds).map_err(io::Error::other)?;
    seeds.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds"))
}

#[derive(Default)]
struct Seeds(Vec<(&'static str, String, Vec<u8>)>);

impl Seeds {
    /// As it stands.
    fn add(&mut self, target: &'static str, name: &str, bytes: impl AsRef<[u8]>) {
        self.0.push((target, name.to_owned(), bytes.as_ref().to_vec()));
    }

    /// For a decoder, whose place in its family is the first byte; `name` may go on behind a dot.
    fn decoder(&mut self, family: &'static str, name: &str, bytes: impl AsRef<[u8]>) {
        let decoder = name.split('.').next();
        let place = decoders(family).iter().position(|(known, _)| Some(*known) == decoder);
        let first = place.and_then(|place| u8::try_from(place).ok()).expect("a decoder of this name");
        let seed = [&[first], bytes.as_ref()].concat();
        assert!(accepts(family, &seed), "the decoder of {family} refuses {name}");
        self.add(family, name, seed);
    }

    /// For the decoder of an object, and for whoever counts its references.
    fn object(&mut self, kind: &'static str, name: &str, bytes: &[u8]) {
        self.decoder(kind, name, bytes);
        self.decoder("references", name, bytes);
    }

    /// What was made for the one decoder of a family.
    fn payload(&self, family: &str) -> Vec<u8> {
        let seed = self.0.iter().find(|(target, ..)| *target == family);
        seed.and_then(|(.., seed)| seed.get(1..)).unwrap_or_default().to_vec()
    }

    /// In place of those that were there.
    fn write(self, folder: &Path) -> io::Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        for (target, name, bytes) in self.0 {
            let folder = folder.join(target);
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(name), bytes)?;
        }
        Ok(())
    }
}

fn id(byte: u8) -> ObjectId {
    ObjectId::from_bytes([byte; 32])
}

fn sealed(seeds: &mut Seeds) -> Result<()> {
    let ring = ring();
    let config = Config::create(&ring, REPOSITORY, true, &Profile::default())?;
    seeds.decoder("config", "config", &config.bytes);
    let bundle = Bundle {
        root: SecretKey::new([3; 32]),
        config: config.bytes,
        name: "office".to_owned(),
        created: TIME,
        has_more: false,
    };
    seeds.decoder("slot", "slot.key-file", Slot::create(SlotKind::KeyFile, KEY_FILE, &bundle)?);
    seeds.decoder(
        "slot",
        "slot.passphrase",
        Slot::create(SlotKind::Passphrase(KdfParameters::FLOOR), b"secret", &bundle)?,
    );
    seeds.decoder("header", "file", [&[3], seal_file(&ring, Class::Root, [6; 16], b"payload")?.as_slice()].concat());
    let mut inner = Vec::new();
    inner.put_u16(1);
    inner.put(&[0; 4]);
    inner.put(bundle.root.expose());
    inner.put_blob(&bundle.config);
    inner.put_str(bundle.name.as_bytes());
    inner.put_time(TIME);
    // One field that is not critical.
    inner.put_u32(9);
    inner.put_u16(5);
    inner.put_blob(b"new");
    let mut padded = Vec::new();
    padded.put_blob(&inner);
    padded.put(&[0; 64]);
    seeds.decoder("slot", "bundle", &padded);
    seeds.decoder("header", "payload", [&[2, 7, 0, 0, 0], b"segment".as_slice(), &[0; 24]].concat());
    Ok(())
}

/// Version, sizes, the two rules, no fields: as `Profile::default` is encoded.
fn profile() -> Vec<u8> {
    let profile = Profile::default();
    let mut out = Vec::new();
    out.put_u16(1);
    out.put(&[profile.cdc_log2, profile.page_log2]);
    for size in [profile.smallest_paged, profile.block_bytes, profile.pack_bytes] {
        out.put_u32(size);
    }
    for rule in [profile.tree_split, profile.list_split] {
        out.put_u16(rule.minimum);
        out.put(&[rule.bits, 0]);
        out.put_u16(rule.maximum);
    }
    out.put_u32(0);
    out
}

/// A head of one or more objects in a payload that is stored as it is.
fn head(objects: &[&[u8]], kind: u8) -> Vec<u8> {
    let plain: usize = objects.iter().map(|object| object.len()).sum();
    let directory = objects.len() * 36;
    let body = (directory + plain + 28).next_multiple_of(64);
    let mut out = Vec::new();
    for number in [body, objects.len(), directory, plain, plain, 1] {
        out.put_count(number);
    }
    out.put(&[0, 0, kind]);
    out.put(&[0; 9]);
    out
}

fn directory(objects: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for object in objects {
        out.put(ring().object_id(Purpose::Data, object).as_bytes());
        out.put_count(object.len());
    }
    out
}

fn blocks(seeds: &mut Seeds) {
    let objects: [&[u8]; 3] = [b"first object", b"second", b"and a third one"];
    seeds.decoder("config", "profile", profile());
    seeds.decoder("block", "head", head(&objects, 1));
    seeds.decoder("block", "directory", directory(&objects));
    for (name, objects, kind) in
        [("block", objects.as_slice(), 1), ("block.trailer", &[], 2), ("block.padding", &[], 3)]
    {
        let head = head(objects, kind);
        let mut body = [directory(objects), objects.concat()].concat();
        let length = (body.len() + 28).next_multiple_of(64) - 28;
        body.resize(length, 0);
        seeds.decoder("block", name, [head, body].concat());
    }
    for setting in 0..3 {
        let text = b"objects that repeat, objects that repeat, and more objects that repeat ".repeat(4);
        seeds.decoder("block", &format!("round-trip.{setting}"), [&[setting, 40], text.as_slice()].concat());
    }
    let mut tail = Vec::new();
    for number in [128, 2, 5] {
        tail.put_u32(number);
    }
    tail.put_u64(123_456);
    tail.put(&[9; 16]);
    seeds.decoder("trailer", "tail", &tail);
    seeds.decoder("trailer", "trailer", trailer());
    let segment = Segment {
        writer: [1; 16],
        replaces: vec![FileId::from_bytes([2; 32])],
        packs: [Class::Data, Class::Meta]
            .map(|class| IndexedPack {
                id: PackId::from_bytes([class.number(); 32]),
                size: 4096,
                class,
                trailer: trailer(),
            })
            .to_vec(),
    };
    seeds.decoder("segment", "segment", segment.encode());
}

fn trailer() -> Vec<u8> {
    let mut out = Vec::new();
    for (offset, codec) in [(128, Codec::None), (320, Codec::Zstd), (576, Codec::Lz4)] {
        let entries = vec![Entry { id: id(7), length: 100 }, Entry { id: id(8), length: offset }];
        encode_block_entry(&BlockEntry { offset, body_length: 128, codec, entries }, &mut out);
    }
    out
}

fn node(name: &str, kind: NodeKind) -> Node {
    let owner = |number, name: &str| Owner { number, name: name.as_bytes().into() };
    let attributes = Attributes {
        mode: 0o644,
        owner: owner(0, "root"),
        group: owner(998, "postgres"),
        mtime: TIME,
        file_flags: 0x40,
        xattrs: vec![Xattr { name: b"user.note".to_vec(), value: b"kept".to_vec() }],
    };
    Node { name: name.as_bytes().to_vec(), implied: false, changed: false, missing: false, attributes, kind }
}

fn nodes() -> Vec<(Node, Option<ObjectId>)> {
    let file = |content, link| NodeKind::File { size: 8192, chunking: Chunking::Fixed(13), content, link };
    let empty = NodeKind::File { size: 0, chunking: Chunking::None, content: Content::Empty, link: None };
    let mut long = node("b", file(Content::List(id(2)), Some([4; 16])));
    long.attributes.xattrs.clear();
    let mut bare = node("j", NodeKind::Fifo);
    bare.attributes.xattrs.clear();
    let mut missing = node("d", file(Content::Missing, None));
    missing.missing = true;
    vec![
        (node("a", file(Content::Chunk(id(1)), None)), None),
        (long, Some(id(9))),
        (node("c", empty), None),
        (missing, None),
        (node("e", NodeKind::Directory { tree: id(3) }), None),
        (node("f", NodeKind::Symlink { target: b"../a".to_vec() }), None),
        (node("g", NodeKind::CharDevice { major: 1, minor: 3 }), None),
        (node("h", NodeKind::BlockDevice { major: 8, minor: 0 }), None),
        (bare, None),
    ]
}

fn objects(seeds: &mut Seeds) {
    seeds.object("tree", "tree.leaf", &Tree::Leaf(nodes()).encode());
    let part = |first: &str, byte| TreePart { first: first.as_bytes().to_vec(), entries: 100, id: id(byte) };
    seeds.object("tree", "tree.branch", &Tree::Branch { level: 1, parts: vec![part("a", 1), part("m", 2)] }.encode());
    let extents = vec![
        Extent::Chunk { id: id(1), length: 8192 },
        Extent::Zeros(65_536),
        Extent::Hole(4096),
        Extent::Chunk { id: id(2), length: 7 },
    ];
    seeds.object("list", "list.leaf", &List::Leaf(extents).encode());
    seeds.object("list", "list.branch", &List::Branch { level: 1, parts: vec![(1 << 20, id(1)), (7, id(2))] }.encode());
    let trusted = NodeStamp { stamp: Some(Stamp { inode: 12, ctime: TIME }), directory: None };
    let directory = NodeStamp { stamp: None, directory: Some(id(5)) };
    let neither = NodeStamp { stamp: None, directory: None };
    let leaf = StampBody::Leaf(vec![trusted, directory, neither]);
    seeds.object("stamps", "stamps.leaf", &Stamps { tree: id(3), body: leaf }.encode());
    let branch = StampBody::Branch { level: 2, parts: vec![id(1), id(2)] };
    seeds.object("stamps", "stamps.branch", &Stamps { tree: id(3), body: branch }.encode());
    // Longer than what stands in a node itself.
    let xattr = |name: &str| Xattr { name: name.as_bytes().to_vec(), value: vec![1; 200] };
    seeds.decoder(
        "tree",
        "xattrs",
        encode_xattrs(&[xattr("system.posix_acl_access"), xattr("user.a"), xattr("user.b")]),
    );
}

fn manifest() -> Manifest {
    Manifest {
        root: node("", NodeKind::Directory { tree: id(1) }),
        root_xattrs: None,
        root_stamps: id(2),
        repository: REPOSITORY,
        host: "db1".to_owned(),
        name: "postgres".to_owned(),
        host_id: [3; 16],
        sequence: 12,
        previous: Some(ArchiveId::from_bytes([4; 32])),
        parent: None,
        time: TIME,
        start: TIME,
        end: TIME,
        utc_offset_seconds: -3600,
        user: "root".to_owned(),
        comment: "nightly".to_owned(),
        program: "vault 0.1.0".to_owned(),
        paths: vec![b"/var/lib/postgresql".to_vec(), b"-".to_vec()],
        statistics: Statistics {
            files: 10,
            directories: 2,
            bytes: 1 << 30,
            new_bytes: 9,
            stored_bytes: 8,
            warnings: 1,
        },
        warnings: id(6),
        segments: vec![FileId::from_bytes([7; 32])],
    }
}

fn records(seeds: &mut Seeds) {
    seeds.decoder("manifest", "manifest", manifest().encode());
    seeds.decoder("references", "roots", manifest().encode());
    let warnings = [(b"base/1".to_vec(), "cannot open".to_owned()), (b"base/2".to_vec(), "vanished".to_owned())];
    seeds.decoder("manifest", "warnings", encode_warnings(&warnings));
    let gc = GcRecord {
        packs: vec![PackId::from_bytes([1; 32]), PackId::from_bytes([2; 32])],
        pending: vec![ArchiveId::from_bytes([3; 32])],
        session: [4; 16],
    };
    seeds.decoder("gc", "gc", gc.encode());
    let session = SessionRecord {
        host_id: [1; 16],
        verb: Verb::Create,
        start: TIME,
        time: TIME,
        series: "host/name".to_owned(),
        process: ProcessId { boot: [2; 16], pid: 3, started: 4 },
    };
    seeds.decoder("session", "session", session.encode());
    let archive = ArchiveId::from_bytes([5; 32]);
    let replaces = vec![FileId::from_bytes([1; 32])];
    let event = Event { archive, kind: 2, host_id: [1; 16], time: TIME, replaces, value: b"keep".to_vec() };
    seeds.decoder("event", "event", event.encode());
    for (name, mark) in [("mark.ok", Mark::Ok), ("mark.deleted", Mark::Deleted)] {
        seeds.decoder("mark", name, [archive.as_bytes().as_slice(), &mark.encode(archive)].concat());
    }
}
