//! Sessions: a writer says that it is alive, so that a compaction does not condemn what it has just put. It saves work and decides nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock;
use crate::error::Result;
use crate::format::file::{Class, seal_file};
use crate::format::records::{SessionRecord, Verb};
use crate::repository::Core;
use crate::store::Key;

/// A session file that is renewed now and then and removed at the end.
#[derive(Debug)]
pub(crate) struct Session {
    core: Arc<Core>,
    record: SessionRecord,
    number: u64,
}

impl Session {
    /// Announces a writer.
    pub(crate) fn begin(core: &Arc<Core>, verb: Verb) -> Result<Self> {
        let record = SessionRecord { host_id: core.host_id, verb, start: clock::now() };
        let session = Self { core: Arc::clone(core), record, number: next_number(core) };
        session.put()?;
        Ok(session)
    }

    /// A new file; then the older one goes.
    pub(crate) fn renew(&mut self) -> Result<()> {
        let older = std::mem::replace(&mut self.number, next_number(&self.core));
        self.put()?;
        self.core.store.remove(&Key::session(&self.core.session, older))?;
        Ok(())
    }

    fn put(&self) -> Result<()> {
        let bytes = seal_file(&self.core.ring, Class::Session, self.core.session, &self.record.encode())?;
        self.core.store.put(&Key::session(&self.core.session, self.number), &bytes)?;
        Ok(())
    }
}

fn next_number(core: &Core) -> u64 {
    core.session_files.fetch_add(1, Ordering::Relaxed)
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever finds it later sees a session that is no longer renewed: it costs nothing but a line in a listing.
        let _ = self.core.store.remove(&Key::session(&self.core.session, self.number));
    }
}
