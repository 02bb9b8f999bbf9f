//! Files that change while they are read: a warning, a flag, and an archive all the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use vault_engine::ops::create::{CreateOptions, Created, create};
use vault_engine::progress::Monitor;

use super::{Nights, noise};
use crate::sample;

/// Acts once, when the entry "a" has been handled, the last thing that the only worker does before it turns to "b": when it is asked for
/// the `nth` time after that whether to stop.
struct Meddler<A> {
    asked: AtomicUsize,
    nth: usize,
    act: Mutex<Option<A>>,
    warnings: Mutex<Vec<String>>,
}

/// Before "b" is opened,
const BEFORE: usize = 1;
/// and between its opening and its first byte.
const WITHIN: usize = 2;

impl<A: FnOnce() + Send> Monitor for Meddler<A> {
    fn warning(&self, path: &[u8], message: &str) {
        self.warnings.lock().unwrap().push(format!("{}: {message}", String::from_utf8_lossy(path)));
    }

    fn entry(&self, _status: char, path: &[u8]) {
        if path.ends_with(b"/a") {
            self.asked.store(1, Ordering::SeqCst);
        }
    }

    fn cancelled(&self) -> bool {
        // 0: "a" has not been handled.
        let count = |asked: usize| (asked > 0).then_some(asked + 1);
        if self.asked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(self.nth)
            && let Some(act) = self.act.lock().unwrap().take()
        {
            act();
        }
        false
    }
}

/// Archives with one worker; `act` runs when all has been walked and "a" has been read.
fn archive_while(nights: &Nights, nth: usize, act: impl FnOnce() + Send) -> (Created, Vec<String>) {
    let monitor = Meddler { asked: AtomicUsize::new(0), nth, act: Mutex::new(Some(act)), warnings: Mutex::default() };
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
    let (created, warnings) = archive_while(&nights, WITHIN, || resize(&second, 1000));
    assert_flagged(&nights, &created, &warnings, "shorter", 1000);
}

#[test]
fn a_file_that_becomes_empty() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, WITHIN, || resize(&second, 0));
    assert_flagged(&nights, &created, &warnings, "shorter", 0);
}

#[test]
fn a_file_that_grows_is_archived_as_long_as_it_was() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, WITHIN, || resize(&second, 900_000));
    assert_flagged(&nights, &created, &warnings, "grew", 500_000);
}

#[test]
fn a_file_that_is_rewritten_in_place() {
    let (nights, second) = two_files();
    nights.settle();
    let (created, warnings) = archive_while(&nights, WITHIN, || {
        std::os::unix::fs::FileExt::write_all_at(&File::options().write(true).open(&second).unwrap(), b"other", 9)
            .unwrap();
    });
    assert_flagged(&nights, &created, &warnings, "changed", 500_000);
}

#[test]
fn a_file_that_changes_before_it_is_opened_is_archived_as_it_is_then() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, BEFORE, || resize(&second, 900_000));
    assert!(warnings.is_empty(), "{warnings:?}");
    let entries = sample::entries(&nights.repository, created.archive.as_ref().unwrap(), &nights.source);
    assert!(!entries[b"b".as_slice()].changed);
    nights.assert_same(&created);
    sample::assert_sound(&nights.repository);
}

#[test]
fn a_file_that_disappears_is_a_warning_and_in_no_archive() {
    let (nights, second) = two_files();
    let (created, warnings) = archive_while(&nights, BEFORE, || fs::remove_file(&second).unwrap());
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
    let (created, warnings) = archive_while(&nights, WITHIN, || fs::rename(&other, &second).unwrap());
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
    let (created, warnings) = archive_while(&nights, BEFORE, || fs::remove_dir_all(&second).unwrap());
    assert!(!warnings.is_empty());
    let entries = sample::entries(&nights.repository, created.archive.as_ref().unwrap(), &nights.source);
    assert!(entries.contains_key(b"a".as_slice()) && !entries.contains_key(b"b/file".as_slice()));
    sample::assert_sound(&nights.repository);
}

/// Two names of one file, both met by the walk before the only worker turns to the first of them.
fn two_names() -> (Nights, PathBuf) {
    let (nights, second) = two_files();
    fs::hard_link(&second, nights.path("c")).unwrap();
    (nights, second)
}

#[test]
fn a_file_of_two_names_that_changes_before_it_is_read() {
    let (nights, second) = two_names();
    let (created, warnings) = archive_while(&nights, BEFORE, || resize(&second, 1000));
    assert_eq!(warnings, [] as [String; 0]);
    nights.assert_same(&created);
    nights.assert_same(&sample::archive(&nights.repository, &nights.source));
}

#[test]
fn a_file_that_loses_its_other_name_before_it_is_read() {
    let (nights, _) = two_names();
    let (created, warnings) = archive_while(&nights, BEFORE, || fs::remove_file(nights.path("c")).unwrap());
    assert_eq!(warnings, [] as [String; 0]);
    let entries = sample::entries(&nights.repository, created.archive.as_ref().unwrap(), &nights.source);
    // The walk saw it; what it held is what the other name holds.
    assert!(entries.contains_key(b"b".as_slice()) && entries.contains_key(b"c".as_slice()));
    sample::assert_sound(&nights.repository);
    nights.assert_same(&sample::archive(&nights.repository, &nights.source));
}
