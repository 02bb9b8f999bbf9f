//! Each rule left out, one at a time: the search must find what it prevents. (docs/gc.md, section 9, has the same table.)

use super::machine::{Move, Scenario, Search};
use super::promises::Promise;
use super::rules::Change::{self, *};
use super::rules::{Rules, Variant};
use super::scenarios::scenario;
use super::search::{Outcome, search};

/// A changed rule, where it shows, what is broken, and after how many steps in the search that the rules were found with, if
/// they were. (There, fewer things were steps: traces are a little shorter than ours.)
struct Mutation {
    changes: &'static [Change],
    variant: Variant,
    paged: bool,
    scenario: &'static str,
    broken: &'static [Promise],
    steps: usize,
}

const S1: &[Promise] = &[Promise::S1];
const S2: &[Promise] = &[Promise::S2];
const PRUNE: &[Promise] = &[Promise::Prune];
const LIVE: &[Promise] = &[Promise::Live];
const NONE: &[Promise] = Promise::ALL;

const fn mark(
    changes: &'static [Change],
    scenario: &'static str,
    broken: &'static [Promise],
    steps: usize,
) -> Mutation {
    Mutation { changes, variant: Variant::Mark, paged: false, scenario, broken, steps }
}

const fn author(changes: &'static [Change], scenario: &'static str, broken: &'static [Promise]) -> Mutation {
    Mutation { variant: Variant::Author, ..mark(changes, scenario, broken, 0) }
}

/// Of the variant with create-if-absent.
const RULES: &[Mutation] = &[
    mark(&[NoCheck], "1w1c", S1, 11),
    mark(&[CheckOnlyGc], "1w1c", S1, 14),
    mark(&[CheckGcThenIndex], "1w1cnew", S1, 15),
    mark(&[CheckOnlyPacks], "1w1c", S1, 12),
    mark(&[CheckPacksBeforeGc], "1w1c", S1, 15),
    mark(&[CheckBeforePending], "1w1c", S1, 13),
    mark(&[InheritedUnchecked], "inh1", S1, 18),
    mark(&[OkOverwrites], "exp1", S1, 8),
    mark(&[NoFinalHead], "exp1", S1, 13),
    mark(&[ExpiryDecidesAlone], "exp1", S1, 8),
    mark(&[MarkBeforeManifest], "inh1", LIVE, 2),
    mark(&[UndeleteRemovesMark], "und2", S1, 6),
    mark(&[RecordBeforePacks], "1w1c", S1, 14),
    mark(&[ArchivesBeforeRecord], "1w1c", S1, 13),
    mark(&[ArchivesBeforeGc], "1w2c_m1", S1, 15),
    mark(&[GcBeforeRecord], "0w2c_dup", S1, 12),
    mark(&[PacksBeforeGc], "1w1c", S1, 16),
    mark(&[PacksBeforeIndex], "1w1c", S2, 15),
    mark(&[NoPacks], "inh1", S1, 21),
    mark(&[PendingNoRoot], "1w1c", S1, 13),
    mark(&[DeletedNoRoot, Shortcut], "inh1", S2, 15),
    mark(&[OnlyOwnRecords], "1w1c", LIVE, 1),
    mark(&[MissingIgnored], "1w1cx2", S1, 23),
    mark(&[CopyNotIndexed], "1w1c", S1, 7),
    mark(&[OldSegmentsFirst], "1w1c", S1, 6),
    Mutation { paged: true, ..mark(&[MarkWithoutHead], "exp1", S1, 21) },
    mark(&[NameFromContent], "1w1c", S1, 9),
];

/// Of the variant that is built.
const AUTHOR: &[Mutation] = &[
    author(&[NoFinalGc], "exp1", S1),
    author(&[NoFinalHead], "exp1", S1),
    author(&[FinalHeadBeforeGc], "exp1", S1),
    author(&[AnybodyExpires], "exp2", S1),
    author(&[RecordBeforeManifest], "exp1", S1),
    author(&[ExpiryLooksFirst], "exp1", S1),
    author(&[OldSegmentsFirst], "read1", S1),
    author(&[PruneUnasked], "prune", PRUNE),
    author(&[PruneOnlyGc], "prune", PRUNE),
    author(&[PruneOnlyHead], "prune", PRUNE),
    author(&[PruneHeadBeforeGc], "prune", PRUNE),
    author(&[GivesWayAtOnce], "prune", PRUNE),
];

