//! Room for deleting. On a disk without a free block not even a mark of 80 bytes can be put, so nothing could ever be
//! deleted there; a file that holds no data is removed then.

use std::sync::Arc;

use crate::error::StoreError;
use crate::store::StoreResult;
use crate::store::local::root::Root;
use crate::store::local::upload::Session;

/// Its name in the repository's folder. It may be absent, and anybody may delete it.
pub(super) const NAME: &str = "reserve";

/// Enough for thousands of marks and for the record and index segment that a compaction begins with.
const BYTES: usize = 1 << 20;

/// Removes it; whether it was there.
pub(super) fn spend(root: &Root) -> StoreResult<bool> {
    let failed = |error| StoreError::io("remove", NAME, error);
    let spent = root.unlink(NAME).map_err(failed)?;
    if spent {
        // A journal gives blocks to nobody else before it has written down that they are free.
        root.sync_folder("").map_err(failed)?;
    }
    Ok(spent)
}

/// Makes it, if it is not there as long as it should be.
pub(super) fn keep(root: &Root, session: impl FnOnce() -> StoreResult<Arc<Session>>) -> StoreResult<()> {
    let size = root.size(NAME).map_err(|error| StoreError::io("look for", NAME, error))?;
    if size == Some(BYTES as u64) {
        return Ok(());
    }
    // Random, so that no file system makes less of it than it is.
    let mut bytes = vec![0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::io("fill", NAME, std::io::Error::other(error.to_string())))?;
    let mut upload = session()?.file()?;
    upload.write(NAME, &bytes)?;
    upload.name("", NAME)
}
