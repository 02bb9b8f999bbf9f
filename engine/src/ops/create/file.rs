//! One file from disk to extents: read into our own buffer, cut, id, look up, store.
//!
//! The id is computed over the bytes that are compressed and sealed, in the same buffer: a database may rewrite its pages while
//! they are read, and an id of other bytes would be a lie.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rayon::Scope;

use crate::chunker::{self, ChunkerProfile, Cutter, PreviousCut};
use crate::clock;
use crate::compress::Compression;
use crate::error::{Error, FileError, Result};
use crate::meta::{Attributes, Chunking, Content, LinkId, Node, NodeKind, Stamp};
use crate::ops::create::assembly::{Entry, Place, store_long_xattrs};
use crate::ops::create::extents::Extents;
use crate::ops::create::links::First;
use crate::ops::create::run::Run;
use crate::ops::create::span::{SPAN_BYTES, Span, cut};
use crate::ops::create::window::Window;
use crate::source::{FileSystemTrust, SourceDir, SourceFile, Stat};
use crate::sync::lock;

/// Bytes that are read at a time; at least twice the longest chunk.
pub(super) const WINDOW_BYTES: usize = 8 << 20;
/// Bytes at the start of a file by which its kind is recognised.
const HEAD_BYTES: usize = 4096;

/// A file that has to be read.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) directory: Arc<SourceDir>,
    /// Name in the archive.
    pub(super) name: Vec<u8>,
    /// Name in the directory; another only for a PATH argument.
    pub(super) source_name: Vec<u8>,
    /// Path in the archive.
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) place: Place,
    /// How the parent cut it, and its size then.
    pub(super) previous: Option<(Chunking, u64)>,
    /// `A` or `M`.
    pub(super) status: char,
    /// Set if it is the first of a group of hard links.
    pub(super) first: Option<First>,
}

impl Job {
    /// Reads the file and fills its place. What is wrong with the file is a warning; what is wrong with the repository ends the run.
    pub(super) fn run<'s>(self, run: &'s Run<'s>, scope: &Scope<'s>) {
        if run.stopped() {
            return;
        }
        if let Err(error) = self.archive(run, scope) {
            run.fail(error);
        }
    }

    fn archive<'s>(mut self, run: &'s Run<'s>, scope: &Scope<'s>) -> Result<()> {
        let began = clock::file_system_now();
        let file = match self.directory.open_file(&self.source_name, &self.stat) {
            Ok(file) => file,
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return self.vanished(run),
            Err(error) => return self.unreadable(run, &error),
        };
        // It may have changed since the walk saw it.
        self.stat = *file.opened();
        let attributes = attributes_of(run, &self.path, &self.stat, &file);
        let reading = Arc::new(Reading {
            file,
            began,
            attributes: Mutex::new(Some(attributes)),
            extents: Extents::new(run),
            waiting: AtomicUsize::new(1),
            chunking: Mutex::new(Chunking::None),
            failed: Mutex::new(None),
            job: self,
        });
        match reading.read(run, scope) {
            Ok(()) => {}
            Err(Failure::Source(error)) => *lock(&reading.failed) = Some(error),
            Err(Failure::Repository(error)) => return Err(error),
        }
        Reading::release(&reading, run)
    }

    fn link(&self) -> Option<LinkId> {
        self.first.as_ref().map(|first| first.id)
    }

    fn vanished(self, run: &Run<'_>) -> Result<()> {
        run.warn(&self.path, "disappeared before it could be read");
        run.monitor.entry('E', &self.path);
        if let Some(first) = &self.first {
            run.links.resolve(run, first, &self.stat, None)?;
        }
        self.place.vanish(run)
    }

    fn unreadable(self, run: &Run<'_>, error: &FileError) -> Result<()> {
        run.warn(&self.path, &error.chain());
        let attributes = run.attributes_without_opening(&self.directory, &self.source_name, &self.path, &self.stat);
        let kind = NodeKind::File {
            size: self.stat.size,
            chunking: Chunking::None,
            content: Content::Missing,
            link: self.link(),
        };
        let entry =
            Entry { node: node(self.name.clone(), attributes, kind, true), xattrs: None, stamp: None, stamps: None };
        finish(run, &self, entry, 'E')
    }
}

/// A node that is neither implied nor changed.
pub(super) fn node(name: Vec<u8>, attributes: Attributes, kind: NodeKind, missing: bool) -> Node {
    Node { name, implied: false, changed: false, missing, attributes, kind }
}

