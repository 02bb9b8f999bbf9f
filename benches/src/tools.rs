//! vault and its peers: how each is asked for the same steps. Everything that a tool keeps lies in the scratch folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::Invocation;

const PASSPHRASE: &str = "correct horse battery staple";

/// What is measured, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new repository.
    Init,
    /// The first archive.
    Create,
    /// An archive of a volume in which nothing changed.
    Unchanged,
    /// An archive of the volume as it is a night later.
    Night,
    /// All of the newest archive into an empty folder.
    Restore,
    /// A check that reads all data.
    Check,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 6] = [Self::Init, Self::Create, Self::Unchanged, Self::Night, Self::Restore, Self::Check];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Create => "create",
            Self::Unchanged => "unchanged",
            Self::Night => "next night",
            Self::Restore => "restore",
            Self::Check => "check data",
        }
    }

    /// The name of the archive that it makes.
    fn archive(self) -> &'static str {
        match self {
            Self::Create => "first",
            Self::Unchanged => "second",
            _ => "third",
        }
    }
}

/// Which program, and with which settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Vault,
    Borg { compression: Option<&'static str> },
    Restic,
    Rustic,
    Bupstash,
}

/// A program that was found.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name in tables, with the settings that are not its own choice.
    pub name: &'static str,
    /// What `--version` says.
    pub version: String,
    program: PathBuf,
    kind: Kind,
}

/// Where a tool works.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its repository.
    pub repository: PathBuf,
    /// What it archives.
    pub volume: PathBuf,
    /// Where it restores to.
    pub target: PathBuf,
    /// Its home, with caches and keys.
    pub home: PathBuf,
}

impl Place {
    /// All but the volume in one folder.
    pub(crate) fn below(folder: &Path, volume: &Path) -> Self {
        Self {
            repository: folder.join("repository"),
            volume: volume.to_owned(),
            target: folder.join("target"),
            home: folder.join("home"),
        }
    }
}

const PEERS: [(&str, &str, Kind); 5] = [
    ("borg", "borg", Kind::Borg { compression: None }),
    ("borg zstd,1", "borg", Kind::Borg { compression: Some("zstd,1") }),
    ("restic", "restic", Kind::Restic),
    ("rustic", "rustic", Kind::Rustic),
    ("bupstash", "bupstash", Kind::Bupstash),
];

/// vault, and every peer on the path. `vault` names the program; else it is looked for beside this one, then on the path.
pub fn find(vault: Option<&Path>, path: &[PathBuf]) -> Vec<Tool> {
    let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(|folder| folder.join("vault")));
    let beside = beside.filter(|program| program.is_file());
    let vault = vault.map(Path::to_owned).or(beside).or_else(|| on_path("vault", path));
    let vault = vault.map(|program| ("vault", program, Kind::Vault));
    let peers = PEERS.iter().filter_map(|(name, program, kind)| Some((*name, on_path(program, path)?, *kind)));
    vault.into_iter().chain(peers).map(|(name, program, kind)| tool(name, program, kind)).collect()
}

fn on_path(name: &str, path: &[PathBuf]) -> Option<PathBuf> {
    path.iter().map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn tool(name: &'static str, program: PathBuf, kind: Kind) -> Tool {
    let asked = if kind == Kind::Restic { "version" } else { "--version" };
    let output = Command::new(&program).arg(asked).output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned();
    Tool { name, version, program, kind }
}

impl Tool {
    /// Whether it is the one that the others are compared with.
    pub fn is_vault(&self) -> bool {
        self.kind == Kind::Vault
    }

    /// The commands of a step; none if the tool has no such thing. `newest` is the step that made the newest archive.
    pub fn invocations(&self, step: Step, newest: Step, place: &Place) -> Vec<Invocation> {
        let commands = match self.kind {
            Kind::Vault => vault(step, place),
            Kind::Borg { compression } => borg(step, newest, compression, place),
            Kind::Restic => restic(step, place),
            Kind::Rustic => rustic(step, place),
            Kind::Bupstash => bupstash(step, newest, place),
        };
        // borg extracts into the working folder.
        let folder = if step == Step::Restore { &place.target } else { &place.home };
        let invocation = |words: Vec<OsString>| Invocation {
            command: std::iter::once(self.program.clone().into_os_string()).chain(words).collect(),
            environment: self.environment(&place.repository, &place.home),
            folder: folder.clone(),
            core: None,
            private: false,
            input: None,
        };
        commands.into_iter().map(invocation).collect()
    }

    /// The program.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// All of the environment that its commands get.
    pub(crate) fn environment(&self, repository: &Path, home: &Path) -> Vec<(OsString, OsString)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut all: Vec<(&str, OsString)> = vec![
            ("PATH", path),
            ("HOME", home.into()),
            ("LANG", "C.UTF-8".into()),
            ("XDG_CACHE_HOME", home.join("cache").into()),
        ];
        all.extend(match self.kind {
            Kind::Vault => vec![("VAULT_PASSPHRASE", PASSPHRASE.into()), ("VAULT_HOSTNAME", "bench".into())],
            Kind::Borg { .. } => vec![("BORG_PASSPHRASE", PASSPHRASE.into()), ("BORG_BASE_DIR", home.into())],
            Kind::Restic => {
                vec![("RESTIC_PASSWORD", PASSPHRASE.into()), ("RESTIC_CACHE_DIR", home.join("restic").into())]
            }
            Kind::Rustic => {
                vec![("RUSTIC_PASSWORD", PASSPHRASE.into()), ("RUSTIC_CACHE_DIR", home.join("rustic").into())]
            }
            Kind::Bupstash => {
                vec![("BUPSTASH_REPOSITORY", repository.into()), ("BUPSTASH_KEY", home.join("bupstash.key").into())]
            }
        });
        all.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }
}

