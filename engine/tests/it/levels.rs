//! The levels of `check` through the engine: what is said of every damage, whom it harms, and files without a key.

use std::fs;

use tempfile::TempDir;
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::manifest::Manifest;
use vault_engine::format::mark::Mark;
use vault_engine::id::ArchiveId;
use vault_engine::ops::check::{Finding, Severity, Share, Slice, Verified, check_files, check_slice};
use vault_engine::progress::{Counters, Monitor, Silent};
use vault_engine::repository::Seen;
use vault_engine::store::{Key, Kind, MemoryStore, Snapshot, Store};

use crate::sample::{self, noise};

/// Three nights, each with new content, the first archive protected.
fn nights() -> Snapshot {
    let folder = TempDir::new().unwrap();
    let store = sample::memory();
    let repository = sample::open(store.clone());
    for night in 0..3 {
        fs::create_dir_all(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("noise"), noise(night, 50_000)).unwrap();
        fs::write(folder.path().join(format!("inner/{night}")), noise(100 + night, 5000)).unwrap();
        let archive = sample::archive(&repository, folder.path()).archive.unwrap();
        if night == 0 {
            repository.protect(archive.id).unwrap();
        }
    }
    store.snapshot()
}

/// Says what to do, or that nobody is harmed.
#[track_caller]
fn assert_helpful(findings: &[Finding], what: &str) {
    for finding in findings {
        let says = [
            "`vault ",
            "no archive is harmed",
            "harms nothing",
            "no archive lacks anything",
            "nothing of it is harmed",
        ];
        let no_file = "no file is harmed";
        let message = &finding.message;
        assert!(says.iter().chain([&no_file]).any(|part| message.contains(part)), "{what}: {message}");
        assert!(!finding.file.is_empty(), "{what}: {message}");
    }
}

#[test]
fn every_finding_says_what_to_do_or_that_nobody_is_harmed() {
    let snapshot = nights();
    let mut errors = 0;
    for (key, bytes) in &snapshot {
        for at in [10, 150, bytes.len() / 2, bytes.len() - 1] {
            let store = MemoryStore::from_snapshot(&snapshot);
            store.corrupt(key, |file| file[at.min(bytes.len() - 1)] ^= 1);
            if let Ok(repository) = sample::try_open(store, None) {
                let report = sample::check_data(&repository);
                assert_helpful(&report.findings, &format!("{key} at {at}"));
                errors += u32::from(report.worst() == Some(Severity::Error));
            }
        }
        let store = MemoryStore::from_snapshot(&snapshot);
        store.remove_raw(key);
        if let Ok(repository) = sample::try_open(store, None) {
            assert_helpful(&sample::check_data(&repository).findings, &format!("{key} lost"));
        }
    }
    assert!(errors > 40, "{errors}");
}

#[test]
fn damage_names_the_archives_and_the_paths_that_it_harms() {
    let snapshot = nights();
    let mut harmed = 0;
    for key in snapshot.keys().filter(|key| key.kind() == Kind::Packs) {
        let store = MemoryStore::from_snapshot(&snapshot);
        store.corrupt(key, |bytes| bytes[140] ^= 1);
        let report = sample::check_data(&sample::open(store));
        let found: Vec<_> = report.findings.iter().filter(|finding| finding.file == key.to_string()).collect();
        assert_eq!(found.len(), 1, "{key}: {:#?}", report.findings);
        harmed += found[0].harms.iter().filter(|(_, path)| path.ends_with(b"noise")).count();
    }
    assert_eq!(harmed, 3, "the content of each night");
}

