//! What holds for all archives, rules, zones and times.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use vault_engine::id::ArchiveId;
use vault_engine::meta::Timestamp;
use vault_engine::retention::{Candidate, Count, Decision, Interval, KeptBy, Oldest, Period, Rule, Rules, decide};

use super::{id, numbered, timestamp};

/// Zones that need no files: summer time, half an hour of it, none, and the far ends of the map.
const ZONES: [&str; 6] = [
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "EST5EDT,M3.2.0,M11.1.0",
    "UTC0",
    "<+14>-14",
    "<-12>12",
];

fn zones() -> impl Strategy<Value = TimeZone> {
    select(&ZONES[..]).prop_map(|text| TimeZone::posix(text).unwrap())
}

/// Times of three years, of an hour, of the same few seconds, and of no calendar.
fn times() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![
        20 => 1_700_000_000..1_795_000_000_i64,
        5 => 1_711_845_000..1_711_848_600_i64,
        3 => 1_700_000_000..1_700_000_003_i64,
        1 => any::<i64>(),
        1 => select(&[i64::MIN, i64::MAX, 0, -1][..]),
    ];
    let nanoseconds = prop_oneof![Just(0), 0..1_000_000_000_u32];
    (seconds, nanoseconds).prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds })
}

fn archives() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(times(), 0..60).prop_map(|times| numbered(&times))
}

fn counts() -> impl Strategy<Value = Count> {
    prop_oneof![(1..6_u32).prop_map(Count::Of), (1..80_u32).prop_map(Count::Of), Just(Count::All)]
}

fn policies() -> impl Strategy<Value = Rules> {
    let periods = subsequence(Period::ALL.to_vec(), 0..=9).prop_shuffle();
    let keep = periods.prop_flat_map(|periods| {
        let number = periods.len();
        prop::collection::vec(counts(), number).prop_map(move |counts| periods.iter().copied().zip(counts).collect())
    });
    let within = prop::option::of((1..50_u32, select(&["H", "d", "w", "m", "y"][..])));
    let within = within.prop_map(|within| within.map(|(number, unit)| format!("{number}{unit}").parse().unwrap()));
    let oldest = select(&[Oldest::Every, Oldest::Coarsest][..]);
    (within, keep, oldest).prop_map(|(within, keep, oldest)| Rules { within, keep, oldest })
}

fn kept(decisions: &[Decision]) -> HashMap<ArchiveId, KeptBy> {
    decisions.iter().filter_map(|one| Some((one.id, one.kept_by?))).collect()
}

fn edge(now: Timestamp, within: Interval) -> Timestamp {
    Timestamp { seconds: now.seconds.saturating_sub(within.seconds()), ..now }
}

