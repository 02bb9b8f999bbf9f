//! The folder of the local index: its runs, those that other processes left or are making, and what a killed one left.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::run::Run;
use crate::clock;
use crate::crypto::SecretKey;
use crate::error::{Error, Result};
use crate::meta::Timestamp;
use crate::repository::look::Look;

/// How the name of a run begins that is being written.
pub(super) const TEMPORARY: &str = ".run-";

/// Where run files are kept: the user's cache, or a folder that goes with the process.
#[derive(Debug)]
pub struct CacheFolder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl CacheFolder {
    /// Uses `path`, made if needed and private to the user; a temporary folder without one.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        if let Some(path) = path {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|source| Error::Local { action: "create the cache folder", path: path.to_owned(), source })?;
            return Ok(Self { path: path.to_owned(), _temporary: None });
        }
        let temporary = tempfile::tempdir().map_err(|source| Error::Local {
            action: "create a folder in",
            path: std::env::temp_dir(),
            source,
        })?;
        Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens the runs of the folder that stand for listed segments only, and removes the others. Those that are younger than the look, which
/// another process has made of newer segments, are left to it.
pub(super) fn take_over(folder: &CacheFolder, cache_key: &SecretKey, look: &Look) -> Vec<Run> {
    let Ok(files) = fs::read_dir(folder.path()) else { return Vec::new() };
    let mut runs: Vec<Run> = Vec::new();
    for file in files.flatten() {
        let (path, modified) = (file.path(), modified(&file));
        if file.file_name().as_bytes().starts_with(TEMPORARY.as_bytes()) {
            // Whoever wrote it was killed: nobody writes for a day.
            if modified.is_some_and(|time| time.seconds < clock::file_system_now().seconds - 86_400) {
                let _ = fs::remove_file(path);
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "run") {
            continue;
        }
        match Run::open(&path, cache_key) {
            Some(run) if run.segments().iter().all(|id| look.segments.contains_key(id)) => runs.push(run),
            _ if look.begun.is_some_and(|begun| modified >= Some(begun)) => {}
            _ => drop(fs::remove_file(path)),
        }
    }
    // The largest first: a smaller one that says nothing new is what a merge left over.
    runs.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.segments().cmp(other.segments())));
    let mut covered = HashSet::new();
    runs.retain(|run| {
        let fresh = run.segments().iter().filter(|id| covered.insert(**id)).count() > 0;
        if !fresh {
            let _ = fs::remove_file(run.path());
        }
        fresh
    });
    runs
}

fn modified(file: &fs::DirEntry) -> Option<Timestamp> {
    let metadata = file.metadata().ok()?;
    Some(Timestamp { seconds: metadata.mtime(), nanoseconds: u32::try_from(metadata.mtime_nsec()).ok()? })
}

/// The path of a run that nobody has written yet.
pub(super) fn fresh_run_path(folder: &CacheFolder) -> Result<PathBuf> {
    let name: [u8; 16] = crate::crypto::random()?;
    Ok(folder.path().join(format!("{}.run", crate::id::hex(&name))))
}
