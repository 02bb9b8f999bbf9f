//! What comes when files are written: their other names, what does not belong beside them, and the attributes of their directories.

use std::sync::Arc;

use crate::error::{FileError, Result};
use crate::meta::Node;
use crate::ops::restore::plan::Fate;
use crate::ops::restore::{Context, place, split};
use crate::source::Subject;

/// The first member of a group of hard links, and what became of it.
pub(super) struct FirstLink {
    /// Path in the target.
    pub(super) path: Arc<[u8]>,
    pub(super) fate: Arc<Fate>,
}

/// Another name of a file that is written or was there.
pub(super) struct PendingLink {
    pub(super) first: Arc<FirstLink>,
    pub(super) path: Arc<[u8]>,
    pub(super) archive_path: Vec<u8>,
}

/// A directory whose entries have all been planned.
pub(super) struct Finished {
    pub(super) path: Arc<[u8]>,
    /// Its attributes, to be set.
    pub(super) node: Option<Node>,
    /// Its names; what else is there is removed.
    pub(super) names: Option<Vec<Vec<u8>>>,
}

impl Context<'_> {
    /// Nothing more is written into this directory: what does not belong there goes, then come its attributes.
    pub(super) fn complete(&self, finished: &Finished) -> Result<()> {
        let Finished { path, node, names } = finished;
        if let Some(names) = names {
            self.delete_others(path, names)?;
        }
        let (Some(node), Some(target), false) = (node, self.target, self.options.dry_run) else {
            return Ok(());
        };
        match target.directory(path) {
            Ok(directory) => self.apply(Subject::Directory(&directory), node, path),
            Err(error) => self.report.file_error(path, &error)?,
        }
        Ok(())
    }

    fn delete_others(&self, path: &[u8], names: &[Vec<u8>]) -> Result<()> {
        let report = self.report;
        let Some(target) = self.target else { return Ok(()) };
        let found = target.directory(path).and_then(|directory| directory.names().map(|found| (directory, found)));
        let (directory, found) = match found {
            Ok(found) => found,
            Err(_) if self.options.dry_run => return Ok(()),
            Err(error) => return report.file_error(path, &error),
        };
        for name in found.iter().filter(|name| names.binary_search_by(|known| known.as_slice().cmp(name)).is_err()) {
            let shown = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
            if self.options.dry_run {
                report.deleted(&shown);
                continue;
            }
            match directory.remove_tree(name) {
                Ok(()) => report.deleted(&shown),
                Err(error) => report.file_error(&shown, &error)?,
            }
        }
        Ok(())
    }

    pub(super) fn link(&self, link: &PendingLink) -> Result<()> {
        let report = self.report;
        let (Some(target), false) = (self.target, self.options.dry_run) else {
            report.planned(&link.archive_path);
            return Ok(());
        };
        // What stands under the first name now is not what was archived.
        if link.first.fate.is_lost() {
            report.damaged(&link.archive_path, "its content is lost: it is a hard link of a file whose content is");
            return Ok(());
        }
        if link.first.fate.has_failed() {
            report.warn(&link.archive_path, "not restored: it is a hard link of a file that could not be");
            return Ok(());
        }
        let ((from_parent, from_name), (to_parent, to_name)) = (split(&link.first.path), split(&link.path));
        let linked = || -> std::result::Result<bool, FileError> {
            let (from, to) = (target.directory(from_parent)?, target.directory(to_parent)?);
            place::hard_link(&from, from_name, &to, to_name, self.options)
        };
        match linked() {
            Ok(true) => report.made(&link.archive_path, 0),
            Ok(false) => report.skipped(&link.archive_path),
            Err(error) => report.file_error(&link.archive_path, &error)?,
        }
        Ok(())
    }
}
