//! Which objects live, counted from archives that were really made: bit by bit as they come and go, at once, and by a plain walk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::chunker::ChunkerRequest;
use crate::compress::Compression;
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::config::Profile;
use crate::format::references::{ObjectKind, references, roots};
use crate::format::split::SplitRule;
use crate::id::ObjectId;
use crate::ops::create::{CreateOptions, FilesCache, create};
use crate::ops::walk::each_object;
use crate::pattern::PatternSet;
use crate::progress::{Monitor, Silent};
use crate::repository::gc::live::{Live, Unreadable};
use crate::repository::{Archive, Index, InitOptions, OpenOptions, Reader, Repository, Secret};
use crate::store::{FaultyStore, Key, Kind, MemoryStore, Store};

/// A source, a repository in memory, and a cache.
struct Place {
    folder: TempDir,
    store: MemoryStore,
}

fn secret() -> Secret {
    Secret::KeyFile(b"0123456789abcdef0123456789abcdef".to_vec().into())
}

impl Place {
    /// Everything is split into small parts, so that few files make deep trees and lists.
    fn new() -> Self {
        let split = SplitRule { minimum: 2, bits: 1, maximum: 4 };
        let profile = Profile {
            block_bytes: 4096,
            pack_bytes: 1 << 20,
            tree_split: split,
            list_split: split,
            ..Profile::default()
        };
        let place = Self { folder: tempfile::tempdir().unwrap(), store: MemoryStore::new() };
        fs::create_dir(place.source()).unwrap();
        let options =
            InitOptions { encrypted: true, secret: Some(secret()), slot_name: String::new(), like: None, profile };
        Repository::init(&place.store, &options).unwrap();
        place
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("cache/live")
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn open(&self, store: impl Store + 'static, cached: bool) -> Repository {
        let cache_dir = cached.then(|| self.folder.path().join("cache"));
        let options = OpenOptions { secrets: vec![secret()], cache_dir, host_id: [1; 16], ..OpenOptions::default() };
        Repository::open(Arc::new(store), options).unwrap()
    }

    fn repository(&self) -> Repository {
        self.open(self.store.clone(), true)
    }

    fn archive(&self) -> Archive {
        let options = CreateOptions {
            host: "host".to_owned(),
            name: "sample".to_owned(),
            moving_name: false,
            paths: vec![self.source()],
            input_name: None,
            compression: Compression::default(),
            verify: crate::format::verify::Verify::default(),
            chunker: ChunkerRequest::Fixed(9),
            one_file_system: false,
            excludes: PatternSet::new(),
            exclude_caches: false,
            exclude_if_present: Vec::new(),
            skip: Vec::new(),
            files_cache: FilesCache::default(),
            time: None,
            utc_offset_seconds: 0,
            user: String::new(),
            comment: String::new(),
            program: String::new(),
            dry_run: false,
            jobs: Some(2),
        };
        create(&self.open(self.store.clone(), false), &options, None, &Silent).unwrap().archive.unwrap()
    }

    fn index(&self) -> Arc<Index> {
        Arc::new(self.repository().load_index().unwrap())
    }

    fn count(&self, index: &Arc<Index>, archives: &[Archive]) -> Result<Live> {
        Live::count(&self.repository(), index, archives, Unreadable::EndsAll, &Silent)
    }

    /// Removes the files of a kind that are not among these.
    fn lose(&self, kind: Kind, but: &[Key]) {
        for key in self.store.files() {
            if key.kind() == kind && !but.contains(&key) {
                self.store.remove_raw(&key);
            }
        }
    }

    fn keys(&self, kind: Kind) -> Vec<Key> {
        self.store.files().into_iter().filter(|key| key.kind() == kind).collect()
    }
}

/// Ids by [`each_object`].
fn walked(place: &Place, index: &Arc<Index>, archives: &[Archive]) -> BTreeSet<(Purpose, ObjectId)> {
    let repository = place.repository();
    let reader = Reader::new(&repository, Arc::clone(index));
    let mut found = BTreeSet::new();
    for archive in archives {
        let each = &mut |purpose, id| {
            found.insert((purpose, id));
            Ok(())
        };
        each_object(&reader, &archive.manifest, each).unwrap();
    }
    found
}

/// Counts by places, as plainly as can be.
fn counted(place: &Place, index: &Arc<Index>, archives: &[Archive]) -> BTreeMap<(ObjectKind, ObjectId), u32> {
    let repository = place.repository();
    let reader = Reader::new(&repository, Arc::clone(index));
    let mut counts = BTreeMap::new();
    let mut ahead: Vec<_> = archives.iter().flat_map(|archive| roots(&archive.manifest)).collect();
    while let Some((kind, id)) = ahead.pop() {
        let count = counts.entry((kind, id)).or_default();
        *count += 1;
        if *count == 1 && !matches!(kind, ObjectKind::Leaf(_)) {
            let bytes = reader.object(kind.purpose(), &id).unwrap();
            references(kind, &bytes, &mut |kind, id| ahead.push((kind, id))).unwrap();
        }
    }
    counts
}

fn words(index: &Index, live: &Live) -> Vec<u32> {
    (0..index.slots()).map(|slot| live.word(slot)).collect()
}

/// What was counted is what a count from nothing says, and a walk.
#[track_caller]
fn assert_right(place: &Place, index: &Arc<Index>, archives: &[Archive], live: &Live) {
    assert_eq!(live.missing(), []);
    let full =
        Live::count(&place.open(place.store.clone(), false), index, archives, Unreadable::EndsAll, &Silent).unwrap();
    assert_eq!(words(index, live), words(index, &full), "not what a count from nothing says");
    let plain = counted(place, index, archives);
    let ids: BTreeSet<_> = plain.keys().map(|(kind, id)| (kind.purpose(), *id)).collect();
    assert_eq!(ids, walked(place, index, archives), "references are not what a walk meets");
    for ((_, id), count) in &plain {
        assert_eq!(live.word(index.slot(id).unwrap()) & 0xFFF_FFFF, *count, "{id}");
    }
    let alive = (0..index.slots()).filter(|slot| live.is_live(*slot)).count();
    assert_eq!(alive, ids.len(), "something is alive to which nothing refers");
}

/// Changes to a source: which file, with which content; none removes it.
type Changes = Vec<(u8, Option<u8>)>;

#[derive(Clone, Debug)]
enum Step {
    Create(Changes),
    Remove(prop::sample::Index),
    /// Taken away and counted, then back again: an undelete.
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..24u8, prop::option::weighted(0.8, 0..6u8));
    prop_oneof![
        3 => prop::collection::vec(change, 0..8).prop_map(Step::Create),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => Just(Step::Return),
    ]
}

