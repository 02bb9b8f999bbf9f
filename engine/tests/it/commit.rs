//! The commit of an archive against everything that can happen while it runs (docs/gc.md).

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vault_engine::error::{Error, StoreErrorKind};
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::records::GcRecord;
use vault_engine::id::{ArchiveId, FileId, PackId};
use vault_engine::ops::archives;
use vault_engine::repository::Repository;
use vault_engine::store::{Key, Kind, MemoryStore, Operation, Store, Verb};

use crate::sample::{self, noise};

mod faults;
mod hook;
mod lost;
mod order;
mod races;

pub(crate) use hook::Hooked;

/// A small source: nested directories, small files, one of several chunks, two alike.
struct Source {
    _folder: TempDir,
    path: PathBuf,
}

impl Source {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("source");
        fs::create_dir_all(path.join("inner/deep")).unwrap();
        fs::write(path.join("large"), noise(1, 5_000_000)).unwrap();
        fs::write(path.join("inner/text"), "words and words ".repeat(1000)).unwrap();
        for number in 0..20 {
            fs::write(path.join(format!("inner/deep/{number}")), noise(100 + number, 2000)).unwrap();
        }
        fs::write(path.join("inner/same"), noise(100, 2000)).unwrap();
        Self { _folder: folder, path }
    }

    /// Another night: one file more, one changed.
    fn change(&self, night: u64) {
        fs::write(self.path.join(format!("inner/night {night}")), noise(1000 + night, 30_000)).unwrap();
        fs::write(self.path.join("inner/text"), format!("other words {night} ").repeat(900)).unwrap();
    }
}

fn packs(store: &MemoryStore) -> Vec<PackId> {
    let listed = store.list(Kind::Packs).unwrap();
    listed.iter().map(|file| PackId::from_hex(&file.name).unwrap()).collect()
}

/// Archives that count.
fn counting(store: &MemoryStore) -> Vec<ArchiveId> {
    let repository = sample::open(store.clone());
    archives::list(&repository, &vault_engine::progress::Silent).unwrap().iter().map(|archive| archive.id).collect()
}

/// Puts a gc record, as a compaction would.
fn condemn(repository: &Repository, store: &dyn Store, packs: Vec<PackId>, pending: Vec<ArchiveId>) {
    let payload = GcRecord { packs, pending, session: [2; 16] }.encode();
    let bytes = seal_file(repository.ring(), Class::Gc, [2; 16], &payload).unwrap();
    let name = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
    store.put(&Key::file(Kind::Gc, name), &bytes).unwrap();
}

/// Every archive that counts restores to the files that its source had.
#[track_caller]
fn assert_restores(store: &MemoryStore, id: ArchiveId, source: &Source, expected: &Files) {
    let repository = sample::open(store.clone());
    let archive = archives::list(&repository, &vault_engine::progress::Silent)
        .unwrap()
        .into_iter()
        .find(|archive| archive.id == id)
        .expect("it counts");
    let target = TempDir::new().unwrap();
    let (restored, heard) = sample::try_restore(&repository, &archive, target.path()).unwrap();
    assert_eq!((restored.warnings, restored.damaged), (0, 0), "{:?}", heard.warnings());
    assert!(sample::files(&sample::inside(target.path(), &source.path)) == *expected, "other files than were archived");
}

type Files = std::collections::BTreeMap<PathBuf, Vec<u8>>;
