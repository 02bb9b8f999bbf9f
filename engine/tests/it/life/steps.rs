//! What can happen.

use proptest::prelude::*;
use proptest::sample::Index;

/// A file is written anew, or removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub file: u8,
    pub seed: u8,
    pub size: Option<u32>,
}

/// A file of the repository loses a bit, its end, or all of itself.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub which: Index,
    pub at: Index,
    pub cut: bool,
    pub gone: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Do {
    Change(Vec<Change>),
    Create { series: u8 },
    Prune { keep_last: u32 },
    Delete { which: Index },
    Undelete { which: Index },
    Compact { threshold: u8 },
    Damage(Damage),
    Repair,
}

/// Something that happens, and at which operation of the store it is killed: before it, or after it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub what: Do,
    pub killed: Option<(u16, bool)>,
}

fn change() -> impl Strategy<Value = Change> {
    let size = prop_oneof![6 => 0..5000_u32, 2 => 5000..60_000_u32, 1 => 200_000..700_000_u32];
    (0..8_u8, any::<u8>(), prop::option::weighted(0.8, size)).prop_map(|(file, seed, size)| Change { file, seed, size })
}

fn damage() -> impl Strategy<Value = Damage> {
    let parts = (any::<Index>(), any::<Index>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    parts.prop_map(|(which, at, cut, gone)| Damage { which, at, cut, gone })
}

fn what() -> impl Strategy<Value = Do> {
    prop_oneof![
        4 => prop::collection::vec(change(), 1..6).prop_map(Do::Change),
        6 => (0..2_u8).prop_map(|series| Do::Create { series }),
        1 => (1..4_u32).prop_map(|keep_last| Do::Prune { keep_last }),
        2 => any::<Index>().prop_map(|which| Do::Delete { which }),
        2 => any::<Index>().prop_map(|which| Do::Undelete { which }),
        3 => (0..=100_u8).prop_map(|threshold| Do::Compact { threshold }),
        1 => damage().prop_map(Do::Damage),
        1 => Just(Do::Repair),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let killed = prop::option::weighted(0.25, (0..60_u16, any::<bool>()));
    prop::collection::vec((what(), killed).prop_map(|(what, killed)| Step { what, killed }), 8..24)
}
