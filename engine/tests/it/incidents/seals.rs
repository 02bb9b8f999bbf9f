//! No key is used for two files, and no nonce twice with one key.

use vault_engine::format::file::{Class, open_file};
use vault_engine::format::segment::Segment;
use vault_engine::ops::archives::{Selector, Wanted};
use vault_engine::ops::protect::protect;

use super::*;

#[test]
fn in_a_repository_no_key_and_no_nonce_is_there_twice() {
    let mut world = World::new();
    // What is archived thrice under other names and what a compaction moves is the same plaintext again and again.
    for number in 0..6 {
        world.write(&format!("file {number}"), noise(number, 300_000));
    }
    let mut everything = BTreeMap::new();
    for night in 0..6 {
        world.write("changes", noise(10 + night % 2, 3000));
        let id = world.archive();
        everything.extend(world.store.snapshot());
        if night > 1 {
            world.delete(id);
            compact(&sample::open(world.store.clone()), &THOROUGH, &Silent).unwrap();
            everything.extend(world.store.snapshot());
        }
    }
    let id = *world.kept.keys().next().unwrap();
    for _ in 0..2 {
        let wanted = Wanted { text: format!("aid:{id}"), selector: Selector::Id(id.to_hex()) };
        protect(&sample::open(world.store.clone()), &[wanted], &Silent).unwrap();
        everything.extend(world.store.snapshot());
    }
    let repository = sample::open(world.store.clone());
    let (mut keys, mut nonces, mut packs) = (HashSet::new(), 0, HashSet::new());
    for (key, bytes) in &everything {
        if [Kind::Config, Kind::Keys].contains(&key.kind()) || key.name().contains('.') {
            continue;
        }
        // The random bytes that a file's key is derived from.
        assert!(keys.insert(bytes[32..64].to_vec()), "{key} has the key of another file");
        if key.kind() != Kind::Index {
            continue;
        }
        let segment = Segment::decode(&open_file(repository.ring(), Class::Index, bytes).unwrap()).unwrap();
        for pack in segment.packs {
            let Some(bytes) = everything.get(&Key::pack(pack.id)).filter(|_| packs.insert(pack.id)) else { continue };
            let blocks = pack.blocks().unwrap();
            let heads = blocks.iter().map(|block| block.offset as usize);
            let places: Vec<usize> = heads.flat_map(|head| [head, head + 64]).collect();
            let distinct: HashSet<&[u8]> = places.iter().map(|at| &bytes[*at..*at + 12]).collect();
            assert_eq!(distinct.len(), places.len(), "a nonce is twice in {}", pack.id);
            nonces += places.len();
        }
    }
    assert!(keys.len() > 15 && packs.len() > 5 && nonces > 20, "{} {} {nonces}", keys.len(), packs.len());
}