/// Some files share their content, some are long enough for lists of several levels.
fn change(place: &Place, changes: &Changes) {
    for (file, content) in changes {
        let name = format!("{}/{}/{file}", file % 2, file % 5);
        match content {
            Some(content) => {
                let mut bytes = vec![0; 700 * usize::from(*content) * usize::from(file % 4)];
                blake3::Hasher::new().update(&[*content]).finalize_xof().fill(&mut bytes);
                place.write(&name, &bytes);
            }
            None => drop(fs::remove_file(place.source().join(&name))),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn counts_that_follow_the_archives_are_those_of_a_count_from_nothing(
        steps in prop::collection::vec((step(), any::<bool>()), 1..8),
    ) {
        let place = Place::new();
        place.write("always", b"there");
        let mut archives: Vec<Archive> = Vec::new();
        let mut gone = None;
        for (step, count) in steps {
            match step {
                Step::Create(changes) => {
                    change(&place, &changes);
                    archives.push(place.archive());
                }
                Step::Remove(which) if !archives.is_empty() => gone = Some(archives.swap_remove(which.index(archives.len()))),
                Step::Remove(_) => {}
                Step::Return => archives.extend(gone.take()),
            }
            if count {
                let index = place.index();
                let live = place.count(&index, &archives).unwrap();
                assert_right(&place, &index, &archives, &live);
            }
        }
    }
}

/// Two archives that share much, and the counts of both, saved.
fn two() -> (Place, Vec<Archive>) {
    let place = Place::new();
    change(&place, &(0..24).map(|file| (file, Some(file % 6))).collect());
    let first = place.archive();
    change(&place, &vec![(3, Some(5)), (7, None), (8, Some(1))]);
    let archives = vec![first, place.archive()];
    let index = place.index();
    assert_right(&place, &index, &archives, &place.count(&index, &archives).unwrap());
    assert!(place.state().exists());
    (place, archives)
}

/// The reads of packs that a count makes.
fn reads(place: &Place, archives: &[Archive]) -> usize {
    let store = FaultyStore::new(Arc::new(place.store.clone()));
    let repository = place.open(store.clone(), true);
    let index = Arc::new(repository.load_index().unwrap());
    store.take_operations();
    let live = Live::count(&repository, &index, archives, Unreadable::EndsAll, &Silent).unwrap();
    let operations = store.take_operations();
    assert_right(place, &index, archives, &live);
    assert!(operations.iter().all(|operation| operation.key.starts_with("packs/")), "{operations:?}");
    operations.len()
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let (place, mut archives) = two();
    (0..400_u16).for_each(|file| place.write(&format!("many/{}/{file}", file % 40), &file.to_le_bytes()));
    archives.push(place.archive());
    reads(&place, &archives);
    assert_eq!(reads(&place, &archives), 0);
    let all = {
        fs::remove_file(place.state()).unwrap();
        reads(&place, &archives)
    };
    place.write("0/0/0", b"new");
    archives.push(place.archive());
    let some = reads(&place, &archives);
    assert!(0 < some && some * 4 < all * 3, "{some} of {all}");
    archives.remove(0);
    let some = reads(&place, &archives);
    assert!(0 < some && some * 4 < all * 3, "{some} of {all}");
    assert_eq!(reads(&place, &archives), 0);
}

#[test]
fn an_archive_that_went_with_its_objects_is_taken_away_all_the_same() {
    for kind in [Kind::Index, Kind::Packs] {
        let place = Place::new();
        place.write("stays", b"here");
        let kept = place.archive();
        let files = place.keys(kind);
        place.write("goes/0", &[1; 4000]);
        let gone = place.archive();
        let index = place.index();
        place.count(&index, &[kept.clone(), gone]).unwrap();
        // Another host has compacted meanwhile; by the index, or by the packs that the old index still names.
        place.lose(kind, &files);
        let index = if kind == Kind::Index { place.index() } else { index };
        let archives = [kept];
        let live = place.count(&index, &archives).unwrap();
        assert_right(&place, &index, &archives, &live);
        assert_eq!(reads_with(&place, &index, &archives), 0);
    }
}

/// The same with an index that is at hand.
fn reads_with(place: &Place, index: &Arc<Index>, archives: &[Archive]) -> usize {
    let store = FaultyStore::new(Arc::new(place.store.clone()));
    let repository = place.open(store.clone(), true);
    store.take_operations();
    Live::count(&repository, index, archives, Unreadable::EndsAll, &Silent).unwrap();
    store.take_operations().len()
}

#[test]
fn saved_counts_that_are_damaged_or_of_another_repository_are_not_believed() {
    let (place, mut archives) = two();
    let good = fs::read(place.state()).unwrap();
    let (other, _) = two();
    let foreign = fs::read(other.state()).unwrap();
    let mut wrong = vec![foreign, Vec::new(), b"VAULTLV1".to_vec(), good[..good.len() - 36].to_vec()];
    for at in [0, 8, 12, 50, good.len() / 2, good.len() - 1] {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        wrong.push(damaged);
    }
    let index = place.index();
    for (number, bytes) in wrong.into_iter().enumerate() {
        fs::write(place.state(), bytes).unwrap();
        assert_right(&place, &index, &archives, &place.count(&index, &archives).unwrap());
        assert_eq!(fs::read(place.state()).unwrap(), good, "{number} is replaced");
    }
    // An old one is of other archives, and as true of them as ever.
    archives.remove(0);
    place.count(&index, &archives).unwrap();
    change(&place, &vec![(1, Some(4)), (2, None)]);
    archives.push(place.archive());
    fs::write(place.state(), good).unwrap();
    let index = place.index();
    assert_right(&place, &index, &archives, &place.count(&index, &archives).unwrap());
}

#[test]
fn what_no_index_entry_names_is_told_and_not_saved() {
    let place = Place::new();
    place.write("stays", b"here");
    let kept = place.archive();
    let segments = place.keys(Kind::Index);
    place.write("goes/0", &[1; 4000]);
    let harmed = place.archive();
    place.lose(Kind::Index, &segments);
    let index = place.index();
    let archives = [kept.clone(), harmed.clone()];
    for _ in 0..2 {
        let live = place.count(&index, &archives).unwrap();
        let root = harmed.manifest.root_tree();
        assert!(live.missing().contains(&root), "{:?}", live.missing());
        assert!(!place.state().exists());
    }
    place.count(&index, &[kept]).unwrap();
    assert!(place.state().exists());
    assert!(!place.count(&index, &archives).unwrap().missing().is_empty());
}

#[test]
fn a_tree_without_a_copy_is_missing_and_a_damaged_one_an_error() {
    let (place, archives) = two();
    fs::remove_file(place.state()).unwrap();
    let index = place.index();
    let root = archives[0].manifest.root_tree();
    let pack = Key::pack(index.copies(&root)[0].pack);
    let bytes = place.store.remove_raw(&pack).unwrap();
    let live = place.count(&index, &archives).unwrap();
    assert!(live.missing().contains(&root), "{:?}", live.missing());
    place.store.insert_raw(pack.clone(), bytes);
    // Every block of it, whatever its head says.
    place.store.corrupt(&pack, |bytes| bytes.iter_mut().skip(256).for_each(|byte| *byte ^= 1));
    let damaged = place.count(&index, &archives);
    assert!(matches!(damaged, Err(Error::Damaged { .. })), "{damaged:?}");
    assert!(!place.state().exists());
}

struct Stop;

impl Monitor for Stop {
    fn cancelled(&self) -> bool {
        true
    }
}

#[test]
fn whoever_asks_to_stop_is_heard_whatever_is_being_counted() {
    let (place, archives) = two();
    let index = place.index();
    let before = fs::read(place.state()).unwrap();
    let stopped = Live::count(&place.repository(), &index, &archives[1..], Unreadable::EndsAll, &Stop);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    assert_eq!(fs::read(place.state()).unwrap(), before);
    fs::remove_file(place.state()).unwrap();
    let stopped = Live::count(&place.repository(), &index, &archives, Unreadable::EndsAll, &Stop);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
}

#[test]
fn no_archive_needs_nothing() {
    let (place, archives) = two();
    let index = place.index();
    let live = place.count(&index, &[]).unwrap();
    assert_right(&place, &index, &[], &live);
    let twice = [archives[0].clone(), archives[0].clone()];
    let live = place.count(&index, &twice).unwrap();
    assert_right(&place, &index, &archives[..1], &live);
    let empty = Place::new();
    let index = empty.index();
    assert_right(&empty, &index, &[], &empty.count(&index, &[]).unwrap());
}
