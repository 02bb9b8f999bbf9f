//! The walk: the source and the parent archive side by side, in order of names.
//!
//! One thread walks, another lists ahead of it (scan.rs); what has to be read goes to the workers in batches. A file whose stamp says
//! "unchanged" is taken over from the parent without being opened.

use std::path::Path;
use std::sync::Arc;
use std::thread::Scope;

use crate::clock;
use crate::error::{Error, FileError, Result};
use crate::id::ObjectId;
use crate::meta::{Attributes, NodeKind, Owner, Timestamp};
use crate::ops::create::Input;
use crate::ops::create::argument::open_argument;
use crate::ops::create::assembly::{DirectoryWriter, Entry, Place, store_long_xattrs};
use crate::ops::create::batch::Batches;
use crate::ops::create::file::{Job, attributes_now, node};
use crate::ops::create::links::First;
use crate::ops::create::parent::{Before, ParentDirectory, parent_below, same_status, unchanged};
use crate::ops::create::paths::{PathSource, PathTree};
use crate::ops::create::run::Run;
use crate::ops::create::scan::{self, Bounds, Found, Opened, Scan, Told};
use crate::ops::walk::push_name;
use crate::source::{FileKind, SourceDir, Stat};

mod links;

/// The state of the walk.
pub(super) struct Walk<'s, 'w, 't, 'e> {
    run: &'s Run<'s>,
    /// Where a scan gets its thread.
    threads: &'t Scope<'t, 'e>,
    batch: Batches<'s, 'w>,
    /// Path in the archive of what is looked at.
    path: Vec<u8>,
    /// Which PATH argument we are in, and how long its stored name is.
    argument: (u16, usize),
    device: u64,
    /// What lists ahead, once we are in a directory.
    scan: Option<Scan>,
    /// A time before what we look at was asked for.
    seen: Timestamp,
    /// PATHs that could be read at all.
    pub(super) found: usize,
    missing: Vec<String>,
}

