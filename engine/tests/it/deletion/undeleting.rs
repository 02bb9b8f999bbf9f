//! `undelete`: a new archive in the place of the deleted one.

use super::*;

fn try_undelete(repository: &Repository, wanted: Wanted) -> Result<Undeleted> {
    undelete(repository, &[wanted], &Silent).map(|mut done| done.remove(0))
}

/// The files of the only file of an archive of `nights`.
fn content(repository: &Repository, archive: &Archive, source: &Path) -> Vec<u8> {
    let target = TempDir::new().unwrap();
    let (restored, heard) = sample::try_restore(repository, archive, target.path()).unwrap();
    assert_eq!((restored.warnings, restored.damaged), (0, 0), "{:?}", heard.warnings());
    std::fs::read(sample::inside(target.path(), source).join("night")).unwrap()
}

#[test]
fn what_is_brought_back_is_what_was_deleted() {
    let (source, store, nights) = nights(3);
    let repository = sample::open(store.clone());
    try_delete(&repository, &[by_id(&nights[1])]).unwrap();
    let undeleted = try_undelete(&repository, by_name("sample", 0)).unwrap();
    assert_eq!(undeleted.deleted, nights[1]);
    let archive = undeleted.archive.unwrap();
    assert_ne!(archive.id, nights[1].id);
    let (new, old) = (&archive.manifest, &nights[1].manifest);
    assert_eq!((new.parent, &new.root, new.time), (Some(nights[1].id), &old.root, old.time));
    assert_eq!((new.start, new.end, new.sequence, new.previous), (old.start, old.end, old.sequence, old.previous));
    assert_eq!((new.root_stamps, &new.paths, new.statistics), (old.root_stamps, &old.paths, old.statistics));
    assert_eq!(counting(&repository), [nights[0].id, archive.id, nights[2].id], "it stands where it stood");
    assert!(store.size(&Key::deleted_mark(nights[1].id)).unwrap().is_some(), "nothing is unmarked");
    assert_eq!(archives::list_deleted(&repository, &Silent).unwrap(), [], "and not offered again");
    assert_eq!(content(&repository, &archive, source.path()), sample::noise(1, 30_000));
    sample::assert_sound(&repository);
}

#[test]
fn the_next_night_compares_with_the_same_parent_as_before() {
    let (source, store, nights) = nights(3);
    let repository = sample::open(store);
    try_delete(&repository, &[by_id(&nights[0])]).unwrap();
    try_undelete(&repository, by_id(&nights[0])).unwrap();
    let next = night(&repository, "host", "sample", source.path(), -1);
    assert_eq!(next.manifest.parent, Some(nights[2].id));
}

#[test]
fn a_night_on_which_nothing_changed_does_not_hide_the_deleted_one_before() {
    let (source, store, first) = nights(1);
    let repository = sample::open(store);
    let same = night(&repository, "host", "sample", source.path(), -1);
    assert_eq!((same.manifest.parent, &same.manifest.root), (Some(first[0].id), &first[0].manifest.root));
    try_delete(&repository, &[by_id(&first[0])]).unwrap();
    assert_eq!(ids(&archives::list_deleted(&repository, &Silent).unwrap()), [first[0].id]);
}

#[test]
fn only_what_is_deleted_can_be_brought_back() {
    let (_source, store, nights) = nights(2);
    let repository = sample::open(store);
    let error = try_undelete(&repository, by_id(&nights[0])).unwrap_err().to_string();
    assert!(error.contains("is not deleted"), "{error}");
    let error = try_undelete(&repository, by_name("sample", 0)).unwrap_err().to_string();
    assert!(error.contains("none is deleted"), "{error}");
    try_delete(&repository, &[by_id(&nights[0])]).unwrap();
    try_undelete(&repository, by_id(&nights[0])).unwrap();
    assert!(try_undelete(&repository, by_id(&nights[0])).is_err(), "once");
}

#[test]
fn objects_of_condemned_packs_are_sealed_again() {
    let (source, store, nights) = nights(2);
    let repository = sample::open(store.clone());
    try_delete(&repository, &[by_id(&nights[0])]).unwrap();
    let packs: Vec<_> =
        store.list(Kind::Packs).unwrap().iter().map(|pack| PackId::from_hex(&pack.name).unwrap()).collect();
    condemn(&repository, &store, packs.clone(), Vec::new());
    let archive = try_undelete(&repository, by_id(&nights[0])).unwrap().archive.unwrap();
    for pack in packs {
        store.remove(&Key::pack(pack)).unwrap();
    }
    assert_eq!(content(&sample::open(store), &archive, source.path()), sample::noise(1, 30_000));
}

#[test]
fn packs_that_go_while_it_runs_end_it_without_an_archive() {
    let (_source, store, nights) = nights(1);
    try_delete(&sample::open(store.clone()), &[by_id(&nights[0])]).unwrap();
    let hooked = Hooked::new(&store, |key, inner| {
        if key.kind() == Kind::Archives && !key.name().contains('.') {
            for pack in inner.list(Kind::Packs).unwrap() {
                inner.remove(&Key::pack(PackId::from_hex(&pack.name).unwrap())).unwrap();
            }
        }
    });
    let undeleted = try_undelete(&sample::open(hooked), by_id(&nights[0])).unwrap();
    assert_eq!(undeleted.archive, None);
    assert!(!undeleted.missing.is_empty());
    assert_eq!(counting(&sample::open(store)), []);
}

#[test]
fn what_is_gone_is_named_and_nothing_is_made() {
    let (_source, store, nights) = nights(2);
    let repository = sample::open(store.clone());
    try_delete(&repository, &[by_id(&nights[0])]).unwrap();
    // The data pack of the first night: the largest.
    let packs = store.list(Kind::Packs).unwrap();
    for pack in packs.iter().filter(|pack| pack.size > 20_000) {
        store.remove(&Key::pack(PackId::from_hex(&pack.name).unwrap())).unwrap();
    }
    let before = store.list(Kind::Archives).unwrap().len();
    let undeleted = try_undelete(&repository, by_id(&nights[0])).unwrap();
    assert_eq!(undeleted.archive, None);
    assert!(undeleted.missing.iter().any(|(path, _)| path.ends_with(b"night")), "{:?}", undeleted.missing);
    assert_eq!(store.list(Kind::Archives).unwrap().len(), before);
}

#[test]
fn what_was_protected_while_it_was_deleted_is_protected_again() {
    let (_source, store, nights) = nights(1);
    let repository = sample::open(store.clone());
    try_delete(&repository, &[by_id(&nights[0])]).unwrap();
    put_protection(&repository, &store, nights[0].id);
    let archive = try_undelete(&repository, by_id(&nights[0])).unwrap().archive.unwrap();
    assert!(repository.facts().unwrap().is_protected(archive.id));
}
