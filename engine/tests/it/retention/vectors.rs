//! The files of vectors beside this one: archives, and for each policy what is kept, and why.
//!
//! Lines before the first `case`: `archive TIME` (`/2` behind it tells equal times apart; `47H` is an age), `nights FIRST
//! LAST` every 24 hours, `without TIME`, `now TIME`, `prune-after-each` (only what a prune leaves meets the next archive).
//! Lines of a case: `zone`, `options`, `until TIME`, `kept ARCHIVE RULE`, and how many `pruned`.

use vault_engine::meta::Timestamp;
use vault_engine::retention::{Candidate, Interval, decide};

use super::{id, rules, time, timestamp, zone};

const DAY: i64 = 86_400;

#[derive(Debug, Default)]
struct File {
    archives: Vec<(String, Timestamp)>,
    now: Timestamp,
    prune_after_each: bool,
    cases: Vec<Case>,
}

#[derive(Debug, Default)]
struct Case {
    name: String,
    zone: String,
    options: String,
    until: Option<Timestamp>,
    kept: Vec<(String, String)>,
    pruned: usize,
}

impl File {
    fn parse(text: &str) -> Self {
        let mut file = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "archive" => file.archives.push((rest.to_owned(), file.named(rest))),
                "nights" => file.nights(rest),
                "without" => file.archives.retain(|(name, _)| name != rest),
                "now" => file.now = time(rest),
                "prune-after-each" => file.prune_after_each = true,
                "case" => file.cases.push(Case { name: rest.to_owned(), ..Case::default() }),
                _ => file.cases.last_mut().expect(line).read(word, rest),
            }
        }
        file
    }

    fn named(&self, name: &str) -> Timestamp {
        match name.parse::<Interval>() {
            Ok(age) => timestamp(self.now.seconds - age.seconds()),
            Err(_) => time(name.split('/').next().unwrap()),
        }
    }

    fn nights(&mut self, range: &str) {
        let (first, last) = range.split_once(' ').expect(range);
        for second in (time(first).seconds..=time(last).seconds).step_by(usize::try_from(DAY).unwrap()) {
            let name = jiff::Timestamp::from_second(second).unwrap().to_string();
            self.archives.push((name, timestamp(second)));
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let numbered = self.archives.iter().enumerate();
        numbered.map(|(number, (_, time))| Candidate { id: id(number), time: *time }).collect()
    }
}

impl Case {
    fn read(&mut self, word: &str, rest: &str) {
        match word {
            "zone" => rest.clone_into(&mut self.zone),
            "options" => rest.clone_into(&mut self.options),
            "until" => self.until = Some(time(rest)),
            "pruned" => self.pruned = rest.parse().unwrap(),
            "kept" => {
                let (archive, rule) = rest.split_once(' ').expect(rest);
                self.kept.push((archive.to_owned(), rule.to_owned()));
            }
            _ => panic!("{word} {rest}"),
        }
    }

    /// What the last prune kept, and how many archives it did not.
    fn run(&self, file: &File) -> Option<(Vec<(String, String)>, usize)> {
        let (zone, rules) = (zone(&self.name, &self.zone)?, rules(&self.options));
        rules.validate().unwrap();
        let mut archives = file.candidates();
        archives.retain(|archive| self.until.is_none_or(|until| archive.time <= until));
        let rounds = if file.prune_after_each { archives.len() } else { 1 };
        let later = archives.split_off(archives.len() - (rounds - 1));
        let mut decisions = decide(&archives, &rules, file.now, &zone);
        for next in later {
            let is_kept =
                |archive: &Candidate| decisions.iter().any(|one| one.id == archive.id && one.kept_by.is_some());
            archives.retain(is_kept);
            archives.push(next);
            decisions = decide(&archives, &rules, file.now, &zone);
        }
        let name =
            |wanted| file.archives.iter().zip(0..).find(|(_, number)| id(*number) == wanted).unwrap().0.0.clone();
        let kept = decisions.iter().filter_map(|one| Some((name(one.id), one.kept_by?.to_string())));
        let kept: Vec<_> = kept.collect();
        let pruned = decisions.len() - kept.len();
        Some((kept, pruned))
    }
}

fn conforms(text: &str, cases: usize) {
    let file = File::parse(text);
    assert_eq!(file.cases.len(), cases);
    for case in &file.cases {
        let Some((kept, pruned)) = case.run(&file) else { continue };
        assert_eq!(kept, case.kept, "{}: {} in {}", case.name, case.options, case.zone);
        assert_eq!(pruned, case.pruned, "{}", case.name);
    }
}

#[test]
fn the_nights_of_a_year_are_kept_as_borg_keeps_them() {
    conforms(include_str!("year.txt"), 8);
}

#[test]
fn edges_of_periods_are_where_borg_has_them() {
    conforms(include_str!("edges.txt"), 6);
}

#[test]
fn what_is_young_is_kept_and_uses_up_its_periods() {
    conforms(include_str!("relative.txt"), 6);
}

#[test]
fn there_are_two_kinds_of_quarters() {
    conforms(include_str!("quarters.txt"), 2);
}

#[test]
fn the_first_archive_lives_until_the_rules_are_satisfied() {
    conforms(include_str!("rolling.txt"), 2);
}
