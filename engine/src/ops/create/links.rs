//! Groups of hard links: the first member that is met is read, the others become what it became.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::error::Result;
use crate::meta::{LinkId, Timestamp};
use crate::ops::create::assembly::{Entry, Place};
use crate::ops::create::run::Run;
use crate::source::Stat;
use crate::sync::lock;

/// What tells groups apart: device, inode and time of status change, because an inode number that is used again in the midst of a run is
/// another file.
type GroupKey = (u64, u64, Timestamp);

fn key_of(stat: &Stat) -> GroupKey {
    (stat.device, stat.inode, stat.ctime)
}

/// The groups that have been met.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<GroupKey, Group>>);

#[derive(Debug)]
enum Group {
    /// The first member is being read; these wait.
    Reading(Vec<Waiting>),
    /// What it became, and how many members have not been met.
    Done { id: LinkId, entry: Box<Entry>, left: u32 },
    /// All have been met, and little is remembered: a volume may be nothing but hard links. Who comes all the same, by another mount or
    /// another PATH, is read again as one of them, so that no chance decides what is a link of what.
    Met(LinkId),
}

/// A member that waits: its place, and its path for messages.
type Waiting = (Place, Vec<u8>);

/// The first member of a group, as the walk met it. It may have changed since; who waits for it waits under this key.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    key: GroupKey,
    links: u32,
    /// The group's id.
    pub(super) id: LinkId,
}

/// What a member is to do.
pub(super) enum Joined {
    /// It is the first, and is read.
    First(First),
    /// It gets its entry when the first one is done.
    Waits,
    /// The first one has become this.
    Becomes(Box<Entry>),
}

impl Links {
    /// Takes the next member of a group; `id` is the group's if it is the first.
    pub(super) fn join(&self, stat: &Stat, id: LinkId, place: &Place, path: &[u8]) -> Joined {
        let key = key_of(stat);
        let first = |id| Joined::First(First { key, links: stat.links, id });
        let mut groups = lock(&self.0);
        match groups.get_mut(&key) {
            None => {
                groups.insert(key, Group::Reading(Vec::new()));
                first(id)
            }
            Some(Group::Reading(waiting)) => {
                waiting.push((place.clone(), path.to_vec()));
                Joined::Waits
            }
            Some(Group::Done { id, entry, left }) => {
                let (id, entry) = (*id, entry.clone());
                *left = left.saturating_sub(1);
                if *left == 0 {
                    groups.insert(key, Group::Met(id));
                }
                Joined::Becomes(entry)
            }
            Some(Group::Met(id)) => {
                let id = *id;
                groups.insert(key, Group::Reading(Vec::new()));
                first(id)
            }
        }
    }

    /// Tells those who wait what the first member became, and those who come later; `now` is what it was when it was read. Without an entry
    /// they vanish with it.
    pub(super) fn resolve(&self, run: &Run<'_>, first: &First, now: &Stat, entry: Option<&Entry>) -> Result<()> {
        let waiting = {
            let mut groups = lock(&self.0);
            let waiting = match groups.remove(&first.key) {
                Some(Group::Reading(waiting)) => waiting,
                Some(Group::Done { .. } | Group::Met(_)) | None => Vec::new(),
            };
            if let Some(entry) = entry {
                let met = u32::try_from(waiting.len()).unwrap_or(u32::MAX).saturating_add(1);
                let left = first.links.saturating_sub(met);
                let group = |left| match left {
                    0 => Group::Met(first.id),
                    left => Group::Done { id: first.id, entry: Box::new(entry.clone()), left },
                };
                groups.insert(first.key, group(left));
                // Whoever is met after the change bears its time.
                if key_of(now) != first.key {
                    groups.entry(key_of(now)).or_insert_with(|| group(now.links.saturating_sub(1)));
                }
            }
            waiting
        };
        for (place, path) in waiting {
            if let Some(entry) = entry {
                let mut entry = entry.clone();
                entry.node.name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
                run.count('A', &path, &entry.node);
                place.fill(run, entry)?;
            } else {
                run.warn(&path, "not archived: it is a hard link of a file that disappeared before it could be read");
                place.vanish(run)?;
            }
        }
        Ok(())
    }
}
