//! What there is to archive: versions of a few volumes that have much in common, on a file system in memory, and what archiving each of them
//! alone gives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use vault_engine::crypto::Purpose;
use vault_engine::format::config::Profile;
use vault_engine::format::list::{Extent, List};
use vault_engine::format::split::SplitRule;
use vault_engine::format::stamp::{StampBody, Stamps};
use vault_engine::format::tree::Tree;
use vault_engine::id::ObjectId;
use vault_engine::meta::{Content, NodeKind, Timestamp};
use vault_engine::ops::create::create;
use vault_engine::progress::Silent;
use vault_engine::repository::{InitOptions, OpenOptions, Reader, Repository};
use vault_engine::simulation;
use vault_engine::store::{MemoryStore, Snapshot, Store};

use crate::history::{self, History};
use crate::process::create_options;
use crate::random::Random;

/// What every archive is made of: the same name, whichever version stands behind it.
pub(crate) const ARCHIVED: &str = "volume/data";
/// When every simulation begins.
pub(crate) const START: Timestamp = Timestamp { seconds: 1_772_323_200, nanoseconds: 0 };

const VOLUMES: usize = 3;
const VERSIONS: usize = 5;
const CONTENTS: usize = 24;

/// An object as an archive refers to it.
pub(crate) type Reference = (bool, ObjectId);

/// One state of one volume.
#[derive(Debug)]
pub(crate) struct Version {
    folder: PathBuf,
    /// Its files: bytes, mode and time of modification.
    pub(crate) files: BTreeMap<PathBuf, Entry>,
    /// Of the archive of it.
    pub(crate) root_tree: ObjectId,
    pub(crate) root_stamps: ObjectId,
    /// Every object that a restore of the archive needs.
    pub(crate) objects: BTreeSet<Reference>,
    /// Those that only the next archive needs.
    pub(crate) stamps: BTreeSet<Reference>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    bytes: Arc<[u8]>,
    mode: u32,
    mtime: u64,
}

/// Everything that seeds share.
#[derive(Debug)]
pub(crate) struct Universe {
    folder: TempDir,
    pub(crate) versions: Vec<Version>,
    /// An empty repository.
    pub(crate) empty: Snapshot,
    /// Repositories that are not.
    pub(crate) histories: Vec<History>,
}

impl Universe {
    /// Makes it, and makes its folder the current one of this process: archived paths must not tell where it stands.
    pub(crate) fn new() -> Self {
        let shared_memory = Path::new("/dev/shm");
        if shared_memory.is_dir() {
            // The engine keeps what it sorts in temporary folders too. Whoever comes second finds it chosen.
            let _ = tempfile::env::override_temp_dir(shared_memory);
        }
        let folder = TempDir::new().unwrap();
        std::env::set_current_dir(folder.path()).unwrap();
        simulation::begin(0, START);
        let store = MemoryStore::new();
        let options = InitOptions {
            encrypted: false,
            secret: None,
            slot_name: String::new(),
            like: None,
            profile: small_profile(),
        };
        Repository::init(&store, &options).unwrap();
        let (versions, histories) = (Vec::new(), Vec::new());
        let mut universe = Self { folder, versions, empty: store.snapshot(), histories };
        universe.make_versions();
        simulation::end();
        universe.histories = history::make(&universe);
        universe
    }

    /// A folder that simulated processes may use.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the archived path show a version.
    pub(crate) fn show(&self, version: usize) {
        let next = self.folder("next");
        symlink(&self.versions[version].folder, &next).unwrap();
        fs::rename(next, self.folder("volume")).unwrap();
    }

    fn make_versions(&mut self) {
        let mut random = Random::new(0, "universe");
        let contents: Vec<Arc<[u8]>> = (0..CONTENTS).map(|number| content(number, &mut random)).collect();
        for volume in 0..VOLUMES {
            let mut files = BTreeMap::new();
            for _ in 0..random.between(3, 8) {
                change(&mut files, &contents, &mut random);
            }
            for _ in 0..VERSIONS {
                for _ in 0..random.between(1, 3) {
                    change(&mut files, &contents, &mut random);
                }
                let number = self.versions.len();
                let folder = self.folder(&format!("version-{volume}-{number}"));
                write_tree(&folder.join("data"), &files);
                self.learn(folder, files.clone());
            }
        }
    }

    /// Archives a version alone, to know what it gives.
    fn learn(&mut self, folder: PathBuf, files: BTreeMap<PathBuf, Entry>) {
        let number = self.versions.len();
        let (root_tree, root_stamps) = (ObjectId::zero(), ObjectId::zero());
        let (objects, stamps) = (BTreeSet::new(), BTreeSet::new());
        self.versions.push(Version { folder, files, root_tree, root_stamps, objects, stamps });
        self.show(number);
        let repository = open(Arc::new(MemoryStore::from_snapshot(&self.empty)), None, 0);
        let created = create(&repository, &create_options("learn", "volume", number), None, &Silent).unwrap();
        let archive = created.archive.unwrap();
        assert!(archive.manifest.warnings.is_zero(), "a version archives without a warning");
        let reader = Reader::new(&repository, Arc::new(repository.load_index().unwrap()));
        let version = &mut self.versions[number];
        version.root_tree = archive.manifest.root_tree();
        version.root_stamps = archive.manifest.root_stamps;
        collect_tree(&reader, version.root_tree, &mut version.objects);
        collect_stamps(&reader, version.root_stamps, &mut version.stamps);
    }
}

