//! Create and restore of any tree: what was archived comes back, byte for byte and with its attributes; and an archive of
//! what came back is the same, whether one thread cut the files or several.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, mknodat, utimensat};
use vault_engine::chunker::ChunkerRequest;
use vault_engine::compress::Compression;
use vault_engine::format::verify::Verify;
use vault_engine::id::ObjectId;
use vault_engine::meta::NodeKind;
use vault_engine::ops::archives;
use vault_engine::ops::check::{CheckOptions, check};
use vault_engine::ops::create::{CreateOptions, FilesCache, create};
use vault_engine::ops::restore::{RestoreOptions, restore};
use vault_engine::pattern::PatternSet;
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, Repository};
use vault_engine::source::is_valid_name;

use crate::chunker::expand;
use crate::first;
use crate::scratch::{Scratch, empty, open};

const MOST_STEPS: usize = 64;
const DEEPEST: usize = 8;

/// The first byte says how it is archived, the rest what there is.
pub fn run(data: &[u8]) {
    let (how, program) = first(data);
    let scratch = Scratch::new();
    let source = scratch.path().join("source");
    fs::create_dir(&source).expect("a folder to archive");
    build(&source, program);
    let repository = open(empty()).expect("our own repository");
    let (archive, tree) = archived(&repository, &source, how, 1);
    let target = scratch.path().join("target");
    let again = restored(&repository, &archive, &source, &target);
    compare(&source, &again);
    let (_, cut_by_several) = archived(&repository, &source, how, 3);
    assert_eq!(cut_by_several, tree, "several threads cut in another way than one");
    let (_, of_restored) = archived(&repository, &again, how, 2);
    assert_eq!(of_restored, tree, "an archive of what was restored is another one");
    let report = check(&repository, CheckOptions { read_data: true, jobs: Some(1) }, &Silent).expect("a check");
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

/// An archive of a folder, and the id of the folder's tree in it.
fn archived(repository: &Repository, folder: &Path, how: u8, jobs: usize) -> (Archive, ObjectId) {
    let chunkers = [ChunkerRequest::Auto, ChunkerRequest::Fixed(9), ChunkerRequest::ContentDefined(Some(12))];
    let compressions = [Compression::None, Compression::Lz4, Compression::AutoZstd(1)];
    let options = CreateOptions {
        host: "host".to_owned(),
        name: "fuzz".to_owned(),
        moving_name: false,
        paths: vec![folder.to_owned()],
        input_name: None,
        compression: compressions.get(usize::from(how / 3) % 3).copied().unwrap_or_default(),
        chunker: chunkers.get(usize::from(how) % 3).copied().unwrap_or(ChunkerRequest::Auto),
        one_file_system: how & 64 != 0,
        excludes: PatternSet::new(),
        exclude_caches: false,
        exclude_if_present: Vec::new(),
        skip: Vec::new(),
        files_cache: if how & 128 == 0 { FilesCache::Disabled } else { FilesCache::default() },
        time: None,
        utc_offset_seconds: 0,
        user: "user".to_owned(),
        comment: String::new(),
        program: "fuzz".to_owned(),
        verify: Verify::All,
        dry_run: false,
        jobs: Some(jobs),
    };
    let created = create(repository, &options, None, &Silent).expect("an archive");
    assert_eq!(created.statistics.warnings, 0, "not all was archived");
    let archive = created.archive.expect("no dry run");
    let mut tree = None;
    archives::entries(repository, &archive, &mut |path, node| {
        if let NodeKind::Directory { tree: id } = node.kind
            && path == below_root(folder).as_os_str().as_bytes()
        {
            tree = Some(id);
        }
        Ok(())
    })
    .expect("an archive that can be walked");
    (archive, tree.expect("the folder is in the archive"))
}

fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Where the folder came to stand in the target.
fn restored(repository: &Repository, archive: &Archive, folder: &Path, target: &Path) -> PathBuf {
    let options = RestoreOptions { target: target.to_owned(), jobs: Some(2), ..RestoreOptions::default() };
    let restored = restore(repository, archive, &options, &Silent).expect("a restore");
    assert_eq!((restored.damaged, restored.warnings), (0, 0), "not all was restored");
    target.join(below_root(folder))
}

/// The same names, kinds, sizes, bytes, modes and times.
fn compare(one: &Path, other: &Path) {
    let (stat, found) = (fs::symlink_metadata(one).expect("it was made"), fs::symlink_metadata(other));
    let found = found.unwrap_or_else(|error| panic!("{}: {error}", other.display()));
    let facts = |stat: &fs::Metadata| (stat.mode(), stat.uid(), stat.gid(), stat.mtime(), stat.mtime_nsec());
    assert_eq!(facts(&found), facts(&stat), "{}", one.display());
    if stat.is_dir() {
        let (names, found) = (names(one), names(other));
        assert_eq!(found, names, "{}", one.display());
        for name in names {
            compare(&one.join(&name), &other.join(&name));
        }
        return;
    }
    assert_eq!(found.nlink(), stat.nlink(), "{}: hard links", one.display());
    if stat.is_symlink() {
        assert_eq!(fs::read_link(other).ok(), fs::read_link(one).ok(), "{}", one.display());
    } else if stat.is_file() {
        assert_eq!(found.len(), stat.len(), "{}", one.display());
        assert!(fs::read(other).ok() == fs::read(one).ok(), "{}: other bytes", one.display());
    }
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).expect("a folder that can be listed");
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

/// What is being built.
struct Builder {
    /// Folders that are open, the root first.
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    /// All that was made: attributes are given last, children before their folder.
    made: Vec<(PathBuf, u8)>,
}

/// Steps of three bytes, what, a name and a number, and what more each needs. What cannot be made is not there.
fn build(root: &Path, program: &[u8]) {
    let mut builder = Builder { folders: vec![root.to_owned()], files: Vec::new(), made: Vec::new() };
    let mut rest = program;
    for _ in 0..MOST_STEPS {
        let Some(([what, name, number], behind)) = rest.split_first_chunk::<3>() else { break };
        let length = if *what % 4 == 0 { usize::from(*number) } else { usize::from(*number % 16) };
        let (bytes, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        builder.step(*what, *name, *number, bytes).ok();
    }
    for (path, number) in builder.made.iter().rev() {
        settle(path, *number).ok();
    }
}

impl Builder {
    fn step(&mut self, what: u8, name: u8, number: u8, bytes: &[u8]) -> io::Result<()> {
        if what % 16 == 15 && self.folders.len() > 1 {
            self.folders.pop();
            return Ok(());
        }
        let name = name_of(name, bytes);
        let path = self.folders.last().map(|folder| folder.join(OsStr::from_bytes(&name))).unwrap_or_default();
        match what % 16 {
            0 | 4 | 8 | 12 => self.file(&path, &expand(bytes), number)?,
            1 | 5 if self.folders.len() < DEEPEST => {
                fs::create_dir(&path)?;
                self.folders.push(path.clone());
            }
            2 => self.file(&path, bytes, number)?,
            3 => symlink(OsStr::from_bytes(&[b"x", bytes].concat()), &path)?,
            6 => mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0)?,
            7 | 9 => {
                let file = self.files.get(usize::from(number) % self.files.len().max(1));
                fs::hard_link(file.ok_or(io::ErrorKind::NotFound)?, &path)?;
                // It has its attributes by its other name.
                return Ok(());
            }
            10 => sparse(&path, number, bytes)?,
            11 => attribute(self.files.last().ok_or(io::ErrorKind::NotFound)?, name.first(), bytes)?,
            _ => return Ok(()),
        }
        self.made.push((path, number));
        Ok(())
    }

    fn file(&mut self, path: &Path, content: &[u8], number: u8) -> io::Result<()> {
        // Some grow to more than one span of chunks, so that several threads share their work.
        let times = if number >= 250 { 8 } else { 1 };
        let mut file = File::create_new(path)?;
        for _ in 0..times {
            io::Write::write_all(&mut file, content)?;
        }
        self.files.push(path.to_owned());
        Ok(())
    }
}

/// Short names, so that there are few of them and many meet; some that no text has.
fn name_of(byte: u8, bytes: &[u8]) -> Vec<u8> {
    let name = match byte {
        0..200 => vec![b'a' + byte % 26],
        _ => [bytes, &[byte]].concat(),
    };
    if is_valid_name(&name) { name } else { vec![b'_', byte % 40 + b'0'] }
}

fn sparse(path: &Path, number: u8, bytes: &[u8]) -> io::Result<()> {
    let file = File::create_new(path)?;
    file.write_all_at(bytes, u64::from(number) << 12)?;
    file.set_len(u64::from(number) << 13 | bytes.len() as u64)
}

fn attribute(path: &Path, letter: Option<&u8>, bytes: &[u8]) -> io::Result<()> {
    let name = format!("user.{}", char::from(b'a' + letter.copied().unwrap_or(0) % 26));
    // Some stand in an object of their own.
    let value = bytes.repeat(if bytes.len() > 12 { 60 } else { 1 });
    Ok(lsetxattr(path, name, &value, XattrFlags::empty())?)
}

/// Mode and time from a number. No other owner: whoever runs this need not be root.
fn settle(path: &Path, number: u8) -> io::Result<()> {
    let stat = fs::symlink_metadata(path)?;
    if !stat.is_symlink() {
        let folder = if stat.is_dir() { 0o700 } else { 0o400 };
        fs::set_permissions(path, Permissions::from_mode(u32::from(number) << 2 & 0o7077 | folder))?;
    }
    let time = Timespec { tv_sec: (i64::from(number) - 100) << 24, tv_nsec: i64::from(number) * 3_900_000 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
