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
    follower: Option<Follower>,
    /// What the last step may have been.
    last: Vec<Option<Step>>,
    /// Steps that were certain.
    pub(crate) taken: Taken,
}

impl Followed {
    pub(crate) fn new(role: Role) -> Self {
        Self { role, follower: Some(Follower::new(role)), last: Vec::new(), taken: Taken::new() }
    }

    /// One operation; whether it is one that the protocol allows here. After one that is not, nothing is known.
    pub(crate) fn take(&mut self, asked: &Asked) -> bool {
        let (Some(follower), Some((act, place))) = (&mut self.follower, step_of(self.role, asked)) else { return true };
        let possible = follower.take(act, place).to_vec();
        if let [Some(one)] = possible.as_slice()
            && self.last != possible
        {
            *self.taken.entry(*one).or_default() += 1;
        }
        let is_allowed = !possible.is_empty();
        if !is_allowed {
            self.follower = None;
        }
        self.last = possible;
        is_allowed
    }

    /// Whether a process that did all this may say that it succeeded.
    pub(crate) fn may_succeed(&self) -> bool {
        self.follower.as_ref().is_none_or(Follower::may_succeed)
    }
}

/// An operation as the table has it; `None` for what is no part of the protocol.
fn step_of(role: Role, asked: &Asked) -> Option<(Act, Place)> {
    if asked.ends {
        return None;
    }
    let act = match asked.verb {
        Verb::Put | Verb::Finish => Act::Put,
        Verb::List => Act::List,
        Verb::Read | Verb::ReadAt => Act::Read,
        Verb::Size => Act::Inspect,
        Verb::Remove => Act::Remove,
        Verb::Begin | Verb::Append | Verb::Keep => return None,
    };
    let place = match asked.kind {
        // Segments never change: one that was listed may be read when packs/ has been listed, and one that has gone by then is missed.
        Kind::Index if act == Act::Read && role == Role::Writer => return None,
        Kind::Packs => Place::Pack,
        Kind::Index => Place::Segment,
        Kind::Gc => Place::Record,
        Kind::Archives => match asked.key.split_once('.') {
            None => Place::Manifest,
            Some((_, "ok")) => Place::OkMark,
            Some(_) => Place::DeletedMark,
        },
        Kind::Config | Kind::Keys | Kind::Events | Kind::Sessions | Kind::Quarantine => return None,
    };
    Some((act, place))
}
