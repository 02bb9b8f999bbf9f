//! All rules in force: no promise is broken, by any interleaving of any of these scenarios.

use std::collections::HashSet;

use super::machine::{Pair, Search};
use super::rules::Change::PacksBeforeReindex;
use super::rules::{Rules, Variant};
use super::scenarios::scenario;
use super::search::search;
use crate::protocol::{Role, STEPS, may_follow};

const AUTHOR: Rules = Rules::new(Variant::Author);
const MARK: Rules = Rules::new(Variant::Mark);

/// Of the variant that is built: those that take seconds.
const BUILT: &[(&str, Rules)] = &[
    ("1w1c", AUTHOR),
    ("1w1c", AUTHOR.paged()),
    ("1w1cnew", AUTHOR),
    ("1w1cnew", AUTHOR.paged()),
    ("exp1", AUTHOR),
    ("exp1", AUTHOR.paged()),
    ("1w1cx2", AUTHOR),
    ("1w1cx2", AUTHOR.paged()),
    ("1w2c_old", AUTHOR),
    ("1w2c_new", AUTHOR),
    ("0w2c_dup", AUTHOR),
    ("0w2c_dup", AUTHOR.paged()),
    ("inh1", AUTHOR),
    ("undel1", AUTHOR),
    ("undel1", AUTHOR.paged()),
    ("2wexp", AUTHOR),
    ("merge1", AUTHOR),
    ("2w1c", AUTHOR),
    ("prune", AUTHOR),
    ("prune", AUTHOR.paged()),
    ("read1", AUTHOR),
    ("read1", AUTHOR.paged()),
    ("read2", AUTHOR),
    ("split", AUTHOR),
    ("splitx2", AUTHOR),
    ("survey", AUTHOR),
    ("prepare", AUTHOR),
    ("prepare2", AUTHOR),
    ("prepare2", AUTHOR.paged()),
    ("walk", AUTHOR),
    ("walk", AUTHOR.with(PacksBeforeReindex)),
    ("walk2", AUTHOR),
    ("walk2", AUTHOR.with(PacksBeforeReindex)),
];

/// Of the variant with create-if-absent.
const OTHER: &[(&str, Rules)] = &[
    ("1w1c", MARK),
    ("1w1c", MARK.paged()),
    ("1w1cnew", MARK),
    ("1w1cnew", MARK.paged()),
    ("exp1", MARK),
    ("exp1", MARK.paged()),
    ("1w1cx2", MARK),
    ("1w1cx2", MARK.paged()),
    ("0w2c_dup", MARK),
    ("0w2c_dup", MARK.paged()),
    ("1w2c_m1", MARK),
    ("inh1", MARK),
    ("undel1", MARK),
    ("undel1", MARK.paged()),
    ("2w1c", MARK),
    ("2w1cx2", MARK),
    ("read2", MARK),
];

/// Those that take minutes, in the order of their size. `VAULT_MODEL=campaign` runs them all, `VAULT_MODEL=exp2` one.
const CAMPAIGN: &[(&str, Rules)] = &[
    ("1w2c_m1", AUTHOR),
    ("merge2", AUTHOR),
    ("exp2", MARK),
    ("undel", MARK),
    ("1w2c_m1", MARK.paged()),
    ("1w2c", MARK),
    ("inh1", AUTHOR.paged()),
    ("2w1cx2", AUTHOR),
    ("0w3c_dup", AUTHOR),
    ("inh2", MARK),
    ("1w2c_m1", AUTHOR.paged()),
    ("1w2c", AUTHOR),
    ("exp2", AUTHOR),
    ("undel", AUTHOR),
    ("inh2", AUTHOR),
    ("prune2", AUTHOR),
    ("2w2c", AUTHOR),
    ("exp2", AUTHOR.paged()),
];

/// Everything that was taken in these scenarios.
fn run(scenarios: &[(&str, Rules)]) -> HashSet<Pair> {
    let mut pairs = HashSet::new();
    for (name, rules) in scenarios {
        let scenario = scenario(name, *rules);
        let machine = Search::new(&scenario);
        let outcome = search(&machine, 70_000_000);
        let paged = if rules.paged { " paged" } else { "" };
        println!("{name} {:?}{paged}: {} states, {} steps deep", rules.variant, outcome.states, outcome.depth);
        assert!(outcome.violation.is_none(), "{name}: {:#?}", outcome.violation);
        assert!(outcome.complete, "{name}: more than {} states", outcome.states);
        pairs.extend(machine.pairs.into_inner());
    }
    pairs
}

#[test]
fn no_interleaving_breaks_a_promise_and_the_table_of_steps_is_no_looser_than_the_model() {
    let taken = run(BUILT);
    let mut never = Vec::new();
    for role in [Role::Writer, Role::Compaction, Role::Prune, Role::Delete, Role::Reader] {
        for previous in std::iter::once(None).chain(STEPS.iter().map(|step| Some(*step))) {
            // A step that goes on is no other step.
            let others =
                STEPS.iter().map(|next| (role, previous, *next)).filter(|(_, _, next)| previous != Some(*next));
            never.extend(others.filter(|pair| may_follow(role, previous, pair.2) && !taken.contains(pair)));
        }
    }
    assert!(never.is_empty(), "allowed by the table, and never taken: {never:?}");
}

#[test]
fn no_interleaving_breaks_a_promise_where_a_mark_can_be_created_if_absent() {
    run(OTHER);
}

#[test]
fn the_campaign_finds_nothing() {
    let Ok(wanted) = std::env::var("VAULT_MODEL") else { return };
    for scenario in CAMPAIGN.iter().filter(|(name, _)| wanted == "campaign" || wanted == *name) {
        run(&[*scenario]);
    }
}
