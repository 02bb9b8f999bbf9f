//! Volumes to measure on, the same for a name and a size on every machine.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};

use crate::content::{Contents, PAGE_BYTES, page};
use crate::random::Random;

const SEED: u64 = 20_261_121;
const MIB: u64 = 1 << 20;
/// One page of so many changes in a night: about 6,000 random updates of a gigabyte.
const CHANGED_PAGES: usize = 25;

/// What to archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// A tree of sources, programs and pictures, some of them twice.
    Mixed,
    /// Embeddings in files of 64 MiB, which hardly compress.
    Vectors,
    /// Files of database pages that are updated in place, and the night after.
    Pages,
    /// Many small files.
    Small,
    /// What the user has.
    Folder(PathBuf),
}

impl DataSet {
    /// Its name in tables.
    pub fn name(&self) -> String {
        match self {
            Self::Mixed => "mixed".to_owned(),
            Self::Vectors => "vectors".to_owned(),
            Self::Pages => "pages".to_owned(),
            Self::Small => "small".to_owned(),
            Self::Folder(path) => path.display().to_string(),
        }
    }

    /// Whether a later night can be made.
    pub fn has_night(&self) -> bool {
        *self == Self::Pages
    }
}

impl FromStr for DataSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "mixed" => Self::Mixed,
            "vectors" => Self::Vectors,
            "pages" => Self::Pages,
            "small" => Self::Small,
            folder if Path::new(folder).is_dir() => Self::Folder(folder.into()),
            _ => return Err("expected mixed, vectors, pages, small or a folder that exists".to_owned()),
        })
    }
}

/// A data set on disk.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its folder, absolute.
    pub path: PathBuf,
    /// How many files.
    pub files: u64,
    /// Their sizes.
    pub bytes: u64,
}

impl Volume {
    /// Counts what is there.
    pub fn of(path: &Path) -> Result<Self> {
        let path = path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
        let (files, bytes) = count(&path)?;
        Ok(Self { path, files, bytes })
    }
}

/// Files below a folder, and the sum of their sizes.
pub fn count(folder: &Path) -> Result<(u64, u64)> {
    let mut total = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                total = (total.0 + 1, total.1 + metadata.len());
            }
        }
    }
    Ok(total)
}

/// Writes a data set of about `size` bytes below `folder`, or finds the user's.
pub fn generate(set: &DataSet, size: u64, folder: &Path) -> Result<Volume> {
    let path = match set {
        DataSet::Folder(path) => return Volume::of(path),
        _ => folder.join(set.name()),
    };
    fs::create_dir_all(&path)?;
    let mut contents = Contents::new(SEED);
    match set {
        DataSet::Mixed | DataSet::Folder(_) => mixed(&mut contents, size, &path)?,
        DataSet::Vectors => vectors(&mut contents, size, &path)?,
        DataSet::Pages => pages(&contents, size, &path)?,
        DataSet::Small => small(&mut contents, size, &path)?,
    }
    Volume::of(&path)
}

fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn mixed(contents: &mut Contents, size: u64, path: &Path) -> Result<()> {
    let (mut written, mut number) = (0, 0);
    let mut earlier: Vec<PathBuf> = Vec::new();
    while written < size {
        let file = path.join(format!("{:02}/{:02}/{number}", number / 1600 % 100, number / 40 % 40));
        let random = contents.random();
        let bytes = match random.below(100) {
            0..=4 if !earlier.is_empty() => {
                let again = earlier.get(random.below(earlier.len())).cloned().unwrap_or_default();
                fs::read(&again).with_context(|| format!("cannot read {}", again.display()))?
            }
            0..=72 => {
                let length = random.spread(300, 40_000);
                contents.text(length)
            }
            73..=85 => {
                let length = random.spread(4_000, 500_000);
                contents.records(length)
            }
            86..=97 => {
                let length = random.spread(8_000, 400_000);
                contents.noise(length)
            }
            98 => {
                let length = random.spread(512 << 10, 6 << 20);
                contents.text(length)
            }
            _ => {
                let length = random.spread(512 << 10, 6 << 20);
                contents.mixed(length)
            }
        };
        create(&file, &bytes)?;
        written += bytes.len() as u64;
        number += 1;
        earlier.push(file);
    }
    Ok(())
}

