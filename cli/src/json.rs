//! What `--json` writes. docs/json.md describes every field; a test compares the two.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use vault_engine::id::ArchiveId;
use vault_engine::meta::{Node, NodeKind};
use vault_engine::ops::archives::{Archive, Facts, Statistics};
use vault_engine::ops::create::Created;
use vault_engine::ops::info::RepositoryInfo;
use vault_engine::ops::key::{SlotInfo, SlotKind};
use vault_engine::ops::restore::Restored;
use vault_engine::repository::{Probe, Repository};

use crate::{render, time};

mod benchmark;
mod check;
mod repair;
mod retention;

pub(crate) use benchmark::BenchmarkJson;
pub(crate) use check::{CheckJson, FilesJson};
pub(crate) use repair::{QuarantineJson, RepairJson};
pub(crate) use retention::{CompactJson, CompactionJson, DeleteJson, PruneJson, UndeleteJson};

/// Which repository.
#[derive(Debug, Serialize)]
pub(crate) struct RepositoryJson {
    id: String,
    location: String,
    encryption: &'static str,
}

/// One archive.
#[derive(Debug, Serialize)]
pub(crate) struct ArchiveJson {
    id: String,
    name: String,
    hostname: String,
    time: Option<String>,
    start: Option<String>,
    end: Option<String>,
    username: String,
    comment: String,
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths_base64: Option<Vec<String>>,
    program: String,
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
    stats: StatsJson,
}

/// Numbers of one archive.
#[derive(Debug, Serialize)]
pub(crate) struct StatsJson {
    files: u64,
    directories: u64,
    original_bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    warnings: u64,
}

/// `vault list --json`.
#[derive(Debug, Serialize)]
pub(crate) struct ListJson {
    pub(crate) repository: RepositoryJson,
    pub(crate) archives: Vec<ArchiveJson>,
}

/// `vault create --json`.
#[derive(Debug, Serialize)]
pub(crate) struct CreateJson {
    pub(crate) repository: RepositoryJson,
    archive: Option<ArchiveJson>,
    stats: StatsJson,
    root_tree: String,
    unchanged_files: u64,
    warnings: u64,
    dry_run: bool,
    duration: f64,
}

/// `vault info --json`.
#[derive(Debug, Serialize)]
pub(crate) struct InfoJson {
    pub(crate) repository: RepositoryJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<ContentJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) archive: Option<ArchiveJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warnings: Option<Vec<WarningJson>>,
}

/// Numbers of a repository.
#[derive(Debug, Serialize)]
pub(crate) struct ContentJson {
    archives: u64,
    packs: u64,
    pack_bytes: u64,
    index_segments: u64,
    objects: u64,
}

/// One thing that `create` could not do.
#[derive(Debug, Serialize)]
pub(crate) struct WarningJson {
    #[serde(flatten)]
    path: PathJson,
    message: String,
}

/// `vault restore --json`.
#[derive(Debug, Serialize)]
pub(crate) struct RestoreJson {
    pub(crate) repository: RepositoryJson,
    pub(crate) archive: ArchiveJson,
    target: String,
    files: u64,
    directories: u64,
    bytes: u64,
    skipped: u64,
    deleted: u64,
    damaged: u64,
    warnings: u64,
    dry_run: bool,
    duration: f64,
}

/// `vault key list --json`.
#[derive(Debug, Serialize)]
pub(crate) struct KeysJson {
    pub(crate) repository: RepositoryJson,
    pub(crate) slots: Vec<SlotJson>,
}

/// One key slot.
#[derive(Debug, Serialize)]
pub(crate) struct SlotJson {
    id: String,
    kind: &'static str,
    name: Option<String>,
    opened: bool,
    kdf: String,
}

/// A line of `vault list ARCHIVE --json`.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson {
    #[serde(flatten)]
    path: PathJson,
    #[serde(rename = "type")]
    kind: char,
    mode: String,
    uid: u32,
    gid: u32,
    user: String,
    group: String,
    mtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(flatten)]
    target: Option<TargetJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_link: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    changed: bool,
    #[serde(skip_serializing_if = "is_false")]
    missing: bool,
    #[serde(skip_serializing_if = "is_false")]
    implied: bool,
}

#[derive(Debug, Serialize)]
struct PathJson {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
}

#[derive(Debug, Serialize)]
struct TargetJson {
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_base64: Option<String>,
}

impl RepositoryJson {
    /// Of an open repository.
    pub(crate) fn of(repository: &Repository) -> Self {
        Self {
            id: repository.id().to_hex(),
            location: repository.describe(),
            encryption: encryption(repository.encrypted()),
        }
    }

    /// Of one that nobody has opened.
    pub(crate) fn probed(probe: &Probe, location: String) -> Self {
        Self { id: probe.id.to_hex(), location, encryption: encryption(probe.encrypted) }
    }
}

fn encryption(encrypted: bool) -> &'static str {
    if encrypted { "aes-256-gcm" } else { "none" }
}

impl ArchiveJson {
    /// Of an archive.
    pub(crate) fn of(archive: &Archive) -> Self {
        let manifest = &archive.manifest;
        let moment = |time| time::rfc3339(time, manifest.utc_offset_seconds);
        let is_text = manifest.paths.iter().all(|path| std::str::from_utf8(path).is_ok());
        Self {
            id: archive.id.to_hex(),
            name: manifest.name.clone(),
            hostname: manifest.host.clone(),
            time: moment(manifest.time),
            start: moment(manifest.start),
            end: moment(manifest.end),
            username: manifest.user.clone(),
            comment: manifest.comment.clone(),
            paths: manifest.paths.iter().map(|path| lossy(path)).collect(),
            paths_base64: (!is_text).then(|| manifest.paths.iter().map(|path| STANDARD.encode(path)).collect()),
            program: manifest.program.clone(),
            parent: manifest.parent.map(|parent| parent.to_hex()),
            protected: None,
            incomplete: None,
            stats: StatsJson::of(&manifest.statistics),
        }
    }

