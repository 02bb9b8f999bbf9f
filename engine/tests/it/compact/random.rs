//! Random nights, deletions and compactions: whatever was not deleted restores, and what was deleted takes no room.

use proptest::prelude::*;
use vault_engine::chunker::ChunkerRequest;
use vault_engine::compress::Compression;
use vault_engine::ops::create::CreateOptions;

use super::{AT_ONCE, ArchiveId, CompactOptions, Silent, THOROUGH, TempDir, World, bytes, noise, sample, times};

#[derive(Clone, Copy, Debug)]
enum Change {
    /// Writes a file anew.
    Write {
        file: u8,
        seed: u8,
        size: u32,
        compressible: bool,
    },
    /// Writes some pages of one that is made of pages.
    Pages {
        file: u8,
        first: u8,
        count: u8,
        seed: u8,
    },
    Remove {
        file: u8,
    },
}

#[derive(Clone, Debug)]
enum Step {
    Night { series: u8, changes: Vec<Change> },
    Delete { which: prop::sample::Index, how_many: u8 },
    Compact { threshold: u8, most: Option<u64>, jobs: usize, dry_run: bool },
}

fn change() -> impl Strategy<Value = Change> {
    let size = prop_oneof![0..3000_u32, 3000..40_000_u32, 200_000..400_000_u32];
    prop_oneof![
        4 => (0..12_u8, any::<u8>(), size, any::<bool>())
            .prop_map(|(file, seed, size, compressible)| Change::Write { file, seed, size, compressible }),
        3 => (0..3_u8, 0..40_u8, 1..12_u8, any::<u8>())
            .prop_map(|(file, first, count, seed)| Change::Pages { file, first, count, seed }),
        2 => (0..12_u8).prop_map(|file| Change::Remove { file }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let compact = (0..=100_u8, prop::option::weighted(0.2, 0..500_000_u64), 1..3_usize, prop::bool::weighted(0.3));
    prop_oneof![
        5 => (0..4_u8, prop::collection::vec(change(), 1..8)).prop_map(|(series, changes)| Step::Night { series, changes }),
        3 => (any::<prop::sample::Index>(), 1..4_u8).prop_map(|(which, how_many)| Step::Delete { which, how_many }),
        3 => compact.prop_map(|(threshold, most, jobs, dry_run)| Step::Compact { threshold, most, jobs, dry_run }),
    ]
}

fn content(seed: u8, size: u32, compressible: bool) -> Vec<u8> {
    if compressible {
        return format!("line {seed} of many; ").into_bytes().into_iter().cycle().take(size as usize).collect();
    }
    noise(u64::from(seed), size as usize)
}

/// A world with the order in which its archives were made and how.
struct Life {
    world: World,
    made: Vec<(ArchiveId, CreateOptions)>,
    compression: Compression,
}

impl Life {
    fn apply(&self, change: Change) {
        let path = |file: u8| self.world.source().join(format!("file {file}"));
        match change {
            Change::Write { file, seed, size, compressible } => {
                std::fs::write(path(file), content(seed, size, compressible)).unwrap();
            }
            Change::Pages { file, first, count, seed } => {
                let path = self.world.source().join(format!("pages {file}"));
                let mut bytes = std::fs::read(&path).unwrap_or_default();
                let range = usize::from(first) * 8192..(usize::from(first) + usize::from(count)) * 8192;
                bytes.resize(bytes.len().max(range.end), 0);
                bytes[range.clone()].copy_from_slice(&noise(u64::from(seed) + 1000, range.len()));
                std::fs::write(&path, bytes).unwrap();
            }
            Change::Remove { file } => drop(std::fs::remove_file(path(file))),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Night { series, changes } => {
                for change in changes {
                    self.apply(*change);
                }
                let mut options = self.world.options();
                options.host = format!("host {}", series % 2);
                options.name = format!("series {}", series / 2);
                options.compression = self.compression;
                options.chunker = ChunkerRequest::Auto;
                self.made.push((self.world.archive_as(&options), options));
            }
            Step::Delete { which, how_many } => {
                for _ in 0..*how_many {
                    if !self.made.is_empty() {
                        let (id, _) = self.made.remove(which.index(self.made.len()));
                        self.world.delete(id);
                    }
                }
            }
            Step::Compact { threshold, most, jobs, dry_run } => {
                let options = CompactOptions {
                    threshold: *threshold,
                    max_repack: *most,
                    jobs: Some(*jobs),
                    dry_run: *dry_run,
                    ..AT_ONCE
                };
                let before = self.world.store.snapshot();
                self.world.compact(&options);
                assert!(!dry_run || before == self.world.store.snapshot(), "a dry run changed the store");
                self.world.assert_whole();
            }
        }
    }

    /// Bytes of a repository that never held anything but the archives that are left.
    fn fresh_bytes(&self) -> u64 {
        let fresh = sample::memory();
        let from = sample::open(self.world.store.clone());
        for (id, options) in &self.made {
            let target = TempDir::new().unwrap();
            let archive = from.archive(*id).unwrap().unwrap();
            sample::try_restore(&from, &archive, target.path()).unwrap();
            let options =
                CreateOptions { paths: vec![sample::inside(target.path(), &self.world.source())], ..options.clone() };
            vault_engine::ops::create::create(&sample::open(fresh.clone()), &options, None, &Silent).unwrap();
        }
        super::try_compact(&fresh, &THOROUGH).unwrap();
        bytes(&fresh)
    }
}

fn live(compression: Compression, steps: &[Step]) {
    let mut life = Life { world: World::new(), made: Vec::new(), compression };
    for step in steps {
        life.step(step);
    }
    life.world.compact(&THOROUGH);
    life.world.assert_whole();
    super::assert_settled(&life.world.store, &life.world.kept);
    let (left, fresh) = (bytes(&life.world.store), life.fresh_bytes());
    assert!(left <= fresh + fresh / 10 + 32_768, "{left} bytes are left; a new repository takes {fresh}");
}

#[test]
fn whatever_happens_what_is_not_deleted_restores_and_what_is_takes_no_room() {
    let cases = u32::try_from(times(12)).unwrap();
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd(19))];
    let steps = prop::collection::vec(step(), 6..16);
    let settings =
        ProptestConfig { cases, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(settings, |(compression in compression, steps in steps)| live(compression, &steps));
}
