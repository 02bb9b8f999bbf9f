//! The command line as clap sees it: verbs, options, examples. What they mean is in `cmd`.
#![expect(clippy::doc_markdown, reason = "doc comments are help texts here, and backticks would show")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Command, CommandFactory, Parser, Subcommand, ValueEnum};
use vault_engine::chunker::ChunkerRequest;
use vault_engine::compress::Compression;
use vault_engine::format::verify::Verify;
use vault_engine::memory::Need;
use vault_engine::ops::check::Share;
use vault_engine::ops::create::FilesCache;

use crate::{exit, units};

mod retention;

pub(crate) use retention::{CompactArgs, DeleteArgs, OldestRule, ProtectArgs, PruneArgs, UndeleteArgs};

const ENVIRONMENT: &str = "\
Environment:
  VAULT_REPO             the repository, where neither -r nor REPO:: names one
  VAULT_PASSPHRASE       the passphrase; or VAULT_PASSPHRASE_FD, VAULT_PASSPHRASE_FILE,
  VAULT_PASSCOMMAND      a command that prints it (run without a shell)
  VAULT_KEY_FILE         a key file
  VAULT_NEW_PASSPHRASE   the new passphrase of `vault key add` and `vault key change-passphrase`
  VAULT_HOSTNAME         the host label of new archives; containers should set it

ARCHIVE is [HOST/]NAME (its newest), NAME~1 (the one before), NAME@2026-11-20 or NAME@2026-11-20T03:00 (newest at
or before, local time unless an offset is given), latest, or aid: with 8 or more digits of the id.

Example:
  vault create --init home ~        # a first archive, with nothing set up
  vault list
  vault restore home --target /tmp/home";

/// Deduplicating, compressing, encrypted archives of volumes.
#[derive(Debug, Parser)]
#[command(name = "vault", version, after_help = ENVIRONMENT, arg_required_else_help = true, infer_long_args = false)]
pub(crate) struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The verb.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Common {
    /// The repository's folder [default: $VAULT_REPO, else one below the user's data directory]
    #[arg(short, long, value_name = "REPO", global = true)]
    pub(crate) repo: Option<OsString>,
    /// The key file that opens the repository, or for init the one to make or use
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,
    /// Say more on standard error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a repository
    #[command(
        after_help = "Example:\n  vault init -r /mnt/backup/vault\n  vault init -r /mnt/backup/vault --key-file /root/vault.key"
    )]
    Init(InitArgs),
    /// Make an archive of files, directories or standard input
    #[command(
        visible_alias = "backup",
        after_help = "Placeholders in NAME and in the comment: {now}, {now:%Y-%m-%d}, {utcnow}, {hostname}, {user}, {pid}, {version}.\n\n\
                      Example:\n  vault create -r /mnt/backup/vault --stats db /var/lib/postgresql\n  \
                      pg_dump app | vault create /mnt/backup/vault::app-dump - --stdin-name app.sql"
    )]
    Create(Box<CreateArgs>),
    /// List archives, or the files of one
    #[command(after_help = "Example:\n  vault list -r /mnt/backup/vault\n  vault list --json db@2026-11-20")]
    List(ListArgs),
    /// Show facts about the repository or one archive
    #[command(after_help = "Example:\n  vault info -r /mnt/backup/vault\n  vault info db~1")]
    Info(InfoArgs),
    /// Write the files of an archive below a directory
    #[command(after_help = "Example:\n  vault restore db --target /var/lib/postgresql-restored\n  \
                            vault restore db@2026-11-20 etc/passwd --target /tmp/look -n")]
    Restore(RestoreArgs),
    /// Verify the repository
    #[command(after_help = "Example:\n  vault check -r /mnt/backup/vault\n  vault check --read-data --json\n  \
                      vault check --read-data-subset 4%    # each night: all of it within a month\n  \
                      vault check --no-key -r /srv/vault   # where the disk is, and no key\n  \
                      vault check --repair --from /mnt/usb/vault --yes")]
    Check(CheckArgs),
    /// Delete archives that no keep rule needs
    #[command(after_help = retention::PRUNE_HELP)]
    Prune(Box<PruneArgs>),
    /// Delete archives; they can be undeleted until `vault compact` frees their space
    #[command(after_help = "Example:\n  vault delete db~1\n  vault delete -a 'test-*' -n")]
    Delete(DeleteArgs),
    /// Bring deleted archives back, as new ones with the same content and times
    #[command(after_help = "Example:\n  vault list --deleted\n  vault undelete db")]
    Undelete(UndeleteArgs),
    /// Keep archives from being pruned or deleted
    #[command(after_help = "Example:\n  vault protect db@2026-11-20")]
    Protect(ProtectArgs),
    /// Take that back
    #[command(after_help = "Example:\n  vault unprotect db@2026-11-20")]
    Unprotect(ProtectArgs),
    /// Free the space of what no archive needs; may run beside anything else
    #[command(after_help = "Example:\n  vault compact -n\n  vault compact --max-repack 10GiB --max-duration 2h")]
    Compact(CompactArgs),
    /// List what repairs have set aside, or remove it for good
    #[command(after_help = "Example:\n  vault quarantine\n  vault quarantine --empty")]
    Quarantine(QuarantineArgs),
    /// Measure what this host does in a second, for choosing settings
    #[command(
        after_help = "Measures on data that it makes, for some seconds; of a repository that is named by -r or VAULT_REPO also the disk. That\n\
                      needs no secret but 540 MB of room, and leaves nothing there.\n\n\
                      Example:\n  vault benchmark\n  vault benchmark -r /mnt/backup/vault --json"
    )]
    Benchmark(BenchmarkArgs),
    /// Add, list, remove, change and carry keys
    #[command(
        after_help = "Example:\n  vault key list\n  vault key change-passphrase\n  vault key export vault.key.txt"
    )]
    Key(KeyArgs),
    /// Show the version
    #[command(after_help = "Example:\n  vault version")]
    Version,
}

