//! `restore`: an archive, or some paths of it, below a target directory.
//!
//! The archive is walked once. Directories, links and special files are made on the way; files are planned, and when enough are planned
//! they are written by pack and block on all cores, each block opened once a plan. Then come hard links, then the attributes of the
//! directories that are complete, and in the end everything is made durable. What is right in the target already is left alone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::error::{ArchiveProblem, Error, Result};
use crate::format::DEPTH;
use crate::meta::{Content, LinkId, Node, NodeKind};
use crate::ops::restore::finish::{Finished, FirstLink, PendingLink};
use crate::ops::restore::place::{Existing, existing};
use crate::ops::restore::plan::{Fate, Plan};
use crate::ops::restore::report::Report;
use crate::ops::restore::selection::{Selected, Selection};
use crate::ops::walk::{Entries, complete_xattrs, push_name};
use crate::progress::Monitor;
use crate::repository::{Archive, Reader, Repository};
use crate::source::{AttributeOptions, Owners, Subject, Target, TargetDir, apply_attributes};
use crate::sync;

mod finish;
mod place;
mod plan;
mod report;
mod selection;

/// So many complete directories wait for their attributes at most.
const MOST_FINISHED: usize = 16_384;

/// What to do with files that exist in the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Replace those whose kind, size or time of modification differs.
    #[default]
    IfChanged,
    /// Replace all.
    Always,
    /// Leave all alone.
    Never,
}

/// What to restore, where, and how.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the command line")]
pub struct RestoreOptions {
    /// Paths in the archive; all of it without any.
    pub paths: Vec<Vec<u8>>,
    /// The directory below which everything is written; made if it is missing.
    pub target: PathBuf,
    /// Only say what would be done.
    pub dry_run: bool,
    /// What to do with files that exist.
    pub overwrite: Overwrite,
    /// Remove what the archive does not have from directories that it has.
    pub delete: bool,
    /// Make holes of zeros, also of those that were allocated.
    pub sparse: bool,
    /// Take archived user and group numbers even where this host knows the names.
    pub numeric_ids: bool,
    /// Leave out so many leading names of every path.
    pub strip_components: usize,
    /// Worker threads; one a core without it.
    pub jobs: Option<usize>,
}

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files and everything else that is no directory, written.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of files that were written.
    pub bytes: u64,
    /// Files that were right already, or that must not be overwritten.
    pub skipped: u64,
    /// Entries that were removed.
    pub deleted: u64,
    /// Warnings: what could not be made or set.
    pub warnings: u64,
    /// Files whose content the repository no longer has; they are not in the target.
    pub damaged: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Restores an archive.
///
/// # Errors
/// The target cannot be used at all or is full, or the repository failed. Single files that cannot be made are warnings, single files
/// whose content is damaged are counted in [`Restored::damaged`].
pub fn restore(
    repository: &Repository,
    archive: &Archive,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<Restored> {
    let watch = Stopwatch::start();
    if options.delete && std::fs::canonicalize(&options.target).is_ok_and(|target| target.parent().is_none()) {
        return Err(Error::Usage(
            "--delete with the root of the file system as target would remove the system; name another target"
                .to_owned(),
        ));
    }
    if options.delete && options.strip_components > 0 {
        let problem = "--delete and --strip-components do not go together: directories that become one would delete each other's files";
        return Err(Error::Usage(problem.to_owned()));
    }
    let target = open_target(options)?;
    let reader = Reader::new(repository, Arc::new(repository.load_index_to_read()?));
    let owners = Owners::new();
    let is_purged = || matches!(repository.has_manifest(archive.id), Ok(false));
    let report = Report::new(monitor, &is_purged);
    let pool = sync::pool(options.jobs)?;
    let attributes = AttributeOptions { owners: &owners, numeric_ids: options.numeric_ids };
    let context =
        Context { reader: &reader, target: target.as_ref(), options, attributes, report: &report, pool: &pool };
    let mut walk = Walk {
        context: &context,
        plan: Plan::new(&context),
        selection: Selection::new(&options.paths),
        links: HashMap::new(),
        pending_links: Vec::new(),
        finished: Vec::new(),
        path: Vec::new(),
    };
    let walked = walk.archive(archive);
    if report.purged() {
        return Err(Error::Archive(ArchiveProblem::Deleted(format!("aid:{}", archive.id.to_hex()))));
    }
    walked.map_err(|error| repository.lost_or_deleted(archive.id, error))?;
    for path in walk.selection.unmatched() {
        report.warn(&path, "no such path in the archive");
    }
    if let Some(target) = target.as_ref().filter(|_| !options.dry_run) {
        target.sync_all().map_err(Error::Target)?;
    }
    report.say_unset();
    let mut restored = report.counts();
    restored.duration = watch.elapsed();
    Ok(restored)
}

/// The target; on a dry run only if it exists, to say what would be done there.
fn open_target(options: &RestoreOptions) -> Result<Option<Target>> {
    match Target::open(&options.target, !options.dry_run) {
        Err(error) if options.dry_run && error.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(Error::Target),
    }
}

/// What everything that writes shares.
struct Context<'a> {
    reader: &'a Reader<'a>,
    /// `None` on a dry run into a place that does not exist.
    target: Option<&'a Target>,
    options: &'a RestoreOptions,
    attributes: AttributeOptions<'a>,
    report: &'a Report<'a>,
    pool: &'a rayon::ThreadPool,
}

