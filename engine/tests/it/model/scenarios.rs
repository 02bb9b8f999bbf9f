//! Who runs beside whom. W is a writer, C a compaction; `x2` are two runs, one after the other.

use super::compaction::Compaction;
use super::machine::Actor::{Compaction as C, Deleter as D, Pruner as P, Reader as R, Unmarker as U, Writer as W};
use super::machine::{Actor, Scenario};
use super::people::{Deleter, Pruner, Reader, Unmarker};
use super::promises::Promise;
use super::rules::Rules;
use super::world::Set;
use super::writer::Writer;

const A: Set = 1;
const B: Set = 2;

/// Archives 1 and 2 are its attempts.
const WRITER: Writer =
    Writer { first: 1, attempts: 2, chunks: A | B, inherited: 0, unreadable: 0, splits: false, adopts: false };
const SECOND: Writer = Writer { first: 3, ..WRITER };
/// Takes chunk a over from archive 0.
const HEIR: Writer = Writer { inherited: A, ..WRITER };
/// An undelete: all is taken over, and there is no source to read it from.
const REVIVER: Writer = Writer { inherited: A | B, unreadable: A | B, ..WRITER };
const SPLITTING: Writer = Writer { splits: true, adopts: true, ..WRITER };

const ONE: Compaction = Compaction {
    runs: 1,
    rounds: 1,
    condemns: 1,
    expires: false,
    tidies: false,
    surveys: false,
    prepares: 0,
    walks: false,
    splits: false,
    merges: false,
    honest: false,
};
const TWICE: Compaction = Compaction { runs: 2, ..ONE };
const PAIR: Compaction = Compaction { condemns: 2, ..ONE };
/// Expires, purges and tidies.
const FULL: Compaction = Compaction { expires: true, tidies: true, ..ONE };
const FULL_TWICE: Compaction = Compaction { runs: 2, ..FULL };
const SURVEYING: Compaction = Compaction { surveys: true, merges: true, rounds: 2, ..FULL };
const SURVEYING_ONCE: Compaction = Compaction { rounds: 1, ..SURVEYING };
const PREPARING: Compaction = Compaction { prepares: 2, surveys: true, ..ONE };
const MERGING: Compaction = Compaction { merges: true, ..ONE };
const ONCE: Writer = Writer { attempts: 1, ..WRITER };
/// Needs one chunk.
const QUICK: Writer = Writer { chunks: A, ..ONCE };
const WALKING: Compaction = Compaction { walks: true, splits: true, condemns: 2, ..SURVEYING };

/// The scenario of this name. Archive 0 is good at the beginning, where there is one.
pub(crate) fn scenario(name: &str, rules: Rules) -> Scenario {
    let (packs, parent, actors): (&[(Set, bool)], Set, &[Actor]) = match name {
        "1w1c" => (&[(A, true)], A, &[W(WRITER), C(PAIR)]),
        "1w1cnew" => (&[], 0, &[W(WRITER), C(PAIR)]),
        "exp1" => (&[(A, true)], A, &[W(WRITER), C(FULL)]),
        "1w1cx2" => (&[(A, true)], A, &[W(WRITER), C(FULL_TWICE)]),
        "0w2c" => (&[(A, true)], A, &[C(ONE), C(ONE)]),
        "0w2c_dup" => (&[(A, true), (A, true)], A, &[C(ONE), C(ONE)]),
        "0w3c_dup" => (&[(A, true), (A, true)], A, &[C(ONE), C(ONE), C(ONE)]),
        "1w2c_m1" => (&[(A, true)], A, &[W(WRITER), C(ONE), C(ONE)]),
        "1w2c_old" => (&[(A, true)], A, &[W(QUICK), C(ONE), C(ONE)]),
        "1w2c_new" => (&[], 0, &[W(QUICK), C(ONE), C(ONE)]),
        "1w2c_two" => (&[(A, true), (B, true)], A, &[W(WRITER), C(ONE), C(ONE)]),
        "1w2c" => (&[(A, true)], A, &[W(WRITER), C(PAIR), C(PAIR)]),
        "exp2" => (&[(A, true)], A, &[W(WRITER), C(FULL), C(FULL)]),
        "inh1" => (&[(A, true)], A, &[W(HEIR), C(FULL_TWICE), D(Deleter)]),
        "inh2" => (&[(A, true)], A, &[W(HEIR), C(FULL), C(FULL), D(Deleter)]),
        "undel1" => (&[(A | B, true)], A | B, &[W(REVIVER), C(FULL), D(Deleter)]),
        "undel" => (&[(A | B, true)], A | B, &[W(REVIVER), C(FULL), C(FULL), D(Deleter)]),
        "und2" => (&[(A, true)], A, &[C(FULL), D(Deleter), U(Unmarker)]),
        "2wexp" => (&[(A, true)], A, &[W(QUICK), W(Writer { first: 3, ..QUICK }), C(SURVEYING_ONCE)]),
        "merge1" => (&[(A, true)], A, &[W(WRITER), C(Compaction { runs: 2, ..MERGING })]),
        "merge2" => (&[(A, true)], A, &[W(WRITER), C(MERGING), C(MERGING)]),
        "2w1c" => (&[(A, true)], A, &[W(WRITER), W(SECOND), C(ONE)]),
        "2w1cx2" => (&[(A, true)], A, &[W(WRITER), W(SECOND), C(TWICE)]),
        "2w2c" => (&[(A, true)], A, &[W(WRITER), W(SECOND), C(ONE), C(ONE)]),
        "prune" => (&[(A, true)], A, &[W(WRITER), C(FULL), P(Pruner)]),
        "prune2" => (&[(A, true)], A, &[W(ONCE), W(Writer { first: 2, ..ONCE }), C(FULL), P(Pruner)]),
        "read1" => (&[(A, true), (B, true)], A | B, &[C(TWICE), R(Reader { most_looks: 3 })]),
        "read2" => (&[(A, true), (B, true)], A | B, &[C(ONE), C(ONE), R(Reader { most_looks: 3 })]),
        "split" => (&[(A, true), (B, false)], A, &[W(SPLITTING), C(Compaction { splits: true, merges: true, ..PAIR })]),
        "splitx2" => (&[(A | B, true)], A, &[W(SPLITTING), C(TWICE)]),
        "survey" => (&[(A, true)], A, &[W(ONCE), C(SURVEYING)]),
        "prepare" => (&[(A, true)], A, &[W(ONCE), C(PREPARING)]),
        "prepare2" => (&[(A, true)], A, &[C(Compaction { prepares: 1, ..PREPARING }), C(ONE)]),
        "walk" => (&[(A, true), (B, true)], A | B, &[C(WALKING), D(Deleter)]),
        "walk2" => (&[(A | B, true)], A | B, &[C(Compaction { tidies: false, rounds: 1, ..WALKING }), C(ONE)]),
        _ => panic!("no scenario {name}"),
    };
    Scenario { rules, packs, parent, actors: actors.to_vec(), promises: Promise::ALL }
}
