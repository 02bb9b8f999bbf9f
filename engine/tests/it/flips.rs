//! A bit flips in memory while an archive is made: at each stage on the way, once, in each piece of bytes that passes it. What can be caught
//! is caught before the archive counts, and the next create works; what cannot be caught never comes back as another file's bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vault_engine::Error;
use vault_engine::compress::Compression;
use vault_engine::format::verify::Verify;
use vault_engine::ops::archives;
use vault_engine::ops::create::{CreateOptions, Created, create};
use vault_engine::progress::Silent;
use vault_engine::repository::{Repository, Stage};
use vault_engine::store::{MemoryStore, Snapshot};

use crate::sample::{self, noise};

/// Every stage whose bytes are compared with something before they are put, whatever `--verify` says.
const ALWAYS_CAUGHT: [Stage; 8] = [
    Stage::Trailer,
    Stage::SealedTrailer,
    Stage::Padding,
    Stage::Tail,
    Stage::Segment,
    Stage::Manifest,
    Stage::File,
    Stage::Mark,
];
/// Those of a block.
const OF_BLOCKS: [Stage; 4] = [Stage::Plain, Stage::Compressed, Stage::Head, Stage::Body];

/// Says of a flip, by its number, what became of the store and of the create.
type Judge<'a> = dyn Fn(usize, &MemoryStore, Result<Created, Error>) + 'a;

/// A repository with one night, and a source that has changed since.
struct Sample {
    _folder: TempDir,
    source: PathBuf,
    first: BTreeMap<PathBuf, Vec<u8>>,
    snapshot: Snapshot,
}

impl Sample {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("inner")).unwrap();
        fs::write(source.join("first"), noise(1, 5000)).unwrap();
        let store = sample::memory();
        sample::archive(&sample::open(store.clone()), &source);
        let first = sample::files(&source);
        // A chunk that is a block alone, stored as it is; a block that is compressed; and metadata.
        fs::write(source.join("large"), noise(2, 700_000)).unwrap();
        fs::write(source.join("inner/text"), "many words ".repeat(5000)).unwrap();
        Self { _folder: folder, source, first, snapshot: store.snapshot() }
    }

    fn options(&self, verify: Verify) -> CreateOptions {
        CreateOptions { verify, jobs: Some(1), ..sample::options(&[&self.source]) }
    }

    /// The second night, in which a bit flips; `None` if it found nothing to flip.
    fn night(&self, stage: Stage, skipped: usize, verify: Verify) -> Option<(MemoryStore, Result<Created, Error>)> {
        let store = MemoryStore::from_snapshot(&self.snapshot);
        let repository = sample::open(store.clone());
        repository.flips().flip(stage, skipped, 10 + 7919 * skipped);
        let made = create(&repository, &self.options(verify), None, &Silent);
        (!repository.flips().take_back()).then_some((store, made))
    }

    /// Nothing was counted, nothing earlier is harmed, and the next create makes an archive that is whole.
    #[track_caller]
    fn assert_caught(&self, store: &MemoryStore, made: Result<Created, Error>, what: &str) {
        let error = made.expect_err(what);
        assert!(matches!(error, Error::Altered { .. }), "{what}: {error}");
        let repository = sample::open(store.clone());
        assert_eq!(archives::list(&repository, &Silent).unwrap().len(), 1, "{what}");
        sample::assert_sound(&repository);
        let created = sample::archive(&repository, &self.source);
        sample::assert_sound(&repository);
        let target = TempDir::new().unwrap();
        let restored = sample::restore_all(&repository, &created, &self.source, target.path());
        assert!(sample::files(&restored) == sample::files(&self.source), "{what}");
    }

    /// It was not caught: `check` names it, no wrong byte comes back, and the earlier archive is whole.
    #[track_caller]
    fn assert_harmless(&self, store: &MemoryStore, what: &str) {
        let repository = sample::open(store.clone());
        let report = sample::check_data(&repository);
        assert!(report.findings.iter().any(|finding| !finding.harms.is_empty()), "{what}: {:#?}", report.findings);
        for (number, archive) in archives::list(&repository, &Silent).unwrap().iter().enumerate() {
            let target = TempDir::new().unwrap();
            let meant = if number == 0 { self.first.clone() } else { sample::files(&self.source) };
            let Ok((restored, _)) = sample::try_restore(&repository, archive, target.path()) else {
                assert!(number > 0, "{what}: the first archive");
                continue;
            };
            let found = sample::files(&inside(target.path(), &self.source));
            assert!(found.iter().all(|(path, bytes)| meant.get(path) == Some(bytes)), "{what}: wrong bytes");
            assert!(found.len() == meant.len() || restored.damaged > 0, "{what}: nobody says what is absent");
            assert!(number > 0 || found.len() == meant.len(), "{what}: the first archive");
        }
    }

    /// Runs a stage to its end; how many flips there were.
    fn each(&self, stage: Stage, verify: Verify, judge: &Judge<'_>) -> usize {
        let nights = (0..).map_while(|skipped| self.night(stage, skipped, verify));
        let mut flips = 0;
        for (skipped, (store, made)) in nights.enumerate() {
            judge(skipped, &store, made);
            flips += 1;
        }
        assert!(flips > 0, "nothing comes through {stage:?}");
        flips
    }
}

fn inside(target: &Path, source: &Path) -> PathBuf {
    sample::inside(target, source)
}

