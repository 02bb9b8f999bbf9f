//! When all processes are gone, two compactions run alone leave a repository with nothing in it that nobody needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use vault_engine::format::file::{Class, open_file};
use vault_engine::format::records::GcRecord;
use vault_engine::format::segment::Segment;
use vault_engine::id::{ObjectId, PackId};
use vault_engine::ops::check::{CheckOptions, check};
use vault_engine::ops::compact::{CompactOptions, compact};
use vault_engine::progress::Silent;
use vault_engine::repository::Repository;
use vault_engine::store::{Key, Kind, MemoryStore, Snapshot, Store};

use crate::oracle::needed;
use crate::process::version_of;
use crate::universe::{Universe, open};

/// Compacts until nothing is left to do; the files then.
pub(crate) fn settle(universe: &Universe, files: &Snapshot) -> Result<Snapshot, String> {
    let store = MemoryStore::from_snapshot(files);
    let repository = open(Arc::new(store.clone()), None, 99);
    let options = CompactOptions { threshold: 0, grace: Duration::ZERO, jobs: Some(1), ..CompactOptions::default() };
    // What somebody deleted and somebody protected at the same time waits for one of them to change their mind.
    let (listing, facts) = (repository.list_archives(), repository.facts());
    let (listing, facts) = (listing.map_err(|error| error.to_string())?, facts.map_err(|error| error.to_string())?);
    for id in listing.deleted.into_iter().filter(|id| facts.is_protected(*id)) {
        repository.unprotect(id, &facts).map_err(|error| error.to_string())?;
    }
    for _ in 0..2 {
        compact(&repository, &options, &Silent).map_err(|error| format!("a compaction run alone: {error}"))?;
    }
    is_tidy(&repository, &store)?;
    holds_what_is_needed(universe, &repository, &store)?;
    let report = check(&repository, CheckOptions { read_data: true, jobs: Some(1) }, &Silent);
    let report = report.map_err(|error| format!("the check after two compactions: {error}"))?;
    if let Some(finding) = report.findings.first() {
        return Err(format!("after two compactions {}: {}", finding.file, finding.message));
    }
    Ok(store.snapshot())
}

/// No pending archive, no mark on its own, nothing deleted, no record but of an author who died, no session.
fn is_tidy(repository: &Repository, store: &MemoryStore) -> Result<(), String> {
    let listing = repository.list_archives().map_err(|error| error.to_string())?;
    if listing.manifests != listing.ok || !listing.deleted.is_empty() {
        return Err("after two compactions archives and marks do not match".to_owned());
    }
    for key in store.files().into_iter().filter(|key| key.kind() == Kind::Gc) {
        let payload =
            open_file(repository.ring(), Class::Gc, &read(store, &key)).map_err(|error| format!("{error:?}"))?;
        let record = GcRecord::decode(&payload).map_err(|error| error.to_string())?;
        if !record.packs.is_empty() || !record.pending.iter().any(|id| listing.manifests.contains(id)) {
            return Err(format!("after two compactions {key} is left"));
        }
    }
    match store.files().into_iter().find(|key| key.kind() == Kind::Sessions) {
        Some(key) => Err(format!("after two compactions {key} is left")),
        None => Ok(()),
    }
}

/// Packs and segments name each other, and hold every object that an archive needs, once, and no other.
fn holds_what_is_needed(universe: &Universe, repository: &Repository, store: &MemoryStore) -> Result<(), String> {
    let mut packs = BTreeSet::new();
    let mut held: Vec<ObjectId> = Vec::new();
    for key in store.files().into_iter().filter(|key| key.kind() == Kind::Index) {
        let bytes = read(store, &key);
        let payload = open_file(repository.ring(), Class::Index, &bytes).map_err(|error| format!("{error:?}"))?;
        for pack in Segment::decode(&payload).map_err(|error| error.to_string())?.packs {
            if !packs.insert(pack.id) {
                continue;
            }
            let blocks = pack.blocks().map_err(|error| error.to_string())?;
            held.extend(blocks.iter().flat_map(|block| block.entries.iter().map(|entry| entry.id)));
        }
    }
    let there: BTreeSet<PackId> = store
        .files()
        .iter()
        .filter(|key| key.kind() == Kind::Packs)
        .filter_map(|key| PackId::from_hex(key.name()))
        .collect();
    if packs != there {
        let (named, unnamed) = (packs.difference(&there).count(), there.difference(&packs).count());
        return Err(format!(
            "after two compactions {named} packs are named and gone, {unnamed} are there and not named"
        ));
    }
    let needed = needed_by_all(universe, repository)?;
    held.sort_unstable();
    let count = held.len();
    held.dedup();
    let unneeded = held.iter().filter(|id| !needed.contains(*id)).count();
    if unneeded > 0 || held.len() < count {
        let twice = count - held.len();
        return Err(format!("after two compactions {unneeded} objects are held for nobody, {twice} twice"));
    }
    Ok(())
}

fn needed_by_all(universe: &Universe, repository: &Repository) -> Result<BTreeSet<ObjectId>, String> {
    let listing = repository.list_archives().map_err(|error| error.to_string())?;
    let mut found = BTreeSet::new();
    for id in listing.manifests {
        let archive = repository.archive(id).map_err(|error| error.to_string())?.ok_or("a manifest is gone")?;
        found.extend(needed(&universe.versions[version_of(&archive)], &archive).map(|(_, object)| *object));
    }
    Ok(found)
}

fn read(store: &MemoryStore, key: &Key) -> Vec<u8> {
    store.read(key, u64::MAX).expect("a file that is there")
}
