//! Random histories: a local store and one in memory answer alike.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use vault_engine::error::StoreErrorKind;
use vault_engine::id::{ArchiveId, FileId};
use vault_engine::store::{Key, Kind, MemoryStore, Store};

use super::{local, pack};

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Put(usize, Vec<u8>),
    Upload(usize, Vec<Vec<u8>>),
    Abandon(Vec<u8>),
    Remove(usize),
    PutMany(Vec<(usize, Vec<u8>)>),
    RemoveMany(Vec<usize>),
    Read(usize, u64),
    ReadAt(usize, u64, usize),
    List(usize),
}

fn keys() -> Vec<Key> {
    let id = |byte: u8| [byte; 32];
    let archive = ArchiveId::from_bytes(id(3));
    vec![
        Key::config(),
        pack(1),
        pack(2),
        Key::file(Kind::Index, FileId::from_bytes(id(1))),
        Key::archive(archive),
        Key::ok_mark(archive),
        Key::session(&[5; 16], 1),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..keys().len();
    let bytes = || vec(any::<u8>(), 0..200);
    let step = prop_oneof![
        (key.clone(), bytes()).prop_map(|(key, bytes)| Step::Put(key, bytes)),
        (key.clone(), vec(bytes(), 0..4)).prop_map(|(key, pieces)| Step::Upload(key, pieces)),
        bytes().prop_map(Step::Abandon),
        key.clone().prop_map(Step::Remove),
        vec((key.clone(), bytes()), 0..6).prop_map(distinct).prop_map(Step::PutMany),
        vec(key.clone(), 0..6).prop_map(Step::RemoveMany),
        (key.clone(), 0..250_u64).prop_map(|(key, limit)| Step::Read(key, limit)),
        (key, prop_oneof![4 => 0..250_u64, 1 => any::<u64>()], 0..100_usize)
            .prop_map(|(key, offset, length)| Step::ReadAt(key, offset, length)),
        (0..Kind::ALL.len()).prop_map(Step::List),
    ];
    vec(step, 0..40)
}

/// Which of two files of one name is put last is open.
fn distinct(files: Vec<(usize, Vec<u8>)>) -> Vec<(usize, Vec<u8>)> {
    files.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// What can be seen of a step: bytes, or the class of its failure.
fn run(store: &dyn Store, step: &Step) -> Result<Vec<u8>, StoreErrorKind> {
    let keys = keys();
    let seen = match step {
        Step::Put(key, bytes) => store.put(&keys[*key], bytes).map(|()| Vec::new()),
        Step::Upload(key, pieces) => store.begin().and_then(|mut upload| {
            pieces.iter().try_for_each(|piece| upload.append(piece))?;
            upload.finish(&keys[*key]).map(|()| Vec::new())
        }),
        Step::Abandon(bytes) => store.begin().and_then(|mut upload| upload.append(bytes)).map(|()| Vec::new()),
        Step::Remove(key) => store.remove(&keys[*key]).map(|()| Vec::new()),
        Step::PutMany(files) => {
            let files: Vec<_> = files.iter().map(|(key, bytes)| (keys[*key].clone(), bytes.clone())).collect();
            store.put_many(&files).map(|()| Vec::new())
        }
        Step::RemoveMany(going) => {
            let going: Vec<_> = going.iter().map(|key| keys[*key].clone()).collect();
            store.remove_many(&going).map(|()| Vec::new())
        }
        Step::Read(key, limit) => store.read(&keys[*key], *limit),
        Step::ReadAt(key, offset, length) => {
            let mut buffer = vec![0; *length];
            store.read_at(&keys[*key], *offset, &mut buffer).map(|()| buffer)
        }
        Step::List(kind) => store.list(Kind::ALL[*kind]).map(|listed| {
            let lines: BTreeMap<_, _> = listed.into_iter().map(|file| (file.name, file.size)).collect();
            format!("{lines:?}").into_bytes()
        }),
    };
    seen.map_err(|error| error.kind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_local_store_and_a_memory_store_answer_alike(steps in steps()) {
        let (_folder, local) = local();
        let memory = MemoryStore::new();
        for step in &steps {
            prop_assert_eq!(run(&local, step), run(&memory, step), "{:?}", step);
        }
        for (at, key) in keys().iter().enumerate() {
            prop_assert_eq!(local.size(key).unwrap(), memory.size(key).unwrap());
            prop_assert_eq!(run(&local, &Step::Read(at, 10_000)), run(&memory, &Step::Read(at, 10_000)));
        }
    }
}
