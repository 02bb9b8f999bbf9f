//! A repository's life: any sequence of changes, creates, prunes, deletions, returns, compactions, damages, repairs and kills,
//! against a plain copy of what each archive must hold.
//!
//! Whatever happens, no wrong byte is ever restored, and what could be restored before a step can be restored after it, but for what that
//! step deleted or damaged. While nothing is damaged that is every file of every archive that counts, and every step succeeds. While
//! something is, a step may refuse; once repaired, nothing refuses any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use tempfile::TempDir;
use vault_engine::error::Result;
use vault_engine::id::ArchiveId;
use vault_engine::meta::Timestamp;
use vault_engine::ops::archives::{self, Selector, Wanted};
use vault_engine::ops::check::Severity;
use vault_engine::ops::compact::{CompactOptions, compact};
use vault_engine::ops::create::{CreateOptions, create};
use vault_engine::ops::delete::{DeleteOptions, delete};
use vault_engine::ops::prune::{Count, Oldest, Period, PruneOptions, Rules, prune};
use vault_engine::ops::repair::{RepairOptions, repair};
use vault_engine::ops::undelete::undelete;
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{Fault, FaultMode, FaultyStore, Key, Kind, MemoryStore, Store};

use crate::sample::{self, Files, Readable, noise};

mod steps;

use steps::{Change, Damage, Do, Step, steps};

/// The repository, its source, and the plain copy.
struct Life {
    folder: TempDir,
    store: MemoryStore,
    /// Every archive that was ever made, with what it must hold.
    made: BTreeMap<ArchiveId, Files>,
    deleted: BTreeSet<ArchiveId>,
    readable: Readable,
    is_damaged: bool,
    /// Something was damaged at some time: what that harmed may be lacking for ever.
    has_losses: bool,
    /// Seconds since the first night.
    now: i64,
}

