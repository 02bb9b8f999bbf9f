//! What every attempt begins with: a repository with archives whose files are known, the cache of it, and a source.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Run, Sandbox, files, run};

/// The files of a tree with their bytes.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What an attempt may change.
const CHANGES: [&str; 5] = ["repo", ".cache", ".local", "key", "spare"];

/// An archive and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Archived {
    pub(super) id: String,
    pub(super) files: Files,
}

impl Archived {
    pub(super) fn selector(&self) -> String {
        format!("aid:{}", self.id)
    }
}

pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    /// Oldest first.
    pub(super) archives: Vec<Archived>,
    /// Whether bytes of the newest archive are gone for good.
    lossy: bool,
    /// What is in the files that were damaged, of which a repair loses nothing.
    damaged: Vec<Vec<u8>>,
}

impl Stage {
    /// A source and nothing else.
    pub(super) fn bare(sandbox: Sandbox) -> Self {
        let stage = Self { sandbox, archives: Vec::new(), lossy: false, damaged: Vec::new() };
        stage.sandbox.write("source/large", noise(1, 150_000));
        stage.sandbox.write("source/folder/small", noise(2, 3_000));
        stage.sandbox.write("source/folder/text", "one and the same line\n".repeat(400));
        stage.sandbox.write("source/changes", "version 0");
        stage.keep();
        stage
    }

    /// With an empty repository.
    pub(super) fn empty(sandbox: Sandbox) -> Self {
        let stage = Self::bare(sandbox);
        stage.vault(&["init"]).succeeds();
        stage.keep();
        stage
    }

    /// With three archives of one series and one of another, and a source that has changed since.
    pub(super) fn full(sandbox: Sandbox) -> Self {
        let mut stage = Self::empty(sandbox);
        for (version, series) in [(1, "one"), (2, "one"), (3, "other"), (4, "one")] {
            stage.change(version);
            stage.archive(series);
        }
        stage.change(5);
        stage.keep();
        stage
    }

    /// The same, with the first two archives deleted.
    pub(super) fn deleted(sandbox: Sandbox) -> Self {
        let stage = Self::full(sandbox);
        for archive in &stage.archives[..2] {
            stage.vault(&["delete", &archive.selector()]).succeeds();
        }
        stage.keep();
        stage
    }

    /// The same as `full`, with a byte that is not what it was in a pack and a segment: nothing is lost, and much must be repaired.
    pub(super) fn damaged(sandbox: Sandbox) -> Self {
        let mut stage = Self::full(sandbox);
        for path in ["repo/packs", "repo/index"].map(|folder| stage.sandbox.largest_file(folder)) {
            // The end of a pack is its tail, which only makes it readable without an index.
            stage.damage(&path, |length| length - 20);
        }
        stage.keep();
        stage
    }

    /// The same as `full`, with one more archive, of which what is new is gone; a copy of what there was before is in `whole`.
    pub(super) fn lossy(sandbox: Sandbox) -> Self {
        let mut stage = Self::full(sandbox);
        let packs = |stage: &Self| files(&stage.sandbox.path("repo/packs"));
        let before = packs(&stage);
        stage.archive("one");
        let whole = Command::new("cp").arg("-a").args(["repo", "whole"].map(|name| stage.sandbox.path(name))).status();
        assert!(whole.unwrap().success());
        let new = packs(&stage).into_iter().filter(|pack| !before.contains(pack));
        let (path, _) = new.max_by_key(|(_, bytes)| bytes.len()).unwrap();
        stage.damage(&stage.sandbox.path("repo/packs").join(path), |length| length / 2);
        stage.lossy = true;
        stage.keep();
        stage
    }

    /// What `lossy` is, after a repair: the damaged pack is in the quarantine.
    pub(super) fn repaired(sandbox: Sandbox) -> Self {
        let mut stage = Self::lossy(sandbox);
        assert_eq!(stage.vault(&["check", "--repair", "--yes"]).code, Some(1));
        assert!(!stage.quarantined().is_empty());
        stage.damaged.clear();
        stage.keep();
        stage
    }

    /// With a second key, which an attempt makes or leaves alone.
    pub(super) fn with_spare_key(sandbox: Sandbox) -> Self {
        let stage = Self::full(sandbox);
        let (first, _) = files(&stage.sandbox.path("repo/keys")).pop().unwrap();
        stage.sandbox.write("first slot", first.to_str().unwrap());
        stage.vault(&["key", "add", "--new-key-file", "spare"]).succeeds();
        stage.keep();
        stage
    }

    fn change(&self, version: u64) {
        self.sandbox.write("source/changes", format!("version {version}"));
        self.sandbox.write("source/folder/noise", noise(version, 20_000));
        self.sandbox.write(&format!("source/new {version}"), noise(100 + version, 2_000));
    }

