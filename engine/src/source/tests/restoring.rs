//! A restore stays beneath its target, whatever it is told and whatever is there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use super::*;

#[test]
fn allocated_zeros_are_no_hole_in_a_file_without_holes() {
    let place = Place::new();
    let file = place.write(b"zeros", &vec![7; 300_000]);
    file.allocate_zeros(100_000, 600_000, false).unwrap();
    assert_eq!(file.stat().unwrap().size, 700_000);
    assert!(!file.stat().unwrap().may_have_holes());
    let mut content = vec![1; 700_000];
    assert_eq!(file.read_at(&mut content, 0).unwrap(), 700_000);
    assert!(content.iter().enumerate().all(|(at, byte)| *byte == if at < 100_000 { 7 } else { 0 }));
    let stat = file.stat().unwrap();
    let opened = place.source().open_file(b"zeros", &stat).unwrap();
    let extents: Vec<Extent> = opened.extents(stat.size).map(Result::unwrap).collect();
    assert_eq!(extents, [Extent { start: 0, end: 700_000 }]);
}

#[test]
fn a_target_that_is_dropped_closes_the_directories_that_it_kept_open() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    let target = Target::open(folder.path(), false).unwrap();
    let directory = Arc::downgrade(&target.directory(b"a").unwrap());
    assert!(directory.upgrade().is_some(), "it is kept open");
    drop(target);
    assert!(directory.upgrade().is_none());
}

