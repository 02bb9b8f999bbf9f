//! What was there before: repositories in which archives were made one after another and some of them deleted, so that from the first
//! moment on there is something to compact, and what is archived is held by archives and packs that are on their way out.

use std::sync::Arc;

use vault_engine::meta::Timestamp;
use vault_engine::ops::create::create;
use vault_engine::ops::delete::{DeleteOptions, delete};
use vault_engine::progress::Silent;
use vault_engine::simulation;
use vault_engine::store::{MemoryStore, Snapshot};

use crate::process::{create_options, wanted};
use crate::random::Random;
use crate::universe::{START, Universe, open};
use crate::world::Promises;

/// How many there are.
const HISTORIES: u64 = 12;
/// The seeds that they are made with are no others.
const FIRST: u64 = u64::MAX / 2;
const DAY: i64 = 24 * 3600;

/// A repository as some nights have left it.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) files: Snapshot,
    pub(crate) promises: Promises,
    /// What was archived.
    pub(crate) versions: Vec<usize>,
}

/// All of them; one is empty.
pub(crate) fn make(universe: &Universe) -> Vec<History> {
    let nothing = History {
        files: universe.empty.clone(),
        promises: Promises::default(),
        versions: (0..universe.versions.len()).collect(),
    };
    std::iter::once(nothing).chain((0..HISTORIES).map(|number| one(universe, number))).collect()
}

fn one(universe: &Universe, number: u64) -> History {
    let mut random = Random::new(number, "history");
    let store = MemoryStore::from_snapshot(&universe.empty);
    let (mut promises, mut versions) = (Promises::default(), Vec::new());
    let nights = random.between(2, 7);
    simulation::begin(FIRST + number, START);
    for night in 0..nights {
        let before = i64::try_from(nights - night).unwrap() * DAY;
        simulation::set_now(Timestamp { seconds: START.seconds - before, ..START });
        let version = random.below(universe.versions.len());
        universe.show(version);
        let host = u8::try_from(random.below(2)).unwrap();
        let repository = open(Arc::new(store.clone()), None, host);
        let created = create(&repository, &create_options(&format!("host{host}"), "srv", version), None, &Silent);
        let archive = created.expect("nothing is in its way").archive.expect("no dry run");
        promises.made.insert(archive.id, version);
        versions.push(version);
        if random.per_mille(500) {
            let options = DeleteOptions { archives: vec![wanted(&archive)], ..DeleteOptions::default() };
            delete(&repository, &options, &Silent).expect("nothing is in its way");
            promises.condemned.insert(archive.id);
            promises.deleted.insert(archive.id);
        }
    }
    simulation::end();
    History { files: store.snapshot(), promises, versions }
}
