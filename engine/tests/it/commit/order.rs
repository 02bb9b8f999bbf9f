//! The order of a commit's operations, which is its proof.

use vault_engine::store::FaultyStore;

use super::{Operation, Source, Verb, sample};

/// Folder of what an operation is on; marks apart from manifests.
fn place(operation: &Operation) -> (Verb, &str) {
    let folder = match operation.key.split_once('/') {
        Some(("archives", name)) if name.split_once('.').is_some_and(|(_, mark)| mark == "ok") => "ok",
        Some(("archives", _)) => "manifest",
        Some((folder, _)) => folder,
        None => &operation.key,
    };
    (operation.verb, folder)
}

#[track_caller]
fn assert_order(operations: &[Operation]) {
    let places: &[(Verb, &str)] = &operations.iter().map(place).collect::<Vec<_>>();
    let of = |wanted: (Verb, &'static str)| (0..places.len()).filter(move |&at| places[at] == wanted);
    let manifest = of((Verb::Put, "manifest")).next().expect("a manifest is put");
    let ok = of((Verb::Put, "ok")).next().expect("a mark is put");
    assert_eq!((of((Verb::Put, "manifest")).count(), of((Verb::Put, "ok")).count()), (1, 1));
    let last_pack = of((Verb::Finish, "packs")).next_back().expect("packs are put");
    let first_segment = of((Verb::Put, "index")).next().expect("a segment is put");
    let last_segment = of((Verb::Put, "index")).next_back().unwrap();
    assert!(last_pack < first_segment && last_segment < manifest, "packs, then segments, then the manifest");
    let between: Vec<_> =
        places[manifest + 1..ok].iter().filter(|(verb, _)| *verb == Verb::List).map(|(_, folder)| *folder).collect();
    assert_eq!(between, ["gc", "packs"], "the check is gc/, then packs/");
    let after: Vec<_> =
        places[ok + 1..].iter().filter(|(verb, _)| matches!(verb, Verb::List | Verb::Size)).copied().collect();
    assert_eq!(after, [(Verb::List, "gc"), (Verb::Size, "manifest")], "gc/ first, then the manifest itself");
    assert_eq!(of((Verb::Remove, "packs")).count() + of((Verb::Remove, "index")).count(), 0);
    assert_eq!(of((Verb::Remove, "manifest")).count() + of((Verb::Remove, "ok")).count(), 0);
}

#[test]
fn a_create_does_what_the_protocol_says_in_its_order() {
    let source = Source::new();
    let store = FaultyStore::new(std::sync::Arc::new(sample::memory()));
    let repository = sample::open(store.clone());
    store.take_operations();
    sample::archive(&repository, &source.path);
    assert_order(&store.take_operations());
    source.change(1);
    sample::archive(&repository, &source.path);
    assert_order(&store.take_operations());
}