#[test]
fn names_that_are_paths_are_refused_everywhere() {
    let place = Place::new();
    let root = place.root();
    for name in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0b", b"../outside"] {
        assert!(root.stat(name).is_err());
        assert!(root.make_directory(name, true).is_err());
        assert!(root.create_file(name).is_err());
        assert!(root.create_beside(name).is_err());
        assert!(root.rename_over(b"a", name).is_err() && root.rename_over(name, b"a").is_err());
        assert!(root.symlink(b"x", name).is_err() && root.fifo(name).is_err());
        assert!(root.hard_link(root, name, b"a").is_err() && root.hard_link(root, b"a", name).is_err());
        assert!(root.remove(name).is_err() && root.remove_tree(name).is_err());
        assert!(place.source().open_child(name).is_err() && place.source().stat_child(name).is_err());
    }
    for path in [&b".."[..], b"a/../..", b"/etc", b"a//b", b"a/", b"./a"] {
        assert_eq!(place.target.directory(path).unwrap_err().source.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_symlink_on_the_way_is_refused() {
    let place = Place::new();
    fs::create_dir_all(place.outside().join("inner")).unwrap();
    symlink(place.outside(), place.path().join("absolute")).unwrap();
    symlink("../outside", place.path().join("relative")).unwrap();
    symlink(".", place.path().join("harmless")).unwrap();
    for path in [&b"absolute"[..], b"relative", b"harmless", b"absolute/inner", b"relative/inner", b"harmless/absolute"]
    {
        let refused = place.target.directory(path);
        assert!(refused.is_err(), "{}", path.escape_ascii());
        assert!(open::open_stepwise(place.root().as_fd(), path).is_err(), "{}", path.escape_ascii());
    }
    // A directory is not made where a symlink is, unless the symlink goes.
    assert!(place.root().make_directory(b"absolute", false).is_err());
    assert!(place.root().make_directory(b"absolute", true).unwrap());
    place.target.directory(b"absolute").unwrap().create_file(b"file").unwrap();
    assert_eq!(fs::read_dir(place.outside()).unwrap().count(), 1);
}

#[test]
fn a_hard_link_to_a_symlink_or_directory_is_refused() {
    let place = Place::new();
    let root = place.root();
    fs::write(place.outside(), b"secret").unwrap();
    symlink(place.outside(), place.path().join("link")).unwrap();
    root.make_directory(b"directory", false).unwrap();
    assert!(root.hard_link(root, b"link", b"leak").is_err());
    assert!(root.hard_link(root, b"directory", b"leak").is_err());
    assert!(root.stat(b"leak").unwrap().is_none());
    place.write(b"file", b"data");
    let directory = place.target.directory(b"directory").unwrap();
    directory.hard_link(root, b"file", b"same").unwrap();
    let (one, other) = (root.stat(b"file").unwrap().unwrap(), directory.stat(b"same").unwrap().unwrap());
    assert!(one.is_same_file(&other) && one.links == 2);
}

#[test]
fn a_file_is_replaced_at_once_whatever_it_was() {
    let place = Place::new();
    let root = place.root();
    fs::write(place.outside(), b"untouched").unwrap();
    symlink(place.outside(), place.path().join("name")).unwrap();
    assert_eq!(root.create_file(b"name").unwrap_err().source.kind(), std::io::ErrorKind::AlreadyExists);
    let (temporary, file) = root.create_beside(b"name").unwrap();
    file.write_at(b"restored", 0).unwrap();
    root.rename_over(&temporary, b"name").unwrap();
    assert_eq!(root.stat(b"name").unwrap().unwrap().kind, FileKind::File);
    assert_eq!(fs::read(place.outside()).unwrap(), b"untouched");
    assert_eq!(root.names().unwrap().len(), 1);
    let update = root.open_file_for_update(b"name").unwrap();
    update.write_at(b"R", 0).unwrap();
    assert_eq!(fs::read(place.path().join("name")).unwrap(), b"Restored");
    place.target.sync_all().unwrap();
}

#[test]
fn paths_longer_than_the_kernel_takes_can_be_written_read_and_removed() {
    const DEPTH: usize = 30;
    let place = Place::new();
    let mut path = Vec::new();
    for level in 0..DEPTH {
        let name = format!("{level:0200}").into_bytes();
        assert!(place.target.directory(&path).unwrap().make_directory(&name, false).unwrap());
        path.extend_from_slice(if level == 0 { b"" } else { b"/" });
        path.extend_from_slice(&name);
    }
    let deepest = place.target.directory(&path).unwrap();
    deepest.create_file(b"file").unwrap().write_at(b"deep", 0).unwrap();
    // Without the cache as well.
    let again = Target::open(place.path(), false).unwrap().directory(&path).unwrap();
    assert_eq!(again.stat(b"file").unwrap().unwrap().size, 4);

    let mut source = place.source();
    for name in path.split(|byte| *byte == b'/') {
        assert_eq!(source.names().unwrap().at(0), Some(name));
        source = source.open_child(name).unwrap();
    }
    let stat = source.stat_child(b"file").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(source.open_file(b"file", &stat).unwrap().read_at(&mut buffer, 0).unwrap(), 4);
    assert!(source.path().as_os_str().len() > 4096);

    place.root().remove_tree(path.split(|byte| *byte == b'/').next().unwrap()).unwrap();
    assert!(place.root().names().unwrap().is_empty());
}

#[test]
fn removing_a_tree_follows_nothing_and_needs_no_permission_inside() {
    let place = Place::new();
    fs::create_dir(place.outside()).unwrap();
    fs::write(place.outside().join("kept"), b"").unwrap();
    let tree = place.path().join("tree");
    for inner in ["a/b/c", "a/d", "locked/inner"] {
        fs::create_dir_all(tree.join(inner)).unwrap();
        symlink(place.outside(), tree.join(inner).join("link")).unwrap();
        fs::write(tree.join(inner).join("file"), b"").unwrap();
    }
    fs::set_permissions(tree.join("locked/inner"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(tree.join("locked"), fs::Permissions::from_mode(0o500)).unwrap();
    let before = place.target.directory(b"tree/a").unwrap();
    place.root().remove_tree(b"tree").unwrap();
    assert!(place.root().names().unwrap().is_empty());
    assert!(place.outside().join("kept").exists());
    // The path means another directory now.
    place.root().make_directory(b"tree", false).unwrap();
    place.target.directory(b"tree").unwrap().make_directory(b"a", false).unwrap();
    assert!(!Arc::ptr_eq(&before, &place.target.directory(b"tree/a").unwrap()));
    place.root().remove_tree(b"missing").unwrap();
    symlink(place.outside(), place.path().join("link")).unwrap();
    place.root().remove_tree(b"link").unwrap();
    assert!(place.outside().join("kept").exists());
}

#[test]
fn a_tree_deeper_than_there_are_descriptors_is_removed() {
    const DEPTH: usize = 3000;
    let place = Place::new();
    let top = place.target.root();
    top.make_directory(b"d", false).unwrap();
    let mut fd = open::open_at(top.as_fd(), b"d", open::DIRECTORY).unwrap();
    for _ in 1..DEPTH {
        rustix::fs::mkdirat(&fd, "d", rustix::fs::Mode::RWXU).unwrap();
        fd = open::open_at(&fd, b"d", open::DIRECTORY).unwrap();
    }
    top.remove_tree(b"d").unwrap();
    assert!(top.stat(b"d").unwrap().is_none());
}

#[test]
fn many_directories_are_used_and_few_kept_open() {
    let place = Place::new();
    for round in 0..2 {
        for number in 0..600 {
            let name = format!("{number}").into_bytes();
            assert_eq!(place.root().make_directory(&name, false).unwrap(), round == 0);
            place.target.directory(&name).unwrap();
        }
    }
    let hot = place.target.directory(b"7").unwrap();
    for number in 0..600 {
        place.target.directory(format!("{number}").as_bytes()).unwrap();
        assert!(Arc::ptr_eq(&hot, &place.target.directory(b"7").unwrap()), "what is used stays open");
    }
}
