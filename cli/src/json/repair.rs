//! Objects of `check --repair` and `quarantine`.

use serde::Serialize;
use vault_engine::ops::repair::{Incomplete, Remedy, RepairReport, Treatment};
use vault_engine::repository::Repository;
use vault_engine::store::Listed;

use super::check::FindingJson;
use super::{PathJson, RepositoryJson};
use crate::time;

/// `vault check --repair --json`.
#[derive(Debug, Serialize)]
pub(crate) struct RepairJson {
    repository: RepositoryJson,
    findings: Vec<FindingJson>,
    treatments: Vec<TreatmentJson>,
    salvaged_objects: u64,
    fetched_objects: u64,
    incomplete_archives: Vec<IncompleteJson>,
    left: Vec<FindingJson>,
    dry_run: bool,
    duration: f64,
}

#[derive(Debug, Serialize)]
struct TreatmentJson {
    file: String,
    remedy: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
struct IncompleteJson {
    archive: String,
    objects: u64,
    paths: Vec<PathJson>,
}

impl RepairJson {
    /// Of what a repair did, or would do.
    pub(crate) fn of(repository: &Repository, report: &RepairReport) -> Self {
        Self {
            repository: RepositoryJson::of(repository),
            findings: report.found.findings.iter().map(FindingJson::of).collect(),
            treatments: report.treatments.iter().map(TreatmentJson::of).collect(),
            salvaged_objects: report.salvaged,
            fetched_objects: report.fetched,
            incomplete_archives: report.incomplete.iter().map(IncompleteJson::of).collect(),
            left: report.left.iter().flat_map(|left| &left.findings).map(FindingJson::of).collect(),
            dry_run: report.left.is_none(),
            duration: time::seconds(report.duration),
        }
    }
}

impl TreatmentJson {
    fn of(treatment: &Treatment) -> Self {
        let remedy = match treatment.remedy {
            Remedy::Salvage => "salvage",
            Remedy::Forget => "forget",
            Remedy::PutInPlace(_) => "put-in-place",
            Remedy::MarkAgain(..) => "mark-again",
            Remedy::SetAside => "set-aside",
            Remedy::Leave => "leave",
        };
        Self { file: treatment.key.to_string(), remedy, message: treatment.message.clone() }
    }
}

impl IncompleteJson {
    fn of(archive: &Incomplete) -> Self {
        Self {
            archive: archive.archive.to_hex(),
            objects: archive.objects,
            paths: archive.paths.iter().map(|path| PathJson::of(path)).collect(),
        }
    }
}

/// `vault quarantine --json`.
#[derive(Debug, Serialize)]
pub(crate) struct QuarantineJson {
    repository: RepositoryJson,
    files: Vec<QuarantinedJson>,
    emptied: bool,
}

#[derive(Debug, Serialize)]
struct QuarantinedJson {
    name: String,
    size: u64,
}

impl QuarantineJson {
    /// Of the files that are, or were, in the quarantine.
    pub(crate) fn of(repository: &Repository, files: &[Listed], emptied: bool) -> Self {
        let files = files.iter().map(|file| QuarantinedJson { name: file.name.clone(), size: file.size }).collect();
        Self { repository: RepositoryJson::of(repository), files, emptied }
    }
}
