//! However many threads work, the archive is the same: the fast path against the plain one.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;
use vault_engine::ops::create::{CreateOptions, create};
use vault_engine::ops::restore::{RestoreOptions, restore};
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, Repository};
use vault_engine::store::{MemoryStore, Snapshot};

use crate::sample::{self, noise};

/// A piece of a file: how many KiB of what.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Noise(u64, usize),
    /// The same again wherever it comes.
    Known(usize),
    Zeros(usize),
    Hole(usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        3 => (any::<u64>(), 1usize..6000).prop_map(|(seed, kib)| Piece::Noise(seed, kib)),
        1 => (1usize..3000).prop_map(Piece::Known),
        1 => (1usize..3000).prop_map(Piece::Zeros),
        1 => (1usize..3000).prop_map(Piece::Hole),
    ]
}

fn write(path: &Path, pieces: &[Piece]) {
    let file = File::create(path).unwrap();
    let mut at = 0;
    for piece in pieces {
        let bytes = match *piece {
            Piece::Noise(seed, kib) => noise(seed, kib << 10),
            Piece::Known(kib) => noise(7, kib << 10),
            Piece::Zeros(kib) => vec![0; kib << 10],
            Piece::Hole(kib) => {
                at += (kib as u64) << 10;
                file.set_len(at).unwrap();
                continue;
            }
        };
        file.write_all_at(&bytes, at).unwrap();
        at += bytes.len() as u64;
    }
}

/// What so many threads make of a volume, in a copy of an empty repository: its keys decide every id.
fn archive(empty: &Snapshot, volume: &Path, jobs: usize) -> (Repository, Archive) {
    let repository = sample::open(MemoryStore::from_snapshot(empty));
    let options = CreateOptions { jobs: Some(jobs), ..sample::options(&[volume]) };
    let archive = create(&repository, &options, None, &Silent).unwrap().archive.unwrap();
    (repository, archive)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn many_threads_make_the_archive_that_one_makes(
        large in prop::collection::vec(prop::collection::vec(piece(), 0..6), 1..4),
        small in prop::collection::vec(0usize..40_000, 0..300),
        paged in any::<bool>(),
    ) {
        let volume = TempDir::new().unwrap();
        for (number, pieces) in large.iter().enumerate() {
            let name = if paged { format!("{number}.db") } else { format!("{number}.bin") };
            write(&volume.path().join(name), pieces);
        }
        fs::create_dir(volume.path().join("small")).unwrap();
        for (number, length) in (0u64..).zip(&small) {
            fs::write(volume.path().join(format!("small/{number}")), noise(1000 + number % 200, *length)).unwrap();
        }
        let empty = sample::memory().snapshot();
        let (_, alone) = archive(&empty, volume.path(), 1);
        for jobs in [2, 9] {
            let (repository, together) = archive(&empty, volume.path(), jobs);
            prop_assert_eq!(&together.manifest.root, &alone.manifest.root, "{} threads", jobs);
            let target = TempDir::new().unwrap();
            let options = RestoreOptions { target: target.path().to_owned(), jobs: Some(jobs), ..RestoreOptions::default() };
            restore(&repository, &together, &options, &Silent).unwrap();
            for number in 0..large.len() {
                let name = if paged { format!("{number}.db") } else { format!("{number}.bin") };
                let source = volume.path().join(&name);
                let restored = sample::inside(target.path(), &source);
                prop_assert!(fs::read(&source).unwrap() == fs::read(restored).unwrap(), "{}", name);
            }
        }
    }
}
