//! `create`: an archive of the source as it is now.
//!
//! 1. Archives, then the index: the parent is the series' archive with the highest host sequence, never the newest by a clock.
//! 2. The walk and the workers (walk.rs, file.rs) bring chunks; directories are put together as their files finish (assembly.rs).
//! 3. Everything is made durable and indexed, then the commit (docs/gc.md). If objects were lost meanwhile, again from the start.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::chunker::ChunkerRequest;
use crate::clock::{self, Stopwatch};
use crate::compress::Compression;
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, Statistics, encode_warnings};
use crate::format::records::Verb;
use crate::format::verify::Verify;
use crate::id::{FileId, ObjectId};
use crate::meta::{NodeKind, Timestamp};
use crate::ops::archives;
use crate::ops::walk::each_object;
use crate::pattern::PatternSet;
use crate::progress::Monitor;
use crate::repository::{Archive, Commit, Packer, References, Repository, Superseded};

mod argument;
mod assembly;
mod batch;
mod extents;
mod file;
mod input;
mod known;
mod links;
mod parent;
mod paths;
mod preview;
mod run;
mod scan;
mod span;
mod walk;
mod window;

use assembly::Entry;
use paths::PathTree;
use run::Run;
use walk::Walk;

/// What `create` reads from besides files: standard input.
pub type Input = Box<dyn Read + Send>;

/// Most bytes of a text in a manifest, and most PATHs.
const LONGEST: usize = u16::MAX as usize;
/// How often a create starts again when objects are lost under its hands.
const ROUNDS: usize = 3;

/// What makes a file "unchanged", so that it is not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilesCache {
    /// Time of status change, size and inode.
    #[default]
    CtimeSizeInode,
    /// Time of status change and size: where inodes are not stable.
    CtimeSize,
    /// Time of modification and size.
    MtimeSize,
    /// Nothing: every file is read.
    Disabled,
}

impl std::str::FromStr for FilesCache {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "ctime,size,inode" => Self::CtimeSizeInode,
            "ctime,size" => Self::CtimeSize,
            "mtime,size" => Self::MtimeSize,
            "disabled" => Self::Disabled,
            _ => {
                let modes = "ctime,size,inode; ctime,size; mtime,size; disabled";
                return Err(Error::Usage(format!("unknown files cache {text:?}; there are: {modes}")));
            }
        })
    }
}

/// What to archive and how.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the command line")]
pub struct CreateOptions {
    /// Host label: with `name` it says which series this is.
    pub host: String,
    /// The series' name.
    pub name: String,
    /// The name changes from run to run: the parent is the newest archive of this host with the same paths.
    pub moving_name: bool,
    /// What to archive.
    pub paths: Vec<PathBuf>,
    /// The name under which the input stream is stored, if there is one.
    pub input_name: Option<Vec<u8>>,
    /// How blocks are compressed.
    pub compression: Compression,
    /// How closely blocks are looked at before they are written.
    pub verify: Verify,
    /// How files are cut.
    pub chunker: ChunkerRequest,
    /// Do not enter other file systems.
    pub one_file_system: bool,
    /// What to leave out.
    pub excludes: PatternSet,
    /// Leave out directories with a CACHEDIR.TAG.
    pub exclude_caches: bool,
    /// Leave out directories that hold one of these names.
    pub exclude_if_present: Vec<Vec<u8>>,
    /// Directories that are left out by device and inode, wherever they are met: the repository itself and its caches.
    pub skip: Vec<(u64, u64)>,
    /// What makes a file "unchanged".
    pub files_cache: FilesCache,
    /// The time that the archive stands for; the start of the run without it.
    pub time: Option<Timestamp>,
    /// Offset of local time, seconds east of UTC.
    pub utc_offset_seconds: i32,
    /// Who runs it.
    pub user: String,
    /// Free text.
    pub comment: String,
    /// Program and version.
    pub program: String,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Worker threads; one a core without it.
    pub jobs: Option<usize>,
}