fn vectors(contents: &mut Contents, size: u64, path: &Path) -> Result<()> {
    let mut written = 0;
    let mut number = 0;
    while written < size {
        let length = (size - written).min(64 * MIB);
        let file = path.join(format!("segment-{number}.vec"));
        let mut writer = BufWriter::new(File::create(&file)?);
        for _ in 0..length.div_ceil(MIB) {
            writer.write_all(&contents.vectors(1 << 20))?;
        }
        writer.flush()?;
        written += length;
        number += 1;
    }
    Ok(())
}

fn small(contents: &mut Contents, size: u64, path: &Path) -> Result<()> {
    let (mut written, mut number) = (0, 0);
    while written < size {
        let length = contents.random().spread(100, 6_000);
        create(&path.join(format!("{:03}/{number}.json", number / 500)), &contents.text(length))?;
        written += length as u64;
        number += 1;
    }
    Ok(())
}

/// Three quarters in the heap of a PostgreSQL database, a quarter in something that looks like an SQLite file.
fn pages(contents: &Contents, size: u64, path: &Path) -> Result<()> {
    let count = size / PAGE_BYTES as u64;
    for (name, first, pages) in [(HEAP, 0, count * 3 / 4), (SQLITE, count, count / 4)] {
        let file = path.join(name);
        create(&file, &[])?;
        let mut writer = BufWriter::new(File::create(&file)?);
        for number in first..first + pages.max(1) {
            writer.write_all(&stored_page(contents, name, number == first, number, 0))?;
        }
        writer.flush()?;
    }
    Ok(())
}

const HEAP: &str = "base/16384/16385";
const SQLITE: &str = "app.sqlite";

fn stored_page(contents: &Contents, name: &str, is_first: bool, number: u64, version: u64) -> Vec<u8> {
    let mut page = page(contents, number, version);
    if is_first && name == SQLITE {
        // Pages of 4 KiB: two of them in each of ours.
        let header = b"SQLite format 3\0\x10\x00\x01\x01\0\x40\x20\x20";
        page.iter_mut().zip(header).for_each(|(to, from)| *to = *from);
    }
    page
}

/// Makes the data set as it is the night after, or again as it was (`version` 0), in place as a database does it.
pub fn set_night(set: &DataSet, volume: &Volume, version: u64) -> Result<()> {
    if !set.has_night() {
        return Ok(());
    }
    let contents = Contents::new(SEED);
    let count = (volume.bytes / PAGE_BYTES as u64).max(1);
    for (name, first) in [(HEAP, 0), (SQLITE, count)] {
        let path = volume.path.join(name);
        let mut file =
            File::options().write(true).open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let pages = file.metadata()?.len() / PAGE_BYTES as u64;
        let mut random = Random::new(first + 99);
        for index in 0..pages {
            if random.below(CHANGED_PAGES) == 0 {
                file.seek(SeekFrom::Start(index * PAGE_BYTES as u64))?;
                file.write_all(&stored_page(&contents, name, index == 0, first + index, version))?;
            }
        }
        file.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_about_the_size_asked_and_a_night_can_be_taken_back() {
        let scratch = tempfile::tempdir().unwrap();
        for set in [DataSet::Mixed, DataSet::Vectors, DataSet::Pages, DataSet::Small] {
            let volume = generate(&set, MIB, scratch.path()).unwrap();
            assert!((MIB / 2..=8 * MIB).contains(&volume.bytes), "{set:?}: {} bytes", volume.bytes);
        }
        let set = DataSet::Pages;
        let volume = Volume::of(&scratch.path().join("pages")).unwrap();
        let read = || [HEAP, SQLITE].map(|name| fs::read(volume.path.join(name)).unwrap());
        let before = read();
        set_night(&set, &volume, 1).unwrap();
        assert_ne!(read(), before);
        set_night(&set, &volume, 0).unwrap();
        assert_eq!(read(), before);
    }
}
