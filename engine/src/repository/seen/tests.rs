//! What is missed of what was seen, and what never is.

use super::*;

fn sighting(id: u8, host: &str, sequence: u64) -> Sighting {
    Sighting {
        id: ArchiveId::from_bytes([id; 32]),
        host: host.to_owned(),
        name: "name".to_owned(),
        sequence,
        time: Timestamp { seconds: i64::from(id), nanoseconds: 0 },
    }
}

fn seen(sightings: &[Sighting]) -> Seen {
    let mut seen = Seen::default();
    for sighting in sightings {
        seen.observe(sighting);
    }
    seen
}

/// A listing in which these count.
fn listing(present: &[Sighting]) -> ArchiveListing {
    let ids: HashSet<ArchiveId> = present.iter().map(|sighting| sighting.id).collect();
    ArchiveListing { manifests: ids.clone(), ok: ids, deleted: HashSet::new() }
}

/// The first bytes of the ids that are missed.
fn missed(before: &[Sighting], now: &[Sighting]) -> Vec<u8> {
    seen(before).gone(&listing(now), now).iter().map(|gone| gone.archive.id.as_bytes()[0]).collect()
}

#[test]
fn the_newest_of_a_host_is_missed_and_nothing_else() {
    let all = [sighting(1, "a", 1), sighting(2, "a", 2), sighting(3, "b", 1)];
    assert_eq!(missed(&all, &all), [0; 0]);
    assert_eq!(missed(&all, &all[..2]), [3], "all of b");
    assert_eq!(missed(&all, &[all[0].clone(), all[2].clone()]), [2], "rolled back by one");
    assert_eq!(missed(&all, &all[1..]), [0; 0], "older ones are pruned");
    assert_eq!(missed(&all, &[sighting(9, "a", 3), all[2].clone()]), [0; 0], "life has gone on");
    assert_eq!(missed(&all, &[sighting(9, "a", 2), all[2].clone()]), [2], "another took its number");
    assert_eq!(missed(&all, &[]), [2, 3]);
    assert_eq!(missed(&[], &all), [0; 0]);
}

#[test]
fn an_archive_that_was_put_again_stands_for_the_first() {
    let first = sighting(1, "a", 5);
    let again = Sighting { id: ArchiveId::from_bytes([2; 32]), ..first.clone() };
    assert_eq!(missed(std::slice::from_ref(&first), &[again]), [0; 0]);
}

#[test]
fn what_is_deleted_and_not_purged_is_still_here() {
    let one = sighting(1, "a", 1);
    let mut listing = listing(std::slice::from_ref(&one));
    listing.deleted.insert(one.id);
    let seen = seen(&[one]);
    assert_eq!(seen.gone(&listing, &[]), []);
    listing.deleted.clear();
    listing.ok.clear();
    let gone = seen.gone(&listing, &[]);
    assert!(gone.len() == 1 && gone[0].has_manifest, "{gone:?}");
    assert!(gone[0].to_string().contains("its mark is gone"), "{}", gone[0]);
    listing.manifests.clear();
    let said = seen.gone(&listing, &[])[0].to_string();
    assert!(
        said.starts_with("archive aid:01010101 name of a, made at 1970-01-01T00:00:01Z, was here and is gone"),
        "{said}"
    );
    assert!(said.contains("vault check --accept-rollback"), "{said}");
}

#[test]
fn the_memory_comes_back_as_it_was_or_not_at_all() {
    let memory = seen(&[sighting(1, "a", 7), sighting(2, "größe", 1)]);
    let file = memory.encode();
    assert_eq!(Seen::decode(&file), Some(memory));
    assert_eq!(Seen::decode(&[]), None);
    let mut damaged = file;
    damaged[20] ^= 1;
    assert_eq!(Seen::decode(&damaged), None);
}
