//! A compaction that ends, or fails, at each of its operations in turn.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use vault_engine::error::{Error, StoreErrorKind};
use vault_engine::store::{Fault, FaultMode, FaultThen, FaultyStore, Verb};

use super::{
    AT_ONCE, ArchiveId, CompactOptions, Key, Kind, Mark, MemoryStore, PackId, Silent, Store, World, assert_in_order,
    assert_settled, assert_whole, bytes, changes, compact, condemn, noise, packs, sample, segments, try_compact,
};

/// All kinds of work at once: an archive to purge and one to expire; packs that are dead, partly dead, small, and condemned by somebody
/// who died; a pack without a segment; marks without a manifest; a record of a pending archive that is gone.
fn busy() -> World {
    let mut world = World::new();
    for number in 0..10 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    let first = world.archive();
    for number in 0..6 {
        world.write(&format!("file {number}"), noise(100 + number, 3000));
    }
    let mut last = first;
    for night in 0..6 {
        world.write("night", noise(200 + night, 2000));
        let before = packs(&world.store);
        let id = world.archive();
        match night {
            1 => world.delete(last),
            3 => {
                let condemned = packs(&world.store).difference(&before).copied().collect();
                condemn(&sample::open(world.store.clone()), &world.store, condemned, Vec::new());
            }
            4 => lose_segment(&world.store, &before),
            _ => {}
        }
        last = id;
    }
    world.delete(first);
    for id in world.kept.keys().copied().collect::<Vec<_>>() {
        // Three are enough to restore again and again.
        if world.kept.len() > 3 && id != last {
            world.delete(id);
        }
    }
    world.write("pending", noise(300, 3000));
    let pending = world.archive();
    world.kept.remove(&pending);
    world.store.remove(&Key::ok_mark(pending)).unwrap();
    let gone = ArchiveId::from_bytes([7; 32]);
    world.store.put(&Key::ok_mark(gone), &Mark::Ok.encode(gone)).unwrap();
    world.store.put(&Key::deleted_mark(gone), &Mark::Deleted.encode(gone)).unwrap();
    condemn(&sample::open(world.store.clone()), &world.store, Vec::new(), vec![gone]);
    world
}

/// Of the packs that came last.
fn lose_segment(store: &MemoryStore, before: &BTreeSet<PackId>) {
    let of_new = |packs: &Vec<PackId>| packs.iter().any(|pack| !before.contains(pack));
    let lost = segments(store).into_iter().find(|(_, packs)| of_new(packs)).expect("a new segment").0;
    store.remove(&Key::file(Kind::Index, lost)).unwrap();
}

/// What has been changed in the store, without the names, which are others each time.
fn shape(changes: &[String]) -> Vec<String> {
    changes.iter().map(|change| change.split('/').next().unwrap_or_default().to_owned()).collect()
}

/// Runs a compaction that fails at operation `at`; the store beneath, what was done, and how it ended.
fn interrupted(world: &World, fault: Fault) -> (MemoryStore, FaultyStore, Result<(), Error>) {
    let store = world.copy();
    let faulty = FaultyStore::new(Arc::new(store.clone()));
    let repository = sample::open(faulty.clone());
    faulty.take_operations();
    faulty.inject(fault);
    let options = CompactOptions { jobs: Some(1), ..AT_ONCE };
    let outcome = compact(&repository, &options, &Silent).map(drop);
    (store, faulty, outcome)
}

/// Fails at each operation. States that only differ by what was read before are looked at once.
fn at_each_operation(mode: FaultMode, then: FaultThen, kind: StoreErrorKind, only: Option<Verb>) {
    let world = busy();
    let undisturbed = {
        let store = world.copy();
        try_compact(&store, &AT_ONCE).unwrap();
        assert_settled(&store, &world.kept);
        bytes(&store)
    };
    let mut seen = HashSet::new();
    let mut at = 0;
    loop {
        let (store, faulty, outcome) = interrupted(&world, Fault { only, at, mode, then, kind });
        let operations = faulty.take_operations();
        let struck =
            operations.iter().filter(|operation| only.is_none_or(|only| only == operation.verb)).count() as u64 > at;
        match &outcome {
            Ok(()) => {}
            Err(Error::Store(error)) => assert!(struck && error.kind == kind, "operation {at}: {error}"),
            Err(error) => panic!("operation {at}: {error:?}"),
        }
        // What came after the fault, if it was forever, did not happen.
        let done = match then {
            FaultThen::Forever => operations.get(..usize::try_from(at).unwrap() + 1).unwrap_or(&operations),
            FaultThen::Once => &operations,
        };
        if seen.insert((outcome.is_ok(), shape(&changes(done)))) {
            assert_in_order(&store);
            assert_whole(&store, &world.kept, &world.source());
            try_compact(&store, &AT_ONCE).unwrap_or_else(|error| panic!("after a fault at operation {at}: {error}"));
            assert_whole(&store, &world.kept, &world.source());
            assert_settled(&store, &world.kept);
            let left = bytes(&store);
            assert!(
                left <= undisturbed + undisturbed / 10 + 16_384,
                "operation {at}: {left} bytes, undisturbed {undisturbed}"
            );
        }
        if !struck {
            outcome.unwrap();
            break;
        }
        at += 1;
        assert!(at < 2000, "it never ends");
    }
    assert!(at > if only.is_some() { 0 } else { 60 }, "{at} operations are too few to be a compaction");
}

#[test]
fn it_is_killed_before_any_operation() {
    at_each_operation(FaultMode::Before, FaultThen::Forever, StoreErrorKind::Other, None);
}

#[test]
fn it_is_killed_after_any_operation() {
    at_each_operation(FaultMode::After, FaultThen::Forever, StoreErrorKind::Other, None);
}

#[test]
fn an_operation_fails_once() {
    at_each_operation(FaultMode::Before, FaultThen::Once, StoreErrorKind::Other, None);
}

#[test]
fn an_operation_is_done_and_its_answer_is_lost() {
    at_each_operation(FaultMode::After, FaultThen::Once, StoreErrorKind::Other, None);
}

#[test]
fn the_disk_is_full_at_any_put() {
    for verb in [Verb::Put, Verb::Append, Verb::Finish] {
        at_each_operation(FaultMode::Before, FaultThen::Once, StoreErrorKind::NoSpace, Some(verb));
    }
}
