//! Attackers of docs/security.md: a store that answers with what it likes, and a writer who has the keys and means harm. A restore refuses
//! or stays beneath its target, nothing panics, and no byte comes back that was not archived.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vault_engine::compress::Compression;
use vault_engine::crypto::Purpose;
use vault_engine::error::Result;
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::manifest::Manifest;
use vault_engine::format::mark::Mark;
use vault_engine::format::node::XattrsId;
use vault_engine::format::records::Verb;
use vault_engine::format::tree::Tree;
use vault_engine::id::{ArchiveId, ObjectId};
use vault_engine::meta::{Attributes, Node, NodeKind, Owner, Timestamp};
use vault_engine::ops::check::{CheckReport, Severity};
use vault_engine::ops::restore::Restored;
use vault_engine::repository::{Archive, Packer, Repository, Stored};
use vault_engine::store::{Key, MemoryStore, Store};

use crate::sample;

mod blocks;
mod content;
mod names;
mod storage;
mod trees;

/// A place with a target for restores, and with what must stay as it is beside it.
struct Sandbox {
    folder: TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Sandbox {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("victims")).unwrap();
        for name in ["victim", "victims/one"] {
            let path = folder.path().join(name);
            fs::write(&path, "untouched").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        fs::create_dir(folder.path().join("target")).unwrap();
        let before = outside(folder.path());
        Self { folder, before }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// Restores an archive; whatever comes of it, nothing outside of the target has changed.
    #[track_caller]
    fn restore(&self, repository: &Repository, archive: &Archive) -> Result<(Restored, sample::Heard)> {
        let restored = sample::try_restore(repository, archive, &self.target());
        self.assert_untouched();
        restored
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(outside(self.folder.path()), self.before, "something outside of the target was changed");
    }
}

/// All that `stat` says, and what is in it, of everything but the target.
fn outside(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path == root.join("target") {
                continue;
            }
            let stat = path.symlink_metadata().unwrap();
            let bytes = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            let times = (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec());
            let line = format!("{:o} {} {} {} {times:?} {bytes:?}", stat.mode(), stat.uid(), stat.gid(), stat.nlink());
            if stat.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, line);
        }
    }
    found
}

/// Whoever has the keys, and no scruples.
struct Forger {
    store: MemoryStore,
    repository: Repository,
    packer: Packer,
    /// An honest archive, whose manifest is what forged ones are made from.
    honest: Archive,
    source: TempDir,
    forged: u64,
}

impl Forger {
    fn new() -> Self {
        let source = TempDir::new().unwrap();
        fs::write(source.path().join("honest"), "an honest file").unwrap();
        let store = sample::memory();
        let repository = sample::open(store.clone());
        let honest = sample::archive(&repository, source.path()).archive.unwrap();
        let packer = packer(&repository);
        Self { store, repository, packer, honest, source, forged: 0 }
    }

    fn meta(&self, bytes: &[u8]) -> ObjectId {
        self.packer.put_meta(bytes).unwrap().0
    }

    fn leaf(&self, nodes: Vec<Node>) -> ObjectId {
        let nodes: Vec<(Node, XattrsId)> = nodes.into_iter().map(|node| (node, None)).collect();
        self.meta(&Tree::Leaf(nodes).encode())
    }

    fn chunk(&self, bytes: &[u8]) -> ObjectId {
        let id = self.repository.ring().object_id(Purpose::Data, bytes);
        if self.packer.claim(&id) == Stored::New {
            self.packer.put_claimed(Purpose::Data, id, bytes).unwrap();
        }
        id
    }

    /// An archive with this root, in the same series after the honest one.
    fn archive(&mut self, root: ObjectId) -> Archive {
        let segments = self.packer.flush().unwrap();
        self.packer = packer(&self.repository);
        self.forged += 1;
        let mut manifest = self.honest.manifest.clone();
        manifest.root.kind = NodeKind::Directory { tree: root };
        manifest.root_stamps = ObjectId::zero();
        // Newer than whatever was archived since the last one: the next night compares with it.
        manifest.sequence = 1000 * self.forged;
        // One that is gone, so that nobody can tell that the numbers do not follow from each other.
        manifest.previous = Some(ArchiveId::from_bytes([7; 32]));
        manifest.segments = segments;
        Archive { id: self.put_manifest(&manifest), manifest }
    }

    fn put_manifest(&self, manifest: &Manifest) -> ArchiveId {
        let bytes = seal_file(self.repository.ring(), Class::Root, [9; 16], &manifest.encode()).unwrap();
        let id = ArchiveId::from_bytes(*blake3::hash(&bytes).as_bytes());
        self.store.put(&Key::archive(id), &bytes).unwrap();
        self.store.put(&Key::ok_mark(id), &Mark::Ok.encode(id)).unwrap();
        id
    }

    /// The repository as somebody opens it afterwards.
    fn open(&self) -> Repository {
        sample::open(self.store.clone())
    }

    /// The next night, with the forged archive as its parent, is archived and restored; or says cleanly why not.
    #[track_caller]
    fn assert_next_night_works(&self) {
        let repository = self.open();
        let created = sample::archive(&repository, self.source.path());
        let target = TempDir::new().unwrap();
        let restored = sample::restore_all(&repository, &created, self.source.path(), target.path());
        assert!(sample::files(&restored) == sample::files(self.source.path()));
    }

    /// Restores into a sandbox, checks, and archives the next night; what the check and the restore said.
    #[track_caller]
    fn expose(&self, archive: &Archive) -> (CheckReport, Sandbox, Result<(Restored, sample::Heard)>) {
        let repository = self.open();
        let sandbox = Sandbox::new();
        let restored = sandbox.restore(&repository, archive);
        let report = sample::check_data(&repository);
        self.assert_next_night_works();
        (report, sandbox, restored)
    }
}

fn packer(repository: &Repository) -> Packer {
    let index = Arc::new(repository.load_index().unwrap());
    Packer::new(repository, index, Compression::default(), Verb::Create, "")
}

/// An entry with attributes that would be seen on a victim.
fn node(name: &[u8], kind: NodeKind) -> Node {
    let owner = Owner { number: 12_345, name: Vec::new().into() };
    let attributes = Attributes {
        mode: 0o777,
        owner: owner.clone(),
        group: owner,
        mtime: Timestamp { seconds: 1, nanoseconds: 0 },
        ..Attributes::default()
    };
    Node { name: name.to_vec(), implied: false, changed: false, missing: false, attributes, kind }
}

fn symlink(name: &[u8], target: &Path) -> Node {
    node(name, NodeKind::Symlink { target: target.as_os_str().as_bytes().to_vec() })
}

/// A check that names this archive as harmed.
#[track_caller]
fn assert_told(report: &CheckReport, archive: &Archive, what: &str) {
    let told = report
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Error && finding.harms.iter().any(|(id, _)| *id == archive.id));
    assert!(told, "{what}: {:#?}", report.findings);
}