/// A key file in the place of vault's passphrase: no key is derived from it, so that only the command itself is measured.
pub(crate) fn with_key_file(environment: &mut Vec<(OsString, OsString)>, home: &Path) {
    environment.retain(|(name, _)| name != "VAULT_PASSPHRASE");
    environment.push(("VAULT_KEY_FILE".into(), home.join("vault.key").into()));
}

/// A command from words, in each of which a path may stand.
macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(OsString::from($word)),*] };
}

type Commands = Vec<Vec<OsString>>;

fn vault(step: Step, place: &Place) -> Commands {
    let Place { repository, volume, target, .. } = place;
    let verb = |verb: &str| words!["-r", repository, verb];
    vec![match step {
        Step::Init => verb("init"),
        Step::Create | Step::Unchanged | Step::Night => [verb("create"), words!["volume", volume]].concat(),
        Step::Restore => [verb("restore"), words!["volume", "--target", target]].concat(),
        Step::Check => [verb("check"), words!["--read-data"]].concat(),
    }]
}

fn borg(step: Step, newest: Step, compression: Option<&str>, place: &Place) -> Commands {
    let Place { repository, volume, .. } = place;
    let archive = |step: Step| {
        let mut name = repository.clone().into_os_string();
        name.push("::");
        name.push(step.archive());
        name
    };
    vec![match step {
        Step::Init => words!["init", "-e", "repokey-blake2", repository],
        Step::Create | Step::Unchanged | Step::Night => {
            let settings = compression.map(|setting| words!["-C", setting]).unwrap_or_default();
            [words!["create"], settings, words![archive(step), volume]].concat()
        }
        Step::Restore => words!["extract", archive(newest)],
        Step::Check => words!["check", "--verify-data", repository],
    }]
}

fn restic(step: Step, place: &Place) -> Commands {
    let Place { repository, volume, target, .. } = place;
    let verb = |words: Vec<OsString>| [words!["-r", repository], words].concat();
    vec![verb(match step {
        Step::Init => words!["init", "--repository-version", "2"],
        Step::Create | Step::Unchanged | Step::Night => words!["backup", volume],
        Step::Restore => words!["restore", "latest", "--target", target],
        Step::Check => words!["check", "--read-data"],
    })]
}

fn rustic(step: Step, place: &Place) -> Commands {
    let Place { repository, volume, target, .. } = place;
    let verb = |words: Vec<OsString>| [words!["-r", repository], words].concat();
    vec![verb(match step {
        Step::Init => words!["init"],
        Step::Create | Step::Unchanged | Step::Night => words!["backup", volume],
        Step::Restore => words!["restore", "latest", target],
        Step::Check => words!["check", "--read-data"],
    })]
}

/// It has no check of data.
fn bupstash(step: Step, newest: Step, place: &Place) -> Commands {
    let Place { volume, target, home, .. } = place;
    let named = |step: Step| format!("name={}", step.archive());
    match step {
        Step::Init => vec![words!["new-key", "-o", home.join("bupstash.key")], words!["init"]],
        Step::Create | Step::Unchanged | Step::Night => vec![words!["put", named(step), volume]],
        Step::Restore => vec![words!["restore", "--into", target, named(newest)]],
        Step::Check => Vec::new(),
    }
}
