//! What stands where something is to be restored, and making what is no regular file.

use crate::error::FileError;
use crate::meta::{Node, NodeKind};
use crate::ops::restore::{Overwrite, RestoreOptions};
use crate::source::{FileKind, Stat, TargetDir};

type Placed<T> = Result<T, FileError>;

/// What stands where a file is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// Nothing.
    None,
    /// Something that is replaced.
    Other,
    /// Something that must not be replaced.
    Kept,
    /// The same content, by size and time; `attributes` says whether these are the same too, as far as can be seen at a glance.
    Same {
        /// Mode, owner and group are right, and nothing else is archived.
        attributes: bool,
    },
}

/// Looks at what stands in the way of a regular file.
///
/// # Errors
/// A directory does, and may not be removed.
pub(super) fn existing(directory: &TargetDir, name: &[u8], node: &Node, options: &RestoreOptions) -> Placed<Existing> {
    let Some(stat) = directory.stat(name)? else { return Ok(Existing::None) };
    if options.overwrite == Overwrite::Never {
        return Ok(Existing::Kept);
    }
    clear_directory(directory, name, &stat, options)?;
    if !is_same(&stat, node) || options.overwrite == Overwrite::Always {
        return Ok(if stat.kind == FileKind::Directory { Existing::None } else { Existing::Other });
    }
    let attributes = &node.attributes;
    let plain = attributes.xattrs.is_empty() && attributes.file_flags == 0;
    let owned = (stat.uid, stat.gid) == (attributes.owner.number, attributes.group.number);
    Ok(Existing::Same { attributes: plain && owned && stat.mode == attributes.mode })
}

/// Whether a restore would leave alone what stands there; looks only.
pub(super) fn would_keep(directory: &TargetDir, name: &[u8], node: &Node, options: &RestoreOptions) -> bool {
    let Ok(Some(stat)) = directory.stat(name) else { return false };
    match options.overwrite {
        Overwrite::Never => true,
        Overwrite::Always => false,
        Overwrite::IfChanged => is_same(&stat, node),
    }
}

/// A directory in the way of something else goes only with `--delete`: it may hold what no archive has.
fn clear_directory(directory: &TargetDir, name: &[u8], stat: &Stat, options: &RestoreOptions) -> Placed<()> {
    if stat.kind != FileKind::Directory {
        return Ok(());
    }
    if options.delete {
        return directory.remove_tree(name);
    }
    let problem = std::io::Error::other("a directory is in the way; restore with --delete to remove it");
    Err(FileError::new("restore", directory.child_path(name), problem))
}

/// A directory that was only implied says nothing of its owner: a new one belongs to whoever restores.
pub(super) fn with_owner(mut node: Node) -> Node {
    if node.implied {
        node.attributes.owner.number = rustix::process::geteuid().as_raw();
        node.attributes.group.number = rustix::process::getegid().as_raw();
    }
    node
}

/// What became of a link or special file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// It was made.
    New,
    /// It was there; its attributes are to be set.
    Kept,
    /// It must not be touched.
    Skipped,
}

/// Makes a symbolic link, FIFO or device.
pub(super) fn special(directory: &TargetDir, name: &[u8], node: &Node, options: &RestoreOptions) -> Placed<Made> {
    if let Some(stat) = directory.stat(name)? {
        if options.overwrite == Overwrite::Never {
            return Ok(Made::Skipped);
        }
        if options.overwrite == Overwrite::IfChanged && is_same(&stat, node) {
            return Ok(Made::Kept);
        }
        clear_directory(directory, name, &stat, options)?;
        directory.remove(name)?;
    }
    match &node.kind {
        NodeKind::Symlink { target } => directory.symlink(target, name)?,
        NodeKind::Fifo => directory.fifo(name)?,
        NodeKind::CharDevice { major, minor } => directory.device(name, FileKind::CharDevice, *major, *minor)?,
        NodeKind::BlockDevice { major, minor } => directory.device(name, FileKind::BlockDevice, *major, *minor)?,
        NodeKind::File { .. } | NodeKind::Directory { .. } => return Ok(Made::Skipped),
    }
    Ok(Made::New)
}

fn is_same(stat: &Stat, node: &Node) -> bool {
    match &node.kind {
        NodeKind::Symlink { target } => {
            stat.kind == FileKind::Symlink && stat.size == target.len() as u64 && stat.mtime == node.attributes.mtime
        }
        NodeKind::Fifo => stat.kind == FileKind::Fifo,
        NodeKind::CharDevice { major, minor } => stat.kind == FileKind::CharDevice && stat.special == (*major, *minor),
        NodeKind::BlockDevice { major, minor } => {
            stat.kind == FileKind::BlockDevice && stat.special == (*major, *minor)
        }
        NodeKind::File { size, .. } => {
            stat.kind == FileKind::File && stat.size == *size && stat.mtime == node.attributes.mtime
        }
        NodeKind::Directory { .. } => false,
    }
}

/// Gives a file another name; `false` if it has it already, or if what stands there must stay.
pub(super) fn hard_link(
    from: &TargetDir,
    from_name: &[u8],
    to: &TargetDir,
    name: &[u8],
    options: &RestoreOptions,
) -> Placed<bool> {
    if let Some(stat) = to.stat(name)? {
        let linked = from.stat(from_name)?.is_some_and(|first| first.is_same_file(&stat));
        if linked || options.overwrite == Overwrite::Never {
            return Ok(false);
        }
        clear_directory(to, name, &stat, options)?;
        to.remove(name)?;
    }
    to.hard_link(from, from_name, name)?;
    Ok(true)
}
