//! Change detection (I-R6): what is unchanged is not read, and whatever has changed is.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use tempfile::TempDir;
use vault_engine::ops::create::{Created, FilesCache, create};
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{MemoryStore, Store};

use crate::sample::{self, Heard, noise};
use crate::support;

mod mapped;
mod racing;

/// A source whose files are old enough to be believed, and the repository that it is archived in.
struct Nights {
    folder: TempDir,
    source: PathBuf,
    store: MemoryStore,
    repository: Repository,
}

impl Nights {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        let store = sample::memory();
        let repository = sample::open(store.clone());
        Self { folder, source, store, repository }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.source.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Files are believed once the clock of the file system has gone on: creates a file again and again until it has, twice.
    fn settle(&self) {
        let probe = self.folder.path().join("probe");
        let now = || {
            fs::write(&probe, "tick").unwrap();
            fs::metadata(&probe).unwrap().modified().unwrap()
        };
        let begin = now();
        let passed = |time: std::time::SystemTime| time.duration_since(begin).unwrap_or_default();
        while passed(now()) < std::time::Duration::from_millis(60) {}
    }

    fn night(&self, cache: FilesCache) -> (Created, Heard) {
        let heard = Heard::default();
        let options =
            vault_engine::ops::create::CreateOptions { files_cache: cache, ..sample::options(&[&self.source]) };
        let created = create(&self.repository, &options, None, &heard).unwrap();
        (created, heard)
    }

    fn size(&self) -> u64 {
        self.store.snapshot().values().map(|file| file.len() as u64).sum()
    }

    /// The newest archive holds what the source holds.
    #[track_caller]
    fn assert_same(&self, created: &Created) {
        let target = TempDir::new().unwrap();
        let restored = sample::restore_all(&self.repository, created, &self.source, target.path());
        assert!(sample::files(&restored) == sample::files(&self.source), "other files than in the source");
    }

    /// Whether files of this file system are ever believed.
    fn believes(&self, test: &str) -> bool {
        const IN_MEMORY: i64 = 0x0102_1994;
        let kind = rustix::fs::statfs(&self.source).unwrap().f_type;
        if i128::from(kind) == i128::from(IN_MEMORY) {
            support::skip_unavailable(
                test,
                "the temporary folder is in memory, where nothing is believed to be unchanged",
            );
        }
        i128::from(kind) != i128::from(IN_MEMORY)
    }
}

/// Sets the time of modification, which moves the time of status change to now.
fn set_mtime(path: &PathBuf, time: std::time::SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_second_night_of_an_unchanged_tree_reads_nothing_and_stores_next_to_nothing() {
    let nights = Nights::new();
    if !nights.believes("a_second_night_of_an_unchanged_tree_reads_nothing_and_stores_next_to_nothing") {
        return;
    }
    for number in 0..1500 {
        let folder = nights.path(&format!("{}", number % 30));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), noise(number, 700)).unwrap();
    }
    nights.write("large", &noise(1, 9_000_000));
    nights.settle();
    let (first, _) = nights.night(FilesCache::default());
    assert_eq!((first.unchanged_files, first.statistics.files), (0, 1501));
    let content = 1500 * 700 + 9_000_000;
    let counted = first.statistics.new_bytes;
    assert!((content..content + 500_000).contains(&counted), "{counted} bytes are new, {content} of them content");
    let before = nights.size();
    let (second, heard) = nights.night(FilesCache::default());
    assert_eq!(second.unchanged_files, second.statistics.files);
    assert_eq!((heard.count('A'), heard.count('M')), (0, 0), "nothing was read");
    assert_eq!(second.statistics.new_bytes, 0, "nothing is new");
    assert_eq!(second.root_tree, first.root_tree);
    let grown = nights.size() - before;
    assert!(grown < 16_384, "an unchanged tree cost {grown} bytes");
    nights.assert_same(&second);
}

#[test]
fn one_changed_file_among_twenty_thousand_costs_little() {
    let nights = Nights::new();
    for number in 0..20_000 {
        nights.write(&format!("a file with quite a long name, number {number}"), b"");
    }
    nights.settle();
    nights.night(FilesCache::default());
    nights.night(FilesCache::default());
    let before = nights.size();
    nights.write("a file with quite a long name, number 12345", b"no longer empty");
    nights.settle();
    let (created, _) = nights.night(FilesCache::default());
    let grown = nights.size() - before;
    assert!(grown < 200_000, "a changed file cost {grown} bytes");
    assert_eq!(created.statistics.bytes, 15);
}

