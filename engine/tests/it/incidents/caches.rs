//! What a client remembers of a repository is not what is there.

use vault_engine::format::config::Profile;
use vault_engine::repository::InitOptions;

use super::*;

/// Another repository with the same keys, so that the same files have the same ids in it.
fn sibling(store: &MemoryStore) -> MemoryStore {
    let sibling = MemoryStore::new();
    let ours = sample::open(store.clone());
    let options = InitOptions {
        encrypted: true,
        secret: Some(sample::secret()),
        slot_name: "sibling".to_owned(),
        like: Some(&ours),
        profile: Profile::default(),
    };
    Repository::init(&sibling, &options).unwrap();
    sibling
}

#[test]
fn whatever_the_cache_remembers_archives_are_the_same_and_restore() {
    let mut world = World::new();
    let (cache, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for number in 0..6 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    let mut older = None;
    let mut before = None;
    for night in 0..3 {
        world.write("changes", noise(10 + night, 3000));
        let id = archive(&world.store, Some(cache.path()), &world.source());
        world.kept.insert(id, sample::files(&world.source()));
        if night == 1 {
            older = Some(sample::copied(cache.path()));
            before = Some((world.copy(), world.kept.clone()));
        }
    }
    // It has the same objects, and packs of its own.
    let elsewhere = sibling(&world.store);
    archive(&elsewhere, Some(other.path()), &world.source());
    world.write("changes", noise(11, 3000));
    world.write("new", noise(20, 3000));
    let (earlier, kept_then) = before.unwrap();
    let remembered = [
        ("nothing", TempDir::new().unwrap()),
        ("all", sample::copied(cache.path())),
        ("the night before", older.unwrap()),
        ("another repository", other),
    ];
    // The repository as it is, and one that was put back to an earlier state, which is less than is remembered.
    for (state, store, kept) in [("now", &world.store, &world.kept), ("earlier", &earlier, &kept_then)] {
        let mut roots = BTreeMap::new();
        for (name, cache) in &remembered {
            let what = format!("{name} is remembered of the repository of {state}");
            let (store, cache) = (MemoryStore::from_snapshot(&store.snapshot()), sample::copied(cache.path()));
            compact::assert_restores(&store, Some(cache.path()), kept, &world.source());
            let repository = sample::try_open(store.clone(), Some(cache.path())).unwrap();
            let created = sample::archive(&repository, &world.source());
            roots.insert(*name, sample::tree_id(&repository, &created, &world.source()));
            drop(repository);
            let kept = and(kept, created.archive.unwrap().id, &world.source());
            // By somebody who remembers nothing.
            compact::assert_whole(&store, &kept, &world.source());
            let repository = sample::try_open(store.clone(), Some(cache.path())).unwrap();
            compact(&repository, &THOROUGH, &Silent).unwrap_or_else(|error| panic!("{what}: {error}"));
            compact::assert_whole(&store, &kept, &world.source());
        }
        assert!(roots.values().all(|root| *root == roots["nothing"]), "{state}: {roots:?}");
    }
}
