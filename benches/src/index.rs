//! What a repository of very many objects costs: a first archive of them, opening it again, looking objects up, a small night.
//!
//! The objects are pages of a stream, each a number and zeros, so that next to nothing but ids has to be stored of them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use vault_engine::clock::Stopwatch;
use vault_engine::id::ObjectId;
use vault_engine::repository::{Index, OpenOptions, Repository, Secret};
use vault_engine::store::LocalStore;

use crate::data;
use crate::measure::{Cost, Invocation, Neighbours, measure, private_bytes};
use crate::random::Random;
use crate::report::{Machine, QUIET, median, mib};
use crate::say;
use crate::tools::{Place, Step, Tool, with_key_file};

/// Bytes of a page: those of the smallest pages that databases have.
const PAGE: usize = 4096;
/// Most objects that are looked up.
const LOOK_UPS: usize = 1_000_000;
/// The small repository has one in so many of the objects.
const SMALL: u64 = 100;

/// What to measure.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// How many objects the large repository has.
    pub objects: u64,
    /// How often repositories are opened; medians are shown.
    pub runs: u32,
    /// `--memory` of every command, if it is to have one.
    pub memory: Option<String>,
    /// A folder that is empty and that the caller removes.
    pub scratch: PathBuf,
    /// The program.
    pub vault: Tool,
}

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub struct IndexReport {
    /// Processor, cores, memory, kernel.
    pub machine: Machine,
    /// What `vault --version` says.
    pub vault: String,
    /// The share of the processors that other processes had meanwhile.
    pub neighbours: Option<f64>,
    /// The small repository, then the large one.
    pub sizes: Vec<Size>,
}

/// A repository of one size.
#[derive(Clone, Debug, Serialize)]
pub struct Size {
    /// All files of the repository.
    pub repository_bytes: u64,
    /// All files of the cache that the program keeps.
    pub cache_bytes: u64,
    /// The archive that put all objects.
    pub create: Cost,
    /// An archive of one small file, after it.
    pub night: Cost,
    /// Opening repository and index with a cache that has nothing, from start to the first look-up.
    pub open_cold_seconds: f64,
    /// The same with the cache that this has made.
    pub open_warm_seconds: f64,
    /// With that cache, in a process of its own.
    pub opened: Opened,
}

/// What one process saw that opened a repository and looked objects up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Opened {
    /// Entries of its index.
    pub entries: u64,
    /// Opening repository and index, to the first look-up.
    pub seconds: f64,
    /// Private memory that it has more than before.
    pub private_bytes: u64,
    /// The same after the look-ups.
    pub used_private_bytes: u64,
    /// Objects that are there, looked up in a second on one core, when most pages of the index are met for the first time and checked.
    pub first_per_second: f64,
    /// The same objects once more.
    pub found_per_second: f64,
    /// Objects that are not there.
    pub absent_per_second: f64,
    /// Objects that are there, on all cores.
    pub found_per_second_all_cores: f64,
}

/// Measures a small and a large repository; says on standard error what it is doing.
///
/// # Errors
/// The program failed, or a repository cannot be opened.
pub fn index(options: &IndexOptions) -> Result<IndexReport> {
    let neighbours = Neighbours::watch();
    let sizes = [options.objects.div_ceil(SMALL), options.objects].map(|objects| size(options, objects));
    let sizes = sizes.into_iter().collect::<Result<_>>()?;
    let vault = options.vault.version.clone();
    Ok(IndexReport { machine: Machine::here(), vault, neighbours: neighbours.share(), sizes })
}

/// Writes so many pages, each of which is there once: what `vault create` reads.
///
/// # Errors
/// Nobody reads them.
pub fn write_pages(count: u64, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let zeros = [0; PAGE - 8];
    for number in 1..=count {
        out.write_all(&number.to_le_bytes())?;
        out.write_all(&zeros)?;
    }
    out.flush()
}

