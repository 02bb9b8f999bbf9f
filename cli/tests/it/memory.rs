//! `--memory`: what is promised is kept where the kernel counts, in a cgroup that has no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::skip_unavailable;
use crate::sandbox::{Run, Sandbox, files, run};

const MIB: usize = 1 << 20;
/// The least that every verb works with.
const LIMIT: &str = "100M";
const LIMIT_BYTES: &str = "100000000";
const PASSPHRASE: (&str, &str) = ("VAULT_PASSPHRASE", "deriving a key from this takes most of it");

/// A group of processes that have [`LIMIT`] together; gone when it is dropped.
struct Group(PathBuf);

impl Group {
    /// `None` if this machine has no such groups to give.
    fn new() -> Option<Self> {
        let (first, second) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (above, limit) = if first.join("memory.limit_in_bytes").exists() {
            (first, "memory.limit_in_bytes")
        } else {
            (second, "memory.max")
        };
        let folder = above.join(format!("vault-test-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        fs::write(group.0.join(limit), LIMIT_BYTES).ok()?;
        Some(group)
    }

    /// Runs the program in the group.
    fn vault(&self, sandbox: &Sandbox, arguments: &[&str]) -> Run {
        let vault = sandbox.command(arguments);
        let mut joined = Command::new("sh");
        joined.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        joined.arg(vault.get_program()).args(vault.get_args()).current_dir(sandbox.path("")).env_clear();
        joined.envs(vault.get_envs().filter_map(|(name, value)| Some((name, value?)))).envs([PASSPHRASE]);
        run(&mut joined)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

fn noise(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Large files without repetition, a large one with much of it, and many small ones.
fn plant(sandbox: &Sandbox) {
    for number in 0..3 {
        sandbox.write(&format!("volume/noise {number}"), noise(number, 40 * MIB));
    }
    let text = (0..400_000_u32)
        .map(|line| format!("{line}: the same words, and another number {}\n", u64::from(line) * 7919 % 10_007));
    sandbox.write("volume/text", text.collect::<String>());
    for number in 0..3000 {
        sandbox.write(&format!("volume/small/{}/{number}", number % 50), noise(number, 2000));
    }
}

#[test]
fn verbs_live_on_the_memory_that_they_are_given() {
    let test = "verbs_live_on_the_memory_that_they_are_given";
    let sandbox = Sandbox::new();
    // TMPFS_MAGIC: what lies there counts as memory of who wrote it.
    if rustix::fs::statfs(sandbox.path("").as_path()).is_ok_and(|found| found.f_type == 0x0102_1994) {
        return skip_unavailable(test, "temporary files lie in memory");
    }
    let Some(group) = Group::new() else { return skip_unavailable(test, "no memory cgroup can be made") };
    plant(&sandbox);
    let vault = |arguments: &[&str]| group.vault(&sandbox, arguments).succeeds();
    sandbox.vault_with(&[PASSPHRASE], ["init", "-r", "repo"]).succeeds();
    vault(&["create", "-r", "repo", "--memory", LIMIT, "first", "volume"]);
    sandbox.write("volume/noise 1", noise(9, 40 * MIB));
    vault(&["create", "-r", "repo", "--memory", LIMIT, "second", "volume"]);
    vault(&["check", "-r", "repo", "--read-data", "--memory", LIMIT]);
    vault(&["restore", "-r", "repo", "second", "--target", "out", "--memory", LIMIT]);
    vault(&["delete", "-r", "repo", "first"]);
    vault(&["compact", "-r", "repo", "--grace", "0s", "--memory", LIMIT]);
    let restored = sandbox.path("out").join(sandbox.path("volume").strip_prefix("/").unwrap());
    let found = [restored, sandbox.path("out/volume")].into_iter().find(|folder| folder.exists()).unwrap();
    assert!(files(&found) == files(&sandbox.path("volume")), "other files came back");
}

#[test]
fn too_little_memory_is_told_with_the_least_that_works() {
    let sandbox = Sandbox::with_repository();
    for arguments in [&["create", "-r", "repo", "a", "."][..], &["check", "-r", "repo"], &["compact", "-r", "repo"]] {
        let arguments = [arguments, &["--memory", "99M"]].concat();
        sandbox.vault(arguments).fails(2, &["--memory", "100M is the least"]);
    }
}
