//! Hard links on the walk: the first member of a group is read, the others become what it became.

use super::Walk;
use crate::error::Result;
use crate::meta::LinkId;
use crate::ops::create::assembly::Place;
use crate::ops::create::run::{Link, link_key};
use crate::source::Stat;
use crate::sync::lock;

impl Walk<'_, '_, '_, '_> {
    /// The id of a group whose first member is looked at now (docs/format.md §7).
    pub(super) fn link_id(&self) -> LinkId {
        let mut path = self.argument.0.to_le_bytes().to_vec();
        path.extend_from_slice(self.path.get(self.argument.1..).unwrap_or_default());
        let hash = self.run.repository.ring().name_hash(&path);
        let mut id = LinkId::default();
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        id
    }

    /// The first member of a group gets its link id back and is read; the others take what it becomes.
    pub(super) fn join_link(&mut self, stat: &Stat, link: LinkId, place: Place, name: &[u8]) -> Result<Option<LinkId>> {
        let key = link_key(stat);
        let done = {
            let mut links = lock(&self.run.links);
            match links.get_mut(&key) {
                None => {
                    links.insert(key, Link::Reading(Vec::new()));
                    return Ok(Some(link));
                }
                Some(Link::Reading(waiting)) => {
                    waiting.push((place, self.path.clone()));
                    return Ok(None);
                }
                Some(Link::Done { entry, left }) => {
                    let entry = entry.clone();
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        links.remove(&key);
                    }
                    entry
                }
            }
        };
        let mut entry = *done;
        entry.node.name = name.to_vec();
        self.run.count('U', &self.path, &entry.node);
        place.fill(self.run, entry)?;
        Ok(None)
    }
}
