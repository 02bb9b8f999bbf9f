//! What this host does in a second: each stage of `create` and `restore` on one core, and the store. For whoever chooses settings.
//!
//! The data are made: how fast a stage is they tell rightly, how small a codec makes what a user has only roughly.

use std::time::Duration;

use crate::clock::Stopwatch;
use crate::compress::Compression;
use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::store::Store;

mod data;
mod place;
mod stages;

pub use place::PlaceReport;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct BenchmarkOptions {
    /// Bytes of each kind of data.
    pub data_bytes: usize,
    /// Each stage is repeated for so long, and at least once; the fastest time counts.
    pub stage_time: Duration,
    /// Codecs and levels to choose from.
    pub compressions: Vec<Compression>,
    /// Packs to put into the store.
    pub packs: u32,
    /// Small files to put there, one by one, and as many together.
    pub small_files: u32,
}

impl Default for BenchmarkOptions {
    fn default() -> Self {
        let levels = [1, 2, 3, 6, 9].map(Compression::Zstd);
        Self {
            data_bytes: 4 << 20,
            stage_time: Duration::from_millis(60),
            compressions: std::iter::once(Compression::Lz4).chain(levels).collect(),
            packs: 4,
            small_files: 32,
        }
    }
}

/// A repository's place.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// All of it, which is only listed.
    pub store: &'a dyn Store,
    /// An empty store at the same place, which the caller removes.
    pub scratch: &'a dyn Store,
}

/// What was measured. Speeds are bytes a second.
#[derive(Clone, Debug)]
pub struct BenchmarkReport {
    /// By kind of data.
    pub data: Vec<DataReport>,
    /// From a passphrase to a key, at the cost that new slots have at least; its lanes have a core each.
    pub key_derivation: Duration,
    /// Of the place, if one was given.
    pub place: Option<PlaceReport>,
    /// How long all of it took.
    pub duration: Duration,
}

/// The stages on one kind of data, on one core.
#[derive(Clone, Debug)]
pub struct DataReport {
    /// `text`, `pages` or `noise`.
    pub name: &'static str,
    /// How many bytes of it there were.
    pub bytes: u64,
    /// Finding the cuts.
    pub cut: u64,
    /// Computing ids.
    pub id: u64,
    /// Sealing blocks that are stored as they are.
    pub seal: u64,
    /// Opening them.
    pub open: u64,
    /// By setting, as in the options.
    pub codecs: Vec<CodecReport>,
}

/// One setting of `-C` on one kind of data.
#[derive(Clone, Copy, Debug)]
pub struct CodecReport {
    /// The setting.
    pub compression: Compression,
    /// Bytes that went in, a second.
    pub compress: u64,
    /// Bytes that came out, a second; `None` if no block became smaller.
    pub decompress: Option<u64>,
    /// How many times as small it became.
    pub ratio: f64,
}

/// Measures this host, and a place if there is one.
///
/// # Errors
/// The place cannot be written or has too little room; `Interrupted` if the monitor says so.
pub fn benchmark(
    options: &BenchmarkOptions,
    place: Option<Place<'_>>,
    monitor: &dyn Monitor,
) -> Result<BenchmarkReport> {
    let watch = Stopwatch::start();
    let timer = Timer { stage_time: options.stage_time, monitor };
    // The place first: what is wrong with it should not be told after seconds.
    let place = place.map(|place| place::measure(options, place, monitor)).transpose()?;
    let data = stages::measure(options, &timer)?;
    let key_derivation = stages::key_derivation(&timer)?;
    Ok(BenchmarkReport { data, key_derivation, place, duration: watch.elapsed() })
}

/// How long a stage is measured, and who may stop it.
struct Timer<'a> {
    stage_time: Duration,
    monitor: &'a dyn Monitor,
}

impl Timer<'_> {
    /// The fastest of the passes that fit into the time: what others do on the machine only ever makes one slower. What each pass works on
    /// is prepared outside of it.
    fn fastest<T>(
        &self,
        mut prepare: impl FnMut() -> T,
        mut pass: impl FnMut(&mut T) -> Result<()>,
    ) -> Result<Duration> {
        let all = Stopwatch::start();
        let mut fastest = Duration::MAX;
        loop {
            check(self.monitor)?;
            let mut input = prepare();
            let watch = Stopwatch::start();
            pass(&mut input)?;
            fastest = fastest.min(watch.elapsed());
            if all.elapsed() >= self.stage_time {
                return Ok(fastest);
            }
        }
    }
}

fn check(monitor: &dyn Monitor) -> Result<()> {
    if monitor.cancelled() { Err(Error::Interrupted) } else { Ok(()) }
}

/// Bytes a second.
fn per_second(bytes: u64, time: Duration) -> u64 {
    let nanoseconds = time.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::store::MemoryStore;

    fn little() -> BenchmarkOptions {
        BenchmarkOptions {
            data_bytes: 1 << 20,
            stage_time: Duration::ZERO,
            compressions: vec![Compression::Lz4, Compression::Zstd(3)],
            packs: 1,
            small_files: 2,
        }
    }

    #[test]
    fn every_stage_has_a_speed_and_codecs_do_what_the_data_are_made_for() {
        let report = benchmark(&little(), None, &Silent).unwrap();
        assert_eq!(report.data.iter().map(|data| data.name).collect::<Vec<_>>(), ["text", "pages", "noise"]);
        for data in &report.data {
            assert!([data.cut, data.id, data.seal, data.open].iter().all(|speed| *speed > 0), "{data:?}");
            let [lz4, zstd] = data.codecs[..] else { panic!("{data:?}") };
            if data.name == "noise" {
                assert_eq!((lz4.ratio, lz4.decompress, zstd.ratio, zstd.decompress), (1.0, None, 1.0, None));
            } else {
                assert!(1.2 < lz4.ratio && lz4.ratio < zstd.ratio && zstd.ratio < 8.0, "{data:?}");
                assert!(zstd.decompress.is_some_and(|speed| speed > 0));
            }
        }
        assert!(report.key_derivation > Duration::ZERO && report.place.is_none());
    }

    #[test]
    fn a_place_is_only_listed_and_its_scratch_store_left_empty() {
        let (store, scratch) = (MemoryStore::new(), MemoryStore::new());
        store.put(&crate::store::Key::config(), b"config").unwrap();
        let place = Place { store: &store, scratch: &scratch };
        let report = benchmark(&little(), Some(place), &Silent).unwrap().place.unwrap();
        assert_eq!((report.listed_files, report.packs, report.small_files), (1, 1, 2));
        assert!(report.put > 0 && report.read > 0);
        assert_eq!((store.files().len(), scratch.files().len()), (1, 0));
    }

    #[test]
    fn it_stops_when_the_user_wishes() {
        struct Stop;
        impl Monitor for Stop {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let scratch = MemoryStore::new();
        let place = Place { store: &scratch, scratch: &scratch };
        assert!(matches!(benchmark(&little(), Some(place), &Stop), Err(Error::Interrupted)));
        assert!(scratch.files().is_empty());
    }
}
