//! The verbs. One file each; they join the repository with the file system and know neither bytes on disk nor ciphers.

pub mod archives;
pub mod benchmark;
pub mod check;
pub mod compact;
pub mod create;
pub mod delete;
pub mod info;
pub mod key;
pub mod protect;
pub mod prune;
pub mod quarantine;
pub mod repair;
pub mod restore;
pub mod undelete;

mod content;
mod walk;

#[cfg(test)]
mod live_tests;
