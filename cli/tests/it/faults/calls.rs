//! Which system calls touch files, and where their arguments say which files these are.

use nix::libc;

/// How a call names its files, by the places of its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names {
    /// An open file.
    Open(usize),
    /// A path.
    Path(usize),
    /// A path below an open folder.
    Below(usize, usize),
    /// Two of these.
    Two((usize, usize), (usize, usize)),
    /// None: the end of the process.
    Nothing,
}

/// What a call does to its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// Reads, lists, looks.
    Reads,
    /// Changes what is on the disk, or sees to it that it is.
    Changes,
    /// Either, as the flags in this argument say.
    Opens(usize),
}

/// A kind of system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) number: libc::c_long,
    pub(super) name: &'static str,
    pub(super) names: Names,
    pub(super) does: Does,
}

const fn reads(number: libc::c_long, name: &'static str, names: Names) -> Kind {
    Kind { number, name, names, does: Does::Reads }
}

const fn changes(number: libc::c_long, name: &'static str, names: Names) -> Kind {
    Kind { number, name, names, does: Does::Changes }
}

/// Every call that can fail, or be the last one, as far as files go.
const KINDS: &[Kind] = &[
    Kind { number: libc::SYS_openat, name: "openat", names: Names::Below(0, 1), does: Does::Opens(2) },
    Kind { number: libc::SYS_open, name: "open", names: Names::Path(0), does: Does::Opens(1) },
    reads(libc::SYS_openat2, "openat2", Names::Below(0, 1)),
    reads(libc::SYS_read, "read", Names::Open(0)),
    reads(libc::SYS_pread64, "pread64", Names::Open(0)),
    reads(libc::SYS_readv, "readv", Names::Open(0)),
    reads(libc::SYS_preadv, "preadv", Names::Open(0)),
    reads(libc::SYS_lseek, "lseek", Names::Open(0)),
    reads(libc::SYS_getdents64, "getdents64", Names::Open(0)),
    reads(libc::SYS_fstat, "fstat", Names::Open(0)),
    reads(libc::SYS_newfstatat, "newfstatat", Names::Below(0, 1)),
    reads(libc::SYS_statx, "statx", Names::Below(0, 1)),
    reads(libc::SYS_stat, "stat", Names::Path(0)),
    reads(libc::SYS_lstat, "lstat", Names::Path(0)),
    reads(libc::SYS_statfs, "statfs", Names::Path(0)),
    reads(libc::SYS_fstatfs, "fstatfs", Names::Open(0)),
    reads(libc::SYS_readlink, "readlink", Names::Path(0)),
    reads(libc::SYS_readlinkat, "readlinkat", Names::Below(0, 1)),
    reads(libc::SYS_flistxattr, "flistxattr", Names::Open(0)),
    reads(libc::SYS_fgetxattr, "fgetxattr", Names::Open(0)),
    reads(libc::SYS_listxattr, "listxattr", Names::Path(0)),
    reads(libc::SYS_llistxattr, "llistxattr", Names::Path(0)),
    reads(libc::SYS_lgetxattr, "lgetxattr", Names::Path(0)),
    reads(libc::SYS_getxattr, "getxattr", Names::Path(0)),
    reads(libc::SYS_ioctl, "ioctl", Names::Open(0)),
    reads(libc::SYS_flock, "flock", Names::Open(0)),
    changes(libc::SYS_creat, "creat", Names::Path(0)),
    changes(libc::SYS_write, "write", Names::Open(0)),
    changes(libc::SYS_pwrite64, "pwrite64", Names::Open(0)),
    changes(libc::SYS_writev, "writev", Names::Open(0)),
    changes(libc::SYS_pwritev, "pwritev", Names::Open(0)),
    changes(libc::SYS_pwritev2, "pwritev2", Names::Open(0)),
    changes(libc::SYS_copy_file_range, "copy_file_range", Names::Open(2)),
    changes(libc::SYS_sendfile, "sendfile", Names::Open(0)),
    changes(libc::SYS_rename, "rename", Names::Path(1)),
    changes(libc::SYS_renameat, "renameat", Names::Two((0, 1), (2, 3))),
    changes(libc::SYS_renameat2, "renameat2", Names::Two((0, 1), (2, 3))),
    changes(libc::SYS_link, "link", Names::Path(1)),
    changes(libc::SYS_linkat, "linkat", Names::Two((0, 1), (2, 3))),
    changes(libc::SYS_symlink, "symlink", Names::Path(1)),
    changes(libc::SYS_symlinkat, "symlinkat", Names::Below(1, 2)),
    changes(libc::SYS_unlink, "unlink", Names::Path(0)),
    changes(libc::SYS_unlinkat, "unlinkat", Names::Below(0, 1)),
    changes(libc::SYS_rmdir, "rmdir", Names::Path(0)),
    changes(libc::SYS_mkdir, "mkdir", Names::Path(0)),
    changes(libc::SYS_mkdirat, "mkdirat", Names::Below(0, 1)),
    changes(libc::SYS_mknod, "mknod", Names::Path(0)),
    changes(libc::SYS_mknodat, "mknodat", Names::Below(0, 1)),
    changes(libc::SYS_fsync, "fsync", Names::Open(0)),
    changes(libc::SYS_fdatasync, "fdatasync", Names::Open(0)),
    changes(libc::SYS_syncfs, "syncfs", Names::Open(0)),
    changes(libc::SYS_sync_file_range, "sync_file_range", Names::Open(0)),
    changes(libc::SYS_truncate, "truncate", Names::Path(0)),
    changes(libc::SYS_ftruncate, "ftruncate", Names::Open(0)),
    changes(libc::SYS_fallocate, "fallocate", Names::Open(0)),
    changes(libc::SYS_chmod, "chmod", Names::Path(0)),
    changes(libc::SYS_fchmod, "fchmod", Names::Open(0)),
    changes(libc::SYS_fchmodat, "fchmodat", Names::Below(0, 1)),
    changes(libc::SYS_fchown, "fchown", Names::Open(0)),
    changes(libc::SYS_fchownat, "fchownat", Names::Below(0, 1)),
    changes(libc::SYS_utimensat, "utimensat", Names::Below(0, 1)),
    changes(libc::SYS_fsetxattr, "fsetxattr", Names::Open(0)),
    changes(libc::SYS_exit_group, "exit_group", Names::Nothing),
];

/// The kind with this number, if it is one of those that count.
pub(super) fn kind(number: u64) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| u64::try_from(kind.number).is_ok_and(|known| known == number))
}

impl Kind {
    /// Whether it changes something, called with these arguments.
    pub(super) fn changes(&self, arguments: &[u64; 6]) -> bool {
        const MAKES: libc::c_int = libc::O_CREAT | libc::O_TRUNC;
        match self.does {
            Does::Reads => false,
            Does::Changes => true,
            Does::Opens(flags) => arguments[flags] & u64::from(MAKES.unsigned_abs()) != 0,
        }
    }
}
