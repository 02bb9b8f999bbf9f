//! Attributes come back, and what cannot be set is reported.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::meta::{Attributes, Owner, Timestamp, Xattr};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn attributes_like(stat: &Stat) -> Attributes {
    Attributes {
        mode: stat.mode,
        owner: Owner { number: stat.uid, name: Arc::default() },
        group: Owner { number: stat.gid, name: Arc::default() },
        mtime: stat.mtime,
        file_flags: 0,
        xattrs: Vec::new(),
    }
}

fn xattr(name: &[u8], value: &[u8]) -> Xattr {
    Xattr { name: name.to_vec(), value: value.to_vec() }
}

fn apply(subject: Subject<'_>, attributes: &Attributes) -> Vec<UnsetAttribute> {
    let owners = Owners::new();
    let options = AttributeOptions { owners: &owners, numeric_ids: true };
    let unset = apply_attributes(subject, attributes, &options).unwrap();
    unset.into_iter().map(|unset| unset.attribute).collect()
}

/// An ACL in the kernel's encoding that lets the user 12345 read.
fn acl() -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let nobody = u32::MAX;
    [
        2_u32.to_le_bytes().to_vec(),
        entry(0x01, 6, nobody),
        entry(0x02, 4, 12345),
        entry(0x04, 0, nobody),
        entry(0x10, 4, nobody),
        entry(0x20, 0, nobody),
    ]
    .concat()
}

#[test]
fn attributes_come_back_and_strange_ones_go() {
    let place = Place::new();
    let file = place.write(b"file", b"data");
    let mut wanted = attributes_like(&file.stat().unwrap());
    wanted.mode = 0o640;
    wanted.mtime = Timestamp { seconds: -5, nanoseconds: 123_456_789 };
    wanted.xattrs = vec![xattr(b"system.posix_acl_access", &acl()), xattr(b"user.large", &[7; 3000])];
    let unset = apply(Subject::File(&file), &wanted);
    if unset.iter().any(|unset| matches!(unset, UnsetAttribute::Xattr(_))) {
        return; // The temporary folder is on a file system without these.
    }
    assert!(unset.is_empty(), "{unset:?}");
    let stat = file.stat().unwrap();
    assert_eq!((stat.mode, stat.mtime), (0o640, wanted.mtime));
    let opened = place.source().open_file(b"file", &stat).unwrap();
    assert_eq!(opened.xattrs().xattrs, wanted.xattrs);
    assert_eq!(place.source().child_xattrs(b"file").xattrs, wanted.xattrs);

    // Nothing to do: not even ctime changes.
    assert!(apply(Subject::File(&file), &wanted).is_empty());
    assert_eq!(file.stat().unwrap(), stat);

    wanted.xattrs = vec![xattr(b"user.other", b"")];
    assert!(apply(Subject::File(&file), &wanted).is_empty());
    assert_eq!(opened.xattrs().xattrs, wanted.xattrs);
    assert_eq!(file.stat().unwrap().mode, 0o640);
}

#[test]
fn attributes_of_directories_links_and_fifos_come_back() {
    let place = Place::new();
    let root = place.root();
    assert!(root.make_directory(b"directory", false).unwrap());
    root.symlink(b"directory", b"link").unwrap();
    root.fifo(b"fifo").unwrap();
    let directory = place.target.directory(b"directory").unwrap();
    let subjects = [
        (&b"directory"[..], Subject::Directory(&directory)),
        (b"link", Subject::Entry(root, b"link")),
        (b"fifo", Subject::Entry(root, b"fifo")),
    ];
    let untouched = root.stat(b"directory").unwrap().unwrap();
    for (name, subject) in subjects.into_iter().rev() {
        let mut wanted = attributes_like(&root.stat(name).unwrap().unwrap());
        wanted.mtime = Timestamp { seconds: 1_000_000_000, nanoseconds: 1 };
        if name != b"link" {
            wanted.mode = 0o1711;
        }
        assert_eq!(apply(subject, &wanted), []);
        let stat = root.stat(name).unwrap().unwrap();
        assert_eq!((stat.mode, stat.mtime), (wanted.mode, wanted.mtime));
        if name != b"directory" {
            assert_eq!(root.stat(b"directory").unwrap().unwrap(), untouched, "nothing was followed");
        }
    }
}

