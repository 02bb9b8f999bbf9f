//! Where trees and content lists are cut into parts: by content, so that a changed entry moves no other (docs/format.md §8).

/// Between how many and at most how many entries a part has, and how likely a cut is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitRule {
    /// A cut comes after at least this many entries.
    pub minimum: u16,
    /// So many low bits of the hash's first byte must be zero.
    pub bits: u8,
    /// A cut comes after at most this many entries.
    pub maximum: u16,
}

impl SplitRule {
    /// Whether a part of `entries` entries ends after one with this hash.
    pub fn cuts(self, entries: usize, hash: Option<&[u8; 32]>) -> bool {
        let mask = u8::try_from((1u16 << self.bits.min(8)) - 1).unwrap_or(u8::MAX);
        let marked = hash.and_then(|hash| hash.first()).is_some_and(|first| first & mask == 0);
        entries >= usize::from(self.maximum) || (marked && entries >= usize::from(self.minimum))
    }
}

/// Collects items into parts by a rule.
#[derive(Debug)]
pub struct Splitter<T> {
    rule: SplitRule,
    open: Vec<T>,
}

impl<T> Splitter<T> {
    /// With no items.
    pub fn new(rule: SplitRule) -> Self {
        Self { rule, open: Vec::new() }
    }

    /// Adds an item; gives a part when one is complete.
    pub fn push(&mut self, item: T, hash: Option<&[u8; 32]>) -> Option<Vec<T>> {
        self.open.push(item);
        self.rule.cuts(self.open.len(), hash).then(|| std::mem::take(&mut self.open))
    }

    /// How many items wait for their part to be complete.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.open.len()
    }

    /// The part that is open, if it holds anything.
    pub fn take(&mut self) -> Option<Vec<T>> {
        (!self.open.is_empty()).then(|| std::mem::take(&mut self.open))
    }
}

/// Splits a whole list.
pub fn split<T>(rule: SplitRule, items: Vec<T>, hash: impl Fn(&T) -> Option<[u8; 32]>) -> Vec<Vec<T>> {
    let mut splitter = Splitter::new(rule);
    let mut parts = Vec::new();
    for item in items {
        let hash = hash(&item);
        parts.extend(splitter.push(item, hash.as_ref()));
    }
    parts.extend(splitter.take());
    parts
}
