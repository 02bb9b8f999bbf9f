//! Exit codes: one documented number for each class of outcome, borg's modern number where the meaning is the same.
//!
//! Severity: signal, then error, then warning. Every warning exits 1 with the archive made, whatever its kind.

use std::fmt::{self, Write};
use std::io;

use vault_engine::error::{Error, KeyProblem, StoreError, StoreErrorKind};

/// What the process tells whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Success,
    /// Everything was done, and something should be looked at.
    Warning,
    /// Any error without a number of its own, wrong usage included.
    Error,
    /// A placeholder that is unknown or malformed.
    Placeholder,
    /// `init` found a repository.
    RepositoryExists,
    /// No repository at the place named.
    NoRepository,
    /// The repository's or the cache's disk is full.
    NoSpace,
    /// Something is there, and it is no repository.
    InvalidRepository,
    /// A file or an object of the repository is gone.
    ObjectMissing,
    /// The repository may not be read or written.
    Denied,
    /// Written by a newer version.
    Unsupported,
    /// No archive, or several, match.
    Archive,
    /// The repository has no key slot.
    NoKeySlot,
    /// A secret is needed and none was given.
    NoPassphrase,
    /// `VAULT_PASSCOMMAND` failed.
    Passcommand,
    /// The secret opens no key slot.
    WrongPassphrase,
    /// Bytes of the repository are not what was written.
    Integrity,
    /// Ended by this signal.
    Signal(u8),
}

/// Every number with its meaning, in order, as `--help` lists them.
const TABLE: [(Exit, &str); 18] = [
    (Exit::Success, "success"),
    (Exit::Warning, "warnings, whatever their kind; what was asked for was done, an archive was made"),
    (Exit::Error, "any other error, wrong usage included"),
    (Exit::Placeholder, "unknown or malformed placeholder"),
    (Exit::RepositoryExists, "a repository exists already"),
    (Exit::NoRepository, "no such repository"),
    (Exit::NoSpace, "no space left for the repository or the cache"),
    (Exit::InvalidRepository, "not a repository"),
    (Exit::ObjectMissing, "something that the repository should hold is missing"),
    (Exit::Denied, "permission denied in the repository"),
    (
        Exit::Unsupported,
        "the repository is of another version of vault: a newer one, or one from before the format was final",
    ),
    (Exit::Archive, "no such archive, or more than one matches"),
    (Exit::NoKeySlot, "the repository has no key slot"),
    (Exit::NoPassphrase, "no usable passphrase or key file was given"),
    (Exit::Passcommand, "VAULT_PASSCOMMAND failed"),
    (Exit::WrongPassphrase, "wrong passphrase or key file"),
    (Exit::Integrity, "the repository is damaged"),
    (Exit::Signal(0), "ended by signal N (130: Ctrl-C, 143: SIGTERM); nothing is lost"),
];

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Warning => 1,
            Self::Error => 2,
            Self::Placeholder => 6,
            Self::RepositoryExists => 10,
            Self::NoRepository => 13,
            Self::NoSpace => 14,
            Self::InvalidRepository => 15,
            Self::ObjectMissing => 17,
            Self::Denied => 21,
            Self::Unsupported => 25,
            Self::Archive => 31,
            Self::NoKeySlot => 44,
            Self::NoPassphrase => 50,
            Self::Passcommand => 51,
            Self::WrongPassphrase => 52,
            Self::Integrity => 90,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }

    /// Success, or a warning if there were any.
    pub(crate) fn with_warnings(count: u64) -> Self {
        if count == 0 { Self::Success } else { Self::Warning }
    }

    /// The class of an error that the repository's place gave.
    pub(crate) fn of_repository(error: &io::Error) -> Self {
        of_store(StoreErrorKind::of(error))
    }

    /// The class of an error, found at the first cause that has one.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(classify).unwrap_or(Self::Error)
    }
}

/// The table for `--help`.
pub(crate) fn table() -> String {
    TABLE.iter().fold("Exit codes:".to_owned(), |mut text, (exit, meaning)| {
        let number = match exit {
            Exit::Signal(_) => "128+N".to_owned(),
            other => other.code().to_string(),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {number:>5}  {meaning}");
        text
    })
}

/// An error of the command line itself, which knows its number.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error with this number and message.
pub(crate) fn failure(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    Failure { exit, message: message.into() }.into()
}

/// What the caller asked for makes no sense.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    failure(Exit::Error, message)
}