#[test]
fn every_flip_between_an_id_and_the_store_is_caught_before_anything_counts() {
    let sample = Sample::new();
    for stage in ALWAYS_CAUGHT.into_iter().chain(OF_BLOCKS) {
        let flips = sample.each(stage, Verify::All, &|skipped, store, made| {
            sample.assert_caught(store, made, &format!("{stage:?} {skipped}"));
        });
        // Two data blocks and one of metadata; a data pack and a metadata pack; a session, a segment and a manifest.
        let least = if OF_BLOCKS.contains(&stage) || stage == Stage::File { 3 } else { 1 };
        assert!(flips >= least, "{stage:?}: {flips}");
    }
}

#[test]
fn by_default_only_a_flip_in_the_sealed_bytes_of_fifteen_blocks_in_sixteen_is_not_caught() {
    let sample = Sample::new();
    for stage in ALWAYS_CAUGHT.into_iter().chain(OF_BLOCKS) {
        sample.each(stage, Verify::Default, &|skipped, store, made| {
            let what = format!("{stage:?} {skipped}");
            if stage != Stage::Body || skipped == 0 {
                sample.assert_caught(store, made, &what);
            } else {
                made.expect(&what);
                sample.assert_harmless(store, &what);
            }
        });
    }
}

#[test]
fn without_verifying_a_flip_is_found_by_check_and_no_wrong_byte_is_ever_restored() {
    let sample = Sample::new();
    for stage in OF_BLOCKS {
        sample.each(stage, Verify::None, &|skipped, store, made| {
            let what = format!("{stage:?} {skipped}");
            made.expect(&what);
            sample.assert_harmless(store, &what);
        });
    }
    for stage in ALWAYS_CAUGHT {
        sample.each(stage, Verify::None, &|skipped, store, made| {
            sample.assert_caught(store, made, &format!("{stage:?} {skipped}"));
        });
    }
}

#[test]
fn a_flip_before_the_id_is_what_was_read_and_nobody_can_tell() {
    let sample = Sample::new();
    let flips = sample.each(Stage::Read, Verify::All, &|skipped, store, made| {
        let what = format!("read {skipped}");
        let made = made.expect(&what);
        let repository = sample::open(store.clone());
        sample::assert_sound(&repository);
        let target = TempDir::new().unwrap();
        let restored = sample::restore_all(&repository, &made, &sample.source, target.path());
        let (found, meant) = (sample::files(&restored), sample::files(&sample.source));
        let other = meant.iter().filter(|(path, bytes)| found.get(*path) != Some(*bytes)).count();
        assert_eq!((found.len(), other), (meant.len(), 1), "{what}: one file was read wrong");
    });
    assert!(flips >= 2, "{flips}");
}

#[test]
fn blocks_that_are_stored_as_they_are_are_looked_at_like_all_others() {
    let sample = Sample::new();
    for stage in [Stage::Plain, Stage::Compressed] {
        let store = MemoryStore::from_snapshot(&sample.snapshot);
        let repository = sample::open(store.clone());
        repository.flips().flip(stage, 0, 12_345);
        let options = CreateOptions { compression: Compression::None, ..sample.options(Verify::Default) };
        let made = create(&repository, &options, None, &Silent);
        assert!(!repository.flips().take_back());
        sample.assert_caught(&store, made, &format!("{stage:?}"));
    }
}

#[test]
fn a_compaction_writes_no_block_that_has_changed_in_memory() {
    use vault_engine::ops::compact::{CompactOptions, compact};
    // A pack of which most goes, and the rest has to be copied.
    let mut sample = Sample::new();
    let store = sample::memory();
    let repository = sample::open(store.clone());
    let before = sample::archive(&repository, &sample.source);
    fs::remove_file(sample.source.join("large")).unwrap();
    sample::archive(&repository, &sample.source);
    sample.first = sample::files(&sample.source);
    repository.mark_deleted(&[before.archive.unwrap().id]).unwrap();
    let snapshot = store.snapshot();
    for stage in [Stage::Compressed, Stage::Head, Stage::Trailer, Stage::Segment, Stage::File] {
        let mut caught = 0;
        for skipped in 0.. {
            let store = MemoryStore::from_snapshot(&snapshot);
            let repository = sample::open(store.clone());
            repository.flips().flip(stage, skipped, 11);
            let done = compact(&repository, &CompactOptions::default(), &Silent);
            if repository.flips().take_back() {
                done.expect("a compaction without a fault");
                break;
            }
            let error = done.expect_err("a bit has flipped");
            assert!(matches!(error, Error::Altered { .. }), "{stage:?} {skipped}: {error}");
            sample::assert_sound(&sample::open(store.clone()));
            compact(&sample::open(store.clone()), &CompactOptions::default(), &Silent).expect("the next one");
            sample.assert_first_is_whole(&store);
            caught += 1;
        }
        assert!(caught > 0, "{stage:?}: the compaction put nothing");
    }
}

impl Sample {
    #[track_caller]
    fn assert_first_is_whole(&self, store: &MemoryStore) {
        let repository: Repository = sample::open(store.clone());
        sample::assert_sound(&repository);
        let archives = archives::list(&repository, &Silent).unwrap();
        let target = TempDir::new().unwrap();
        let (restored, _) = sample::try_restore(&repository, &archives[0], target.path()).unwrap();
        assert_eq!(restored.damaged, 0);
        assert!(sample::files(&inside(target.path(), &self.source)) == self.first);
    }
}
