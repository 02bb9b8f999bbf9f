//! Arbitrary trees: as a plan, and grown from it on disk.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, OFlags, Timespec, Timestamps, XattrFlags, ioctl_getflags, ioctl_setflags,
    lsetxattr, mknodat, open, utimensat,
};
use tempfile::TempDir;

use crate::sample::noise;

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    Data(usize),
    Zeros(usize),
    Hole(u64),
}

#[derive(Clone, Debug)]
pub(super) enum What {
    File(Vec<Piece>),
    Directory(BTreeMap<Vec<u8>, Item>),
    Symlink(Vec<u8>),
    Fifo,
    /// Character or block device.
    Device(bool, u32, u32),
    Socket,
}

#[derive(Clone, Debug)]
pub(super) struct Look {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    xattrs: BTreeMap<String, Vec<u8>>,
    acl: Option<(u32, u16)>,
    flags: u32,
    capability: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    what: What,
    look: Look,
}

/// A tree, and hard links between its files and directories, chosen by index.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    entries: BTreeMap<Vec<u8>, Item>,
    links: Vec<(Index, Index)>,
    look: Option<Look>,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("in no name", |&byte| byte != 0 && byte != b'/');
    prop_oneof![
        4 => "[a-z]{1,8}".prop_map(String::into_bytes),
        1 => prop::collection::vec(byte, 1..12),
        1 => select(vec![b"two\nlines".to_vec(), b"-rf".to_vec(), b" ".to_vec(), b"...".to_vec(), b"\xff\xfe".to_vec(), "\u{e9}t\u{e9}".into()]),
        1 => any::<u8>().prop_map(|n| vec![b'a' + n % 26; 255]),
    ]
    .prop_filter("not a name", |name| name != b"." && name != b".." && !name.ends_with(b".sock"))
}

fn look() -> impl Strategy<Value = Look> {
    let mode = prop_oneof![
        select(vec![0o644, 0o755, 0o600]),
        select(vec![0o4755, 0o2755, 0o1777, 0o000, 0o6711]),
        0..0o10000_u32
    ];
    let owner = (select(vec![0, 1000, 65534, 4_000_000_000]), select(vec![0, 33, 4_000_000_001]));
    let seconds =
        prop_oneof![select(vec![-1_000_000_000, -1, 0, 1, 4_000_000_000, 15_000_000_000]), 0..2_000_000_000_i64];
    let mtime = (seconds, prop_oneof![Just(0), Just(999_999_999), 0..1_000_000_000_i64]);
    let value =
        prop_oneof![prop::collection::vec(any::<u8>(), 0..40), (600..1500_usize).prop_map(|length| noise(3, length))];
    let xattrs = prop::collection::btree_map("user\\.[a-z]{1,6}", value, 0..3);
    let xattrs = prop_oneof![3 => Just(BTreeMap::new()), 1 => xattrs];
    let acl = prop_oneof![4 => Just(None), 1 => (1..70_000_u32, 0..8_u16).prop_map(Some)];
    let flags = prop_oneof![6 => Just(0), 1 => select(vec![0x40, 0x20, 0x10, 0x80, 0x8, 0x50])];
    (mode, owner, mtime, xattrs, acl, flags, prop::bool::weighted(0.1)).prop_map(
        |(mode, owner, mtime, xattrs, acl, flags, capability)| Look {
            mode,
            owner,
            mtime,
            xattrs,
            acl,
            flags,
            capability,
        },
    )
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        3 => (1..100_000_usize).prop_map(Piece::Data),
        1 => (1..4_000_000_usize).prop_map(Piece::Data),
        1 => (1..300_000_usize).prop_map(Piece::Zeros),
        2 => (1..3_000_000_u64).prop_map(Piece::Hole),
    ]
}

fn leaf() -> impl Strategy<Value = What> {
    let target = prop_oneof![
        "[a-z/.]{1,30}".prop_map(String::into_bytes),
        select(vec![b"/nowhere".to_vec(), b"\xff odd\n".to_vec(), b"..".to_vec(), vec![b'x'; 3000]])
    ];
    prop_oneof![
        6 => prop::collection::vec(piece(), 0..4).prop_map(What::File),
        2 => target.prop_map(What::Symlink),
        1 => Just(What::Fifo),
        1 => (any::<bool>(), 0..300_u32, 0..70_000_u32).prop_map(|(block, major, minor)| What::Device(block, major, minor)),
        1 => Just(What::Socket),
    ]
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let item = (leaf(), look()).prop_map(|(what, look)| Item { what, look });
    let item = item.prop_recursive(4, 24, 5, |below| {
        (prop::collection::btree_map(name(), below, 0..5), look())
            .prop_map(|(entries, look)| Item { what: What::Directory(entries), look })
    });
    let entries = prop::collection::btree_map(name(), item, 0..6);
    let links = prop::collection::vec(any::<(Index, Index)>(), 0..4);
    (entries, links, look()).prop_map(|(entries, links, look)| Plan { entries, links, look: Some(look) })
}

/// A tree on disk, which goes when this value does, whatever protects its files.
pub(super) struct Planted {
    folder: TempDir,
    path: PathBuf,
}

impl Planted {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An empty place on the same file system.
    pub(super) fn beside(other: &Self) -> Self {
        let folder = TempDir::new_in(other.folder.path().parent().unwrap()).unwrap();
        Self { path: folder.path().join("target"), folder }
    }

    pub(super) fn grow(place: &Path, plan: &Plan) -> Self {
        let folder = TempDir::new_in(place).unwrap();
        let planted = Self { path: folder.path().join("source"), folder };
        let mut garden = Garden::default();
        let look = plan.look.clone().unwrap_or_else(plain);
        garden.plant(&planted.path, &Item { what: What::Directory(plan.entries.clone()), look });
        garden.link(&plan.links);
        garden.dress();
        planted
    }
}

