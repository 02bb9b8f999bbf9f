//! The example and the picture of docs/retention.md are what the code decides.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use vault_engine::id::ArchiveId;
use vault_engine::meta::Timestamp;
use vault_engine::retention::{KeptBy, Rule, decide};

use super::{numbered, rules, timestamp};

/// What becomes of an archive of each of these days at noon.
fn decided(days: &[Date], options: &str) -> Vec<(Date, Option<KeptBy>)> {
    let noon = |day: &Date| timestamp(day.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp().as_second());
    let times: Vec<Timestamp> = days.iter().map(noon).collect();
    let archives = numbered(&times);
    let now = timestamp(times.last().unwrap().seconds + 12 * 3600);
    let decisions = decide(&archives, &rules(options), now, &TimeZone::UTC);
    let day = |id: ArchiveId| days[archives.iter().position(|archive| archive.id == id).unwrap()];
    decisions.iter().map(|one| (day(one.id), one.kept_by)).collect()
}

fn nights_of(year: i16) -> Vec<Date> {
    date(year, 1, 1).series(jiff::Span::new().days(1)).take_while(|day| day.year() == year).collect()
}

#[track_caller]
fn assert_on_the_page(block: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/retention.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("```\n{block}```\n")), "docs/retention.md should have:\n{block}");
}

/// One column a rule: its number, the day, and whether it is there for being the oldest.
#[test]
fn the_page_has_borgs_worked_example() {
    const RULES: [&str; 3] = ["--keep-daily 14", "--keep-monthly 6", "--keep-yearly 1"];
    let days: Vec<Date> = nights_of(2015).into_iter().filter(|day| *day != date(2015, 12, 19)).collect();
    let decided = decided(&days, &RULES.join(" "));
    let column = |option: &str| {
        let name = option.split([' ', '-']).nth(3).unwrap();
        let mut lines = vec![option.to_owned()];
        for (day, kept_by) in decided.iter().filter_map(|(day, kept_by)| Some((day, (*kept_by)?))) {
            if matches!(kept_by.rule, Rule::Newest(period) if period.to_string() == name) {
                lines.push(format!("{:>2}. {day}{}", kept_by.number, if kept_by.oldest { " (oldest)" } else { "" }));
            }
        }
        lines
    };
    let columns = RULES.map(column);
    let rows = columns.iter().map(Vec::len).max().unwrap();
    let cell = |column: &Vec<String>, row: usize| column.get(row).cloned().unwrap_or_default();
    let mut block = String::new();
    for row in 0..rows {
        let cells = columns.each_ref().map(|column| format!("{:<22}", cell(column, row)));
        writeln!(block, "{}", cells.concat().trim_end()).unwrap();
    }
    assert_on_the_page(&block);
}

/// One line a month, one letter a night.
#[test]
fn the_page_has_a_picture_of_a_year_of_nights() {
    let decided = decided(&nights_of(2025), "--keep-daily 7 --keep-weekly 4 --keep-monthly 12");
    let letter = |day: Date| match decided.iter().find(|(other, _)| *other == day).unwrap().1 {
        None => '.',
        Some(kept_by) if kept_by.oldest => 'o',
        Some(kept_by) => kept_by.to_string().chars().next().unwrap(),
    };
    let mut block = "              1         2         3\n     1234567890123456789012345678901\n".to_owned();
    for day in nights_of(2025) {
        if day.day() == 1 {
            write!(block, "{}  ", day.strftime("%b")).unwrap();
        }
        block.push(letter(day));
        if day == day.last_of_month() {
            block.push('\n');
        }
    }
    assert_on_the_page(&block);
    let kept = decided.iter().filter(|(_, kept_by)| kept_by.is_some()).count();
    let page_says = format!("{kept} of {} nights", decided.len());
    let page = include_str!("../../../../docs/retention.md");
    assert!(page.contains(&page_says), "{page_says}");
}
