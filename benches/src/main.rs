//! `vault-bench`: vault beside its peers on the same data (docs/performance.md).

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use serde::Serialize;
use tempfile::TempDir;
use vault_benches::compare::{CompareOptions, compare};
use vault_benches::data::DataSet;
use vault_benches::index::{self, IndexOptions};
use vault_benches::limit::{LimitOptions, limit};
use vault_benches::pages::pages;
use vault_benches::retention::{self, RetentionOptions};
use vault_benches::tools::Tool;
use vault_benches::{measure, tools};

/// Measures vault and other archivers.
#[derive(Debug, Parser)]
#[command(name = "vault-bench", version)]
struct Cli {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run vault and every peer that is installed (borg, restic, rustic, bupstash) on the same data
    Compare(CompareArgs),
    /// How near create and check come to what their unavoidable work takes: its single-core time against the wall time of all cores
    Limit(DataArgs),
    /// A year of nights in vault, borg and restic, then the same keep rules: what forgetting costs
    Retention(RetentionArgs),
    /// What a repository of very many objects costs: a first archive of them, opening, look-ups, a small night
    Index(IndexArgs),
    /// What a night of a database adds, by page size, list split and compression: a table
    Pages {
        /// The folder as it was in the first night.
        first: PathBuf,
        /// And in the second.
        second: PathBuf,
        /// Where repositories are put for the time being [default: the system's temporary folder]
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
    },
    /// Open a repository, look objects up, and write what that cost
    #[command(hide = true)]
    LookUp {
        /// The repository.
        repository: PathBuf,
        /// What opens it.
        key_file: PathBuf,
        /// Where its index is kept.
        cache: PathBuf,
    },
    /// Write so many pages, each of which is there once
    #[command(hide = true)]
    NumberedPages {
        /// How many.
        count: u64,
    },
    /// Run a command and write what it cost to a file
    #[command(hide = true)]
    Measure {
        /// Where to write.
        result: PathBuf,
        /// The only core that it may use.
        #[arg(long, value_name = "CORE")]
        core: Option<usize>,
        /// Look at its private memory.
        #[arg(long)]
        private: bool,
        /// What to run.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

/// What every benchmark takes.
#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// Write all numbers to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The program vault [default: beside this program, else on the path]
    #[arg(long, value_name = "PATH")]
    vault: Option<PathBuf>,
    /// Little data, one run: does everything work?
    #[arg(long)]
    smoke: bool,
}

/// What to measure on, and where the numbers go.
#[derive(Debug, clap::Args)]
struct DataArgs {
    /// How often; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// mixed, vectors, pages, small, or a folder; may be given several times [default: mixed]
    #[arg(long, value_name = "DATA")]
    data: Vec<DataSet>,
    /// Size of the data that is made, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    size: u64,
    /// Where data, repositories and restored files are put for the time being [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

impl DataArgs {
    fn sets(&self) -> Vec<DataSet> {
        match (self.data.is_empty(), self.common.smoke) {
            (false, _) => self.data.clone(),
            (true, true) => vec![DataSet::Mixed, DataSet::Pages],
            (true, false) => vec![DataSet::Mixed],
        }
    }

    /// In bytes.
    fn size(&self) -> u64 {
        if self.common.smoke { 2 << 20 } else { self.size << 20 }
    }

    fn runs(&self) -> u32 {
        if self.common.smoke { 1 } else { self.runs }
    }

