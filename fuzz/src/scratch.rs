//! Directories that a run writes to, in memory where the system has a place for that, and repositories to begin with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;
use vault_engine::format::config::Profile;
use vault_engine::format::split::SplitRule;
use vault_engine::repository::{InitOptions, OpenOptions, Repository, Secret};
use vault_engine::source::Target;
use vault_engine::store::{Key, Kind, MemoryStore, Snapshot};

use crate::sealed::KEY_FILE;

/// A directory that is gone after the run, with whatever a restore made in it.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// In `TMPDIR`, else in `/dev/shm`.
    ///
    /// # Panics
    /// There is no room for it.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let unnamed = std::env::var_os("TMPDIR").is_none() && memory.is_dir();
        let base = if unnamed { memory.to_owned() } else { std::env::temp_dir() };
        Self(TempDir::new_in(base).expect("a directory to write to"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    /// A restore may have made what only the engine removes: immutable files, and directories that may not be listed.
    fn drop(&mut self) {
        let Ok(target) = Target::open(self.path(), false) else { return };
        let names = target.root().names().map(|names| names.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
        for name in names.unwrap_or_default() {
            target.root().remove_tree(&name).ok();
        }
    }
}

/// The secret of all repositories here.
pub fn secret() -> Secret {
    Secret::KeyFile(KEY_FILE.to_vec().into())
}

/// A repository in memory, opened.
///
/// # Errors
/// It does not open.
pub fn open(store: MemoryStore) -> vault_engine::Result<Repository> {
    let options = OpenOptions { secrets: vec![secret()], host_id: [1; 16], ..OpenOptions::default() };
    Repository::open(Arc::new(store), options)
}

/// An empty repository which cuts files, directories and lists into so small pieces that small inputs have several.
pub fn empty() -> MemoryStore {
    static EMPTY: OnceLock<Snapshot> = OnceLock::new();
    let snapshot = EMPTY.get_or_init(|| {
        let split = SplitRule { minimum: 4, bits: 1, maximum: 8 };
        let profile = Profile {
            cdc_log2: 12,
            page_log2: 9,
            smallest_paged: 0,
            tree_split: split,
            list_split: split,
            ..Profile::default()
        };
        let options =
            InitOptions { encrypted: true, secret: Some(secret()), slot_name: "fuzz".to_owned(), like: None, profile };
        let store = MemoryStore::new();
        Repository::init(&store, &options).expect("a new repository");
        store.snapshot()
    });
    MemoryStore::from_snapshot(snapshot)
}

/// The repository that the engine's tests keep, which an earlier version has written.
///
/// # Panics
/// It is not where it was when this was compiled.
pub fn golden() -> MemoryStore {
    static GOLDEN: OnceLock<Snapshot> = OnceLock::new();
    MemoryStore::from_snapshot(GOLDEN.get_or_init(|| {
        let store = MemoryStore::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/data/v1/repository");
        for kind in Kind::ALL {
            for path in files(&folder.join(kind.folder())) {
                let name = path.file_name().and_then(|name| name.to_str()).expect("a name of ours");
                let key = if kind == Kind::Config { Key::config() } else { Key::listed(kind, name) };
                store.insert_raw(key, std::fs::read(&path).expect("a file of the golden repository"));
            }
        }
        store.snapshot()
    }))
}

/// All files at or below a path, sorted.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(path) else {
        return if path.is_file() { vec![path.to_owned()] } else { Vec::new() };
    };
    let mut found: Vec<PathBuf> = folder.flatten().flat_map(|entry| files(&entry.path())).collect();
    found.sort();
    found
}
