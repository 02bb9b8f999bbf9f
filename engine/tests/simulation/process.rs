//! What a simulated process does: the engine's own verbs, and what its user was told.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use vault_engine::chunker::ChunkerRequest;
use vault_engine::compress::Compression;
use vault_engine::error::{ArchiveProblem, Error, Result};
use vault_engine::format::mark::Mark;
use vault_engine::ops::archives;
use vault_engine::ops::create::{CreateOptions, FilesCache, create};
use vault_engine::ops::restore::{RestoreOptions, restore};
use vault_engine::pattern::PatternSet;
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, Repository};
use vault_engine::store::{Key, Store};

use crate::scheduler::{Fate, Scheduler};
use crate::store::SimulatedStore;
use crate::universe::{ARCHIVED, Universe, read_tree, try_open};

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Archives a version as a series.
    Create { host: u8, name: String, version: usize },
    /// Restores one of the archives that are there.
    Restore { which: usize },
    /// Deletes one of them.
    Delete { which: usize },
}

/// A process of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) task: Task,
    pub(crate) fate: Fate,
    /// It keeps a cache, which others on its host share.
    pub(crate) cached: bool,
    /// Its listings take a while.
    pub(crate) paged: bool,
}

impl Process {
    /// Whether its `.del` marks are what its user wants.
    pub(crate) fn deletes(&self) -> bool {
        matches!(self.task, Task::Delete { .. })
    }

    fn host(&self) -> u8 {
        match self.task {
            Task::Create { host, .. } => host,
            _ => 9,
        }
    }
}

/// What running a process needs.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) universe: Arc<Universe>,
    pub(crate) scheduler: Arc<Scheduler>,
    /// Where this seed keeps caches and restores.
    pub(crate) folder: PathBuf,
}

impl Runner {
    /// A process from its first turn to its end.
    pub(crate) fn run(&self, number: usize, process: &Process) {
        self.scheduler.enter(number);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            pool.install(|| self.perform(number, process))
        }));
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failed(number, process, &error),
            Err(_) => self.wrong(format!("{} panicked", process.name)),
        }
        self.scheduler.leave(number);
    }

    fn perform(&self, number: usize, process: &Process) -> Result<()> {
        let store = Arc::new(SimulatedStore::new(Arc::clone(&self.scheduler), number, process.paged));
        let cache = process.cached.then(|| self.folder.join(format!("cache-{}", process.host())));
        let repository = try_open(Arc::clone(&store) as Arc<dyn Store>, cache, process.host())?;
        match &process.task {
            Task::Create { host, name, version } => {
                let options = create_options(&format!("host{host}"), name, *version);
                let created = create(&repository, &options, None, &Silent)?;
                self.promise(number, &created.archive.expect("no dry run"), *version);
                Ok(())
            }
            Task::Restore { which } => self.restore(number, process, &repository, *which),
            Task::Delete { which } => {
                let Some(archive) = one_of(&repository, *which)? else { return Ok(()) };
                store.put(&Key::deleted_mark(archive.id), &Mark::Deleted.encode(archive.id))?;
                if !self.scheduler.befell(number).0 {
                    self.scheduler.world(|world| world.promises.deleted.insert(archive.id));
                }
                Ok(())
            }
        }
    }

    /// The user was told that there is an archive.
    fn promise(&self, number: usize, archive: &Archive, version: usize) {
        if !self.scheduler.befell(number).0 {
            self.scheduler.world(|world| world.promises.made.insert(archive.id, version));
        }
    }

    fn restore(&self, number: usize, process: &Process, repository: &Repository, which: usize) -> Result<()> {
        let Some(archive) = one_of(repository, which)? else { return Ok(()) };
        let target = self.folder.join(&process.name);
        let options = RestoreOptions { target: target.clone(), jobs: Some(1), ..RestoreOptions::default() };
        let restored = restore(repository, &archive, &options, &Silent);
        let version = &self.universe.versions[version_of(&archive)];
        let found = read_tree(&target.join(ARCHIVED));
        let _ = fs::remove_dir_all(&target);
        let right = found.iter().all(|(name, entry)| version.files.get(name) == Some(entry));
        let whole = right && found.len() == version.files.len();
        let is_deleted = self.scheduler.world(|world| world.promises.condemned.contains(&archive.id));
        let struck = self.scheduler.befell(number).1;
        match restored {
            Ok(restored) if restored.damaged == 0 && restored.warnings == 0 && !whole => {
                self.wrong(format!("{} restored aid:{} and not what was archived", process.name, archive.id));
            }
            // Attributes come last, so what a restore that failed leaves need not have them.
            Ok(restored) if restored.damaged > 0 && !is_deleted && !struck => {
                self.wrong(format!("{} missed {} files of aid:{}", process.name, restored.damaged, archive.id));
            }
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// An error must have a reason: the store's, or what others did.
    fn failed(&self, number: usize, process: &Process, error: &Error) {
        if self.scheduler.befell(number).1 {
            return;
        }
        let explained = match (&process.task, error) {
            // Objects were lost three times.
            (Task::Create { .. }, Error::Damaged { file, .. }) => file == "packs/",
            (_, Error::Archive(ArchiveProblem::Deleted(_))) => true,
            (Task::Restore { .. }, _) => self.scheduler.world(|world| !world.promises.condemned.is_empty()),
            _ => false,
        };
        if !explained {
            self.wrong(format!("{} failed without a reason: {error}", process.name));
        }
    }

    fn wrong(&self, what: String) {
        self.scheduler.world(|world| world.wrong.push(what));
    }
}

/// One of the archives that are there, if there is any.
fn one_of(repository: &Repository, which: usize) -> Result<Option<Archive>> {
    let archives = archives::list(repository, &Silent)?;
    Ok(if archives.is_empty() { None } else { archives.get(which % archives.len()).cloned() })
}

/// The version that an archive is of: it says so itself.
pub(crate) fn version_of(archive: &Archive) -> usize {
    archive.manifest.comment.parse().expect("every archive has the number of its version as comment")
}

/// How a version is archived.
pub(crate) fn create_options(host: &str, name: &str, version: usize) -> CreateOptions {
    CreateOptions {
        host: host.to_owned(),
        name: name.to_owned(),
        moving_name: false,
        paths: vec![PathBuf::from(ARCHIVED)],
        input_name: None,
        compression: Compression::default(),
        chunker: ChunkerRequest::Auto,
        one_file_system: false,
        excludes: PatternSet::new(),
        exclude_caches: false,
        exclude_if_present: Vec::new(),
        skip: Vec::new(),
        files_cache: FilesCache::default(),
        time: None,
        utc_offset_seconds: 0,
        user: "user".to_owned(),
        comment: version.to_string(),
        program: "vault test".to_owned(),
        dry_run: false,
        jobs: Some(1),
    }
}