/// `vault init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// How the repository is protected
    #[arg(long, value_enum, default_value_t = Encryption::Aes256Gcm)]
    pub(crate) encryption: Encryption,
    /// Share keys with this repository, so that packs can move between the two
    #[arg(long, value_name = "REPO2")]
    pub(crate) like: Option<OsString>,
}

/// How a repository is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encryption {
    /// AES-256-GCM, opened by a passphrase or a key file
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    /// Anybody who can read the repository can read the archives
    None,
}

/// `vault create`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct CreateArgs {
    /// The archive's series, or REPO::NAME
    #[arg(value_name = "NAME")]
    pub(crate) name: OsString,
    /// What to archive; - is standard input
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Make the repository if there is none
    #[arg(long)]
    pub(crate) init: bool,
    /// lz4, zstd,LEVEL, none, or auto,METHOD [default: auto: zstd,3 for databases, zstd,2 for all else, none for what does not shrink]
    #[arg(short = 'C', long, value_name = "COMPRESSION")]
    pub(crate) compression: Option<Compression>,
    /// What is looked at once more before it is written: default (all ids, one sealed block in 16) · all · none
    #[arg(long, value_name = "HOW", default_value = "default")]
    pub(crate) verify: Verify,
    /// How files are cut: auto, fastcdc,N or fixed,N
    #[arg(long, value_name = "PARAMS")]
    pub(crate) chunker_params: Option<ChunkerRequest>,
    /// Stay on the file systems of the paths given
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,
    /// Leave out what matches
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<OsString>,
    /// Read patterns to leave out, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_from: Vec<PathBuf>,
    /// Leave out directories with a CACHEDIR.TAG
    #[arg(long)]
    pub(crate) exclude_caches: bool,
    /// Leave out directories that hold this file
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude_if_present: Vec<OsString>,
    /// A text that is kept with the archive
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
    /// The archive's time: ISO 8601, local unless an offset is given
    #[arg(long, value_name = "ISO8601")]
    pub(crate) timestamp: Option<String>,
    /// The host label [default: $VAULT_HOSTNAME, else the machine's name]
    #[arg(long, value_name = "LABEL")]
    pub(crate) hostname: Option<String>,
    /// What tells an unchanged file: ctime,size,inode · ctime,size · mtime,size · disabled
    #[arg(long, value_name = "MODE", default_value = "ctime,size,inode")]
    pub(crate) files_cache: FilesCache,
    /// The name of what is read from standard input
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) stdin_name: OsString,
    /// Show numbers about the new archive
    #[arg(short, long)]
    pub(crate) stats: bool,
    /// Show the same as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Read and compare, store nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// List every file with its status on standard error
    #[arg(long)]
    pub(crate) list: bool,
    /// Show progress (on a terminal)
    #[arg(short, long)]
    pub(crate) progress: bool,
    #[command(flatten)]
    pub(crate) workers: Workers,
}

/// `vault list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// List the files of this archive; REPO:: alone names a repository
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archive: Option<OsString>,
    /// List the archives that are deleted and can be undeleted
    #[arg(long)]
    pub(crate) deleted: bool,
    /// JSON; for the files of an archive one line each
    #[arg(long)]
    pub(crate) json: bool,
}

/// `vault info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Show this archive; REPO:: alone names a repository
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archive: Option<OsString>,
    /// Show the same as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `vault restore`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct RestoreArgs {
    /// Which archive
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archive: OsString,
    /// Only these files and directories, as `vault list ARCHIVE` names them
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,
    /// The directory to write below; made if missing
    #[arg(long, value_name = "DIR")]
    pub(crate) target: PathBuf,
    /// Say what would be done, write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Show progress (on a terminal)
    #[arg(short, long)]
    pub(crate) progress: bool,
    /// List every file with its status on standard error
    #[arg(long)]
    pub(crate) list: bool,
    /// What to do with files that exist
    #[arg(long, value_enum, default_value_t = OverwriteMode::IfChanged)]
    pub(crate) overwrite: OverwriteMode,
    /// Remove from the target what the archive does not hold
    #[arg(long)]
    pub(crate) delete: bool,
    /// Write runs of zeros as holes
    #[arg(long)]
    pub(crate) sparse: bool,
    /// Set owners by number, not by name
    #[arg(long)]
    pub(crate) numeric_ids: bool,
    /// Remove this many leading parts of every path
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) strip_components: usize,
    /// Show what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workers: Workers,
}

