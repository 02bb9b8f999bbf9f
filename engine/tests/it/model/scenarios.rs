//! Who runs beside whom, and that nothing breaks.

use super::compaction::Compaction;
use super::machine::{Actor, Pair, Scenario, Search};
use super::people::{Deleter, Pruner, Reader, Unmarker};
use super::promises::Promise;
use super::rules::{Change, Rules, Variant};
use super::search::{Outcome, search};
use super::writer::Writer;

pub(super) const A: u16 = 1;
pub(super) const B: u16 = 2;

pub(super) fn writer(chunks: u16) -> Writer {
    Writer { first: 1, attempts: 2, chunks, ..Writer::default() }
}

pub(super) fn compaction() -> Compaction {
    Compaction { runs: 1, rounds: 1, condemns: 1, ..Compaction::default() }
}

pub(super) fn scenario(name: &'static str, rules: Rules) -> Scenario {
    use Actor::{Compaction as C, Deleter as D, Pruner as P, Reader as R, Writer as W};
    let one = compaction();
    let two = Compaction { runs: 2, ..one };
    let expiring = Compaction { expires: true, tidies: true, ..one };
    let heir = Writer { inherited: A, ..writer(A | B) };
    let reviver = Writer { inherited: A | B, unreadable: A | B, ..writer(A | B) };
    let (packs, parent, actors) = match name {
        "1w1c" => (vec![(A, true)], A, vec![W(writer(A | B)), C(Compaction { condemns: 2, ..one })]),
        "1w1cnew" => (vec![], 0, vec![W(writer(A | B)), C(Compaction { condemns: 2, ..one })]),
        "exp1" => (vec![(A, true)], A, vec![W(writer(A | B)), C(expiring)]),
        "1w1cx2" => (vec![(A, true)], A, vec![W(writer(A | B)), C(Compaction { runs: 2, ..expiring })]),
        "0w2c_dup" => (vec![(A, true), (A, true)], A, vec![C(one), C(one)]),
        "0w2c" => (vec![(A, true)], A, vec![C(one), C(one)]),
        "1w2c_two" => (vec![(A, true), (B, true)], A, vec![W(writer(A | B)), C(one), C(one)]),
        "0w3c_dup" => (vec![(A, true), (A, true)], A, vec![C(one), C(one), C(one)]),
        "1w2c_m1" => (vec![(A, true)], A, vec![W(writer(A | B)), C(one), C(one)]),
        "1w2c" => {
            let two = Compaction { condemns: 2, ..one };
            (vec![(A, true)], A, vec![W(writer(A | B)), C(two), C(two)])
        }
        "exp2" => (vec![(A, true)], A, vec![W(writer(A | B)), C(expiring), C(expiring)]),
        "inh1" => (vec![(A, true)], A, vec![W(heir), C(Compaction { runs: 2, ..expiring }), D(Deleter)]),
        "inh2" => (vec![(A, true)], A, vec![W(heir), C(expiring), C(expiring), D(Deleter)]),
        "undel1" => (vec![(A | B, true)], A | B, vec![W(reviver), C(expiring), D(Deleter)]),
        "undel" => (vec![(A | B, true)], A | B, vec![W(reviver), C(expiring), C(expiring), D(Deleter)]),
        "2w1c" => (vec![(A, true)], A, vec![W(writer(A | B)), W(Writer { first: 3, ..writer(A | B) }), C(one)]),
        "2w1cx2" => (vec![(A, true)], A, vec![W(writer(A | B)), W(Writer { first: 3, ..writer(A | B) }), C(two)]),
        "2w2c" => (vec![(A, true)], A, vec![W(writer(A | B)), W(Writer { first: 3, ..writer(A | B) }), C(one), C(one)]),
        "prune" => (vec![(A, true)], A, vec![W(writer(A | B)), C(expiring), P(Pruner)]),
        "und2" => (vec![(A, true)], A, vec![C(expiring), D(Deleter), Actor::Unmarker(Unmarker)]),
        "split" => {
            let splitting = Writer { splits: true, adopts: true, ..writer(A | B) };
            (vec![(A, true), (B, false)], A, vec![W(splitting), C(Compaction { condemns: 2, splits: true, ..one })])
        }
        "split2" => {
            let splitting = Writer { splits: true, ..writer(A | B) };
            (vec![(A | B, true)], A, vec![W(splitting), C(two)])
        }
        "survey" => {
            let surveying = Compaction { surveys: true, walks: false, rounds: 2, ..expiring };
            (vec![(A, true)], A, vec![W(writer(A | B)), C(surveying), D(Deleter)])
        }
        "walk" => {
            let walking = Compaction { surveys: true, walks: true, splits: true, rounds: 2, condemns: 2, ..expiring };
            (vec![(A, true), (B, true)], A | B, vec![C(walking), D(Deleter)])
        }
        "walk2" => {
            let walking = Compaction { surveys: true, walks: true, splits: true, condemns: 2, ..one };
            (vec![(A | B, true)], A | B, vec![C(walking), C(one)])
        }
        "read1" => (vec![(A, true), (B, true)], A | B, vec![C(two), R(Reader { most_looks: 3 })]),
        "read2" => (vec![(A, true), (B, true)], A | B, vec![C(one), C(one), R(Reader { most_looks: 3 })]),
        _ => panic!("no scenario {name}"),
    };
    Scenario { name, rules, packs, parent, actors, promises: Promise::ALL }
}

