//! The reader in Python, written from docs/format.md alone, restores what the program archived: the page is complete and true.
//!
//! It needs a python3 with the packages of `engine/tests/reader/requirements.txt`, or one that `VAULT_TEST_PYTHON` names. Without them the
//! tests are skipped, or fail if `VAULT_TEST_REQUIRE=1`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, mknodat, setxattr};

use crate::sandbox::{Run, Sandbox, run};

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/reader/reader.py");
const XATTR: &str = "user.origin";

/// What a restore must bring back of an entry.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    /// The first path of the same file, which tells hard links.
    first: PathBuf,
    xattr: Option<Vec<u8>>,
    content: Vec<u8>,
}

/// The Python that can run the reader.
fn python() -> Option<OsString> {
    let python = std::env::var_os("VAULT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let packages = "import argon2, blake3, cryptography, lz4.block, zstandard";
    let found = Command::new(&python).args(["-c", packages]).output().is_ok_and(|output| output.status.success());
    if found {
        return Some(python);
    }
    let skipped = "SKIPPED reader: needs python3 with engine/tests/reader/requirements.txt";
    assert!(std::env::var_os("VAULT_TEST_REQUIRE").is_none_or(|value| value != "1"), "{skipped}");
    println!("{skipped}");
    None
}

fn read(sandbox: &Sandbox, python: &OsStr, environment: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = Command::new(python);
    command.arg(READER).args(arguments).current_dir(sandbox.path("")).env_clear().env("PYTHONDONTWRITEBYTECODE", "1");
    run(command.envs(environment.iter().copied()))
}

/// Bytes that neither compress nor repeat.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// One of everything that a user without privileges can make.
fn make_tree(sandbox: &Sandbox) {
    sandbox.write("source/small", "small\n");
    sandbox.write("source/empty", "");
    sandbox.write("source/big", noise(3 << 20, 1));
    sandbox.write("source/text", "a line that compresses well\n".repeat(20_000));
    for number in 0..1500 {
        sandbox.write(&format!("source/many/{number}"), format!("content {number}"));
    }
    let mut database = noise(1 << 20, 2);
    database[..18].copy_from_slice(b"SQLite format 3\0\x10\0");
    sandbox.write("source/nested/deeper/app.sqlite", database);
    let sparse = File::create(sandbox.path("source/sparse")).unwrap();
    sparse.write_all_at(&noise(100_000, 3), 0).unwrap();
    sparse.write_all_at(&vec![0; 1 << 20], 2 << 20).unwrap();
    sparse.write_all_at(b"end of data", 4 << 20).unwrap();
    sparse.set_len(16 << 20).unwrap();
    fs::write(sandbox.path("source").join(OsStr::from_bytes(b"not \xFF UTF-8")), "odd").unwrap();
    symlink("nested/deeper", sandbox.path("source/link")).unwrap();
    fs::hard_link(sandbox.path("source/small"), sandbox.path("source/nested/hard")).unwrap();
    mknodat(CWD, sandbox.path("source/fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    // Not every file system has them.
    let _ = setxattr(sandbox.path("source/text"), XATTR, b"short", XattrFlags::empty());
    let _ = setxattr(sandbox.path("source/big"), XATTR, &noise(2000, 4), XattrFlags::empty());
    fs::set_permissions(sandbox.path("source/small"), fs::Permissions::from_mode(0o4511)).unwrap();
    fs::set_permissions(sandbox.path("source/many"), fs::Permissions::from_mode(0o2750)).unwrap();
    let old = UNIX_EPOCH - Duration::from_nanos(1_500_000_001);
    sparse.set_times(FileTimes::new().set_modified(old)).unwrap();
    File::open(sandbox.path("source/nested")).unwrap().set_times(FileTimes::new().set_modified(old)).unwrap();
}

fn entries(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let (mut found, mut firsts, mut waiting) = (BTreeMap::new(), HashMap::new(), vec![root.to_owned()]);
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        let content = if metadata.is_dir() {
            let mut children: Vec<PathBuf> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            children.sort();
            waiting.append(&mut children);
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let mut value = vec![0; 4096];
        let xattr = lgetxattr(&path, XATTR, value.as_mut_slice()).ok().map(|length| value[..length].to_vec());
        let first = firsts.entry(metadata.ino()).or_insert_with(|| relative.clone()).clone();
        let entry = Entry {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            first,
            xattr,
            content,
        };
        found.insert(relative, entry);
    }
    found
}

/// Archives the tree and lets the reader restore it by the index and by the packs alone.
fn comes_back(environment: &[(&str, &str)], init: &[&str], compression: &str) {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::new();
    make_tree(&sandbox);
    sandbox.vault_with(environment, [&["init", "-r", "repo"], init].concat()).succeeds();
    let create = ["create", "-r", "repo", "-C", compression, "tree", "source"];
    sandbox.vault_with(environment, create).succeeds();
    let list = read(&sandbox, &python, environment, &["repo", "--list"]).succeeds();
    assert!(list.stdout.ends_with("\th1/tree\n"), "{list:?}");
    read(&sandbox, &python, environment, &["repo", "tree", "indexed"]).succeeds();
    fs::remove_dir_all(sandbox.path("repo/index")).unwrap();
    read(&sandbox, &python, environment, &["repo", "h1/tree", "rebuilt", "--rebuild"]).succeeds();
    let expected = entries(&sandbox.path("source"));
    for restored in ["indexed", "rebuilt"] {
        let found = entries(&sandbox.path(restored).join("source"));
        assert!(expected.keys().eq(found.keys()), "{restored} has other names");
        for (path, entry) in &found {
            assert!(expected.get(path) == Some(entry), "{restored}: {} came back different", path.display());
        }
        let sparse = fs::metadata(sandbox.path(restored).join("source/sparse")).unwrap();
        assert!(sparse.blocks() * 512 < 8 << 20, "the hole came back as data: {} blocks", sparse.blocks());
    }
}

#[test]
fn the_reader_restores_with_a_passphrase() {
    comes_back(&[("VAULT_PASSPHRASE", "correct horse")], &[], "zstd");
}

#[test]
fn the_reader_restores_with_a_key_file() {
    comes_back(&[("VAULT_KEY_FILE", "repo.key")], &["--key-file", "repo.key"], "lz4");
}

#[test]
fn the_reader_restores_without_a_key() {
    comes_back(&[], &["--encryption", "none"], "auto");
}

#[test]
fn the_reader_finds_what_is_damaged() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::with_repository();
    sandbox.write("source/big", noise(3 << 20, 5));
    sandbox.write("source/small", "small");
    sandbox.archive("h1", "tree", "2026-01-01T00:00:00", "source");
    let packs = crate::sandbox::files(&sandbox.path("repo/packs"));
    let (largest, mut bytes) = packs.into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    bytes[1 << 20] ^= 1;
    let pack = sandbox.path("repo/packs").join(largest);
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let run = read(&sandbox, &python, &[], &["repo", "tree", "out"]);
    assert!(run.code == Some(1) && run.stderr.contains("source/big"), "{run:?}");
    assert_eq!(fs::read(sandbox.path("out/source/small")).unwrap(), b"small");
    assert!(!sandbox.path("out/source/big").exists(), "half a file looks like a whole one");
}
