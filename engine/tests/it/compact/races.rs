//! Whole runs inside each operation of another run: nothing that was told to be done is lost.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use vault_engine::error::Error;
use vault_engine::ops::archives;
use vault_engine::ops::check::{CheckOptions, Severity, check};
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{Fault, FaultyStore, Key, Kind, Snapshot};

use super::hooked::Hooked;
use super::{
    ArchiveId, CompactOptions, Duration, Kept, MemoryStore, THOROUGH, TempDir, World, assert_in_order, assert_settled,
    assert_whole, compact, condemn, delete, noise, packs, sample, times, try_compact,
};

/// An archive that stays, one that is deleted and of which the source holds much again, and things that nobody needs.
fn scene() -> World {
    let mut world = World::new();
    for number in 0..6 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    let first = world.archive();
    for number in 0..3 {
        world.write(&format!("file {number}"), noise(10 + number, 3000));
    }
    world.archive();
    // Back to what only the deleted archive holds, and something new.
    for number in 0..2 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    world.write("new", noise(20, 3000));
    world.delete(first);
    world
}

/// What happens in the middle of something else.
type Act = Arc<dyn Fn(&MemoryStore) + Send + Sync>;

fn compacts() -> Act {
    Arc::new(|store| drop(try_compact(store, &THOROUGH).expect("a compaction inside")))
}

fn deletes_all_and_compacts(world: &World) -> Act {
    let ids: Vec<ArchiveId> = world.kept.keys().copied().collect();
    Arc::new(move |store| {
        for id in &ids {
            delete(store, *id);
        }
        try_compact(store, &THOROUGH).expect("a compaction inside");
    })
}

/// Archives the source; the id goes to `made`.
fn archives_into(world: &World, made: &Arc<Mutex<Vec<ArchiveId>>>) -> Act {
    let (source, made) = (world.source(), Arc::clone(made));
    Arc::new(move |store| made.lock().unwrap().push(archive(&sample::open(store.clone()), &source)))
}

fn archive(repository: &Repository, source: &Path) -> ArchiveId {
    sample::try_archive(repository, source).expect("a create").archive.unwrap().id
}

/// Runs something with `act` before each of its operations in turn, on a fresh copy each time; `judge` gets the store afterwards.
fn before_each_operation<T>(
    world: &World,
    act: &Act,
    run: impl Fn(&Repository) -> T,
    mut judge: impl FnMut(&MemoryStore, T, bool, u64),
) -> u64 {
    for at in 0.. {
        let store = world.copy();
        let act = Arc::clone(act);
        let hooked = Hooked::new(&store, at, move |inner| act(inner));
        let repository = sample::open(hooked.clone());
        hooked.arm();
        let outcome = run(&repository);
        drop(repository);
        let acted = hooked.has_acted();
        judge(&store, outcome, acted, at);
        if !acted {
            assert!(at > 8, "{at} operations");
            return at;
        }
        assert!(at < 2000, "it never ends");
    }
    unreachable!()
}

/// Now, and after two compactions that nobody disturbs, everything is there and nothing else.
fn assert_whole_and_settles(store: &MemoryStore, kept: &Kept, world: &World) {
    assert_in_order(store);
    // Packs that a compaction put and another, patient with nobody, took for dead are found in the first, and their segments in the second.
    for _ in 0..2 {
        try_compact(store, &THOROUGH).unwrap();
    }
    assert_whole(store, kept, &world.source());
    assert_settled(store, kept);
}

fn with(kept: &Kept, made: impl IntoIterator<Item = ArchiveId>, world: &World) -> Kept {
    let files = sample::files(&world.source());
    kept.iter().map(|(id, files)| (*id, files.clone())).chain(made.into_iter().map(|id| (id, files.clone()))).collect()
}

#[test]
fn a_compaction_inside_each_operation_of_a_create() {
    let world = scene();
    let source = world.source();
    before_each_operation(
        &world,
        &compacts(),
        |repository| archive(repository, &source),
        |store, id, _, _| {
            assert_whole_and_settles(store, &with(&world.kept, [id], &world), &world);
        },
    );
}

/// Its manifest is older than the grace as soon as it is put, but its process can be seen to run.
#[test]
fn no_pending_archive_whose_run_lives_is_expired_by_a_patient_compaction() {
    let world = scene();
    let source = world.source();
    let act: Act = Arc::new(|store| {
        let patient = CompactOptions { grace: Duration::from_nanos(1), ..THOROUGH };
        assert_eq!(try_compact(store, &patient).unwrap().expired, 0);
    });
    before_each_operation(
        &world,
        &act,
        |repository| archive(repository, &source),
        |store, id, _, _| {
            assert_whole_and_settles(store, &with(&world.kept, [id], &world), &world);
        },
    );
}