fn attributes_of(run: &Run<'_>, path: &[u8], stat: &Stat, file: &SourceFile) -> Attributes {
    let mut attributes = run.attributes(stat);
    attributes.xattrs = run.readable(path, file.xattrs());
    match file.file_flags() {
        Ok(flags) => attributes.file_flags = flags,
        Err(error) => run.warn(path, &error.chain()),
    }
    attributes
}

/// The attributes of a file that is not read: it is opened for its flags, if it may be.
pub(super) fn attributes_now(
    run: &Run<'_>,
    directory: &SourceDir,
    name: &[u8],
    path: &[u8],
    stat: &Stat,
) -> Attributes {
    match directory.open_file(name, stat) {
        Ok(file) => attributes_of(run, path, stat, &file),
        Err(_) => run.attributes_without_opening(directory, name, path, stat),
    }
}

/// A file that is being read, by one thread, and worked on by many.
struct Reading {
    job: Job,
    file: SourceFile,
    began: crate::meta::Timestamp,
    attributes: Mutex<Option<Attributes>>,
    chunking: Mutex<Chunking>,
    extents: Extents,
    /// Spans that are not done, and one for the reading itself.
    waiting: AtomicUsize,
    /// Why the source could not be read to its end.
    failed: Mutex<Option<FileError>>,
}

/// Why reading ended early.
enum Failure {
    Source(FileError),
    Repository(Error),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Source(error)
    }
}

