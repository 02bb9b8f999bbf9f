//! The source, listed ahead of the walk on a thread of its own: what is in each directory, in order of names, and what `stat` says of it.
//!
//! The scan decides which directories are entered, and tells of them in the order in which the walk comes to them: names of a directory,
//! some at a time; then, for each directory among these, whether it is entered, and if so all that is in it; then the next names. It is
//! ahead by a bounded number of entries, so what it says is soon looked at; who reads a file looks again when it has opened it.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::clock;
use crate::error::{Error, FileError, Result};
use crate::meta::Timestamp;
use crate::ops::create::CreateOptions;
use crate::ops::create::argument::is_left_out;
use crate::ops::walk::push_name;
use crate::source::{FileKind, SourceDir, Stat};

/// Deepest directory that is entered: scan and walk have a stack for so many.
const DEEPEST: usize = 16_384;
/// Stack of such a thread.
pub(super) const STACK: usize = 256 << 20;
/// So many names are told of at a time, at most,
const NAMES: usize = 256;
/// and so many messages may wait, each of which may keep a directory open.
const WAITING: usize = 32;

/// What is said of one name.
#[derive(Debug)]
pub(super) enum Found {
    /// A pattern excludes it.
    Excluded,
    /// What it is.
    Entry(Stat),
    /// It could not be asked.
    Failed(FileError),
}

/// What becomes of a directory.
#[derive(Debug)]
pub(super) enum Opened {
    /// It is entered.
    Entered(Arc<SourceDir>),
    /// It is on another file system, with `--one-file-system`: it is archived, and nothing that is in it.
    Boundary(Arc<SourceDir>),
    /// It asks to be left out, or is one to be skipped.
    LeftOut,
    /// It could not be opened.
    Failed(FileError),
}

/// A message to the walk.
#[derive(Debug)]
pub(super) enum Told {
    /// Some names of the directory, and a time before any of them was asked for.
    Names(Vec<(Vec<u8>, Found)>, Timestamp),
    /// What became of a directory among the names.
    Opened(Opened),
    /// There are no more names in it.
    End,
    /// They could not be listed.
    Failed(FileError),
}

/// The walk's end of a scan. Dropping it ends the scan.
#[derive(Debug)]
pub(super) struct Scan(Receiver<Told>);

impl Scan {
    /// The next message.
    pub(super) fn next(&self) -> Result<Told> {
        self.0.recv().map_err(|_| Error::Internal("the thread that lists the source is gone".to_owned()))
    }

    /// What became of the directory that the walk has come to.
    pub(super) fn opened(&self) -> Result<Opened> {
        match self.next()? {
            Told::Opened(opened) => Ok(opened),
            other => Err(Error::Internal(format!("a directory was expected of the scan, not {other:?}"))),
        }
    }
}

/// Which directories are entered.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) options: &'a CreateOptions,
    /// The file system of the PATH argument.
    pub(super) device: u64,
}

impl Bounds<'_> {
    /// Opens a directory that is so deep, if it is to be entered.
    pub(super) fn open(self, above: &SourceDir, name: &[u8], stat: &Stat, depth: usize) -> Opened {
        if depth >= DEEPEST {
            let problem = format!("directories are archived {DEEPEST} deep at most");
            return Opened::Failed(FileError::new("enter", above.child_path(name), io::Error::other(problem)));
        }
        match above.open_child(name) {
            Err(error) => Opened::Failed(error),
            Ok(directory) if self.options.one_file_system && stat.device != self.device => {
                Opened::Boundary(Arc::new(directory))
            }
            Ok(directory) if is_left_out(self.options, &directory) => Opened::LeftOut,
            Ok(directory) => Opened::Entered(Arc::new(directory)),
        }
    }
}

/// Lists a directory and all that is entered below it, on a thread that ends when the scan is dropped. `path` is the directory's in the
/// archive.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start<'scope, 'env, 'a: 'scope>(
    threads: &'scope Scope<'scope, 'env>,
    bounds: Bounds<'a>,
    directory: Arc<SourceDir>,
    path: Vec<u8>,
) -> Result<Scan> {
    let (tell, told) = bounded(WAITING);
    let scan = move || Scanner { bounds, tell, path, depth: 0 }.directory(&directory).unwrap_or(());
    let thread = Builder::new().name("scan".to_owned()).stack_size(STACK).spawn_scoped(threads, scan);
    thread.map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
    Ok(Scan(told))
}

/// Nobody listens any more.
struct Gone;

struct Scanner<'a> {
    bounds: Bounds<'a>,
    tell: Sender<Told>,
    path: Vec<u8>,
    depth: usize,
}

impl Scanner<'_> {
    fn tell(&self, what: Told) -> std::result::Result<(), Gone> {
        self.tell.send(what).map_err(|_| Gone)
    }

    fn directory(&mut self, directory: &SourceDir) -> std::result::Result<(), Gone> {
        let names = match directory.names() {
            Ok(names) => names,
            Err(error) => return self.tell(Told::Failed(error)),
        };
        self.depth += 1;
        let mut names = names.iter();
        while names.len() > 0 {
            // Before they are asked for: a change within a tick of the clock after this would not show.
            let before = clock::file_system_now();
            let (mut found, mut inside) = (Vec::new(), Vec::new());
            for name in names.by_ref().take(NAMES) {
                let one = self.find(directory, name);
                if let Found::Entry(stat) = &one
                    && stat.kind == FileKind::Directory
                {
                    inside.push((name, *stat));
                }
                found.push((name.to_vec(), one));
            }
            self.tell(Told::Names(found, before))?;
            for (name, stat) in inside {
                self.below(directory, name, &stat)?;
            }
        }
        self.depth -= 1;
        self.tell(Told::End)
    }

    fn find(&mut self, directory: &SourceDir, name: &[u8]) -> Found {
        let length = push_name(&mut self.path, name);
        let excluded = self.bounds.options.excludes.excludes(&self.path);
        self.path.truncate(length);
        if excluded {
            return Found::Excluded;
        }
        directory.stat_child(name).map_or_else(Found::Failed, Found::Entry)
    }

    fn below(&mut self, above: &SourceDir, name: &[u8], stat: &Stat) -> std::result::Result<(), Gone> {
        let opened = self.bounds.open(above, name, stat, self.depth);
        let entered = if let Opened::Entered(directory) = &opened { Some(Arc::clone(directory)) } else { None };
        self.tell(Told::Opened(opened))?;
        let Some(directory) = entered else { return Ok(()) };
        let length = push_name(&mut self.path, name);
        self.directory(&directory)?;
        self.path.truncate(length);
        Ok(())
    }
}