fn size(options: &IndexOptions, objects: u64) -> Result<Size> {
    let folder = options.scratch.join(objects.to_string());
    let volume = folder.join("volume");
    fs::create_dir_all(&volume)?;
    fs::write(volume.join("small"), "a small file")?;
    let place = Place::below(&folder, &volume);
    fs::create_dir_all(&place.home)?;
    let trial = Trial { options, folder: &folder, place: &place };
    trial.run(Step::Init, None)?;
    say(&format!("{objects} objects: the first archive"));
    let create = trial.run(Step::Create, Some(objects))?;
    let night = trial.run(Step::Night, None)?;
    say(&format!("{objects} objects: opening"));
    let cache = folder.join("cache");
    let cold = trial.open(&cache)?;
    let warm = (0..options.runs).map(|_| trial.open(&cache)).collect::<Result<Vec<_>>>()?;
    ensure!(cold.entries >= objects, "the index has {} entries of {objects} objects", cold.entries);
    let size = Size {
        repository_bytes: data::count(&place.repository)?.1,
        cache_bytes: data::count(&place.home)?.1,
        create,
        night,
        open_cold_seconds: cold.seconds,
        open_warm_seconds: median(warm.iter().map(|opened| opened.seconds).collect()).unwrap_or(f64::NAN),
        opened: *warm.last().context("no run")?,
    };
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(size)
}

/// In a process of its own, so that nothing that went before is in its memory.
///
/// # Errors
/// The repository cannot be opened, or an object is not where it should be.
pub fn open_and_look_up(repository: &Path, key_file: &Path, cache: &Path) -> Result<Opened> {
    let private = || private_bytes("self").context("the kernel does not tell what memory is private");
    let open = || open(repository, key_file, cache);
    let before = private()?;
    let (seconds, index) = timed(open)?;
    let opened = private()?.saturating_sub(before);
    let (there, absent) = ids(&index)?;
    // What the sampling has met and checked must be met again.
    drop(index);
    let index = open()?;
    let sampled = private()?;
    let first_per_second = look_ups(&index, &there, true)?;
    let found_per_second = look_ups(&index, &there, true)?;
    let absent_per_second = look_ups(&index, &absent, false)?;
    let used = private()?.saturating_sub(sampled);
    Ok(Opened {
        entries: index.entry_count(),
        seconds,
        private_bytes: opened,
        used_private_bytes: opened + used,
        first_per_second,
        found_per_second,
        absent_per_second,
        found_per_second_all_cores: look_ups_on_all_cores(&index, &there)?,
    })
}

/// One repository with a key file.
struct Trial<'a> {
    options: &'a IndexOptions,
    folder: &'a Path,
    place: &'a Place,
}

impl Trial<'_> {
    /// A step of the program; of a stream of so many pages instead of the volume.
    fn run(&self, step: Step, pages: Option<u64>) -> Result<Cost> {
        let Self { options, place, .. } = self;
        let mut invocation = if let Some(count) = pages {
            self.stream(count)
        } else {
            let invocations = options.vault.invocations(step, Step::Create, place);
            invocations.into_iter().next().context("vault has no such step")?
        };
        if step != Step::Init {
            invocation.command.extend(options.memory.iter().flat_map(|size| ["--memory".into(), size.into()]));
        }
        invocation.private = true;
        with_key_file(&mut invocation.environment, &place.home);
        measure(&invocation, &self.folder.join("log"))
    }

    fn open(&self, cache: &Path) -> Result<Opened> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let key_file = self.place.home.join("vault.key");
        let arguments = [self.place.repository.as_path(), &key_file, cache];
        let output = Command::new(program).arg("look-up").args(arguments).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "looking objects up failed: {}", output.status);
        serde_json::from_slice(&output.stdout).context("it wrote something else")
    }

    fn stream(&self, pages: u64) -> Invocation {
        let (vault, place) = (&self.options.vault, self.place);
        let mut command: Vec<OsString> = vec![vault.program().into(), "-r".into(), (&place.repository).into()];
        command.extend(["create", "stream", "-", "--chunker-params"].map(OsString::from));
        command.push(format!("fixed,{PAGE}").into());
        Invocation {
            command,
            environment: vault.environment(&place.repository, &place.home),
            folder: place.home.clone(),
            core: None,
            private: false,
            input: Some(vec!["numbered-pages".into(), pages.to_string().into()]),
        }
    }
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let watch = Stopwatch::start();
    let done = work()?;
    Ok((watch.elapsed().as_secs_f64(), done))
}

fn open(repository: &Path, key_file: &Path, cache: &Path) -> Result<Index> {
    let key = fs::read(key_file)?;
    let options = OpenOptions {
        secrets: vec![Secret::KeyFile(key.into())],
        cache_dir: Some(cache.to_owned()),
        ..OpenOptions::default()
    };
    let repository = Repository::open(Arc::new(LocalStore::open(repository)?), options)?;
    let index = repository.load_index()?;
    index.good(&ObjectId::zero());
    Ok(index)
}

