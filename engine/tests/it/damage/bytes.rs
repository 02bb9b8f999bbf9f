//! Every byte of a small repository, one at a time. A normal run takes a sample; `VAULT_DAMAGE=all` takes all.

use vault_engine::store::Key;

use super::in_parallel;
use super::world::{Told, World};

/// So many bytes a normal run flips.
const SAMPLE: usize = 800;

#[test]
fn a_flip_of_any_byte_of_a_repository_is_told_with_exactly_what_it_harms() {
    let world = World::smallest();
    assert_eq!(world.judge(&world.store(), "as it was made"), Told::Nothing);
    let all: Vec<(&Key, usize)> =
        world.snapshot.iter().flat_map(|(key, bytes)| (0..bytes.len()).map(move |at| (key, at))).collect();
    let chosen = if std::env::var_os("VAULT_DAMAGE").is_some_and(|value| value == "all") { all } else { some(&all) };
    let judged = in_parallel(&chosen, |(key, at)| {
        let store = world.store();
        // Another bit of each byte, so that all come in turn.
        store.corrupt(key, |bytes| bytes[*at] ^= 1 << (at % 8));
        let what = format!("byte {at} of {key}");
        (world.judge(&store, &what) == Told::Nothing).then_some(what)
    });
    let unseen: Vec<String> = judged.into_iter().flatten().collect();
    assert!(unseen.is_empty(), "nobody noticed: {unseen:#?}");
    crate::support::say(&format!("damage: {} bytes flipped, each of them told", chosen.len()));
}

/// A fixed choice that looks like chance, the first bytes of every file among it: they are fields, the rest mostly is noise.
fn some<'a>(all: &[(&'a Key, usize)]) -> Vec<(&'a Key, usize)> {
    let mut chosen: Vec<_> = all.iter().filter(|(_, at)| at % 16 == 3 && *at < 192).copied().collect();
    let step = all.len() / SAMPLE.saturating_sub(chosen.len()).max(1);
    let spread = (0u64..).zip(all.chunks(step.max(1))).map(|(number, chunk)| {
        let random = blake3::hash(&number.to_le_bytes());
        chunk[usize::from(random.as_bytes()[0]) % chunk.len()]
    });
    chosen.extend(spread);
    chosen
}
