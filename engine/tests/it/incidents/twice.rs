//! Packs that hold an object more than once, as no run of ours writes them.

use vault_engine::compress::Compression;
use vault_engine::crypto::Purpose;
use vault_engine::format::records::Verb;
use vault_engine::repository::{Packer, Reader};

use super::*;
use crate::compact::AT_ONCE;

/// All packs give way to others in which each object stands three times: twice in one block, and in another one.
fn store_thrice(store: &MemoryStore) {
    let (packs, segments) = (compact::packs(store), compact::names(store, Kind::Index));
    let objects = compact::objects(store);
    let repository = sample::open(store.clone());
    let index = Arc::new(repository.load_index().unwrap());
    let reader = Reader::new(&repository, Arc::clone(&index));
    let mut packer = Packer::new(&repository, index, Compression::default(), Verb::Create, "");
    for times in [2, 1] {
        let mut builder = packer.builder(packer.compression());
        for (purpose, id) in &objects {
            let bytes = reader.object(*purpose, id).unwrap();
            for _ in 0..times {
                match purpose {
                    Purpose::Data => packer.add_chunk(&mut builder, *id, &bytes).unwrap(),
                    Purpose::Meta => packer.put_claimed(*purpose, *id, &bytes).unwrap(),
                }
            }
        }
        // More than a block has room for, so that what comes next stands in another one.
        let filler = noise(1000 + times, 400_000);
        packer.add_chunk(&mut builder, repository.ring().object_id(Purpose::Data, &filler), &filler).unwrap();
        packer.give_back(builder);
    }
    packer.flush().unwrap();
    packer.end();
    for key in packs.into_iter().map(Key::pack) {
        store.remove_raw(&key);
    }
    for name in segments {
        store.remove_raw(&Key::listed(Kind::Index, name));
    }
}

#[test]
fn of_what_a_pack_holds_several_times_each_object_is_kept_once() {
    for options in [AT_ONCE, THOROUGH] {
        let mut world = World::new();
        for number in 0..6 {
            world.write(&format!("file {number}"), noise(number, 20_000));
        }
        let first = world.archive();
        for number in 0..3 {
            world.write(&format!("file {number}"), noise(10 + number, 20_000));
        }
        world.archive();
        let live = compact::objects(&world.store);
        store_thrice(&world.store);
        assert!(compact::objects(&world.store).len() >= 3 * live.len());
        compact::assert_whole(&world.store, &world.kept, &world.source());
        compact(&sample::open(world.store.clone()), &options, &Silent).unwrap();
        compact::assert_whole(&world.store, &world.kept, &world.source());
        compact::assert_settled(&world.store, &world.kept);
        assert_eq!(compact::objects(&world.store), live, "each object that an archive needs, once, and no other");
        // And once more with an archive less.
        store_thrice(&world.store);
        world.delete(first);
        each_state_of_a_compaction(&world, options, |store, _| {
            compact::assert_restores(store, None, &world.kept, &world.source());
            compact::assert_in_order(store);
        });
    }
}