impl Context<'_> {
    /// Sets attributes and notes what could not be set.
    fn apply(&self, subject: Subject<'_>, node: &Node, path: &[u8]) {
        match apply_attributes(subject, &node.attributes, &self.attributes) {
            Ok(unset) => self.report.unset(path, unset),
            Err(error) => self.report.warn(path, &error.chain()),
        }
    }
}

struct Walk<'a> {
    context: &'a Context<'a>,
    plan: Plan<'a>,
    selection: Selection,
    /// The first member of each group of hard links.
    links: HashMap<LinkId, Arc<FirstLink>>,
    pending_links: Vec<PendingLink>,
    /// Directories whose entries have all been planned, children before parents.
    finished: Vec<Finished>,
    path: Vec<u8>,
}

/// A directory that is being walked.
struct Level {
    entries: Entries,
    /// Length of its path in the archive.
    length: usize,
    /// Its path in the target; `None` where leading names are left out.
    target: Option<Arc<[u8]>>,
    /// Its attributes, to be set when it is complete.
    node: Option<Node>,
    /// The names in it, if what is not among them is to be removed.
    names: Option<Vec<Vec<u8>>>,
}

impl Walk<'_> {
    fn archive(&mut self, archive: &Archive) -> Result<()> {
        let mut root = archive.manifest.root.clone();
        complete_xattrs(self.context.reader, &mut root, archive.manifest.root_xattrs)?;
        let all = self.context.options.paths.is_empty();
        let stripped = self.context.options.strip_components > 0;
        let own = all && !root.implied && !stripped;
        let delete = self.context.options.delete && own;
        let mut levels = vec![Level {
            entries: Entries::new(archive.manifest.root_tree()),
            length: 0,
            target: (!stripped).then(|| Arc::from(b"".as_slice())),
            node: own.then_some(root),
            names: delete.then(Vec::new),
        }];
        while let Some(level) = levels.last_mut() {
            if self.context.report.cancelled() {
                return Err(Error::Interrupted);
            }
            self.path.truncate(level.length);
            match self.next(level)? {
                Some(node) => {
                    if let Some(below) = self.entry(level, node)? {
                        if levels.len() > DEPTH {
                            return Err(Error::Damaged {
                                file: "the archive".to_owned(),
                                problem: "directories deeper than 65,536".to_owned(),
                            });
                        }
                        levels.push(below);
                    }
                }
                None => {
                    if let Some(level) = levels.pop() {
                        self.leave(level)?;
                    }
                }
            }
        }
        self.flush()
    }

    /// The next entry; what of a directory cannot be had is named and left out.
    fn next(&mut self, level: &mut Level) -> Result<Option<Node>> {
        let Context { reader, report, .. } = *self.context;
        loop {
            let mut length = self.path.len();
            let mut what = "a part of the directory is lost";
            let found = level.entries.next(reader, &mut |_| Ok(())).and_then(|found| match found {
                Some((mut node, xattrs)) => {
                    length = push_name(&mut self.path, &node.name);
                    what = "its attributes are lost";
                    complete_xattrs(reader, &mut node, xattrs).map(|()| Some(node))
                }
                None => Ok(None),
            });
            match found {
                Err(error @ (Error::Damaged { .. } | Error::ObjectMissing { .. } | Error::Store(_))) => {
                    report.damaged(&self.path, &format!("{what}: {error}"));
                    // Nothing may be removed from a directory of which not all names are known. What else is in it, is restored.
                    level.names = None;
                }
                other => {
                    self.path.truncate(length);
                    return other;
                }
            }
            self.path.truncate(length);
        }
    }

    /// Handles one entry; gives the level below if it is a directory to be entered.
    fn entry(&mut self, above: &mut Level, node: Node) -> Result<Option<Level>> {
        push_name(&mut self.path, &node.name);
        let depth = self.path.split(|&byte| byte == b'/').count();
        let selected = self.selection.of(&self.path);
        if selected == Selected::No {
            return Ok(None);
        }
        let strip = self.context.options.strip_components;
        let target: Option<Arc<[u8]>> = match (&above.target, depth > strip) {
            (_, false) => None,
            (Some(parent), true) if !parent.is_empty() => {
                Some(Arc::from([parent, b"/".as_slice(), node.name.as_slice()].concat()))
            }
            (_, true) => Some(Arc::from(node.name.as_slice())),
        };
        if let Some(names) = &mut above.names {
            names.push(node.name.clone());
        }
        if let NodeKind::Directory { tree } = node.kind {
            return Ok(self.directory(node, target, selected)?.map(|(node, target, delete)| Level {
                entries: Entries::new(tree),
                length: self.path.len(),
                target,
                node,
                names: delete.then(Vec::new),
            }));
        }
        if let (Some(target), Selected::Yes) = (target, selected) {
            self.other(node, &target)?;
        }
        Ok(None)
    }

    /// Makes a directory. Gives what it becomes when it is complete, or `None` if it cannot be entered.
    #[expect(clippy::type_complexity, reason = "what a level needs, once")]
    fn directory(
        &mut self,
        node: Node,
        target: Option<Arc<[u8]>>,
        selected: Selected,
    ) -> Result<Option<(Option<Node>, Option<Arc<[u8]>>, bool)>> {
        let Some(target) = target else { return Ok(Some((None, None, false))) };
        let options = self.context.options;
        let report = self.context.report;
        let ours = selected == Selected::Yes && !node.implied;
        if ours && node.missing {
            report.warn(
                &self.path,
                "the directory could not be read when it was archived; its content is not in the archive",
            );
        }
        let mut created = true;
        if options.dry_run {
            // Nothing is made; what is below is looked at where it exists.
        } else if let Some((parent, name)) = self.parent_of(&target)? {
            let replace = options.overwrite != Overwrite::Never;
            created = match parent.make_directory(name, replace) {
                Ok(created) => created,
                Err(error) => {
                    report.file_error(&self.path, &error)?;
                    return Ok(None);
                }
            };
            if !created
                && ours
                && options.overwrite != Overwrite::Never
                && let Err(error) = parent.unlock_directory(name)
            {
                report.file_error(&self.path, &error)?;
            }
        }
        report.directory(&self.path);
        let keeps_attributes = !created && (!ours || options.overwrite == Overwrite::Never);
        let node = (!keeps_attributes).then(|| place::with_owner(node));
        Ok(Some((node, Some(target), options.delete && ours)))
    }

    /// The directory that holds a path of the target, and the path's last name. `None` on a dry run.
    fn parent_of<'p>(&self, path: &'p [u8]) -> Result<Option<(Arc<TargetDir>, &'p [u8])>> {
        let Some(target) = self.context.target else { return Ok(None) };
        let (parent, name) = split(path);
        match target.directory(parent) {
            Ok(directory) => Ok(Some((directory, name))),
            Err(_) if self.context.options.dry_run => Ok(None),
            Err(error) => {
                self.context.report.file_error(&self.path, &error)?;
                Ok(None)
            }
        }
    }

    /// Anything but a directory.
    fn other(&mut self, node: Node, target: &Arc<[u8]>) -> Result<()> {
        let NodeKind::File { content, link, .. } = &node.kind else { return self.special(&node, target) };
        if *content == Content::Missing {
            self.context
                .report
                .warn(&self.path, "the file could not be read when it was archived; its content is not in the archive");
            return Ok(());
        }
        if node.changed {
            self.context.report.note(&self.path, "the file changed while it was archived");
        }
        let mut fate = Arc::default();
        if let Some(link) = link {
            if let Some(first) = self.links.get(link) {
                self.pending_links.push(PendingLink {
                    first: Arc::clone(first),
                    path: Arc::clone(target),
                    archive_path: self.path.clone(),
                });
                return Ok(());
            }
            let first = FirstLink { path: Arc::clone(target), fate: Arc::default() };
            fate = Arc::clone(&first.fate);
            self.links.insert(*link, Arc::new(first));
        }
        self.file(node, target, fate)
    }

    fn file(&mut self, node: Node, target: &Arc<[u8]>, fate: Arc<Fate>) -> Result<()> {
        let report = self.context.report;
        let Some((directory, name)) = self.parent_of(target)? else {
            report.planned(&self.path);
            return Ok(());
        };
        if self.context.options.dry_run {
            let kept = place::would_keep(&directory, name, &node, self.context.options);
            if kept {
                report.skipped(&self.path);
            } else {
                report.planned(&self.path);
            }
            return Ok(());
        }
        let replaces = match existing(&directory, name, &node, self.context.options) {
            Ok(Existing::None) => false,
            Ok(Existing::Other) => true,
            Ok(Existing::Kept) => {
                report.skipped(&self.path);
                return Ok(());
            }
            Ok(Existing::Same { attributes }) => {
                if !attributes {
                    match directory.open_file(name) {
                        Ok(file) => self.context.apply(Subject::File(&file), &node, &self.path),
                        Err(error) => report.file_error(&self.path, &error)?,
                    }
                }
                report.skipped(&self.path);
                return Ok(());
            }
            Err(error) => {
                fate.fail();
                return report.file_error(&self.path, &error);
            }
        };
        self.plan.file(node, Arc::clone(target), self.path.clone(), replaces, fate)?;
        if self.plan.is_full() { self.flush() } else { Ok(()) }
    }

    fn special(&mut self, node: &Node, target: &Arc<[u8]>) -> Result<()> {
        let report = self.context.report;
        let Some((directory, name)) = self.parent_of(target)? else {
            report.planned(&self.path);
            return Ok(());
        };
        if self.context.options.dry_run {
            let kept = place::would_keep(&directory, name, node, self.context.options);
            if kept {
                report.skipped(&self.path);
            } else {
                report.planned(&self.path);
            }
            return Ok(());
        }
        match place::special(&directory, name, node, self.context.options) {
            Ok(place::Made::Skipped) => report.skipped(&self.path),
            Ok(place::Made::Kept) => {
                self.context.apply(Subject::Entry(&directory, name), node, &self.path);
                report.skipped(&self.path);
            }
            Ok(place::Made::New) => {
                self.context.apply(Subject::Entry(&directory, name), node, &self.path);
                report.made(&self.path, 0);
            }
            Err(error) => report.file_error(&self.path, &error)?,
        }
        Ok(())
    }

    /// A directory whose entries have all been seen.
    fn leave(&mut self, level: Level) -> Result<()> {
        let Some(path) = level.target else { return Ok(()) };
        self.finished.push(Finished { path, node: level.node, names: level.names });
        if self.finished.len() >= MOST_FINISHED { self.flush() } else { Ok(()) }
    }

    /// Writes what is planned, then links, then the attributes of complete directories: nothing changes a directory after that.
    fn flush(&mut self) -> Result<()> {
        self.plan.write()?;
        for link in std::mem::take(&mut self.pending_links) {
            self.context.link(&link)?;
        }
        for finished in std::mem::take(&mut self.finished) {
            self.context.complete(&finished)?;
        }
        Ok(())
    }
}

/// A path of the target as the directory that holds it, and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}
