//! Repositories and archives for tests: made, filled, listed, restored, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use vault_engine::chunker::ChunkerRequest;
use vault_engine::compress::Compression;
use vault_engine::error::Result;
use vault_engine::format::config::Profile;
use vault_engine::format::verify::Verify;
use vault_engine::id::{ArchiveId, ObjectId};
use vault_engine::meta::{Node, NodeKind};
use vault_engine::ops::archives;
use vault_engine::ops::check::{CheckOptions, CheckReport, Severity, check};
use vault_engine::ops::create::{CreateOptions, Created, FilesCache, create};
use vault_engine::ops::restore::{RestoreOptions, Restored, restore};
use vault_engine::pattern::PatternSet;
use vault_engine::progress::{Monitor, Silent};
use vault_engine::repository::{Archive, InitOptions, OpenOptions, Repository, Secret};
use vault_engine::store::{MemoryStore, Store};

/// The key file of every sample repository.
pub(crate) const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

pub(crate) fn secret() -> Secret {
    Secret::KeyFile(KEY.to_vec().into())
}

/// Makes an encrypted repository with a key file, which costs no time to open.
pub(crate) fn init(store: &dyn Store) {
    let options = InitOptions {
        encrypted: true,
        secret: Some(secret()),
        slot_name: "sample".to_owned(),
        like: None,
        profile: Profile::default(),
    };
    Repository::init(store, &options).expect("a new repository");
}

/// A new repository in memory.
pub(crate) fn memory() -> MemoryStore {
    let store = MemoryStore::new();
    init(&store);
    store
}

pub(crate) fn try_open(store: impl Store + 'static, cache: Option<&Path>) -> Result<Repository> {
    let options = OpenOptions {
        secrets: vec![secret()],
        cache_dir: cache.map(Path::to_owned),
        host_id: [1; 16],
        ..OpenOptions::default()
    };
    Repository::open(Arc::new(store), options)
}

pub(crate) fn open(store: impl Store + 'static) -> Repository {
    try_open(store, None).expect("a repository that opens")
}

/// What is archived when a test asks for nothing special.
pub(crate) fn options(paths: &[&Path]) -> CreateOptions {
    CreateOptions {
        host: "host".to_owned(),
        name: "sample".to_owned(),
        moving_name: false,
        paths: paths.iter().map(PathBuf::from).collect(),
        input_name: None,
        compression: Compression::default(),
        verify: Verify::default(),
        chunker: ChunkerRequest::Auto,
        one_file_system: false,
        excludes: PatternSet::new(),
        exclude_caches: false,
        exclude_if_present: Vec::new(),
        skip: Vec::new(),
        files_cache: FilesCache::default(),
        time: None,
        utc_offset_seconds: 0,
        user: "user".to_owned(),
        comment: String::new(),
        program: "vault test".to_owned(),
        dry_run: false,
        jobs: Some(2),
    }
}

pub(crate) fn try_archive(repository: &Repository, path: &Path) -> Result<Created> {
    create(repository, &options(&[path]), None, &Silent)
}

/// Archives a path without a single warning.
#[track_caller]
pub(crate) fn archive(repository: &Repository, path: &Path) -> Created {
    let heard = Heard::default();
    let created = create(repository, &options(&[path]), None, &heard).expect("an archive");
    assert_eq!(heard.warnings(), [] as [String; 0]);
    created
}

/// Restores an archive of one path; where the path itself came to stand in the target.
#[track_caller]
pub(crate) fn restore_all(repository: &Repository, created: &Created, source: &Path, target: &Path) -> PathBuf {
    let (restored, heard) = try_restore(repository, created.archive.as_ref().unwrap(), target).expect("a restore");
    assert_eq!((restored.warnings, restored.damaged), (0, 0), "{:?}", heard.warnings());
    inside(target, source)
}

pub(crate) fn try_restore(repository: &Repository, archive: &Archive, target: &Path) -> Result<(Restored, Heard)> {
    let heard = Heard::default();
    let options = RestoreOptions { target: target.to_owned(), jobs: Some(2), ..RestoreOptions::default() };
    let restored = restore(repository, archive, &options, &heard)?;
    Ok((restored, heard))
}

