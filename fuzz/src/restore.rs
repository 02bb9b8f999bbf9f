//! Restores of archives that mean ill: whatever an archive names and in whichever order, nothing outside of the target is
//! made, changed or removed.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use vault_engine::error::FileError;
use vault_engine::meta::{Attributes, Timestamp};
use vault_engine::ops::archives;
use vault_engine::ops::restore::{Overwrite, RestoreOptions, restore};
use vault_engine::progress::Silent;
use vault_engine::source::{AttributeOptions, Owners, Subject, Target, TargetDir, apply_attributes};

use crate::first;
use crate::hostile::hostile_archive;
use crate::scratch::{Scratch, open};

const MOST_STEPS: usize = 48;

/// What lies where a restore must not reach, and the target beside it.
struct Field {
    scratch: Scratch,
    before: BTreeMap<PathBuf, Seen>,
}

/// What of a file would show that somebody was at it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    mtime: (i64, i64),
    content: Vec<u8>,
}

impl Field {
    fn new() -> Self {
        let scratch = Scratch::new();
        // The target lies so deep that the names below, if they were followed, would end in the field.
        for folder in ["outside/inner", "a/b/target"] {
            std::fs::create_dir_all(scratch.path().join(folder)).expect("a folder in the field");
        }
        for file in ["outside/canary", "outside/inner/canary", "a/canary", "a/b/canary"] {
            std::fs::write(scratch.path().join(file), "alive").expect("a file in the field");
        }
        let mut field = Self { scratch, before: BTreeMap::new() };
        field.before = field.look();
        field
    }

    fn target(&self) -> PathBuf {
        self.scratch.path().join("a/b/target")
    }

    /// Everything but what is in the target.
    fn look(&self) -> BTreeMap<PathBuf, Seen> {
        let target = self.target();
        let mut seen = BTreeMap::new();
        let mut folders = vec![self.scratch.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the field can be listed").flatten() {
                let path = entry.path();
                if path == target {
                    continue;
                }
                let stat = entry.metadata().expect("what was listed is there");
                if stat.is_dir() {
                    folders.push(path.clone());
                }
                let content = if stat.is_file() { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
                let mtime = (stat.mtime(), stat.mtime_nsec());
                let owner = (stat.uid(), stat.gid());
                seen.insert(path, Seen { mode: stat.mode(), owner, links: stat.nlink(), mtime, content });
            }
        }
        seen
    }

    fn assert_untouched(&self) {
        assert!(self.look() == self.before, "something outside of the target has changed: {:?}", self.look());
    }
}

/// Names and paths as a decoder that forgot to look would let them through, all of which end in the
/// field: the root of the file system is no place to try whether it can be removed.
struct Words(Vec<Vec<u8>>);

impl Words {
    fn new(field: &Field) -> Self {
        let mut words: Vec<Vec<u8>> = [
            "a",
            "b",
            "c",
            "..",
            ".",
            "",
            "a/b",
            "../canary",
            "../../canary",
            "../../../outside",
            "../../../outside/canary",
            "a\0b",
            "a/",
            "..\0",
            "...",
            "a/../..",
        ]
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect();
        words.push(field.scratch.path().join("outside").as_os_str().as_bytes().to_vec());
        words.push(field.scratch.path().join("outside/canary").as_os_str().as_bytes().to_vec());
        Self(words)
    }

    fn word(&self, byte: u8) -> &[u8] {
        // The harmless ones more often: without them there is nothing to be led astray in.
        let index = if byte < 128 { usize::from(byte) % 3 } else { usize::from(byte) };
        self.0.get(index % self.0.len()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Four bytes a step: what, where (two names), and on which name.
pub fn run(data: &[u8]) {
    let field = Field::new();
    let words = Words::new(&field);
    let target = Target::open(&field.target(), true).expect("a target");
    for step in data.as_chunks::<4>().0.iter().take(MOST_STEPS) {
        let [what, first, second, name] = *step;
        let path = match what / 64 {
            0 => Vec::new(),
            1 => words.word(first).to_vec(),
            2 => [words.word(first), b"/", words.word(second)].concat(),
            _ => [words.word(first), b"/", words.word(second), b"/", words.word(first)].concat(),
        };
        let Ok(directory) = target.directory(&path) else { continue };
        // A link's aim may be anything; where it leads nobody goes.
        act(what % 64, &target, &directory, words.word(name), words.word(second)).ok();
    }
    drop(target);
    field.assert_untouched();
}

fn act(what: u8, target: &Target, directory: &TargetDir, name: &[u8], other: &[u8]) -> Result<(), FileError> {
    match what % 14 {
        0 => directory.make_directory(name, false).map(drop),
        1 => directory.make_directory(name, true).map(drop),
        2 => directory.create_file(name)?.write_at(b"restored", 0),
        3 | 4 => directory.symlink(other, name),
        5 => directory.fifo(name),
        6 => directory.hard_link(target.root(), other, name),
        7 => target.root().hard_link(directory, name, other),
        8 => directory.remove(name),
        9 => directory.remove_tree(name),
        10 => {
            let (temporary, file) = directory.create_beside(name)?;
            file.write_at(b"replaced", 0)?;
            directory.rename_over(&temporary, name)
        }
        11 => directory.open_file_for_update(name)?.write_at(b"updated", 2),
        12 => directory.unlock_directory(name),
        _ => attributes(directory, name),
    }
}

fn attributes(directory: &TargetDir, name: &[u8]) -> Result<(), FileError> {
    let attributes =
        Attributes { mode: 0o700, mtime: Timestamp { seconds: 7, nanoseconds: 0 }, ..Attributes::default() };
    let owners = Owners::new();
    let options = AttributeOptions { owners: &owners, numeric_ids: true };
    apply_attributes(Subject::Entry(directory, name), &attributes, &options).map(drop)
}

/// A whole archive: the first byte says how it is restored, the rest what is in it.
pub fn archive(data: &[u8]) {
    let (how, program) = first(data);
    let Some(store) = hostile_archive(program) else { return };
    let field = Field::new();
    let repository = open(store).expect("our own repository");
    let overwrites = [Overwrite::IfChanged, Overwrite::Always, Overwrite::Never];
    let options = RestoreOptions {
        target: field.target(),
        overwrite: overwrites.get(usize::from(how) % 3).copied().unwrap_or_default(),
        delete: how & 4 != 0,
        sparse: how & 8 != 0,
        numeric_ids: how & 16 != 0,
        strip_components: usize::from(how >> 6) * usize::from(how & 4 == 0),
        jobs: Some(1),
        ..RestoreOptions::default()
    };
    for archive in archives::list(&repository, &Silent).expect("a list of archives") {
        archives::entries(&repository, &archive, &mut |_, _| Ok(())).ok();
        // The second time what the first one made is in the way.
        for _ in 0..=usize::from(how >> 5 & 1) {
            restore(&repository, &archive, &options, &Silent).ok();
        }
    }
    drop(repository);
    field.assert_untouched();
}
