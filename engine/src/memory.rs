//! How many workers a limit on private memory allows.
//!
//! What a run holds grows with its workers and with nothing else: buffers, compressors, open blocks. The local index and counts are
//! mapped files, which the kernel takes back when it needs to. The numbers are what cgroups of that size have been measured to suffice
//! for, with room to spare (docs/performance.md).

use crate::error::{Error, Result};

/// As users write sizes.
const MB: u64 = 1_000_000;

/// What a kind of work holds at most, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// However many workers there are.
    base: u64,
    /// Each of them.
    worker: u64,
}

impl Need {
    /// Making archives: windows of files, blocks, compressors.
    pub const WRITE: Self = Self { base: 50 * MB, worker: 50 * MB };
    /// Reading them, and moving blocks from pack to pack. The base is what deriving a key from a passphrase takes before anything else is there.
    pub const READ: Self = Self { base: 76 * MB, worker: 24 * MB };

    /// Least limit that works.
    fn least(self) -> u64 {
        self.base + self.worker
    }

    /// How many workers a limit allows; `jobs` of them at most, or one a core.
    ///
    /// # Errors
    /// Not even one: says what is the least.
    pub fn workers(self, limit: Option<u64>, jobs: Option<usize>) -> Result<Option<usize>> {
        let Some(limit) = limit else { return Ok(jobs) };
        if limit < self.least() {
            let (limit, least) = (limit / MB, self.least() / MB);
            return Err(Error::Usage(format!("{limit}M of memory are too little: {least}M is the least that works")));
        }
        let allowed = usize::try_from((limit - self.base) / self.worker).unwrap_or(usize::MAX);
        let wanted = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Ok(Some(allowed.min(wanted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_allows_as_many_workers_as_fit() {
        let workers = |mb: u64, jobs| Need::WRITE.workers(Some(mb * MB), jobs);
        assert_eq!(workers(100, Some(8)).unwrap(), Some(1));
        assert_eq!(workers(149, Some(8)).unwrap(), Some(1));
        assert_eq!(workers(150, Some(8)).unwrap(), Some(2));
        assert_eq!(workers(10_000, Some(8)).unwrap(), Some(8), "no more than are wanted");
        assert_eq!(Need::WRITE.workers(None, Some(3)).unwrap(), Some(3));
        assert_eq!(Need::WRITE.workers(None, None).unwrap(), None);
        assert!(workers(99, None).is_err_and(|error| error.to_string().contains("100M")));
    }
}
