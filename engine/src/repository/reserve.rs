//! Deleting on a disk that is full: the store keeps some room for that.

use crate::error::{Error, Result, StoreErrorKind};
use crate::repository::Core;
use crate::store::Store;

impl Core {
    /// Puts what is needed in order to free space. If there is no room, what the store keeps in reserve is given back,
    /// and `put` is asked once more: it must seal anew, because no name is used twice (marks have fixed bytes).
    pub(crate) fn with_reserve<T>(&self, put: impl FnMut() -> Result<T>) -> Result<T> {
        with_reserve(self.store.as_ref(), put)
    }
}

fn with_reserve<T>(store: &dyn Store, mut put: impl FnMut() -> Result<T>) -> Result<T> {
    match put() {
        // Again even if there was none: another may have spent it since. If it cannot be spent, what matters is that
        // there is no room.
        Err(Error::Store(full)) if full.kind == StoreErrorKind::NoSpace => match store.spend_reserve() {
            Ok(_) => put(),
            Err(_) => Err(full.into()),
        },
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::StoreError;
    use crate::store::LocalStore;

    fn failure(kind: StoreErrorKind) -> Error {
        StoreError::new("put", "archives/x.del", kind).into()
    }

    #[test]
    fn what_finds_no_room_is_put_once_more_and_nothing_else_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = LocalStore::create(folder.path().join("repository")).unwrap();
        let reserve = store.path().join("reserve");
        let puts = Cell::new(0);
        let counted = |result: &dyn Fn() -> Result<u8>| {
            puts.set(0);
            with_reserve(&store, || {
                puts.set(puts.get() + 1);
                result()
            })
        };
        assert_eq!(counted(&|| Ok(7)).unwrap(), 7);
        counted(&|| Err(failure(StoreErrorKind::Denied))).unwrap_err();
        assert!(puts.get() == 1 && reserve.exists(), "nothing else spends it");

        let full = || if reserve.exists() { Err(failure(StoreErrorKind::NoSpace)) } else { Ok(8) };
        assert_eq!(counted(&full).unwrap(), 8);
        assert!(puts.get() == 2 && !reserve.exists());

        let error = counted(&|| Err(failure(StoreErrorKind::NoSpace))).unwrap_err();
        assert!(matches!(error, Error::Store(error) if error.kind == StoreErrorKind::NoSpace));
        assert_eq!(puts.get(), 2, "no more than once");
    }
}
