//! Whether the code takes the steps of docs/gc.md, in the order of the table that the model was searched with.

use std::collections::BTreeMap;

use vault_engine::store::{Kind, Verb};

use crate::protocol::{Follower, Place, Role, Step, Verb as Act};
use crate::trace::Asked;

/// How often each step was taken.
pub(crate) type Taken = BTreeMap<Step, u64>;

/// Follows one process.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    role: Role,
    now: Option<State>,
    /// As it was when a compaction had last looked.
    looked: Option<State>,
    /// Steps that were certain.
    pub(crate) taken: Taken,
}

#[derive(Clone, Debug)]
struct State {
    follower: Follower,
    /// What the last step may have been.
    last: Vec<Option<Step>>,
}

impl State {
    fn is_after(&self, steps: &[Step]) -> bool {
        self.last.iter().flatten().any(|step| steps.contains(step))
    }
}

impl Followed {
    pub(crate) fn new(role: Role) -> Self {
        let now = Some(State { follower: Follower::new(role), last: Vec::new() });
        Self { role, now, looked: None, taken: Taken::new() }
    }

    /// One operation; whether it is one that the protocol allows here. After one that is not, nothing is known.
    pub(crate) fn take(&mut self, asked: &Asked) -> bool {
        let Some((act, place)) = step_of(asked) else { return true };
        if self.role == Role::Compaction && self.is_beyond(act, place) {
            return true;
        }
        let Some(state) = &mut self.now else { return true };
        let possible = state.follower.take(act, place).to_vec();
        if let [Some(one)] = possible.as_slice()
            && state.last != possible
        {
            *self.taken.entry(*one).or_default() += 1;
        }
        state.last = possible;
        if state.last.is_empty() {
            self.now = None;
            return false;
        }
        if state.is_after(&[Step::LookPacks]) {
            self.looked = self.now.clone();
        }
        true
    }

    /// What a compaction does that is not in the table, because no step depends on it. Whether the operation is done with.
    fn is_beyond(&mut self, act: Act, place: Place) -> bool {
        let Some(state) = &self.now else { return true };
        match (act, place) {
            // Of several pending archives each is looked at when its turn comes, after the record as all of them.
            (Act::Inspect, Place::OkMark) if state.is_after(&[Step::ExpireManifest]) => true,
            // It counts for its report what it leaves. Nothing follows.
            (Act::List, Place::Record) if state.is_after(&[Step::TidyLook, Step::TidyManifest, Step::TidyMark]) => {
                self.now = None;
                true
            }
            // Not all could be copied, or it gave segments to packs that had none: it looks again, as if it had done nothing.
            (Act::List, Place::Record) if state.is_after(&[Step::CopySegment, Step::ReindexPut]) => {
                self.now.clone_from(&self.looked);
                false
            }
            // Without a look at the archives: to find what it could not read elsewhere, or what no segment names.
            (Act::List, Place::Segment) if state.is_after(&[Step::LookGc]) && self.looked.is_some() => {
                self.now.clone_from(&self.looked);
                true
            }
            _ => false,
        }
    }

    /// Whether a process that did all this may say that it succeeded.
    pub(crate) fn may_succeed(&self) -> bool {
        self.now.as_ref().is_none_or(|state| state.follower.may_succeed())
    }
}

/// An operation as the table has it; `None` for what is no part of the protocol.
fn step_of(asked: &Asked) -> Option<(Act, Place)> {
    if asked.ends {
        return None;
    }
    let act = match asked.verb {
        Verb::Put | Verb::Finish => Act::Put,
        Verb::List => Act::List,
        Verb::Read | Verb::ReadAt => Act::Read,
        Verb::Size => Act::Inspect,
        Verb::Remove => Act::Remove,
        Verb::Begin | Verb::Append => return None,
    };
    let place = match asked.kind {
        // Segments never change: one that was listed may be read at any time after, and one that has gone by then is missed.
        Kind::Index if act == Act::Read => return None,
        Kind::Packs => Place::Pack,
        Kind::Index => Place::Segment,
        Kind::Gc => Place::Record,
        Kind::Archives if asked.key.ends_with(".ok") => Place::OkMark,
        Kind::Archives if asked.key.ends_with(".del") => Place::DeletedMark,
        Kind::Archives => Place::Manifest,
        Kind::Config | Kind::Keys | Kind::Events | Kind::Sessions => return None,
    };
    Some((act, place))
}
