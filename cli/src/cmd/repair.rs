//! `vault check --repair`.

use anyhow::Result;
use vault_engine::memory::Need;
use vault_engine::ops::check::Severity;
use vault_engine::ops::repair::{self, Incomplete, RepairOptions, RepairReport};
use vault_engine::repository::{Repository, put_config};

use crate::args::CheckArgs;
use crate::cmd::check;
use crate::exit::{Exit, usage};
use crate::json::RepairJson;
use crate::location::Place;
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{self, Caller, Purpose};

/// So many paths of an archive are named; `--json` names more.
const NAMED_PATHS: usize = 20;

/// Repairs the repository, or says what a repair would do.
pub(super) fn run(caller: Caller<'_>, args: &CheckArgs) -> Result<Exit> {
    let place = caller.place(None)?;
    let from = args.from.as_deref().map(Place::named).transpose()?;
    if from.as_ref().is_some_and(|from| from.path == place.path) {
        return Err(usage("--from names the repository that is to be repaired"));
    }
    if !has_config(caller, &place, args.yes)? {
        return Ok(Exit::Integrity);
    }
    let repository = caller.open(&place, Purpose::Write)?;
    let from = from.map(|from| caller.open(&from, Purpose::Read)).transpose()?;
    let show = Show { verbose: caller.common.verbose, list: false, progress: args.progress };
    let console = Console::new(show, caller.signals);
    let options = RepairOptions { from: from.as_ref(), dry_run: !args.yes, jobs: args.workers.count(Need::WRITE)? };
    let report = repair::repair(&repository, options, &console)?;
    drop(console);
    out::ended(print(&repository, &report, args), exit(&report))
}

/// Puts a lost or damaged `config` back from a key slot; whether there is one now.
fn has_config(caller: Caller<'_>, place: &Place, yes: bool) -> Result<bool> {
    let store = session::store(place)?;
    let Some(config) = caller.lost_config(place)? else { return Ok(true) };
    if yes {
        put_config(store.as_ref(), &config)?;
        crate::say("vault: config was lost or damaged, and is put back from a key slot");
    } else {
        crate::say("vault: config is lost or damaged; --yes puts it back from a key slot, and repairs the rest");
    }
    Ok(yes)
}

/// How bad it is now; on a dry run, how bad it was found to be.
fn exit(report: &RepairReport) -> Exit {
    match report.left.as_ref().unwrap_or(&report.found).worst() {
        Some(Severity::Error) => Exit::Integrity,
        Some(Severity::Warning) => Exit::Warning,
        None => Exit::Success,
    }
}

fn print(repository: &Repository, report: &RepairReport, args: &CheckArgs) -> Result<()> {
    let mut out = Out::new();
    if args.json {
        out.json(&RepairJson::of(repository, report))?;
        return out.finish();
    }
    report.found.findings.iter().try_for_each(|finding| out.line(check::line(finding)))?;
    for treatment in &report.treatments {
        out.line(format!(
            "{}: {}: {}",
            if args.yes { "repaired" } else { "would repair" },
            treatment.key,
            treatment.message
        ))?;
    }
    for archive in &report.incomplete {
        incomplete(&mut out, archive)?;
    }
    if let Some(left) = &report.left {
        // What is recorded as lost was said archive by archive.
        let left = left.findings.iter().filter(|finding| finding.severity == Severity::Error);
        left.into_iter().try_for_each(|finding| out.line(format!("left: {}", check::line(finding))))?;
    }
    out.line(summary(report))?;
    out.finish()
}

fn incomplete(out: &mut Out, archive: &Incomplete) -> Result<()> {
    let lost = render::count(archive.objects, "object");
    out.line(format!(
        "archive aid:{} stays without {lost}; all else of it can be restored. It lacks:",
        archive.archive
    ))?;
    for path in archive.paths.iter().take(NAMED_PATHS) {
        out.line(format!("  {}", if path.is_empty() { "its root".to_owned() } else { render::path(path) }))?;
    }
    match archive.paths.len().saturating_sub(NAMED_PATHS) {
        0 => Ok(()),
        more => out.line(format!("  and {more} more")),
    }
}

fn summary(report: &RepairReport) -> String {
    let Some(left) = &report.left else {
        return match report.found.findings.len() {
            0 => "nothing to repair".to_owned(),
            _ => "nothing was changed; --yes repairs".to_owned(),
        };
    };
    format!(
        "{} salvaged, {} taken from the other repository, {} incomplete; {} left to repair",
        render::count(report.salvaged, "object"),
        report.fetched,
        render::count(report.incomplete.len() as u64, "archive"),
        render::count(left.findings.iter().filter(|one| one.severity == Severity::Error).count() as u64, "error"),
    )
}