#[test]
fn owners_are_set_by_root_and_reported_to_others() {
    let place = Place::new();
    let file = place.write(b"file", b"data");
    place.root().symlink(b"file", b"link").unwrap();
    let mut wanted = attributes_like(&file.stat().unwrap());
    wanted.owner.number = 54321;
    wanted.mode = 0o4755;
    let unset = apply(Subject::File(&file), &wanted);
    let linked = apply(Subject::Entry(place.root(), b"link"), &wanted);
    let stat = file.stat().unwrap();
    if is_root() {
        assert_eq!((unset, linked), (vec![], vec![]));
        assert_eq!((stat.uid, stat.mode), (54321, 0o4755));
    } else {
        assert_eq!(unset, [UnsetAttribute::Owner, UnsetAttribute::Mode]);
        assert_eq!(linked, [UnsetAttribute::Owner]);
        assert_eq!(stat.mode, 0o755, "nothing runs as whoever restored it");
    }
    wanted.owner.number = u32::MAX;
    assert!(apply(Subject::File(&file), &wanted).contains(&UnsetAttribute::Owner));
}

#[test]
fn names_of_users_go_both_ways() {
    let owners = Owners::new();
    assert_eq!(owners.user(0), Owner { number: 0, name: Arc::from(*b"root") });
    assert_eq!((owners.uid_of(b"root"), owners.gid_of(b"root")), (Some(0), Some(0)));
    assert_eq!(owners.group(4_000_000_001), Owner { number: 4_000_000_001, name: Arc::default() });
    assert_eq!((owners.uid_of(b""), owners.uid_of(b"\xff"), owners.uid_of(b"no such user")), (None, None, None));

    let place = Place::new();
    let file = place.write(b"file", b"");
    let mut wanted = attributes_like(&file.stat().unwrap());
    let here = owners.user(wanted.owner.number);
    wanted.owner = Owner { number: 4_000_000_001, name: here.name };
    if !wanted.owner.name.is_empty() {
        let options = AttributeOptions { owners: &owners, numeric_ids: false };
        assert!(apply_attributes(Subject::File(&file), &wanted, &options).unwrap().is_empty());
        assert_eq!(file.stat().unwrap().uid, here.number);
    }
}

#[test]
fn a_protected_file_is_replaced_and_protected_again() {
    const IMMUTABLE: u32 = 0x10;
    const NODUMP: u32 = 0x40;
    let place = Place::new();
    let root = place.root();
    let file = place.write(b"file", b"old");
    let mut wanted = attributes_like(&file.stat().unwrap());
    wanted.file_flags = NODUMP | IMMUTABLE;
    wanted.mtime = Timestamp { seconds: 1, nanoseconds: 0 };
    let flags = |name: &[u8]| {
        let stat = root.stat(name).unwrap().unwrap();
        place.source().open_file(name, &stat).unwrap().file_flags().unwrap()
    };
    if apply(Subject::File(&file), &wanted).contains(&UnsetAttribute::Flags) {
        return; // An ordinary user, or a file system without such flags.
    }
    assert_eq!(flags(b"file"), NODUMP | IMMUTABLE);
    assert_eq!(file.stat().unwrap().mtime, wanted.mtime);
    assert!(fs::write(place.path().join("file"), b"x").is_err(), "it is immutable");

    wanted.mode = 0o604;
    assert_eq!(apply(Subject::File(&file), &wanted), []);
    assert_eq!((flags(b"file"), file.stat().unwrap().mode), (NODUMP | IMMUTABLE, 0o604));

    let (temporary, _) = root.create_beside(b"file").unwrap();
    root.rename_over(&temporary, b"file").unwrap();
    assert_eq!(flags(b"file"), 0);

    root.make_directory(b"tree", false).unwrap();
    let tree = place.target.directory(b"tree").unwrap();
    let inner = tree.create_file(b"inner").unwrap();
    assert_eq!(apply(Subject::File(&inner), &wanted), []);
    wanted.mode = 0o500;
    assert_eq!(apply(Subject::Directory(&tree), &wanted), []);
    root.unlock_directory(b"tree").unwrap();
    drop(tree.create_file(b"another").unwrap());
    assert_eq!(apply(Subject::Directory(&tree), &wanted), []);
    root.remove_tree(b"tree").unwrap();
    assert!(root.stat(b"tree").unwrap().is_none());
}
