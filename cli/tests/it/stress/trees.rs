//! Trees of files that change, with contents that several of them have.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What a tree holds: the hash of every file.
pub(crate) type Manifest = BTreeMap<PathBuf, blake3::Hash>;

const FILES: usize = 80;
/// One file of so many is large.
const LARGE: usize = 40;
const LARGE_BYTES: usize = 1_500_000;

/// xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 16) % (bound as u64).max(1)).unwrap()
    }

    pub(crate) fn noise(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(length).collect()
    }
}

/// One writer's folder.
pub(crate) struct Tree {
    folder: PathBuf,
    manifest: Manifest,
}

impl Tree {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let mut tree = Self { folder, manifest: Manifest::new() };
        for file in 0..FILES {
            tree.write(file, 0);
        }
        tree
    }

    /// Gives some files another version, by the epoch, and takes one away; what others do in the same epoch is alike.
    pub(crate) fn change(&mut self, epoch: u64, random: &mut Random) {
        for _ in 0..8 {
            self.write(random.below(FILES), epoch);
        }
        let path = name(random.below(FILES));
        if self.manifest.remove(&path).is_some() {
            fs::remove_file(self.folder.join(path)).unwrap();
        }
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.manifest.clone()
    }

    fn write(&mut self, file: usize, version: u64) {
        let (path, bytes) = (name(file), content(file, version));
        let full = self.folder.join(&path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, &bytes).unwrap();
        self.manifest.insert(path, blake3::hash(&bytes));
    }
}

fn name(file: usize) -> PathBuf {
    format!("{}/{file}", file % 7).into()
}

/// The same for a file and a version, whoever writes it. Of a large file a version changes a part only.
fn content(file: usize, version: u64) -> Vec<u8> {
    let mut of_version = Random::new((file as u64) << 32 | version);
    if file.is_multiple_of(LARGE) {
        let mut bytes = Random::new(file as u64).noise(LARGE_BYTES);
        let part = of_version.noise(20_000);
        let begin = of_version.below(LARGE_BYTES - part.len());
        bytes[begin..begin + part.len()].copy_from_slice(&part);
        bytes
    } else {
        let length = 200 + of_version.below(30_000);
        let words = of_version.noise(64);
        (0..length).map(|_| words[of_version.below(64)] & 0x3F).collect()
    }
}
