//! What prune, delete, undelete and compact write.

use serde::Serialize;
use vault_engine::id::ArchiveId;
use vault_engine::ops::archives::Archive;
use vault_engine::ops::compact::CompactReport;
use vault_engine::ops::delete::Deleted;
use vault_engine::ops::prune::{Fate, Judged, PruneReport};
use vault_engine::ops::undelete::Undeleted;
use vault_engine::repository::Repository;

use super::{ArchiveJson, RepositoryJson, WarningJson};
use crate::time;

/// Which archive, and no more.
#[derive(Debug, Serialize)]
struct NameJson {
    id: String,
    name: Option<String>,
    hostname: Option<String>,
    time: Option<String>,
}

impl NameJson {
    /// Without `archive` only the id is known.
    fn of(id: ArchiveId, archive: Option<&Archive>) -> Self {
        let manifest = archive.map(|archive| &archive.manifest);
        Self {
            id: id.to_hex(),
            name: manifest.map(|manifest| manifest.name.clone()),
            hostname: manifest.map(|manifest| manifest.host.clone()),
            time: manifest.and_then(|manifest| time::rfc3339(manifest.time, manifest.utc_offset_seconds)),
        }
    }
}

/// `vault prune --json`.
#[derive(Debug, Serialize)]
pub(crate) struct PruneJson {
    repository: RepositoryJson,
    archives: Vec<JudgedJson>,
    kept: u64,
    pruned: u64,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    compact: Option<CompactionJson>,
}

#[derive(Debug, Serialize)]
struct JudgedJson {
    #[serde(flatten)]
    name: NameJson,
    group: String,
    keep: bool,
    rule: Option<String>,
}

impl PruneJson {
    /// Of what a prune did, and the compaction after it.
    pub(crate) fn of(
        repository: &Repository,
        report: &PruneReport,
        dry_run: bool,
        compact: Option<CompactionJson>,
    ) -> Self {
        Self {
            repository: RepositoryJson::of(repository),
            archives: report.archives.iter().map(JudgedJson::of).collect(),
            kept: report.kept(),
            pruned: report.pruned(),
            dry_run,
            compact,
        }
    }
}

impl JudgedJson {
    fn of(judged: &Judged) -> Self {
        Self {
            name: NameJson::of(judged.archive.id, Some(&judged.archive)),
            group: judged.group.clone(),
            keep: judged.fate.stays(),
            rule: match &judged.fate {
                Fate::Kept(rule) => Some(rule.clone()),
                Fate::Protected => Some("protected".to_owned()),
                Fate::Unconfirmed => Some("unconfirmed".to_owned()),
                Fate::Pruned => None,
            },
        }
    }
}

/// `vault delete --json`.
#[derive(Debug, Serialize)]
pub(crate) struct DeleteJson {
    repository: RepositoryJson,
    archives: Vec<NameJson>,
    dry_run: bool,
}

impl DeleteJson {
    /// Of what was deleted, or would be.
    pub(crate) fn of(repository: &Repository, deleted: &[Deleted], dry_run: bool) -> Self {
        Self {
            repository: RepositoryJson::of(repository),
            archives: deleted.iter().map(|one| NameJson::of(one.id, one.archive.as_ref())).collect(),
            dry_run,
        }
    }
}

/// `vault undelete --json`.
#[derive(Debug, Serialize)]
pub(crate) struct UndeleteJson {
    repository: RepositoryJson,
    archives: Vec<UndeletedJson>,
}

#[derive(Debug, Serialize)]
struct UndeletedJson {
    deleted: String,
    archive: Option<ArchiveJson>,
    missing: Vec<WarningJson>,
}

impl UndeleteJson {
    /// Of what was brought back, and what could not be.
    pub(crate) fn of(repository: &Repository, undeleted: &[Undeleted]) -> Self {
        let archives = undeleted.iter().map(|one| UndeletedJson {
            deleted: one.deleted.id.to_hex(),
            archive: one.archive.as_ref().map(ArchiveJson::of),
            missing: one.missing.iter().map(|(path, message)| WarningJson::of(path, message)).collect(),
        });
        Self { repository: RepositoryJson::of(repository), archives: archives.collect() }
    }
}

/// `vault compact --json`.
#[derive(Debug, Serialize)]
pub(crate) struct CompactJson {
    repository: RepositoryJson,
    #[serde(flatten)]
    compaction: CompactionJson,
}

impl CompactJson {
    /// Of what a compaction did, or would do.
    pub(crate) fn of(repository: &Repository, report: &CompactReport, dry_run: bool) -> Self {
        Self { repository: RepositoryJson::of(repository), compaction: CompactionJson::of(report, dry_run) }
    }
}

/// The numbers of a compaction.
#[derive(Debug, Serialize)]
pub(crate) struct CompactionJson {
    purged_archives: u64,
    expired_archives: u64,
    spared_packs: u64,
    packs_before: u64,
    bytes_before: u64,
    dead_packs: u64,
    dead_bytes: u64,
    rewritten_packs: u64,
    rewritten_bytes: u64,
    copied_bytes: u64,
    new_packs: u64,
    new_bytes: u64,
    segments_before: u64,
    segments_after: u64,
    freed_bytes: u64,
    left: Vec<String>,
    dry_run: bool,
    duration: f64,
}

impl CompactionJson {
    /// Of a report.
    pub(crate) fn of(report: &CompactReport, dry_run: bool) -> Self {
        Self {
            purged_archives: report.purged,
            expired_archives: report.expired,
            spared_packs: report.spared,
            packs_before: report.packs_before,
            bytes_before: report.bytes_before,
            dead_packs: report.dead_packs,
            dead_bytes: report.dead_bytes,
            rewritten_packs: report.rewritten_packs,
            rewritten_bytes: report.rewritten_bytes,
            copied_bytes: report.copied_bytes,
            new_packs: report.new_packs,
            new_bytes: report.new_bytes,
            segments_before: report.segments_before,
            segments_after: report.segments_after,
            freed_bytes: report.freed_bytes,
            left: report.left.clone(),
            dry_run,
            duration: time::seconds(report.duration),
        }
    }
}
