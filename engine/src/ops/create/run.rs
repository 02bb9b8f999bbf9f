//! What every thread of one create shares.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::list::Extent;
use crate::format::manifest::Statistics;
use crate::format::node::XattrsId;
use crate::id::ObjectId;
use crate::meta::{Attributes, Content, Node, NodeKind, Timestamp, Xattr};
use crate::ops::content::{InList, walk_list};
use crate::ops::create::CreateOptions;
use crate::ops::create::assembly::RootTree;
use crate::ops::create::links::Links;
use crate::ops::create::window::WindowPool;
use crate::progress::{Counters, Monitor};
use crate::repository::{Index, PackSet, Packer, Reader, Repository, Stage, Stored};
use crate::source::{FileSystems, Owners, SourceDir, Stat, XattrList};
use crate::sync::lock;

/// Most warnings that an archive keeps; all are counted.
const KEPT_WARNINGS: usize = 10_000;

/// Shared by the walk and the workers.
pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a CreateOptions,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) index: Arc<Index>,
    pub(super) reader: Reader<'a>,
    pub(super) packer: &'a Packer,
    /// Packs in which referenced objects were found.
    pub(super) found: PackSet,
    /// Whether everything that the parent refers to is known to be in good packs, so that what is inherited needs no look-up.
    pub(super) parent_is_whole: bool,
    pub(super) owners: Owners,
    pub(super) file_systems: FileSystems,
    pub(super) windows: WindowPool,
    /// Spans of large files that wait for a worker.
    pub(super) spans_waiting: AtomicUsize,
    pub(super) links: Links,
    /// Where work on standard input runs: the workers' own threads.
    pub(super) pool: &'a rayon::ThreadPool,
    counts: Counts,
    warnings: Mutex<Vec<(Vec<u8>, String)>>,
    failed: Mutex<Option<Error>>,
    root: Mutex<Option<RootTree>>,
}

