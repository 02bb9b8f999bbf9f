//! `vault check`.

use std::io::{self, IsTerminal};

use anyhow::Result;
use vault_engine::Error;
use vault_engine::memory::Need;
use vault_engine::ops::check::{self, CheckOptions, CheckReport, Finding, Severity, Share, Slice};
use vault_engine::progress::Monitor;
use vault_engine::repository::{Repository, Sighting};

use crate::args::CheckArgs;
use crate::exit::{Exit, usage};
use crate::json::{CheckJson, FilesJson};
use crate::location::Place;
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{self, Caller, Purpose};
use crate::state::{self, Memory};

/// Verifies the repository.
pub(super) fn run(caller: Caller<'_>, args: &CheckArgs) -> Result<Exit> {
    let place = caller.place(None)?;
    if args.no_key {
        return without_key(caller, &place, args);
    }
    let jobs = args.workers.count(Need::READ)?;
    let repository = caller.open(&place, Purpose::Read)?;
    let console = console(caller, args);
    let memory = Memory::recall(&repository, &console);
    if args.accept_rollback {
        repository.accept_rollback();
    }
    let checked = match slice(args) {
        Some(slice) => check_slice(&repository, slice, jobs, &console),
        None => check::check(&repository, CheckOptions { read_data: false, jobs }, &console),
    };
    memory.keep_or_warn(&repository, &console);
    let report = checked?;
    let warned = console.warnings() > 0;
    drop(console);

    for gone in repository.gone().iter().filter(|gone| gone.accepted) {
        let Sighting { id, host, name, .. } = &gone.archive;
        crate::say(&format!("vault: archive aid:{id} {host}/{name} is gone, and from now on not missed"));
    }
    let exit = exit(&report.findings, warned);
    out::ended(print(&repository, &report, args, caller.common.verbose), exit)
}

fn console<'a>(caller: Caller<'a>, args: &CheckArgs) -> Console<'a> {
    let show = Show { verbose: caller.common.verbose, list: false, progress: args.progress };
    Console::new(show, caller.signals)
}

/// What of the packs is read, if anything is.
fn slice(args: &CheckArgs) -> Option<Slice> {
    let share = args.read_data_subset.or_else(|| (args.read_data || args.max_duration.is_some()).then_some(Share::All));
    share.map(|share| Slice { share, max_duration: args.max_duration })
}

/// Reads a slice of the packs, and remembers which were verified, also if it is stopped.
fn check_slice(
    repository: &Repository,
    slice: Slice,
    jobs: Option<usize>,
    console: &Console<'_>,
) -> Result<CheckReport, Error> {
    let mut verified = state::verified(repository.id());
    let checked = check::check_slice(repository, slice, jobs, &mut verified, console);
    if let Err(error) = state::keep_verified(repository.id(), &verified) {
        let problem = render::chain(&error);
        console.warning(b"", &format!("{problem}; so the next check does not know which packs were verified"));
    }
    checked
}

/// Verifies files, for whoever has no key.
fn without_key(caller: Caller<'_>, place: &Place, args: &CheckArgs) -> Result<Exit> {
    if caller.common.key_file.is_some() {
        return Err(usage("--no-key opens no key slot: leave --key-file or --no-key out"));
    }
    let jobs = args.workers.count(Need::READ)?;
    let store = session::store(place)?;
    let console = console(caller, args);
    let report = session::described(place, check::check_files(store.as_ref(), jobs, &console))?;
    drop(console);
    let print = || {
        let mut out = Out::new();
        if args.json {
            out.json(&FilesJson::of(store.describe(), &report))?;
        } else {
            let said = format!(
                "{} in {}; {} read in {:.1} s; without a key nobody sees whether files are missing",
                verdict(&report.findings),
                render::count(report.files, "file"),
                render::bytes(report.bytes_read),
                report.duration.as_secs_f64()
            );
            lines(&mut out, &report.findings, said, caller.common.verbose)?;
        }
        out.finish()
    };
    out::ended(print(), exit(&report.findings, false))
}

fn print(repository: &Repository, report: &CheckReport, args: &CheckArgs, verbose: bool) -> Result<()> {
    let mut out = Out::new();
    if args.json {
        out.json(&CheckJson::of(repository, report, slice(args).is_some()))?;
    } else {
        lines(&mut out, &report.findings, summary(report), verbose)?;
    }
    out.finish()
}

fn lines(out: &mut Out, findings: &[Finding], summary: String, verbose: bool) -> Result<()> {
    findings.iter().try_for_each(|finding| out.line(line(finding)))?;
    // Silent in cron while all is well.
    if findings.is_empty() && !verbose && !io::stdout().is_terminal() {
        return Ok(());
    }
    out.line(summary)
}

fn exit(findings: &[Finding], warned: bool) -> Exit {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        Exit::Integrity
    } else if warned || !findings.is_empty() {
        Exit::Warning
    } else {
        Exit::Success
    }
}

pub(super) fn line(finding: &Finding) -> String {
    let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
    let mut parts = vec![format!("{severity}: {}: {}", finding.file, render::text(&finding.message))];
    parts.extend(finding.object.map(|object| format!("object {}", object.to_hex())));
    for harms in finding.harms.chunk_by(|a, b| a.0 == b.0) {
        let named: Vec<String> =
            harms.iter().filter(|(_, path)| !path.is_empty()).map(|(_, path)| render::path(path)).collect();
        let archive = harms.first().map(|(archive, _)| archive.to_string()).unwrap_or_default();
        let files = if named.is_empty() { "all of it".to_owned() } else { named.join(", ") };
        parts.push(format!("harms archive aid:{archive}: {files}"));
    }
    parts.join("; ")
}

fn verdict(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    match (errors, findings.len() - errors) {
        (0, 0) => "no problem found".to_owned(),
        (errors, warnings) => format!("{errors} errors, {warnings} warnings"),
    }
}

fn summary(report: &CheckReport) -> String {
    let left = match report.packs_left {
        0 => String::new(),
        packs => format!(
            "; the time was over before {} ({})",
            render::count(packs, "pack"),
            render::bytes(report.bytes_left)
        ),
    };
    format!(
        "{} in {}, {}, {}; {} of {} read in {:.1} s{left}",
        verdict(&report.findings),
        render::count(report.archives, "archive"),
        render::count(report.packs, "pack"),
        render::count(report.objects, "object"),
        render::bytes(report.bytes_read),
        render::count(report.packs_read, "pack"),
        report.duration.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::id::ArchiveId;

    fn finding(severity: Severity) -> Finding {
        Finding {
            severity,
            file: "packs/ab/abcd".into(),
            object: None,
            harms: vec![(ArchiveId::from_bytes([0x12; 32]), b"etc/\x1b".to_vec())],
            message: "the id differs".into(),
        }
    }

    #[test]
    fn errors_weigh_more_than_warnings() {
        assert_eq!(exit(&[], false), Exit::Success);
        assert_eq!(exit(&[], true), Exit::Warning);
        assert_eq!(exit(&[finding(Severity::Warning)], false), Exit::Warning);
        assert_eq!(exit(&[finding(Severity::Warning), finding(Severity::Error)], false), Exit::Integrity);
    }

    #[test]
    fn a_finding_says_what_is_hurt() {
        let expected = "error: packs/ab/abcd: the id differs; harms archive aid:12121212: etc/\\u{1b}";
        assert_eq!(line(&finding(Severity::Error)), expected);
    }
}
