//! `vault check`.

use std::io::{self, IsTerminal};

use anyhow::Result;
use vault_engine::ops::check::{self, CheckOptions, CheckReport, Finding, Severity};
use vault_engine::repository::Repository;

use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::json::CheckJson;
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{Caller, Purpose};

/// Verifies the repository.
pub(super) fn run(caller: Caller<'_>, args: &CheckArgs) -> Result<Exit> {
    let place = caller.place(None)?;
    let repository = caller.open(&place, Purpose::Read)?;
    let show = Show { verbose: caller.common.verbose, list: false, progress: args.progress };
    let console = Console::new(show, caller.signals);
    let report = check::check(&repository, CheckOptions { read_data: args.read_data, jobs: args.jobs }, &console)?;
    let warned = console.warnings() > 0;
    drop(console);

    let exit = exit(&report.findings, warned);
    out::ended(print(&repository, &report, args, caller.common.verbose), exit)
}

fn print(repository: &Repository, report: &CheckReport, args: &CheckArgs, verbose: bool) -> Result<()> {
    let mut out = Out::new();
    if args.json {
        out.json(&CheckJson::of(repository, report, args.read_data))?;
    } else {
        report.findings.iter().try_for_each(|finding| out.line(line(finding)))?;
        // Silent in cron while all is well.
        if !report.findings.is_empty() || verbose || io::stdout().is_terminal() {
            out.line(summary(report))?;
        }
    }
    out.finish()
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

fn summary(report: &CheckReport) -> String {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let verdict = match (errors, report.findings.len() - errors) {
        (0, 0) => "no problem found".to_owned(),
        (errors, warnings) => format!("{errors} errors, {warnings} warnings"),
    };
    format!(
        "{verdict} in {}, {}, {}; {} read in {:.1} s",
        render::count(report.archives, "archive"),
        render::count(report.packs, "pack"),
        render::count(report.objects, "object"),
        render::bytes(report.bytes_read),
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
