//! `prune`: thins series by keep rules. Which archives stay is `retention`'s to say; here archives become groups, and decisions marks.
//!
//! Archives are deleted because others are kept, so those others had better stay (docs/gc.md, "Pruning"). An archive whose mark has just
//! been put may still be dropped by a compaction that looked before; so before the first archive is deleted, gc/ is listed and read, and
//! *then* the manifest of each archive that is kept is asked for. What a record names, or what is gone, is neither counted nor deleted,
//! and the rules are applied again without it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::tz::TimeZone;

use crate::error::{ArchiveProblem, Error, Result};
use crate::id::ArchiveId;
use crate::meta::Timestamp;
use crate::ops::archives::{Glob, is_meant, list, similar};
use crate::ops::protect::warn_of_protected;
use crate::progress::Monitor;
use crate::repository::{Archive, Facts, Repository};
use crate::retention::{Candidate, RulesProblem, decide};

pub use crate::retention::{Count, Interval, Oldest, Period, Rules};

/// So few series do not look like names that change every night.
const FEW_SERIES: usize = 3;

/// A series, or the series of one name on all hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesPattern {
    /// Host label; any without it.
    pub host: Option<String>,
    /// The series' name.
    pub name: String,
}

/// What to thin, and how.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Only these series; all without any.
    pub series: Vec<SeriesPattern>,
    /// All archives that this means are one group, whatever their series.
    pub glob: Option<Glob>,
    /// Series of one name are one group, whatever their hosts.
    pub group_by_name: bool,
    /// What to keep of each group.
    pub rules: Rules,
    /// Where a day begins.
    pub zone: TimeZone,
    /// From when intervals count.
    pub now: Timestamp,
    /// Only say what would be deleted.
    pub dry_run: bool,
    /// Go on although the rules keep nothing of a group.
    pub allow_emptying: bool,
}

/// What becomes of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is kept by this rule, "daily #3".
    Kept(String),
    /// It is protected.
    Protected,
    /// A compaction may be about to drop it, so it neither counts nor is deleted.
    Unconfirmed,
    /// It is deleted.
    Pruned,
}

impl Fate {
    /// Whether the archive stays.
    pub fn stays(&self) -> bool {
        *self != Self::Pruned
    }
}

/// An archive and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The archive.
    pub archive: Archive,
    /// The group in which it was judged: a series, a name, or a glob.
    pub group: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Every archive that was looked at: by group, the newest first.
    pub archives: Vec<Judged>,
    /// What to use instead, if names look as if they changed every night.
    pub advice: Option<String>,
}

impl PruneReport {
    /// How many stay.
    pub fn kept(&self) -> u64 {
        self.archives.iter().filter(|judged| judged.fate.stays()).count() as u64
    }

    /// How many are deleted.
    pub fn pruned(&self) -> u64 {
        self.archives.len() as u64 - self.kept()
    }

    fn ids(&self, wanted: impl Fn(&Fate) -> bool) -> Vec<ArchiveId> {
        self.archives.iter().filter(|judged| wanted(&judged.fate)).map(|judged| judged.archive.id).collect()
    }
}

/// Deletes what no rule keeps.
///
/// # Errors
/// `Usage`: the rules keep nothing at all, or nothing of a group. `Archive`: a series does not exist. `Damaged`: an event cannot be read,
/// which might protect an archive. In each case nothing was deleted.
pub fn prune(repository: &Repository, options: &PruneOptions, monitor: &dyn Monitor) -> Result<PruneReport> {
    match options.rules.validate() {
        Err(RulesProblem::Empty) if options.allow_emptying => {}
        valid => valid.map_err(|problem| Error::Usage(problem.to_string()))?,
    }
    let groups = groups(list(repository, monitor)?, options).map_err(Error::Archive)?;
    if let (Some(glob), true) = (&options.glob, groups.is_empty()) {
        monitor.warning(b"", &format!("no archive matches {}", glob.as_str()));
    }
    let facts = repository.facts()?.trusted()?;
    let mut unconfirmed = HashSet::new();
    let mut report = loop {
        let report = judge(&groups, &facts, &unconfirmed, options)?;
        let kept = report.ids(|fate| matches!(fate, Fate::Kept(_) | Fate::Protected));
        let known = unconfirmed.len();
        unconfirmed.extend(repository.unconfirmed(kept)?);
        if unconfirmed.len() == known {
            break report;
        }
    };
    let pruned = report.ids(|fate| *fate == Fate::Pruned);
    if pruned.is_empty() {
        report.advice = advice(&groups, options);
    }
    if !options.dry_run && !pruned.is_empty() {
        repository.mark_deleted(&pruned)?;
        warn_of_protected(repository, &pruned, monitor)?;
    }
    Ok(report)
}

/// The archives that are judged together, newest first, by what their group is called.
type Groups = BTreeMap<String, Vec<Archive>>;

