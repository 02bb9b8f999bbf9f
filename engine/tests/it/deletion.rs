//! Deleting, protecting, pruning and bringing back, and what others do meanwhile (docs/gc.md).

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tempfile::TempDir;
use vault_engine::error::{ArchiveProblem, Error, Result};
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::records::{Event, GcRecord};
use vault_engine::id::{ArchiveId, FileId, PackId};
use vault_engine::meta::Timestamp;
use vault_engine::ops::archives::{self, Selector, Wanted};
use vault_engine::ops::create::{CreateOptions, create};
use vault_engine::ops::delete::{DeleteOptions, Deleted, delete};
use vault_engine::ops::protect::{protect, unprotect};
use vault_engine::ops::prune::{Count, Fate, Oldest, Period, PruneOptions, PruneReport, Rules, prune};
use vault_engine::ops::undelete::{Undeleted, undelete};
use vault_engine::pattern::Glob;
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, Repository};
use vault_engine::store::{Key, Kind, MemoryStore, Store};

use crate::commit::Hooked;
use crate::sample::{self, Heard};

mod deleting;
mod pruning;
mod undeleting;

pub(crate) use pruning::keep_last;
use pruning::try_prune;

/// Noon of the day before 2027-01-01, that many days back.
fn noon(days_before: i64) -> Timestamp {
    Timestamp { seconds: 1_798_718_400 - days_before * 86_400, nanoseconds: 0 }
}

/// Archives a source as of a day.
fn night(repository: &Repository, host: &str, name: &str, source: &Path, days_before: i64) -> Archive {
    let options = CreateOptions {
        host: host.to_owned(),
        name: name.to_owned(),
        time: Some(noon(days_before)),
        ..sample::options(&[source])
    };
    create(repository, &options, None, &Silent).unwrap().archive.unwrap()
}

/// A repository with nights of `host/sample`, the oldest first, each with a file of its own.
fn nights(count: i64) -> (TempDir, MemoryStore, Vec<Archive>) {
    let (source, store) = (TempDir::new().unwrap(), sample::memory());
    let repository = sample::open(store.clone());
    let archives = (0..count).rev().map(|day| {
        std::fs::write(source.path().join("night"), sample::noise(day.unsigned_abs(), 30_000)).unwrap();
        night(&repository, "host", "sample", source.path(), day)
    });
    let archives = archives.collect();
    (source, store, archives)
}

fn by_id(archive: &Archive) -> Wanted {
    let digits = archive.id.to_hex();
    Wanted { text: format!("aid:{digits}"), selector: Selector::Id(digits) }
}

fn by_name(name: &str, back: usize) -> Wanted {
    let selector = Selector::Series { host: None, name: name.to_owned(), back };
    Wanted { text: format!("{name}~{back}"), selector }
}

fn ids(archives: &[Archive]) -> Vec<ArchiveId> {
    archives.iter().map(|archive| archive.id).collect()
}

fn counting(repository: &Repository) -> Vec<ArchiveId> {
    ids(&archives::list(repository, &Silent).unwrap())
}

fn try_delete(repository: &Repository, archives: &[Wanted]) -> Result<Vec<Deleted>> {
    delete(repository, &DeleteOptions { archives: archives.to_vec(), ..DeleteOptions::default() }, &Silent)
}

/// Puts a gc record, as a compaction would.
fn condemn(repository: &Repository, store: &dyn Store, packs: Vec<PackId>, pending: Vec<ArchiveId>) {
    let payload = GcRecord { packs, pending, session: [2; 16] }.encode();
    put_sealed(repository, store, Kind::Gc, Class::Gc, &payload);
}

fn put_sealed(repository: &Repository, store: &dyn Store, kind: Kind, class: Class, payload: &[u8]) -> FileId {
    let bytes = seal_file(repository.ring(), class, [2; 16], payload).unwrap();
    let name = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
    store.put(&Key::file(kind, name), &bytes).unwrap();
    name
}

/// A protection as another host would put it.
fn put_protection(repository: &Repository, store: &dyn Store, archive: ArchiveId) {
    let event =
        Event { archive, kind: 1, host_id: [7; 16], time: Timestamp::default(), replaces: Vec::new(), value: vec![1] };
    put_sealed(repository, store, Kind::Events, Class::Event, &event.encode());
}

fn is_deleted_mark(key: &Key) -> bool {
    key.kind() == Kind::Archives && key.name().split_once('.').is_some_and(|(_, mark)| mark == "del")
}
