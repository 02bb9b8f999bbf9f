//! What can go wrong, by whose fault. An error of the source is a warning at most; an error of the repository never becomes one.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Result of anything that touches a repository.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a repository ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no repository at this place.
    #[error("no repository at {place}: {problem}")]
    NoRepository {
        /// The store's description.
        place: String,
        /// What was found instead.
        problem: String,
    },
    /// `init` found one already.
    #[error("a repository exists already at {place}")]
    RepositoryExists {
        /// The store's description.
        place: String,
    },
    /// A file of the repository is not what its name or its keys say.
    #[error("{file} is damaged: {problem}")]
    Damaged {
        /// Its key in the store.
        file: String,
        /// What is wrong and where.
        problem: String,
    },
    /// The repository was written by a newer version or needs a feature that this one lacks.
    #[error("{file} cannot be read by this version of vault: {problem}")]
    Unsupported {
        /// Its key in the store.
        file: String,
        /// Which version or feature.
        problem: String,
    },
    /// No slot opens with the secret given.
    #[error("{0}")]
    Key(KeyProblem),
    /// An object that an archive names is in no pack.
    #[error("object {id} is not in the repository; run `vault check`")]
    ObjectMissing {
        /// Full id.
        id: String,
    },
    /// A compaction may not go on: an archive needs an object that cannot be had.
    #[error(
        "object {object} {place}{}; nothing that an archive needs was deleted. `vault check --read-data` names the files; \
         `vault check --repair` saves what can be read and records what is lost, and compaction goes on",
        listed(needed_by)
    )]
    Incomplete {
        /// Full id.
        object: String,
        /// "is in no pack", or where it should be read.
        place: String,
        /// The archives that need it or others like it, as `aid:…`.
        needed_by: Vec<String>,
    },
    /// Other runs took what this one had stored or found, as often as it tried.
    #[error(
        "other runs took what this one needed, {rounds} times: perhaps a compaction without grace runs all the time. Nothing is \
         lost; run it again"
    )]
    Overtaken {
        /// How often it was tried.
        rounds: usize,
    },
    /// A selector names no archive, or several.
    #[error("{0}")]
    Archive(ArchiveProblem),
    /// What the caller asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The target of a restore cannot be used at all.
    #[error(transparent)]
    Target(FileError),
    /// None of the sources could be read.
    #[error("nothing to archive: {0}")]
    NoSource(String),
    /// The local cache or a temporary file failed.
    #[error("cannot {action} {}", path.display())]
    Local {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Bytes that were about to be written are not what they were made from.
    #[error(
        "{what} changed in memory before it was written: memory or a processor of this machine is faulty. What holds it was given up, \
         and no earlier archive is harmed; test this machine's memory, then run the command again"
    )]
    Altered {
        /// What was about to be written.
        what: &'static str,
    },
    /// The user asked to stop.
    #[error("interrupted; what was stored is used again by the next run")]
    Interrupted,
    /// The program is wrong: please report it.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// Whether it says that a copy of something is gone or damaged: there may be another, and no second try makes this one better.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Unsupported { .. } | Self::ObjectMissing { .. } => true,
            Self::Store(error) => matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Truncated),
            _ => false,
        }
    }
}

fn listed(needed_by: &[String]) -> String {
    if needed_by.is_empty() { String::new() } else { format!(", and needed by {}", needed_by.join(", ")) }
}

/// Why no key could be had.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyProblem {
    /// No slot opens.
    #[error("wrong passphrase or key file: none of {slots} key slots opens with it")]
    Wrong {
        /// How many were tried.
        slots: usize,
    },
    /// Nothing to try.
    #[error("the repository is encrypted and no passphrase or key file was given")]
    NoneGiven,
    /// The repository has no slot at all.
    #[error("the repository has no key slot; import one that was exported (vault key import)")]
    NoSlot,
    /// A slot asks for more than this machine should give.
    #[error("key slot {slot} asks for {what}, more than is allowed here")]
    Excessive {
        /// The slot's name.
        slot: String,
        /// Which parameter.
        what: String,
    },
    /// The secret cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// Why a selector did not name one archive.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveProblem {
    /// Nothing matches.
    #[error("no archive matches {selector}{hint}")]
    NotFound {
        /// As the user wrote it.
        selector: String,
        /// What there is instead, or nothing.
        hint: String,
    },
    /// Several series match.
    #[error("{selector} is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// As the user wrote it.
        selector: String,
        /// What matched.
        candidates: Vec<String>,
    },
    /// The archive was deleted while it was read.
    #[error("archive {0} was deleted")]
    Deleted(String),
}

/// What a store can answer instead of doing what it was asked.
#[derive(Debug, Error)]
#[error("cannot {action} {key} in the repository{}", kind.hint())]
pub struct StoreError {
    /// What was tried: "read", "write", "list", "remove" …
    pub action: &'static str,
    /// On which file of the repository.
    pub key: String,
    /// Which class of failure.
    pub kind: StoreErrorKind,
    /// The cause, if the system gave one.
    pub source: Option<io::Error>,
}

/// Classes of a store's failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No such file.
    NotFound,
    /// Not permitted.
    Denied,
    /// No space, or over quota.
    NoSpace,
    /// The file is shorter than what was asked for.
    Truncated,
    /// The name is taken.
    Exists,
    /// Anything else.
    Other,
}

impl StoreErrorKind {
    fn hint(self) -> &'static str {
        match self {
            Self::NotFound => ": no such file",
            Self::Denied => ": permission denied",
            Self::NoSpace => ": no space left; nothing was lost, free some space and run the command again",
            Self::Truncated => ": the file is shorter than it should be",
            Self::Exists => ": it exists already",
            Self::Other => "",
        }
    }

    /// The class of an error of the operating system.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Other,
        }
    }
}

impl StoreError {
    /// From an error of the operating system.
    pub fn io(action: &'static str, key: impl Into<String>, source: io::Error) -> Self {
        Self { action, key: key.into(), kind: StoreErrorKind::of(&source), source: Some(source) }
    }

    /// Without one.
    pub fn new(action: &'static str, key: impl Into<String>, kind: StoreErrorKind) -> Self {
        Self { action, key: key.into(), kind, source: None }
    }
}

/// A failure on the user's own file system: a source that is read, a target that is written.
#[derive(Debug, Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried: "open", "read", "set the owner of" …
    pub action: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl FileError {
    /// Attaches what was tried and on which path.
    pub fn new(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self { action, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// "cannot open x: permission denied", for a warning.
    pub fn chain(&self) -> String {
        format!("{self}: {}", self.source)
    }
}
