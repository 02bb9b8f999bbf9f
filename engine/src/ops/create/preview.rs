//! `create --dry-run`: what would be archived, without reading or writing anything.

use std::sync::Arc;

use crate::clock::Stopwatch;
use crate::error::{Error, Result};
use crate::format::manifest::Statistics;
use crate::id::ObjectId;
use crate::ops::create::argument::{is_left_out, open_argument};
use crate::ops::create::paths::{PathSource, PathTree};
use crate::ops::create::{CreateOptions, Created};
use crate::ops::walk::push_name;
use crate::progress::Monitor;
use crate::source::{FileKind, SourceDir, Stat};

struct Preview<'a> {
    options: &'a CreateOptions,
    monitor: &'a dyn Monitor,
    statistics: Statistics,
    found: usize,
    device: u64,
}

/// An entry that is still to be looked at: the directory above, its name there, what it is, and its path in the archive.
type Ahead = (Arc<SourceDir>, Vec<u8>, Stat, Vec<u8>);

pub(super) fn preview(
    options: &CreateOptions,
    paths: &PathTree,
    monitor: &dyn Monitor,
    watch: Stopwatch,
) -> Result<Created> {
    let mut preview = Preview { options, monitor, statistics: Statistics::default(), found: 0, device: 0 };
    preview.paths(paths, &mut Vec::new())?;
    if preview.found == 0 {
        return Err(Error::NoSource("none of the PATHs can be read".to_owned()));
    }
    Ok(Created {
        archive: None,
        statistics: preview.statistics,
        root_tree: ObjectId::zero(),
        unchanged_files: 0,
        duration: watch.elapsed(),
    })
}

impl Preview<'_> {
    fn paths(&mut self, tree: &PathTree, path: &mut Vec<u8>) -> Result<()> {
        match &tree.source {
            Some(PathSource::Input) => {
                self.found += 1;
                self.monitor.entry('+', path);
            }
            Some(PathSource::Path(source, _)) => match open_argument(source) {
                Ok((parent, name, stat)) => {
                    self.found += 1;
                    self.device = stat.device;
                    self.tree(parent, name, &stat, path)?;
                }
                Err(error) => self.warn(path, &error.chain()),
            },
            None => {}
        }
        for (name, child) in &tree.children {
            let length = push_name(path, name);
            self.paths(child, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn warn(&mut self, path: &[u8], message: &str) {
        self.statistics.warnings += 1;
        self.monitor.warning(path, message);
    }

    /// A tree without recursion: directories that are still to be listed, the next one last.
    fn tree(&mut self, parent: SourceDir, name: Vec<u8>, stat: &Stat, path: &[u8]) -> Result<()> {
        let mut ahead = vec![(Arc::new(parent), name, *stat, path.to_vec())];
        while let Some((above, name, stat, path)) = ahead.pop() {
            if self.monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            if self.options.excludes.excludes(&path) {
                self.monitor.entry('-', &path);
                continue;
            }
            match stat.kind {
                FileKind::Socket => continue,
                FileKind::Directory => self.statistics.directories += 1,
                FileKind::File => {
                    self.statistics.files += 1;
                    self.statistics.bytes += stat.size;
                }
                _ => self.statistics.files += 1,
            }
            let enters =
                stat.kind == FileKind::Directory && !(self.options.one_file_system && stat.device != self.device);
            if !enters {
                self.monitor.entry('+', &path);
                continue;
            }
            match above.open_child(&name) {
                Ok(directory) if is_left_out(self.options, &directory) => {
                    self.statistics.directories -= 1;
                    self.monitor.entry('-', &path);
                }
                Ok(directory) => {
                    self.monitor.entry('+', &path);
                    self.children(&Arc::new(directory), &path, &mut ahead);
                }
                Err(error) => self.warn(&path, &error.chain()),
            }
        }
        Ok(())
    }

    fn children(&mut self, directory: &Arc<SourceDir>, path: &[u8], ahead: &mut Vec<Ahead>) {
        let before = ahead.len();
        match directory.names() {
            Ok(names) => {
                for name in names.iter() {
                    let mut child = path.to_vec();
                    push_name(&mut child, name);
                    match directory.stat_child(name) {
                        Ok(stat) => ahead.push((Arc::clone(directory), name.to_vec(), stat, child)),
                        Err(error) => self.warn(&child, &error.chain()),
                    }
                }
            }
            Err(error) => self.warn(path, &error.chain()),
        }
        if let Some(fresh) = ahead.get_mut(before..) {
            fresh.reverse();
        }
    }
}
