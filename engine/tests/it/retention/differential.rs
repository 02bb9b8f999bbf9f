//! The same archives and rules to borg and to us. Borg is the authority; where it is not installed, that is said.
//!
//! Equal seconds are left out, where we differ on purpose (docs/retention.md). `--keep-last` is borg's `secondly`, and the
//! quarters have shorter names here than there; all other reasons must be equal to the letter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;
use vault_engine::meta::Timestamp;
use vault_engine::retention::{Count, Oldest, Period, Rules, decide};

use super::{numbered, timestamp, zone};
use crate::support::skip_missing;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Summer time north and south, half an hour of it, offsets by a quarter, at midnight, over the date line, and none.
const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Asia/Kathmandu",
    "Africa/Cairo",
];

/// Numbers that look random and are the same every time: xorshift64*.
struct Dice(u64);

impl Dice {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u128::try_from(high - low + 1).unwrap();
        low + i64::try_from((u128::from(self.bits()) * span) >> 64).unwrap()
    }

    fn one_in(&mut self, number: i64) -> bool {
        self.between(1, number) == 1
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.between(0, i64::try_from(all.len()).unwrap() - 1)).unwrap()]
    }
}

/// The borg that is installed.
struct Borg {
    python: String,
    rules: Vec<Period>,
}

impl Borg {
    /// `None` after saying why the test is skipped.
    fn find(test: &str) -> Option<Self> {
        let found = Self::installed();
        if found.is_none() {
            skip_missing(test, "borgbackup");
        }
        found
    }

    /// Its Python is that of its first line, which need not be the first Python of the path.
    fn installed() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let script = std::env::split_paths(&path).map(|folder| folder.join("borg")).find(|file| file.is_file())?;
        let script = String::from_utf8_lossy(&fs::read(script).ok()?).into_owned();
        let python = script.lines().next()?.strip_prefix("#!")?.trim().to_owned();
        let asked = Command::new(&python).args(["-c", include_str!("borg.py")]).output().ok()?;
        let names: Vec<String> = serde_json::from_slice(&asked.stdout).ok()?;
        let rules = Period::ALL.into_iter().filter(|period| names.contains(&borg_name(*period))).collect();
        Some(Self { python, rules })
    }

    fn script(&self, script: &str, arguments: &[&Path]) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-c", script]).args(arguments);
        command
    }
}

fn borg_name(period: Period) -> String {
    match period {
        Period::Last => "secondly".to_owned(),
        Period::ThirteenWeekly | Period::ThreeMonthly => format!("quarterly_{period}"),
        _ => period.to_string(),
    }
}

/// A reason as this borg prints it.
fn in_borgs_words(reason: &str) -> String {
    let names = Period::ALL.map(|period| (period.to_string(), borg_name(period)));
    let renamed = names.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", reason.strip_prefix(ours)?)));
    renamed.unwrap_or_else(|| reason.to_owned())
}

fn borg_count(count: Count) -> i64 {
    match count {
        Count::Of(number) => i64::from(number),
        Count::All => -1,
    }
}