/// Ids that the index has, and as many that it has not, in no order.
fn ids(index: &Index) -> Result<(Vec<ObjectId>, Vec<ObjectId>)> {
    let every = index.slots().div_ceil(LOOK_UPS).max(1);
    let mut there = Vec::with_capacity(LOOK_UPS);
    let mut number = 0;
    index.scan(&mut |object| {
        number += 1;
        if number % every == 0 {
            there.push(object.id);
        }
        Ok(())
    })?;
    let mut random = Random::new(1);
    for at in (1..there.len()).rev() {
        there.swap(at, random.below(at + 1));
    }
    let absent = there.iter().map(|_| {
        let mut id = [0; 32];
        random.fill(&mut id);
        ObjectId::from_bytes(id)
    });
    let absent = absent.collect();
    Ok((there, absent))
}

/// How many of these it looks up in a second; each of them is there, or none.
fn look_ups(index: &Index, ids: &[ObjectId], there: bool) -> Result<f64> {
    let (seconds, found) = timed(|| Ok(ids.iter().filter(|id| index.good(id).is_some()).count()))?;
    let wanted = if there { ids.len() } else { 0 };
    ensure!(found == wanted, "{found} of {} objects were found instead of {wanted}", ids.len());
    Ok(per_second(ids.len(), seconds))
}

fn look_ups_on_all_cores(index: &Index, ids: &[ObjectId]) -> Result<f64> {
    let cores = std::thread::available_parallelism()?.get();
    let share = ids.len().div_ceil(cores).max(1);
    let (seconds, ()) = timed(|| {
        std::thread::scope(|scope| {
            let look_up = |ids| scope.spawn(move || look_ups(index, ids, true).map(drop));
            let threads: Vec<_> = ids.chunks(share).map(look_up).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
        })
    })?;
    Ok(per_second(ids.len(), seconds))
}

fn per_second(count: usize, seconds: f64) -> f64 {
    u32::try_from(count).map_or(f64::NAN, f64::from) / seconds
}

impl IndexReport {
    /// A table in Markdown, one column a repository.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let Machine { processor, cores, memory_kib, kernel } = &self.machine;
        // Writing to a string does not fail.
        let _ = writeln!(out, "{processor}, {cores} cores, {} GiB, Linux {kernel}; {}", memory_kib >> 20, self.vault);
        if let Some(share) = self.neighbours {
            let noisy = if share > QUIET { ": **do not trust the times**" } else { "" };
            let _ = writeln!(out, "\nOther processes had {:.0} % of the processors meanwhile{noisy}.", share * 100.0);
        }
        let _ = writeln!(out, "\n| | small | large |\n|---|--:|--:|");
        let mut row = |name: &str, value: &dyn Fn(&Size) -> String| {
            let cells: Vec<String> = self.sizes.iter().map(value).collect();
            let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
        };
        row("objects in the index", &|size| size.opened.entries.to_string());
        row("repository, MiB", &|size| format!("{:.0}", mib(size.repository_bytes)));
        row("local cache, MiB", &|size| format!("{:.0}", mib(size.cache_bytes)));
        row("first archive: wall s", &|size| format!("{:.1}", size.create.wall_seconds));
        row("first archive: processor s", &|size| format!("{:.1}", size.create.cpu_seconds));
        row("first archive: private memory, MiB", &|size| format!("{:.0}", mib(size.create.private_bytes)));
        row("a small night: wall s", &|size| format!("{:.2}", size.night.wall_seconds));
        row("opening, nothing in the cache: s", &|size| format!("{:.2}", size.open_cold_seconds));
        row("opening, warm: s", &|size| format!("{:.3}", size.open_warm_seconds));
        row("opening: private memory, MiB", &|size| format!("{:.1}", mib(size.opened.private_bytes)));
        row("the same after all look-ups, MiB", &|size| format!("{:.1}", mib(size.opened.used_private_bytes)));
        row("look-ups a second, there, for the first time", &|size| format!("{:.0}", size.opened.first_per_second));
        row("look-ups a second, there", &|size| format!("{:.0}", size.opened.found_per_second));
        row("look-ups a second, not there", &|size| format!("{:.0}", size.opened.absent_per_second));
        row("look-ups a second, there, all cores", &|size| format!("{:.0}", size.opened.found_per_second_all_cores));
        out
    }
}