/// What a create did.
#[derive(Clone, Debug)]
pub struct Created {
    /// The archive; `None` on a dry run.
    pub archive: Option<Archive>,
    /// What it holds and what it cost.
    pub statistics: Statistics,
    /// Id of the tree of the root: equal for equal content, whoever archived it. Zeros on a dry run.
    pub root_tree: ObjectId,
    /// Files that were taken over without being read.
    pub unchanged_files: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Makes an archive.
///
/// # Errors
/// Nothing of the source could be read, or the repository failed. What is wrong with single files is a warning in the archive.
pub fn create(
    repository: &Repository,
    options: &CreateOptions,
    input: Option<Input>,
    monitor: &dyn Monitor,
) -> Result<Created> {
    let watch = Stopwatch::start();
    check_lengths(options)?;
    let paths = PathTree::new(&options.paths, options.input_name.as_deref())?;
    if options.dry_run {
        return preview::preview(options, &paths, monitor, watch);
    }
    let threads = options.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Error::Internal(format!("cannot start {threads} threads: {error}")))?;
    let mut input = input;
    let mut superseded = Superseded::default();
    for round in 0..ROUNDS {
        let attempt =
            Attempt { repository, options, monitor, paths: &paths, pool: &pool, threads, start: clock::now(), watch };
        if let Some(created) = attempt.make(input.take(), &mut superseded)? {
            return Ok(created);
        }
        if options.input_name.is_some() {
            return Err(Error::NoSource(
                "stored objects were lost while standard input was read, which cannot be read again; run it once more"
                    .to_owned(),
            ));
        }
        monitor
            .note(&format!("stored objects were lost during the run; reading their files again (round {})", round + 2));
    }
    Err(Error::Overtaken { rounds: ROUNDS })
}

/// One try.
struct Attempt<'a> {
    repository: &'a Repository,
    options: &'a CreateOptions,
    monitor: &'a dyn Monitor,
    paths: &'a PathTree,
    pool: &'a rayon::ThreadPool,
    threads: usize,
    start: Timestamp,
    watch: Stopwatch,
}

impl Attempt<'_> {
    fn make(&self, input: Option<Input>, superseded: &mut Superseded) -> Result<Option<Created>> {
        let history = History::read(self.repository, self.options, self.monitor)?;
        history.warn_of_new_label(self.options, self.monitor);
        let (index, adopted) = self.repository.load_index_and_adopt()?;
        let index = Arc::new(index);
        let inherited = history.parent.as_ref().and_then(|parent| known::packs_of(self.repository, parent));
        let whole = inherited.as_ref().is_some_and(|packs| index.all_good(packs));
        let series = format!("{}/{}", self.options.host, self.options.name);
        let mut packer =
            Packer::new(self.repository, Arc::clone(&index), self.options.compression, Verb::Create, &series)
                .verifying(self.options.verify);
        let outcome = {
            let run =
                Run::new(self.repository, self.options, self.monitor, Arc::clone(&index), &packer, self.pool, whole);
            self.walk(&run, history.parent.as_ref(), input).and_then(|root| Outcome::of(&run, root))
        };
        let outcome = match outcome {
            Err(Error::Interrupted) => {
                packer.flush()?;
                return Err(Error::Interrupted);
            }
            other => other?,
        };
        let mut segments = packer.flush()?;
        segments.extend(adopted);
        let mut references = References { packs: index.packs_of(&outcome.found) };
        references.packs.extend(packer.packs());
        references.packs.extend(inherited.filter(|_| whole).into_iter().flatten());
        references.packs.sort_unstable();
        references.packs.dedup();
        let statistics =
            Statistics { stored_bytes: packer.stored_bytes(), new_bytes: packer.new_bytes(), ..outcome.statistics };
        let manifest = self.manifest(&history, outcome.root, statistics, outcome.warnings, segments);
        match self.repository.commit(&manifest, &references, superseded, &each_object)? {
            Commit::Again => Ok(None),
            Commit::Done { id, packs } => {
                packer.end();
                known::remember(self.repository, id, &packs);
                let root_tree = manifest.root_tree();
                let archive = Archive { id, manifest };
                self.repository.saw(&archive);
                let duration = self.watch.elapsed();
                Ok(Some(Created {
                    archive: Some(archive),
                    statistics,
                    root_tree,
                    unchanged_files: outcome.unchanged,
                    duration,
                }))
            }
        }
    }

    /// Runs the walk on a thread with a large stack, the workers in the pool.
    fn walk(&self, run: &Run<'_>, parent: Option<&Archive>, input: Option<Input>) -> Result<Entry> {
        let parent = parent.map(|archive| (archive.manifest.root_tree(), Some(archive.manifest.root_stamps)));
        let walked = std::thread::scope(|threads| {
            let walk = || {
                self.pool.in_place_scope(|workers| {
                    let walked = Walk::new(run, workers, threads, self.threads).root(self.paths, parent, input);
                    walked.map_err(|error| run.fail(error)).ok()
                })
            };
            // A large stack: directories may be thousands deep.
            let thread =
                std::thread::Builder::new().name("walk".to_owned()).stack_size(scan::STACK).spawn_scoped(threads, walk);
            let thread = thread.map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
            thread.join().map_err(|_| Error::Internal("the walk panicked".to_owned()))
        })?;
        match run.take_failure() {
            Some(error) => Err(error),
            None => walked.ok_or_else(|| Error::Internal("the walk ended without a root".to_owned())),
        }
    }

    fn manifest(
        &self,
        history: &History,
        root: Entry,
        statistics: Statistics,
        warnings: ObjectId,
        segments: Vec<FileId>,
    ) -> Manifest {
        let options = self.options;
        Manifest {
            root: root.node,
            root_xattrs: root.xattrs,
            root_stamps: root.stamps.unwrap_or_default(),
            repository: self.repository.id(),
            host: options.host.clone(),
            name: options.name.clone(),
            host_id: self.repository.host_id(),
            sequence: history.sequence.saturating_add(1),
            previous: history.previous,
            parent: history.parent.as_ref().map(|parent| parent.id),
            time: options.time.unwrap_or(self.start),
            start: self.start,
            end: clock::now(),
            utc_offset_seconds: options.utc_offset_seconds,
            user: options.user.clone(),
            comment: options.comment.clone(),
            program: options.program.clone(),
            paths: stored_paths(options),
            statistics,
            warnings,
            segments,
        }
    }
}

