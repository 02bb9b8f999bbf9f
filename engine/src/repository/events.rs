//! Events: sealed facts about an archive that somebody adds and nobody changes. What one event says another takes back, by its name.
//!
//! Two hosts that speak at the same time are both heard: whoever takes back names what he has seen, so a protection that was put
//! meanwhile stays. What cannot be read might protect an archive; whoever is about to delete one must ask [`Facts::trusted`].

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::clock;
use crate::error::{Error, Result};
use crate::format::file::Class;
use crate::format::records::Event;
use crate::id::{ArchiveId, FileId, ObjectId};
use crate::repository::{Core, Repository, decoded};
use crate::store::{Key, Kind};

/// The kind of event that protects an archive, or takes protection back.
const PROTECTED: u16 = 1;
/// The kind of event by which a repair says which objects an archive lacks for good, or that it lacks none of them any more.
const LOST: u16 = 5;
/// Objects that one event names: it stays far below what a small file may have.
const LOST_OBJECTS: usize = 16_384;
/// The value that takes back. Anything else protects: a later version may say more there.
const NOT: &[u8] = &[0];

/// What the events say of archives.
#[derive(Debug, Default)]
pub struct Facts {
    protections: HashMap<ArchiveId, Vec<FileId>>,
    losses: HashMap<ArchiveId, Losses>,
    unreadable: Vec<Error>,
}

/// What an archive lacks, and the events that say so.
#[derive(Debug, Default)]
struct Losses {
    events: Vec<FileId>,
    objects: HashSet<ObjectId>,
}

impl Facts {
    /// Whether an archive must not be deleted.
    pub fn is_protected(&self, archive: ArchiveId) -> bool {
        self.protections.contains_key(&archive)
    }

    /// Whether a repair has found that something of an archive is lost for good.
    pub fn is_incomplete(&self, archive: ArchiveId) -> bool {
        self.losses.contains_key(&archive)
    }

    /// The objects that an archive lacks for good.
    pub fn losses(&self, archive: ArchiveId) -> &HashSet<ObjectId> {
        static NONE: LazyLock<HashSet<ObjectId>> = LazyLock::new(HashSet::new);
        self.losses.get(&archive).map_or(&NONE, |losses| &losses.objects)
    }

    /// Every object that some archive lacks for good: that it is nowhere ends no compaction.
    pub(crate) fn lost_objects(&self) -> HashSet<ObjectId> {
        self.losses.values().flat_map(|losses| &losses.objects).copied().collect()
    }

    /// What is wrong with each event that cannot be read.
    pub fn unreadable(&self) -> &[Error] {
        &self.unreadable
    }

    /// The same for whoever wants to delete.
    ///
    /// # Errors
    /// An event cannot be read: it might be a protection.
    pub fn trusted(mut self) -> Result<Self> {
        const ADVICE: &str = "it may protect an archive, so nothing is deleted while it is there";
        match self.unreadable.pop() {
            None => Ok(self),
            Some(Error::Damaged { file, problem }) => {
                Err(Error::Damaged { file, problem: format!("{problem}; {ADVICE}") })
            }
            Some(Error::Unsupported { file, problem }) => {
                Err(Error::Unsupported { file, problem: format!("{problem}; {ADVICE}") })
            }
            Some(other) => Err(other),
        }
    }

    fn of(events: Vec<(FileId, Event)>) -> Self {
        let taken_back: HashSet<(ArchiveId, u16, FileId)> = events
            .iter()
            .flat_map(|(_, event)| event.replaces.iter().map(|name| (event.archive, event.kind, *name)))
            .collect();
        let mut facts = Self::default();
        for (name, event) in events {
            match event.kind {
                _ if taken_back.contains(&(event.archive, event.kind, name)) => {}
                PROTECTED if event.value != NOT => facts.protections.entry(event.archive).or_default().push(name),
                LOST if !event.value.is_empty() => {
                    let losses = facts.losses.entry(event.archive).or_default();
                    losses.events.push(name);
                    losses.objects.extend(event.value.as_chunks().0.iter().map(|id| ObjectId::from_bytes(*id)));
                }
                _ => {}
            }
        }
        facts
    }
}

