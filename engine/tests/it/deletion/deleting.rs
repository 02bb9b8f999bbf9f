//! `delete`, `protect` and `unprotect`.

use super::*;

#[test]
fn a_deleted_archive_is_listed_as_deleted_and_its_files_are_still_there() {
    let (_source, store, nights) = nights(3);
    let repository = sample::open(store.clone());
    let before = store.list(Kind::Packs).unwrap();
    let deleted = try_delete(&repository, &[by_name("sample", 1)]).unwrap();
    assert_eq!(deleted, [Deleted { id: nights[1].id, archive: Some(nights[1].clone()) }]);
    assert_eq!(counting(&repository), [nights[0].id, nights[2].id]);
    assert_eq!(ids(&archives::list_deleted(&repository, &Silent).unwrap()), [nights[1].id]);
    assert_eq!(store.list(Kind::Packs).unwrap(), before);
    let again = try_delete(&repository, &[by_id(&nights[1])]).unwrap_err();
    assert!(matches!(again, Error::Archive(ArchiveProblem::NotFound { .. })), "{again}");
}

#[test]
fn selectors_mean_what_they_meant_at_the_start() {
    let (_source, store, nights) = nights(4);
    let repository = sample::open(store);
    let deleted = try_delete(&repository, &[by_name("sample", 0), by_name("sample", 1), by_id(&nights[3])]).unwrap();
    assert_eq!(deleted.iter().map(|one| one.id).collect::<Vec<_>>(), [nights[3].id, nights[2].id]);
    assert_eq!(counting(&repository), [nights[0].id, nights[1].id]);
}

#[test]
fn nothing_is_deleted_if_one_of_several_does_not_exist() {
    let (_source, store, nights) = nights(2);
    let repository = sample::open(store);
    assert!(try_delete(&repository, &[by_name("sample", 0), by_name("nope", 0)]).is_err());
    assert_eq!(counting(&repository), ids(&nights));
}

#[test]
fn a_glob_means_names_or_series() {
    let (source, store, nights) = nights(1);
    let repository = sample::open(store);
    let other = night(&repository, "other", "web-1", source.path(), 5);
    let meant = |text: &str| {
        let options = DeleteOptions { glob: Some(Glob::new(text).unwrap()), dry_run: true, ..DeleteOptions::default() };
        let heard = Heard::default();
        let found: Vec<_> = delete(&repository, &options, &heard).unwrap().iter().map(|one| one.id).collect();
        assert_eq!(heard.warnings().is_empty(), !found.is_empty(), "{text}");
        found
    };
    assert_eq!(meant("web-?"), [other.id]);
    assert_eq!(meant("{web,no}-[0-9]"), [other.id]);
    assert_eq!(meant("*/web*"), [other.id]);
    assert_eq!(meant("ho*/sample"), [nights[0].id]);
    assert_eq!(meant("*").len(), 2);
    assert_eq!(meant("other*"), [], "without a / only the name is looked at");
    assert_eq!(meant("web"), []);
    assert_eq!(counting(&repository).len(), 2, "a dry run deletes nothing");
}

#[test]
fn an_archive_that_cannot_be_read_is_deleted_by_its_full_id() {
    let (_source, store, nights) = nights(2);
    store.corrupt(&Key::archive(nights[0].id), |bytes| bytes[200] ^= 1);
    let repository = sample::open(store.clone());
    let heard = Heard::default();
    let by_digits = |digits: &str| DeleteOptions {
        archives: vec![Wanted { selector: Selector::Id(digits.to_owned()), text: format!("aid:{digits}") }],
        ..DeleteOptions::default()
    };
    let id = nights[0].id.to_hex();
    let error = delete(&repository, &by_digits(&id[..12]), &heard).unwrap_err().to_string();
    assert!(error.contains(&id), "{error}");
    let deleted = delete(&repository, &by_digits(&id), &heard).unwrap();
    assert_eq!(deleted, [Deleted { id: nights[0].id, archive: None }]);
    assert_eq!(heard.warnings(), [] as [String; 0], "what is deleted is not complained of");
    assert!(store.size(&Key::deleted_mark(nights[0].id)).unwrap().is_some());
    assert_eq!(counting(&repository), [nights[1].id]);
}

