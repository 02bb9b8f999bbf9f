//! What check writes.

use serde::Serialize;
use vault_engine::id::ArchiveId;
use vault_engine::ops::check::{CheckReport, FilesReport, Finding, Severity};
use vault_engine::repository::Repository;

use super::{PathJson, RepositoryJson};
use crate::time;

/// `vault check --json`.
#[derive(Debug, Serialize)]
pub(crate) struct CheckJson {
    pub(crate) repository: RepositoryJson,
    archives: u64,
    pending_archives: u64,
    packs: u64,
    unindexed_packs: u64,
    objects: u64,
    packs_read: u64,
    bytes_read: u64,
    packs_left: u64,
    bytes_left: u64,
    read_data: bool,
    findings: Vec<FindingJson>,
    duration: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct FindingJson {
    severity: &'static str,
    file: String,
    object: Option<String>,
    harms: Vec<HarmJson>,
    message: String,
}

/// A file of an archive that a finding harms; an empty path is all of it.
#[derive(Debug, Serialize)]
struct HarmJson {
    archive: String,
    #[serde(flatten)]
    path: PathJson,
}

impl HarmJson {
    fn of(archive: ArchiveId, path: &[u8]) -> Self {
        Self { archive: archive.to_hex(), path: PathJson::of(path) }
    }
}

/// `vault check --no-key --json`.
#[derive(Debug, Serialize)]
pub(crate) struct FilesJson {
    /// `None` if `config` is damaged.
    repository: Option<RepositoryJson>,
    files: u64,
    bytes_read: u64,
    findings: Vec<FindingJson>,
    duration: f64,
}

impl FilesJson {
    /// Of what was seen of the files of the repository there.
    pub(crate) fn of(location: String, report: &FilesReport) -> Self {
        Self {
            repository: report.probe.map(|probe| RepositoryJson::probed(&probe, location)),
            files: report.files,
            bytes_read: report.bytes_read,
            findings: report.findings.iter().map(FindingJson::of).collect(),
            duration: time::seconds(report.duration),
        }
    }
}

impl CheckJson {
    /// Of a check's report.
    pub(crate) fn of(repository: &Repository, report: &CheckReport, read_data: bool) -> Self {
        Self {
            repository: RepositoryJson::of(repository),
            archives: report.archives,
            pending_archives: report.pending_archives,
            packs: report.packs,
            unindexed_packs: report.unindexed_packs,
            objects: report.objects,
            packs_read: report.packs_read,
            bytes_read: report.bytes_read,
            packs_left: report.packs_left,
            bytes_left: report.bytes_left,
            read_data,
            findings: report.findings.iter().map(FindingJson::of).collect(),
            duration: time::seconds(report.duration),
        }
    }
}

impl FindingJson {
    pub(super) fn of(finding: &Finding) -> Self {
        Self {
            severity: if finding.severity == Severity::Error { "error" } else { "warning" },
            file: finding.file.clone(),
            object: finding.object.map(|object| object.to_hex()),
            harms: finding.harms.iter().map(|(archive, path)| HarmJson::of(*archive, path)).collect(),
            message: finding.message.clone(),
        }
    }
}