    fn archive(&mut self, series: &str) {
        self.vault(&["create", series, "source"]).succeeds();
        let listed = self.listed();
        let new = listed.into_iter().find(|id| self.archives.iter().all(|archive| archive.id != *id)).unwrap();
        self.archives.push(Archived { id: new, files: self.source() });
    }

    /// One byte of this file is not what it was.
    fn damage(&mut self, path: &Path, at: fn(usize) -> usize) {
        let mut bytes = fs::read(path).unwrap();
        let at = at(bytes.len());
        bytes[at] ^= 1;
        fs::write(path, &bytes).unwrap();
        self.damaged.push(bytes);
    }

    /// From now on this is what `reset` goes back to.
    pub(super) fn keep(&self) {
        copy(&self.sandbox.path(""), &self.sandbox.path("kept"));
    }

    /// As it was prepared. The source stays as it is: no attempt changes it.
    pub(super) fn reset(&self) {
        copy(&self.sandbox.path("kept"), &self.sandbox.path(""));
    }

    /// The program with this repository and its key.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.env("VAULT_REPO", "repo").env("VAULT_KEY_FILE", "key");
        command
    }

    /// With the second key, if it was there from the beginning: then the first may be gone.
    pub(super) fn vault(&self, arguments: &[&str]) -> Run {
        let spare = self.sandbox.path("kept/spare").exists();
        run(self.command(arguments).env("VAULT_KEY_FILE", if spare { "spare" } else { "key" }))
    }

    /// The ids of all archives that count.
    pub(super) fn listed(&self) -> Vec<String> {
        let json = self.vault(&["list", "--json"]).succeeds().json();
        let id = |archive: &serde_json::Value| archive["id"].as_str().unwrap().to_owned();
        json["archives"].as_array().unwrap().iter().map(id).collect()
    }

    /// The slot of the first key, where there are two.
    pub(super) fn first_slot(&self) -> String {
        fs::read_to_string(self.sandbox.path("first slot")).unwrap()
    }

    /// The files that are in the quarantine.
    pub(super) fn quarantined(&self) -> Vec<String> {
        let json = self.vault(&["quarantine", "--json"]).succeeds().json();
        json["files"].as_array().unwrap().iter().map(ToString::to_string).collect()
    }

    pub(super) fn source(&self) -> Files {
        files(&self.sandbox.path("source")).into_iter().collect()
    }

    /// What an archive gives back of what it holds.
    pub(super) fn restored_partly(&self, id: &str) -> Files {
        self.restored_with(id).1
    }

    /// What an archive gives back, whole or with an error.
    pub(super) fn restored(&self, id: &str) -> Result<Files, Run> {
        let (done, found) = self.restored_with(id);
        if done.code == Some(0) { Ok(found) } else { Err(done) }
    }

    fn restored_with(&self, id: &str) -> (Run, Files) {
        let target = self.sandbox.path("restored");
        let _ = fs::remove_dir_all(&target);
        let done = self.vault(&["restore", &format!("aid:{id}"), "--target", "restored"]);
        let inside = target.join("source");
        let found = if inside.exists() { files(&inside).into_iter().collect() } else { Files::new() };
        (done, found)
    }

    /// Each of these restores bit for bit.
    pub(super) fn problems_of(&self, archives: &[Archived]) -> Vec<String> {
        let problem = |archive: &Archived| match self.restored(&archive.id) {
            Ok(found) if found == archive.files => None,
            Ok(_) => Some(format!("{} restores as something else", archive.id)),
            Err(run) => Some(format!("{} does not restore: {run:?}", archive.id)),
        };
        archives.iter().filter_map(problem).collect()
    }

    /// Each file that was damaged is there, under whatever name.
    pub(super) fn damage_is_kept(&self) -> Vec<String> {
        if self.damaged.is_empty() {
            return Vec::new();
        }
        let found = files(&self.sandbox.path("repo"));
        let lost = self.damaged.iter().filter(|bytes| found.iter().all(|(_, found)| found != *bytes));
        lost.map(|bytes| format!("a damaged file of {} bytes is not kept", bytes.len())).collect()
    }

    /// Nothing to find in the repository, but what a repair has recorded as lost where something is.
    pub(super) fn check(&self) -> Vec<String> {
        let checked = self.vault(&["check", "--read-data"]);
        let recorded = |line: &str| {
            self.lossy && (line.contains(": lost, as a repair has recorded; ") || line.starts_with("0 errors, "))
        };
        let sound = checked.code == Some(i32::from(!checked.stdout.is_empty()));
        if sound && checked.stdout.lines().all(recorded) { Vec::new() } else { vec![format!("check: {checked:?}")] }
    }
}

/// Replaces what attempts change by what another folder has of it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in CHANGES {
        let new = to.join(name);
        let _ = if new.is_dir() { fs::remove_dir_all(&new) } else { fs::remove_file(&new) };
        let old = from.join(name);
        if old.exists() {
            assert!(Command::new("cp").arg("-a").arg(old).arg(new).status().unwrap().success());
        }
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