#[test]
fn slices_by_time_read_every_pack_once_a_round() {
    let snapshot = nights();
    let store = MemoryStore::from_snapshot(&snapshot);
    let repository = sample::open(store.clone());
    let packs = snapshot.keys().filter(|key| key.kind() == Kind::Packs).count();
    let mut verified = Verified::default();
    let slice = Slice { share: Share::Bytes(1), max_duration: None };
    for night in 1..=packs {
        let report = check_slice(&repository, slice, Some(2), &mut verified, &Silent).unwrap();
        assert_eq!((report.packs_read, report.findings.len()), (1, 0));
        assert_eq!(verified.len(), night, "another one each night");
    }
    let all = check_slice(&repository, Slice::default(), Some(2), &mut verified, &Silent).unwrap();
    assert_eq!(all.packs_read, packs as u64);
    assert_eq!(verified.len(), packs);

    let victim = snapshot.keys().rfind(|key| key.kind() == Kind::Packs).unwrap();
    store.corrupt(victim, |bytes| bytes[140] ^= 1);
    for slice in [Slice::default(), slice, slice] {
        // It is found when its turn comes; then it is the first of all, until it is mended.
        let report = check_slice(&repository, slice, Some(2), &mut verified, &Silent).unwrap();
        assert!(report.findings.iter().any(|finding| finding.file == victim.to_string()), "{:#?}", report.findings);
        assert_eq!(verified.len(), packs - 1, "and not recorded as verified");
    }
}

/// Stops everything once so many packs have been read.
struct Impatient {
    counters: Counters,
    most: u64,
}

impl Monitor for Impatient {
    fn counters(&self) -> Option<&Counters> {
        Some(&self.counters)
    }

    fn cancelled(&self) -> bool {
        self.counters.bytes.load(std::sync::atomic::Ordering::Relaxed) >= self.most
    }
}

#[test]
fn what_was_verified_before_a_stop_is_recorded() {
    let repository = sample::open(MemoryStore::from_snapshot(&nights()));
    let mut verified = Verified::default();
    let impatient = Impatient { counters: Counters::default(), most: 1 };
    check_slice(&repository, Slice::default(), Some(1), &mut verified, &impatient).unwrap_err();
    assert_eq!(verified.len(), 1);
}

#[test]
fn progress_counts_what_is_read_and_walked() {
    let snapshot = nights();
    let repository = sample::open(MemoryStore::from_snapshot(&snapshot));
    let patient = Impatient { counters: Counters::default(), most: u64::MAX };
    let report = check_slice(&repository, Slice::default(), Some(2), &mut Verified::default(), &patient).unwrap();
    let value = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(value(&patient.counters.bytes), report.bytes_read);
    assert_eq!(value(&patient.counters.total_bytes), report.bytes_read);
    assert!(value(&patient.counters.entries) > 6);
}

#[test]
fn every_damage_to_a_file_shows_without_a_key() {
    let snapshot = nights();
    let sound = check_files(&MemoryStore::from_snapshot(&snapshot), Some(2), &Silent).unwrap();
    assert_eq!(sound.findings, []);
    assert_eq!(sound.files, snapshot.len() as u64 - 1, "all but config");
    for (key, bytes) in &snapshot {
        for at in [0, 9, 100, bytes.len() / 2, bytes.len() - 1] {
            let store = MemoryStore::from_snapshot(&snapshot);
            store.corrupt(key, |file| file[at.min(bytes.len() - 1)] ^= 0x10);
            // A config of another version is no damage that can be told from one.
            let Ok(report) = check_files(&store, Some(2), &Silent) else {
                assert_eq!(key.kind(), Kind::Config);
                continue;
            };
            let errors: Vec<_> = report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
            assert!(errors.len() == 1 && errors[0].file == key.to_string(), "{key} at {at}: {:#?}", report.findings);
            assert_helpful(&report.findings, &format!("{key} at {at}"));
        }
        for left in [0, 1, 64, bytes.len() - 1] {
            let store = MemoryStore::from_snapshot(&snapshot);
            store.corrupt(key, |bytes| bytes.truncate(left));
            let report = check_files(&store, Some(2), &Silent).unwrap();
            assert!(report.findings.iter().any(|finding| finding.file == key.to_string()), "{key} cut to {left}");
        }
    }
}

