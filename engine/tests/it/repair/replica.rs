//! What another copy of the repository still holds.

use vault_engine::error::Error;

use super::{Kind, RepairOptions, Sample, Silent, YES, repair, sample};

#[test]
fn what_a_copy_holds_is_taken_from_it() {
    let sample = Sample::new();
    let store = sample.store();
    for key in sample.of(Kind::Packs) {
        assert!(store.corrupt(&key, |bytes| bytes[150..].fill(7)));
    }
    let copy = sample::open(sample.store());
    let repository = sample::open(store.clone());
    let report = repair(&repository, RepairOptions { from: Some(&copy), ..YES }, &Silent).unwrap();
    assert_eq!(report.incomplete, []);
    assert!(report.fetched > 0);
    assert_eq!(sample.readable(&store, "from a copy"), sample.everything());
    sample.assert_repaired(&store, "from a copy");
}

#[test]
fn a_repository_with_other_keys_is_refused() {
    let sample = Sample::new();
    let stranger = sample::open(sample::memory());
    let error =
        repair(&sample::open(sample.store()), RepairOptions { from: Some(&stranger), ..YES }, &Silent).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
}