/// What makes no difference.
const HARMLESS: &[Mutation] = &[
    mark(&[IndexFirst], "1w1cx2", NONE, 0),
    mark(&[PacksBeforeReindex], "1w1cx2", NONE, 0),
    mark(&[SegmentNameFromContent], "1w1cx2", NONE, 0),
    mark(&[WriterLoops], "1w1cx2", NONE, 0),
    mark(&[CheckReadsIndex], "1w1cx2", NONE, 0),
    mark(&[Shortcut], "inh1", NONE, 0),
];

/// What earlier drafts did, and the traces of docs/gc.md, section 6. The draft: the writer lists `gc/` and then the index until nothing is
/// condemned; a compaction reads `gc/` before its own record only, finishes only that, and copies out of its own packs only.
const HOLES: &[(&str, Mutation)] = &[
    ("H1", mark(&[CheckGcThenIndex, WriterLoops], "1w1cnew", S1, 14)),
    ("H2", mark(&[GcBeforeRecord, OnlyOwnRecords, CopyOnlyOwn], "0w2c_dup", S1, 10)),
    ("H3", mark(&[GcBeforeRecord, OnlyOwnRecords, CopyOnlyOwn], "0w2c", S1, 12)),
    ("H4", mark(&[CheckGcThenIndex, NoPacks], "1w2c_two", S1, 22)),
    ("H5", mark(&[OkOverwrites, NoFinalHead, ExpiryDecidesAlone], "exp1", S1, 8)),
    ("H5", Mutation { steps: 18, ..author(&[AnybodyExpires], "exp2", S1) }),
    ("H6", mark(&[OnlyOwnRecords], "1w1c", LIVE, 2)),
    ("H6", mark(&[ArchivesBeforeGc], "1w2c_m1", S1, 14)),
    ("H7", mark(&[CheckGcThenIndex, WriterLoops, InheritedUnchecked], "inh1", S1, 17)),
    ("H8", mark(&[UndeleteRemovesMark], "und2", S1, 6)),
    ("H9", mark(&[MissingIgnored], "1w1cx2", S1, 22)),
    ("H10", mark(&[NameFromContent], "1w1c", S1, 9)),
    ("H11", Mutation { paged: true, ..mark(&[MarkWithoutHead], "exp1", S1, 21) }),
];

fn outcome(mutation: &Mutation) -> Outcome<Move> {
    let mut rules = Rules::new(mutation.variant);
    if mutation.paged {
        rules = rules.paged();
    }
    for change in mutation.changes {
        rules = rules.with(*change);
    }
    let scenario = Scenario { promises: mutation.broken, ..scenario(mutation.scenario, rules) };
    search(&Search::new(&scenario), 3_000_000)
}

/// What a search should have found and did not.
fn missed(mutation: &Mutation) -> Option<String> {
    let name = format!("{:?} in {}", mutation.changes, mutation.scenario);
    let outcome = outcome(mutation);
    let Some(violation) = outcome.violation else {
        return Some(format!("{name}: nothing in {} states", outcome.states));
    };
    let before = if mutation.steps == 0 { String::new() } else { format!(" ({})", mutation.steps) };
    let steps = violation.trace.len();
    println!("{name}: {}; {steps} steps{before}, {} states", violation.what, outcome.states);
    None
}

#[track_caller]
fn all_are_found<'a>(mutations: impl IntoIterator<Item = &'a Mutation>) {
    let missed: Vec<String> = mutations.into_iter().filter_map(missed).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn each_rule_is_missed_when_it_is_left_out() {
    assert_eq!(RULES.len(), 27);
    all_are_found(RULES);
}

#[test]
fn each_rule_of_the_built_variant_is_missed_when_it_is_left_out() {
    all_are_found(AUTHOR);
    // Those of both variants. (The mark decides nothing here; the shortcut is not taken; the index is read again by the rescue only.)
    let other = [OkOverwrites, NoFinalHead, ExpiryDecidesAlone, DeletedNoRoot, CheckGcThenIndex, OldSegmentsFirst];
    let common = RULES.iter().filter(|mutation| !mutation.changes.iter().any(|change| other.contains(change)));
    let common: Vec<Mutation> = common.map(|mutation| Mutation { variant: Variant::Author, ..*mutation }).collect();
    assert_eq!(common.len(), 21);
    all_are_found(&common);
}

#[test]
fn each_hole_of_earlier_drafts_is_found() {
    all_are_found(HOLES.iter().map(|(_, hole)| hole));
}

#[test]
fn what_is_no_rule_is_not_missed() {
    for mutation in HARMLESS {
        let outcome = outcome(mutation);
        assert!(outcome.complete && outcome.violation.is_none(), "{:?}: {outcome:?}", mutation.changes);
        println!("{:?} in {}: nothing, {} states", mutation.changes, mutation.scenario, outcome.states);
    }
}
