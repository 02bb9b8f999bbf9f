//! Every mutation of every kind of file: flipped, cut, zeroed, exchanged, replayed, duplicated, renamed, deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vault_engine::store::{Key, Kind, MemoryStore};

use super::in_parallel;
use super::world::{Told, World};
use crate::sample;

/// What was done, to which file.
struct Mutation {
    how: &'static str,
    key: Key,
    store: MemoryStore,
}

/// Kinds of files, finer than the folders: a mark is no manifest.
fn kind_of(key: &Key) -> &'static str {
    match key.kind() {
        Kind::Config => "config",
        Kind::Keys => "key",
        Kind::Packs => "pack",
        Kind::Index => "segment",
        Kind::Archives => match key.name().split_once('.') {
            None => "manifest",
            Some((_, "ok")) => "mark",
            Some(_) => "deletion",
        },
        Kind::Events => "event",
        Kind::Gc => "gc record",
        Kind::Sessions => "session",
        Kind::Quarantine => "quarantine",
    }
}

/// What nobody can see who has only the repository, and why.
const UNSEEN: [(&str, &str, &str); 8] = [
    ("mark", "deleted", "of the newest archive: a writer that was cut off leaves the same; or of one that is deleted"),
    ("manifest", "deleted", "of one that is deleted: a compaction that was cut off leaves the same"),
    ("deletion", "deleted", "the archive counts again, which a client that has seen it deleted can tell"),
    (
        "segment",
        "deleted",
        "that of an archive which is deleted: its packs are read without it, and get another by the next create",
    ),
    ("event", "deleted", "it was there for its own sake, and nothing names it"),
    ("gc record", "deleted", "the next compaction condemns again; what was condemned is whole"),
    ("session", "deleted", "its writer has ended, as far as anybody can tell"),
    ("key", "deleted", "a slot that was removed; whoever has its secret is told that no slot opens with it"),
];
/// A renewed session has another number, and whoever is cut off in between leaves both.
const UNSEEN_SESSIONS: [&str; 2] = ["duplicated under another number", "renamed to another number"];

/// Another name of the same form.
fn other_name(key: &Key) -> Key {
    let mut name = key.name().to_owned();
    let last = if name.starts_with('0') { "1" } else { "0" };
    name.replace_range(0..1, last);
    Key::listed(key.kind(), name)
}

/// What is done to a file's bytes, and what that is called.
type Change = (&'static str, fn(&mut Vec<u8>));

fn changes() -> Vec<Change> {
    fn flip(bytes: &mut [u8], at: impl Fn(usize) -> usize) {
        let at = at(bytes.len());
        bytes[at] ^= 0x10;
    }
    let all: [Change; 11] = [
        ("flipped at its start", |bytes| flip(bytes, |_| 0)),
        ("flipped in its header", |bytes| flip(bytes, |_| 40)),
        ("flipped in its body", |bytes| flip(bytes, |length| (128 + 12 + 20).min(length - 5))),
        ("flipped in its middle", |bytes| flip(bytes, |length| length / 2)),
        ("flipped near its end", |bytes| flip(bytes, |length| length - 30)),
        ("flipped at its end", |bytes| flip(bytes, |length| length - 1)),
        ("cut to nothing", Vec::clear),
        ("cut to half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut by a byte", |bytes| bytes.truncate(bytes.len() - 1)),
        ("a byte longer", |bytes| bytes.push(0)),
        ("zeroed", |bytes| bytes.fill(0)),
    ];
    all.to_vec()
}

fn mutations(world: &World) -> Vec<Mutation> {
    let mut all = Vec::new();
    let foreign = sample::memory().snapshot();
    for (key, bytes) in &world.snapshot {
        let mut with = |how, change: &dyn Fn(&MemoryStore)| {
            let store = world.store();
            change(&store);
            all.push(Mutation { how, key: key.clone(), store });
        };
        for (how, change) in changes() {
            with(how, &|store| assert!(store.corrupt(key, change)));
        }
        let kind = kind_of(key);
        let others = world.snapshot.iter().filter(|(other, _)| *other != key && kind_of(other) == kind);
        for (other, other_bytes) in others {
            with("replayed as another", &|store| store.insert_raw(key.clone(), Arc::clone(other_bytes)));
            if other > key {
                with("exchanged with another", &|store| {
                    store.insert_raw(key.clone(), Arc::clone(other_bytes));
                    store.insert_raw(other.clone(), Arc::clone(bytes));
                });
            }
        }
        let of_another = foreign.iter().find(|(other, _)| kind_of(other) == kind);
        if let Some((_, bytes)) = of_another {
            with("that of another repository", &|store| store.insert_raw(key.clone(), Arc::clone(bytes)));
        }
        with("deleted", &|store| drop(store.remove_raw(key)));
        if key.kind() == Kind::Config {
            continue;
        }
        with("duplicated", &|store| store.insert_raw(other_name(key), Arc::clone(bytes)));
        with("renamed", &|store| {
            store.remove_raw(key);
            store.insert_raw(other_name(key), Arc::clone(bytes));
        });
        if kind == "session" {
            let renewed = Key::listed(key.kind(), key.name().replace(".1", ".2"));
            with("duplicated under another number", &|store| store.insert_raw(renewed.clone(), Arc::clone(bytes)));
            with("renamed to another number", &|store| {
                store.remove_raw(key);
                store.insert_raw(renewed.clone(), Arc::clone(bytes));
            });
        }
    }
    all
}

#[test]
fn every_mutation_of_every_kind_of_file_is_told_with_exactly_what_it_harms() {
    let world = World::varied();
    assert_eq!(world.judge(&world.store(), "as it was made"), Told::Nothing);
    let mutations = mutations(&world);
    let (count, kinds) = (mutations.len(), mutations.iter().map(|one| kind_of(&one.key)).collect::<BTreeSet<_>>());
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    let told = in_parallel(&mutations, |Mutation { how, key, store }| {
        let what = format!("{} {} {how}", kind_of(key), key.name());
        (world.judge(store, &what), *how, kind_of(key))
    });
    let mut unseen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (_, how, kind) in told.iter().filter(|(told, ..)| *told == Told::Nothing) {
        *unseen.entry((*kind, *how)).or_default() += 1;
    }
    let excused: BTreeSet<(&str, &str)> = UNSEEN.iter().map(|(kind, how, _)| (*kind, *how)).collect();
    let excused: BTreeSet<_> = excused.into_iter().chain(UNSEEN_SESSIONS.map(|how| ("session", how))).collect();
    assert_eq!(unseen.keys().copied().collect::<BTreeSet<_>>(), excused, "of {count}: {unseen:?}");
    assert_eq!(unseen[&("mark", "deleted")], 2, "only those of the newest archive and of the deleted one");
    assert_eq!(unseen[&("manifest", "deleted")], 1, "only that of the deleted archive");
    assert_eq!(unseen[&("segment", "deleted")], 1, "only that of the deleted archive");
    assert_eq!(unseen[&("key", "deleted")], 1, "only that which opened nothing");
    crate::support::say(&format!("damage: {count} mutations of {} kinds of file", kinds.len()));
}
