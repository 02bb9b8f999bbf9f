//! Every kind of damage to every file.

use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::records::GcRecord;
use vault_engine::id::{FileId, PackId};

use super::{Key, Kind, MemoryStore, Remedy, Sample, Snapshot, Store};

type Damage = Box<dyn Fn(&MemoryStore, &Key)>;

/// What can happen to one file.
fn damages(snapshot: &Snapshot, key: &Key) -> Vec<(String, Damage)> {
    let length = snapshot[key].len();
    let mut all = changes(length);
    let others = snapshot.keys().filter(|other| other.kind() == key.kind() && *other != key);
    all.extend(others.take(3).flat_map(|other| mixed_up_with(other)));
    if !key.name().is_empty() && !key.name().contains('.') {
        all.extend(misnamed(key));
    }
    all.push(("deleted".to_owned(), Box::new(|store, key| drop(store.remove_raw(key).unwrap()))));
    all
}

/// Its bytes change.
fn changes(length: usize) -> Vec<(String, Damage)> {
    let changed = |what: String, change: fn(&mut Vec<u8>, usize), at: usize| -> (String, Damage) {
        (what, Box::new(move |store, key| assert!(store.corrupt(key, |bytes| change(bytes, at)))))
    };
    let flips = [0, 20, 60, 130, 200, length / 3, length / 2, length.saturating_sub(70), length - 1];
    let flips = flips.into_iter().filter(|at| *at < length);
    let mut all: Vec<_> = flips.map(|at| changed(format!("flip at {at}"), |bytes, at| bytes[at] ^= 1, at)).collect();
    let cuts = [0, 1, length / 2, length - 1].into_iter();
    all.extend(cuts.map(|left| changed(format!("cut to {left}"), Vec::truncate, left)));
    all.push(changed("zeros".to_owned(), |bytes, _| bytes.fill(0), 0));
    all.push(changed("zeros inside".to_owned(), |bytes, length| bytes[length / 4..length / 2].fill(0), length));
    all.push(changed("longer".to_owned(), |bytes, _| bytes.extend([0; 64]), 0));
    all
}

/// It takes the place of another of its kind, or that its own.
fn mixed_up_with(other: &Key) -> [(String, Damage); 2] {
    let (swapped, copied) = (other.clone(), other.clone());
    let swap: Damage = Box::new(move |store, key| {
        let (one, two) = (store.remove_raw(key).unwrap(), store.remove_raw(&swapped).unwrap());
        store.insert_raw(key.clone(), two);
        store.insert_raw(swapped.clone(), one);
    });
    let copy: Damage = Box::new(move |store, key| store.insert_raw(key.clone(), store.snapshot()[&copied].clone()));
    [(format!("swapped with {other}"), swap), (format!("replaced by {other}"), copy)]
}

/// It has another name, or a second one.
fn misnamed(key: &Key) -> [(String, Damage); 2] {
    let other = Key::listed(key.kind(), format!("{}{}", "7".repeat(32), &key.name()[32..]));
    let second = other.clone();
    let renamed: Damage = Box::new(move |store, key| store.insert_raw(other.clone(), store.remove_raw(key).unwrap()));
    let twice: Damage = Box::new(move |store, key| store.insert_raw(second.clone(), store.snapshot()[key].clone()));
    [("renamed".to_owned(), renamed), ("twice".to_owned(), twice)]
}

/// Each damage of each file of these kinds, each in a fresh store.
fn each_damage(kinds: &[Kind]) {
    let sample = Sample::new();
    assert_eq!(sample.readable(&sample.store(), "undamaged"), sample.everything());
    let mut count = 0;
    for key in kinds.iter().flat_map(|kind| sample.of(*kind)) {
        for (what, damage) in damages(&sample.snapshot, &key) {
            let store = sample.store();
            damage(&store, &key);
            if key.kind() == Kind::Keys && vault_opens(&store).is_err() {
                continue;
            }
            sample.assert_repaired(&store, &format!("{key}: {what}"));
            count += 1;
        }
    }
    assert!(count > 0);
}

fn vault_opens(store: &MemoryStore) -> vault_engine::error::Result<()> {
    crate::sample::try_open(store.clone(), None).map(drop)
}

#[test]
fn whatever_happens_to_a_pack() {
    each_damage(&[Kind::Packs]);
}

#[test]
fn whatever_happens_to_the_index() {
    each_damage(&[Kind::Index]);
}

#[test]
fn whatever_happens_to_manifests_and_marks() {
    each_damage(&[Kind::Archives]);
}

#[test]
fn whatever_happens_to_keys_and_events() {
    each_damage(&[Kind::Keys, Kind::Events]);
}

#[test]
fn what_is_whole_is_left_alone() {
    let sample = Sample::new();
    let store = sample.store();
    let report = sample.assert_repaired(&store, "nothing");
    assert!(report.treatments.iter().all(|one| one.remedy == Remedy::Leave), "{:?}", report.treatments);
    assert_eq!(report.salvaged, 0);
}

/// What it condemned is not known any more: nothing of it may be gone, and everybody can go on.
#[test]
fn a_gc_record_that_cannot_be_read_is_set_aside() {
    let sample = Sample::new();
    let store = sample.store();
    let repository = crate::sample::open(store.clone());
    let pack = PackId::from_hex(sample.of(Kind::Packs)[0].name()).unwrap();
    let payload = GcRecord { packs: vec![pack], pending: Vec::new(), session: [2; 16] }.encode();
    let mut bytes = seal_file(repository.ring(), Class::Gc, [2; 16], &payload).unwrap();
    let name = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
    bytes[200] ^= 1;
    let key = Key::file(Kind::Gc, name);
    store.put(&key, &bytes).unwrap();
    crate::sample::try_archive(&repository, &sample.source).unwrap_err();
    let report = sample.assert_repaired(&store, "a gc record");
    assert!(report.treatments.iter().any(|one| one.key == key && one.remedy == Remedy::SetAside));
    assert!(sample.readable(&store, "a gc record").is_superset(&sample.everything()));
}
