//! What a compaction leaves alone for now: what was put by a session that may be alive, or be repeated. It saves work and
//! decides nothing (docs/gc.md §3, end): a writer whose packs are taken notices, and stores them again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::clock;
use crate::error::{Error, Result, StoreErrorKind};
use crate::format::file::{Class, HEADER_LEN, SessionId, open_file, session_in};
use crate::format::records::{SessionRecord, Verb};
use crate::id::unhex;
use crate::meta::Timestamp;
use crate::process::is_running;
use crate::repository::{Archive, Core, read_optional};
use crate::store::{Key, Kind};

/// What the sessions say: read once at the start of a compaction.
#[derive(Debug)]
pub(crate) struct Patience {
    own: SessionId,
    spared: HashSet<SessionId>,
    /// Of every session that has a file, whether its process may run.
    may_run: HashMap<SessionId, bool>,
    stale: Vec<Key>,
}

impl Patience {
    /// Lists and reads `sessions/`. `archives` are those that count. With a grace of zero nobody else is spared.
    pub(crate) fn read(core: &Core, archives: &[Archive], grace: Duration) -> Result<Self> {
        let (now, newest) = (clock::now(), newest_starts(archives));
        let mut patience =
            Self { own: core.session, spared: HashSet::new(), may_run: HashMap::new(), stale: Vec::new() };
        for (id, session) in read_sessions(core)? {
            let standing = session.standing(core, &newest, now);
            if standing.is_spared(grace) {
                patience.spared.insert(id);
            }
            patience.may_run.insert(id, standing.is_spared(grace) && standing.running != Some(false));
            if standing.is_stale(grace) {
                patience.stale.extend(session.files);
            }
        }
        Ok(patience)
    }

    /// Whether what this session put, and nobody refers to, is left alone.
    pub(crate) fn spares(&self, session: &SessionId) -> bool {
        *session == self.own || self.spared.contains(session)
    }

    /// Whether a session may still make a pending archive of its count: what was cut off never does, however soon it is repeated.
    /// `None` if nothing is known of it.
    pub(crate) fn may_run(&self, session: &SessionId) -> Option<bool> {
        if *session == self.own { Some(true) } else { self.may_run.get(session).copied() }
    }

    /// Whether there is anybody to be patient with: if not, nobody's packs need to be told apart.
    pub(crate) fn spares_any(&self) -> bool {
        !self.spared.is_empty()
    }

    /// Files of sessions that are over and superseded, or older than the grace: to be removed. None are our own.
    pub(crate) fn stale_files(&self) -> &[Key] {
        &self.stale
    }
}

/// The session that put a pack or a manifest, from its clear header; `None` if it is gone or has no header.
pub(crate) fn session_of(core: &Core, key: &Key) -> Result<Option<SessionId>> {
    let mut header = [0; HEADER_LEN];
    match core.store.read_at(key, 0, &mut header) {
        Ok(()) => Ok(session_in(&header)),
        Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Truncated) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A session as its files tell: one, or two if a renewal was cut off, or more if it had several writers.
#[derive(Debug)]
struct Session {
    record: SessionRecord,
    files: Vec<Key>,
}

impl Session {
    /// The newest time counts, the first start, and the series that any of them names.
    fn join(&mut self, other: SessionRecord, file: Key) {
        self.files.push(file);
        self.record.start = self.record.start.min(other.start);
        self.record.time = self.record.time.max(other.time);
        if self.record.series.is_empty() {
            self.record.series = other.series;
        }
    }

    fn standing(&self, core: &Core, newest: &Starts, now: Timestamp) -> Standing {
        let SessionRecord { host_id, verb, start, time, series, process } = &self.record;
        let known = newest.get(&(*host_id, series.clone()));
        let running = (*host_id == core.host_id).then(|| is_running(process)).flatten();
        // Only an archive goes on where it was cut off; what a compaction has copied is copied again.
        let repeatable = *verb == Verb::Create && !series.is_empty();
        let followed = repeatable && known.is_some_and(|newest| newest > start);
        Standing { running, superseded: followed || !repeatable && running == Some(false), age: apart(now, *time) }
    }
}

/// What matters of a session.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// `None` if that cannot be told from here.
    running: Option<bool>,
    /// An archive of its series counts that was started later, or it made none and is dead.
    superseded: bool,
    /// How far its newest file is from now, in whatever direction: clocks may be off either way.
    age: Duration,
}

impl Standing {
    fn is_spared(self, grace: Duration) -> bool {
        !grace.is_zero() && (self.running == Some(true) || !self.superseded && self.age <= grace)
    }

    fn is_stale(self, grace: Duration) -> bool {
        match self.running {
            Some(true) => false,
            Some(false) => self.superseded || self.age > grace,
            None => self.age > grace,
        }
    }
}

/// When the newest archive of a host and series was started, by that host's clock.
type Starts = HashMap<([u8; 16], String), Timestamp>;

fn newest_starts(archives: &[Archive]) -> Starts {
    let mut newest = Starts::new();
    for Archive { manifest, .. } in archives {
        let start = newest.entry((manifest.host_id, manifest.series())).or_insert(manifest.start);
        *start = (*start).max(manifest.start);
    }
    newest
}

/// Everybody's files but our own. One that cannot be opened spares nothing, and is not worth ending for.
fn read_sessions(core: &Core) -> Result<HashMap<SessionId, Session>> {
    let mut sessions: HashMap<SessionId, Session> = HashMap::new();
    for file in core.store.list(Kind::Sessions)? {
        let id = file.name.split_once('.').and_then(|(id, _)| unhex(id));
        let Some(id) = id.filter(|id| *id != core.session) else { continue };
        let key = Key::listed(Kind::Sessions, file.name);
        let Some(record) = read_record(core, &key, &id)? else { continue };
        match sessions.entry(id) {
            Entry::Occupied(mut known) => known.get_mut().join(record, key),
            Entry::Vacant(new) => drop(new.insert(Session { record, files: vec![key] })),
        }
    }
    Ok(sessions)
}

fn read_record(core: &Core, key: &Key, id: &SessionId) -> Result<Option<SessionRecord>> {
    let bytes = match read_optional(core.store.as_ref(), key) {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(Error::Store(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    // A file under another session's name would speak for that one.
    let put_by = bytes.first_chunk().and_then(session_in);
    let payload = open_file(&core.ring, Class::Session, &bytes).ok().filter(|_| put_by.as_ref() == Some(id));
    Ok(payload.and_then(|payload| SessionRecord::decode(&payload).ok()))
}

/// How far two times are from each other.
pub(super) fn apart(one: Timestamp, other: Timestamp) -> Duration {
    let nanoseconds = |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let apart = nanoseconds(one).abs_diff(nanoseconds(other));
    u64::try_from(apart).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests;
