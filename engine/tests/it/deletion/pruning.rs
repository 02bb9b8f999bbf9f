//! `prune`: groups, protection, and what it does before the first archive goes. Which archives the rules keep is tested beside them.

use vault_engine::ops::prune::SeriesPattern;
use vault_engine::store::{FaultyStore, Operation, Verb};

use super::*;

pub(crate) fn keep_last(count: u32) -> PruneOptions {
    PruneOptions {
        series: Vec::new(),
        glob: None,
        group_by_name: false,
        rules: Rules { within: None, keep: vec![(Period::Last, Count::Of(count))], oldest: Oldest::Every },
        zone: TimeZone::UTC,
        now: noon(-1),
        dry_run: false,
        allow_emptying: false,
    }
}

pub(super) fn try_prune(repository: &Repository, options: &PruneOptions) -> Result<PruneReport> {
    prune(repository, options, &Silent)
}

fn pruned(report: &PruneReport) -> Vec<ArchiveId> {
    report.archives.iter().filter(|judged| judged.fate == Fate::Pruned).map(|judged| judged.archive.id).collect()
}

fn fate(report: &PruneReport, archive: &Archive) -> Fate {
    report.archives.iter().find(|judged| judged.archive.id == archive.id).unwrap().fate.clone()
}

/// Nights of two series on one host and one of them on another: `a/db` twice, `a/web` three times, `b/db` twice.
fn three_series() -> (Repository, MemoryStore) {
    let (source, store) = (TempDir::new().unwrap(), sample::memory());
    let repository = sample::open(store.clone());
    for (host, name, day) in [
        ("a", "db", 4),
        ("a", "db", 2),
        ("a", "web", 3),
        ("a", "web", 2),
        ("a", "web", 1),
        ("b", "db", 3),
        ("b", "db", 1),
    ] {
        night(&repository, host, name, source.path(), day);
    }
    (repository, store)
}

fn left(repository: &Repository) -> Vec<String> {
    let archives = archives::list(repository, &Silent).unwrap();
    let mut left: Vec<_> = archives.iter().map(|archive| archive.manifest.series()).collect();
    left.sort();
    left
}

#[test]
fn each_series_is_thinned_on_its_own() {
    let (repository, _store) = three_series();
    let report = try_prune(&repository, &keep_last(1)).unwrap();
    assert_eq!((report.kept(), report.pruned(), report.advice), (3, 4, None));
    assert_eq!(left(&repository), ["a/db", "a/web", "b/db"]);
}

#[test]
fn series_that_are_named_are_the_only_ones() {
    let (repository, _store) = three_series();
    let series =
        |host: Option<&str>, name: &str| SeriesPattern { host: host.map(str::to_owned), name: name.to_owned() };
    let report = try_prune(&repository, &PruneOptions { series: vec![series(None, "db")], ..keep_last(1) }).unwrap();
    assert_eq!((report.kept(), report.pruned()), (2, 2));
    assert_eq!(left(&repository), ["a/db", "a/web", "a/web", "a/web", "b/db"]);
    try_prune(&repository, &PruneOptions { series: vec![series(Some("a"), "web")], ..keep_last(2) }).unwrap();
    assert_eq!(left(&repository), ["a/db", "a/web", "a/web", "b/db"]);
    let nowhere = PruneOptions { series: vec![series(Some("b"), "web")], ..keep_last(1) };
    let error = try_prune(&repository, &nowhere).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveProblem::NotFound { .. })), "{error}");
}

#[test]
fn a_name_or_a_glob_is_one_group() {
    let (repository, _store) = three_series();
    let by_name = PruneOptions { group_by_name: true, ..keep_last(1) };
    let report = try_prune(&repository, &PruneOptions { dry_run: true, ..by_name }).unwrap();
    assert_eq!(report.kept(), 2, "one db, one web");
    let glob = |text: &str| PruneOptions { glob: Some(Glob::new(text).unwrap()), ..keep_last(1) };
    let report = try_prune(&repository, &glob("*")).unwrap();
    assert_eq!((report.kept(), report.pruned()), (1, 6));
    let heard = Heard::default();
    let report = prune(&repository, &glob("nothing*"), &heard).unwrap();
    assert_eq!((report.archives.len(), heard.warnings().len()), (0, 1));
}

#[test]
fn a_dry_run_says_the_same_and_deletes_nothing() {
    let (repository, _store) = three_series();
    let before = counting(&repository);
    let would = try_prune(&repository, &PruneOptions { dry_run: true, ..keep_last(1) }).unwrap();
    assert_eq!(counting(&repository), before);
    assert_eq!(try_prune(&repository, &keep_last(1)).unwrap(), would);
}

