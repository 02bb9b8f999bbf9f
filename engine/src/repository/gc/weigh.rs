//! How much of each pack lives: one pass over the index, in order of ids, in memory for one record a pack.
//!
//! An object that is stored several times lives in one place: in the pack that holds most of what lives nowhere else, so that the other
//! copies die together. Sizes inside a block are taken to be equal; nothing but the choice of packs depends on it.

use crate::error::Result;
use crate::format::block::HEAD_LEN;
use crate::format::file::Class;
use crate::id::{ObjectId, PackId};
use crate::repository::Index;
use crate::repository::gc::live::Live;
use crate::repository::index::{PackState, Scanned, ScannedCopy};

/// Fractions of a byte in which an object's share of its block is counted.
const FRACTION: u32 = 16;
/// So many missing objects are named.
const NAMED: usize = 16;

/// A pack that the index knows.
#[derive(Clone, Debug)]
pub(crate) struct PackWeight {
    /// Its name.
    pub id: PackId,
    /// The size that the index gives.
    pub size: u64,
    /// Data or meta.
    pub class: Class,
    /// What the look says of it.
    pub state: PackState,
    /// Objects that live, that have no good copy, and of which this condemned pack has one.
    pub owed: u64,
    total: u64,
    unique: u64,
    live: u64,
}

impl PackWeight {
    /// Sealed bytes of what lives here.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live >> FRACTION
    }

    /// Whether anything lives here.
    pub(crate) fn is_dead(&self) -> bool {
        self.live == 0
    }

    /// Whether at least so many hundredths are dead, and anything is at all.
    pub(crate) fn is_dead_by(&self, percent: u8) -> bool {
        self.dead() > 0 && u128::from(self.dead()) * 100 >= u128::from(self.total) * u128::from(percent)
    }

