//! Look-ups in a run against a plain sorted list: ids that are spread evenly, as hashes are, and ids that are not.

use proptest::prelude::*;

use super::*;

fn entry(id: [u8; 32], position: u16) -> RunEntry {
    RunEntry { id: ObjectId::from_bytes(id), block: 0, position, share: 1 }
}

/// An id of which only these bytes differ from one to the next.
fn id() -> impl Strategy<Value = [u8; 32]> {
    let near = (any::<u8>(), 0..4usize).prop_map(|(byte, at)| {
        let mut id = [7; 32];
        id[[0, 1, 7, 31][at]] = byte;
        id
    });
    let even = any::<u32>().prop_map(|number| *blake3::hash(&number.to_le_bytes()).as_bytes());
    prop_oneof![1 => Just([0; 32]), 1 => Just([255; 32]), 8 => near, 30 => even]
}

fn run_of(entries: Vec<RunEntry>) -> (tempfile::TempDir, Run) {
    let folder = tempfile::tempdir().unwrap();
    let content = RunContent { entries, ..RunContent::default() };
    let run = content.write(&folder.path().join("a.run"), &SecretKey::new([1; 32])).unwrap();
    (folder, run)
}

proptest! {
    #[test]
    fn what_is_there_is_found_and_nothing_else(
        ids in prop::collection::vec(id(), 0..600),
        others in prop::collection::vec(id(), 20),
    ) {
        let mut entries: Vec<RunEntry> = (0..).zip(&ids).map(|(position, id)| entry(*id, position)).collect();
        let (_folder, run) = run_of(entries.clone());
        entries.sort_unstable();
        for id in ids.iter().chain(&others).copied().map(ObjectId::from_bytes) {
            let first = entries.iter().position(|entry| entry.id == id);
            prop_assert_eq!(run.position(&id), first);
            let all: Vec<RunEntry> = entries.iter().filter(|entry| entry.id == id).copied().collect();
            prop_assert_eq!(run.find(&id).collect::<Vec<_>>(), all);
        }
    }
}

/// Otherwise everything is found all the same, in one bucket and slowly.
#[test]
fn the_leading_bits_of_an_id_say_in_which_bucket_it_is() {
    assert_eq!([0, 1 << 60, u64::MAX >> 1, u64::MAX].map(|prefix| bucket_of(prefix, 4)), [0, 1, 7, 15]);
    assert_eq!([0, u64::MAX].map(|prefix| bucket_of(prefix, 0)), [0, 0]);
}

#[test]
fn a_run_without_its_bucket_table_is_not_believed() {
    // With the header they fill pages to the last byte, so that the table stands on a page of its own.
    let ids = (0..409u32).map(|number| entry(*blake3::hash(&number.to_le_bytes()).as_bytes(), 0));
    let (folder, run) = run_of(ids.collect());
    let path = folder.path().join("a.run");
    let bytes = std::fs::read(&path).unwrap();
    // The last page with its hash: where the table ends.
    let pages = bytes.len() / (PAGE + HASH_LEN);
    let hashes = &bytes[pages * PAGE..];
    std::fs::write(&path, [&bytes[..(pages - 1) * PAGE], &hashes[..(pages - 1) * HASH_LEN]].concat()).unwrap();
    drop(run);
    assert!(Run::open(&path, &SecretKey::new([1; 32])).is_none());
}
