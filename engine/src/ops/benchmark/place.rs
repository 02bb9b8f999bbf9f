//! The store, used as `create` and `check` use it: packs appended to and made durable, read back; small files; a listing.

use std::time::Duration;

use super::data::Noise;
use super::{BenchmarkOptions, Place, check, per_second};
use crate::clock::Stopwatch;
use crate::crypto;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::format::config::Profile;
use crate::id::{FileId, PackId};
use crate::progress::Monitor;
use crate::store::{Key, Kind, Store};

/// About a block.
const PART_BYTES: usize = 512 << 10;
/// A manifest's.
const SMALL_FILE_BYTES: usize = 4096;
/// Others may write meanwhile: so many times what is put must be free.
const FREE_FACTOR: u64 = 4;

/// What a store does. Speeds are bytes a second; times are those of one file.
#[derive(Clone, Debug)]
pub struct PlaceReport {
    /// Packs that were put.
    pub packs: u64,
    /// Bytes of each.
    pub pack_bytes: u64,
    /// Appending and making durable.
    pub put: u64,
    /// Reading back, from the system's cache if it has one.
    pub read: u64,
    /// Small files that were put one by one, and as many together.
    pub small_files: u64,
    /// One small file put and durable before the next.
    pub put_small: Duration,
    /// The same where they are put together.
    pub put_small_together: Duration,
    /// Files in the repository.
    pub listed_files: u64,
    /// Listing all of them.
    pub list: Duration,
}

/// Measures a place.
pub(super) fn measure(options: &BenchmarkOptions, place: Place<'_>, monitor: &dyn Monitor) -> Result<PlaceReport> {
    let pack_bytes = u64::from(Profile::default().pack_bytes);
    let packs = u64::from(options.packs);
    check(monitor)?;
    check_room(place.store, packs * pack_bytes)?;

    let watch = Stopwatch::start();
    let listed = Kind::ALL.into_iter().map(|kind| place.store.list(kind).map(|files| files.len() as u64));
    let listed_files = listed.sum::<std::result::Result<u64, _>>()?;
    let list = watch.elapsed();

    let mut trial = Trial { scratch: place.scratch, monitor, keys: Vec::new() };
    let (mut put, mut read) = (Duration::ZERO, Duration::ZERO);
    for number in 0..options.packs {
        put += trial.put_pack(number, pack_bytes)?;
    }
    for key in &trial.keys {
        read += trial.read_pack(key, pack_bytes)?;
    }
    let put_small = trial.put_small(options.small_files)?;
    let put_small_together = trial.put_small_together(options.small_files)?;
    trial.remove()?;
    Ok(PlaceReport {
        packs,
        pack_bytes,
        put: per_second(packs * pack_bytes, put),
        read: per_second(packs * pack_bytes, read),
        small_files: u64::from(options.small_files),
        put_small,
        put_small_together,
        listed_files,
        list,
    })
}

/// A nightly archive that finds no room because of a benchmark would be a bad trade.
fn check_room(store: &dyn Store, bytes: u64) -> Result<()> {
    match store.free_bytes()? {
        Some(free) if free < FREE_FACTOR * bytes => {
            Err(StoreError::new("measure", store.describe(), StoreErrorKind::NoSpace).into())
        }
        _ => Ok(()),
    }
}

/// What is put goes when this does, however the measuring ends; what then is left, the caller removes with the store.
struct Trial<'a> {
    scratch: &'a dyn Store,
    monitor: &'a dyn Monitor,
    keys: Vec<Key>,
}

impl Trial<'_> {
    /// A name that nothing has, noted before anything gets it.
    fn key(&mut self, kind: Kind) -> Result<Key> {
        let key = match kind {
            Kind::Packs => Key::pack(PackId::from_bytes(crypto::random()?)),
            kind => Key::file(kind, FileId::from_bytes(crypto::random()?)),
        };
        self.keys.push(key.clone());
        Ok(key)
    }

    fn put_pack(&mut self, number: u32, bytes: u64) -> Result<Duration> {
        let key = self.key(Kind::Packs)?;
        let mut noise = Noise::new(&format!("pack {number}"));
        let mut part = vec![0; PART_BYTES];
        let mut time = Duration::ZERO;
        let mut upload = self.scratch.begin()?;
        for _ in 0..bytes / PART_BYTES as u64 {
            check(self.monitor)?;
            noise.fill(&mut part);
            let watch = Stopwatch::start();
            upload.append(&part)?;
            time += watch.elapsed();
        }
        let watch = Stopwatch::start();
        upload.finish(&key)?;
        Ok(time + watch.elapsed())
    }

    fn read_pack(&self, key: &Key, bytes: u64) -> Result<Duration> {
        let mut part = vec![0; PART_BYTES];
        let watch = Stopwatch::start();
        for number in 0..bytes / PART_BYTES as u64 {
            check(self.monitor)?;
            self.scratch.read_at(key, number * PART_BYTES as u64, &mut part)?;
        }
        Ok(watch.elapsed())
    }

    fn put_small(&mut self, count: u32) -> Result<Duration> {
        let bytes = vec![7; SMALL_FILE_BYTES];
        let mut time = Duration::ZERO;
        for _ in 0..count {
            check(self.monitor)?;
            let key = self.key(Kind::Events)?;
            let watch = Stopwatch::start();
            self.scratch.put(&key, &bytes)?;
            time += watch.elapsed();
        }
        Ok(time / count.max(1))
    }

    fn put_small_together(&mut self, count: u32) -> Result<Duration> {
        let file = |_| Ok((self.key(Kind::Events)?, vec![7; SMALL_FILE_BYTES]));
        let files = (0..count).map(file).collect::<Result<Vec<_>>>()?;
        check(self.monitor)?;
        let watch = Stopwatch::start();
        self.scratch.put_many(&files)?;
        Ok(watch.elapsed() / count.max(1))
    }

    fn remove(mut self) -> Result<()> {
        Ok(self.scratch.remove_many(&std::mem::take(&mut self.keys))?)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        // Why the measuring failed is what the user should hear.
        let _ = self.scratch.remove_many(&self.keys);
    }
}
