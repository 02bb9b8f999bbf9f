//! Which packs a check reads, and in which order.
//!
//! A repository of terabytes is not read in a night. A slice of it is: either every m-th pack by its name, which needs no memory, or
//! those that were verified longest ago, for which this client remembers when it verified each pack ([`Verified`]). Either way a pack
//! that is damaged after it was read is found when its turn comes again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::codec::{Put, Take};
use crate::format::segment::IndexedPack;
use crate::id::PackId;
use crate::repository::state::{frame, unframe};

const MAGIC: [u8; 8] = *b"VAULT\0V1";

/// How much of the packs is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// All of them.
    #[default]
    All,
    /// Those whose name, its first 8 bytes taken as a number, leaves `number - 1` when divided by `of`.
    Part {
        /// From 1 to `of`.
        number: u64,
        /// How many parts there are.
        of: u64,
    },
    /// Those that were verified longest ago, until they make up so many percent of the bytes of all; at least one.
    Percent(u8),
    /// Those that were verified longest ago, until they have so many bytes; at least one.
    Bytes(u64),
}

/// What of the packs a check reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// How much.
    pub share: Share,
    /// No pack is begun after this.
    pub max_duration: Option<Duration>,
}

/// When this client verified which pack: nanoseconds since 1970, because two slices may be read within a second. It decides which pack is read next, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    times: BTreeMap<PackId, u64>,
}

impl Verified {
    /// As a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.times.len() * 40);
        out.put_count(self.times.len());
        for (pack, time) in &self.times {
            out.put(pack.as_bytes());
            out.put_u64(*time);
        }
        frame(MAGIC, &out)
    }

    /// From a file; one that is damaged knows nothing, which costs time only.
    pub fn decode(bytes: &[u8]) -> Self {
        Self::try_decode(bytes).unwrap_or_default()
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let mut take = Take::new(unframe(MAGIC, bytes)?);
        let count = take.count(40, "packs").ok()?;
        let mut times = BTreeMap::new();
        for _ in 0..count {
            times.insert(PackId::from_bytes(take.id("pack").ok()?), take.u64("time").ok()?);
        }
        take.end("packs").ok()?;
        Some(Self { times })
    }

    /// How many packs it knows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// When a pack was verified. A time to come was read from a clock that was wrong, and counts as never: else that pack would be
    /// the last of all until the time has come.
    fn time(&self, pack: &PackId, now: u64) -> Option<u64> {
        self.times.get(pack).copied().filter(|time| *time <= now)
    }

    /// A pack was sound at this time.
    pub(super) fn record(&mut self, pack: PackId, now: u64) {
        self.times.insert(pack, now);
    }

    /// A pack was not: it is the first to be read again.
    pub(super) fn forget(&mut self, pack: &PackId) {
        self.times.remove(pack);
    }

    /// Drops packs that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(&PackId) -> bool) {
        self.times.retain(|pack, _| exists(pack));
    }
}

/// The packs of a share, those that were verified longest ago first.
pub(super) fn choose<'a>(
    mut packs: Vec<&'a IndexedPack>,
    share: Share,
    verified: &Verified,
    now: u64,
) -> Vec<&'a IndexedPack> {
    let total: u64 = packs.iter().map(|pack| pack.size).sum();
    // None, never, comes before any time.
    packs.sort_by_cached_key(|pack| (verified.time(&pack.id, now), pack.id));
    let wanted = match share {
        Share::All => return packs,
        Share::Part { number, of } => {
            packs.retain(|pack| part_of(&pack.id, of) == number);
            return packs;
        }
        Share::Percent(percent) => u128::from(total) * u128::from(percent),
        Share::Bytes(bytes) => u128::from(bytes) * 100,
    };
    let mut reached = 0;
    let first_left = packs.iter().position(|pack| {
        let enough = reached >= wanted && reached > 0;
        reached += u128::from(pack.size) * 100;
        enough
    });
    packs.truncate(first_left.unwrap_or(packs.len()));
    packs
}

/// In which of so many parts a pack is, from 1 on.
fn part_of(pack: &PackId, of: u64) -> u64 {
    let first = pack.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    first.checked_rem(of).map_or(0, |rest| rest + 1)
}

#[cfg(test)]
mod tests;
