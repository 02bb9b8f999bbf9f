//! `vault-bench`: vault beside its peers on the same data (docs/performance.md).

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use vault_benches::compare::{CompareOptions, compare};
use vault_benches::data::DataSet;
use vault_benches::pages::pages;
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
    /// Run a command and write what it cost to a file
    #[command(hide = true)]
    Measure {
        /// Where to write.
        result: PathBuf,
        /// What to run.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, clap::Args)]
struct CompareArgs {
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
    /// Write all numbers to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The program vault [default: beside this program, else on the path]
    #[arg(long, value_name = "PATH")]
    vault: Option<PathBuf>,
    /// Only these tools; may be given several times
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
    /// Little data, one run: does everything work?
    #[arg(long)]
    smoke: bool,
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
        Verb::Measure { result, command } => Ok(ExitCode::from(measure::measure_here(&result, &command)?)),
        Verb::Compare(arguments) => run_compare(arguments),
        Verb::Pages { first, second, scratch } => {
            let scratch = tempfile::Builder::new()
                .prefix("vault-bench-")
                .tempdir_in(scratch.unwrap_or_else(std::env::temp_dir))?;
            let (first, second) = (first.canonicalize()?, second.canonicalize()?);
            io::stdout().lock().write_all(pages(&first, &second, &scratch.path().canonicalize()?)?.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_compare(arguments: CompareArgs) -> Result<ExitCode> {
    let path: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let vault = arguments.vault.map(|path| path.canonicalize().with_context(|| format!("no {}", path.display())));
    let mut tools = tools::find(vault.transpose()?.as_deref(), &path);
    let wanted = |name: &str| arguments.tool.is_empty() || arguments.tool.iter().any(|wanted| wanted == name);
    tools.retain(|tool| wanted(tool.name) && !(arguments.smoke && tool.name == "borg zstd,1"));
    ensure!(!tools.is_empty(), "none of these tools is installed");
    ensure!(tools.iter().any(tools::Tool::is_vault) || !wanted("vault"), "no vault: build it, or name it by --vault");
    let scratch = arguments.scratch.unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let scratch = tempfile::Builder::new().prefix("vault-bench-").tempdir_in(&scratch)?;
    let smoke_sets = || vec![DataSet::Mixed, DataSet::Pages];
    let sets = match (arguments.data.is_empty(), arguments.smoke) {
        (false, _) => arguments.data,
        (true, true) => smoke_sets(),
        (true, false) => vec![DataSet::Mixed],
    };
    let (size, runs) = if arguments.smoke { (2, 1) } else { (arguments.size, arguments.runs) };
    let path = scratch.path().canonicalize()?;
    let report = compare(&CompareOptions { sets, size: size << 20, runs, scratch: path, tools })?;
    io::stdout().lock().write_all(report.tables().as_bytes())?;
    if let Some(file) = arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
