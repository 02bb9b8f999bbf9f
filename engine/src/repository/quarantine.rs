//! What a repair sets aside: the file's bytes under another name, which no other run reads. It leaves when somebody says so, never by itself.

use crate::error::Result;
use crate::repository::Core;
use crate::store::{Key, Kind, Store};

impl Core {
    /// [`keep_aside`], on a full disk too.
    pub(crate) fn keep_aside(&self, key: &Key) -> Result<()> {
        self.with_reserve(|| keep_aside(self.store.as_ref(), key))
    }

    /// Keeps a file in the quarantine and removes it from its place.
    pub(crate) fn set_aside(&self, key: &Key) -> Result<()> {
        self.keep_aside(key)?;
        Ok(self.store.remove(key)?)
    }
}

/// Keeps a file in the quarantine, durable when it returns; its own name stays until it is removed. What a repair that was cut off has
/// kept already is not kept twice. A file that is gone is no error.
pub(crate) fn keep_aside(store: &dyn Store, key: &Key) -> Result<()> {
    let Some(size) = store.size(key)? else { return Ok(()) };
    for number in 1.. {
        let kept = name(key, number);
        match store.size(&kept)? {
            None => return Ok(store.keep_as(key, &kept)?),
            Some(same) if same == size && is_equal(store, key, &kept, size) => return Ok(()),
            Some(_) => {}
        }
    }
    Ok(())
}

/// `packs-01ab…`; `packs-01ab….2` where that is taken.
fn name(key: &Key, number: u32) -> Key {
    let path = match key.kind() {
        Kind::Config => "config".to_owned(),
        kind => format!("{}-{}", kind.folder(), key.name()),
    };
    Key::listed(Kind::Quarantine, if number == 1 { path } else { format!("{path}.{number}") })
}

/// Whether both can be read and hold the same.
fn is_equal(store: &dyn Store, one: &Key, other: &Key, size: u64) -> bool {
    const WINDOW: u64 = 1 << 20;
    let mut at = 0;
    while at < size {
        let length = usize::try_from(WINDOW.min(size - at)).unwrap_or(0);
        let (mut first, mut second) = (vec![0; length], vec![0; length]);
        let read = store.read_at(one, at, &mut first).and_then(|()| store.read_at(other, at, &mut second));
        if read.is_err() || first != second {
            return false;
        }
        at += length as u64;
    }
    true
}
