//! Disks without a free block: the program says so, and with its own means there is room again.

use std::path::PathBuf;

use crate::machine::{Disk, Format, fill};
use crate::sandbox::{Run, Sandbox, files};

/// So many files are archived at a time, and so many of them change each time.
const FILES: u64 = 10;
const CHANGING: u64 = 7;

/// An archive's id and its files.
type Archived = (String, Vec<(PathBuf, Vec<u8>)>);

struct Nights {
    sandbox: Sandbox,
    repository: PathBuf,
    /// What was archived with success, oldest first.
    archived: Vec<Archived>,
}

impl Nights {
    fn vault(&self, arguments: &[&str]) -> Run {
        let repository = self.repository.to_str().unwrap();
        self.sandbox.vault_with(&[("VAULT_REPO", repository)], arguments)
    }

    /// Another night, in which most files are new.
    fn archive(&mut self, night: u64) -> Run {
        for file in 0..FILES {
            let seed = if file < CHANGING { night * FILES + file } else { file };
            let mut bytes = vec![0; 1 << 20];
            blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
            self.sandbox.write(&format!("source/{file}"), bytes);
        }
        let created = self.vault(&["create", "--json", "nights", "source"]);
        if created.code == Some(0) {
            let listed = self.vault(&["list", "--json"]).succeeds().json();
            let id = listed["archives"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
            self.archived.push((id, files(&self.sandbox.path("source"))));
        }
        created
    }

    /// What counts is what exited 0, and restores.
    fn verify(&self, archived: &[Archived]) {
        let listed = self.vault(&["list", "--json"]).succeeds().json();
        let ids: Vec<&str> =
            listed["archives"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, archived.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
        for (id, held) in archived {
            let target = format!("restored-{id}");
            self.vault(&["restore", &format!("aid:{id}"), "--target", &target]).succeeds();
            assert!(files(&self.sandbox.path(&target).join("source")) == *held, "{id} is not what it was");
            std::fs::remove_dir_all(self.sandbox.path(&target)).unwrap();
        }
    }
}

fn until_full(test: &str, format: Format, to_the_last_block: bool) {
    let Some(disk) = Disk::new(test, format) else { return };
    let repository = disk.path().join("repository");
    let mut nights = Nights { sandbox: Sandbox::new(), repository, archived: Vec::new() };
    nights.vault(&["init", "--encryption", "none"]).succeeds();
    let refused =
        (0..100).map(|night| nights.archive(night)).find(|run| run.code != Some(0)).expect("the disk is small");
    refused.fails(14, &["no space left", "nothing was lost"]);
    assert!(nights.archived.len() > 1);
    if to_the_last_block {
        fill(&disk);
        nights.archive(200).fails(14, &["no space left"]);
    }
    nights.verify(&nights.archived);

    // What another night needs comes back, and it is the program that gets it back.
    nights.vault(&["prune", "--keep-last", "1"]).succeeds();
    nights.vault(&["compact", "--grace", "0s"]).succeeds();
    let newest = nights.archived.pop().unwrap();
    nights.archived = vec![newest];
    nights.verify(&nights.archived);
    nights.archive(201).succeeds();
    nights.verify(&nights.archived);
    let checked = nights.vault(&["check", "--read-data"]).succeeds();
    assert_eq!(checked.stdout, "");
    assert!(nights.repository.join("reserve").exists(), "for the next time");
}

#[test]
fn on_a_full_disk_old_archives_make_room_for_new_ones() {
    until_full("on_a_full_disk_old_archives_make_room_for_new_ones", Format::Ext4, false);
}

#[test]
fn on_a_disk_whose_last_block_somebody_else_took_too() {
    until_full("on_a_disk_whose_last_block_somebody_else_took_too", Format::Ext4, true);
}

#[test]
fn in_memory_that_is_full_too() {
    until_full("in_memory_that_is_full_too", Format::Memory(48 << 20), true);
}
