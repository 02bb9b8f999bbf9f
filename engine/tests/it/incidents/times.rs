//! What a file system says of times decides nothing.

use std::fs::{self, File, FileTimes};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use vault_engine::ops::prune::prune;
use vault_engine::store::LocalStore;

use super::*;
use crate::deletion::keep_last;

const YEAR: Duration = Duration::from_hours(24 * 365);

/// Every file and folder was read and changed at the same time, whatever was the case.
fn set_times(folder: &Path, time: SystemTime) {
    let mut paths = vec![folder.to_owned()];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        File::open(&path).unwrap().set_times(times).unwrap();
    }
}

#[test]
fn times_of_the_files_of_a_repository_mean_nothing() {
    let mut world = World::new();
    for number in 0..6 {
        world.write(&format!("file {number}"), noise(number, 3000));
    }
    for night in 0..4 {
        world.write("changes", noise(10 + night, 3000));
        world.archive();
    }
    // One that was cut off before its mark, by a run that may be alive.
    world.write("changes", noise(20, 3000));
    let pending = world.archive();
    world.kept.clear();
    world.store.remove(&Key::ok_mark(pending)).unwrap();
    let said = |time: Option<SystemTime>| {
        let folder = TempDir::new().unwrap();
        let path: PathBuf = folder.path().join("repository");
        let store = LocalStore::create(&path).unwrap();
        for (key, bytes) in world.store.snapshot() {
            store.put(&key, &bytes).unwrap();
        }
        let set = || time.iter().for_each(|time| set_times(&path, *time));
        set();
        let repository = Repository::open(Arc::new(store), options()).unwrap();
        let pruned = prune(&repository, &keep_last(2), &Silent).unwrap();
        set();
        let grace = Duration::from_hours(7 * 24);
        let mut report = compact(&repository, &CompactOptions { grace, jobs: Some(1), ..THOROUGH }, &Silent).unwrap();
        report.duration = Duration::ZERO;
        set();
        let created = sample::archive(&repository, &world.source());
        sample::assert_sound(&repository);
        let target = TempDir::new().unwrap();
        sample::restore_all(&repository, &created, &world.source(), target.path());
        (pruned, format!("{report:?}"), sample::tree_id(&repository, &created, &world.source()))
    };
    let now = fs::metadata(world.source()).unwrap().modified().unwrap();
    let untouched = said(None);
    for time in [SystemTime::UNIX_EPOCH, now - YEAR, now + YEAR, now + 30 * YEAR] {
        assert!(said(Some(time)) == untouched, "{time:?}");
    }
}

fn options() -> vault_engine::repository::OpenOptions {
    vault_engine::repository::OpenOptions {
        secrets: vec![sample::secret()],
        host_id: [1; 16],
        ..vault_engine::repository::OpenOptions::default()
    }
}
