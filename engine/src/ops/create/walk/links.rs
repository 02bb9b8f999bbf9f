//! Hard links on the walk: the first member of a group is read, the others become what it became.

use super::Walk;
use crate::error::Result;
use crate::meta::LinkId;
use crate::ops::create::assembly::Place;
use crate::ops::create::links::{First, Joined};
use crate::source::Stat;

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

    /// The first member of a group is read, the others take what it becomes.
    pub(super) fn join_link(&mut self, stat: &Stat, place: &Place, name: &[u8]) -> Result<Option<First>> {
        match self.run.links.join(stat, self.link_id(), place, &self.path) {
            Joined::First(first) => Ok(Some(first)),
            Joined::Waits => Ok(None),
            Joined::Becomes(mut entry) => {
                entry.node.name = name.to_vec();
                self.run.count('U', &self.path, &entry.node);
                place.clone().fill(self.run, *entry)?;
                Ok(None)
            }
        }
    }
}
