//! What the golden repository holds, as inputs: whole files, payloads without their seals, objects without their blocks, and
//! archives as programs that build them.

use std::collections::HashSet;

use vault_engine::codec::Put;
use vault_engine::crypto::{NONCE_LEN, Purpose, SEAL_OVERHEAD};
use vault_engine::error::{Error, Result};
use vault_engine::format::block::{HEAD_LEN, open_head};
use vault_engine::format::file::{Class, FileCipher, HEADER_LEN, Record, open_file};
use vault_engine::format::manifest::Manifest;
use vault_engine::format::references::{ObjectKind, references, roots};
use vault_engine::format::segment::Segment;
use vault_engine::id::{ArchiveId, ObjectId, unhex};
use vault_engine::repository::{Reader, Repository};
use vault_engine::store::{Key, Kind, MemoryStore, Store};
use vault_fuzz::scratch;

use crate::Seeds;

/// Longest object that becomes a seed.
const LONGEST: usize = 4096;
/// Records of a program for the target `repository`: what each is, and its bytes.
type Records<'a> = &'a [(u8, &'a [u8])];

/// What a record of an archive is, if it is a chunk.
const CHUNK: u8 = 0;

/// All of it.
pub(crate) fn golden(seeds: &mut Seeds) -> Result<()> {
    let store = scratch::golden();
    let repository = scratch::open(store.clone())?;
    for (number, (key, bytes)) in store.snapshot().iter().enumerate() {
        let name = format!("golden.{number}");
        match key.kind() {
            // Other keys than those of the targets: it is read, and does not open.
            Kind::Config => seeds.add("config", &name, [&[0], bytes.as_ref()].concat()),
            Kind::Keys => seeds.decoder("slot", &format!("slot.{name}"), bytes),
            Kind::Index => segment(seeds, &repository, &name, bytes)?,
            Kind::Archives if key.name().len() == 64 => manifest(seeds, &repository, &name, bytes)?,
            Kind::Archives => mark(seeds, key, &name, bytes),
            Kind::Packs => block(seeds, &repository, &name, bytes)?,
            Kind::Events | Kind::Gc | Kind::Sessions | Kind::Quarantine => {}
        }
    }
    objects(seeds, &repository)?;
    repository_programs(seeds, &repository, &store)
}

fn damaged(what: &'static str) -> impl Fn(vault_engine::format::FormatError) -> Error {
    move |error| Error::Damaged { file: what.to_owned(), problem: error.to_string() }
}

fn payload(repository: &Repository, class: Class, bytes: &[u8]) -> Result<Vec<u8>> {
    open_file(repository.ring(), class, bytes).map_err(damaged("a golden file"))
}

fn segment(seeds: &mut Seeds, repository: &Repository, name: &str, bytes: &[u8]) -> Result<()> {
    let payload = payload(repository, Class::Index, bytes)?;
    seeds.decoder("segment", &format!("segment.{name}"), &payload);
    let segment = Segment::decode(&payload).map_err(|error| damaged("a golden segment")(error.into()))?;
    for (number, pack) in segment.packs.iter().enumerate() {
        seeds.decoder("trailer", &format!("trailer.{name}.{number}"), &pack.trailer);
    }
    Ok(())
}

fn manifest(seeds: &mut Seeds, repository: &Repository, name: &str, bytes: &[u8]) -> Result<()> {
    let payload = payload(repository, Class::Root, bytes)?;
    seeds.decoder("manifest", &format!("manifest.{name}"), &payload);
    seeds.decoder("references", &format!("roots.{name}"), &payload);
    Ok(())
}

fn mark(seeds: &mut Seeds, key: &Key, name: &str, bytes: &[u8]) {
    let id = key.name().get(..64).and_then(unhex).map(ArchiveId::from_bytes).unwrap_or_default();
    seeds.decoder("mark", &format!("mark.{name}"), [id.as_bytes().as_slice(), bytes].concat());
}

/// Head and body of a pack's first block.
fn block(seeds: &mut Seeds, repository: &Repository, name: &str, bytes: &[u8]) -> Result<()> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(()) };
    let ring = repository.ring();
    let Some(cipher) = [Class::Data, Class::Meta].iter().find_map(|class| FileCipher::open(ring, *class, header).ok())
    else {
        return Ok(());
    };
    let (head, plain) = open_head(&cipher, rest).map_err(damaged("a golden block"))?;
    let end = HEAD_LEN + head.body_length as usize;
    let mut body = rest.get(HEAD_LEN..end).unwrap_or_default().to_vec();
    cipher.unseal(Record::Body, &plain, &mut body).map_err(damaged("a golden block"))?;
    let opened = body.get(NONCE_LEN..body.len() - (SEAL_OVERHEAD - NONCE_LEN)).unwrap_or_default();
    seeds.decoder("block", &format!("head.{name}"), &plain);
    if opened.len() <= LONGEST {
        // Its ids are those of other keys.
        seeds.add("block", &format!("block.{name}"), [&[0], plain.as_slice(), opened].concat());
    }
    Ok(())
}

