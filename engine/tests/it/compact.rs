//! Compaction through the engine: what it frees, what it must not.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use vault_engine::format::mark::Mark;
use vault_engine::id::ArchiveId;
use vault_engine::ops::compact::{CompactOptions, CompactReport, compact};
use vault_engine::ops::create::Created;
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{Key, Kind, MemoryStore, Store};

use crate::sample::{self, noise};

/// A source of twenty small files and a large one, on its way through some nights.
struct Nights {
    folder: TempDir,
    store: MemoryStore,
    cache: TempDir,
}

const AT_ONCE: CompactOptions = CompactOptions {
    threshold: 10,
    max_repack: None,
    max_duration: None,
    grace: Duration::ZERO,
    dry_run: false,
    jobs: Some(2),
};

impl Nights {
    fn new() -> Self {
        let nights = Self { folder: TempDir::new().unwrap(), store: sample::memory(), cache: TempDir::new().unwrap() };
        fs::create_dir(nights.source()).unwrap();
        fs::write(nights.source().join("large"), noise(1, 3_000_000)).unwrap();
        for number in 0..20 {
            fs::write(nights.source().join(format!("small {number}")), noise(100 + number, 20_000)).unwrap();
        }
        nights
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn repository(&self) -> Repository {
        sample::try_open(self.store.clone(), Some(self.cache.path())).unwrap()
    }

    /// One night: some files change, then an archive.
    fn night(&self, number: u64) -> Created {
        for changed in 0..5 {
            let name = format!("small {}", (number * 5 + changed) % 20);
            fs::write(self.source().join(name), noise(number * 1000 + changed, 20_000)).unwrap();
        }
        sample::archive(&self.repository(), &self.source())
    }

    fn delete(&self, id: ArchiveId) {
        self.store.put(&Key::deleted_mark(id), &Mark::Deleted.encode(id)).unwrap();
    }

    fn compact(&self) -> CompactReport {
        compact(&self.repository(), &AT_ONCE, &Silent).unwrap()
    }

    fn count(&self, kind: Kind) -> usize {
        self.store.list(kind).unwrap().len()
    }

    fn bytes(&self) -> u64 {
        self.store.list(Kind::Packs).unwrap().iter().map(|file| file.size).sum()
    }
}

fn id(created: &Created) -> ArchiveId {
    created.archive.as_ref().unwrap().id
}

#[test]
fn what_only_deleted_archives_needed_is_freed() {
    let nights = Nights::new();
    let first = nights.night(1);
    fs::write(nights.source().join("large"), noise(2, 3_000_000)).unwrap();
    let second = nights.night(2);
    let before = nights.bytes();
    nights.delete(id(&first));
    let report = nights.compact();
    eprintln!("{report:?}");
    assert_eq!(report.purged, 1);
    assert!(nights.bytes() < before / 2 + 300_000, "{} of {before}", nights.bytes());
    let target = TempDir::new().unwrap();
    let restored = sample::restore_all(&nights.repository(), &second, &nights.source(), target.path());
    assert_eq!(sample::files(&restored), sample::files(&nights.source()));
    let again = nights.compact();
    eprintln!("{again:?}");
    assert_eq!(again.freed_bytes, 0);
    assert_eq!(nights.count(Kind::Archives), 2);
}