/// Where an absolute path comes to stand below a target.
pub(crate) fn inside(target: &Path, path: &Path) -> PathBuf {
    target.join(path.strip_prefix("/").expect("an absolute path"))
}

/// Every entry of an archive by its path, those above `source` left out.
pub(crate) fn entries(repository: &Repository, archive: &Archive, source: &Path) -> BTreeMap<Vec<u8>, Node> {
    use std::os::unix::ffi::OsStrExt;
    let above = &source.as_os_str().as_bytes()[1..];
    let mut found = BTreeMap::new();
    archives::entries(repository, archive, &mut |path, node| {
        if let Some(below) = path.strip_prefix(above) {
            found.insert(below.strip_prefix(b"/").unwrap_or(below).to_vec(), node.clone());
        }
        Ok(())
    })
    .expect("an archive that lists");
    found
}

/// Id of the tree of an archived directory: equal for equal content, wherever it stands.
pub(crate) fn tree_id(repository: &Repository, created: &Created, source: &Path) -> ObjectId {
    let entries = entries(repository, created.archive.as_ref().unwrap(), source);
    match entries.get(b"".as_slice()).map(|node| &node.kind) {
        Some(NodeKind::Directory { tree }) => *tree,
        other => panic!("{} is archived as {other:?}", source.display()),
    }
}

pub(crate) fn check_data(repository: &Repository) -> CheckReport {
    check(repository, CheckOptions { read_data: true, jobs: Some(2) }, &Silent).expect("a check that ends")
}

/// Nothing of the repository is damaged.
#[track_caller]
pub(crate) fn assert_sound(repository: &Repository) {
    let report = check_data(repository);
    let bad: Vec<_> = report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// A monitor that remembers.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    warnings: Mutex<Vec<String>>,
    entries: Mutex<Vec<(char, Vec<u8>)>>,
}

impl Heard {
    /// "PATH: MESSAGE", sorted.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.lock().unwrap().clone();
        warnings.sort();
        warnings
    }

    /// How many entries have this status.
    pub(crate) fn count(&self, status: char) -> usize {
        self.entries.lock().unwrap().iter().filter(|(other, _)| *other == status).count()
    }
}

impl Monitor for Heard {
    fn warning(&self, path: &[u8], message: &str) {
        self.warnings.lock().unwrap().push(format!("{}: {message}", String::from_utf8_lossy(path)));
    }

    fn entry(&self, status: char, path: &[u8]) {
        self.entries.lock().unwrap().push((status, path.to_vec()));
    }
}

/// Bytes that no compressor makes smaller, the same for the same number.
pub(crate) fn noise(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Files by relative path.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;
/// What can be restored as it was archived: archive and path.
pub(crate) type Readable = BTreeSet<(ArchiveId, PathBuf)>;

/// Every file of every archive of `source` that comes back right; no wrong byte ever does.
#[track_caller]
pub(crate) fn readable(
    store: &MemoryStore,
    archived: &BTreeMap<ArchiveId, Files>,
    source: &Path,
    what: &str,
) -> Readable {
    let mut readable = Readable::new();
    let Ok(repository) = try_open(store.clone(), None) else { return readable };
    let Ok(all) = archives::list(&repository, &Silent) else { return readable };
    for archive in all {
        let Some(files) = archived.get(&archive.id) else { continue };
        let target = tempfile::TempDir::new().unwrap();
        if try_restore(&repository, &archive, target.path()).is_err() {
            continue;
        }
        for (path, bytes) in self::files(&inside(target.path(), source)) {
            assert!(files.get(&path) == Some(&bytes), "{what}: {} has wrong bytes", path.display());
            readable.insert((archive.id, path));
        }
    }
    readable
}

/// Every regular file below, by relative path.
pub(crate) fn files(root: &Path) -> Files {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(names) = std::fs::read_dir(&folder) else { continue };
        for entry in names {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A folder with the same files: what was remembered at some time.
pub(crate) fn copied(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::TempDir::new().unwrap();
    for (path, bytes) in files(folder) {
        let path = copy.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    copy
}