fn plain() -> Look {
    Look { mode: 0o755, owner: (0, 0), mtime: (1, 1), xattrs: BTreeMap::new(), acl: None, flags: 0, capability: false }
}

impl Drop for Planted {
    fn drop(&mut self) {
        unprotect(self.folder.path());
    }
}

/// Takes away what forbids removing, from the top down.
fn unprotect(path: &Path) {
    let Ok(status) = path.symlink_metadata() else { return };
    if !status.is_dir() && !status.is_file() {
        return;
    }
    if let Ok(file) = open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())
        && let Ok(flags) = ioctl_getflags(&file)
    {
        let _ = ioctl_setflags(&file, flags - IFlags::IMMUTABLE - IFlags::APPEND);
    }
    if status.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            unprotect(&entry.path());
        }
    }
}

/// What has been planted and not yet been given its attributes.
#[derive(Default)]
struct Garden {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    undressed: Vec<(PathBuf, Item)>,
}

impl Garden {
    fn plant(&mut self, path: &Path, item: &Item) {
        match &item.what {
            What::File(pieces) => {
                write(path, pieces);
                self.files.push(path.to_owned());
            }
            What::Directory(entries) => {
                fs::create_dir(path).unwrap();
                self.directories.push(path.to_owned());
                for (name, item) in entries {
                    self.plant(&path.join(OsStr::from_bytes(name)), item);
                }
            }
            What::Symlink(target) => symlink(OsStr::from_bytes(target), path).unwrap(),
            What::Fifo => mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap(),
            What::Device(block, major, minor) if is_root() => {
                let kind = if *block { FileType::BlockDevice } else { FileType::CharacterDevice };
                mknodat(CWD, path, kind, Mode::RUSR, rustix::fs::makedev(*major, *minor)).unwrap();
            }
            What::Device(..) => return,
            What::Socket => {
                let path = path.with_file_name(".sock");
                // The address of a socket is short; deep down there is none.
                let _ = UnixListener::bind(path);
                return;
            }
        }
        // Deepest first, so that a directory is dressed when nothing in it changes any more.
        self.undressed.push((path.to_owned(), item.clone()));
    }

    fn link(&mut self, links: &[(Index, Index)]) {
        if self.files.is_empty() {
            return;
        }
        for (number, (file, directory)) in links.iter().enumerate() {
            let name = directory.get(&self.directories).join(format!("hard link {number}"));
            let _ = fs::hard_link(file.get(&self.files), name);
        }
    }

    fn dress(self) {
        for (path, item) in &self.undressed {
            dress(path, item);
        }
    }
}

fn write(path: &Path, pieces: &[Piece]) {
    let file = File::create(path).unwrap();
    let mut end = 0;
    for (number, piece) in (0..).zip(pieces) {
        match *piece {
            Piece::Data(length) => {
                file.write_all_at(&noise(number, length), end).unwrap();
                end += length as u64;
            }
            Piece::Zeros(length) => {
                file.write_all_at(&vec![0; length], end).unwrap();
                end += length as u64;
            }
            Piece::Hole(length) => end += length,
        }
        file.set_len(end).unwrap();
    }
}

fn dress(path: &Path, item: &Item) {
    let Item { what, look } = item;
    let is_link = matches!(what, What::Symlink(_));
    let has_data = matches!(what, What::File(_) | What::Directory(_));
    if is_root() {
        std::os::unix::fs::lchown(path, Some(look.owner.0), Some(look.owner.1)).unwrap();
    }
    if has_data {
        for (name, value) in &look.xattrs {
            lsetxattr(path, name.as_str(), value, XattrFlags::empty()).unwrap();
        }
    }
    if !is_link {
        // Whoever is not root must be able to read what is archived.
        let readable = if is_root() { 0 } else { 0o700 };
        let mode = fs::Permissions::from_mode(look.mode | readable);
        fs::set_permissions(path, mode).unwrap();
        if let (Some((user, permissions)), true) = (look.acl, has_data) {
            let _ = lsetxattr(
                path,
                "system.posix_acl_access",
                &acl(look.mode | readable, user, permissions),
                XattrFlags::empty(),
            );
            if matches!(what, What::Directory(_)) {
                let _ =
                    lsetxattr(path, "system.posix_acl_default", &acl(0o750, user, permissions), XattrFlags::empty());
            }
        }
    }
    if look.capability && is_root() && matches!(what, What::File(_)) {
        // cap_net_bind_service=ep, in the kernel's second revision.
        let value = [[1, 0, 0, 2], [0, 4, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
        lsetxattr(path, "security.capability", &value, XattrFlags::empty()).unwrap();
    }
    let time = Timespec { tv_sec: look.mtime.0, tv_nsec: look.mtime.1 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    if has_data && look.flags != 0 {
        let file = open(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()).unwrap();
        if let Ok(flags) = ioctl_getflags(&file) {
            // Some need root, and not every file system has all of them.
            let _ = ioctl_setflags(&file, flags | IFlags::from_bits_retain(look.flags));
        }
    }
}

/// An access list in the kernel's encoding: the owner, one more user, the group, the mask, all others.
fn acl(mode: u32, user: u32, permissions: u16) -> Vec<u8> {
    let bits = |shift: u32| u16::try_from(mode >> shift & 7).unwrap();
    let none = u32::MAX;
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1, bits(6), none), (2, permissions, user), (4, bits(3), none), (16, bits(3), none), (32, bits(0), none)]
    {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(permissions));
        bytes.extend(u32::to_le_bytes(id));
    }
    bytes
}
