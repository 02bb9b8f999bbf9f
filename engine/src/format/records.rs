//! The small sealed files: gc records, sessions, events; and the fields that later versions may add to any of them.

use crate::codec::{Decoded, Put, Take};
use crate::id::{ArchiveId, FileId, PackId};
use crate::meta::Timestamp;
use crate::process::ProcessId;

/// Skips a region of tagged fields; version 1 defines none.
///
/// # Errors
/// A field marked critical is unknown.
pub fn skip_fields(take: &mut Take<'_>) -> Decoded<()> {
    let mut fields = Take::new(take.blob("fields")?);
    while fields.remaining() > 0 {
        let tag = fields.u16("field tag")?;
        if tag & 0x8000 != 0 {
            return Err(take.unknown("critical field"));
        }
        fields.blob("field")?;
    }
    Ok(())
}

/// What a compaction has condemned. Never shrunk, never withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcRecord {
    /// Packs that go once what lives in them has been copied.
    pub packs: Vec<PackId>,
    /// Pending archives that its author expires.
    pub pending: Vec<ArchiveId>,
    /// The compaction's session.
    pub session: [u8; 16],
}

impl GcRecord {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_count(self.packs.len());
        self.packs.iter().for_each(|id| out.put(id.as_bytes()));
        out.put_count(self.pending.len());
        self.pending.iter().for_each(|id| out.put(id.as_bytes()));
        out.put(&self.session);
        out.put_u32(0);
        out
    }

    /// From a payload.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        let count = take.count(32, "packs")?;
        let packs = (0..count).map(|_| take.id("pack").map(PackId::from_bytes)).collect::<Decoded<_>>()?;
        let count = take.count(32, "pending archives")?;
        let pending = (0..count).map(|_| take.id("archive").map(ArchiveId::from_bytes)).collect::<Decoded<_>>()?;
        let session = take.array("session")?;
        skip_fields(&mut take)?;
        take.end("gc record")?;
        Ok(Self { packs, pending, session })
    }
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Makes an archive.
    Create,
    /// Frees space.
    Compact,
    /// Thins a series.
    Prune,
    /// Repairs.
    Repair,
}

/// A writer that is alive, or was cut off and may be repeated. It saves others work and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The machine.
    pub host_id: [u8; 16],
    /// What it does.
    pub verb: Verb,
    /// Since when, by its own clock.
    pub start: Timestamp,
    /// When this file was put: a renewal is newer.
    pub time: Timestamp,
    /// `HOST/NAME` of the archive that it makes; empty if it makes none.
    pub series: String,
    /// The process, for others on its machine.
    pub process: ProcessId,
}

impl SessionRecord {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(&self.host_id);
        out.put_u8(match self.verb {
            Verb::Create => 1,
            Verb::Compact => 2,
            Verb::Prune => 3,
            Verb::Repair => 4,
        });
        out.put_time(self.start);
        out.put_time(self.time);
        out.put_str(self.series.as_bytes());
        out.put(&self.process.boot);
        out.put_u32(self.process.pid);
        out.put_u64(self.process.started);
        out.put_u32(0);
        out
    }

    /// From a payload.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        let host_id = take.array("host id")?;
        let verb = match take.u8("verb")? {
            1 => Verb::Create,
            2 => Verb::Compact,
            3 => Verb::Prune,
            4 => Verb::Repair,
            _ => return Err(take.unknown("verb")),
        };
        let start = take.time("start")?;
        let time = take.time("time")?;
        let series = take.str("series")?.to_vec();
        let series = String::from_utf8(series).map_err(|_| take.error("series", "not UTF-8"))?;
        let process = ProcessId {
            boot: take.array("boot")?,
            pid: take.u32("process number")?,
            started: take.u64("start of the process")?,
        };
        skip_fields(&mut take)?;
        take.end("session")?;
        Ok(Self { host_id, verb, start, time, series, process })
    }
}

/// A sealed fact about an archive that races with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which archive.
    pub archive: ArchiveId,
    /// 1 protected, 2 comment, 3 tag, 4 verdict; others are kept and not understood.
    pub kind: u16,
    /// Who says so.
    pub host_id: [u8; 16],
    /// When.
    pub time: Timestamp,
    /// Events that this one takes back.
    pub replaces: Vec<FileId>,
    /// What it says.
    pub value: Vec<u8>,
}

impl Event {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(self.archive.as_bytes());
        out.put_u16(self.kind);
        out.put(&self.host_id);
        out.put_time(self.time);
        out.put_u16(u16::try_from(self.replaces.len()).unwrap_or(u16::MAX));
        self.replaces.iter().take(usize::from(u16::MAX)).for_each(|id| out.put(id.as_bytes()));
        out.put_blob(&self.value);
        out.put_u32(0);
        out
    }

    /// From a payload.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut take = Take::new(bytes);
        let archive = ArchiveId::from_bytes(take.id("archive")?);
        let kind = take.u16("kind")?;
        let host_id = take.array("host id")?;
        let time = take.time("time")?;
        let count = take.short_count(32, "replaces")?;
        let replaces = (0..count).map(|_| take.id("event").map(FileId::from_bytes)).collect::<Decoded<_>>()?;
        let value = take.blob("value")?.to_vec();
        skip_fields(&mut take)?;
        take.end("event")?;
        Ok(Self { archive, kind, host_id, time, replaces, value })
    }
}
