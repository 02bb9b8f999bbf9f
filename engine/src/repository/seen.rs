//! What a client has seen of a repository's archives before, so that a repository that went back in time is found out.
//!
//! Every state of a repository is valid, and so is an older one (docs/security.md, "Rollback"): only a memory outside can tell. It is
//! small: of each host label the archive with the highest host sequence. (The sequence counts the archives of a label, so the label is
//! what is remembered; a container may have another machine's id every night.) It grows only upwards, but for what this client itself
//! deletes, and for what its user says may be gone.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::MutexGuard;

use crate::codec::{Decoded, Put, Take};
use crate::id::ArchiveId;
use crate::meta::Timestamp;
use crate::repository::state::{frame, unframe};
use crate::repository::{Archive, ArchiveListing, Repository};
use crate::sync::lock;

const MAGIC: [u8; 8] = *b"VAULT\0S1";

/// An archive as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its id.
    pub id: ArchiveId,
    /// Host label.
    pub host: String,
    /// The series' name.
    pub name: String,
    /// Host sequence.
    pub sequence: u64,
    /// The time that it stands for.
    pub time: Timestamp,
}

impl Sighting {
    fn of(archive: &Archive) -> Self {
        let manifest = &archive.manifest;
        Self {
            id: archive.id,
            host: manifest.host.clone(),
            name: manifest.name.clone(),
            sequence: manifest.sequence,
            time: manifest.time,
        }
    }

    /// Whether nothing is lost if only this one is there: it is newer, or it holds the same (a writer that had to put its manifest
    /// again, and `undelete`, keep sequence, name and time).
    fn stands_for(&self, other: &Self) -> bool {
        self.sequence > other.sequence
            || (self.sequence == other.sequence && self.name == other.name && self.time == other.time)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put(self.id.as_bytes());
        out.put_str(self.host.as_bytes());
        out.put_str(self.name.as_bytes());
        out.put_u64(self.sequence);
        out.put_time(self.time);
    }

    fn decode(take: &mut Take<'_>) -> Decoded<Self> {
        Ok(Self {
            id: ArchiveId::from_bytes(take.id("archive")?),
            host: String::from_utf8_lossy(take.str("host label")?).into_owned(),
            name: String::from_utf8_lossy(take.str("name")?).into_owned(),
            sequence: take.u64("sequence")?,
            time: take.time("time")?,
        })
    }
}

/// The newest archive that a client has seen of each host label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    newest: BTreeMap<String, Sighting>,
}

impl Seen {
    /// As a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_count(self.newest.len());
        self.newest.values().for_each(|sighting| sighting.encode(&mut out));
        frame(MAGIC, &out)
    }

    /// From a file; `None` if it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut take = Take::new(unframe(MAGIC, bytes)?);
        let count = take.count(56, "archives").ok()?;
        let mut newest = BTreeMap::new();
        for _ in 0..count {
            let sighting = Sighting::decode(&mut take).ok()?;
            newest.insert(sighting.host.clone(), sighting);
        }
        take.end("archives").ok()?;
        Some(Self { newest })
    }

    fn observe(&mut self, sighting: &Sighting) {
        match self.newest.get(&sighting.host) {
            Some(before) if !sighting.stands_for(before) => {}
            _ => drop(self.newest.insert(sighting.host.clone(), sighting.clone())),
        }
    }

    fn forget(&mut self, ids: &[ArchiveId]) {
        self.newest.retain(|_, sighting| !ids.contains(&sighting.id));
    }

    /// What is neither listed, nor deleted with its mark still there, nor followed by anything newer of its host.
    fn gone(&self, listing: &ArchiveListing, present: &[Sighting]) -> Vec<Gone> {
        let counting: HashSet<ArchiveId> = listing.counting().collect();
        let is_here = |before: &Sighting| counting.contains(&before.id) || listing.deleted.contains(&before.id);
        let is_followed = |before: &Sighting| {
            present.iter().any(|sighting| sighting.host == before.host && sighting.stands_for(before))
        };
        let gone = self.newest.values().filter(|before| !is_here(before) && !is_followed(before));
        let gone = gone.map(|before| Gone {
            archive: before.clone(),
            has_manifest: listing.manifests.contains(&before.id),
            accepted: false,
        });
        gone.collect()
    }
}

