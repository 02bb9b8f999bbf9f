//! A create that fails at each of its operations in turn: what was archived before still restores, and the next run works.

use std::sync::Arc;

use vault_engine::store::{Fault, FaultMode, FaultThen, FaultyStore, Kind, Store, Verb};

use super::{ArchiveId, Error, MemoryStore, Source, StoreErrorKind, archives, assert_restores, counting, sample};

/// A source so small that every operation of its archive can be made to fail.
fn small() -> Source {
    let source = Source::new();
    std::fs::remove_file(source.path.join("large")).unwrap();
    source
}

/// Restores, and nothing of the repository is damaged.
fn assert_whole(store: &MemoryStore, first: ArchiveId, source: &Source, files: &super::Files) {
    assert_restores(store, first, source, files);
    sample::assert_sound(&sample::open(store.clone()));
}

fn fail_at_each_operation(mode: FaultMode, then: FaultThen, kind: StoreErrorKind) {
    let source = small();
    let base = sample::memory();
    let first = sample::archive(&sample::open(base.clone()), &source.path).archive.unwrap().id;
    let before = sample::files(&source.path);
    source.change(1);
    let after = sample::files(&source.path);
    let mut at = 0;
    loop {
        let store = MemoryStore::from_snapshot(&base.snapshot());
        let faulty = FaultyStore::new(Arc::new(store.clone()));
        let repository = sample::open(faulty.clone());
        faulty.inject(Fault { only: None, at, mode, then, kind });
        let outcome = sample::try_archive(&repository, &source.path);
        drop(repository);
        assert_whole(&store, first, &source, &before);
        match outcome {
            Ok(created) => {
                let id = created.archive.unwrap().id;
                assert_restores(&store, id, &source, &after);
                // Only the last operations, which remove the session's file, may fail in silence.
                if faulty.operations().len() as u64 <= at {
                    break;
                }
            }
            Err(Error::Store(error)) => assert_eq!(error.kind, kind, "operation {at}: {error}"),
            Err(error) => panic!("operation {at}: {error:?}"),
        }
        // The next night, on what the failure left behind.
        faulty.heal();
        let id = sample::archive(&sample::open(store.clone()), &source.path).archive.unwrap().id;
        assert_restores(&store, id, &source, &after);
        at += 1;
        assert!(at < 500, "it never succeeds");
    }
    assert!(at > 15, "{at} operations are too few to be a create");
    assert_eq!(counting(&base), [first]);
}

#[test]
fn the_disk_is_full_at_any_operation() {
    fail_at_each_operation(FaultMode::Before, FaultThen::Forever, StoreErrorKind::NoSpace);
}

#[test]
fn an_operation_fails_once() {
    fail_at_each_operation(FaultMode::Before, FaultThen::Once, StoreErrorKind::Other);
}

#[test]
fn an_operation_is_done_and_its_answer_is_lost() {
    fail_at_each_operation(FaultMode::After, FaultThen::Once, StoreErrorKind::Other);
}

#[test]
fn the_writer_is_gone_after_any_operation() {
    fail_at_each_operation(FaultMode::After, FaultThen::Forever, StoreErrorKind::Other);
}

#[test]
fn the_file_of_a_session_goes_when_its_archive_counts_and_stays_when_the_run_must_be_repeated() {
    let source = small();
    let store = sample::memory();
    let sessions = || store.list(Kind::Sessions).unwrap().len();
    sample::archive(&sample::open(store.clone()), &source.path);
    assert_eq!(sessions(), 0);
    source.change(1);
    let faulty = FaultyStore::new(Arc::new(store.clone()));
    let (only, kind) = (Some(Verb::Put), StoreErrorKind::Denied);
    // Before it come the session's file, the segment, and the session's file again.
    faulty.inject(Fault { only, at: 3, mode: FaultMode::Before, then: FaultThen::Once, kind });
    let Err(Error::Store(error)) = sample::try_archive(&sample::open(faulty.clone()), &source.path) else {
        panic!("it was not cut off");
    };
    assert!(error.key.starts_with("archives/"), "{error}");
    assert_eq!(sessions(), 1);
    source.change(2);
    sample::archive(&sample::open(store.clone()), &source.path);
    assert_eq!(sessions(), 1, "its own is gone");
}

#[test]
fn a_read_that_fails_is_never_taken_for_an_answer() {
    let source = small();
    let base = sample::memory();
    sample::archive(&sample::open(base.clone()), &source.path);
    let files = sample::files(&source.path);
    let target = tempfile::TempDir::new().unwrap();
    let mut at = 0;
    loop {
        let faulty = FaultyStore::new(Arc::new(base.clone()));
        let repository = sample::open(faulty.clone());
        let archive = archives::list(&repository, &vault_engine::progress::Silent).unwrap().remove(0);
        faulty.inject(Fault {
            only: None,
            at,
            mode: FaultMode::Before,
            then: FaultThen::Once,
            kind: StoreErrorKind::Other,
        });
        let restored = sample::try_restore(&repository, &archive, &target.path().join(at.to_string()));
        if faulty.take_operations().len() as u64 <= at {
            restored.unwrap();
            break;
        }
        if let Ok((restored, _)) = restored {
            // It was read once more, or left out.
            let found = sample::files(&sample::inside(&target.path().join(at.to_string()), &source.path));
            assert!(restored.damaged > 0 || found == files, "operation {at} failed, and nobody said so");
            assert!(found.iter().all(|(path, bytes)| files.get(path) == Some(bytes)), "operation {at}: wrong bytes");
        }
        at += 1;
    }
    assert!(at > 3);
}