/// Texts that a manifest could not hold.
fn check_lengths(options: &CreateOptions) -> Result<()> {
    let texts = [
        ("host label", &options.host),
        ("NAME", &options.name),
        ("name of the user", &options.user),
        ("comment", &options.comment),
        ("name of the program", &options.program),
    ];
    let texts = texts.into_iter().map(|(what, text)| (what, text.len()));
    let paths = stored_paths(options);
    let lengths = texts.chain(paths.iter().map(|path| ("PATH", path.len()))).chain([("list of PATHs", paths.len())]);
    match lengths.into_iter().find(|(_, length)| *length > LONGEST) {
        Some((what, length)) => {
            Err(Error::Usage(format!("the {what} is too long: {length}, and {LONGEST} is the most")))
        }
        None => Ok(()),
    }
}

/// What a walk leaves for the manifest.
struct Outcome {
    root: Entry,
    statistics: Statistics,
    unchanged: u64,
    warnings: ObjectId,
    found: crate::repository::PackSet,
}

impl Outcome {
    fn of(run: &Run<'_>, mut root: Entry) -> Result<Self> {
        let tree = run.root()?;
        root.node.kind = NodeKind::Directory { tree: tree.tree };
        root.stamps = Some(tree.stamps);
        let warnings = run.warnings();
        let warnings = if warnings.is_empty() { ObjectId::zero() } else { run.put_meta(&encode_warnings(&warnings))? };
        Ok(Self {
            root,
            statistics: run.statistics(),
            unchanged: run.unchanged(),
            warnings,
            found: run.found.snapshot(),
        })
    }
}

fn stored_paths(options: &CreateOptions) -> Vec<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let mut paths: Vec<Vec<u8>> = options.paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    paths.extend(options.input_name.iter().map(|_| b"-".to_vec()));
    paths
}

/// The archives that came before.
#[derive(Debug, Default)]
struct History {
    parent: Option<Archive>,
    previous: Option<crate::id::ArchiveId>,
    sequence: u64,
    /// A series of another host with the same name and paths, while this host has none.
    same_elsewhere: Option<String>,
}

impl History {
    fn read(repository: &Repository, options: &CreateOptions, monitor: &dyn Monitor) -> Result<Self> {
        let archives = archives::list(repository, monitor)?;
        let paths = stored_paths(options);
        let newest = |matches: &dyn Fn(&Manifest) -> bool| {
            let matching = archives.iter().filter(|archive| matches(&archive.manifest));
            matching.max_by_key(|archive| (archive.manifest.sequence, archive.id))
        };
        let of_host = newest(&|manifest| manifest.host == options.host);
        let parent = newest(&|manifest| {
            let same_series = if options.moving_name { manifest.paths == paths } else { manifest.name == options.name };
            manifest.host == options.host && same_series
        });
        let elsewhere = newest(&|manifest| manifest.name == options.name && manifest.paths == paths);
        Ok(Self {
            parent: parent.cloned(),
            previous: of_host.map(|archive| archive.id),
            sequence: of_host.map_or(0, |archive| archive.manifest.sequence),
            same_elsewhere: elsewhere.filter(|_| of_host.is_none()).map(|archive| archive.manifest.series()),
        })
    }

    fn warn_of_new_label(&self, options: &CreateOptions, monitor: &dyn Monitor) {
        if let Some(series) = &self.same_elsewhere {
            let message = format!(
                "this host label ({}) is new here, but {series} has the same paths: everything is read again and prune sees another series; \
                 if it is the same volume (containers change their names), set VAULT_HOSTNAME",
                options.host
            );
            monitor.warning(b"", &message);
        }
    }
}