#[track_caller]
fn succeed(command: &mut Command) -> Output {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

struct Case {
    zone: &'static str,
    now: Timestamp,
    rules: Rules,
    archives: Vec<Timestamp>,
}

impl Case {
    fn draw(dice: &mut Dice, known: &[Period]) -> Option<Self> {
        let name = *dice.of(&ZONES);
        let zone = zone("differential", name)?;
        let mut archives = schedule(dice, &zone);
        // Borg has microseconds, we have nanoseconds.
        if dice.one_in(2) {
            for time in &mut archives {
                time.nanoseconds = microseconds(dice);
            }
        }
        without_equal_seconds(&mut archives);
        let rules = draw_rules(dice, known);
        let now = draw_now(dice, &archives, &rules);
        Some(Self { zone: name, now, rules, archives })
    }

    fn json(&self) -> Value {
        let time = |time: &Timestamp| json!([time.seconds, time.nanoseconds / 1000]);
        let keep = self.rules.keep.iter().map(|(period, count)| (borg_name(*period), json!(borg_count(*count))));
        json!({
            "zone": self.zone,
            "now": time(&self.now),
            "within": self.rules.within.map_or(0, |within| within.seconds() / HOUR),
            "keep": keep.collect::<serde_json::Map<_, _>>(),
            "archives": self.archives.iter().map(time).collect::<Vec<_>>(),
        })
    }

    /// Reasons in the order of the archives, as borg names them.
    fn ours(&self) -> Vec<Option<String>> {
        let candidates = numbered(&self.archives);
        let decisions = decide(&candidates, &self.rules, self.now, &TimeZone::get(self.zone).unwrap());
        let reason = |id| decisions.iter().find(|one| one.id == id).unwrap().kept_by;
        candidates.iter().map(|one| Some(in_borgs_words(&reason(one.id)?.to_string()))).collect()
    }
}

fn microseconds(dice: &mut Dice) -> u32 {
    u32::try_from(dice.between(0, 999_999)).unwrap() * 1000
}

/// Three years of something: at random, nightly with gaps, or many around the days when clocks change and years end.
fn schedule(dice: &mut Dice, zone: &TimeZone) -> Vec<Timestamp> {
    // From 2009 on, because in many zones the interesting changes are past.
    let begin = 1_230_768_000 + dice.between(0, 14 * YEAR);
    let within_three_years = |dice: &mut Dice| begin + dice.between(0, 3 * YEAR);
    let seconds: Vec<i64> = match dice.between(0, 5) {
        0 | 1 => (0..dice.between(0, 120)).map(|_| within_three_years(dice)).collect(),
        2 => {
            let (nights, gaps) = (dice.between(1, 400), dice.between(2, 9));
            let night = |dice: &mut Dice, night| begin + night * DAY + dice.between(0, HOUR);
            let numbers: Vec<i64> = (0..nights).filter(|_| !dice.one_in(gaps)).collect();
            numbers.into_iter().map(|number| night(dice, number)).collect()
        }
        3 => {
            let year = jiff::civil::date(2010 + i16::try_from(dice.between(0, 15)).unwrap(), 1, 1);
            let center = year.to_zoned(zone.clone()).unwrap().timestamp().as_second();
            (0..dice.between(1, 60)).map(|_| center + dice.between(-20 * DAY, 20 * DAY)).collect()
        }
        _ => {
            let from = jiff::Timestamp::from_second(begin).unwrap();
            let change = zone.following(from).next().map_or(begin, |change| change.timestamp().as_second());
            let reach = *dice.of(&[2 * HOUR, 6 * HOUR, 3 * DAY]);
            let mut times: Vec<i64> = (0..dice.between(1, 60)).map(|_| change + dice.between(-reach, reach)).collect();
            times.extend((0..dice.between(0, 10)).map(|_| within_three_years(dice)));
            times
        }
    };
    seconds.into_iter().map(timestamp).collect()
}

/// Leaves out what borg's `secondly` takes together: neighbours that show the same second, also an hour apart on the day
/// when the clock is set back.
fn without_equal_seconds(archives: &mut Vec<Timestamp>) {
    archives.sort_unstable();
    archives.dedup_by_key(|time| time.seconds.rem_euclid(60));
}

fn draw_rules(dice: &mut Dice, known: &[Period]) -> Rules {
    let mut rules = Rules::default();
    while rules.validate().is_err() {
        let common = dice.between(1, 4);
        rules = Rules { within: None, keep: Vec::new(), oldest: Oldest::Every };
        for period in known {
            if dice.one_in(common) {
                let count = *dice.of(&[1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 30, 60, 200, -1]);
                rules.keep.extend(Count::from_signed(count).map(|count| (*period, count)));
            }
        }
        if dice.one_in(3) {
            let most = *dice.of(&[("H", 100), ("d", 60), ("w", 20), ("m", 18), ("y", 3)]);
            rules.within = Some(format!("{}{}", dice.between(1, most.1), most.0).parse().unwrap());
        }
    }
    rules
}

/// After the newest archive, somewhere among them, or so that one of them is exactly as old as the interval.
fn draw_now(dice: &mut Dice, archives: &[Timestamp], rules: &Rules) -> Timestamp {
    let Some(newest) = archives.last() else { return timestamp(1_700_000_000) };
    match (dice.between(0, 3), rules.within) {
        (0, Some(within)) => {
            let edge = *dice.of(archives);
            Timestamp { seconds: edge.seconds + within.seconds(), ..edge }
        }
        (1, _) => Timestamp { nanoseconds: microseconds(dice), ..*dice.of(archives) },
        _ => Timestamp { seconds: newest.seconds + dice.between(0, 10 * DAY), nanoseconds: microseconds(dice) },
    }
}

#[test]
fn borgs_functions_decide_alike() {
    const TEST: &str = "retention::differential::borgs_functions_decide_alike";
    const CASES: usize = 3000;
    let Some(borg) = Borg::find(TEST) else { return };
    let mut dice = Dice(0x5EED);
    let Some(cases): Option<Vec<Case>> = (0..CASES).map(|_| Case::draw(&mut dice, &borg.rules)).collect() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("cases");
    let lines: Vec<String> = cases.iter().map(|case| case.json().to_string()).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let answers = succeed(&mut borg.script(include_str!("borg.py"), &[&file])).stdout;
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.lines().count(), CASES);
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for (number, (case, answer)) in cases.iter().zip(answers.lines()).enumerate() {
        let theirs: Vec<Option<String>> = serde_json::from_str(answer).unwrap();
        assert_eq!(case.ours(), theirs, "case {number}: {}", case.json());
        for reason in
            theirs.iter().map(|reason| reason.as_deref().map_or("", |reason| reason.split(' ').next().unwrap()))
        {
            *reasons.entry(reason.to_owned()).or_default() += 1;
        }
    }
    // A test of cases that decide nothing would pass as well.
    for period in &borg.rules {
        assert!(reasons[&borg_name(*period)] > 100, "{reasons:?}");
    }
    for reason in ["within", "daily[oldest]", "weekly[oldest]", "monthly[oldest]", "yearly[oldest]", ""] {
        assert!(reasons[reason] > 50, "{reasons:?}");
    }
}

