//! What a simulated process does: the engine's own verbs, and what its user was told.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use vault_engine::chunker::ChunkerRequest;
use vault_engine::clock;
use vault_engine::compress::Compression;
use vault_engine::error::{Error, Result};
use vault_engine::id::ArchiveId;
use vault_engine::ops::archives::{self, Selector, Wanted};
use vault_engine::ops::compact::{CompactOptions, compact};
use vault_engine::ops::create::{CreateOptions, FilesCache, create};
use vault_engine::ops::delete::{DeleteOptions, delete};
use vault_engine::ops::protect::protect;
use vault_engine::ops::prune::{self as pruning, PruneOptions, Rules, prune};
use vault_engine::ops::restore::{RestoreOptions, restore};
use vault_engine::ops::undelete::undelete;
use vault_engine::pattern::PatternSet;
use vault_engine::progress::Silent;
use vault_engine::repository::{Archive, Repository};

use crate::protocol::Role;
use crate::scheduler::{Fate, Scheduler};
use crate::store::SimulatedStore;
use crate::universe::{ARCHIVED, Universe, read_tree, try_open};
use crate::world::Promises;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Archives a version as a series.
    Create { host: u8, name: String, version: usize },
    /// Restores one of the archives that are there.
    Restore { which: usize },
    /// Deletes one of them.
    Delete { which: usize },
    /// Brings one back that is deleted.
    Undelete { which: usize },
    /// Protects one.
    Protect { which: usize },
    /// Deletes what no rule keeps.
    Prune { rules: Rules },
    /// Frees space.
    Compact { host: u8, options: CompactOptions },
}

