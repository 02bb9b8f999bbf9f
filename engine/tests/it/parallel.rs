//! However many threads work, the archive is the same: the fast path against the plain one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use vault_engine::chunker::ChunkerRequest;
use vault_engine::error::{Error, StoreErrorKind};
use vault_engine::format::config::Profile;
use vault_engine::meta::NodeKind;
use vault_engine::ops::check::{CheckOptions, check};
use vault_engine::ops::create::{CreateOptions, create};
use vault_engine::ops::restore::{RestoreOptions, restore};
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, InitOptions, Repository};
use vault_engine::store::{
    Fault, FaultMode, FaultThen, FaultyStore, Key, Kind, Listed, MemoryStore, Snapshot, Store, StoreResult, Upload,
    Verb,
};

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
        extension in prop_oneof![Just("bin"), Just("ibd"), Just("mmap")],
    ) {
        let volume = TempDir::new().unwrap();
        for (number, pieces) in large.iter().enumerate() {
            let name = format!("{number}.{extension}");
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
                let name = format!("{number}.{extension}");
                let source = volume.path().join(&name);
                let restored = sample::inside(target.path(), &source);
                prop_assert!(fs::read(&source).unwrap() == fs::read(restored).unwrap(), "{}", name);
            }
        }
    }
}

/// Takes long to make a pack durable, and counts those that are on their way. Whoever reads a pack waits until another is read as well.
#[derive(Clone, Debug)]
struct Slow {
    inner: MemoryStore,
    on_their_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    meeting: Arc<Meeting>,
    meeting_is_on: Arc<AtomicBool>,
}

/// Where the readers of two packs meet.
#[derive(Debug, Default)]
struct Meeting {
    begun: Mutex<HashSet<String>>,
    another: Condvar,
    /// Nobody came.
    missed: AtomicBool,
}

