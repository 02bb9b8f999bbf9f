//! What a compaction remembers of the one before may be old, foreign or rubbish: its results are the same as if it remembered nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{
    AT_ONCE, CompactOptions, MemoryStore, Silent, TempDir, World, assert_settled, assert_whole, compact, noise, sample,
};

const ALONE: CompactOptions = CompactOptions { threshold: 20, jobs: Some(1), ..AT_ONCE };

/// What a compaction with this cache reports, but for the time that it took.
fn report(store: &MemoryStore, cache: Option<&Path>) -> String {
    let mut report = compact(&sample::try_open(store.clone(), cache).unwrap(), &ALONE, &Silent).unwrap();
    report.duration = Duration::ZERO;
    format!("{report:?}")
}

fn rubbish(folder: &Path) -> TempDir {
    let copy = sample::copied(folder);
    for (path, bytes) in sample::files(copy.path()) {
        fs::write(copy.path().join(path), bytes.iter().map(|byte| byte ^ 0x40).collect::<Vec<_>>()).unwrap();
    }
    copy
}

#[test]
fn an_old_or_foreign_or_damaged_cache_changes_nothing() {
    let mut world = World::new();
    for number in 0..40 {
        world.write(&format!("file {number}"), noise(number, 4000));
    }
    let kept = TempDir::new().unwrap();
    let mut older = Vec::new();
    let mut foreign = None;
    let mut archives = Vec::new();
    for night in 0..8 {
        for changed in 0..6 {
            world.write(&format!("file {}", (night * 7 + changed * 3) % 40), noise(1000 + night * 10 + changed, 4000));
        }
        archives.push(world.archive());
        if night % 4 == 3 {
            // The same tree once more: an archive that adds nothing.
            archives.push(world.archive());
        }
        if archives.len() > 3 {
            let which = usize::try_from(night).unwrap() % 3;
            world.delete(archives.remove(which));
        }
        let alone = {
            let store = world.copy();
            let alone = report(&store, None);
            assert_whole(&store, &world.kept, &world.source());
            alone
        };
        let mut caches = vec![("kept", sample::copied(kept.path())), ("rubbish", rubbish(kept.path()))];
        caches.extend(older.first().map(|old: &TempDir| ("rolled back", sample::copied(old.path()))));
        caches.extend(foreign.as_ref().map(|foreign: &TempDir| ("of another host", sample::copied(foreign.path()))));
        for (name, cache) in caches {
            let store = world.copy();
            assert_eq!(report(&store, Some(cache.path())), alone, "night {night}, the cache is {name}");
            assert_whole(&store, &world.kept, &world.source());
            assert_settled(&store, &world.kept);
        }
        older.push(sample::copied(kept.path()));
        if older.len() > 2 {
            older.remove(0);
        }
        report(&world.store, Some(kept.path()));
        if night == 1 {
            foreign = Some(sample::copied(kept.path()));
        }
    }
}
