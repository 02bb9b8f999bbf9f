//! What is lost for good: recorded, said, and no reason for a compaction to stop.

use vault_engine::store::{Fault, FaultThen, Operation, Verb};

use super::{
    Arc, CheckOptions, CompactOptions, FaultyStore, Key, Kind, MemoryStore, Remedy, RepairOptions, Sample, Severity,
    Silent, Store, YES, archives, check, compact, quarantine, repair, sample,
};

/// Every pack of data is gone but its headers.
fn without_data(sample: &Sample) -> (MemoryStore, Vec<Key>) {
    let store = sample.store();
    let data: Vec<Key> =
        sample.of(Kind::Packs).into_iter().filter(|key| store.size(key).unwrap().unwrap() > 100_000).collect();
    for key in &data {
        assert!(store.corrupt(key, |bytes| bytes[200..].fill(7)));
    }
    (store, data)
}

#[test]
fn a_loss_is_recorded_with_its_archives_and_paths() {
    let sample = Sample::new();
    let (store, _) = without_data(&sample);
    let repository = sample::open(store.clone());
    let report = repair(&repository, YES, &Silent).unwrap();
    assert_eq!(report.incomplete.len(), sample.nights.len());
    for lost in &report.incomplete {
        let found: Vec<String> = lost
            .paths
            .iter()
            .map(|path| String::from_utf8_lossy(path).rsplit_once("source/").unwrap().1.to_owned())
            .collect();
        let expected: Vec<String> =
            sample.nights[&lost.archive].keys().map(|path| path.display().to_string()).collect();
        assert_eq!(found, expected);
    }
    let facts = repository.facts().unwrap();
    assert!(sample.nights.keys().all(|id| facts.is_incomplete(*id)));
    let left = check(&repository, CheckOptions::default(), &Silent).unwrap();
    assert_eq!(left.worst(), Some(Severity::Warning), "{:#?}", left.findings);
    assert!(!left.findings.is_empty());
}

/// A tree that the store failed to read says nothing of what is below it: neither that it is there, nor that it is lost.
#[test]
fn a_read_that_fails_once_hides_no_loss() {
    let sample = Sample::new();
    let mut refused = 0;
    // What only one archive lacks is hidden if that one cannot be walked.
    for data in without_data(&sample).1 {
        let store = sample.store();
        assert!(store.corrupt(&data, |bytes| bytes[200..].fill(7)));
        let damaged = store.snapshot();
        let options = RepairOptions { jobs: Some(1), ..YES };
        let faulty = FaultyStore::new(Arc::new(store));
        let repository = sample::open(faulty.clone());
        faulty.take_operations();
        let whole = repair(&repository, options, &Silent).unwrap();
        let operations = faulty.take_operations();
        if whole.incomplete.len() != 1 {
            continue;
        }
        let is_gone = |operation: &Operation| operation.verb == Verb::Remove && operation.key == data.to_string();
        let gone = operations.iter().position(is_gone).unwrap();
        for (at, operation) in operations.iter().enumerate().skip(gone) {
            let store = MemoryStore::from_snapshot(&damaged);
            let faulty = FaultyStore::new(Arc::new(store));
            let repository = sample::open(faulty.clone());
            faulty.inject(Fault { then: FaultThen::Once, ..Fault::crash(at as u64) });
            match repair(&repository, options, &Silent) {
                Ok(report) => assert_eq!(report.incomplete, whole.incomplete, "{at}: {operation:?}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 10, "{refused} repairs ended with an error");
}

#[test]
fn a_compaction_goes_on_after_a_loss_was_recorded_and_not_before() {
    let sample = Sample::new();
    let (store, data) = without_data(&sample);
    store.remove_raw(&data[0]);
    let repository = sample::open(store.clone());
    let second = archives::list(&repository, &Silent).unwrap().remove(1);
    repository.mark_deleted(&[second.id]).unwrap();
    let thorough = CompactOptions { threshold: 0, ..CompactOptions::default() };
    let before = store.snapshot();
    compact(&repository, &thorough, &Silent).unwrap_err();
    let packs = |key: &&Key| key.kind() == Kind::Packs;
    assert!(before.keys().filter(packs).all(|key| store.size(key).unwrap().is_some()), "nothing is deleted");
    repair(&repository, YES, &Silent).unwrap();
    let report = compact(&repository, &thorough, &Silent).unwrap();
    assert_eq!(report.purged, 1);
}

#[test]
fn what_comes_back_is_taken_off_the_record() {
    let sample = Sample::new();
    let (store, _) = without_data(&sample);
    let repository = sample::open(store.clone());
    repair(&repository, YES, &Silent).unwrap();
    // The last night's files are still in the source; a create that finds them stores them again.
    sample::archive(&sample::open(store.clone()), &sample.source);
    let last = archives::list(&repository, &Silent).unwrap();
    let last = last.iter().rev().find(|one| sample.nights.contains_key(&one.id)).unwrap();
    assert_eq!(sample.nights[&last.id].len(), sample::files(&sample.source).len());
    repair(&sample::open(store.clone()), YES, &Silent).unwrap();
    let facts = repository.facts().unwrap();
    assert!(!facts.is_incomplete(last.id), "everything of the last night is back");
    let readable = sample.readable(&store, "after");
    assert_eq!(readable.iter().filter(|(id, _)| *id == last.id).count(), sample.nights[&last.id].len());
}

#[test]
fn a_dry_run_changes_nothing() {
    let sample = Sample::new();
    let (store, data) = without_data(&sample);
    let before = store.snapshot();
    let report = repair(&sample::open(store.clone()), RepairOptions { dry_run: true, ..YES }, &Silent).unwrap();
    assert!(report.left.is_none());
    for key in data {
        assert!(report.treatments.iter().any(|one| one.key == key && one.remedy == Remedy::Salvage), "{key}");
    }
    assert_eq!(store.snapshot(), before);
}

#[test]
fn the_quarantine_is_emptied_only_when_told_to() {
    let sample = Sample::new();
    let (store, data) = without_data(&sample);
    let repository = sample::open(store.clone());
    repair(&repository, YES, &Silent).unwrap();
    let files = quarantine::list(&repository).unwrap();
    assert!(files.len() >= data.len());
    compact(&repository, &CompactOptions { threshold: 0, ..CompactOptions::default() }, &Silent).unwrap();
    assert_eq!(quarantine::list(&repository).unwrap(), files);
    quarantine::empty(&repository, &files).unwrap();
    assert_eq!(quarantine::list(&repository).unwrap(), []);
}
