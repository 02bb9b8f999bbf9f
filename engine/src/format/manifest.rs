//! Manifests: the root record of an archive (docs/format.md §9).

use crate::codec::{Decoded, Put, Take};
use crate::format::PART_ENTRIES;
use crate::format::node::{Owners, XattrsId, put_node, take_node};
use crate::id::{ArchiveId, FileId, ObjectId, RepositoryId};
use crate::meta::{Node, NodeKind, Timestamp};

/// All that an archive is, but for its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The root: its attributes and its tree.
    pub root: Node,
    /// Object of the root's long extended attributes, if any.
    pub root_xattrs: XattrsId,
    /// The root's stamps, or zeros.
    pub root_stamps: ObjectId,
    /// The repository it was made for.
    pub repository: RepositoryId,
    /// Host label: with `name` it says which series this is.
    pub host: String,
    /// The series' name.
    pub name: String,
    /// The machine's id, whatever it is called.
    pub host_id: [u8; 16],
    /// Counts the archives of this host label.
    pub sequence: u64,
    /// The archive of this host label that was the newest before.
    pub previous: Option<ArchiveId>,
    /// The archive that change detection compared with.
    pub parent: Option<ArchiveId>,
    /// The time that it stands for.
    pub time: Timestamp,
    /// When the run began.
    pub start: Timestamp,
    /// When the manifest was made.
    pub end: Timestamp,
    /// Offset of local time at the start, in seconds east of UTC.
    pub utc_offset_seconds: i32,
    /// Who ran it.
    pub user: String,
    /// Free text.
    pub comment: String,
    /// Program and version.
    pub program: String,
    /// The PATH arguments.
    pub paths: Vec<Vec<u8>>,
    /// What it took.
    pub statistics: Statistics,
    /// The list of warnings, or zeros.
    pub warnings: ObjectId,
    /// The index segments that the run wrote.
    pub segments: Vec<FileId>,
}

/// What an archive holds and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All entries that are no directories.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Size of all files.
    pub bytes: u64,
    /// Plaintext of the objects that were added.
    pub new_bytes: u64,
    /// Bytes of the packs and segments that were added.
    pub stored_bytes: u64,
    /// Warnings.
    pub warnings: u64,
}

impl Manifest {
    /// The root's tree.
    pub fn root_tree(&self) -> ObjectId {
        match self.root.kind {
            NodeKind::Directory { tree } => tree,
            _ => ObjectId::zero(),
        }
    }

    /// `HOST/NAME`.
    pub fn series(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_node(&self.root, self.root_xattrs, Owners::Full, &mut out);
        out.put(self.root_stamps.as_bytes());
        out.put(self.repository.as_bytes());
        out.put_str(self.host.as_bytes());
        out.put_str(self.name.as_bytes());
        out.put(&self.host_id);
        out.put_u64(self.sequence);
        for archive in [self.previous, self.parent] {
            out.put(archive.unwrap_or_default().as_bytes());
        }
        for time in [self.time, self.start, self.end] {
            out.put_time(time);
        }
        out.put(&self.utc_offset_seconds.to_le_bytes());
        for text in [&self.user, &self.comment, &self.program] {
            out.put_str(text.as_bytes());
        }
        out.put_u16(u16::try_from(self.paths.len()).unwrap_or(u16::MAX));
        for path in self.paths.iter().take(usize::from(u16::MAX)) {
            out.put_str(path);
        }
        let Statistics { files, directories, bytes, new_bytes, stored_bytes, warnings } = self.statistics;
        for number in [files, directories, bytes, new_bytes, stored_bytes, warnings] {
            out.put_u64(number);
        }
        out.put(self.warnings.as_bytes());
        out.put_count(self.segments.len());
        for segment in &self.segments {
            out.put(segment.as_bytes());
        }
        out.put_u32(0);
        out
    }

    /// From a payload.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        let (root, root_xattrs) = take_node(&mut take, Owners::Full, true)?;
        if !root.name.is_empty() || !matches!(root.kind, NodeKind::Directory { .. }) {
            return Err(take.error("root", "not a directory without name"));
        }
        let manifest = Self {
            root,
            root_xattrs,
            root_stamps: ObjectId::from_bytes(take.id("root stamps")?),
            repository: RepositoryId::from_bytes(take.id("repository id")?),
            host: text(&mut take, "host label")?,
            name: text(&mut take, "archive name")?,
            host_id: take.array("host id")?,
            sequence: take.u64("host sequence")?,
            previous: archive(&mut take, "previous archive")?,
            parent: archive(&mut take, "parent archive")?,
            time: take.time("time")?,
            start: take.time("start")?,
            end: take.time("end")?,
            utc_offset_seconds: take.i32("utc offset")?,
            user: text(&mut take, "user")?,
            comment: text(&mut take, "comment")?,
            program: text(&mut take, "program")?,
            paths: paths(&mut take)?,
            statistics: statistics(&mut take)?,
            warnings: ObjectId::from_bytes(take.id("warnings")?),
            segments: segments(&mut take)?,
        };
        super::records::skip_fields(&mut take)?;
        take.end("manifest")?;
        Ok(manifest)
    }
}

fn text(take: &mut Take<'_>, field: &'static str) -> Decoded<String> {
    let bytes = take.str(field)?.to_vec();
    String::from_utf8(bytes).map_err(|_| take.error(field, "not UTF-8"))
}

fn archive(take: &mut Take<'_>, field: &'static str) -> Decoded<Option<ArchiveId>> {
    let id = ArchiveId::from_bytes(take.id(field)?);
    Ok((!id.is_zero()).then_some(id))
}

fn paths(take: &mut Take<'_>) -> Decoded<Vec<Vec<u8>>> {
    let count = take.short_count(2, "paths")?;
    (0..count).map(|_| take.str("path").map(<[u8]>::to_vec)).collect()
}

fn segments(take: &mut Take<'_>) -> Decoded<Vec<FileId>> {
    let count = take.count(32, "segments")?;
    (0..count).map(|_| take.id("segment").map(FileId::from_bytes)).collect()
}

fn statistics(take: &mut Take<'_>) -> Decoded<Statistics> {
    Ok(Statistics {
        files: take.u64("files")?,
        directories: take.u64("directories")?,
        bytes: take.u64("bytes")?,
        new_bytes: take.u64("new bytes")?,
        stored_bytes: take.u64("stored bytes")?,
        warnings: take.u64("warnings")?,
    })
}

/// Encodes the list of an archive's warnings.
pub fn encode_warnings(warnings: &[(Vec<u8>, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_count(warnings.len());
    for (path, message) in warnings {
        out.put_blob(path);
        out.put_blob(message.as_bytes());
    }
    out
}

/// Decodes the list of an archive's warnings.
pub fn decode_warnings(bytes: &[u8]) -> Decoded<Vec<(Vec<u8>, String)>> {
    let mut take = Take::new(bytes);
    let count = take.count(8, "warnings")?;
    if count > PART_ENTRIES {
        return Err(take.error("warnings", "more than an archive keeps"));
    }
    let mut warnings = Vec::with_capacity(count);
    for _ in 0..count {
        let path = take.blob("path")?.to_vec();
        warnings.push((path, String::from_utf8_lossy(take.blob("message")?).into_owned()));
    }
    take.end("warnings")?;
    Ok(warnings)
}