    /// The same with whether it is protected, or incomplete, which its events say.
    pub(crate) fn with_facts(self, facts: &Facts) -> Self {
        let id = ArchiveId::from_hex(&self.id);
        Self {
            protected: id.map(|id| facts.is_protected(id)),
            incomplete: id.map(|id| facts.is_incomplete(id)),
            ..self
        }
    }
}

impl StatsJson {
    fn of(statistics: &Statistics) -> Self {
        Self {
            files: statistics.files,
            directories: statistics.directories,
            original_bytes: statistics.bytes,
            new_bytes: statistics.new_bytes,
            stored_bytes: statistics.stored_bytes,
            warnings: statistics.warnings,
        }
    }
}

impl CreateJson {
    /// Of a new archive, or of the one that a dry run did not make.
    pub(crate) fn of(repository: &Repository, created: &Created, dry_run: bool) -> Self {
        Self {
            repository: RepositoryJson::of(repository),
            archive: created.archive.as_ref().map(ArchiveJson::of),
            stats: StatsJson::of(&created.statistics),
            root_tree: created.root_tree.to_hex(),
            unchanged_files: created.unchanged_files,
            warnings: created.statistics.warnings,
            dry_run,
            duration: time::seconds(created.duration),
        }
    }
}

impl ContentJson {
    /// Of a repository's numbers.
    pub(crate) fn of(info: &RepositoryInfo) -> Self {
        Self {
            archives: info.archives,
            packs: info.packs,
            pack_bytes: info.pack_bytes,
            index_segments: info.index_segments,
            objects: info.objects,
        }
    }
}

impl WarningJson {
    /// Of one warning of an archive.
    pub(crate) fn of(path: &[u8], message: &str) -> Self {
        Self { path: PathJson::of(path), message: message.to_owned() }
    }
}

impl RestoreJson {
    /// Of a restore that is done.
    pub(crate) fn of(
        repository: &Repository,
        archive: &Archive,
        restored: &Restored,
        target: String,
        dry_run: bool,
    ) -> Self {
        Self {
            repository: RepositoryJson::of(repository),
            archive: ArchiveJson::of(archive),
            target,
            files: restored.files,
            directories: restored.directories,
            bytes: restored.bytes,
            skipped: restored.skipped,
            deleted: restored.deleted,
            damaged: restored.damaged,
            warnings: restored.warnings,
            dry_run,
            duration: time::seconds(restored.duration),
        }
    }
}

impl SlotJson {
    /// Of a key slot.
    pub(crate) fn of(slot: &SlotInfo) -> Self {
        Self {
            id: slot.id.to_hex(),
            kind: slot_kind(slot.kind),
            name: slot.name.clone(),
            opened: slot.opened,
            kdf: slot.kdf.clone(),
        }
    }
}

/// What a kind of key slot is called, for people too.
pub(crate) fn slot_kind(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Passphrase => "passphrase",
        SlotKind::KeyFile => "key-file",
        SlotKind::Plain => "plain",
    }
}

impl EntryJson {
    /// Of one file of an archive.
    pub(crate) fn of(path: &[u8], node: &Node) -> Self {
        let attributes = &node.attributes;
        let mut entry = Self {
            path: PathJson::of(path),
            kind: render::kind_letter(&node.kind),
            mode: render::mode(node),
            uid: attributes.owner.number,
            gid: attributes.group.number,
            user: lossy(&attributes.owner.name),
            group: lossy(&attributes.group.name),
            mtime: time::rfc3339_local(attributes.mtime),
            size: None,
            target: None,
            device: None,
            hard_link: None,
            changed: node.changed,
            missing: node.missing,
            implied: node.implied,
        };
        match &node.kind {
            NodeKind::File { size, link, .. } => {
                entry.size = Some(*size);
                entry.hard_link = link.map(|link| vault_engine::id::hex(&link));
            }
            NodeKind::Symlink { target } => {
                entry.target = Some(TargetJson { target: lossy(target), target_base64: base64_unless_text(target) });
            }
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                entry.device = Some([*major, *minor]);
            }
            NodeKind::Directory { .. } | NodeKind::Fifo => {}
        }
        entry
    }
}

impl PathJson {
    fn of(bytes: &[u8]) -> Self {
        Self { path: lossy(bytes), path_base64: base64_unless_text(bytes) }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn base64_unless_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| STANDARD.encode(bytes))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::meta::Attributes;

    fn entry(path: &[u8], kind: NodeKind) -> serde_json::Value {
        let node = Node {
            name: b"x".to_vec(),
            implied: false,
            changed: false,
            missing: false,
            attributes: Attributes::default(),
            kind,
        };
        serde_json::to_value(EntryJson::of(path, &node)).unwrap()
    }

    #[test]
    fn a_path_that_is_text_has_no_base64() {
        let value = entry("größe".as_bytes(), NodeKind::Fifo);
        assert_eq!(value["path"], "größe");
        assert_eq!(value.get("path_base64"), None);
        assert_eq!(value["type"], "p");
        assert_eq!(value.get("target"), None);
        assert_eq!(value.get("missing"), None);
    }

    #[test]
    fn bytes_that_are_no_text_come_lossy_and_in_base64() {
        let value = entry(b"a/\xff", NodeKind::Symlink { target: b"\xfe\xfd".to_vec() });
        assert_eq!(value["path"], "a/\u{fffd}");
        assert_eq!(value["path_base64"], "YS//");
        assert_eq!(value["target_base64"], "/v0=");
    }
}