#[test]
fn no_rule_is_an_error_and_so_is_one_that_keeps_nothing() {
    let (_source, store, nights) = nights(2);
    let repository = sample::open(store);
    let none = PruneOptions { rules: Rules { keep: Vec::new(), ..keep_last(1).rules }, ..keep_last(1) };
    assert!(matches!(try_prune(&repository, &none).unwrap_err(), Error::Usage(_)));
    let within = |allow_emptying| PruneOptions {
        rules: Rules { within: Some("1d".parse().unwrap()), keep: Vec::new(), oldest: Oldest::Every },
        now: noon(-30),
        allow_emptying,
        ..keep_last(1)
    };
    let error = try_prune(&repository, &within(false)).unwrap_err().to_string();
    assert!(error.contains("host/sample") && error.contains("--force twice"), "{error}");
    assert_eq!(counting(&repository), ids(&nights));
    assert_eq!(try_prune(&repository, &within(true)).unwrap().pruned(), 2);
    assert_eq!(counting(&repository), []);
}

#[test]
fn protected_archives_are_neither_counted_nor_deleted() {
    let (_source, store, nights) = nights(4);
    let repository = sample::open(store);
    protect(&repository, &[by_id(&nights[0]), by_id(&nights[3])], &Silent).unwrap();
    let report = try_prune(&repository, &keep_last(1)).unwrap();
    assert_eq!(fate(&report, &nights[3]), Fate::Protected, "the newest, and yet it is not the one that the rule keeps");
    assert!(matches!(fate(&report, &nights[2]), Fate::Kept(_)));
    assert_eq!(pruned(&report), [nights[1].id]);
    assert_eq!(counting(&repository), [nights[0].id, nights[2].id, nights[3].id]);
}

#[test]
fn what_a_record_names_is_neither_counted_nor_deleted() {
    let (_source, store, nights) = nights(4);
    let repository = sample::open(store.clone());
    // The newest may be dropped any moment, and so may one that no rule keeps.
    condemn(&repository, &store, Vec::new(), vec![nights[3].id, nights[1].id]);
    let report = try_prune(&repository, &keep_last(1)).unwrap();
    assert_eq!(fate(&report, &nights[3]), Fate::Unconfirmed);
    assert_eq!(fate(&report, &nights[1]), Fate::Unconfirmed);
    assert!(matches!(fate(&report, &nights[2]), Fate::Kept(_)));
    assert_eq!(pruned(&report), [nights[0].id]);
}

#[test]
fn what_is_dropped_after_it_was_listed_does_not_count_as_kept() {
    let (_source, store, nights) = nights(3);
    // Its author had looked before the mark came; the record is gone again when gc/ is listed.
    let newest = Key::archive(nights[2].id);
    let hooked = Hooked::before_list(&store, move |kind, inner| {
        if kind == Kind::Gc {
            inner.remove(&newest).unwrap();
        }
    });
    let repository = sample::open(hooked);
    let report = try_prune(&repository, &keep_last(1)).unwrap();
    assert_eq!(fate(&report, &nights[2]), Fate::Unconfirmed);
    assert_eq!(pruned(&report), [nights[0].id]);
    assert_eq!(counting(&sample::open(store)), [nights[1].id]);
}

#[test]
fn gc_is_read_before_the_manifests_are_asked_for_and_marks_come_last() {
    let (_source, store, _nights) = nights(3);
    let faulty = FaultyStore::new(Arc::new(store));
    let repository = sample::open(faulty.clone());
    faulty.take_operations();
    try_prune(&repository, &keep_last(2)).unwrap();
    let operations = faulty.take_operations();
    let at = |wanted: &dyn Fn(&Operation) -> bool| operations.iter().position(wanted).unwrap();
    let gc = at(&|operation| operation.verb == Verb::List && operation.key.starts_with("gc"));
    let asked = operations.iter().enumerate().filter(|(_, operation)| operation.verb == Verb::Size);
    let asked: Vec<usize> = asked.map(|(at, _)| at).collect();
    let mark = at(&|operation| operation.key.contains(".del"));
    assert_eq!(asked.len(), 2, "each archive that is kept");
    assert!(asked.iter().all(|at| gc < *at && *at < mark), "{gc} {asked:?} {mark}");
}

#[test]
fn a_damaged_archive_is_left_alone() {
    let (_source, store, nights) = nights(3);
    store.corrupt(&Key::archive(nights[0].id), |bytes| bytes[200] ^= 1);
    let repository = sample::open(store.clone());
    let heard = Heard::default();
    let report = prune(&repository, &keep_last(1), &heard).unwrap();
    assert_eq!(heard.warnings().len(), 1);
    assert_eq!(pruned(&report), [nights[1].id]);
    assert!(store.size(&Key::deleted_mark(nights[0].id)).unwrap().is_none());
}

#[test]
fn names_that_change_every_night_get_advice() {
    let (source, store) = (TempDir::new().unwrap(), sample::memory());
    let repository = sample::open(store);
    for day in 1..=3 {
        night(&repository, "host", &format!("host1-db-2026-11-0{day}"), source.path(), 10 - day);
    }
    let report = try_prune(&repository, &keep_last(1)).unwrap();
    let advice = report.advice.clone().unwrap();
    assert!(advice.contains("-a 'host1-db-*'"), "{advice}");
    assert_eq!(report.pruned(), 0);
    let glob = PruneOptions { glob: Some(Glob::new("host1-db-*").unwrap()), ..keep_last(1) };
    let report = try_prune(&repository, &glob).unwrap();
    assert_eq!((report.pruned(), report.advice), (2, None));
}