impl Life {
    fn new() -> Self {
        let life = Self {
            folder: TempDir::new().unwrap(),
            store: sample::memory(),
            made: BTreeMap::new(),
            deleted: BTreeSet::new(),
            readable: Readable::new(),
            is_damaged: false,
            has_losses: false,
            now: 0,
        };
        std::fs::create_dir(life.source()).unwrap();
        life
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn change(&self, change: Change) {
        let path = self.source().join(format!("file {}", change.file));
        match change.size {
            None => drop(std::fs::remove_file(path)),
            Some(size) if change.seed.is_multiple_of(3) => {
                std::fs::write(path, format!("{} words of text ", change.seed).repeat(size as usize / 16)).unwrap();
            }
            Some(size) => std::fs::write(path, noise(u64::from(change.seed), size as usize)).unwrap(),
        }
    }

    /// One step, cut off at an operation of the store if it is to be.
    fn step(&mut self, step: &Step) {
        self.now += 7 * 3600;
        if let Do::Change(changes) = &step.what {
            for change in changes {
                self.change(*change);
            }
            return;
        }
        if let Do::Damage(damage) = &step.what {
            self.damage(damage);
            return;
        }
        let faulty = FaultyStore::new(Arc::new(self.store.clone()));
        let done = sample::try_open(faulty.clone(), None).and_then(|repository| {
            if let Some((at, after)) = step.killed {
                let mode = if after { FaultMode::After } else { FaultMode::Before };
                faulty.inject(Fault { mode, ..Fault::crash(u64::from(at)) });
            }
            self.act(&repository, &step.what)
        });
        if let Err(error) = &done {
            assert!(faulty.is_crashed() || self.is_damaged, "{step:?}: {error}");
        }
        self.judge(&format!("{step:?}"));
        if matches!(step.what, Do::Repair) && done.is_ok() {
            self.assert_repaired();
        }
    }

    fn act(&mut self, repository: &Repository, what: &Do) -> Result<()> {
        match what {
            Do::Create { series } => {
                let options = CreateOptions {
                    name: format!("series {series}"),
                    time: Some(self.time()),
                    ..sample::options(&[&self.source()])
                };
                // An archive of which the run was told nothing may stand all the same: it is another with the same files.
                let id = create(repository, &options, None, &Silent)?.archive.map(|archive| archive.id);
                let files = sample::files(&self.source());
                self.add(id, files);
                Ok(())
            }
            Do::Prune { keep_last } => {
                self.deleting(|this| prune(repository, &this.keep_last(*keep_last), &Silent).map(drop))
            }
            Do::Delete { which } => {
                let wanted = self.pick(&archives::list(repository, &Silent)?, *which);
                let options = DeleteOptions { archives: wanted, ..DeleteOptions::default() };
                if options.archives.is_empty() {
                    return Ok(());
                }
                self.deleting(|_| delete(repository, &options, &Silent).map(drop))
            }
            Do::Undelete { which } => {
                let wanted = self.pick(&archives::list_deleted(repository, &Silent)?, *which);
                if wanted.is_empty() {
                    return Ok(());
                }
                for one in undelete(repository, &wanted, &Silent)? {
                    let files = self.made.get(&one.deleted.id).cloned().unwrap_or_default();
                    let id = one.archive.map(|archive| archive.id);
                    assert!(self.has_losses || id.is_some(), "{:?}", one.missing);
                    self.add(id, files);
                }
                Ok(())
            }
            Do::Compact { threshold } => {
                let options = CompactOptions {
                    threshold: *threshold,
                    grace: Duration::ZERO,
                    jobs: Some(2),
                    ..CompactOptions::default()
                };
                compact(repository, &options, &Silent).map(drop)
            }
            Do::Repair => {
                repair(repository, RepairOptions { from: None, dry_run: false, jobs: Some(2) }, &Silent).map(drop)
            }
            Do::Change(_) | Do::Damage(_) => Ok(()),
        }
    }

    /// Adds a new archive. All of it must be readable, if nothing is damaged; else what can be read now.
    fn add(&mut self, id: Option<ArchiveId>, files: Files) {
        let Some(id) = id else { return };
        let mut all: Readable = files.keys().map(|path| (id, path.clone())).collect();
        self.made.insert(id, files);
        if self.is_damaged {
            let now = self.everything_readable("a new archive");
            all.retain(|file| now.contains(file));
        }
        self.readable.append(&mut all);
    }

    /// Runs what puts marks, whether or not it is told of them: what was deleted is what is listed no more.
    fn deleting(&mut self, run: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let done = run(self);
        let marks = self.store.list(Kind::Archives).unwrap().into_iter();
        let marks: BTreeSet<String> =
            marks.filter_map(|file| file.name.strip_suffix(".del").map(str::to_owned)).collect();
        self.deleted.extend(self.made.keys().filter(|id| marks.contains(&id.to_hex())));
        self.readable.retain(|(id, _)| !self.deleted.contains(id));
        done
    }

    fn pick(&self, archives: &[archives::Archive], which: prop::sample::Index) -> Vec<Wanted> {
        let known: Vec<_> = archives.iter().filter(|archive| self.made.contains_key(&archive.id)).collect();
        let digits = known.get(which.index(known.len().max(1))).map(|archive| archive.id.to_hex());
        digits.into_iter().map(|id| Wanted { text: format!("aid:{id}"), selector: Selector::Id(id) }).collect()
    }

    fn time(&self) -> Timestamp {
        Timestamp { seconds: 1_790_000_000 + self.now, nanoseconds: 0 }
    }

    fn keep_last(&self, count: u32) -> PruneOptions {
        PruneOptions {
            series: Vec::new(),
            glob: None,
            group_by_name: false,
            rules: Rules { within: None, keep: vec![(Period::Last, Count::Of(count))], oldest: Oldest::default() },
            zone: TimeZone::UTC,
            now: self.time(),
            dry_run: false,
            allow_emptying: false,
        }
    }

    /// Something happens to a file. What it harms is nobody's fault.
    fn damage(&mut self, damage: &Damage) {
        let hit = |key: &Key| ![Kind::Config, Kind::Keys].contains(&key.kind());
        let files: Vec<Key> = self.store.files().into_iter().filter(hit).collect();
        let Some(key) = files.get(damage.which.index(files.len().max(1))) else { return };
        match damage.cut {
            _ if damage.gone => drop(self.store.remove_raw(key)),
            cut => drop(self.store.corrupt(key, |bytes| {
                let at = damage.at.index(bytes.len());
                if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << (at % 8) }
            })),
        }
        (self.is_damaged, self.has_losses) = (true, true);
        let now = self.everything_readable(&format!("{damage:?} of {key}"));
        self.readable.retain(|file| now.contains(file));
    }

    /// What comes back right; that something comes back wrong is never anybody's excuse.
    fn everything_readable(&self, what: &str) -> Readable {
        let mut readable = sample::readable(&self.store, &self.made, &self.source(), what);
        readable.retain(|(id, _)| !self.deleted.contains(id));
        readable
    }

    /// Nothing that could be read can be read no more.
    fn judge(&mut self, what: &str) {
        let now = self.everything_readable(what);
        let lost: Vec<_> = self.readable.difference(&now).collect();
        assert!(lost.is_empty(), "{what}: {lost:?}");
        if self.is_damaged {
            self.readable = now;
        }
    }

    /// Nothing is wrong but what is recorded as lost, so nothing has a reason to refuse any more.
    fn assert_repaired(&mut self) {
        let report = sample::check_data(&sample::open(self.store.clone()));
        let errors: Vec<_> = report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        self.is_damaged = false;
    }
}

fn live(steps: &[Step]) {
    let mut life = Life::new();
    let sure = |what: Do| Step { what, killed: None };
    for step in steps {
        life.step(step);
    }
    for last in [Do::Repair, Do::Create { series: 0 }, Do::Compact { threshold: 0 }, Do::Repair] {
        life.step(&sure(last));
    }
}

#[test]
fn whatever_happens_nothing_is_lost_but_what_was_deleted_or_damaged() {
    let factor = std::env::var("VAULT_TEST_FACTOR").ok().and_then(|factor| factor.parse::<u32>().ok()).unwrap_or(1);
    let settings = ProptestConfig {
        cases: 24 * factor,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(settings, |(steps in steps())| live(&steps));
}