/// A real repository, and the times of its archives, which are named by their position.
struct Repository {
    folder: TempDir,
    archives: Vec<Timestamp>,
}

impl Repository {
    fn create(borg: &Borg, dice: &mut Dice, now: i64) -> Self {
        let folder = TempDir::new().unwrap();
        // Ages of whole hours and a half: however long this runs, no edge of an interval comes near. The number of the
        // archive on top, so that no two share a second.
        let span = *dice.of(&[10 * 24, 100 * 24, 3 * 365 * 24]);
        let mut ages: Vec<i64> = (0..dice.between(25, 35)).map(|_| dice.between(0, span)).collect();
        ages.sort_unstable();
        let times = ages.iter().zip(0..).map(|(age, number)| timestamp(now - age * HOUR - HOUR / 2 - number));
        let archives: Vec<Timestamp> = times.collect();
        let written = archives.iter().map(|time| {
            let instant = jiff::Timestamp::from_second(time.seconds).unwrap();
            instant.strftime("%Y-%m-%dT%H:%M:%S").to_string()
        });
        let written: Vec<String> = written.collect();
        fs::write(folder.path().join("times"), written.join("\n")).unwrap();
        let repository = Self { folder, archives };
        let (path, times) = (repository.path(), repository.folder.path().join("times"));
        succeed(repository.at_home(&mut borg.script(include_str!("create.py"), &[&path, &times])));
        repository
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// Borg's cache and its memory of repositories are in the folder too.
    fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("BORG_BASE_DIR", self.folder.path()).env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command.current_dir(self.folder.path()).env("LC_ALL", "C.UTF-8")
    }

    /// What `borg prune --dry-run --list` says of each archive.
    fn prune(&self, case: &Case) -> Vec<Option<String>> {
        let mut command = Command::new("borg");
        command.args(["prune", "--dry-run", "--list"]).env("TZ", case.zone);
        for (period, count) in &case.rules.keep {
            command.arg(format!("--keep-{period}={}", borg_count(*count)));
        }
        command.args(case.rules.within.map(|within| format!("--keep-within={within}")));
        let said = succeed(self.at_home(command.arg(self.path()))).stderr;
        let said = String::from_utf8(said).unwrap();
        let mut reasons = vec![None; self.archives.len()];
        let mut judged = 0;
        for line in said.lines() {
            let (reason, rest) = match line.split_once("(rule: ") {
                Some((_, line)) => line.split_once("):").map(|(reason, rest)| (Some(reason.to_owned()), rest)).unwrap(),
                None => (None, line.strip_prefix("Would prune:").unwrap_or_else(|| panic!("{said}"))),
            };
            let name: usize = rest.split_whitespace().next().unwrap().parse().unwrap();
            reasons[name] = reason;
            judged += 1;
        }
        assert_eq!(judged, self.archives.len(), "{said}");
        reasons
    }
}

#[test]
fn borgs_command_decides_alike() {
    const TEST: &str = "retention::differential::borgs_command_decides_alike";
    const PRUNES: usize = 12;
    let Some(borg) = Borg::find(TEST) else { return };
    let now = vault_engine::clock::now();
    std::thread::scope(|scope| {
        for seed in [1, 2] {
            let borg = &borg;
            scope.spawn(move || {
                let mut dice = Dice(seed);
                let repository = Repository::create(borg, &mut dice, now.seconds);
                for _ in 0..PRUNES {
                    let name = *dice.of(&ZONES);
                    if zone(TEST, name).is_none() {
                        return;
                    }
                    let rules = draw_rules(&mut dice, &borg.rules);
                    let case = Case { zone: name, now, rules, archives: repository.archives.clone() };
                    assert_eq!(case.ours(), repository.prune(&case), "{}", case.json());
                }
            });
        }
    });
}
