//! Content lists as a whole: from extents to the object that a node names, and back.

use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::list::{Extent, List};
use crate::format::split::{SplitRule, Splitter};
use crate::format::{LEVELS, level_fits};
use crate::id::ObjectId;
use crate::meta::Content;
use crate::repository::Reader;

/// Part of a file, by what a list says of it: bytes covered, and the object.
type Part = (u64, ObjectId);

/// Stores a list; gives its id.
pub(crate) type Put<'a> = dyn FnMut(&[u8]) -> Result<ObjectId> + 'a;

/// A content list that grows with its file. Lists are stored as they fill, so of a file of any length one open list of each level is in memory.
#[derive(Debug)]
pub(crate) struct ListWriter {
    rule: SplitRule,
    /// Bytes of the file so far.
    size: u64,
    extents: Row<Extent>,
    /// What is to be in branches of level 1, of level 2, and so on.
    parts: Vec<Row<Part>>,
}

impl ListWriter {
    /// Of a file of no bytes so far.
    pub(crate) fn new(rule: SplitRule) -> Self {
        Self { rule, size: 0, extents: Row::new(rule), parts: Vec::new() }
    }

    /// Bytes of the file so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds what comes next. Neighbours of one kind are merged: a run of zeros or a hole is one entry, however it was found.
    pub(crate) fn push(&mut self, extent: Extent, put: &mut Put<'_>) -> Result<()> {
        self.size += extent.length();
        match (&mut self.extents.last, extent) {
            (_, Extent::Zeros(0) | Extent::Hole(0)) => Ok(()),
            (Some(Extent::Zeros(length)), Extent::Zeros(more)) | (Some(Extent::Hole(length)), Extent::Hole(more)) => {
                *length += more;
                Ok(())
            }
            _ => match self.extents.push(extent) {
                Some(full) => self.store(List::Leaf(full), put),
                None => Ok(()),
            },
        }
    }

    /// Stores a list that is full, and those above it that become full by that.
    fn store(&mut self, mut list: List, put: &mut Put<'_>) -> Result<()> {
        loop {
            let level = usize::from(list.level());
            if level == self.parts.len() {
                self.parts.push(Row::new(self.rule));
            }
            let part = (list.covered(), put(&list.encode())?);
            let Some(parts) = self.parts.get_mut(level).and_then(|row| row.push(part)) else { return Ok(()) };
            list = List::Branch { level: level_above(list.level())?, parts };
        }
    }

    /// What a node says of the file.
    pub(crate) fn finish(mut self, put: &mut Put<'_>) -> Result<Content> {
        match self.extents.end() {
            Rest::None => return Ok(Content::Empty),
            Rest::Only(Extent::Chunk { id, .. }) => return Ok(Content::Chunk(id)),
            Rest::Only(extent) => self.store(List::Leaf(vec![extent]), put)?,
            Rest::List(extents) => self.store(List::Leaf(extents), put)?,
        }
        let mut level = 0;
        while let Some(row) = self.parts.get_mut(usize::from(level)) {
            let parts = match row.end() {
                Rest::Only((_, id)) => return Ok(Content::List(id)),
                Rest::List(parts) => parts,
                Rest::None => break,
            };
            level = level_above(level)?;
            self.store(List::Branch { level, parts }, put)?;
        }
        Err(Error::Internal("a content list without a root".to_owned()))
    }
}

/// Items of one level, collected into lists. It is one item behind: one that is alone on its level needs no list above it, and nobody knows
/// that it is alone before the next one comes.
#[derive(Debug)]
struct Row<T> {
    last: Option<T>,
    open: Splitter<T>,
    /// Whether `last` is not the first.
    several: bool,
}

/// What is left of a row at the end.
enum Rest<T> {
    None,
    Only(T),
    List(Vec<T>),
}

impl<T: Hashed> Row<T> {
    fn new(rule: SplitRule) -> Self {
        Self { last: None, open: Splitter::new(rule), several: false }
    }

    /// Adds an item; gives a list when one is full.
    fn push(&mut self, item: T) -> Option<Vec<T>> {
        let before = self.last.replace(item)?;
        self.several = true;
        self.settle(before)
    }

    fn settle(&mut self, item: T) -> Option<Vec<T>> {
        let hash = item.hash();
        self.open.push(item, hash.as_ref())
    }

    fn end(&mut self) -> Rest<T> {
        let Some(last) = self.last.take() else { return Rest::None };
        if !self.several {
            return Rest::Only(last);
        }
        self.settle(last).or_else(|| self.open.take()).map_or(Rest::None, Rest::List)
    }
}

/// By what lists are split: an id, or nothing.
trait Hashed {
    fn hash(&self) -> Option<[u8; 32]>;
}

impl Hashed for Extent {
    fn hash(&self) -> Option<[u8; 32]> {
        match self {
            Self::Chunk { id, .. } => Some(*id.as_bytes()),
            Self::Zeros(_) | Self::Hole(_) => None,
        }
    }
}

impl Hashed for Part {
    fn hash(&self) -> Option<[u8; 32]> {
        Some(*self.1.as_bytes())
    }
}

/// The next level of a tree or list.
///
/// # Errors
/// No reader takes it: a repository whose parts are absurdly small cannot hold what has so many of them.
pub(crate) fn level_above(level: u8) -> Result<u8> {
    if level < LEVELS {
        return Ok(level + 1);
    }
    let problem = format!("it splits directories and files into so small parts that one has more than {LEVELS} levels");
    Err(Error::Unsupported { file: "config".to_owned(), problem })
}

/// What is met on the way through a content list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InList {
    /// A list, before what is in it.
    List(ObjectId),
    /// An extent, in order.
    Extent(Extent),
}

/// Calls back with every extent of a content list, in order, one leaf in memory at a time, and with the id of every list on the way.
pub(crate) fn walk_list(reader: &Reader<'_>, root: ObjectId, each: &mut dyn FnMut(InList) -> Result<()>) -> Result<()> {
    let mut ahead = vec![(root, None)];
    while let Some((id, above)) = ahead.pop() {
        each(InList::List(id))?;
        let bytes = reader.object(Purpose::Meta, &id)?;
        let damaged = |problem: String| Error::Damaged { file: format!("content list {}", id.to_hex()), problem };
        let decoded = List::decode(&bytes).map_err(|error| damaged(error.to_string()))?;
        if !level_fits(decoded.level(), above) {
            return Err(damaged("it is of another level than the list above says".to_owned()));
        }
        match decoded {
            List::Leaf(extents) => extents.into_iter().try_for_each(|extent| each(InList::Extent(extent)))?,
            List::Branch { level, parts } => ahead.extend(parts.into_iter().rev().map(|(_, id)| (id, Some(level)))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
