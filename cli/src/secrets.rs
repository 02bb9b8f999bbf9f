//! Where passphrases and key files come from: never from argv, bytes as given, and never asked for in a pipe.
//!
//! The first of `VAULT_PASSPHRASE`, `VAULT_PASSPHRASE_FD`, `VAULT_PASSPHRASE_FILE`, `VAULT_PASSCOMMAND` that is set gives
//! the passphrase; `--key-file`, `VAULT_KEY_FILE` or the default repository's own key file gives a second secret to try.
//! Only when there is none at all is a terminal asked.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use vault_engine::id::hex;
use vault_engine::repository::{Probe, Secret};
use zeroize::Zeroizing;

use crate::exit::{Exit, failure};
use crate::files;
use crate::location::{self, Place};
use crate::signals::Signals;

/// Longer passphrases and key files are refused: the format allows no longer key file.
const LIMIT: usize = 4096;
const WHAT_TO_SET: &str = "set VAULT_PASSPHRASE, VAULT_PASSPHRASE_FD, VAULT_PASSPHRASE_FILE, VAULT_PASSCOMMAND \
                           or VAULT_KEY_FILE, or run vault on a terminal";

type Bytes = Zeroizing<Vec<u8>>;

/// What opens a repository, and whether somebody typed it.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// What to try, in order.
    pub(crate) secrets: Vec<Secret>,
    /// From a prompt: a typing error may be tried again.
    pub(crate) typed: bool,
}

/// The secrets for a repository that exists.
pub(crate) fn for_opening(
    place: &Place,
    probe: &Probe,
    key_file: Option<&Path>,
    signals: &Signals,
) -> Result<Gathered> {
    let mut secrets: Vec<Secret> = passphrase_from_environment()?.map(Secret::Passphrase).into_iter().collect();
    if let Some(path) = named_key_file(key_file) {
        secrets.push(Secret::KeyFile(read_key_file(&path)?));
    } else if let Some(path) = place.default_key_file()?.filter(|path| path.exists()) {
        secrets.push(Secret::KeyFile(read_key_file(&path)?));
    }
    // With a secret at hand the engine refuses a keyless repository: somebody may have put it in the place of an encrypted one.
    if !secrets.is_empty() || !probe.encrypted {
        return Ok(Gathered { secrets, typed: false });
    }
    if !probe.has_passphrase_slot && probe.has_key_file_slot {
        return Err(none(&format!(
            "the repository {} opens with a key file: name it by --key-file or VAULT_KEY_FILE",
            place.path.display()
        )));
    }
    let typed = prompt(&format!("Passphrase of {}: ", place.path.display()), signals)?;
    Ok(Gathered { secrets: vec![Secret::Passphrase(typed)], typed: true })
}

/// What a new repository will open with.
#[derive(Debug)]
pub(crate) struct NewSecret {
    /// The secret.
    pub(crate) secret: Secret,
    /// The key file that holds it, if one does.
    pub(crate) key_file: Option<PathBuf>,
}

/// The secret for a new repository; a key file that does not exist is made, durable, before anything depends on it.
pub(crate) fn for_new_repository(place: &Place, key_file: Option<&Path>, signals: &Signals) -> Result<NewSecret> {
    if let Some(path) = key_file {
        return new_key_file(path.to_owned());
    }
    if let Some(passphrase) = passphrase_from_environment()? {
        return Ok(NewSecret { secret: Secret::Passphrase(passphrase), key_file: None });
    }
    if let Some(path) = named_key_file(None) {
        return new_key_file(path);
    }
    if let Some(path) = place.default_key_file()? {
        return new_key_file(path);
    }
    let passphrase = prompt_new(&format!("New passphrase for {}: ", place.path.display()), signals)?;
    Ok(NewSecret { secret: Secret::Passphrase(passphrase), key_file: None })
}

/// The secret of a slot to be added or changed: `VAULT_NEW_PASSPHRASE`, or asked for twice.
pub(crate) fn new_passphrase(signals: &Signals) -> Result<Secret> {
    let bytes = match std::env::var_os("VAULT_NEW_PASSPHRASE") {
        Some(text) => usable(Zeroizing::new(text.into_vec()), "VAULT_NEW_PASSPHRASE")?,
        None => prompt_new("New passphrase: ", signals).context("VAULT_NEW_PASSPHRASE is not set")?,
    };
    Ok(Secret::Passphrase(bytes))
}

/// The content of a key file; one that does not exist is made with 32 random bytes, in hexadecimal digits.
pub(crate) fn new_key_file(path: PathBuf) -> Result<NewSecret> {
    if !path.exists() {
        let random = Zeroizing::new(location::random::<32>()?);
        let text = Zeroizing::new(format!("{}\n", Zeroizing::new(hex(random.as_slice())).as_str()));
        files::create_private(&path, text.as_bytes())?;
    }
    Ok(NewSecret { secret: Secret::KeyFile(read_key_file(&path)?), key_file: Some(path) })
}

fn named_key_file(option: Option<&Path>) -> Option<PathBuf> {
    option.map(Path::to_owned).or_else(|| location::env_text("VAULT_KEY_FILE").map(PathBuf::from))
}

fn read_key_file(path: &Path) -> Result<Bytes> {
    let read = files::read_secret(path, LIMIT);
    read.map_err(|error| none(&format!("cannot read the key file {}: {error}", path.display())))
}

