//! Golden repositories: what an earlier version wrote is read, and what it cut is cut alike today.
//!
//! `tests/data/v1` is what the first version with the final format wrote. It is never made anew: what a later version writes becomes
//! another folder beside it, made by `VAULT_MAKE_GOLDEN=FOLDER cargo test -p vault-engine --test it golden` as root.

use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, mknodat};
use tempfile::TempDir;
use vault_engine::compress::Compression;
use vault_engine::format::config::Profile;
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::records::{GcRecord, SessionRecord, Verb};
use vault_engine::format::split::SplitRule;
use vault_engine::id::{ArchiveId, FileId};
use vault_engine::meta::{Node, NodeKind, Timestamp};
use vault_engine::ops::archives;
use vault_engine::ops::create::{CreateOptions, create};
use vault_engine::process::ProcessId;
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, InitOptions, OpenOptions, Repository, Secret};
use vault_engine::store::{Key, Kind, MemoryStore, Store};

use crate::sample::{self, noise};
use crate::support;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1")
}

/// A copy in memory, which may be written to.
fn golden(which: &str) -> MemoryStore {
    static MADE: std::sync::Once = std::sync::Once::new();
    if let Some(folder) = std::env::var_os("VAULT_MAKE_GOLDEN") {
        MADE.call_once(|| make(Path::new(&folder)));
    }
    let store = MemoryStore::new();
    for (path, bytes) in sample::files(&folder().join(which)) {
        let path = path.to_str().unwrap();
        let (first, name) = (path.split('/').next().unwrap(), path.rsplit('/').next().unwrap());
        let kind = Kind::ALL.into_iter().find(|kind| kind.folder() == first).expect("a folder of a repository");
        let key = if kind == Kind::Config { Key::config() } else { Key::listed(kind, name) };
        store.insert_raw(key, bytes);
    }
    store
}

/// Chunks and parts so small that a small repository has lists and directories of several levels.
fn profile() -> Profile {
    let tree_split = SplitRule { minimum: 4, bits: 2, maximum: 16 };
    let list_split = SplitRule { minimum: 2, bits: 1, maximum: 4 };
    Profile { cdc_log2: 12, tree_split, list_split, ..Profile::default() }
}

fn passphrase() -> Secret {
    Secret::Passphrase(b"what was sealed once".to_vec().into())
}

/// Both repositories, in a new folder.
fn make(folder: &Path) {
    assert!(!folder.exists(), "{} exists: what was written once stays", folder.display());
    let work = TempDir::new().unwrap();
    let source = work.path().join("source");
    let encrypted = MemoryStore::new();
    init(&encrypted, Some(sample::secret()));
    let repository = sample::open(encrypted.clone());
    repository.add_slot(&passphrase(), "passphrase").unwrap();
    plant(&source);
    archive(&repository, &source, 1, Compression::default());
    fs::write(source.join("directory/second night"), "changed ".repeat(1000)).unwrap();
    settle(&source);
    archive(&repository, &source, 2, Compression::Lz4);
    archive(&repository, &source, 3, Compression::default());
    leave_records(&repository, &encrypted);
    write(&encrypted, &folder.join("repository"));
    fs::write(folder.join("expected.txt"), describe(&repository)).unwrap();
    let keyless = MemoryStore::new();
    init(&keyless, None);
    archive(&open_keyless(keyless.clone()), &source, 1, Compression::default());
    write(&keyless, &folder.join("keyless"));
}

fn init(store: &MemoryStore, secret: Option<Secret>) {
    let encrypted = secret.is_some();
    let options = InitOptions { encrypted, secret, slot_name: "golden".to_owned(), like: None, profile: profile() };
    Repository::init(store, &options).unwrap();
}

fn open_keyless(store: MemoryStore) -> Repository {
    Repository::open(Arc::new(store), OpenOptions { host_id: [1; 16], ..OpenOptions::default() }).unwrap()
}

