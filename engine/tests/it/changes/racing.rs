//! Files that change while they are read: a warning, a flag, and an archive all the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use vault_engine::ops::create::{CreateOptions, Created, create};
use vault_engine::progress::Monitor;

use super::{Nights, noise};
use crate::sample;

/// Acts once, when the entry `at` is handled: everything behind it has been walked, or will be, and not been read.
struct Meddler<A> {
    at: &'static [u8],
    act: Mutex<Option<A>>,
    warnings: Mutex<Vec<String>>,
}

impl<A: FnOnce() + Send> Meddler<A> {
    fn new(at: &'static [u8], act: A) -> Self {
        Self { at, act: Mutex::new(Some(act)), warnings: Mutex::default() }
    }
}

impl<A: FnOnce() + Send> Monitor for Meddler<A> {
    fn warning(&self, path: &[u8], message: &str) {
        self.warnings.lock().unwrap().push(format!("{}: {message}", String::from_utf8_lossy(path)));
    }

    fn entry(&self, _status: char, path: &[u8]) {
        if path.ends_with(self.at)
            && let Some(act) = self.act.lock().unwrap().take()
        {
            act();
        }
    }
}

/// Archives on one thread; `act` runs when all has been walked and "a" has been read, but "b" behind it not.
fn archive_while(nights: &Nights, act: impl FnOnce() + Send) -> (Created, Vec<String>) {
    let monitor = Meddler::new(b"/a", act);
    let options = CreateOptions { jobs: Some(1), ..sample::options(&[&nights.source]) };
    let created = create(&nights.repository, &options, None, &monitor).unwrap();
    (created, monitor.warnings.into_inner().unwrap())
}

fn two_files() -> (Nights, PathBuf) {
    let nights = Nights::new();
    nights.write("a", b"read first");
    nights.write("b", &noise(1, 500_000));
    let second = nights.path("b");
    (nights, second)
}

/// The archive was made, with one warning on `b`, which is flagged and has this many bytes.
#[track_caller]
fn assert_flagged(nights: &Nights, created: &Created, warnings: &[String], word: &str, size: u64) {
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("/b: ") && warnings[0].contains(word), "{warnings:?}");
    assert_eq!(created.statistics.warnings, 1);
    let entries = sample::entries(&nights.repository, created.archive.as_ref().unwrap(), &nights.source);
    assert!(entries[b"b".as_slice()].changed);
    let target = tempfile::TempDir::new().unwrap();
    let restored = sample::restore_all(&nights.repository, created, &nights.source, target.path());
    assert_eq!(fs::metadata(restored.join("b")).unwrap().len(), size);
    sample::assert_sound(&nights.repository);
    // The next night reads it again, whatever its times say.
    let again = sample::archive(&nights.repository, &nights.source);
    nights.assert_same(&again);
}

fn resize(path: &Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

#[test]
fn a_file_that_becomes_shorter() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, || resize(&second, 1000));
    assert_flagged(&nights, &created, &warnings, "shorter", 1000);
}

#[test]
fn a_file_that_becomes_empty() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, || resize(&second, 0));
    assert_flagged(&nights, &created, &warnings, "shorter", 0);
}

#[test]
fn a_file_that_grows_is_archived_as_long_as_it_was() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, || resize(&second, 900_000));
    assert_flagged(&nights, &created, &warnings, "grew", 500_000);
}

#[test]
fn a_file_that_is_rewritten_in_place() {
    let (nights, second) = two_files();
    nights.settle();
    let (created, warnings) = archive_while(&nights, || {
        std::os::unix::fs::FileExt::write_all_at(&File::options().write(true).open(&second).unwrap(), b"other", 9)
            .unwrap();
    });
    assert_flagged(&nights, &created, &warnings, "changed", 500_000);
}

#[test]
fn a_file_that_disappears_is_a_warning_and_in_no_archive() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, || fs::remove_file(&second).unwrap());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("disappeared"), "{warnings:?}");
    let entries = sample::entries(&nights.repository, created.archive.as_ref().unwrap(), &nights.source);
    assert!(!entries.contains_key(b"b".as_slice()));
    nights.assert_same(&created);
    sample::assert_sound(&nights.repository);
}

#[test]
fn a_file_that_another_takes_the_place_of_is_never_mixed_of_both() {
    let (nights, second) = two_files();
    nights.write("c", &noise(2, 500_000));
    let other = nights.path("c");
    let (created, warnings) = archive_while(&nights, || fs::rename(&other, &second).unwrap());
    assert!(!warnings.is_empty());
    let target = tempfile::TempDir::new().unwrap();
    let (_, _) = sample::try_restore(&nights.repository, created.archive.as_ref().unwrap(), target.path()).unwrap();
    let restored = sample::inside(target.path(), &nights.source).join("b");
    if let Ok(bytes) = fs::read(restored) {
        assert!(bytes == noise(1, 500_000) || bytes == noise(2, 500_000));
    }
}

#[test]
fn a_directory_that_disappears_is_a_warning_too() {
    let nights = Nights::new();
    fs::create_dir(nights.path("a")).unwrap();
    fs::create_dir(nights.path("b")).unwrap();
    nights.write("b/file", b"going");
    let second = nights.path("b");
    let (created, warnings) = archive_while(&nights, || fs::remove_dir_all(&second).unwrap());
    assert!(!warnings.is_empty());
    let entries = sample::entries(&nights.repository, created.archive.as_ref().unwrap(), &nights.source);
    assert!(entries.contains_key(b"a".as_slice()) && !entries.contains_key(b"b/file".as_slice()));
    sample::assert_sound(&nights.repository);
}
