//! What is read is what is there, and only believed when it may be.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;
use crate::clock::file_system_now;
use crate::meta::Timestamp;

fn os_error<T: std::fmt::Debug>(result: Result<T, crate::error::FileError>) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&result.unwrap_err().source).unwrap()
}

#[test]
fn names_come_sorted_and_without_dots() {
    let place = Place::new();
    for name in [&b"b"[..], b"a\xff", b"a", b"..a", b"Z"] {
        place.write(name, b"");
    }
    let names = place.source().names().unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), [&b"..a"[..], b"Z", b"a", b"a\xff", b"b"]);
    assert_eq!((names.len(), names.at(1), names.at(5)), (5, Some(&b"Z"[..]), None));
    assert_eq!(place.source().names().unwrap().len(), place.root().names().unwrap().len());
}

#[test]
fn a_stat_says_what_std_says() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    place.write(b"file", b"12345");
    let stat = place.source().stat_child(b"file").unwrap();
    let expected = fs::metadata(place.path().join("file")).unwrap();
    assert_eq!((stat.kind, stat.mode, stat.size, stat.links), (FileKind::File, 0o600, 5, 1));
    assert_eq!((stat.uid, stat.gid), (expected.uid(), expected.gid()));
    assert_eq!((stat.inode, stat.device, stat.blocks), (expected.ino(), expected.dev(), expected.blocks()));
    assert_eq!((stat.mtime.seconds, i64::from(stat.mtime.nanoseconds)), (expected.mtime(), expected.mtime_nsec()));
    assert_eq!((stat.ctime.seconds, i64::from(stat.ctime.nanoseconds)), (expected.ctime(), expected.ctime_nsec()));
    assert_eq!(stat_path(&place.path().join("file")).unwrap(), stat);
}

#[test]
fn a_path_of_the_user_may_be_no_directory() {
    let place = Place::new();
    place.root().symlink(b"nowhere", b"link").unwrap();
    assert_eq!(stat_path(&place.path().join("link")).unwrap().kind, FileKind::Symlink);
    let (parent, name) = SourceDir::open_parent(&place.path().join("link")).unwrap().unwrap();
    assert_eq!(parent.read_link(&name).unwrap(), b"nowhere");
    assert_eq!(parent.child_path(&name), place.path().join("link"));
    assert!(SourceDir::open_parent(Path::new("/")).unwrap().is_none());
    assert!(SourceDir::open_path(&place.path().join("link")).is_err());
    let error = SourceDir::open_path(&place.path().join("missing")).unwrap_err();
    assert!(error.to_string().ends_with("target/missing"), "{error}");
}

#[test]
fn what_took_the_name_of_a_file_is_neither_read_nor_waited_for() {
    let place = Place::new();
    place.write(b"file", b"data");
    let (source, root) = (place.source(), place.root());
    let before = source.stat_child(b"file").unwrap();
    assert_eq!(source.open_file(b"file", &before).unwrap().opened(), &before);
    root.remove(b"file").unwrap();
    root.fifo(b"file").unwrap();
    assert!(source.open_file(b"file", &before).unwrap_err().chain().contains("changed"));
    assert!(root.open_file(b"file").is_err());
    root.remove(b"file").unwrap();
    root.symlink(b"/etc/passwd", b"file").unwrap();
    assert_eq!(os_error(source.open_file(b"file", &before)), rustix::io::Errno::LOOP);
    root.remove(b"file").unwrap();
    place.write(b"keeps the inode from being used again", b"");
    place.write(b"file", b"other");
    let now = source.stat_child(b"file").unwrap();
    assert_eq!(source.open_file(b"file", &before).is_ok(), now.is_same_file(&before));
    assert!(root.open_file(b"file").is_ok());
}

#[test]
fn extents_are_what_was_written() {
    const MEGABYTE: u64 = 1 << 20;
    let place = Place::new();
    let file = place.write(b"sparse", b"");
    file.set_length(8 * MEGABYTE).unwrap();
    file.write_at(&vec![1; 65536], 2 * MEGABYTE).unwrap();
    file.allocate_zeros(5 * MEGABYTE, 65536, true).unwrap();
    file.sync().unwrap();
    let source = place.source();
    let stat = source.stat_child(b"sparse").unwrap();
    let opened = source.open_file(b"sparse", &stat).unwrap();
    let extents: Vec<Extent> = opened.extents(stat.size).map(Result::unwrap).collect();
    let expected = [2, 5].map(|at| Extent { start: at * MEGABYTE, end: at * MEGABYTE + 65536 });
    assert!(stat.may_have_holes());
    assert_eq!(extents, expected);
    let mut buffer = [0; 10];
    assert_eq!(opened.read_at(&mut buffer, 8 * MEGABYTE - 3).unwrap(), 3);
    assert_eq!(opened.read_at(&mut buffer, 2 * MEGABYTE - 5).unwrap(), 10);
    assert_eq!(buffer, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
}

#[test]
fn a_fresh_change_is_not_trusted_and_a_writer_neither() {
    let place = Place::new();
    place.write(b"file", b"data");
    let source = place.source();
    let systems = FileSystems::new();
    let of_directory = systems.of_directory(&source).unwrap();
    let stat = source.stat_child(b"file").unwrap();
    let file = source.open_file(b"file", &stat).unwrap();
    let trust = FileSystemTrust::of_file(&file).unwrap();
    let now = file_system_now();
    let after = |seconds: i64| Timestamp { seconds: stat.ctime.seconds + seconds, ..now };
    assert_eq!(of_directory.kind(), trust.kind());
    assert!(!trust.believes(&stat, stat.ctime) && !trust.believes_content(&stat, stat.ctime, &file));
    assert!(!trust.believes(&stat, after(-10)), "a time in the future says nothing");
    assert!(trust.believes(source.stat(), after(5)));
    let by_lease = trust.kind() == FileSystemKind::Disk;
    assert_eq!(trust.believes_content(&stat, after(5), &file), by_lease);
    let writer = fs::OpenOptions::new().write(true).open(place.path().join("file")).unwrap();
    writer.write_at(b"D", 0).unwrap();
    assert!(!trust.believes_content(&stat, after(5), &file));
    let in_memory = trust.kind() == FileSystemKind::Memory;
    assert_eq!(trust.believes_content(&stat, after(1_000_000), &file), !in_memory);
}
