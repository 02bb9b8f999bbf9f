//! What several hosts have stored at the same moment: one copy is left of it.

use super::{AT_ONCE, THOROUGH, World, absorb, assert_settled, bytes, noise, sample};

#[test]
fn of_what_two_hosts_store_at_the_same_time_one_copy_is_left() {
    for options in [AT_ONCE, THOROUGH] {
        let mut world = World::new();
        for number in 0..30 {
            world.write(&format!("file {number}"), noise(number, 20_000));
        }
        world.write("large", noise(100, 2_000_000));
        // Neither sees what the other puts.
        let elsewhere = world.copy();
        world.archive();
        let once = bytes(&world.store);
        let mut theirs = world.options();
        theirs.host = "other".to_owned();
        let made =
            vault_engine::ops::create::create(&sample::open(elsewhere.clone()), &theirs, None, &super::Silent).unwrap();
        absorb(&world.store, &elsewhere);
        world.kept.insert(made.archive.unwrap().id, sample::files(&world.source()));
        assert!(bytes(&world.store) > once * 2 - once / 10);
        world.compact(&options);
        let left = bytes(&world.store);
        assert!(left < once + once / 20 + 8192, "{left} bytes are left, one archive takes {once}");
        world.assert_whole();
        assert_settled(&world.store, &world.kept);
        let report = world.compact(&options);
        assert_eq!((report.new_packs, report.dead_packs, report.rewritten_packs), (0, 0, 0));
    }
}

#[test]
fn of_what_two_hosts_share_in_part_each_object_is_left_once() {
    let mut world = World::new();
    for number in 0..30 {
        world.write(&format!("file {number}"), noise(number, 20_000));
    }
    let elsewhere = world.copy();
    world.archive();
    for number in 0..10 {
        world.write(&format!("file {number}"), noise(100 + number, 20_000));
    }
    let other = sample::archive(&sample::open(elsewhere.clone()), &world.source()).archive.unwrap().id;
    absorb(&world.store, &elsewhere);
    world.kept.insert(other, sample::files(&world.source()));
    assert!(bytes(&world.store) > 1_200_000);
    world.compact(&THOROUGH);
    assert!(bytes(&world.store) < 840_000, "{} bytes are left of 40 files of 20,000", bytes(&world.store));
    world.assert_whole();
    assert_settled(&world.store, &world.kept);
}