/// An archive that was the newest of its host when this client saw it, and is not there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The archive.
    pub archive: Sighting,
    /// Whether only its mark is gone.
    pub has_manifest: bool,
    /// Whether it was forgotten, as the user wished.
    pub accepted: bool,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sighting { id, host, name, time, .. } = &self.archive;
        let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or(0);
        let made =
            jiff::Timestamp::new(time.seconds, nanoseconds).map_or_else(|_| "?".to_owned(), |time| time.to_string());
        let what = if self.has_manifest {
            "counted, and its mark is gone, so that it is not listed"
        } else {
            "was here and is gone"
        };
        write!(
            f,
            "archive aid:{id} {name} of {host}, made at {made}, {what}, and nothing newer of that host is here: the repository was \
             rolled back, or the archive was deleted and purged; if you did that, run `vault check --accept-rollback`, else bring \
             the repository back from a copy"
        )
    }
}

/// What a run goes by: the memory that it was given, and what it has listed itself.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    seen: Seen,
    present: Vec<Sighting>,
    gone: Vec<Gone>,
    accepts: bool,
}

impl Repository {
    /// Tells what this client has seen of the repository in earlier runs. Without it nothing is missed.
    pub fn recall(&self, seen: Seen) {
        self.witness().seen = seen;
    }

    /// What this client has seen, this run included.
    pub fn seen(&self) -> Seen {
        self.witness().seen.clone()
    }

    /// From now on an archive that is gone is forgotten instead of missed.
    pub fn accept_rollback(&self) {
        self.witness().accepts = true;
    }

    /// The archives that were missed when archives were last listed; after [`Self::accept_rollback`] those that were forgotten.
    pub fn gone(&self) -> Vec<Gone> {
        self.witness().gone.clone()
    }

    /// Compares archives that were listed and read with what was seen before, then adds them to it.
    pub(crate) fn compare_with_seen(&self, listing: &ArchiveListing, archives: &[Archive]) {
        let mut guard = self.witness();
        let witness = &mut *guard;
        witness.present = archives.iter().map(Sighting::of).collect();
        let gone = witness.seen.gone(listing, &witness.present);
        if witness.accepts {
            let ids: Vec<ArchiveId> = gone.iter().map(|gone| gone.archive.id).collect();
            witness.seen.forget(&ids);
            witness.gone.retain(|gone| gone.accepted);
            witness.gone.extend(gone.into_iter().map(|gone| Gone { accepted: true, ..gone }));
        } else {
            witness.gone = gone;
        }
        witness.present.iter().for_each(|sighting| witness.seen.observe(sighting));
    }

    /// Adds an archive that this run has made.
    pub(crate) fn saw(&self, archive: &Archive) {
        let sighting = Sighting::of(archive);
        let mut witness = self.witness();
        witness.seen.observe(&sighting);
        witness.present.push(sighting);
    }

    /// Nobody will miss what this run deletes itself.
    pub(crate) fn forget_deleted(&self, ids: &[ArchiveId]) {
        let mut guard = self.witness();
        let witness = &mut *guard;
        let deleted: HashSet<&ArchiveId> = ids.iter().collect();
        witness.present.retain(|sighting| !deleted.contains(&sighting.id));
        witness.seen.forget(ids);
        witness.present.iter().for_each(|sighting| witness.seen.observe(sighting));
    }

    fn witness(&self) -> MutexGuard<'_, Witness> {
        lock(&self.witness)
    }
}

#[cfg(test)]
mod tests;