/// An object, and what refers to it.
struct Found {
    kind: ObjectKind,
    bytes: Vec<u8>,
}

/// Every object that the archives refer to, what is referred to before what refers.
fn found(repository: &Repository) -> Result<Vec<Found>> {
    let reader = Reader::new(repository, repository.load_index()?.into());
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for archive in repository.archives(&mut |_, _| ())? {
        for (kind, id) in roots(&archive.manifest) {
            visit(&reader, kind, id, &mut seen, &mut found)?;
        }
    }
    Ok(found)
}

fn visit(
    reader: &Reader<'_>,
    kind: ObjectKind,
    id: ObjectId,
    seen: &mut HashSet<ObjectId>,
    found: &mut Vec<Found>,
) -> Result<()> {
    if !seen.insert(id) {
        return Ok(());
    }
    let bytes = reader.object(kind.purpose(), &id)?;
    let mut below = Vec::new();
    references(kind, &bytes, &mut |kind, id| below.push((kind, id)))
        .map_err(|error| damaged("a golden object")(error.into()))?;
    for (kind, id) in below {
        visit(reader, kind, id, seen, found)?;
    }
    found.push(Found { kind, bytes });
    Ok(())
}

fn objects(seeds: &mut Seeds, repository: &Repository) -> Result<()> {
    let (mut program, mut chunks) = (Vec::new(), 0);
    for (number, object) in found(repository)?.iter().enumerate() {
        let bytes = &object.bytes;
        let seed = |name: &str| format!("{name}.golden.{number}");
        let part = match object.kind {
            ObjectKind::Tree => {
                seeds.object("tree", &seed("tree"), bytes);
                Some(2)
            }
            ObjectKind::List => {
                seeds.object("list", &seed("list"), bytes);
                Some(1)
            }
            ObjectKind::Stamps => {
                seeds.object("stamps", &seed("stamps"), bytes);
                None
            }
            ObjectKind::Leaf(Purpose::Meta) => {
                seeds.decoder("tree", &seed("xattrs"), bytes);
                Some(3)
            }
            ObjectKind::Leaf(Purpose::Data) => Some(CHUNK),
        };
        // No stamps: a restore needs none. A few chunks are enough.
        if let Some(kind) = part
            && object.bytes.len() <= LONGEST
            && (kind != CHUNK || chunks < 3)
        {
            chunks += usize::from(kind == CHUNK);
            record(&mut program, kind, &object.bytes);
        }
    }
    for how in [0, 4, 8 + 32, 16 + 64, 1 + 32] {
        seeds.add("archive", &format!("golden.{how}"), [&[how], program.as_slice()].concat());
    }
    Ok(())
}

fn record(program: &mut Vec<u8>, what: u8, bytes: &[u8]) {
    program.put_u8(what);
    program.put_u16(u16::try_from(bytes.len()).expect("a short object"));
    program.put(bytes);
}

/// Records such as those that are there, put once more, and what deletes and damages.
fn repository_programs(seeds: &mut Seeds, repository: &Repository, store: &MemoryStore) -> Result<()> {
    let read = |kind: Kind, class: Class| -> Result<Vec<u8>> {
        let listed = store.list(kind)?;
        let file = listed.iter().find(|file| file.name.len() == 64).expect("a golden file");
        payload(repository, class, &store.read(&Key::listed(kind, file.name.clone()), 1 << 20)?)
    };
    let manifest = read(Kind::Archives, Class::Root)?;
    let mut segment = read(Kind::Index, Class::Index)?;
    // The first pack is to stand for the first of those that exist.
    if let Some(id) = segment.get_mut(20 + 4..20 + 4 + 2) {
        id.fill(0);
    }
    let mut archive = Manifest::decode(&manifest).map_err(|error| damaged("a golden manifest")(error.into()))?;
    archive.sequence = 2;
    let small = |family: &str| seeds.payload(family);
    let (event, gc, session) = (small("event"), small("gc"), small("session"));
    let parts: [(&str, Records<'_>); 6] = [
        ("segment", &[(0, &segment)]),
        ("manifest", &[(1, &archive.encode()), (2, &manifest)]),
        ("records", &[(3, &event), (4, &gc), (5, &session), (6, &[0])]),
        ("damage", &[(7, &[6, 200, 0, 0]), (7, &[8, 7, 1, 9]), (7, &[9, 90, 0, 200])]),
        ("removed", &[(8, &[5]), (8, &[7])]),
        ("raw", &[(9, &[4, b'x', b'.', b'o', b'k']), (9, &[6, b'g', b'c'])]),
    ];
    for (name, records) in parts {
        let mut program = vec![7];
        for (what, bytes) in records {
            record(&mut program, *what, bytes);
        }
        seeds.add("repository", name, program);
    }
    Ok(())
}