impl<'s: 't, 'w, 't, 'e> Walk<'s, 'w, 't, 'e> {
    pub(super) fn new(
        run: &'s Run<'s>,
        workers: &'w rayon::Scope<'s>,
        threads: &'t Scope<'t, 'e>,
        jobs: usize,
    ) -> Self {
        Self {
            run,
            threads,
            batch: Batches::new(run, workers, jobs),
            path: Vec::new(),
            argument: (0, 0),
            device: 0,
            scan: None,
            seen: Timestamp::default(),
            found: 0,
            missing: Vec::new(),
        }
    }

    /// Walks all PATHs. The root's attributes are returned, its tree comes when the workers are done.
    pub(super) fn root(
        &mut self,
        tree: &PathTree,
        parent: Option<(ObjectId, Option<ObjectId>)>,
        input: Option<Input>,
    ) -> Result<Entry> {
        let parent = parent.map_or_else(ParentDirectory::unknown, |(tree, stamps)| ParentDirectory::new(tree, stamps));
        let mut input = input;
        let entry = if let Some(PathSource::Path(path, number)) = &tree.source {
            self.root_directory(path, *number, parent)?
        } else {
            let writer = DirectoryWriter::new(None);
            self.implied(writer, tree, parent, &mut input)?;
            implied_entry(Vec::new())
        };
        self.batch.flush();
        if self.found == 0 {
            return Err(Error::NoSource(self.missing.join("; ")));
        }
        Ok(entry)
    }

    /// `.` or `/`: the root of the archive is the directory itself.
    fn root_directory(&mut self, path: &Path, number: u16, parent: ParentDirectory) -> Result<Entry> {
        let nothing = |error: &FileError| Error::NoSource(error.chain());
        let directory = SourceDir::open_path(path).map_err(|error| nothing(&error))?;
        let stat = *directory.stat();
        self.found += 1;
        self.argument = (number, 0);
        self.device = stat.device;
        let attributes = self.directory_attributes(&directory, &stat);
        let mut entry = Entry {
            node: node(Vec::new(), attributes, NodeKind::Directory { tree: ObjectId::zero() }, false),
            xattrs: None,
            stamp: None,
            stamps: None,
        };
        store_long_xattrs(self.run, &self.path, &mut entry)?;
        self.argument_directory(&Arc::new(directory), DirectoryWriter::new(None), parent)?;
        Ok(entry)
    }

    /// A directory that only exists because PATHs lie below it.
    fn implied(
        &mut self,
        mut writer: DirectoryWriter,
        tree: &PathTree,
        mut parent: ParentDirectory,
        input: &mut Option<Input>,
    ) -> Result<()> {
        for (name, child) in &tree.children {
            let before = parent.find(&self.run.reader, name)?;
            let length = push_name(&mut self.path, name);
            match &child.source {
                Some(PathSource::Path(path, number)) => {
                    self.argument = (*number, self.path.len() + 1);
                    self.argument_path(&mut writer, path, name, before)?;
                }
                Some(PathSource::Input) => {
                    self.found += 1;
                    let place = writer.reserve(self.run, name)?;
                    if let Some(reader) = input.take() {
                        crate::ops::create::input::archive(self.run, reader, name.clone(), &self.path, place)?;
                    }
                }
                None => {
                    let place = writer.reserve(self.run, name)?;
                    place.prepare(implied_entry(name.clone()))?;
                    let below = parent_below(before.as_ref());
                    self.implied(DirectoryWriter::new(Some(place)), child, below, input)?;
                }
            }
            self.path.truncate(length);
        }
        writer.finish(self.run)
    }

    /// A PATH argument: any kind of file.
    fn argument_path(
        &mut self,
        writer: &mut DirectoryWriter,
        path: &Path,
        name: &[u8],
        before: Option<Before>,
    ) -> Result<()> {
        self.seen = clock::file_system_now();
        let (parent, own_name, stat) = match open_argument(path) {
            Ok(found) => found,
            Err(error) => {
                self.missing.push(error.chain());
                self.run.warn(&self.path, &error.chain());
                self.run.monitor.entry('E', &self.path);
                return Ok(());
            }
        };
        self.found += 1;
        self.device = stat.device;
        self.entry(&Arc::new(parent), &own_name, name, stat, before, writer)
    }

    /// Everything in a directory that is no other's: from here on a scan lists ahead.
    fn argument_directory(
        &mut self,
        directory: &Arc<SourceDir>,
        writer: DirectoryWriter,
        parent: ParentDirectory,
    ) -> Result<()> {
        let (bounds, path) = (self.bounds(), self.path.clone());
        self.scan = Some(scan::start(self.threads, bounds, Arc::clone(directory), path)?);
        let done = self.directory(directory, writer, parent);
        self.scan = None;
        done
    }

    fn bounds(&self) -> Bounds<'s> {
        Bounds { options: self.run.options, device: self.device }
    }

    /// Everything in a directory.
    fn directory(
        &mut self,
        directory: &Arc<SourceDir>,
        mut writer: DirectoryWriter,
        mut parent: ParentDirectory,
    ) -> Result<()> {
        self.batch.enter_directory();
        loop {
            if self.run.stopped() {
                return Ok(());
            }
            match self.told()? {
                Told::Names(names, seen) => {
                    for (name, found) in names {
                        if self.run.stopped() {
                            return Ok(());
                        }
                        self.seen = seen;
                        let length = push_name(&mut self.path, &name);
                        self.named(directory, &name, found, &mut writer, &mut parent)?;
                        self.path.truncate(length);
                    }
                }
                Told::End => break,
                Told::Failed(error) => {
                    self.run.warn(&self.path, &error.chain());
                    break;
                }
                Told::Opened(_) => {
                    return Err(Error::Internal("the scan is at another place than the walk".to_owned()));
                }
            }
        }
        writer.finish(self.run)
    }

    fn told(&self) -> Result<Told> {
        let scan = self.scan.as_ref().ok_or_else(|| Error::Internal("nothing lists ahead of the walk".to_owned()))?;
        scan.next()
    }

    fn named(
        &mut self,
        directory: &Arc<SourceDir>,
        name: &[u8],
        found: Found,
        writer: &mut DirectoryWriter,
        parent: &mut ParentDirectory,
    ) -> Result<()> {
        match found {
            Found::Excluded => {
                self.run.monitor.entry('-', &self.path);
                Ok(())
            }
            Found::Entry(stat) => {
                let before = parent.find(&self.run.reader, name)?;
                self.entry(directory, name, name, stat, before, writer)
            }
            Found::Failed(error) => {
                let vanished = error.source.kind() == std::io::ErrorKind::NotFound;
                let text = if vanished { "disappeared before it could be read".to_owned() } else { error.chain() };
                self.run.warn(&self.path, &text);
                self.run.monitor.entry('E', &self.path);
                Ok(())
            }
        }
    }

    /// One entry, found as `source_name` in `directory`, stored as `name`.
    fn entry(
        &mut self,
        directory: &Arc<SourceDir>,
        source_name: &[u8],
        name: &[u8],
        stat: Stat,
        before: Option<Before>,
        writer: &mut DirectoryWriter,
    ) -> Result<()> {
        match stat.kind {
            FileKind::Socket => {
                self.run.monitor.note(&format!("{}: a socket, skipped", String::from_utf8_lossy(&self.path)));
                Ok(())
            }
            FileKind::Directory => self.subdirectory(directory, source_name, name, &stat, before.as_ref(), writer),
            FileKind::File => self.file(directory, source_name, name, stat, before, writer),
            FileKind::Symlink | FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => {
                self.special(directory, source_name, name, &stat, before, writer)
            }
        }
    }

    fn subdirectory(
        &mut self,
        above: &Arc<SourceDir>,
        source_name: &[u8],
        name: &[u8],
        stat: &Stat,
        before: Option<&Before>,
        writer: &mut DirectoryWriter,
    ) -> Result<()> {
        let opened = match &self.scan {
            Some(scan) => scan.opened()?,
            None => self.bounds().open(above, source_name, stat, 0),
        };
        if matches!(opened, Opened::LeftOut) {
            self.run.monitor.entry('-', &self.path);
            return Ok(());
        }
        let place = writer.reserve(self.run, name)?;
        let trusted = self.run.believes(above, stat, self.seen);
        let same =
            before.filter(|before| same_status(before, stat) && matches!(before.node.kind, NodeKind::Directory { .. }));
        let inherited = match same {
            Some(before) if self.run.inherits(&before.node, before.xattrs)? => {
                Some((before.node.attributes.clone(), before.xattrs))
            }
            _ => None,
        };
        let (mut attributes, xattrs) = match (&opened, inherited) {
            (_, Some((attributes, xattrs))) => (attributes, xattrs),
            (Opened::Entered(directory) | Opened::Boundary(directory), None) => {
                (self.directory_attributes(directory, stat), None)
            }
            (Opened::Failed(_) | Opened::LeftOut, None) => {
                (self.run.attributes_without_opening(above, source_name, &self.path, stat), None)
            }
        };
        self.run.refresh_owners(&mut attributes, stat);
        let missing = matches!(opened, Opened::Failed(_));
        let mut entry = Entry {
            node: node(name.to_vec(), attributes, NodeKind::Directory { tree: ObjectId::zero() }, missing),
            xattrs,
            stamp: (trusted && !missing).then_some(stat.stamp()),
            stamps: None,
        };
        store_long_xattrs(self.run, &self.path, &mut entry)?;
        self.run.count(if missing { 'E' } else { 'd' }, &self.path, &entry.node);
        place.prepare(entry)?;
        let inside = DirectoryWriter::new(Some(place));
        match opened {
            Opened::Entered(directory) if self.scan.is_some() => {
                self.directory(&directory, inside, parent_below(before))
            }
            Opened::Entered(directory) => self.argument_directory(&directory, inside, parent_below(before)),
            Opened::Failed(error) => {
                self.run.warn(&self.path, &error.chain());
                inside.finish(self.run)
            }
            Opened::Boundary(_) | Opened::LeftOut => inside.finish(self.run),
        }
    }

    fn directory_attributes(&self, directory: &SourceDir, stat: &Stat) -> Attributes {
        let mut attributes = self.run.attributes(stat);
        attributes.xattrs = self.run.readable(&self.path, directory.xattrs());
        match directory.file_flags() {
            Ok(flags) => attributes.file_flags = flags,
            Err(error) => self.run.warn(&self.path, &error.chain()),
        }
        attributes
    }

    fn file(
        &mut self,
        directory: &Arc<SourceDir>,
        source_name: &[u8],
        name: &[u8],
        stat: Stat,
        before: Option<Before>,
        writer: &mut DirectoryWriter,
    ) -> Result<()> {
        let place = writer.reserve(self.run, name)?;
        let mut first = None;
        if stat.links > 1 {
            first = self.join_link(&stat, &place, name)?;
            if first.is_none() {
                return Ok(());
            }
        }
        let mut previous = None;
        let mut status = 'A';
        if let Some(before) = before
            && let NodeKind::File { chunking, size, .. } = before.node.kind
        {
            previous = Some((chunking, size));
            status = 'M';
            if unchanged(self.run.options.files_cache, &before, &stat)
                && self.run.inherits(&before.node, before.xattrs)?
            {
                return self.take_over(directory, source_name, &stat, before, first, place);
            }
        }
        let job = Job {
            directory: Arc::clone(directory),
            name: name.to_vec(),
            source_name: source_name.to_vec(),
            path: self.path.clone(),
            stat,
            place,
            previous,
            status,
            first,
        };
        self.batch.push(job);
        Ok(())
    }

    /// A file that has not changed: its content is the parent's, and its attributes too unless its status changed.
    fn take_over(
        &mut self,
        directory: &Arc<SourceDir>,
        source_name: &[u8],
        stat: &Stat,
        before: Before,
        first: Option<First>,
        place: Place,
    ) -> Result<()> {
        let same = same_status(&before, stat);
        let mut node = before.node;
        let mut xattrs = before.xattrs;
        if !same {
            node.attributes = attributes_now(self.run, directory, source_name, &self.path, stat);
            xattrs = None;
        }
        self.run.refresh_owners(&mut node.attributes, stat);
        if let NodeKind::File { link: old, .. } = &mut node.kind {
            *old = first.map(|first| first.id);
        }
        // The content was not read: what was believed of it is all that may be believed, whatever times it bears now.
        let stamp = before.stamp.stamp;
        let mut entry = Entry { node, xattrs, stamp, stamps: None };
        store_long_xattrs(self.run, &self.path, &mut entry)?;
        if let Some(first) = &first {
            self.run.links.resolve(self.run, first, stat, Some(&entry))?;
        }
        self.run.count('U', &self.path, &entry.node);
        place.fill(self.run, entry)
    }

    fn special(
        &mut self,
        directory: &Arc<SourceDir>,
        source_name: &[u8],
        name: &[u8],
        stat: &Stat,
        before: Option<Before>,
        writer: &mut DirectoryWriter,
    ) -> Result<()> {
        let stamp = self.run.believes(directory, stat, self.seen).then_some(stat.stamp());
        if let Some(before) = before {
            let same_kind = special_kind(stat).is_some_and(|kind| kind == before.node.kind)
                || stat.kind == FileKind::Symlink && matches!(before.node.kind, NodeKind::Symlink { .. });
            if same_kind && same_status(&before, stat) && self.run.inherits(&before.node, before.xattrs)? {
                let place = writer.reserve(self.run, name)?;
                let mut node = before.node;
                self.run.refresh_owners(&mut node.attributes, stat);
                self.run.count('U', &self.path, &node);
                return place.fill(self.run, Entry { node, xattrs: before.xattrs, stamp, stamps: None });
            }
        }
        let (kind, status) = match special_kind(stat) {
            Some(kind @ NodeKind::Fifo) => (kind, 'f'),
            Some(kind @ NodeKind::CharDevice { .. }) => (kind, 'c'),
            Some(kind) => (kind, 'b'),
            None => match directory.read_link(source_name) {
                Ok(target) => (NodeKind::Symlink { target }, 's'),
                Err(error) => {
                    self.run.warn(&self.path, &error.chain());
                    self.run.monitor.entry('E', &self.path);
                    return Ok(());
                }
            },
        };
        let place = writer.reserve(self.run, name)?;
        let attributes = self.run.attributes_without_opening(directory, source_name, &self.path, stat);
        let mut entry = Entry { node: node(name.to_vec(), attributes, kind, false), xattrs: None, stamp, stamps: None };
        store_long_xattrs(self.run, &self.path, &mut entry)?;
        self.run.count(status, &self.path, &entry.node);
        place.fill(self.run, entry)
    }
}

fn implied_entry(name: Vec<u8>) -> Entry {
    let attributes = Attributes {
        mode: 0o755,
        owner: Owner::default(),
        group: Owner::default(),
        mtime: Timestamp::default(),
        file_flags: 0,
        xattrs: Vec::new(),
    };
    let mut node = node(name, attributes, NodeKind::Directory { tree: ObjectId::zero() }, false);
    node.implied = true;
    Entry { node, xattrs: None, stamp: None, stamps: None }
}

fn special_kind(stat: &Stat) -> Option<NodeKind> {
    let (major, minor) = stat.special;
    match stat.kind {
        FileKind::Fifo => Some(NodeKind::Fifo),
        FileKind::CharDevice => Some(NodeKind::CharDevice { major, minor }),
        FileKind::BlockDevice => Some(NodeKind::BlockDevice { major, minor }),
        FileKind::File | FileKind::Directory | FileKind::Symlink | FileKind::Socket => None,
    }
}