impl Task {
    /// What it is called.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Restore { .. } => "restore",
            Self::Delete { .. } => "delete",
            Self::Undelete { .. } => "undelete",
            Self::Protect { .. } => "protect",
            Self::Prune { .. } => "prune",
            Self::Compact { .. } => "compact",
        }
    }
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
    /// Its part in the protocol.
    pub(crate) fn role(&self) -> Role {
        match self.task {
            Task::Create { .. } | Task::Undelete { .. } => Role::Writer,
            Task::Restore { .. } | Task::Protect { .. } => Role::Reader,
            Task::Prune { .. } => Role::Prune,
            Task::Delete { .. } => Role::Delete,
            Task::Compact { .. } => Role::Compaction,
        }
    }

    /// Whether its `.del` marks are what its user wants.
    pub(crate) fn deletes(&self) -> bool {
        matches!(self.task, Task::Delete { .. } | Task::Prune { .. })
    }

    fn host(&self) -> u8 {
        match self.task {
            Task::Create { host, .. } | Task::Compact { host, .. } => host,
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
        self.scheduler.world(|world| world.begin(number));
        let store = Arc::new(SimulatedStore::new(Arc::clone(&self.scheduler), number, process.paged));
        let cache = process.cached.then(|| self.folder.join(format!("cache-{}", process.host())));
        let repository = try_open(store, cache, process.host())?;
        match &process.task {
            Task::Create { host, name, version } => {
                let options = create_options(&format!("host{host}"), name, *version);
                let created = create(&repository, &options, None, &Silent)?;
                self.promise(number, created.archive.expect("no dry run").id, *version);
                Ok(())
            }
            Task::Compact { options, .. } => compact(&repository, options, &Silent).map(drop),
            Task::Restore { which } => self.restore(number, process, &repository, *which),
            Task::Delete { which } => {
                let Some(archive) = one_of(&archives::list(&repository, &Silent)?, *which) else { return Ok(()) };
                let options = DeleteOptions { archives: vec![wanted(&archive)], ..DeleteOptions::default() };
                let deleted = delete(&repository, &options, &Silent)?;
                self.said(number, |promises| promises.deleted.extend(deleted.iter().map(|one| one.id)));
                Ok(())
            }
            Task::Undelete { which } => self.undelete(number, &repository, *which),
            Task::Protect { which } => {
                let Some(archive) = one_of(&archives::list(&repository, &Silent)?, *which) else { return Ok(()) };
                protect(&repository, &[wanted(&archive)], &Silent)?;
                self.said(number, |promises| promises.protected.extend([archive.id]));
                Ok(())
            }
            Task::Prune { rules } => self.prune(number, &repository, rules),
        }
    }

    /// The user was told that there is an archive.
    fn promise(&self, number: usize, archive: ArchiveId, version: usize) {
        if !self.scheduler.world(|world| world.actors[number].steps.may_succeed()) {
            self.wrong(format!("process {number} said too early that there is an archive"));
        }
        self.said(number, |promises| promises.made.extend([(archive, version)]));
    }

    /// What a process says when it is dead nobody hears.
    fn said(&self, number: usize, what: impl FnOnce(&mut Promises)) {
        if !self.scheduler.befell(number).0 {
            self.scheduler.world(|world| what(&mut world.promises));
        }
    }

    fn undelete(&self, number: usize, repository: &Repository, which: usize) -> Result<()> {
        let deleted = archives::list_deleted(repository, &Silent)?;
        let Some(archive) = one_of(&deleted, which) else { return Ok(()) };
        for undeleted in undelete(repository, &[wanted(&archive)], &Silent)? {
            match undeleted.archive {
                Some(new) => self.promise(number, new.id, version_of(&new)),
                // Its objects may have gone, with itself.
                None if self.scheduler.befell(number).1 => {}
                None => self.wrong(format!("process {number} missed something of a deleted archive that is there")),
            }
        }
        Ok(())
    }

    fn prune(&self, number: usize, repository: &Repository, rules: &Rules) -> Result<()> {
        let options = PruneOptions {
            series: Vec::new(),
            glob: None,
            group_by_name: false,
            rules: rules.clone(),
            zone: TimeZone::UTC,
            now: clock::now(),
            dry_run: false,
            allow_emptying: false,
        };
        let report = prune(repository, &options, &Silent)?;
        let ids = |wanted: fn(&pruning::Fate) -> bool| {
            report.archives.iter().filter(move |one| wanted(&one.fate)).map(|one| one.archive.id)
        };
        self.said(number, |promises| {
            promises.deleted.extend(ids(|fate| !fate.stays()));
            if report.pruned() > 0 {
                promises
                    .relied_on
                    .extend(ids(|fate| matches!(fate, pruning::Fate::Kept(_) | pruning::Fate::Protected)));
            }
        });
        Ok(())
    }

    fn restore(&self, number: usize, process: &Process, repository: &Repository, which: usize) -> Result<()> {
        let Some(archive) = one_of(&archives::list(repository, &Silent)?, which) else { return Ok(()) };
        let target = self.folder.join(&process.name);
        let options = RestoreOptions { target: target.clone(), jobs: Some(1), ..RestoreOptions::default() };
        let restored = restore(repository, &archive, &options, &Silent);
        let version = &self.universe.versions[version_of(&archive)];
        let found = read_tree(&target.join(ARCHIVED));
        let _ = fs::remove_dir_all(&target);
        let right = found.iter().all(|(name, entry)| version.files.get(name) == Some(entry));
        let whole = right && found.len() == version.files.len();
        let struck = self.scheduler.befell(number).1;
        match restored {
            Ok(restored) if restored.damaged == 0 && restored.warnings == 0 && !whole => {
                self.wrong(format!("{} restored aid:{} and not what was archived", process.name, archive.id));
            }
            Ok(restored) if restored.damaged > 0 && !struck => {
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
            // Others deleted what it needed, as often as it tried.
            (Task::Create { .. } | Task::Compact { .. }, Error::Overtaken { .. }) => true,
            (Task::Compact { .. }, Error::Incomplete { needed_by, .. }) => {
                self.scheduler.world(|world| world.may_miss(number, needed_by))
            }
            (Task::Create { .. } | Task::Compact { .. }, _) => false,
            // Somebody else deleted, purged or brought back what it had chosen.
            (_, Error::Archive(_)) => true,
            (Task::Delete { .. }, Error::Usage(_)) => self.scheduler.world(|world| world.has_events),
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
fn one_of(archives: &[Archive], which: usize) -> Option<Archive> {
    archives.get(which % archives.len().max(1)).cloned()
}

/// An archive by its full id.
pub(crate) fn wanted(archive: &Archive) -> Wanted {
    let id = archive.id.to_hex();
    Wanted { text: format!("aid:{id}"), selector: Selector::Id(id) }
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
        verify: vault_engine::format::verify::Verify::default(),
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