#[test]
fn a_file_larger_than_a_window_is_read_to_its_end() {
    let store = sample::memory();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("large"), noise(1, 5_000_000)).unwrap();
    sample::archive(&sample::open(store.clone()), folder.path());
    let large = store.list(Kind::Packs).unwrap().into_iter().max_by_key(|file| file.size).unwrap();
    assert!(large.size > 5_000_000);
    assert_eq!(check_files(&store, None, &Silent).unwrap().findings, []);
    let key = Key::listed(Kind::Packs, large.name);
    store.corrupt(&key, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert_eq!(check_files(&store, None, &Silent).unwrap().findings.len(), 1);
}

#[test]
fn an_archive_that_follows_nothing_that_could_be_is_named() {
    let snapshot = nights();
    let mut archives = sample::open(MemoryStore::from_snapshot(&snapshot)).archives(&mut |_, _| {}).unwrap();
    let last = archives.pop().unwrap();
    let store = MemoryStore::from_snapshot(&snapshot);
    // The middle one goes, as purging takes it: that is normal.
    for key in [Key::archive(archives[1].id), Key::ok_mark(archives[1].id)] {
        store.remove_raw(&key);
    }
    let repository = sample::open(store.clone());
    assert_eq!(sample::check_data(&repository).findings, []);
    // The first one calls itself the previous of the last.
    let manifest = Manifest { previous: Some(archives[0].id), ..last.manifest };
    let bytes = seal_file(repository.ring(), Class::Root, [2; 16], &manifest.encode()).unwrap();
    let forged = ArchiveId::from_bytes(*blake3::hash(&bytes).as_bytes());
    store.insert_raw(Key::archive(forged), bytes);
    store.insert_raw(Key::ok_mark(forged), Mark::Ok.encode(forged));
    let findings = sample::check_data(&repository).findings;
    assert!(findings.len() == 1 && findings[0].file == Key::archive(forged).to_string(), "{findings:#?}");
    assert_helpful(&findings, "forged");
}

#[test]
fn what_a_run_has_seen_is_missed_by_the_next() {
    let snapshot = nights();
    let repository = sample::open(MemoryStore::from_snapshot(&snapshot));
    let archives = repository.archives(&mut |_, _| {}).unwrap();
    let seen = repository.seen();
    assert_ne!(seen, Seen::default());
    assert_eq!(Seen::decode(&seen.encode()).as_ref(), Some(&seen));

    let newest = archives.last().unwrap().id;
    let store = MemoryStore::from_snapshot(&snapshot);
    for key in [Key::archive(newest), Key::ok_mark(newest)] {
        store.remove_raw(&key);
    }
    let repository = sample::open(store.clone());
    assert_eq!(sample::check_data(&repository).findings, [], "who has seen nothing misses nothing");
    let repository = sample::open(store);
    repository.recall(seen);
    let report = sample::check_data(&repository);
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.findings[0].harms, [(newest, Vec::new())]);
    assert_helpful(&report.findings, "gone");
    repository.accept_rollback();
    assert_eq!(sample::check_data(&repository).findings, []);
    assert_eq!(repository.gone().len(), 1, "it can be said what was forgotten");
    assert_eq!(sample::check_data(&repository).findings, []);
}

#[test]
fn when_the_newest_was_deleted_the_one_before_is_missed() {
    let store = MemoryStore::from_snapshot(&nights());
    let repository = sample::open(store.clone());
    let mut archives = repository.archives(&mut |_, _| {}).unwrap();
    repository.mark_deleted(&[archives.pop().unwrap().id]).unwrap();
    let (seen, before) = (repository.seen(), archives.pop().unwrap().id);
    for key in [Key::archive(before), Key::ok_mark(before)] {
        store.remove_raw(&key);
    }
    let repository = sample::open(store);
    repository.recall(seen);
    repository.archives(&mut |_, _| {}).unwrap();
    assert_eq!(repository.gone().iter().map(|gone| gone.archive.id).collect::<Vec<_>>(), [before]);
}
