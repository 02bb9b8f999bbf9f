//! A repair that is cut off after any of its operations, and the one after it.

use vault_engine::store::{Fault, FaultMode, FaultThen};

use super::{Arc, FaultyStore, Key, Kind, MemoryStore, Sample, Silent, Store, YES, repair, sample};

/// A flip in the largest pack of data, in a segment and in a mark.
fn damage(sample: &Sample, store: &MemoryStore) {
    let largest = |kind: Kind| sample.of(kind).into_iter().max_by_key(|key| store.size(key).unwrap()).unwrap();
    let mark = sample
        .of(Kind::Archives)
        .into_iter()
        .find(|key| std::path::Path::new(key.name()).extension().is_some_and(|it| it == "ok"))
        .unwrap();
    let damaged: [(Key, usize); 3] = [(largest(Kind::Packs), 300_000), (largest(Kind::Index), 500), (mark, 40)];
    for (key, at) in damaged {
        assert!(store.corrupt(&key, |bytes| bytes[at] ^= 1));
    }
}

fn cut_off(mode: FaultMode) {
    let sample = Sample::new();
    // One of seven operations, or all of them.
    let (first, step) =
        if std::env::var_os("VAULT_FAULTS").is_some_and(|value| value == "all") { (0, 1) } else { (3, 7) };
    for at in (first..).step_by(step) {
        let store = sample.store();
        damage(&sample, &store);
        let before = sample.readable(&store, "before");
        let faulty = FaultyStore::new(Arc::new(store.clone()));
        let repository = sample::open(faulty.clone());
        faulty.take_operations();
        faulty.inject(Fault { mode, then: FaultThen::Forever, ..Fault::crash(at) });
        let done = repair(&repository, YES, &Silent);
        let last = faulty.take_operations().pop();
        if !faulty.is_crashed() {
            done.unwrap();
            assert!(at > 50, "{at} operations");
            return;
        }
        let what = format!("cut off {mode:?} operation {at}, {last:?}");
        let after = sample.readable(&store, &what);
        assert!(after.is_superset(&before), "{what}: {:?}", before.difference(&after));
        sample.assert_repaired(&store, &what);
    }
}

#[test]
fn cut_off_before_any_operation_loses_nothing() {
    cut_off(FaultMode::Before);
}

#[test]
fn cut_off_after_any_operation_loses_nothing() {
    cut_off(FaultMode::After);
}
