//! Rules as users write them: what is understood, and what the refusals say.

use vault_engine::retention::{Count, Interval, IntervalProblem, KeptBy, Oldest, Period, Rule, Rules, RulesProblem};

use super::rules;

#[test]
fn intervals_are_as_long_as_borgs() {
    const HOUR: i64 = 3600;
    for (text, seconds) in [
        ("1H", HOUR),
        ("36H", 36 * HOUR),
        ("1d", 24 * HOUR),
        ("2w", 14 * 24 * HOUR),
        ("1m", 31 * 24 * HOUR),
        ("10y", 10 * 365 * 24 * HOUR),
        ("10000y", 10_000 * 365 * 24 * HOUR),
    ] {
        let interval: Interval = text.parse().unwrap();
        assert_eq!((interval.seconds(), interval.to_string().as_str()), (seconds, text));
    }
    assert_eq!("007d".parse::<Interval>().unwrap().to_string(), "7d");
}

#[test]
fn what_is_no_interval_is_refused_with_what_to_write() {
    let unknown = |text: &str, unit: &str| IntervalProblem::UnknownUnit { text: text.into(), unit: unit.into() };
    let text = |text: &str| text.to_owned();
    for (given, problem, says) in [
        ("30", IntervalProblem::NoUnit { text: text("30") }, "write 30H for hours, 30d"),
        ("5M", unknown("5M", "M"), "m (months of 31 days)"),
        ("5h", unknown("5h", "h"), "H (hours)"),
        ("5D", unknown("5D", "D"), "d (days)"),
        ("90s", unknown("90s", "s"), "H (hours)"),
        ("2days", unknown("2days", "days"), "d (days)"),
        ("0d", IntervalProblem::Zero { text: text("0d") }, "at least 1H"),
        ("-2d", IntervalProblem::Negative { text: text("-2d") }, "without the sign"),
        ("10001y", IntervalProblem::TooLarge { text: text("10001y") }, "at most 10000y"),
        ("4294967296H", IntervalProblem::TooLarge { text: text("4294967296H") }, "at most 10000y"),
        ("", IntervalProblem::NoNumber { text: text("") }, "such as 12H, 2d"),
        ("d", IntervalProblem::NoNumber { text: text("d") }, "such as 12H, 2d"),
        ("-", IntervalProblem::NoNumber { text: text("-") }, "such as 12H, 2d"),
        ("1.5d", IntervalProblem::NoNumber { text: text("1.5d") }, "such as 12H, 2d"),
        ("1d12H", IntervalProblem::NoNumber { text: text("1d12H") }, "such as 12H, 2d"),
        ("+1d", IntervalProblem::NoNumber { text: text("+1d") }, "such as 12H, 2d"),
        ("1 d", IntervalProblem::NoNumber { text: text("1 d") }, "such as 12H, 2d"),
        ("٣d", IntervalProblem::NoNumber { text: text("٣d") }, "such as 12H, 2d"),
    ] {
        let found = given.parse::<Interval>().unwrap_err();
        assert_eq!(found, problem);
        assert!(found.to_string().contains(says), "{found}");
    }
}

#[test]
fn a_signed_count_is_borgs() {
    let cases = [(-9, Some(Count::All)), (-1, Some(Count::All)), (0, None), (1, Some(Count::Of(1)))];
    for (number, count) in cases {
        assert_eq!(Count::from_signed(number), count);
    }
    assert_eq!(Count::from_signed(i64::MAX), Some(Count::Of(u32::MAX)));
    assert_eq!(Count::from_signed(i64::MIN), Some(Count::All));
}

#[test]
fn rules_that_nobody_can_mean_are_refused() {
    let keep = |keep: &[(Period, Count)]| Rules { keep: keep.to_vec(), ..Rules::default() };
    let twice = keep(&[(Period::Daily, Count::Of(1)), (Period::Weekly, Count::All), (Period::Daily, Count::Of(2))]);
    for (rules, problem, says) in [
        (Rules::default(), RulesProblem::Empty, "--keep-daily 7"),
        (rules("--keep-daily 0"), RulesProblem::Empty, "no rule says what to keep"),
        (twice, RulesProblem::Twice { period: Period::Daily }, "--keep-daily is given twice"),
        (keep(&[(Period::Yearly, Count::Of(0))]), RulesProblem::Zero { period: Period::Yearly }, "--keep-yearly 0"),
        (rules("--keep-13weekly 1 --keep-3monthly 1"), RulesProblem::BothQuarters, "give one of them"),
    ] {
        assert_eq!(rules.validate(), Err(problem));
        assert!(problem.to_string().contains(says), "{problem}");
    }
    for options in ["--keep-within 1H", "--keep-last 1", "--keep-13weekly -1 --keep-monthly 1 --keep-yearly 1"] {
        rules(options).validate().unwrap();
    }
    assert_eq!(Rules::default().oldest, Oldest::Every);
}

#[test]
fn a_reason_reads_as_borg_prints_it() {
    let kept_by = |rule, oldest, number| KeptBy { rule, oldest, number }.to_string();
    assert_eq!(kept_by(Rule::Within, false, 2), "within #2");
    assert_eq!(kept_by(Rule::Newest(Period::Daily), false, 3), "daily #3");
    assert_eq!(kept_by(Rule::Newest(Period::Monthly), true, 1), "monthly[oldest] #1");
    assert_eq!(kept_by(Rule::Newest(Period::ThirteenWeekly), false, 4), "13weekly #4");
}