fn classify(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return Some(of_store(error.kind));
    }
    cause.downcast_ref::<Error>().map(of_engine)
}

fn of_engine(error: &Error) -> Exit {
    match error {
        Error::Store(store) => of_store(store.kind),
        Error::NoRepository { .. } => Exit::NoRepository,
        Error::RepositoryExists { .. } => Exit::RepositoryExists,
        Error::Damaged { .. } => Exit::Integrity,
        Error::Unsupported { .. } => Exit::Unsupported,
        Error::Key(KeyProblem::Wrong { .. }) => Exit::WrongPassphrase,
        Error::Key(KeyProblem::NoneGiven | KeyProblem::Unusable(_)) => Exit::NoPassphrase,
        Error::Key(KeyProblem::NoSlot) => Exit::NoKeySlot,
        Error::ObjectMissing { .. } | Error::Incomplete { .. } => Exit::ObjectMissing,
        Error::Archive(_) => Exit::Archive,
        Error::Local { source, .. } if is_full(source) => Exit::NoSpace,
        _ => Exit::Error,
    }
}

fn of_store(kind: StoreErrorKind) -> Exit {
    match kind {
        StoreErrorKind::NotFound => Exit::ObjectMissing,
        StoreErrorKind::Denied => Exit::Denied,
        StoreErrorKind::NoSpace => Exit::NoSpace,
        StoreErrorKind::Truncated => Exit::Integrity,
        _ => Exit::Error,
    }
}

fn is_full(error: &io::Error) -> bool {
    StoreErrorKind::of(error) == StoreErrorKind::NoSpace
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::error::ArchiveProblem;

    #[track_caller]
    fn check(error: Error, code: u8) {
        let wrapped = anyhow::Error::from(error).context("while testing");
        assert_eq!(Exit::of(&wrapped).code(), code, "{wrapped:#}");
    }

    #[test]
    fn errors_of_the_engine_have_borgs_numbers() {
        check(Error::RepositoryExists { place: "p".into() }, 10);
        check(Error::NoRepository { place: "p".into(), problem: "gone".into() }, 13);
        check(StoreError::new("write", "packs/aa", StoreErrorKind::NoSpace).into(), 14);
        check(StoreError::new("read", "packs/aa", StoreErrorKind::NotFound).into(), 17);
        check(Error::ObjectMissing { id: "ab".into() }, 17);
        check(Error::Incomplete { object: "ab".into(), place: "is gone".into(), needed_by: Vec::new() }, 17);
        check(StoreError::new("read", "config", StoreErrorKind::Denied).into(), 21);
        check(Error::Unsupported { file: "config".into(), problem: "version 9".into() }, 25);
        check(Error::Archive(ArchiveProblem::Deleted("a".into())), 31);
        check(Error::Key(KeyProblem::NoneGiven), 50);
        check(Error::Key(KeyProblem::Unusable("empty".into())), 50);
        check(Error::Key(KeyProblem::Wrong { slots: 1 }), 52);
        check(Error::Damaged { file: "config".into(), problem: "x".into() }, 90);
        check(StoreError::new("read", "packs/aa", StoreErrorKind::Truncated).into(), 90);
        check(Error::Usage("no".into()), 2);
        check(Error::Internal("bug".into()), 2);
        check(Error::Altered { what: "a block" }, 2);
    }

    #[test]
    fn failures_of_the_command_line_keep_their_number_below_any_context() {
        let error = failure(Exit::Placeholder, "unknown").context("in NAME");
        assert_eq!(Exit::of(&error), Exit::Placeholder);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything")), Exit::Error);
        assert_eq!(Exit::Signal(2).code(), 130);
        assert_eq!(Exit::Signal(15).code(), 143);
    }

    #[test]
    fn the_table_is_in_order_and_names_each_number_once() {
        let codes: Vec<u8> = TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert!(table().ends_with("nothing is lost"));
    }
}