#[test]
fn all_other_archives_go_inside_each_operation_of_a_create() {
    let world = scene();
    let source = world.source();
    let act = deletes_all_and_compacts(&world);
    before_each_operation(
        &world,
        &act,
        |repository| archive(repository, &source),
        |store, id, acted, _| {
            let kept = if acted { Kept::new() } else { world.kept.clone() };
            assert_whole_and_settles(store, &with(&kept, [id], &world), &world);
        },
    );
}

#[test]
fn a_create_inside_each_operation_of_a_compaction() {
    let world = scene();
    let made = Arc::default();
    let act = archives_into(&world, &made);
    before_each_operation(
        &world,
        &act,
        |repository| compact(repository, &THOROUGH, &Silent),
        |store, done, _, at| {
            done.unwrap_or_else(|error| panic!("operation {at}: {error}"));
            assert_whole_and_settles(store, &with(&world.kept, made.lock().unwrap().drain(..), &world), &world);
        },
    );
}

#[test]
fn a_compaction_inside_each_operation_of_a_compaction() {
    let world = scene();
    before_each_operation(
        &world,
        &compacts(),
        |repository| compact(repository, &THOROUGH, &Silent),
        |store, done, _, at| {
            done.unwrap_or_else(|error| panic!("operation {at}: {error}"));
            assert_whole_and_settles(store, &world.kept, &world);
        },
    );
}

#[test]
fn all_archives_go_inside_each_operation_of_a_compaction() {
    let world = scene();
    let act = deletes_all_and_compacts(&world);
    before_each_operation(
        &world,
        &act,
        |repository| compact(repository, &THOROUGH, &Silent),
        |store, done, acted, at| {
            done.unwrap_or_else(|error| panic!("operation {at}: {error}"));
            let kept = if acted { Kept::new() } else { world.kept.clone() };
            assert_whole_and_settles(store, &kept, &world);
        },
    );
}

#[test]
fn a_create_and_a_compaction_inside_each_operation_of_a_compaction() {
    let world = scene();
    let made = Arc::default();
    let (creates, compacts) = (archives_into(&world, &made), compacts());
    let act: Act = Arc::new(move |store| {
        creates(store);
        compacts(store);
    });
    before_each_operation(
        &world,
        &act,
        |repository| compact(repository, &THOROUGH, &Silent),
        |store, done, _, at| {
            done.unwrap_or_else(|error| panic!("operation {at}: {error}"));
            assert_whole_and_settles(store, &with(&world.kept, made.lock().unwrap().drain(..), &world), &world);
        },
    );
}

/// A compaction has condemned everything and died, whenever that was: the next ones finish it, and lose nothing.
#[test]
fn everything_is_condemned_inside_each_operation_of_a_create_and_finished_later() {
    let world = scene();
    let source = world.source();
    let act: Act = Arc::new(|store| {
        let condemned = packs(store).into_iter().collect();
        condemn(&sample::open(store.clone()), store, condemned, Vec::new());
    });
    before_each_operation(
        &world,
        &act,
        |repository| archive(repository, &source),
        |store, id, _, _| {
            assert_whole_and_settles(store, &with(&world.kept, [id], &world), &world);
        },
    );
}

/// A compaction begins inside an operation of a create and dies at one of its own: many pairs of moments.
#[test]
fn a_compaction_that_dies_inside_each_operation_of_a_create() {
    let world = scene();
    let source = world.source();
    // Each operation of the create meets another one of the compaction, and others again in the next turn.
    for first in 0..times(3) as u64 {
        let counter = Arc::new(AtomicU64::new(first * 5));
        let act: Act = Arc::new(move |store| {
            let faulty = FaultyStore::new(Arc::new(store.clone()));
            let repository = sample::open(faulty.clone());
            faulty.inject(Fault::crash(counter.fetch_add(37, Ordering::Relaxed) % 90));
            drop(compact(&repository, &THOROUGH, &Silent));
        });
        before_each_operation(
            &world,
            &act,
            |repository| archive(repository, &source),
            |store, id, _, _| {
                assert_whole_and_settles(store, &with(&world.kept, [id], &world), &world);
            },
        );
    }
}

