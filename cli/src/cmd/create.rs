//! `vault create`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vault_engine::memory::Need;
use vault_engine::ops::create::{self, CreateOptions, Created, Input};
use vault_engine::pattern::{PatternSet, Style};
use vault_engine::progress::Monitor;
use vault_engine::repository::Repository;

use crate::args::CreateArgs;
use crate::exit::{Exit, usage};
use crate::location::{self, split_address};
use crate::out::{self, Out};
use crate::placeholders::{self, Values};
use crate::progress::{Console, Show};
use crate::session::{self, Caller, Purpose};
use crate::state::Memory;
use crate::stdin::Patient;
use crate::{json, name, render, time};

/// What the output needs of the arguments after they became options.
struct Output {
    show: Show,
    stats: bool,
    json: bool,
}

/// Makes an archive.
pub(super) fn run(caller: Caller<'_>, args: CreateArgs) -> Result<Exit> {
    let place = caller.place(split_address(&args.name).0)?;
    let output = Output {
        show: Show { verbose: caller.common.verbose, list: args.list, progress: args.progress },
        stats: args.stats,
        json: args.json,
    };
    let makes_repository = args.init && !args.dry_run;
    // Everything the user can get wrong is looked at before a repository is made.
    let options = options(args)?;
    let repository = if makes_repository && !session::exists(&place)? {
        caller.init_and_open(&place)?
    } else {
        caller.open(&place, Purpose::Write)?
    };

    let options = CreateOptions { skip: own_folders(&place.path, repository.cache_dir()), ..options };
    let console = Console::new(output.show, caller.signals);
    let input = options.input_name.is_some().then(|| -> Input { Box::new(Patient::new(caller.signals.clone())) });
    let memory = Memory::recall(&repository, &console);
    let created = create::create(&repository, &options, input, &console)?;
    repository.gone().iter().for_each(|gone| console.warning(b"", &gone.to_string()));
    memory.keep_or_warn(&repository, &console);
    let warnings = created.statistics.warnings.max(console.warnings());
    drop(console);

    out::ended(print(&repository, &options, &created, &output), Exit::with_warnings(warnings))
}

fn print(repository: &Repository, options: &CreateOptions, created: &Created, output: &Output) -> Result<()> {
    let mut out = Out::new();
    if output.json {
        out.json(&json::CreateJson::of(repository, created, options.dry_run))?;
    } else if output.stats {
        show_stats(&mut out, repository, options, created)?;
    }
    out.finish()
}

/// The repository and its caches are not archived into themselves.
fn own_folders(repository: &Path, cache: Option<&PathBuf>) -> Vec<(u64, u64)> {
    let folders = std::iter::once(repository).chain(cache.map(PathBuf::as_path));
    folders.filter_map(|path| path.metadata().ok()).map(|found| (found.dev(), found.ino())).collect()
}

fn options(args: CreateArgs) -> Result<CreateOptions> {
    let excludes = excludes(&args)?;
    let host = location::host_label(args.hostname.as_deref())?;
    let user = location::user_name();
    let now = time::now();
    let utc_offset_now = now.offset().seconds();
    let values = Values { now, hostname: host.clone(), user: user.clone() };

    let template = split_address(&args.name).1.to_str().ok_or_else(|| usage("NAME is not UTF-8"))?;
    let expanded = placeholders::expand(template, &values)?;
    name::check_name(&expanded.text)?;
    let comment = placeholders::expand(&args.comment, &values).context("--comment")?.text;

    let moment = args.timestamp.as_deref().map(time::parse_moment).transpose().context("--timestamp")?;
    if let (Some(moment), Some(text)) = (moment.filter(|moment| moment.naive), &args.timestamp) {
        let meant = time::rfc3339(moment.time, moment.utc_offset_seconds).unwrap_or_default();
        crate::say(&format!("vault: note: --timestamp {text} has no offset; local time is meant: {meant}"));
    }
    let reads_stdin = args.paths.iter().any(|path| path == Path::new("-"));
    if reads_stdin && args.stdin_name.is_empty() {
        return Err(usage("--stdin-name is empty"));
    }
    Ok(CreateOptions {
        host,
        name: expanded.text,
        moving_name: expanded.moving,
        paths: args.paths.into_iter().filter(|path| path != Path::new("-")).collect(),
        input_name: reads_stdin.then(|| args.stdin_name.into_vec()),
        compression: args.compression.unwrap_or_default(),
        verify: args.verify,
        chunker: args.chunker_params.unwrap_or_default(),
        one_file_system: args.one_file_system,
        excludes,
        exclude_caches: args.exclude_caches,
        exclude_if_present: args.exclude_if_present.into_iter().map(OsStringExt::into_vec).collect(),
        skip: Vec::new(),
        files_cache: args.files_cache,
        time: moment.map(|moment| moment.time),
        utc_offset_seconds: moment.map_or(utc_offset_now, |moment| moment.utc_offset_seconds),
        user,
        comment,
        program: format!("vault {}", env!("CARGO_PKG_VERSION")),
        dry_run: args.dry_run,
        jobs: args.workers.count(Need::WRITE)?,
    })
}

fn excludes(args: &CreateArgs) -> Result<PatternSet> {
    let mut set = PatternSet::new();
    for pattern in &args.exclude {
        set.add(Style::Fnmatch, pattern.as_bytes()).with_context(|| format!("--exclude {}", pattern.display()))?;
    }
    for path in &args.exclude_from {
        let lines = read_patterns(path)?;
        set.add_exclude_lines(&lines).with_context(|| format!("--exclude-from {}", path.display()))?;
    }
    Ok(set)
}

fn read_patterns(path: &PathBuf) -> Result<Vec<u8>> {
    if path.as_os_str() == OsStr::new("-") {
        return Err(usage("--exclude-from takes a file; standard input is what is archived"));
    }
    fs::read(path).with_context(|| format!("cannot read --exclude-from {}", path.display()))
}

fn show_stats(out: &mut Out, repository: &Repository, options: &CreateOptions, created: &Created) -> Result<()> {
    let what = match &created.archive {
        Some(archive) => format!("archive aid:{} {}/{}", archive.id, options.host, options.name),
        None => format!("dry run of {}/{}: nothing was stored", options.host, options.name),
    };
    let statistics = &created.statistics;
    out.line(format!("{what} in {}", repository.describe()))?;
    out.line(format!(
        "{}, {}, {}",
        render::count(statistics.files, "file"),
        if statistics.directories == 1 {
            "1 directory".to_owned()
        } else {
            format!("{} directories", statistics.directories)
        },
        render::bytes(statistics.bytes),
    ))?;
    out.line(format!(
        "{} new, {} stored; {} unchanged",
        render::bytes(statistics.new_bytes),
        render::bytes(statistics.stored_bytes),
        render::count(created.unchanged_files, "file"),
    ))?;
    out.line(format!(
        "{}, {:.2} s",
        render::count(created.statistics.warnings, "warning"),
        created.duration.as_secs_f64()
    ))
}
