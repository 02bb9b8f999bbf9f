//! What a repository of very many objects costs: a first archive of them, opening it again, looking objects up, a small night.
//!
//! The objects are pages of a stream, each a number and zeros, so that next to nothing but ids has to be stored of them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use vault_engine::clock::Stopwatch;
use vault_engine::id::ObjectId;
use vault_engine::repository::{Index, OpenOptions, Repository, Secret};
use vault_engine::store::LocalStore;

use crate::measure::{Cost, Invocation, Neighbours, measure, private_bytes};
use crate::random::Random;
use crate::report::{Machine, QUIET, median, mib};
use crate::say;
use crate::tools::{Place, Step, Tool, with_key_file};

/// Bytes of a page: the smallest that `--chunker-params fixed` takes.
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
    /// Entries of its index.
    pub entries: u64,
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
    /// Private memory that an open repository and its index have more than before.
    pub open_private_bytes: u64,
    /// The same after the look-ups.
    pub used_private_bytes: u64,
    /// Objects that are there, looked up in a second on one core.
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
    let open_cold_seconds = timed(|| open(&place, &cache))?.0;
    let mut warm = Vec::new();
    for _ in 0..options.runs {
        warm.push(timed(|| open(&place, &cache))?.0);
    }
    let before = private_bytes("self").unwrap_or(0);
    let (_, index) = timed(|| open(&place, &cache))?;
    let open_private_bytes = private_bytes("self").unwrap_or(0).saturating_sub(before);
    let (there, absent) = ids(&index)?;
    let sampled = private_bytes("self").unwrap_or(0);
    let found_per_second = look_ups(&index, &there, true)?;
    let absent_per_second = look_ups(&index, &absent, false)?;
    let used = private_bytes("self").unwrap_or(0).saturating_sub(sampled);
    let found_per_second_all_cores = look_ups_on_all_cores(&index, &there)?;
    let size = Size {
        entries: index.entry_count(),
        repository_bytes: bytes_below(&place.repository)?,
        cache_bytes: bytes_below(&place.home)?,
        create,
        night,
        open_cold_seconds,
        open_warm_seconds: median(warm).unwrap_or(f64::NAN),
        open_private_bytes,
        used_private_bytes: open_private_bytes + used,
        found_per_second,
        absent_per_second,
        found_per_second_all_cores,
    };
    drop(index);
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(size)
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
        with_key_file(&mut invocation.environment, &place.home);
        measure(&invocation, &self.folder.join("log"))
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
            input: Some(vec!["numbered-pages".into(), pages.to_string().into()]),
        }
    }
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let watch = Stopwatch::start();
    let done = work()?;
    Ok((watch.elapsed().as_secs_f64(), done))
}

fn open(place: &Place, cache: &Path) -> Result<Index> {
    let key = fs::read(place.home.join("vault.key"))?;
    let options = OpenOptions {
        secrets: vec![Secret::KeyFile(key.into())],
        cache_dir: Some(cache.to_owned()),
        ..OpenOptions::default()
    };
    let repository = Repository::open(Arc::new(LocalStore::open(&place.repository)?), options)?;
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
    if found != wanted {
        return Err(anyhow!("{found} of {} objects were found instead of {wanted}", ids.len()));
    }
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

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
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
        row("objects in the index", &|size| size.entries.to_string());
        row("repository, MiB", &|size| format!("{:.0}", mib(size.repository_bytes)));
        row("local cache, MiB", &|size| format!("{:.0}", mib(size.cache_bytes)));
        row("first archive: wall s", &|size| format!("{:.1}", size.create.wall_seconds));
        row("first archive: processor s", &|size| format!("{:.1}", size.create.cpu_seconds));
        row("first archive: private memory, MiB", &|size| format!("{:.0}", mib(size.create.private_bytes)));
        row("a small night: wall s", &|size| format!("{:.2}", size.night.wall_seconds));
        row("a small night: private memory, MiB", &|size| format!("{:.0}", mib(size.night.private_bytes)));
        row("opening, nothing in the cache: s", &|size| format!("{:.2}", size.open_cold_seconds));
        row("opening, warm: s", &|size| format!("{:.3}", size.open_warm_seconds));
        row("opening: private memory, MiB", &|size| format!("{:.1}", mib(size.open_private_bytes)));
        row("the same after all look-ups, MiB", &|size| format!("{:.1}", mib(size.used_private_bytes)));
        row("look-ups a second, there", &|size| format!("{:.0}", size.found_per_second));
        row("look-ups a second, not there", &|size| format!("{:.0}", size.absent_per_second));
        row("look-ups a second, there, all cores", &|size| format!("{:.0}", size.found_per_second_all_cores));
        out
    }
}
