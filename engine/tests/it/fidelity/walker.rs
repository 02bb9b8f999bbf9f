//! Looks at a tree with calls of its own, none of them the engine's: relative to open directories, so that no path is too long.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, SeekFrom, Stat, ioctl_getflags, lgetxattr, llistxattr, openat,
    readlinkat, seek, statat,
};

/// All that a restore must bring back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    kind: FileType,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, u64),
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    flags: u32,
    /// Path of the first name of the same file.
    first_name: Option<Vec<u8>>,
    size: Option<u64>,
    /// Begin and length of each run of data, and a hash of its bytes.
    data: Vec<(u64, u64, String)>,
    target: Option<Vec<u8>>,
    device: Option<u64>,
}

type Tree = BTreeMap<Vec<u8>, Seen>;

#[derive(Default)]
struct Walk {
    found: Tree,
    first_names: HashMap<(u64, u64), Vec<u8>>,
}

pub(super) fn look(root: &Path) -> Tree {
    let mut walk = Walk::default();
    walk.entry(
        &openat(CWD, root.parent().unwrap(), OFlags::PATH, Mode::empty()).unwrap(),
        root.file_name().unwrap().as_bytes(),
        b"",
    );
    walk.found
}

impl Walk {
    fn entry(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) {
        let status = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let kind = FileType::from_raw_mode(status.st_mode);
        if kind == FileType::Socket {
            return;
        }
        let mut seen = self.seen(parent, name, path, &status, kind);
        match kind {
            FileType::RegularFile => {
                let file = openat(parent, name, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()).unwrap();
                seen.flags = flags(&file);
                let all_there = status.st_blocks * 512 >= status.st_size;
                seen.data = data(&file.into(), seen.size.unwrap(), all_there);
            }
            FileType::Directory => {
                let directory =
                    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).unwrap();
                seen.flags = flags(&directory);
                self.below(&directory, path);
            }
            _ => {}
        }
        self.found.insert(path.to_vec(), seen);
    }

    fn below(&mut self, directory: &OwnedFd, path: &[u8]) {
        let names = Dir::read_from(directory).unwrap().map(|entry| entry.unwrap().file_name().to_bytes().to_vec());
        let mut names: Vec<_> = names.filter(|name| name != b"." && name != b"..").collect();
        names.sort();
        for name in names {
            self.entry(directory, &name, &[path, b"/", &name].concat());
        }
    }

    fn seen(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8], status: &Stat, kind: FileType) -> Seen {
        let is_file = kind == FileType::RegularFile;
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        let first_name = (is_file && status.st_nlink > 1)
            .then(|| self.first_names.entry((status.st_dev, status.st_ino)).or_insert_with(|| path.to_vec()).clone());
        Seen {
            kind,
            mode: status.st_mode & 0o7777,
            owner: (status.st_uid, status.st_gid),
            mtime: (status.st_mtime, status.st_mtime_nsec),
            xattrs: xattrs(parent, name),
            flags: 0,
            first_name,
            size: is_file.then(|| u64::try_from(status.st_size).unwrap()),
            data: Vec::new(),
            target: (kind == FileType::Symlink).then(|| readlinkat(parent, name, Vec::new()).unwrap().into_bytes()),
            device: is_device.then_some(status.st_rdev),
        }
    }
}

fn xattrs(parent: &OwnedFd, name: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(OsStr::from_bytes(name));
    let mut names = vec![0; 65_536];
    let length = llistxattr(&path, &mut names).unwrap();
    let value = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let length = lgetxattr(&path, name, &mut value).unwrap();
        value.truncate(length);
        value
    };
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// What chattr sets; the file system's own bits are its own affair.
fn flags(file: &OwnedFd) -> u32 {
    ioctl_getflags(file).map_or(0, |flags| flags.bits() & 0xf8)
}

/// The runs between holes; all of it where nothing is missing, because zeros may be there without having been written.
fn data(file: &File, size: u64, all_there: bool) -> Vec<(u64, u64, String)> {
    let mut runs = Vec::new();
    let mut end = 0;
    while end < size {
        let begin = if all_there { 0 } else { seek(file.as_fd(), SeekFrom::Data(end)).unwrap_or(size) };
        end = if all_there { size } else { seek(file.as_fd(), SeekFrom::Hole(begin)).unwrap_or(size) };
        let mut bytes = vec![0; usize::try_from(end - begin).unwrap()];
        file.read_exact_at(&mut bytes, begin).unwrap();
        runs.push((begin, end - begin, blake3::hash(&bytes).to_hex().to_string()));
    }
    runs
}