impl Reading {
    fn read<'s>(self: &Arc<Self>, run: &'s Run<'s>, scope: &Scope<'s>) -> Result<(), Failure> {
        let size = self.job.stat.size;
        if size == 0 {
            return Ok(());
        }
        let mut position = 0;
        let mut cutter = None;
        for data in self.file.extents(size) {
            let data = data?;
            self.push_hole(run, data.start - position)?;
            let (cutter, compression) = match &mut cutter {
                Some(known) => known,
                None => cutter.insert(self.handling(run)?),
            };
            position = self.read_extent(run, scope, cutter, *compression, data.start..data.end)?;
            if position < data.end {
                // It became shorter while it was read; `finish` sees that by its stat.
                return Ok(());
            }
        }
        self.push_hole(run, size - position)
    }

    /// Chooses how to cut and compress by place, size, first bytes and by how the parent did it.
    fn handling<'r>(&self, run: &'r Run<'r>) -> Result<(Cutter<'r>, Compression), Failure> {
        let mut head = [0; HEAD_BYTES];
        let length = self.file.read_at(&mut head, 0)?;
        let profile = run.repository.profile();
        let profile = ChunkerProfile {
            cdc_log2: profile.cdc_log2,
            page_log2: profile.page_log2,
            smallest_paged: profile.smallest_paged,
        };
        let head = head.get(..length).unwrap_or_default();
        let previous = self.job.previous.map(|(chunking, size)| PreviousCut { chunking, size });
        let chosen = chunker::choose(&profile, run.options.chunker, &self.job.path, self.job.stat.size, head, previous);
        let compression = run.packer.compression();
        let of_database = chunker::is_of_database(chosen, &self.job.path, head);
        let compression = if of_database { compression.for_database() } else { compression };
        *lock(&self.chunking) = chosen;
        let cutter = Cutter::new(run.repository.gear(), chosen);
        let cutter = cutter.map_err(|error| Failure::Repository(Error::Usage(error.to_string())))?;
        Ok((cutter, compression))
    }

    /// Reads one run of data; gives the offset behind the last byte that was there.
    fn read_extent<'s>(
        self: &Arc<Self>,
        run: &'s Run<'s>,
        scope: &Scope<'s>,
        cutter: &mut Cutter<'_>,
        compression: Compression,
        Range { start, end }: Range<u64>,
    ) -> Result<u64, Failure> {
        let mut carried: Option<(Arc<Window>, usize, usize)> = None;
        let mut offset = start;
        loop {
            if run.stopped() {
                return Ok(offset);
            }
            let carry = carried.as_ref().map_or(0, |(_, from, to)| to - from);
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX).saturating_sub(carry);
            let wanted = left.min(WINDOW_BYTES - carry.min(WINDOW_BYTES / 2));
            let mut window = run.windows.take(carry + wanted);
            let space = window.bytes_mut();
            if let Some((old, from, to)) = &carried {
                let (to_fill, tail) = (space.get_mut(..carry), old.bytes().get(*from..*to));
                if let (Some(to_fill), Some(tail)) = (to_fill, tail) {
                    to_fill.copy_from_slice(tail);
                }
            }
            drop(carried.take());
            let got = match space.get_mut(carry..carry + wanted) {
                Some(space) => self.file.read_at(space, offset + carry as u64)?,
                None => 0,
            };
            let filled = carry + got;
            let last = got < wanted || got == left;
            let window = Arc::new(window);
            let bytes = window.bytes().get(..filled).unwrap_or_default();
            let used = cut(cutter, bytes, offset, last, |pieces| {
                self.hand_out(run, scope, self.extents.span(&window, pieces, compression))
            });
            let used = used.map_err(Failure::Repository)?;
            offset += used as u64;
            if last {
                return Ok(offset);
            }
            carried = Some((window, used, filled));
        }
    }

    fn push_hole(&self, run: &Run<'_>, length: u64) -> Result<(), Failure> {
        let pushed = if length > 0 { self.extents.push_hole(run, length) } else { Ok(()) };
        pushed.map_err(Failure::Repository)
    }

    /// Gives a span to another core if one is idle enough; else works on it here, so that no thread ever waits for another.
    fn hand_out<'s>(self: &Arc<Self>, run: &'s Run<'s>, scope: &Scope<'s>, span: Span) -> Result<()> {
        let alone = self.job.stat.size <= SPAN_BYTES as u64;
        if alone || run.spans_waiting.load(Ordering::Relaxed) >= 2 * rayon::current_num_threads() {
            return self.extents.store(run, &span);
        }
        run.spans_waiting.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let reading = Arc::clone(self);
        scope.spawn(move |_| {
            run.spans_waiting.fetch_sub(1, Ordering::Relaxed);
            let stored = if run.stopped() { Ok(()) } else { reading.extents.store(run, &span) };
            drop(span);
            if let Err(error) = stored.and_then(|()| Self::release(&reading, run)) {
                run.fail(error);
            }
        });
        Ok(())
    }

    fn release(reading: &Arc<Self>, run: &Run<'_>) -> Result<()> {
        if reading.waiting.fetch_sub(1, Ordering::AcqRel) == 1 && !run.stopped() {
            reading.complete(run)
        } else {
            Ok(())
        }
    }

    /// The last span is done: what became of the file while it was read?
    fn complete(&self, run: &Run<'_>) -> Result<()> {
        let (size, mut content) = self.extents.finish(run)?;
        let mut chunking = *lock(&self.chunking);
        let failed = lock(&self.failed).take();
        let changed = match &failed {
            Some(_) => None,
            None => self.changed(size),
        };
        if let Some(error) = &failed {
            run.warn(&self.job.path, &error.chain());
            (content, chunking) = (Content::Missing, Chunking::None);
        } else if let Some(how) = changed {
            run.warn(&self.job.path, how);
        }
        let stamp = if failed.is_none() && changed.is_none() { self.stamp(run) } else { None };
        let size = if failed.is_some() { self.job.stat.size } else { size };
        let kind = NodeKind::File { size, chunking, content, link: self.job.link() };
        let attributes = lock(&self.attributes).take().unwrap_or_default();
        let mut node = node(self.job.name.clone(), attributes, kind, failed.is_some());
        node.changed = changed.is_some();
        let entry = Entry { node, xattrs: None, stamp, stamps: None };
        let status = match (failed, changed) {
            (Some(_), _) => 'E',
            (None, Some(_)) => 'C',
            (None, None) => self.job.status,
        };
        finish(run, &self.job, entry, status)
    }

    fn changed(&self, size: u64) -> Option<&'static str> {
        let before = &self.job.stat;
        match self.file.stat() {
            Ok(after) if after.size < before.size || size < before.size => Some("became shorter while it was read"),
            Ok(after) if after.size > before.size => Some("grew while it was read"),
            Ok(after) if (after.mtime, after.ctime) != (before.mtime, before.ctime) => {
                Some("changed while it was read")
            }
            Ok(_) => None,
            Err(_) => Some("could not be examined again after it was read"),
        }
    }

    /// What change detection may believe next time (I-R6).
    fn stamp(&self, _run: &Run<'_>) -> Option<Stamp> {
        let stat = &self.job.stat;
        let trust = FileSystemTrust::of_file(&self.file).ok()?;
        trust.believes_content(stat, self.began, &self.file).then_some(stat.stamp())
    }
}

/// Fills the file's place, and those of its hard links that waited for it.
fn finish(run: &Run<'_>, job: &Job, mut entry: Entry, status: char) -> Result<()> {
    store_long_xattrs(run, &job.path, &mut entry)?;
    if let Some(first) = &job.first {
        run.links.resolve(run, first, &job.stat, Some(&entry))?;
    }
    run.count(status, &job.path, &entry.node);
    job.place.clone().fill(run, entry)
}