impl Repository {
    /// Lists and reads events/.
    pub fn facts(&self) -> Result<Facts> {
        let names = self.core.store.list(Kind::Events)?.into_iter().filter_map(|file| FileId::from_hex(&file.name));
        let names: Vec<FileId> = names.collect();
        let read: Vec<_> = names.into_par_iter().map(|name| (name, read(&self.core, name))).collect();
        let (mut events, mut unreadable) = (Vec::new(), Vec::new());
        for (name, event) in read {
            match event {
                Ok(event) => events.extend(event.map(|event| (name, event))),
                Err(error @ (Error::Damaged { .. } | Error::Unsupported { .. })) => unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(Facts { unreadable, ..Facts::of(events) })
    }

    /// Protects an archive; durable when it returns.
    pub fn protect(&self, archive: ArchiveId) -> Result<()> {
        self.put_protection(archive, Vec::new(), &[1])
    }

    /// Takes back every protection of an archive that `facts` knows.
    pub fn unprotect(&self, archive: ArchiveId, facts: &Facts) -> Result<()> {
        let names = facts.protections.get(&archive).map(Vec::as_slice).unwrap_or_default();
        // One event can name so many; each of them leaves none of those that it names.
        for replaces in names.chunks(usize::from(u16::MAX)) {
            self.put_protection(archive, replaces.to_vec(), NOT)?;
        }
        Ok(())
    }

    fn put_protection(&self, archive: ArchiveId, replaces: Vec<FileId>, value: &[u8]) -> Result<()> {
        self.put_event(PROTECTED, archive, replaces, value)
    }

    /// Says which objects an archive lacks for good, in place of whatever `facts` knows; durable when it returns.
    pub(crate) fn put_losses(&self, archive: ArchiveId, lost: &[ObjectId], facts: &Facts) -> Result<()> {
        let mut before = facts.losses.get(&archive).map(|losses| losses.events.clone()).unwrap_or_default();
        if lost.is_empty() && before.is_empty() {
            return Ok(());
        }
        for objects in lost.chunks(LOST_OBJECTS) {
            let value: Vec<u8> = objects.iter().flat_map(|id| *id.as_bytes()).collect();
            self.put_event(LOST, archive, std::mem::take(&mut before), &value)?;
        }
        if before.is_empty() { Ok(()) } else { self.put_event(LOST, archive, before, &[]) }
    }

    fn put_event(&self, kind: u16, archive: ArchiveId, replaces: Vec<FileId>, value: &[u8]) -> Result<()> {
        self.check_writable()?;
        let (host_id, time) = (self.core.host_id, clock::now());
        let event = Event { archive, kind, host_id, time, replaces, value: value.to_vec() };
        self.core.put_sealed(Kind::Events, Class::Event, &event.encode())?;
        Ok(())
    }
}

/// One event; `None` if it is gone.
fn read(core: &Core, name: FileId) -> Result<Option<Event>> {
    let key = Key::file(Kind::Events, name);
    let Some(payload) = core.read_sealed(&key, Class::Event)? else { return Ok(None) };
    decoded(&key, Event::decode(&payload)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Timestamp;

    fn event(archive: u8, kind: u16, replaces: &[u8], value: &[u8]) -> Event {
        Event {
            archive: ArchiveId::from_bytes([archive; 32]),
            kind,
            host_id: [0; 16],
            time: Timestamp::default(),
            replaces: replaces.iter().map(|name| FileId::from_bytes([*name; 32])).collect(),
            value: value.to_vec(),
        }
    }

    /// Which of archives 1 and 2 are protected by events that are named 11, 12, …
    fn protected(events: &[Event]) -> Vec<u8> {
        let named = (11..).zip(events).map(|(name, event)| (FileId::from_bytes([name; 32]), event.clone()));
        let facts = Facts::of(named.collect());
        (1..=2).filter(|archive| facts.is_protected(ArchiveId::from_bytes([*archive; 32]))).collect()
    }

    #[test]
    fn a_protection_holds_until_it_is_taken_back_by_name() {
        assert_eq!(protected(&[]), [0; 0]);
        assert_eq!(protected(&[event(1, 1, &[], &[1])]), [1]);
        assert_eq!(protected(&[event(1, 1, &[], &[1]), event(1, 1, &[11], &[0])]), [0; 0]);
        assert_eq!(protected(&[event(1, 1, &[11], &[0]), event(1, 1, &[], &[1])]), [1], "it was not seen");
        assert_eq!(protected(&[event(1, 1, &[], &[1]), event(1, 1, &[], &[1]), event(1, 1, &[11], &[0])]), [1]);
    }

    #[test]
    fn only_a_protection_of_the_same_archive_takes_back() {
        assert_eq!(protected(&[event(1, 1, &[], &[1]), event(2, 1, &[11], &[0])]), [1]);
        assert_eq!(protected(&[event(1, 1, &[], &[1]), event(1, 2, &[11], &[0])]), [1]);
    }

    #[test]
    fn a_value_that_this_version_does_not_know_protects() {
        assert_eq!(protected(&[event(1, 1, &[], &[2]), event(2, 1, &[], &[])]), [1, 2]);
        assert_eq!(protected(&[event(1, 9, &[], &[1])]), [0; 0], "another kind says something else");
    }

    #[test]
    fn losses_stand_until_they_are_taken_back_by_name_and_kind() {
        let lost = |events: &[Event]| {
            let named = (11..).zip(events).map(|(name, event)| (FileId::from_bytes([name; 32]), event.clone()));
            let facts = Facts::of(named.collect());
            let mut lost: Vec<_> = facts.lost_objects().into_iter().map(|id| id.as_bytes()[0]).collect();
            lost.sort_unstable();
            lost
        };
        let both = [[7; 32], [8; 32]].concat();
        assert_eq!(lost(&[event(1, 5, &[], &both), event(2, 5, &[], &[9; 32])]), [7, 8, 9]);
        assert_eq!(lost(&[event(1, 5, &[], &both), event(1, 5, &[11], &[9; 32])]), [9]);
        assert_eq!(lost(&[event(1, 5, &[], &both), event(1, 5, &[11], &[])]), [0; 0]);
        assert_eq!(
            lost(&[event(1, 5, &[], &both), event(1, 1, &[11], &[])]),
            [7, 8],
            "another kind takes nothing back"
        );
        assert_eq!(lost(&[event(1, 5, &[], &both), event(2, 5, &[11], &[])]), [7, 8], "nor does another archive");
    }
}
