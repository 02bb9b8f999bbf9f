//! Splitting by content: parts of bounded size, and one entry more or less changes few of them.

use std::collections::HashSet;

use proptest::prelude::*;
use vault_engine::format::config::Profile;
use vault_engine::format::split::{SplitRule, split};

fn hash(number: u32) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

fn parts(rule: SplitRule, items: &[u32]) -> Vec<Vec<u32>> {
    split(rule, items.to_vec(), |&number| Some(hash(number)))
}

proptest! {
    #[test]
    fn parts_are_all_items_in_order_between_minimum_and_maximum(
        items in prop::collection::vec(any::<u32>(), 0..3000),
        (minimum, bits, maximum) in (1..50_u16, 0..=8_u8, 50..200_u16)
    ) {
        let parts = parts(SplitRule { minimum, bits, maximum }, &items);
        prop_assert_eq!(parts.concat(), items);
        let Some((_, full)) = parts.split_last() else { return Ok(()) };
        for part in full {
            prop_assert!((usize::from(minimum)..=usize::from(maximum)).contains(&part.len()), "{}", part.len());
        }
    }

    #[test]
    fn without_a_hash_only_the_maximum_cuts(count in 0..2000_usize, maximum in 2..100_u16) {
        let parts = split(SplitRule { minimum: 1, bits: 1, maximum }, vec![(); count], |()| None);
        let full = parts.iter().rev().skip(1).all(|part| part.len() == usize::from(maximum));
        prop_assert!(full);
        prop_assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), count);
    }
}

/// How many parts have to be written anew when each of many items is taken out, or put in again: at most, and in all.
fn rewritten(rule: SplitRule, items: &[u32], step: usize) -> (usize, f64) {
    let whole = parts(rule, items);
    let before: HashSet<&Vec<u32>> = whole.iter().collect();
    let mut counts = Vec::new();
    for at in (0..items.len()).step_by(step) {
        let without = [&items[..at], &items[at + 1..]].concat();
        let after = parts(rule, &without);
        let changed = after.iter().filter(|part| !before.contains(part)).count();
        let after: HashSet<&Vec<u32>> = after.iter().collect();
        let changed_back = whole.iter().filter(|part| !after.contains(part)).count();
        counts.push(changed.max(changed_back));
    }
    let sum: usize = counts.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let mean = sum as f64 / counts.len() as f64;
    (counts.into_iter().max().unwrap(), mean)
}

#[test]
fn an_entry_more_or_less_changes_few_parts_however_many_there_are() {
    let profile = Profile::default();
    for (rule, items, step) in [(profile.tree_split, 40_000, 173), (profile.list_split, 20_000, 97)] {
        let items: Vec<u32> = (0..items).collect();
        let (most, mean) = rewritten(rule, &items, step);
        assert!(most <= 8 && mean < 2.0, "{rule:?}: at most {most}, {mean} on average");
    }
}

#[test]
fn where_the_default_rules_cut_does_not_change() {
    let profile = Profile::default();
    let cuts = |rule, count| {
        let mut end = 0;
        let parts = parts(rule, &(0..count).collect::<Vec<u32>>());
        parts
            .iter()
            .map(|part| {
                end += part.len();
                end
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(cuts(profile.tree_split, 1500), [204, 295, 1201, 1267, 1417, 1492, 1500]);
    assert_eq!(cuts(profile.list_split, 600), [204, 295, 350, 600]);
}
