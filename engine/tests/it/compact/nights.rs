//! Many small nights: how many files they end in, and how often a byte is copied on the way.

use std::collections::VecDeque;

use super::{AT_ONCE, Kind, World, assert_settled, bytes, names, noise, packs, times};

const SERIES: usize = 10;
const KEPT: usize = 7;
/// Eight of a size become one, and there are four sizes of small packs (up to 32 KiB, 256 KiB, 2 MiB, 8 MiB), of data and of metadata:
/// at most seven of each are left, and what is partly dead below the threshold. In between come those of five nights.
const MOST_PACKS: usize = 100;
const MOST_SEGMENTS: usize = 40;

#[test]
fn many_small_nights_do_not_end_in_many_files() {
    let mut world = World::new();
    let mut archives = vec![VecDeque::new(); SERIES];
    let (mut stored, mut copied) = (0, 0);
    for number in 0..200 {
        world.write(&format!("file {number}"), noise(number, 4000));
    }
    for night in 0..times(20) as u64 {
        for (series, archives) in (0..).zip(&mut archives) {
            for changed in 0..2 {
                let number = night * SERIES as u64 * 2 + series * 2 + changed;
                world.write(&format!("file {}", number % 200), noise(1000 + number, 4000));
            }
            let mut options = world.options();
            options.host = format!("host {series}");
            let before = bytes(&world.store);
            archives.push_back(world.archive_as(&options));
            stored += bytes(&world.store) - before;
            if archives.len() > KEPT {
                world.delete(archives.pop_front().unwrap());
            }
        }
        if night % 5 == 4 {
            copied += world.compact(&AT_ONCE).new_bytes;
            let count = |kind| names(&world.store, kind).len();
            assert!(count(Kind::Packs) <= MOST_PACKS, "night {night}: {} packs", count(Kind::Packs));
            assert!(count(Kind::Index) <= MOST_SEGMENTS, "night {night}: {} segments", count(Kind::Index));
            assert_settled(&world.store, &world.kept);
        }
    }
    assert!(copied <= stored * 4, "{copied} bytes were written by compactions for {stored} by archives");
    for mut archives in archives {
        archives.pop_back();
        for id in archives {
            world.delete(id);
        }
    }
    world.compact(&AT_ONCE);
    world.assert_whole();
}

#[test]
fn eight_small_packs_of_a_class_become_one_and_seven_stay() {
    for (nights, left) in [(7, 14), (8, 2)] {
        let mut world = World::new();
        for night in 0..nights {
            world.write(&format!("night {night}"), noise(night, 3000));
            world.archive();
        }
        world.compact(&AT_ONCE);
        assert_eq!(packs(&world.store).len(), left, "after {nights} nights");
        world.assert_whole();
    }
}