/// The period of a time by jiff's formatting, which the code under test does not use.
fn written(period: Period, time: Timestamp, zone: &TimeZone) -> String {
    let moment = jiff::Timestamp::from_second(time.seconds).unwrap().to_zoned(zone.clone());
    let quarter = (moment.month() - 1) / 3;
    let week: i8 = moment.strftime("%V").to_string().parse().unwrap();
    let thirteen = match week {
        ..14 => 1,
        14..27 => 2,
        27..40 => 3,
        _ => 4,
    };
    let text = |pattern: &str| moment.strftime(pattern).to_string();
    match period {
        Period::Last => unreachable!("every archive is a period"),
        Period::Minutely => text("%F %H:%M"),
        Period::Hourly => text("%F %H"),
        Period::Daily => text("%F"),
        Period::Weekly => text("%G-%V"),
        Period::Monthly => text("%Y-%m"),
        Period::ThirteenWeekly => format!("{}/{thirteen}", text("%G")),
        Period::ThreeMonthly => format!("{}/{quarter}", text("%Y")),
        Period::Yearly => text("%Y"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_archive_is_judged_once_newest_first(archives in archives(), rules in policies(), now in times(), zone in zones()) {
        let mut expected = archives.clone();
        expected.sort_by_key(|archive| std::cmp::Reverse((archive.time, archive.id)));
        let expected: Vec<_> = expected.iter().map(|archive| archive.id).collect();
        let judged: Vec<_> = decide(&archives, &rules, now, &zone).iter().map(|one| one.id).collect();
        prop_assert_eq!(judged, expected);
    }

    #[test]
    fn the_order_of_archives_and_rules_does_not_matter(
        (archives, shuffled) in archives().prop_flat_map(|archives| (Just(archives.clone()), Just(archives).prop_shuffle())),
        rules in policies(), now in times(), zone in zones(),
    ) {
        let mut reversed = rules.clone();
        reversed.keep.reverse();
        prop_assert_eq!(decide(&archives, &rules, now, &zone), decide(&shuffled, &reversed, now, &zone));
    }

    #[test]
    fn pruning_again_keeps_all_for_the_same_reasons(archives in archives(), rules in policies(), now in times(), zone in zones()) {
        let first = decide(&archives, &rules, now, &zone);
        let reasons = kept(&first);
        let left: Vec<_> = archives.into_iter().filter(|archive| reasons.contains_key(&archive.id)).collect();
        let again = decide(&left, &rules, now, &zone);
        prop_assert_eq!(again.len(), reasons.len());
        prop_assert_eq!(kept(&again), reasons);
    }

    #[test]
    fn no_rule_keeps_more_than_its_number_the_oldest_included(
        archives in archives(), rules in policies(), now in times(), zone in zones(),
    ) {
        let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for kept_by in decide(&archives, &rules, now, &zone).iter().filter_map(|one| one.kept_by) {
            numbers.entry(format!("{:?}", kept_by.rule)).or_default().push(kept_by.number);
        }
        for (rule, numbers) in &numbers {
            prop_assert!(numbers.iter().copied().eq((1..).take(numbers.len())), "{rule}: {numbers:?}");
        }
        for (period, count) in &rules.keep {
            let kept = numbers.get(&format!("{:?}", Rule::Newest(*period))).map_or(0, Vec::len);
            if let Count::Of(number) = count {
                prop_assert!(kept <= *number as usize);
            }
        }
    }

    #[test]
    fn what_is_young_is_kept_and_nothing_else_as_young(
        archives in archives(), rules in policies(), now in times(), zone in zones(),
    ) {
        let reasons = kept(&decide(&archives, &rules, now, &zone));
        for archive in &archives {
            let young = rules.within.is_some_and(|within| archive.time > edge(now, within));
            prop_assert_eq!(reasons.get(&archive.id).is_some_and(|kept_by| kept_by.rule == Rule::Within), young);
        }
    }

    #[test]
    fn all_keeps_the_newest_of_every_period(
        times in prop::collection::vec(1_600_000_000..1_795_000_000_i64, 0..80),
        rules in policies(), period in select(Period::ALL.to_vec()), now in times(), zone in zones(),
    ) {
        let mut rules = rules;
        rules.keep.retain(|(other, _)| *other != period);
        rules.keep.push((period, Count::All));
        let archives = numbered(&times.iter().map(|seconds| timestamp(*seconds)).collect::<Vec<_>>());
        let reasons = kept(&decide(&archives, &rules, now, &zone));
        let mut newest = HashMap::new();
        for archive in &archives {
            let name = if period == Period::Last { archive.id.to_hex() } else { written(period, archive.time, &zone) };
            let best = newest.entry(name).or_insert(*archive);
            if (archive.time, archive.id) > (best.time, best.id) {
                *best = *archive;
            }
        }
        for (name, archive) in newest {
            prop_assert!(reasons.contains_key(&archive.id), "the newest of {name}");
        }
    }

    #[test]
    fn the_newest_archive_is_kept_by_every_count(archives in archives(), rules in policies(), now in times(), zone in zones()) {
        let decisions = decide(&archives, &rules, now, &zone);
        if let (Some(newest), false) = (decisions.first(), rules.keep.is_empty()) {
            prop_assert!(newest.kept_by.is_some());
        }
    }

    #[test]
    fn the_oldest_archive_is_kept_until_the_rules_are_satisfied(
        archives in archives(), rules in policies(), now in times(), zone in zones(),
    ) {
        let decisions = decide(&archives, &rules, now, &zone);
        let kept_by = |period: Period| {
            let by = |one: &&Decision| one.kept_by.is_some_and(|kept_by| kept_by.rule == Rule::Newest(period) && !kept_by.oldest);
            decisions.iter().filter(by).count()
        };
        let short = |(period, count): &(Period, Count)| match count {
            Count::Of(number) => kept_by(*period) < *number as usize,
            Count::All => rules.oldest == Oldest::Coarsest,
        };
        let coarsest = rules.keep.iter().max_by_key(|(period, _)| *period);
        let expected = match rules.oldest {
            Oldest::Every => rules.keep.iter().any(short),
            Oldest::Coarsest => coarsest.is_some_and(short),
        };
        if let (Some(oldest), true) = (decisions.last(), expected) {
            prop_assert!(oldest.kept_by.is_some());
        }
        let only_as_oldest = decisions.iter().filter(|one| one.kept_by.is_some_and(|kept_by| kept_by.oldest));
        let only_as_oldest: Vec<_> = only_as_oldest.map(|one| one.id).collect();
        prop_assert!(only_as_oldest.is_empty() || expected && only_as_oldest == [decisions.last().unwrap().id]);
    }

    #[test]
    fn pruning_often_or_seldom_leaves_the_same(
        times in prop::collection::btree_set(1_700_000_000..1_795_000_000_i64, 1..80),
        pruned_at in prop::collection::vec(any::<bool>(), 80),
        rules in policies(), zone in zones(),
    ) {
        let all = numbered(&times.into_iter().map(timestamp).collect::<Vec<_>>());
        let mut left = Vec::new();
        for (archive, prunes) in all.iter().zip(pruned_at) {
            left.push(*archive);
            if prunes {
                let reasons = kept(&decide(&left, &rules, archive.time, &zone));
                left.retain(|archive| reasons.contains_key(&archive.id));
            }
        }
        let now = all.last().map_or(timestamp(0), |newest| newest.time);
        let often = kept(&decide(&left, &rules, now, &zone));
        prop_assert_eq!(often, kept(&decide(&all, &rules, now, &zone)));
    }

    #[test]
    fn any_text_is_an_interval_that_reads_back_or_refused(text in ".{0,8}") {
        if let Ok(interval) = text.parse::<Interval>() {
            prop_assert_eq!(interval.to_string().parse::<Interval>(), Ok(interval));
        }
    }
}

#[test]
fn equal_times_are_ordered_by_id() {
    let archives = numbered(&[timestamp(5), timestamp(5), timestamp(5)]);
    let rules = super::rules("--keep-last 2");
    let decisions = decide(&archives, &rules, timestamp(9), &TimeZone::UTC);
    let kept: Vec<_> = decisions.iter().map(|one| (one.id, one.kept_by.is_some())).collect();
    assert_eq!(kept, [(id(2), true), (id(1), true), (id(0), false)]);
}

#[test]
fn fractions_of_a_second_count_for_the_interval_and_for_the_order() {
    let part = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
    let archives = numbered(&[part(1000, 2), part(1000, 1), part(1000, 3)]);
    let now = part(1000 + 3600, 2);
    let decisions = decide(&archives, &super::rules("--keep-within 1H --keep-daily 2"), now, &TimeZone::UTC);
    let shown = decisions.iter().map(|one| (one.id, one.kept_by.map(|kept_by| kept_by.to_string())));
    let shown: Vec<_> = shown.collect();
    // The day is used up by what is young, so that the rule falls short and keeps the oldest.
    let expected = [(id(2), Some("within #1".to_owned())), (id(0), None), (id(1), Some("daily[oldest] #1".to_owned()))];
    assert_eq!(shown, expected);
}
