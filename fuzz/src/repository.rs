//! A repository with files in it that were sealed with the right keys by somebody who means ill, or that are damaged: every
//! verb ends with a result or an error.

use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::manifest::Manifest;
use vault_engine::format::mark::Mark;
use vault_engine::format::records::{Event, GcRecord};
use vault_engine::format::segment::Segment;
use vault_engine::id::{ArchiveId, FileId, PackId};
use vault_engine::ops::archives;
use vault_engine::ops::check::{CheckOptions, check};
use vault_engine::ops::compact::{CompactOptions, compact};
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{Key, Kind, MemoryStore, Store};

use crate::first;
use crate::scratch::{golden, open};

const SESSION: [u8; 16] = [9; 16];
const MOST_RECORDS: usize = 24;

/// Records one after another: a byte that says what it is, two for its length, and its bytes.
pub(crate) fn records(program: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = program;
    std::iter::from_fn(move || {
        let ([what, low, high], behind) = rest.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (bytes, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        Some((*what, bytes))
    })
    .take(MOST_RECORDS)
}

/// The golden repository, records added to it, and then all that reads or compacts.
pub fn run(data: &[u8]) {
    let (how, program) = first(data);
    let store = golden();
    let hostile = Hostile::new(store.clone());
    for (what, bytes) in records(program) {
        hostile.put(what, bytes);
    }
    drop(hostile);
    let Ok(repository) = open(store.clone()) else { return };
    repository.load_index().ok();
    for archive in archives::list(&repository, &Silent).unwrap_or_default().iter().take(8) {
        archives::entries(&repository, archive, &mut |_, _| Ok(())).ok();
        archives::warnings(&repository, archive).ok();
    }
    archives::list_deleted(&repository, &Silent).ok();
    archives::facts(&repository, &Silent).ok();
    check(&repository, CheckOptions { read_data: how & 1 != 0, jobs: Some(1) }, &Silent).ok();
    if how & 2 != 0 {
        let grace = std::time::Duration::from_secs(u64::from(how & 4) << 20);
        let options = CompactOptions { threshold: 0, grace, jobs: Some(1), ..CompactOptions::default() };
        compact(&repository, &options, &Silent).ok();
        check(&repository, CheckOptions { read_data: true, jobs: Some(1) }, &Silent).ok();
    }
}

/// Adds to a repository what its own writers would not.
struct Hostile {
    repository: Repository,
    store: MemoryStore,
    packs: Vec<(PackId, u64)>,
    archives: Vec<(ArchiveId, Manifest)>,
}

impl Hostile {
    fn new(store: MemoryStore) -> Self {
        let repository = open(store.clone()).expect("the golden repository");
        let archives = archives::list(&repository, &Silent).expect("the golden archives");
        let archives = archives.into_iter().map(|archive| (archive.id, archive.manifest)).collect();
        let listed = store.list(Kind::Packs).expect("the golden packs");
        let packs = listed.into_iter().filter_map(|pack| Some((PackId::from_bytes(id_of(&pack.name)?), pack.size)));
        let packs = packs.collect();
        Self { repository, store, packs, archives }
    }

    fn put(&self, what: u8, bytes: &[u8]) {
        match what % 10 {
            0 => self.seal(Kind::Index, Class::Index, &self.segment(bytes)),
            1 | 2 => self.manifest(bytes, what % 10 == 1),
            3 => self.seal(Kind::Events, Class::Event, &self.event(bytes)),
            4 => self.seal(Kind::Gc, Class::Gc, &self.gc(bytes)),
            5 => self.session(bytes),
            6 => self.mark(bytes),
            7 => self.damage(bytes),
            8 => drop(self.file(bytes).map(|key| self.store.remove_raw(&key))),
            _ => self.raw(bytes),
        }
    }

    fn seal(&self, kind: Kind, class: Class, payload: &[u8]) {
        let file = seal_file(self.repository.ring(), class, SESSION, payload).expect("sealed");
        let id = FileId::from_bytes(*blake3::hash(&file).as_bytes());
        self.store.insert_raw(Key::file(kind, id), file);
    }

    /// Names that stand for something that exists: chance would never find one.
    fn pack(&self, id: PackId) -> Option<(PackId, u64)> {
        let [first, second, ..] = *id.as_bytes();
        (first & 1 == 0).then(|| self.packs.get(usize::from(second) % self.packs.len().max(1)).copied()).flatten()
    }

    fn archive(&self, id: ArchiveId) -> Option<ArchiveId> {
        let [first, second, ..] = *id.as_bytes();
        let known = || self.archives.get(usize::from(second) % self.archives.len().max(1)).map(|(id, _)| *id);
        (first & 1 == 0).then(known).flatten()
    }

    fn segment(&self, bytes: &[u8]) -> Vec<u8> {
        let Ok(mut segment) = Segment::decode(bytes) else { return bytes.to_vec() };
        for pack in &mut segment.packs {
            if let Some((id, size)) = self.pack(pack.id) {
                (pack.id, pack.size) = (id, size);
            }
        }
        segment.encode()
    }

    fn gc(&self, bytes: &[u8]) -> Vec<u8> {
        let Ok(mut record) = GcRecord::decode(bytes) else { return bytes.to_vec() };
        for pack in &mut record.packs {
            *pack = self.pack(*pack).map_or(*pack, |(id, _)| id);
        }
        for archive in &mut record.pending {
            *archive = self.archive(*archive).unwrap_or(*archive);
        }
        record.encode()
    }

    fn event(&self, bytes: &[u8]) -> Vec<u8> {
        let Ok(mut event) = Event::decode(bytes) else { return bytes.to_vec() };
        event.archive = self.archive(event.archive).unwrap_or(event.archive);
        event.encode()
    }

    fn manifest(&self, bytes: &[u8], counts: bool) {
        let payload = match (Manifest::decode(bytes), self.archives.first()) {
            (Ok(mut manifest), Some((_, golden))) => {
                manifest.repository = golden.repository;
                if manifest.sequence & 1 == 0 {
                    manifest.root.kind.clone_from(&golden.root.kind);
                    manifest.root_stamps = golden.root_stamps;
                }
                manifest.encode()
            }
            _ => bytes.to_vec(),
        };
        put_manifest(&self.repository, &self.store, &payload, counts);
    }

    fn session(&self, bytes: &[u8]) {
        let (number, payload) = first(bytes);
        let file = seal_file(self.repository.ring(), Class::Session, SESSION, payload).expect("sealed");
        self.store.insert_raw(Key::session(&SESSION, u64::from(number)), file);
    }

    fn mark(&self, bytes: &[u8]) {
        let (which, rest) = first(bytes);
        let Some((id, _)) = self.archives.get(usize::from(which / 2) % self.archives.len().max(1)) else { return };
        let (key, mark) =
            if which & 1 == 0 { (Key::deleted_mark(*id), Mark::Deleted) } else { (Key::ok_mark(*id), Mark::Ok) };
        let bytes = if rest.is_empty() { mark.encode(*id) } else { rest.to_vec() };
        self.store.insert_raw(key, bytes);
    }

    /// One of the files that are there.
    fn file(&self, bytes: &[u8]) -> Option<Key> {
        let files = self.store.files();
        files.get(usize::from(*bytes.first()?) % files.len().max(1)).cloned()
    }

    /// Changes a bit, or cuts the file there; a file that is named by its bytes then has another name.
    fn damage(&self, bytes: &[u8]) {
        let (Some(key), &[_, low, high, how, ..]) = (self.file(bytes), bytes) else { return };
        let at = usize::from(u16::from_le_bytes([low, high]));
        self.store.corrupt(&key, |file| {
            let length = file.len().max(1);
            if how >= 128 {
                file.truncate(at % length);
            } else if let Some(byte) = file.get_mut(at % length) {
                *byte ^= 1 << (how % 8);
            }
        });
        if how % 16 >= 8
            && key.name().len() == 64
            && let Some(file) = self.store.remove_raw(&key)
        {
            let id = FileId::from_bytes(*blake3::hash(&file).as_bytes());
            self.store.insert_raw(Key::file(key.kind(), id), file);
        }
    }

    /// Any bytes under any name.
    fn raw(&self, bytes: &[u8]) {
        let (kind, bytes) = first(bytes);
        let kind = Kind::ALL.get(usize::from(kind) % Kind::ALL.len()).copied().unwrap_or(Kind::Packs);
        let (name, bytes) = bytes.split_at(bytes.len().min(8));
        let name = String::from_utf8_lossy(name).into_owned();
        if kind == Kind::Config {
            return;
        }
        self.store.insert_raw(Key::listed(kind, name), bytes);
    }
}

pub(crate) fn put_manifest(repository: &Repository, store: &MemoryStore, payload: &[u8], counts: bool) {
    let file = seal_file(repository.ring(), Class::Root, SESSION, payload).expect("sealed");
    let id = ArchiveId::from_bytes(*blake3::hash(&file).as_bytes());
    store.insert_raw(Key::archive(id), file);
    if counts {
        store.insert_raw(Key::ok_mark(id), Mark::Ok.encode(id));
    }
}

fn id_of(name: &str) -> Option<[u8; 32]> {
    vault_engine::id::unhex(name)
}