/// One that dies inside each operation of another, and a third that finishes what both have begun.
#[test]
fn a_compaction_dies_and_another_finishes_it_inside_each_operation_of_a_compaction() {
    let world = scene();
    for first in 0..times(2) as u64 {
        let counter = Arc::new(AtomicU64::new(first * 7));
        let act: Act = Arc::new(move |store| {
            let faulty = FaultyStore::new(Arc::new(store.clone()));
            let repository = sample::open(faulty.clone());
            faulty.inject(Fault::crash(counter.fetch_add(17, Ordering::Relaxed) % 90));
            drop(compact(&repository, &THOROUGH, &Silent));
            drop(repository);
            try_compact(store, &THOROUGH).expect("a compaction that finishes it");
        });
        before_each_operation(
            &world,
            &act,
            |repository| compact(repository, &THOROUGH, &Silent),
            |store, done, _, at| {
                done.unwrap_or_else(|error| panic!("operation {at}: {error}"));
                assert_whole_and_settles(store, &world.kept, &world);
            },
        );
    }
}

/// A run has put its manifest, and reads what has gone meanwhile into memory, to store it again: for a while its archive needs what is nowhere.
/// A compaction that meets it goes on when that is over, or gives up, deleting nothing, and says for whose sake.
#[test]
fn a_rescue_that_takes_a_while_inside_a_compaction() {
    let world = scene();
    let store = world.copy();
    world.write("file 5", noise(30, 3000));
    let id = archive(&sample::open(store.clone()), &world.source());
    let before = world.store.snapshot();
    let made = || store.snapshot().into_iter().filter(|(key, _)| !before.contains_key(key));
    let is_late = |key: &Key| key.kind() == Kind::Packs || *key == Key::ok_mark(id);
    let (late, early): (Snapshot, Snapshot) = made().partition(|(key, _)| is_late(key));
    let puts = |files: &Snapshot| {
        let files = files.clone();
        move |store: &MemoryStore| files.into_iter().for_each(|(key, bytes)| store.insert_raw(key, bytes))
    };
    let (mut gave_up, mut went_on) = (0, 0);
    for begins in (0..80).step_by(3) {
        for lasts in (1..120).step_by(7) {
            let store = world.copy();
            let hooked = Hooked::new(&store, begins, puts(&early)).then(begins + lasts, puts(&late));
            let repository = sample::open(hooked.clone());
            hooked.arm();
            let done = compact(&repository, &THOROUGH, &Silent);
            if !hooked.has_acted() {
                continue;
            }
            match done {
                Ok(_) => went_on += 1,
                Err(Error::Incomplete { needed_by, .. }) if needed_by == [format!("aid:{id}")] => gave_up += 1,
                Err(error) => panic!("from {begins} on, for {lasts}: {error}"),
            }
        }
    }
    assert!(gave_up > 0 && went_on > 0, "{gave_up} gave up, {went_on} went on");
}

#[test]
fn a_compaction_inside_each_operation_of_a_restore() {
    let world = scene();
    let source = world.source();
    let restore = |repository: &Repository| {
        let archive = archives::list(repository, &Silent).unwrap().remove(0);
        let target = TempDir::new().unwrap();
        let (restored, heard) = sample::try_restore(repository, &archive, target.path()).unwrap();
        assert_eq!((restored.warnings, restored.damaged), (0, 0), "{:?}", heard.warnings());
        (archive.id, sample::files(&sample::inside(target.path(), &source)))
    };
    before_each_operation(&world, &compacts(), restore, |_, (id, files), _, at| {
        assert!(files == world.kept[&id], "operation {at}: other files than were archived");
    });
}

#[track_caller]
fn assert_sound(repository: &Repository, read_data: bool) {
    let report = check(repository, CheckOptions { read_data, jobs: Some(2) }, &Silent).unwrap();
    let bad: Vec<_> = report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn a_check_inside_each_operation_of_a_compaction_has_nothing_to_say() {
    let world = scene();
    for read_data in [false, true] {
        let act: Act = Arc::new(move |store| assert_sound(&sample::open(store.clone()), read_data));
        before_each_operation(
            &world,
            &act,
            |repository| compact(repository, &THOROUGH, &Silent),
            |_, done, _, _| {
                done.unwrap();
            },
        );
    }
}

#[test]
fn a_compaction_inside_each_operation_of_a_check_gives_it_nothing_to_say() {
    let world = scene();
    for read_data in [false, true] {
        before_each_operation(&world, &compacts(), |repository| assert_sound(repository, read_data), |_, (), _, _| {});
    }
}