fn groups(archives: Vec<Archive>, options: &PruneOptions) -> Result<Groups, ArchiveProblem> {
    for wanted in &options.series {
        if !archives.iter().any(|archive| is_of(wanted, archive)) {
            return Err(no_such_series(&archives, wanted));
        }
    }
    let mut groups = Groups::new();
    for archive in archives.into_iter().rev() {
        let manifest = &archive.manifest;
        let group = match &options.glob {
            Some(glob) if is_meant(glob, manifest) => glob.as_str().to_owned(),
            Some(_) => continue,
            None if !options.series.is_empty() && !options.series.iter().any(|wanted| is_of(wanted, &archive)) => {
                continue;
            }
            None if options.group_by_name => manifest.name.clone(),
            None => manifest.series(),
        };
        groups.entry(group).or_default().push(archive);
    }
    Ok(groups)
}

fn is_of(wanted: &SeriesPattern, archive: &Archive) -> bool {
    archive.manifest.name == wanted.name && wanted.host.as_ref().is_none_or(|host| archive.manifest.host == *host)
}

fn no_such_series(archives: &[Archive], wanted: &SeriesPattern) -> ArchiveProblem {
    let host = wanted.host.iter().map(|host| format!("{host}/"));
    let selector = host.chain([wanted.name.clone()]).collect();
    ArchiveProblem::NotFound { selector, hint: similar(archives, &wanted.name) }
}

/// Applies the rules to each group. Protected archives are no candidates, and neither are those that may go by themselves.
fn judge(
    groups: &Groups,
    facts: &Facts,
    unconfirmed: &HashSet<ArchiveId>,
    options: &PruneOptions,
) -> Result<PruneReport> {
    let mut report = PruneReport::default();
    for (group, archives) in groups {
        let is_candidate = |archive: &&Archive| !facts.is_protected(archive.id) && !unconfirmed.contains(&archive.id);
        let candidates = archives.iter().filter(is_candidate);
        let candidates: Vec<Candidate> =
            candidates.map(|archive| Candidate { id: archive.id, time: archive.manifest.time }).collect();
        let decisions = decide(&candidates, &options.rules, options.now, &options.zone);
        let kept: BTreeMap<ArchiveId, String> =
            decisions.into_iter().filter_map(|made| Some((made.id, made.kept_by?.to_string()))).collect();
        let judged: Vec<Judged> = archives
            .iter()
            .map(|archive| {
                let fate = match kept.get(&archive.id) {
                    _ if unconfirmed.contains(&archive.id) => Fate::Unconfirmed,
                    _ if facts.is_protected(archive.id) => Fate::Protected,
                    Some(rule) => Fate::Kept(rule.clone()),
                    None => Fate::Pruned,
                };
                Judged { archive: archive.clone(), group: group.clone(), fate }
            })
            .collect();
        // What is protected stays for another reason: the rules keep nothing all the same.
        let emptied = !judged.iter().any(|judged| matches!(judged.fate, Fate::Kept(_)));
        let pruned = judged.iter().filter(|judged| judged.fate == Fate::Pruned).count();
        if emptied && pruned > 0 && !options.allow_emptying {
            return Err(Error::Usage(format!(
                "the rules keep nothing of {group}: {pruned} archives would be deleted; if that is meant, give --force twice"
            )));
        }
        report.archives.extend(judged);
    }
    Ok(report)
}

/// Scripts for borg put the time into the name. Each archive is then a series of its own, of which every rule keeps the newest.
fn advice(groups: &Groups, options: &PruneOptions) -> Option<String> {
    let by_series = options.glob.is_none() && options.series.is_empty() && !options.group_by_name;
    if !by_series || groups.len() < FEW_SERIES || groups.values().any(|archives| archives.len() > 1) {
        return None;
    }
    let names = groups.values().flatten().map(|archive| archive.manifest.name.as_str());
    let mut prefixes: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *prefixes.entry(before_time(name)).or_default() += 1;
    }
    let shared: BTreeSet<&str> = prefixes
        .into_iter()
        .filter(|(prefix, count)| *count > 1 && !prefix.is_empty())
        .map(|(prefix, _)| prefix)
        .collect();
    let prefix = shared.first().copied().unwrap_or("PREFIX");
    Some(format!(
        "each of the {} series has one archive only, so nothing is pruned; if their names hold the time, as borg's do, prune them \
         as one group: -a '{prefix}*'",
        groups.len()
    ))
}

/// What stands before a year, or else before any number.
fn before_time(name: &str) -> &str {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let year = name.char_indices().map(|(at, _)| at).find(|at| {
        let digits = name.get(*at..).unwrap_or_default().chars().take_while(|letter| is_digit(*letter));
        digits.count() >= 4
    });
    let end = year.or_else(|| name.find(is_digit)).unwrap_or(name.len());
    name.get(..end).unwrap_or(name)
}
