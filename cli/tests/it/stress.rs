//! Creates, prunes and compactions at once, and somebody who kills them: no archive that exited 0 may be lost.
//!
//! A short campaign belongs to the tests; longer ones are asked for by `VAULT_STRESS_SECONDS` (docs/testing.md).

mod crew;
mod ledger;
mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use vault_engine::clock::{self, Stopwatch};

use crate::sandbox::{Run, Sandbox, files};
use crew::Crew;
use ledger::{Ledger, Listed};
use trees::{Random, Tree};

const WRITERS: usize = 8;
const COMPACTIONS: usize = 2;
const KEEP_LAST: usize = 3;
/// A campaign's bytes by those of a serial run may be as much, in percent.
const MOST_BYTES: u64 = 105;

struct Campaign {
    sandbox: Sandbox,
    crew: Crew,
    ledger: Ledger,
    seed: u64,
    /// Grows with every create: writers take their contents from it, so that several store the same ones at a time.
    epoch: AtomicU64,
    over: AtomicBool,
    problems: Mutex<Vec<String>>,
    runs: [AtomicU64; 4],
    gave_up: [AtomicU64; 4],
}

/// Whose runs are counted.
#[derive(Clone, Copy)]
enum Role {
    Create,
    Prune,
    Compact,
    Restore,
}

