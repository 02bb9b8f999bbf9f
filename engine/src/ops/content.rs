//! Content lists as a whole: from extents to the object that a node names, and back.

use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::list::{Extent, List};
use crate::format::split::{SplitRule, split};
use crate::format::{LEVELS, level_fits};
use crate::id::ObjectId;
use crate::meta::Content;
use crate::repository::Reader;

/// Merges neighbours of one kind: a run of zeros or a hole is one entry, however it was found.
pub(crate) fn push_extent(extents: &mut Vec<Extent>, extent: Extent) {
    match (extents.last_mut(), extent) {
        (_, Extent::Zeros(0) | Extent::Hole(0)) => {}
        (Some(Extent::Zeros(length)), Extent::Zeros(more)) | (Some(Extent::Hole(length)), Extent::Hole(more)) => {
            *length += more;
        }
        _ => extents.push(extent),
    }
}

/// What a node says of a file that is made of these extents; `put` stores lists.
pub(crate) fn store_content(
    rule: SplitRule,
    extents: Vec<Extent>,
    put: &mut dyn FnMut(&[u8]) -> Result<ObjectId>,
) -> Result<Content> {
    match extents.as_slice() {
        [] => return Ok(Content::Empty),
        [Extent::Chunk { id, .. }] => return Ok(Content::Chunk(*id)),
        _ => {}
    }
    let hash = |extent: &Extent| match extent {
        Extent::Chunk { id, .. } => Some(*id.as_bytes()),
        Extent::Zeros(_) | Extent::Hole(_) => None,
    };
    let mut store = |list: List| Ok::<_, Error>((list.covered(), put(&list.encode())?));
    let leaves = split(rule, extents, hash).into_iter().map(|part| store(List::Leaf(part)));
    let mut parts: Vec<(u64, ObjectId)> = leaves.collect::<Result<_>>()?;
    let mut level = 0;
    while parts.len() > 1 {
        level = level_above(level)?;
        let groups = split(rule, parts, |(_, id)| Some(*id.as_bytes()));
        parts = groups.into_iter().map(|parts| store(List::Branch { level, parts })).collect::<Result<_>>()?;
    }
    Ok(parts.first().map_or(Content::Empty, |(_, id)| Content::List(*id)))
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
mod tests {
    use super::*;

    #[test]
    fn what_no_reader_would_take_is_not_written() {
        let extents = |count: u64| (0..count).flat_map(|number| [Extent::Hole(number + 1), Extent::Zeros(1)]).collect();
        let small = SplitRule { minimum: 2, bits: 1, maximum: 2 };
        let store = |extents| {
            let mut highest = 0;
            let stored = store_content(small, extents, &mut |bytes| {
                if let Ok(List::Branch { level, .. }) = List::decode(bytes) {
                    highest = highest.max(level);
                }
                Ok(ObjectId::zero())
            });
            (stored.is_ok(), highest)
        };
        assert_eq!(store(extents(256)), (true, LEVELS));
        assert_eq!(store(extents(257)), (false, LEVELS));
    }
}