#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    directories: AtomicU64,
    bytes: AtomicU64,
    warnings: AtomicU64,
    unchanged: AtomicU64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        options: &'a CreateOptions,
        monitor: &'a dyn Monitor,
        index: Arc<Index>,
        packer: &'a Packer,
        pool: &'a rayon::ThreadPool,
        parent_is_whole: bool,
    ) -> Self {
        Self {
            repository,
            options,
            monitor,
            reader: Reader::new(repository, Arc::clone(&index)),
            found: index.pack_set(),
            index,
            packer,
            parent_is_whole,
            owners: Owners::new(),
            file_systems: FileSystems::new(),
            windows: WindowPool::default(),
            spans_waiting: AtomicUsize::new(0),
            links: Links::default(),
            pool,
            counts: Counts::default(),
            warnings: Mutex::default(),
            failed: Mutex::new(None),
            root: Mutex::new(None),
        }
    }

    /// Whether to stop: a worker failed, or the user asked.
    pub(super) fn stopped(&self) -> bool {
        if self.monitor.cancelled() {
            self.fail(Error::Interrupted);
        }
        lock(&self.failed).is_some()
    }

    /// The first failure ends the run.
    pub(super) fn fail(&self, error: Error) {
        let mut failed = lock(&self.failed);
        // Of several threads that meet one failure of the store, one is told what it was.
        if matches!(*failed, None | Some(Error::Internal(_))) {
            *failed = Some(error);
        }
    }

    /// The failure that ended the run, if one did.
    pub(super) fn take_failure(&self) -> Option<Error> {
        lock(&self.failed).take()
    }

    pub(super) fn set_root(&self, tree: RootTree) {
        *lock(&self.root) = Some(tree);
    }

    pub(super) fn root(&self) -> Result<RootTree> {
        lock(&self.root).ok_or_else(|| Error::Internal("the root was never completed".to_owned()))
    }

    /// Something of the source could not be taken as it is; the archive is made all the same.
    pub(super) fn warn(&self, path: &[u8], message: &str) {
        self.counts.warnings.fetch_add(1, Ordering::Relaxed);
        self.monitor.warning(path, message);
        let mut warnings = lock(&self.warnings);
        if warnings.len() < KEPT_WARNINGS {
            warnings.push((path.to_vec(), message.to_owned()));
        }
    }

    pub(super) fn warnings(&self) -> Vec<(Vec<u8>, String)> {
        lock(&self.warnings).clone()
    }

    /// Attributes that `stat` gives.
    pub(super) fn attributes(&self, stat: &Stat) -> Attributes {
        let (owner, group) = (self.owners.user(stat.uid), self.owners.group(stat.gid));
        Attributes { mode: stat.mode, owner, group, mtime: stat.mtime, file_flags: 0, xattrs: Vec::new() }
    }

    /// Attributes of what is not opened: links, special files, and what may not be read.
    pub(super) fn attributes_without_opening(
        &self,
        directory: &SourceDir,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Attributes {
        let xattrs = self.readable(path, directory.child_xattrs(name));
        Attributes { xattrs, ..self.attributes(stat) }
    }

    /// Attributes of a file that this process makes up.
    pub(super) fn own_attributes(&self) -> Attributes {
        let owner = self.owners.user(rustix::process::getuid().as_raw());
        let group = self.owners.group(rustix::process::getgid().as_raw());
        Attributes { owner, group, ..Attributes::default() }
    }

    /// A user may have been renamed since the parent was made, which no ctime tells.
    pub(super) fn refresh_owners(&self, attributes: &mut Attributes, stat: &Stat) {
        attributes.owner = self.owners.user(stat.uid);
        attributes.group = self.owners.group(stat.gid);
    }

    /// The extended attributes that could be read; the others are warnings.
    pub(super) fn readable(&self, path: &[u8], list: XattrList) -> Vec<Xattr> {
        for problem in &list.problems {
            self.warn(path, &problem.chain());
        }
        list.xattrs
    }

    /// Whether a later change of what stands in `directory` would show as another ctime. `seen` is a time before `stat` was asked for.
    pub(super) fn believes(&self, directory: &SourceDir, stat: &Stat, seen: Timestamp) -> bool {
        let trust = self.file_systems.of_directory(directory);
        trust.is_ok_and(|trust| trust.believes(stat, seen))
    }

    /// Stores a metadata object and notes where it was found.
    pub(super) fn put_meta(&self, bytes: &[u8]) -> Result<ObjectId> {
        let (id, stored) = self.packer.put_meta(bytes)?;
        self.note(stored);
        Ok(id)
    }

    /// Notes the pack of an object that was known.
    pub(super) fn note(&self, stored: Stored) {
        if let Stored::Known(number) = stored {
            self.found.insert(number);
        }
    }

    /// Counts an entry and tells the monitor.
    pub(super) fn count(&self, status: char, path: &[u8], node: &Node) {
        match &node.kind {
            NodeKind::Directory { .. } => self.counts.directories.fetch_add(1, Ordering::Relaxed),
            NodeKind::File { size, .. } => {
                self.counts.bytes.fetch_add(*size, Ordering::Relaxed);
                self.counts.files.fetch_add(1, Ordering::Relaxed)
            }
            _ => self.counts.files.fetch_add(1, Ordering::Relaxed),
        };
        if status == 'U' {
            self.counts.unchanged.fetch_add(1, Ordering::Relaxed);
        }
        self.monitor.entry(status, path);
        if let Some(counters) = self.monitor.counters() {
            Counters::add(&counters.entries, 1);
            if let NodeKind::File { size, .. } = node.kind {
                Counters::add(&counters.bytes, size);
            }
            counters.stored_bytes.store(self.packer.stored_bytes(), Ordering::Relaxed);
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            files: load(&self.counts.files),
            directories: load(&self.counts.directories),
            bytes: load(&self.counts.bytes),
            new_bytes: self.packer.new_bytes(),
            stored_bytes: self.packer.stored_bytes(),
            warnings: load(&self.counts.warnings),
        }
    }

    pub(super) fn unchanged(&self) -> u64 {
        self.counts.unchanged.load(Ordering::Relaxed)
    }

    /// Whether everything that an inherited node refers to has a good copy. Notes the packs.
    ///
    /// # Errors
    /// The store failed; an object that is lost is `false`.
    pub(super) fn inherits(&self, node: &Node, xattrs: XattrsId) -> Result<bool> {
        if self.parent_is_whole {
            return Ok(true);
        }
        if xattrs.is_some_and(|id| !self.has(&id)) {
            return Ok(false);
        }
        match &node.kind {
            NodeKind::File { content: Content::Chunk(id), .. } => Ok(self.has(id)),
            NodeKind::File { content: Content::List(id), .. } => self.has_list(*id),
            _ => Ok(true),
        }
    }

    fn has(&self, id: &ObjectId) -> bool {
        self.index.good(id).is_some_and(|number| {
            self.found.insert(number);
            true
        })
    }

    fn has_list(&self, root: ObjectId) -> Result<bool> {
        let lost = || Error::ObjectMissing { id: root.to_hex() };
        let check = |id: &ObjectId| if self.has(id) { Ok(()) } else { Err(lost()) };
        let walked = walk_list(&self.reader, root, &mut |met| match met {
            InList::List(id) | InList::Extent(Extent::Chunk { id, .. }) => check(&id),
            InList::Extent(Extent::Zeros(_) | Extent::Hole(_)) => Ok(()),
        });
        match walked {
            Ok(()) => Ok(true),
            Err(Error::ObjectMissing { .. } | Error::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The id of a chunk, stored if it is new.
    pub(super) fn put_chunk(&self, builder: &mut crate::repository::BlockBuilder, bytes: &[u8]) -> Result<ObjectId> {
        let bytes = &*self.repository.core().flips.altered(Stage::Read, bytes);
        let id = self.repository.ring().object_id(Purpose::Data, bytes);
        let stored = self.packer.claim(&id);
        self.note(stored);
        if stored == Stored::New {
            self.packer.add_chunk(builder, id, bytes)?;
        }
        Ok(id)
    }
}