#[test]
fn quick() {
    let names = std::env::var("NAMES").unwrap();
    let variants = std::env::var("VARIANTS").unwrap_or("m,a,mp,ap".into());
    let live = std::env::var("NOLIVE").is_err();
    for name in names.split(',') { for variant in variants.split(',') {
        let mut rules = Rules::new(if variant.starts_with('m') { Variant::Mark } else { Variant::Author });
        if variant.contains('p') { rules = rules.paged(); }
        if variant.contains('g') { rules = rules.with(Change::GivesWayAtOnce); }
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        let s = Scenario {promises: if live {Promise::ALL} else {Promise::NOW}, ..scenario(name, rules)};
        let t = std::time::Instant::now();
        let o = search(&Search::new(&s), 60_000_000);
        eprintln!("{:?} {variant} states {} depth {} complete {} {:?}", s.name, o.states, o.depth, o.complete, t.elapsed());
        if let Some(v)=o.violation { eprintln!("{} {}", v.what, v.trace.len()); for m in v.trace { eprintln!("  {} {:?}", m.who, m.step);} }
    } }
}

#[test]
fn pairs() {
    let mut pairs: std::collections::HashSet<Pair> = Default::default();
    for (name, change, paged) in [("split",None,false),("split2",None,false),("survey",None,false),("walk",None,false),("walk2",None,false),("exp1",None,true),("inh1",None,false),("prune",None,true),("1w1cx2",None,false),("read1",None,true),
        ("walk2",Some(Change::PacksBeforeReindex),false), ("walk2",Some(Change::PacksAndRecordsBeforeReindex),false), ("survey",Some(Change::PacksAndRecordsBeforeReindex),false), ("undel1",None,true) ] {
        let mut rules = Rules::new(Variant::Author);
        if let Some(change) = change { rules = rules.with(change); }
        if paged { rules = rules.paged(); }
        let s = scenario(name, rules);
        let m = Search::new(&s);
        let t = std::time::Instant::now();
        let o = search(&m, 10_000_000);
        pairs.extend(m.pairs.borrow().iter().copied());
        eprintln!("{name} {change:?} {} {:?} {:?} {}", o.states, t.elapsed(), o.violation, pairs.len());
    }
    use crate::protocol::{Role, STEPS, may_follow};
    for role in [Role::Writer, Role::Compaction, Role::Prune, Role::Delete, Role::Reader] {
        for previous in std::iter::once(None).chain(STEPS.iter().map(|s| Some(*s))) {
            for next in STEPS {
                if may_follow(role, previous, *next) && !pairs.iter().any(|(_, p, n)| (*p, *n) == (previous, *next)) {
                    if role==Role::Writer || previous.is_none() { eprintln!("missing {role:?} {previous:?} -> {next:?}"); }
                }
            }
        }
    }
}
