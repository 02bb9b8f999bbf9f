//! What an archive says of one file: name, kind, attributes, where its content is. No I/O.
//!
//! The file system (`source`), the bytes (`format`) and the verbs (`ops`) meet in these types.

use std::sync::Arc;

use crate::id::ObjectId;

/// Seconds since 1970 UTC and nanoseconds below one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999, always forward in time.
    pub nanoseconds: u32,
}

/// A user or group: its number, and its name on the host that archived it (empty: none was known).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Owner {
    /// The uid or gid.
    pub number: u32,
    /// The name, any bytes; shared by all files of theirs, of which a directory may have many.
    pub name: Arc<[u8]>,
}

/// One extended attribute; POSIX ACLs are the attributes `system.posix_acl_*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// The full name with its namespace.
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// What every kind of file has.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits, `0o7777`.
    pub mode: u16,
    /// The user.
    pub owner: Owner,
    /// The group.
    pub group: Owner,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Inode flags as `FS_IOC_GETFLAGS` gives them, only those in [`FILE_FLAGS`].
    pub file_flags: u32,
    /// Extended attributes, ascending by name.
    pub xattrs: Vec<Xattr>,
}

/// The inode flags that a user sets and that an archive keeps: compress, synchronous, immutable, append-only,
/// nodump, noatime, directory-synchronous, top-of-hierarchy, no-copy-on-write.
pub const FILE_FLAGS: u32 = 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x1_0000 | 0x2_0000 | 0x80_0000;

/// Which hard links belong together: equal for all members of a group in one archive.
pub type LinkId = [u8; 16];

/// How a file was cut, kept so that the next archive cuts it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Chunking {
    /// The file is empty or could not be read.
    #[default]
    None,
    /// FastCDC with an average of 2^n bytes.
    ContentDefined(u8),
    /// Chunks of 2^n bytes from offset 0: pages of a database.
    Fixed(u8),
    /// In a way that only a newer version knows; it makes no difference to who reads the file.
    Unknown {
        /// Its number in the format.
        chunker: u8,
        /// Its size, in its own terms.
        log2: u8,
    },
}

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// No bytes.
    Empty,
    /// The whole file is one chunk.
    Chunk(ObjectId),
    /// A content list names the chunks, zeros and holes.
    List(ObjectId),
    /// The file could not be read; the archive says so.
    Missing,
}

/// What only some kinds of file have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File {
        /// Size in bytes.
        size: u64,
        /// How it was cut.
        chunking: Chunking,
        /// Where its bytes are.
        content: Content,
        /// Its group of hard links, if it has any.
        link: Option<LinkId>,
    },
    /// A directory and the tree of its entries.
    Directory {
        /// Id of the tree.
        tree: ObjectId,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, any bytes.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name in its directory, any bytes but `/` and NUL; empty only at the root of an archive.
    pub name: Vec<u8>,
    /// A parent directory that was not itself named: created if missing, never changed if present.
    pub implied: bool,
    /// The file changed while it was read.
    pub changed: bool,
    /// The content could not be read.
    pub missing: bool,
    /// What every kind has.
    pub attributes: Attributes,
    /// What this kind has.
    pub kind: NodeKind,
}

/// What change detection believes about a file: equal inode and ctime mean "unchanged".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Inode number.
    pub inode: u64,
    /// Time of last status change.
    pub ctime: Timestamp,
}