impl Meeting {
    fn wait(&self, key: &Key) {
        let mut begun = self.begun.lock().unwrap();
        begun.insert(key.path());
        self.another.notify_all();
        // Ends at once, unless packs are read one after another.
        let patience = Duration::from_secs(if self.missed.load(Ordering::SeqCst) { 0 } else { 30 });
        let (_guard, waited) = self.another.wait_timeout_while(begun, patience, |begun| begun.len() < 2).unwrap();
        self.missed.fetch_or(waited.timed_out(), Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct SlowUpload {
    inner: Box<dyn Upload>,
    on_their_way: Arc<AtomicUsize>,
}

impl Store for Slow {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        self.inner.read(key, limit)
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        if self.meeting_is_on.load(Ordering::SeqCst) {
            self.meeting.wait(key);
        }
        self.inner.read_at(key, offset, buffer)
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        self.inner.size(key)
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        self.inner.put(key, bytes)
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        let now = self.on_their_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Ok(Box::new(SlowUpload { inner: self.inner.begin()?, on_their_way: Arc::clone(&self.on_their_way) }))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        self.inner.list(kind)
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        self.inner.remove(key)
    }
}

impl Upload for SlowUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.inner.append(bytes)
    }

    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()> {
        // Far longer than a pack's worth of reading, cutting and sealing takes.
        let work = vec![0; 64 << 20];
        assert_ne!(blake3::hash(&work).as_bytes()[0], 1);
        self.inner.finish(key)?;
        self.on_their_way.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A repository of small packs in a slow store.
fn slow() -> (Slow, Repository) {
    let inner = MemoryStore::new();
    let profile = Profile { pack_bytes: 1 << 20, ..Profile::default() };
    let options = InitOptions {
        encrypted: true,
        secret: Some(sample::secret()),
        slot_name: "sample".to_owned(),
        like: None,
        profile,
    };
    Repository::init(&inner, &options).unwrap();
    let slow = Slow {
        inner,
        on_their_way: Arc::default(),
        most: Arc::default(),
        meeting: Arc::default(),
        meeting_is_on: Arc::default(),
    };
    (slow.clone(), sample::open(slow))
}

#[test]
fn a_store_slower_than_the_reader_holds_the_reader_back() {
    const JOBS: usize = 3;
    let volume = TempDir::new().unwrap();
    fs::write(volume.path().join("large"), noise(1, 48 << 20)).unwrap();
    let (slow, repository) = slow();
    let options = CreateOptions { jobs: Some(JOBS), ..sample::options(&[volume.path()]) };
    create(&repository, &options, None, &Silent).unwrap();
    // Open are two of data and one of metadata; two wait, one is made durable; each thread may stand there with one more.
    let most = slow.most.load(Ordering::SeqCst);
    assert!((4..=3 + 2 + 1 + JOBS).contains(&most), "{most} packs at a time");
}

#[test]
fn a_check_reads_several_packs_at_a_time() {
    let volume = TempDir::new().unwrap();
    fs::write(volume.path().join("large"), noise(1, 4 << 20)).unwrap();
    let (slow, repository) = slow();
    sample::archive(&repository, volume.path());
    slow.meeting_is_on.store(true, Ordering::SeqCst);
    let options = CheckOptions { read_data: true, jobs: Some(2) };
    let report = check(&repository, options, &Silent).unwrap();
    assert!(report.findings.is_empty() && report.packs_read > 2, "{report:?}");
    assert!(!slow.meeting.missed.load(Ordering::SeqCst), "one pack after another");
}

/// Twelve MiB of noise, then silence; says so as long as somebody asks, but not for ever.
struct GoesSilent {
    sent: usize,
    asked: usize,
}

impl Read for GoesSilent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = (12 << 20) - self.sent;
        if left == 0 {
            self.asked += 1;
            assert!(self.asked < 10_000_000, "asked for ever");
            std::thread::yield_now();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = left.min(buffer.len());
        buffer[..length].copy_from_slice(&noise(1, length));
        self.sent += length;
        Ok(length)
    }
}

#[test]
fn a_run_that_has_failed_does_not_wait_for_a_silent_stream() {
    let store = FaultyStore::new(Arc::new(sample::memory()));
    let repository = sample::open(store.clone());
    let (mode, then) = (FaultMode::Before, FaultThen::Forever);
    store.inject(Fault { only: Some(Verb::Append), at: 0, mode, then, kind: StoreErrorKind::NoSpace });
    let options = CreateOptions { input_name: Some(b"dump".to_vec()), ..sample::options(&[]) };
    let error = create(&repository, &options, Some(Box::new(GoesSilent { sent: 0, asked: 0 })), &Silent).unwrap_err();
    assert!(matches!(&error, Error::Store(error) if error.kind == StoreErrorKind::NoSpace), "{error:?}");
}

#[test]
fn a_stream_is_the_same_whatever_the_number_of_threads() {
    let empty = sample::memory().snapshot();
    let stream = [noise(1, 5 << 20), vec![0; 3 << 20], noise(2, 9 << 20), noise(1, 5 << 20)].concat();
    for chunker in [ChunkerRequest::Auto, ChunkerRequest::Fixed(12)] {
        let roots = [1, 2, 9].map(|jobs| {
            let repository = sample::open(MemoryStore::from_snapshot(&empty));
            let input_name = Some(b"dump".to_vec());
            let options = CreateOptions { jobs: Some(jobs), chunker, input_name, ..sample::options(&[]) };
            let created = create(&repository, &options, Some(Box::new(io::Cursor::new(stream.clone()))), &Silent);
            let archive = created.unwrap().archive.unwrap();
            let target = TempDir::new().unwrap();
            let options = RestoreOptions { target: target.path().to_owned(), ..RestoreOptions::default() };
            restore(&repository, &archive, &options, &Silent).unwrap();
            assert!(fs::read(target.path().join("dump")).unwrap() == stream);
            content_of(&repository, &archive)
        });
        assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
    }
}

/// What the only file is made of: its times are those of the run.
fn content_of(repository: &Repository, archive: &Archive) -> NodeKind {
    sample::entries(repository, archive, Path::new("/"))[b"dump".as_slice()].kind.clone()
}