fn passphrase_from_environment() -> Result<Option<Bytes>> {
    // A passphrase set to nothing is an error rather than not set: a script that lost it should hear of it.
    if let Some(text) = std::env::var_os("VAULT_PASSPHRASE") {
        return usable(Zeroizing::new(text.into_vec()), "VAULT_PASSPHRASE").map(Some);
    }
    if let Some(number) = location::env_text("VAULT_PASSPHRASE_FD") {
        return from_descriptor(&number).map(Some);
    }
    if let Some(path) = location::env_text("VAULT_PASSPHRASE_FILE") {
        let read = files::read_secret(Path::new(&path), LIMIT);
        let bytes =
            read.map_err(|error| none(&format!("cannot read VAULT_PASSPHRASE_FILE {}: {error}", path.display())))?;
        return usable(without_newline(bytes), "the file named by VAULT_PASSPHRASE_FILE").map(Some);
    }
    match location::env_text("VAULT_PASSCOMMAND") {
        Some(line) => from_command(&line).map(Some),
        None => Ok(None),
    }
}

fn from_descriptor(number: &OsString) -> Result<Bytes> {
    let parsed: Option<u32> = number.to_str().and_then(|text| text.parse().ok());
    let parsed = parsed.ok_or_else(|| none("VAULT_PASSPHRASE_FD is no number of a file descriptor"))?;
    let opened = File::open(format!("/proc/self/fd/{parsed}"));
    let read = opened.and_then(|file| files::read_limited(file, LIMIT));
    let bytes =
        read.map_err(|error| none(&format!("cannot read descriptor {parsed} (VAULT_PASSPHRASE_FD): {error}")))?;
    usable(without_newline(bytes), "what VAULT_PASSPHRASE_FD gives")
}

/// Runs the command without a shell; standard input stays ours, it may be what is archived.
fn from_command(line: &OsString) -> Result<Bytes> {
    let failed = |problem: String| failure(Exit::Passcommand, format!("VAULT_PASSCOMMAND failed: {problem}"));
    let words = shlex::bytes::split(line.as_bytes()).ok_or_else(|| failed("its quotes do not match".to_owned()))?;
    let mut words = words.into_iter().map(OsString::from_vec);
    let program = words.next().ok_or_else(|| failed("it is blank".to_owned()))?;
    let mut child = Command::new(&program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("{}: {error}", program.display())))?;
    let read = child.stdout.take().map(|output| files::read_limited(output, LIMIT));
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("{} ended with {status}", program.display())));
    }
    let bytes = read.unwrap_or_else(|| Ok(Bytes::default())).map_err(|error| failed(error.to_string()))?;
    usable(without_newline(bytes), "what VAULT_PASSCOMMAND prints")
}

fn usable(bytes: Bytes, source: &str) -> Result<Bytes> {
    if bytes.is_empty() {
        return Err(none(&format!("{source} is empty: an empty passphrase protects nothing")));
    }
    Ok(bytes)
}

fn without_newline(mut bytes: Bytes) -> Bytes {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    bytes
}

fn prompt_new(question: &str, signals: &Signals) -> Result<Bytes> {
    let first = prompt(question, signals)?;
    if first != prompt("The same again: ", signals)? {
        return Err(none("the two passphrases differ; nothing was changed"));
    }
    Ok(first)
}

fn prompt(question: &str, signals: &Signals) -> Result<Bytes> {
    let somebody_is_there = io::stdin().is_terminal() || io::stderr().is_terminal();
    if !somebody_is_there || File::open("/dev/tty").is_err() {
        return Err(none(&format!("a passphrase is needed and there is no terminal to ask: {WHAT_TO_SET}")));
    }
    // Held, so that Ctrl-C comes back as an error and the terminal is put right again.
    let _held = signals.hold();
    match rpassword::prompt_password(question) {
        Ok(text) => usable(Zeroizing::new(text.into_bytes()), "what was typed"),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(failure(signals.exit(), "interrupted")),
        Err(error) => Err(none(&format!("cannot ask for a passphrase: {error}; {WHAT_TO_SET}"))),
    }
}

fn none(message: &str) -> anyhow::Error {
    failure(Exit::NoPassphrase, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_stripped_and_no_more() {
        let stripped = |text: &str| without_newline(Zeroizing::new(text.as_bytes().to_vec())).to_vec();
        assert_eq!(stripped("a\n\n"), b"a\n");
        assert_eq!(stripped(" a "), b" a ");
        assert_eq!(stripped("a\r\n"), b"a\r");
    }

    #[test]
    fn a_command_is_run_without_a_shell() {
        let run = |line: &str| from_command(&OsString::from(line));
        assert_eq!(run("printf '%s' 'two words;$HOME'").unwrap().as_slice(), b"two words;$HOME");
        assert_eq!(run("echo secret").unwrap().as_slice(), b"secret");
        for line in ["false", "/no/such/program", "echo 'open", " "] {
            assert_eq!(Exit::of(&run(line).unwrap_err()), Exit::Passcommand, "{line}");
        }
        assert_eq!(Exit::of(&run("true").unwrap_err()), Exit::NoPassphrase);
    }

    #[test]
    fn a_key_file_is_made_once_and_read_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let content = |made: NewSecret| match made.secret {
            Secret::KeyFile(bytes) | Secret::Passphrase(bytes) => bytes.to_vec(),
        };
        let first = content(new_key_file(path.clone()).unwrap());
        assert_eq!(first.len(), 65);
        assert_eq!(content(new_key_file(path).unwrap()), first);
    }
}
