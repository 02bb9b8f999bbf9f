//! How often each object is referred to, and as what: four bytes a slot of the index, in a file, so that memory stays flat however many
//! objects there are.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::references::ObjectKind;
use crate::repository::Index;
use crate::sys::SharedWords;

/// Bits of a word that count. A count that has come so far stays there for ever, because nobody knows how far it would have gone.
const MOST: u32 = (1 << 28) - 1;
/// Kinds and their bits, the others of a word.
const KINDS: [(ObjectKind, u32); 4] = [
    (ObjectKind::Tree, 1 << 28),
    (ObjectKind::Stamps, 1 << 29),
    (ObjectKind::List, 1 << 30),
    (ObjectKind::Leaf(Purpose::Meta), 1 << 31),
];

/// A count for each slot.
#[derive(Debug)]
pub(super) struct Counts {
    words: SharedWords,
}

fn flag(kind: ObjectKind) -> u32 {
    let [(_, tree), (_, stamps), (_, list), (_, leaf)] = KINDS;
    match kind {
        ObjectKind::Tree => tree,
        ObjectKind::Stamps => stamps,
        ObjectKind::List => list,
        ObjectKind::Leaf(_) => leaf,
    }
}

impl Counts {
    /// All zero, for the slots of an index.
    pub(super) fn new(index: &Index) -> Result<Self> {
        let folder = index.folder();
        let words = SharedWords::new(folder, index.slots()).map_err(|source| Error::Local {
            action: "make a file for counts in",
            path: folder.to_owned(),
            source,
        })?;
        Ok(Self { words })
    }

    fn at(&self, slot: usize) -> Option<&AtomicU32> {
        self.words.words().get(slot)
    }

    /// Count and kinds in one number; 0 if nothing refers to it.
    pub(super) fn word(&self, slot: usize) -> u32 {
        self.at(slot).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Whether something refers to it, and only as this kind.
    pub(super) fn is_only(&self, slot: usize, kind: ObjectKind) -> bool {
        self.word(slot) & !MOST == flag(kind)
    }

    /// Takes over a number that `word` gave.
    pub(super) fn set(&self, slot: usize, value: u32) {
        if let Some(word) = self.at(slot) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.words.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Counts a reference. Whether it is the first as this kind: then what the object refers to has to be counted too.
    pub(super) fn add(&self, slot: usize, kind: ObjectKind) -> bool {
        let counted = |word: u32| (if word & MOST == MOST { word } else { word + 1 }) | flag(kind);
        self.at(slot).is_some_and(|word| {
            let before = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(counted(word)));
            before.is_ok_and(|before| before & flag(kind) == 0)
        })
    }

    /// Uncounts a reference. If it was the last: as which kinds the object's own references were counted. `None` if it was never counted.
    pub(super) fn remove(&self, slot: usize, kind: ObjectKind) -> Option<impl Iterator<Item = ObjectKind> + use<>> {
        let uncounted = |word: u32| match word & MOST {
            _ if word & flag(kind) == 0 => None,
            0 => None,
            1 => Some(0),
            MOST => Some(word),
            _ => Some(word - 1),
        };
        let before = self.at(slot)?.fetch_update(Ordering::Relaxed, Ordering::Relaxed, uncounted).ok()?;
        let kinds = if before & MOST == 1 { before & !MOST } else { 0 };
        Some(KINDS.into_iter().filter(move |(_, flag)| kinds & flag != 0).map(|(kind, _)| kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        Counts { words: SharedWords::new(&std::env::temp_dir(), 4).unwrap() }
    }

    fn kinds(found: Option<impl Iterator<Item = ObjectKind>>) -> Option<Vec<ObjectKind>> {
        found.map(Iterator::collect)
    }

    #[test]
    fn the_first_reference_as_a_kind_and_the_last_of_all_are_told() {
        let counts = counts();
        assert!(counts.add(1, ObjectKind::Tree));
        assert!(!counts.add(1, ObjectKind::Tree));
        assert!(counts.add(1, ObjectKind::List));
        assert_eq!(kinds(counts.remove(1, ObjectKind::Tree)), Some(vec![]));
        assert_eq!(kinds(counts.remove(1, ObjectKind::List)), Some(vec![]));
        assert_eq!(kinds(counts.remove(1, ObjectKind::Tree)), Some(vec![ObjectKind::Tree, ObjectKind::List]));
        assert_eq!(counts.word(1), 0);
        assert_eq!(kinds(counts.remove(1, ObjectKind::Tree)), None, "below zero");
        assert!(counts.add(2, ObjectKind::Stamps));
        assert_eq!(kinds(counts.remove(2, ObjectKind::Tree)), None, "never counted as that");
        assert_eq!(kinds(counts.remove(4, ObjectKind::Tree)), None, "no such slot");
    }

    #[test]
    fn a_count_that_is_full_stays() {
        let counts = counts();
        counts.add(0, ObjectKind::Tree);
        counts.set(0, counts.word(0) | MOST);
        assert!(!counts.add(0, ObjectKind::Tree));
        assert_eq!(kinds(counts.remove(0, ObjectKind::Tree)), Some(vec![]));
        assert_eq!(counts.word(0) & MOST, MOST);
    }
}