impl Role {
    /// Whether it ended with a promise of nothing, because of what others did meanwhile.
    fn gives_up(self, stderr: &str) -> bool {
        match self {
            // Compactions without patience took what it stored, again and again.
            Self::Create => stderr.contains("other runs took what this one needed"),
            // A pending archive needs what an earlier compaction took: its writer, if alive, is about to store it again.
            Self::Compact => ["nothing that an archive needs was deleted", "other runs took"]
                .iter()
                .any(|text| stderr.contains(text)),
            Self::Prune | Self::Restore => false,
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

#[test]
fn nothing_is_lost_when_processes_are_killed() {
    let seconds = number("VAULT_STRESS_SECONDS").unwrap_or(15);
    let seed = number("VAULT_STRESS_SEED").unwrap_or_else(|| u64::from(clock::now().nanoseconds));
    let campaign = Campaign::new(seed);
    let mut trees: Vec<Tree> =
        (0..WRITERS).map(|writer| Tree::new(campaign.sandbox.path(&format!("trees/{writer}")))).collect();
    campaign.rage(&mut trees, Duration::from_secs(seconds));
    // So that every series has an archive after whatever was killed.
    campaign.everybody(&mut trees);
    campaign.prune();
    campaign.check_lets_go("before the last compaction");
    let kept = campaign.verify("before the last compaction");
    let compacted = campaign.vault(&["compact", "-r", "repo", "--json"]).succeeds();
    campaign.check("after the last compaction");
    assert_eq!(campaign.verify("after the last compaction"), kept, "seed {seed}");
    campaign.compare_with_serial(&kept, &compacted.stdout);
    campaign.report();
}

impl Campaign {
    fn new(seed: u64) -> Self {
        let sandbox = Sandbox::new();
        let mut random = Random::new(seed);
        for number in 0..20 {
            sandbox.write(&format!("shared/{number}"), random.noise(50_000));
        }
        let ledger = Ledger::new(WRITERS, KEEP_LAST);
        let campaign = Self {
            sandbox,
            crew: Crew::default(),
            ledger,
            seed,
            epoch: AtomicU64::new(0),
            over: AtomicBool::new(false),
            problems: Mutex::default(),
            runs: Default::default(),
            gave_up: Default::default(),
        };
        campaign.vault(&["init", "-r", "repo"]).succeeds();
        // The same keys, for they decide where files are cut.
        let copied =
            Command::new("cp").arg("-a").args(["repo", "serial"].map(|name| campaign.sandbox.path(name))).status();
        assert!(copied.unwrap().success());
        campaign
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.env("VAULT_KEY_FILE", self.sandbox.path("key"));
        command
    }

    /// Runs the program where nobody kills it.
    fn vault(&self, arguments: &[&str]) -> Run {
        crate::sandbox::run(&mut self.command(arguments))
    }

    /// Runs the program where it may be killed. Nothing: it was. An end that is none of success, death and giving up is a problem.
    fn dare(&self, role: Role, arguments: &[&str]) -> Option<Run> {
        let run = self.crew.run(&mut self.command(arguments));
        self.count(role);
        match run.code {
            None => None,
            Some(0) => Some(run),
            Some(_) if role.gives_up(&run.stderr) => {
                self.gave_up[role as usize].fetch_add(1, Ordering::Relaxed);
                None
            }
            Some(code) => {
                self.problem(format!("vault {} exited {code}: {}", arguments.join(" "), run.stderr));
                None
            }
        }
    }

    fn count(&self, role: Role) {
        self.runs[role as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn problem(&self, text: String) {
        self.problems.lock().unwrap().push(text);
    }

    fn random(&self, who: u64) -> Random {
        Random::new(self.seed.wrapping_add(1 + who))
    }

    /// All at once until the time is over.
    fn rage(&self, trees: &mut [Tree], time: Duration) {
        let watch = Stopwatch::start();
        std::thread::scope(|scope| {
            for (series, tree) in trees.iter_mut().enumerate() {
                scope.spawn(move || self.until_over(|random| self.create(series, tree, random), series as u64));
            }
            for number in 0..COMPACTIONS {
                scope.spawn(move || self.until_over(|random| self.compact(random), 100 + number as u64));
            }
            scope.spawn(|| self.until_over(|_| self.prune(), 200));
            scope.spawn(|| self.until_over(|random| self.read(random), 300));
            let mut random = self.random(400);
            while watch.elapsed() < time {
                std::thread::park_timeout(Duration::from_millis(200 + random.below(2800) as u64));
                self.crew.kill_one(&mut random);
            }
            self.over.store(true, Ordering::Relaxed);
        });
    }

    fn until_over(&self, mut act: impl FnMut(&mut Random), who: u64) {
        let mut random = self.random(who);
        while !self.over.load(Ordering::Relaxed) {
            act(&mut random);
        }
    }

    fn create(&self, series: usize, tree: &mut Tree, random: &mut Random) {
        tree.change(self.epoch.fetch_add(1, Ordering::Relaxed) / WRITERS as u64, random);
        let attempt = self.ledger.begin(series, tree.manifest());
        let (time, name, folder) = (ledger::time(attempt), format!("series-{series}"), format!("trees/{series}"));
        let arguments = ["create", "-r", "repo", "--json", "--timestamp", &time, &name, &folder, "shared"];
        if let Some(run) = self.dare(Role::Create, &arguments) {
            self.ledger.done(series, attempt, run.json()["archive"]["id"].as_str().unwrap());
        }
    }

    /// Every series once, all at a time; nobody is killed any more.
    fn everybody(&self, trees: &mut [Tree]) {
        std::thread::scope(|scope| {
            for (series, tree) in trees.iter_mut().enumerate() {
                scope.spawn(move || self.create(series, tree, &mut self.random(500 + series as u64)));
            }
        });
    }

    fn compact(&self, random: &mut Random) {
        let threshold = ["0", "10", "50"][random.below(3)];
        // Without patience it condemns what a run has stored that is still at work.
        let grace = ["0s", "7d"][random.below(2)];
        let arguments = ["compact", "-r", "repo", "--threshold", threshold, "--grace", grace];
        self.dare(Role::Compact, &arguments);
    }

    fn prune(&self) {
        let arguments = ["prune", "-r", "repo", "--keep-last", &KEEP_LAST.to_string(), "--json"];
        match self.dare(Role::Prune, &arguments) {
            Some(run) => {
                let json = run.json();
                let archives = json["archives"].as_array().unwrap().iter();
                let pruned = archives.filter(|archive| archive["keep"] == false);
                let wrong = self.ledger.pruned(pruned.map(|archive| archive["id"].as_str().unwrap()));
                self.problems.lock().unwrap().extend(wrong);
            }
            None => self.ledger.prune_died(),
        }
    }

    /// Restores the newest archive of a series. Only one that has been followed by others may be gone meanwhile.
    fn read(&self, random: &mut Random) {
        let series = random.below(WRITERS);
        let Some((attempt, id)) = self.ledger.newest(series) else { return };
        let target = self.sandbox.path("read");
        let _ = fs::remove_dir_all(&target);
        let selector = format!("aid:{id}");
        let run = self.crew.run(&mut self.command(&["restore", "-r", "repo", &selector, "--target", "read"]));
        self.count(Role::Restore);
        match run.code {
            None => {}
            Some(0) => self.compare(series, attempt, &target, "while others write"),
            Some(_) if self.ledger.may_be_gone(series, attempt) => {}
            Some(code) => self.problem(format!("restore of {series}/{attempt} ({id}) exited {code}: {}", run.stderr)),
        }
    }

    fn compare(&self, series: usize, attempt: usize, target: &Path, when: &str) {
        let restored = files(&target.join(format!("trees/{series}")));
        let restored = restored.into_iter().map(|(path, bytes)| (path, blake3::hash(&bytes))).collect();
        if *self.ledger.manifest(series, attempt) != restored {
            self.problem(format!("{series}/{attempt} is not what was archived, {when}"));
        }
        if files(&target.join("shared")) != files(&self.sandbox.path("shared")) {
            self.problem(format!("{series}/{attempt} has another shared folder, {when}"));
        }
    }

    /// Like `check`, but segments may name packs that have gone: two compactions ended at the same time, or one was killed between.
    fn check_lets_go(&self, when: &str) {
        let run = self.vault(&["check", "-r", "repo", "--read-data", "--json"]);
        let json = run.json();
        let strange = |finding: &&serde_json::Value| {
            let message = finding["message"].as_str().unwrap();
            finding["severity"] != "warning" || !message.ends_with("no archive lacks anything for it")
        };
        let findings: Vec<_> = json["findings"].as_array().unwrap().iter().filter(strange).collect();
        assert!(matches!(run.code, Some(0 | 1)) && findings.is_empty(), "{when}, seed {}: {run:?}", self.seed);
    }

    fn check(&self, when: &str) {
        let run = self.vault(&["check", "-r", "repo", "--read-data"]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{when}, seed {}: {}", self.seed, run.stdout);
    }

    /// Restores and compares all archives that there are, and asks for those that there must be.
    fn verify(&self, when: &str) -> Vec<Listed> {
        let listed = ledger::listed(&self.vault(&["list", "-r", "repo", "--json"]).succeeds().json());
        for Listed { series, attempt, id } in &listed {
            let target = self.sandbox.path("verify");
            let run = self.vault(&["restore", "-r", "repo", &format!("aid:{id}"), "--target", "verify"]);
            if run.code == Some(0) {
                self.compare(*series, *attempt, &target, when);
            } else {
                self.problem(format!("{series}/{attempt} ({id}) is lost, {when}: {}", run.stderr));
            }
            fs::remove_dir_all(&target).unwrap();
        }
        let mut problems = self.problems.lock().unwrap();
        problems.extend(self.ledger.missing(&listed).into_iter().map(|text| format!("{text}, {when}")));
        assert!(problems.is_empty(), "seed {}:\n{}", self.seed, problems.join("\n"));
        listed
    }

    /// The same archives one after the other into the copy of the empty repository, compacted too.
    fn compare_with_serial(&self, kept: &[Listed], compacted: &str) {
        // It has the id of the other one, and is another: what is remembered of that would be missed in this.
        let as_another_client = |command: &mut Command| {
            for variable in ["XDG_CACHE_HOME", "XDG_STATE_HOME"] {
                command.env(variable, self.sandbox.path("another-client").join(variable));
            }
            crate::sandbox::run(command).succeeds();
        };
        let mut order: Vec<&Listed> = kept.iter().collect();
        order.sort_by_key(|listed| listed.attempt);
        for Listed { series, attempt, id } in order {
            self.vault(&["restore", "-r", "repo", &format!("aid:{id}"), "--target", "again", "--delete"]).succeeds();
            let mut command = self.command(&["create", "-r", "../serial", "--timestamp", &ledger::time(*attempt)]);
            command.args([format!("series-{series}"), format!("trees/{series}"), "shared".to_owned()]);
            as_another_client(command.current_dir(self.sandbox.path("again")));
        }
        as_another_client(&mut self.command(&["compact", "-r", "serial"]));
        let [campaign, serial] = ["repo", "serial"].map(|name| bytes(&self.sandbox.path(name)));
        let percent = campaign * 100 / serial;
        let text = format!("{campaign} bytes, {serial} in a serial run: {percent} %");
        assert!(campaign * 100 <= serial * MOST_BYTES, "{text}, seed {}: {compacted}", self.seed);
        println!("{text}");
    }

    fn report(&self) {
        let count = |counts: &[AtomicU64; 4], role: Role| counts[role as usize].load(Ordering::Relaxed);
        println!(
            "{} creates ({} gave up), {} prunes, {} compactions ({} gave up), {} restores; {} killed; {} archives counted",
            count(&self.runs, Role::Create),
            count(&self.gave_up, Role::Create),
            count(&self.runs, Role::Prune),
            count(&self.runs, Role::Compact),
            count(&self.gave_up, Role::Compact),
            count(&self.runs, Role::Restore),
            self.crew.killed(),
            self.ledger.archives(),
        );
    }
}

fn bytes(folder: &Path) -> u64 {
    let size = |(path, _): &(PathBuf, Vec<u8>)| fs::metadata(folder.join(path)).unwrap().len();
    files(folder).iter().map(size).sum()
}
