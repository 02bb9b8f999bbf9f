//! Sessions: a writer says that it is alive, so that a compaction does not condemn what it has just put. It saves work and decides nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock;
use crate::error::Result;
use crate::format::file::Class;
use crate::format::records::{SessionRecord, Verb};
use crate::process::ProcessId;
use crate::repository::Core;
use crate::store::Key;

/// What a writer says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    /// What it does.
    pub(crate) verb: Verb,
    /// `HOST/NAME` of the archive that it makes, or empty.
    pub(crate) series: String,
}

/// A session file that is renewed now and then and removed at the end. If the end is never reached, that of a run which
/// makes an archive stays: the next run of its series takes up what this one has put.
#[derive(Debug)]
pub(crate) struct Session {
    core: Arc<Core>,
    record: SessionRecord,
    number: u64,
    ended: bool,
}

impl Session {
    /// Announces a writer.
    pub(crate) fn begin(core: &Arc<Core>, announcement: Announcement) -> Result<Self> {
        let Announcement { verb, series } = announcement;
        let (start, process) = (clock::now(), ProcessId::own());
        let record = SessionRecord { host_id: core.host_id, verb, start, time: start, series, process };
        let session = Self { core: Arc::clone(core), record, number: next_number(core), ended: false };
        session.put()?;
        Ok(session)
    }

    /// A new file; then the older one goes, where files may be removed.
    pub(crate) fn renew(&mut self) -> Result<()> {
        let older = std::mem::replace(&mut self.number, next_number(&self.core));
        self.record.time = clock::now();
        self.put()?;
        self.remove(older);
        Ok(())
    }

    /// Nobody needs to be patient with what this session put any more.
    pub(crate) fn end(mut self) {
        self.ended = true;
    }

    /// Whoever finds one that stays takes the newest of a session, or sees one that is no longer renewed: it costs a line in a listing.
    fn remove(&self, number: u64) {
        let _ = self.core.store.remove(&Key::session(&self.core.session, number));
    }

    fn put(&self) -> Result<()> {
        let payload = self.record.encode();
        let bytes = self.core.seal_verified(Class::Session, &payload, &|opened| opened == payload)?;
        self.core.store.put(&Key::session(&self.core.session, self.number), &bytes)?;
        Ok(())
    }
}

fn next_number(core: &Core) -> u64 {
    core.session_files.fetch_add(1, Ordering::Relaxed)
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.ended || self.record.series.is_empty() {
            self.remove(self.number);
        }
    }
}