#[test]
fn a_protected_archive_is_not_deleted_until_that_is_taken_back() {
    let (_source, store, nights) = nights(2);
    let repository = sample::open(store.clone());
    let wanted = [by_id(&nights[0])];
    assert!(protect(&repository, &wanted, &Silent).unwrap()[0].changed);
    assert!(!protect(&repository, &wanted, &Silent).unwrap()[0].changed, "once is enough");
    put_protection(&repository, &store, nights[0].id);
    let error = try_delete(&repository, &[by_id(&nights[1]), by_id(&nights[0])]).unwrap_err();
    assert!(matches!(&error, Error::Usage(text) if text.contains("vault unprotect")), "{error}");
    assert_eq!(counting(&repository), ids(&nights), "nothing was deleted");
    assert!(unprotect(&repository, &wanted, &Silent).unwrap()[0].changed);
    assert!(!unprotect(&repository, &wanted, &Silent).unwrap()[0].changed);
    try_delete(&repository, &wanted).unwrap();
}

#[test]
fn an_event_that_cannot_be_read_may_protect() {
    let (_source, store, nights) = nights(2);
    let repository = sample::open(store.clone());
    protect(&repository, &[by_id(&nights[0])], &Silent).unwrap();
    let event = Key::listed(Kind::Events, store.list(Kind::Events).unwrap()[0].name.clone());
    store.corrupt(&event, |bytes| bytes[300] ^= 1);
    let heard = Heard::default();
    archives::facts(&repository, &heard).unwrap();
    assert_eq!(heard.warnings().len(), 1, "showing goes on");
    for error in
        [try_delete(&repository, &[by_id(&nights[1])]).unwrap_err(), try_prune(&repository, &keep_last(1)).unwrap_err()]
    {
        assert!(matches!(&error, Error::Damaged { file, .. } if *file == event.to_string()), "{error}");
    }
    assert_eq!(counting(&repository), ids(&nights));
}

#[test]
fn whoever_protects_or_deletes_second_says_so() {
    let (_source, store, nights) = nights(2);
    let keys = sample::open(store.clone());
    let target = nights[0].id;
    let hooked = Hooked::new(&store, move |key, inner| {
        if is_deleted_mark(key) {
            put_protection(&keys, inner, target);
        }
    });
    let heard = Heard::default();
    let options = DeleteOptions { archives: vec![by_id(&nights[0])], ..DeleteOptions::default() };
    delete(&sample::open(hooked), &options, &heard).unwrap();
    assert!(heard.warnings()[0].contains("vault undelete"), "{:?}", heard.warnings());

    let hooked = Hooked::new(&store, |key, inner| {
        if key.kind() == Kind::Events {
            for file in inner.list(Kind::Archives).unwrap() {
                let id = ArchiveId::from_hex(&file.name);
                if let Some(id) = id {
                    inner.put(&Key::deleted_mark(id), b"mark").unwrap();
                }
            }
        }
    });
    let error = protect(&sample::open(hooked), &[by_id(&nights[1])], &Silent).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveProblem::Deleted(_))), "{error}");
}

#[test]
fn a_restore_of_an_archive_that_was_purged_says_that_it_was_deleted() {
    let (_source, store, nights) = nights(1);
    let repository = sample::open(store.clone());
    for pack in store.list(Kind::Packs).unwrap() {
        store.remove(&Key::pack(PackId::from_hex(&pack.name).unwrap())).unwrap();
    }
    let target = TempDir::new().unwrap();
    let damage = sample::try_restore(&repository, &nights[0], target.path());
    assert!(!matches!(damage, Err(Error::Archive(_))), "its manifest is there: that is damage");
    store.remove(&Key::archive(nights[0].id)).unwrap();
    let error = sample::try_restore(&repository, &nights[0], target.path()).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveProblem::Deleted(_))), "{error}");
    let listed = archives::entries(&repository, &nights[0], &mut |_, _| Ok(())).unwrap_err();
    assert!(matches!(listed, Error::Archive(ArchiveProblem::Deleted(_))), "{listed}");
}

#[test]
fn a_restore_whose_archive_is_purged_on_the_way_ends() {
    let (source, store) = (TempDir::new().unwrap(), sample::memory());
    for number in 0..50 {
        std::fs::write(source.path().join(format!("{number:02}")), sample::noise(number, 300_000)).unwrap();
    }
    let repository = sample::open(store.clone());
    let archive = night(&repository, "host", "sample", source.path(), 0);
    // Data only: the trees can still be read.
    let largest = store.list(Kind::Packs).unwrap().into_iter().max_by_key(|pack| pack.size).unwrap();
    store.remove(&Key::pack(PackId::from_hex(&largest.name).unwrap())).unwrap();
    store.remove(&Key::archive(archive.id)).unwrap();
    let target = TempDir::new().unwrap();
    let error = sample::try_restore(&repository, &archive, target.path()).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveProblem::Deleted(_))), "{error}");
}