#[test]
fn every_way_to_change_a_file_is_noticed() {
    let nights = Nights::new();
    for name in ["in place", "longer", "shorter", "replaced", "renamed", "mode"] {
        nights.write(name, &noise(name.len() as u64, 40_000));
    }
    nights.settle();
    nights.night(FilesCache::default());
    let old = fs::metadata(nights.path("in place")).unwrap().modified().unwrap();
    // The same size, and by utimes the same time of modification: only the time of status change tells.
    File::options().write(true).open(nights.path("in place")).unwrap().write_all_at(b"other", 20_000).unwrap();
    set_mtime(&nights.path("in place"), old);
    let longer = File::options().append(true).open(nights.path("longer")).unwrap();
    longer.write_all_at(b"more", 40_000).unwrap();
    File::options().write(true).open(nights.path("shorter")).unwrap().set_len(20_000).unwrap();
    nights.write("beside", &noise(77, 40_000));
    set_mtime(&nights.path("beside"), old);
    fs::rename(nights.path("beside"), nights.path("replaced")).unwrap();
    fs::rename(nights.path("renamed"), nights.path("renamed, new")).unwrap();
    fs::set_permissions(nights.path("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    nights.settle();
    let (second, heard) = nights.night(FilesCache::default());
    assert_eq!(second.unchanged_files, 0);
    assert_eq!((heard.count('M'), heard.count('A')), (5, 1));
    nights.assert_same(&second);
    let entries = sample::entries(&nights.repository, second.archive.as_ref().unwrap(), &nights.source);
    assert_eq!(entries[b"mode".as_slice()].attributes.mode, 0o600);
    // Renaming and changing modes stores no content again: new are four files, or less where they share chunks.
    assert!(second.statistics.new_bytes < 4 * 40_000 + 10_000, "{} bytes are new", second.statistics.new_bytes);
}

#[test]
fn a_changed_mode_stores_no_content() {
    let nights = Nights::new();
    nights.write("file", &noise(1, 3_000_000));
    nights.settle();
    nights.night(FilesCache::default());
    fs::set_permissions(nights.path("file"), fs::Permissions::from_mode(0o640)).unwrap();
    nights.settle();
    let (second, _) = nights.night(FilesCache::default());
    assert!(second.statistics.new_bytes < 5_000, "{} bytes are new", second.statistics.new_bytes);
}

#[test]
fn the_modes_of_the_files_cache_believe_what_they_say() {
    let nights = Nights::new();
    if !nights.believes("the_modes_of_the_files_cache_believe_what_they_say") {
        return;
    }
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let touch = |content: &[u8]| {
        nights.write("file", content);
        set_mtime(&nights.path("file"), old);
        nights.settle();
    };
    touch(b"first");
    nights.night(FilesCache::default());
    for (cache, unchanged) in [
        (FilesCache::CtimeSizeInode, 1),
        (FilesCache::CtimeSize, 1),
        (FilesCache::MtimeSize, 1),
        (FilesCache::Disabled, 0),
    ] {
        assert_eq!(nights.night(cache).0.unchanged_files, unchanged, "{cache:?}, and nothing has changed");
    }
    touch(b"other");
    // Asked for, and as it says: what keeps size and time of modification is not seen to change.
    assert_eq!(nights.night(FilesCache::MtimeSize).0.unchanged_files, 1);
    for cache in [FilesCache::CtimeSize, FilesCache::CtimeSizeInode, FilesCache::Disabled] {
        touch(&format!("{cache:?}").as_bytes()[..5]);
        let (created, _) = nights.night(cache);
        assert_eq!(created.unchanged_files, 0, "{cache:?}");
        nights.assert_same(&created);
    }
}

#[test]
fn a_new_inode_with_an_old_name_is_read() {
    let nights = Nights::new();
    nights.write("file", b"one");
    nights.settle();
    nights.night(FilesCache::default());
    fs::remove_file(nights.path("file")).unwrap();
    nights.write("file", b"two");
    let (created, _) = nights.night(FilesCache::default());
    nights.assert_same(&created);
}

#[test]
fn a_file_younger_than_the_clocks_tick_is_read_again() {
    let nights = Nights::new();
    // Whether it was believed or not: what is written right after is archived.
    for number in 0..200_u32 {
        nights.write("file", format!("{number:04}").as_bytes());
        let created = create(&nights.repository, &sample::options(&[&nights.source]), None, &Silent).unwrap();
        let entries = sample::entries(&nights.repository, created.archive.as_ref().unwrap(), &nights.source);
        let expected =
            nights.repository.ring().object_id(vault_engine::crypto::Purpose::Data, format!("{number:04}").as_bytes());
        let kind = &entries[b"file".as_slice()].kind;
        assert!(format!("{kind:?}").contains(&format!("{expected:?}")), "night {number} archived an older file");
    }
    assert!(!nights.store.list(vault_engine::store::Kind::Archives).unwrap().is_empty());
}
