//! What needs a tree of its own: sizes, depths, and PATHs that are odd or missing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use tempfile::TempDir;
use vault_engine::error::Error;
use vault_engine::meta::{Content, NodeKind};
use vault_engine::ops::create::create;
use vault_engine::progress::Silent;

use super::walker;
use crate::sample::{self, Heard, noise};
use crate::support;

#[test]
fn a_sparse_file_of_five_gibibytes_comes_back_sparse() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let file = File::create(source.join("sparse")).unwrap();
    file.set_len(5 << 30).unwrap();
    for (number, at) in [(1, 0), (2, (4 << 30) + 4096), (3, (5 << 30) - 1_000_000)] {
        file.write_all_at(&noise(number, 1_000_000), at).unwrap();
    }
    let repository = sample::open(sample::memory());
    let created = sample::archive(&repository, &source);
    assert!(created.statistics.new_bytes < 4_000_000, "holes were stored");
    assert_eq!(created.statistics.bytes, 5 << 30);
    let restored = sample::restore_all(&repository, &created, &source, &folder.path().join("target"));
    assert!(walker::look(&source) == walker::look(&restored));
}

/// A hundred directories below one another, each with a name so long that no path reaches the last.
fn deep(top: &Path) {
    fs::create_dir(top).unwrap();
    let mut directory = openat(CWD, top, OFlags::RDONLY, Mode::empty()).unwrap();
    for number in 0..100 {
        let name = format!("{number:060}");
        mkdirat(&directory, &name, Mode::RWXU).unwrap();
        directory = openat(&directory, &name, OFlags::RDONLY, Mode::empty()).unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = File::from(openat(&directory, "file", flags, Mode::RUSR).unwrap());
        file.write_all_at(format!("at depth {number}").as_bytes(), 0).unwrap();
    }
}

#[test]
fn paths_longer_than_the_system_allows_come_back() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    deep(&source);
    let repository = sample::open(sample::memory());
    let created = sample::archive(&repository, &source);
    assert_eq!(created.statistics.files, 100);
    let restored = sample::restore_all(&repository, &created, &source, &folder.path().join("target"));
    let (expected, found) = (walker::look(&source), walker::look(&restored));
    assert!(expected.keys().map(Vec::len).max().unwrap() > 4096);
    assert!(expected == found);
    let tree = sample::tree_id(&repository, &created, &source);
    assert_eq!(sample::tree_id(&repository, &sample::archive(&repository, &source), &source), tree);
}

#[test]
fn the_path_of_one_dot_is_the_root_of_its_archive() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("inner")).unwrap();
    fs::write(source.join("inner/file"), "content").unwrap();
    fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o710)).unwrap();
    let before = std::env::current_dir().unwrap();
    // Every other test uses absolute paths.
    std::env::set_current_dir(&source).unwrap();
    let repository = sample::open(sample::memory());
    let created = create(&repository, &sample::options(&[Path::new(".")]), None, &Silent).unwrap();
    std::env::set_current_dir(before).unwrap();
    let target = folder.path().join("target");
    let (restored, _) = sample::try_restore(&repository, created.archive.as_ref().unwrap(), &target).unwrap();
    assert_eq!((restored.files, restored.warnings), (1, 0));
    assert!(walker::look(&source) == walker::look(&target));
    assert_eq!(created.root_tree, sample::tree_id(&repository, &sample::archive(&repository, &target), &target));
}

#[test]
fn several_paths_stand_in_one_archive() {
    let folder = TempDir::new().unwrap();
    let paths: Vec<PathBuf> = ["one", "two/inner", "three"].iter().map(|name| folder.path().join(name)).collect();
    fs::create_dir_all(&paths[1]).unwrap();
    fs::write(&paths[0], "a file").unwrap();
    fs::write(paths[1].join("file"), "another").unwrap();
    std::os::unix::fs::symlink("one", &paths[2]).unwrap();
    let repository = sample::open(sample::memory());
    let all: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let created = create(&repository, &sample::options(&all), None, &Silent).unwrap();
    let target = folder.path().join("target");
    sample::try_restore(&repository, created.archive.as_ref().unwrap(), &target).unwrap();
    for path in all {
        let restored = sample::inside(&target, path);
        assert!(walker::look(path) == walker::look(&restored), "{}", path.display());
    }
}

#[test]
fn a_missing_path_among_several_is_a_warning_and_all_missing_is_an_error() {
    let folder = TempDir::new().unwrap();
    let (here, gone) = (folder.path().join("here"), folder.path().join("gone"));
    fs::write(&here, "here").unwrap();
    let repository = sample::open(sample::memory());
    let heard = Heard::default();
    let created = create(&repository, &sample::options(&[&gone, &here]), None, &heard).unwrap();
    assert_eq!((created.statistics.files, created.statistics.warnings), (1, 1));
    assert_eq!(heard.warnings().len(), 1);
    assert!(heard.warnings()[0].contains("gone"), "{:?}", heard.warnings());
    let error = create(&repository, &sample::options(&[&gone]), None, &Silent).unwrap_err();
    assert!(matches!(error, Error::NoSource(_)), "{error}");
    assert_eq!(repository.archives(&mut |_, _| {}).unwrap().len(), 1, "what failed left no archive");
}

#[test]
fn what_a_user_may_not_read_is_named_and_all_else_is_archived() {
    if rustix::process::geteuid().is_root() {
        support::as_ordinary_user("fidelity::fixed::what_a_user_may_not_read_is_named_and_all_else_is_archived");
        return;
    }
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("closed")).unwrap();
    fs::write(source.join("open"), "read me").unwrap();
    fs::write(source.join("secret"), "do not read me").unwrap();
    let close = |name: &str, mode| {
        fs::set_permissions(source.join(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    close("closed", 0o000);
    close("secret", 0o000);
    let repository = sample::open(sample::memory());
    let heard = Heard::default();
    let created = create(&repository, &sample::options(&[&source]), None, &heard).unwrap();
    close("closed", 0o700);
    assert_eq!(created.statistics.warnings, 2, "{:?}", heard.warnings());
    let entries = sample::entries(&repository, created.archive.as_ref().unwrap(), &source);
    assert!(entries[b"secret".as_slice()].missing && entries[b"closed".as_slice()].missing);
    assert!(matches!(entries[b"secret".as_slice()].kind, NodeKind::File { content: Content::Missing, .. }));
    let target = folder.path().join("target");
    sample::try_restore(&repository, created.archive.as_ref().unwrap(), &target).unwrap();
    let restored = sample::files(&sample::inside(&target, &source));
    assert_eq!(restored.into_keys().collect::<Vec<_>>(), [PathBuf::from("open")]);
}