    fn scratch(&self) -> Result<TempDir> {
        scratch_in(&self.scratch.clone().unwrap_or_else(std::env::temp_dir))
    }
}

#[derive(Debug, clap::Args)]
struct CompareArgs {
    #[command(flatten)]
    on: DataArgs,
    /// Only these tools; may be given several times
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct IndexArgs {
    /// How many objects the large repository has; the small one has a hundredth of them
    #[arg(long, default_value_t = 20_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    objects: u64,
    /// How often to open; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// --memory of the archives that are made
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Where repositories are put for the time being; 20 million objects need 5 GB [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, clap::Args)]
struct RetentionArgs {
    /// Where repositories with all nights are made; they stay, and a run that was interrupted goes on with them
    #[arg(long, value_name = "DIR")]
    repositories: PathBuf,
    /// Where the volume is written; it stays [default: volume, beside the repositories]
    #[arg(long, value_name = "DIR")]
    volume: Option<PathBuf>,
    /// How many nights
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=4000))]
    nights: u32,
    /// How many files; one in a hundred changes in a night
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    files: u64,
    /// How often to measure; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Only make the repositories
    #[arg(long)]
    prepare: bool,
    /// Where copies are put for the time being [default: beside the repositories]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
    /// Only these tools (vault, borg, restic); may be given several times
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            writeln!(io::stderr().lock(), "vault-bench: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.verb {
        Verb::Measure { result, core, private, command } => {
            Ok(ExitCode::from(measure::measure_here(&result, core, private, &command)?))
        }
        Verb::LookUp { repository, key_file, cache } => {
            let opened = index::open_and_look_up(&repository, &key_file, &cache)?;
            serde_json::to_writer(io::stdout().lock(), &opened)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::NumberedPages { count } => {
            index::write_pages(count, io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Index(arguments) => run_index(arguments),
        Verb::Retention(arguments) => run_retention(arguments),
        Verb::Compare(arguments) => run_compare(arguments),
        Verb::Limit(arguments) => run_limit(arguments),
        Verb::Pages { first, second, scratch } => {
            let scratch = scratch_in(&scratch.unwrap_or_else(std::env::temp_dir))?;
            let (first, second) = (first.canonicalize()?, second.canonicalize()?);
            io::stdout().lock().write_all(pages(&first, &second, &scratch.path().canonicalize()?)?.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_compare(CompareArgs { on, tool }: CompareArgs) -> Result<ExitCode> {
    let mut tools = find_tools(on.common.vault.clone(), &tool)?;
    tools.retain(|tool| !(on.common.smoke && tool.name == "borg zstd,1"));
    let scratch = on.scratch()?;
    let path = scratch.path().canonicalize()?;
    let options = CompareOptions { sets: on.sets(), size: on.size(), runs: on.runs(), scratch: path, tools };
    let report = compare(&options)?;
    show(&report.tables(), &report, on.common.json)?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_limit(on: DataArgs) -> Result<ExitCode> {
    let vault = find_vault(on.common.vault.clone())?;
    let scratch = on.scratch()?;
    let path = scratch.path().canonicalize()?;
    let options = LimitOptions { sets: on.sets(), size: on.size(), runs: on.runs(), scratch: path, vault };
    let report = limit(&options)?;
    show(&report.tables(), &report, on.common.json)?;
    Ok(ExitCode::SUCCESS)
}

fn run_index(arguments: IndexArgs) -> Result<ExitCode> {
    let vault = find_vault(arguments.common.vault)?;
    let scratch = scratch_in(&arguments.scratch.unwrap_or_else(std::env::temp_dir))?;
    let path = scratch.path().canonicalize()?;
    let (objects, runs) = if arguments.common.smoke { (20_000, 1) } else { (arguments.objects, arguments.runs) };
    let options = IndexOptions { objects, runs, memory: arguments.memory, scratch: path, vault };
    let report = index::index(&options)?;
    show(&report.tables(), &report, arguments.common.json)?;
    Ok(ExitCode::SUCCESS)
}

fn find_vault(vault: Option<PathBuf>) -> Result<Tool> {
    find_tools(vault, &["vault".to_owned()])?.into_iter().next().context("no vault")
}

/// vault and its peers, those of them that the options name.
fn find_tools(vault: Option<PathBuf>, names: &[String]) -> Result<Vec<Tool>> {
    let path: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let vault = vault.map(|path| path.canonicalize().with_context(|| format!("no {}", path.display())));
    let mut tools = tools::find(vault.transpose()?.as_deref(), &path);
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    tools.retain(|tool| wanted(tool.name));
    ensure!(!tools.is_empty(), "none of these tools is installed");
    ensure!(tools.iter().any(Tool::is_vault) || !wanted("vault"), "no vault: build it, or name it by --vault");
    Ok(tools)
}

/// A folder that goes with what is returned.
fn scratch_in(folder: &Path) -> Result<TempDir> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(tempfile::Builder::new().prefix("vault-bench-").tempdir_in(folder)?)
}

fn show(tables: &str, report: &impl Serialize, json: Option<PathBuf>) -> Result<()> {
    io::stdout().lock().write_all(tables.as_bytes())?;
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(report)?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn run_retention(arguments: RetentionArgs) -> Result<ExitCode> {
    let mut tools = find_tools(arguments.common.vault, &arguments.tool)?;
    tools.retain(|tool| retention::NAMES.contains(&tool.name));
    let folder = arguments.repositories;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let repositories = folder.canonicalize()?;
    let scratch = scratch_in(&arguments.scratch.unwrap_or_else(|| repositories.clone()))?;
    let (nights, files, runs) =
        if arguments.common.smoke { (20, 300, 1) } else { (arguments.nights, arguments.files, arguments.runs) };
    let volume = match arguments.volume {
        Some(volume) => std::path::absolute(volume)?,
        None => repositories.join("volume"),
    };
    let scratch_path = scratch.path().canonicalize()?;
    let options = RetentionOptions { files, nights, volume, repositories, scratch: scratch_path, runs, tools };
    retention::prepare(&options)?;
    if arguments.prepare {
        return Ok(ExitCode::SUCCESS);
    }
    let report = retention::retention(&options)?;
    show(&report.tables(), &report, arguments.common.json)?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
