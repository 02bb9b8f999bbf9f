//! The user's file system: reading what `create` archives, writing what `restore` brings back. Linux only.
//!
//! Every call is relative to an open directory, names one entry of it and never follows a symbolic link. So a path
//! may be longer than `PATH_MAX`, a directory that is swapped for a symlink while we look cannot lead us astray, and
//! a hostile archive cannot make a restore write outside of its target. Knows nothing of formats, stores and
//! repositories. Every error names the path.
//!
//! Reading: [`SourceDir`] and [`SourceFile`] give [`Stat`]s, [`Names`], bytes, extents, extended attributes and
//! inode flags; [`FileSystems`] says when "unchanged" may be believed; [`Owners`] knows the names of users.
//! Writing: [`Target`] is the root of a restore, [`TargetDir`] and [`TargetFile`] what is below it, and
//! [`apply_attributes`] sets owner, mode, attributes, flags and time in the order in which they last.

mod apply;
mod file;
mod flags;
mod name;
mod names;
mod open;
mod owners;
mod read;
mod remove;
mod stat;
mod target;
mod target_dir;
mod target_file;
mod trust;
mod xattr;

#[cfg(test)]
mod tests;

pub use apply::{AttributeOptions, Subject, Unset, UnsetAttribute, apply_attributes};
pub use file::{Extent, Extents, SourceFile};
pub use name::{MAX_NAME, is_valid_name};
pub use names::Names;
pub use owners::Owners;
pub use read::{SourceDir, stat_path};
pub use stat::{FileKind, Stat};
pub use target::Target;
pub use target_dir::TargetDir;
pub use target_file::TargetFile;
pub use trust::{FileSystemKind, FileSystemTrust, FileSystems};
pub use xattr::XattrList;