/// What a restore does with files that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverwriteMode {
    /// Write those that differ
    IfChanged,
    /// Write all
    Always,
    /// Keep what is there
    Never,
}

/// `vault check`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct CheckArgs {
    /// Open every block and compute every id again
    #[arg(long)]
    pub(crate) read_data: bool,
    /// The same for a part: 5% or 10GiB, what was verified longest ago; 2/7, the second of seven parts
    #[arg(long, value_name = "SUBSET", value_parser = units::subset, conflicts_with = "read_data")]
    pub(crate) read_data_subset: Option<Share>,
    /// Read data, and begin no pack after this: 90s, 30m, 2h
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) max_duration: Option<Duration>,
    /// Ask for no secret, and verify every file by its name alone
    #[arg(long, conflicts_with_all = ["read_data", "read_data_subset", "max_duration", "accept_rollback"])]
    pub(crate) no_key: bool,
    /// Forget archives that were here and are gone, because they were meant to go
    #[arg(long)]
    pub(crate) accept_rollback: bool,
    /// Say how what --read-data finds would be repaired; with --yes, do it
    #[arg(long, conflicts_with_all = ["read_data_subset", "max_duration", "no_key", "accept_rollback"])]
    pub(crate) repair: bool,
    /// Repair
    #[arg(long, requires = "repair")]
    pub(crate) yes: bool,
    /// Take what is lost from this repository, a copy or one with the same keys
    #[arg(long, value_name = "REPO", requires = "repair")]
    pub(crate) from: Option<OsString>,
    /// Show the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show progress (on a terminal)
    #[arg(short, long)]
    pub(crate) progress: bool,
    #[command(flatten)]
    pub(crate) workers: Workers,
}

/// `vault quarantine`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    /// Remove every file that is listed
    #[arg(long)]
    pub(crate) empty: bool,
    /// Show the same as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `vault benchmark`.
#[derive(Debug, Args)]
pub(crate) struct BenchmarkArgs {
    /// Show the same as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `vault key`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// What to do with keys.
    #[command(subcommand)]
    pub(crate) verb: KeyVerb,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Add a passphrase or a key file that opens the repository too
    #[command(after_help = "Example:\n  vault key add --name laptop\n  vault key add --new-key-file /root/second.key")]
    Add {
        /// Make a slot for this key file instead of a passphrase; made if missing
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        /// What to call the slot
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        name: String,
    },
    /// List the key slots
    #[command(after_help = "Example:\n  vault key list --json")]
    List {
        /// Show the same as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a key slot; whoever has copied it can still open the repository with its secret
    #[command(after_help = "Example:\n  vault key remove 3fa2b91c")]
    Remove {
        /// The slot's id or its first digits, as `vault key list` shows it
        id: String,
    },
    /// Replace the slot that opened the repository by one with a new passphrase
    #[command(after_help = "Example:\n  vault key change-passphrase")]
    ChangePassphrase,
    /// Write the key slot as text, to be kept elsewhere; it opens with the same secret
    #[command(after_help = "Example:\n  vault key export /media/usb/vault-key.txt")]
    Export {
        /// Where to; - or nothing is standard output
        file: Option<PathBuf>,
    },
    /// Put an exported key slot back
    #[command(after_help = "Example:\n  vault key import /media/usb/vault-key.txt")]
    Import {
        /// What to read; - is standard input
        file: PathBuf,
    },
}

/// How much of the machine a run takes.
#[derive(Debug, Args)]
pub(crate) struct Workers {
    /// How many threads work [default: one for each core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<usize>,
    /// Most private memory that may be used, such as 150M: fewer threads work if it takes that
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    memory: Option<u64>,
}

impl Workers {
    /// How many; one a core if it is not said.
    pub(crate) fn count(&self, need: Need) -> anyhow::Result<Option<usize>> {
        need.workers(self.memory, self.jobs).context("--memory")
    }
}

fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err("a number from 1 to 1024 is expected".to_owned()),
    }
}

/// The command with the exit codes below the help of every verb.
pub(crate) fn command() -> Command {
    with_exit_codes(Cli::command())
}

fn with_exit_codes(command: Command) -> Command {
    let before = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    command.after_help(before + &exit::table()).mut_subcommands(with_exit_codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example_and_the_exit_codes() {
        fn check(command: &Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:"), "{} has no example", command.get_name());
            assert!(help.contains("Exit codes:"), "{} has no exit codes", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }
}