/// The first night is protected and the third deleted; a compaction has left a record, and a create a session.
fn leave_records(repository: &Repository, store: &MemoryStore) {
    let nights = archives::list(repository, &Silent).unwrap();
    repository.protect(nights[0].id).unwrap();
    repository.mark_deleted(&[nights[2].id]).unwrap();
    let session = [7; 16];
    let record = GcRecord { packs: Vec::new(), pending: vec![ArchiveId::from_bytes([9; 32])], session };
    let bytes = seal_file(repository.ring(), Class::Gc, session, &record.encode()).unwrap();
    store.put(&Key::file(Kind::Gc, FileId::from_bytes(*blake3::hash(&bytes).as_bytes())), &bytes).unwrap();
    let time = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };
    let process = ProcessId { boot: [3; 16], pid: 4, started: 5 };
    let series = "golden/series".to_owned();
    let record = SessionRecord { host_id: [1; 16], verb: Verb::Create, start: time, time, series, process };
    let bytes = seal_file(repository.ring(), Class::Session, session, &record.encode()).unwrap();
    store.put(&Key::listed(Kind::Sessions, "07070707070707070707070707070707.1"), &bytes).unwrap();
}

fn write(store: &MemoryStore, folder: &Path) {
    for (key, bytes) in store.snapshot() {
        let path = folder.join(key.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn archive(repository: &Repository, source: &Path, night: i64, compression: Compression) {
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir(source).unwrap();
    let time = Some(Timestamp { seconds: 1_700_000_000 + night * 86_400, nanoseconds: 5 });
    let comment = format!("night {night}");
    let options = CreateOptions { time, comment, compression, ..sample::options(&[Path::new(".")]) };
    create(repository, &options, None, &Silent).unwrap();
    std::env::set_current_dir(before).unwrap();
}

/// One of everything that an archive can hold.
fn plant(source: &Path) {
    fs::create_dir_all(source.join("directory/deeper")).unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::write(source.join("text"), "The same words again and again. ".repeat(400)).unwrap();
    fs::write(source.join("chunks"), noise(1, 120_000)).unwrap();
    fs::write(source.join(std::ffi::OsStr::from_bytes(b"directory/not UTF-8 \xff\n")), "odd").unwrap();
    fs::hard_link(source.join("text"), source.join("directory/deeper/link of text")).unwrap();
    symlink("directory/nothing", source.join("symlink")).unwrap();
    mknodat(CWD, source.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(CWD, source.join("null"), FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 3)).unwrap();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(&noise(2, 4096), 500 << 10).unwrap();
    let zeros = File::create(source.join("zeros")).unwrap();
    zeros.write_all_at(&vec![0; 200_000], 0).unwrap();
    for number in 0..60 {
        fs::write(source.join(format!("directory/deeper/{number:03}")), format!("file {number}")).unwrap();
    }
    lsetxattr(source.join("text"), "user.short", b"value", XattrFlags::empty()).unwrap();
    lsetxattr(source.join("chunks"), "user.long", &noise(3, 700), XattrFlags::empty()).unwrap();
    fs::set_permissions(source.join("text"), fs::Permissions::from_mode(0o4750)).unwrap();
    settle(source);
}

/// Gives everything a time that is told by its name, children before their directory.
fn settle(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            settle(&entry.unwrap().path());
        }
    }
    let name = path.file_name().unwrap().as_bytes();
    let seconds = -1000 + i64::try_from(name.len()).unwrap() * 100_000_000;
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Everything that is in the repository, in words.
fn describe(repository: &Repository) -> String {
    let mut text = String::new();
    for archive in archives::list(repository, &Silent).unwrap() {
        let manifest = &archive.manifest;
        writeln!(text, "archive {} {} {:?}", archive.id.to_hex(), manifest.series(), manifest.time).unwrap();
        writeln!(text, "  {} {:?}", manifest.comment, manifest.statistics).unwrap();
        writeln!(text, "  root tree {}", manifest.root_tree().to_hex()).unwrap();
        archives::entries(repository, &archive, &mut |path, node| {
            writeln!(text, "  {}", describe_node(path, node)).unwrap();
            Ok(())
        })
        .unwrap();
    }
    text
}

fn describe_node(path: &[u8], node: &Node) -> String {
    let attributes = &node.attributes;
    let what = match &node.kind {
        NodeKind::Directory { tree } => format!("directory {}", tree.to_hex()),
        other => format!("{other:?}"),
    };
    let xattrs: Vec<_> = attributes
        .xattrs
        .iter()
        .map(|xattr| format!("{}={}", xattr.name.escape_ascii(), blake3::hash(&xattr.value).to_hex()))
        .collect();
    format!("{} {:o} {:?} {what} {xattrs:?}", path.escape_ascii(), attributes.mode, attributes.mtime)
}

fn expected() -> String {
    fs::read_to_string(folder().join("expected.txt")).unwrap()
}

fn newest(repository: &Repository) -> Archive {
    archives::list(repository, &Silent).unwrap().pop().unwrap()
}

#[test]
fn what_version_1_wrote_is_read_and_sound() {
    let repository = sample::open(golden("repository"));
    assert_eq!(*repository.profile(), profile());
    let (found, expected) = (describe(&repository), expected());
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
    sample::assert_sound(&repository);
}

#[test]
fn what_version_1_sealed_with_a_passphrase_or_with_nothing_opens() {
    let options = OpenOptions { secrets: vec![passphrase()], host_id: [1; 16], ..OpenOptions::default() };
    let by_passphrase = Repository::open(Arc::new(golden("repository")), options).unwrap();
    assert_eq!(describe(&by_passphrase), expected());
    let keyless = open_keyless(golden("keyless"));
    let files = |repository: &Repository| {
        let target = TempDir::new().unwrap();
        sample::try_restore(repository, &newest(repository), target.path()).unwrap();
        sample::files(target.path())
    };
    assert_eq!(files(&keyless), files(&by_passphrase));
    sample::assert_sound(&keyless);
}

#[test]
fn what_version_1_knew_of_archives_is_known() {
    let repository = sample::open(golden("repository"));
    let nights = archives::list(&repository, &Silent).unwrap();
    assert_eq!((nights.len(), archives::list_deleted(&repository, &Silent).unwrap().len()), (2, 1));
    let facts = repository.facts().unwrap();
    assert!(facts.is_protected(nights[0].id) && !facts.is_protected(nights[1].id));
    for kind in [Kind::Gc, Kind::Sessions, Kind::Events] {
        assert_eq!(repository.store().list(kind).unwrap().len(), 1, "{kind:?}");
    }
}

#[test]
fn what_version_1_wrote_is_restored() {
    let repository = sample::open(golden("repository"));
    let target = TempDir::new().unwrap();
    let (restored, heard) = sample::try_restore(&repository, &newest(&repository), target.path()).unwrap();
    assert_eq!(restored.damaged, 0, "{:?}", heard.warnings());
    let files = sample::files(target.path());
    let is = |name: &str, content: &[u8]| assert!(files[Path::new(name)] == content, "{name}");
    is("empty", b"");
    is("text", "The same words again and again. ".repeat(400).as_bytes());
    is("directory/deeper/link of text", "The same words again and again. ".repeat(400).as_bytes());
    is("chunks", &noise(1, 120_000));
    is("directory/second night", "changed ".repeat(1000).as_bytes());
    is("directory/deeper/029", b"file 29");
    is("zeros", &vec![0; 200_000]);
    assert_eq!(fs::read_link(target.path().join("symlink")).unwrap(), Path::new("directory/nothing"));
    assert_eq!(fs::metadata(target.path().join("sparse")).unwrap().len(), 1 << 20);
}

#[test]
fn what_version_1_cut_is_cut_alike_today() {
    let test = "what_version_1_cut_is_cut_alike_today";
    if !rustix::process::geteuid().is_root() {
        support::skip_missing(test, "root, to restore owners and devices");
        return;
    }
    let repository = sample::open(golden("repository"));
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("target");
    let archive = newest(&repository);
    let (restored, heard) = sample::try_restore(&repository, &archive, &target).unwrap();
    assert_eq!(restored.warnings, 0, "{:?}", heard.warnings());
    let again = sample::archive(&repository, &target);
    assert_eq!(sample::tree_id(&repository, &again, &target), archive.manifest.root_tree());
    let new = again.statistics.new_bytes;
    assert!(new < 20_000, "{new} bytes are new, which are more than the directories above and the stamps");
}