/// Opens the repository in a store.
pub(crate) fn open(store: Arc<dyn Store>, cache: Option<PathBuf>, host: u8) -> Repository {
    try_open(store, cache, host).expect("a repository that opens")
}

pub(crate) fn try_open(store: Arc<dyn Store>, cache: Option<PathBuf>, host: u8) -> vault_engine::Result<Repository> {
    Repository::open(store, OpenOptions { cache_dir: cache, host_id: [host; 16], ..OpenOptions::default() })
}

/// Everything as small as the format allows, so that a small tree has many objects in many blocks.
fn small_profile() -> Profile {
    let split = SplitRule { minimum: 2, bits: 1, maximum: 4 };
    Profile {
        cdc_log2: 12,
        page_log2: 9,
        smallest_paged: 4096,
        block_bytes: 4096,
        pack_bytes: 1 << 20,
        tree_split: split,
        list_split: split,
    }
}

/// Some bytes of any size, half of them such that they compress.
fn content(number: usize, random: &mut Random) -> Arc<[u8]> {
    let length = usize::try_from(random.of_any_size(14)).unwrap();
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    if number.is_multiple_of(2) {
        for byte in &mut bytes {
            *byte = b'a' + *byte % 16;
        }
    }
    bytes.into()
}

fn change(files: &mut BTreeMap<PathBuf, Entry>, contents: &[Arc<[u8]>], random: &mut Random) {
    let folders = ["", "a", "a/b", "c"];
    if files.len() > 10 || files.len() > 4 && random.per_mille(250) {
        let name = random.pick(&files.keys().cloned().collect::<Vec<_>>()).clone();
        files.remove(&name);
        return;
    }
    let name = Path::new(*random.pick(&folders)).join(format!("f{}", random.below(8)));
    let number = random.below(contents.len());
    // A content always has its time: a file that is another has another time.
    let entry = Entry { bytes: Arc::clone(&contents[number]), mode: 0o644, mtime: 1_600_000_000 + number as u64 };
    files.insert(name, entry);
}

fn write_tree(root: &Path, files: &BTreeMap<PathBuf, Entry>) {
    let mut folders = BTreeSet::from([root.to_owned(), root.parent().unwrap().to_owned()]);
    for (name, entry) in files {
        let path = root.join(name);
        let folder = path.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        folders.extend(folder.ancestors().take_while(|above| above.starts_with(root)).map(Path::to_owned));
        fs::write(&path, &entry.bytes).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(entry.mode)).unwrap();
        set_time(&path, entry.mtime);
    }
    for folder in folders {
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        // Files that come and go change a folder's time; here all have theirs by what is in them.
        let names: Vec<_> = files.iter().filter(|(name, _)| root.join(name).starts_with(&folder)).collect();
        let hash = blake3::hash(format!("{names:?}").as_bytes());
        set_time(&folder, 1_500_000_000 + u64::from(u16::from_le_bytes(*hash.as_bytes().first_chunk().unwrap())));
    }
}

fn set_time(path: &Path, seconds: u64) {
    File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// The files below a folder.
pub(crate) fn read_tree(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(names) = fs::read_dir(&folder) else { continue };
        for path in names.map(|name| name.unwrap().path()) {
            let about = path.symlink_metadata().unwrap();
            if about.is_dir() {
                folders.push(path);
                continue;
            }
            let mtime = about.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let entry =
                Entry { bytes: fs::read(&path).unwrap().into(), mode: about.permissions().mode() & 0o7777, mtime };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
        }
    }
    found
}

fn collect_tree(reader: &Reader<'_>, tree: ObjectId, found: &mut BTreeSet<Reference>) {
    found.insert((false, tree));
    let nodes = match Tree::decode(&reader.object(Purpose::Meta, &tree).unwrap()).unwrap() {
        Tree::Branch { parts, .. } => return parts.iter().for_each(|part| collect_tree(reader, part.id, found)),
        Tree::Leaf(nodes) => nodes,
    };
    for (node, xattrs) in nodes {
        found.extend(xattrs.map(|id| (false, id)));
        match node.kind {
            NodeKind::Directory { tree } => collect_tree(reader, tree, found),
            NodeKind::File { content: Content::Chunk(id), .. } => drop(found.insert((true, id))),
            NodeKind::File { content: Content::List(id), .. } => collect_list(reader, id, found),
            _ => {}
        }
    }
}

fn collect_list(reader: &Reader<'_>, list: ObjectId, found: &mut BTreeSet<Reference>) {
    found.insert((false, list));
    match List::decode(&reader.object(Purpose::Meta, &list).unwrap()).unwrap() {
        List::Branch { parts, .. } => parts.iter().for_each(|(_, part)| collect_list(reader, *part, found)),
        List::Leaf(extents) => found.extend(extents.iter().filter_map(|extent| match extent {
            Extent::Chunk { id, .. } => Some((true, *id)),
            Extent::Zeros(_) | Extent::Hole(_) => None,
        })),
    }
}

fn collect_stamps(reader: &Reader<'_>, stamps: ObjectId, found: &mut BTreeSet<Reference>) {
    if stamps.is_zero() {
        return;
    }
    found.insert((false, stamps));
    match Stamps::decode(&reader.object(Purpose::Meta, &stamps).unwrap()).unwrap().body {
        StampBody::Branch { parts, .. } => parts.iter().for_each(|part| collect_stamps(reader, *part, found)),
        StampBody::Leaf(stamps) => {
            stamps.iter().filter_map(|stamp| stamp.directory).for_each(|below| collect_stamps(reader, below, found));
        }
    }
}
