//! `vault restore`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use vault_engine::memory::Need;
use vault_engine::ops::archives::Archive;
use vault_engine::ops::restore::{self, Overwrite, RestoreOptions, Restored};
use vault_engine::repository::Repository;

use crate::args::{OverwriteMode, RestoreArgs};
use crate::exit::{Exit, usage};
use crate::json::RestoreJson;
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::Caller;

/// Writes the files of an archive below a directory.
pub(super) fn run(caller: Caller<'_>, args: &RestoreArgs) -> Result<Exit> {
    if args.target.as_os_str().is_empty() {
        return Err(usage("--target is empty"));
    }
    if args.delete && is_root(&args.target) {
        return Err(usage("--delete with --target / would remove the system that runs; name another target"));
    }
    let options = options(args)?;
    let selected = super::select(caller, Some(&args.archive))?;
    let Some(archive) = &selected.archive else {
        return Err(usage("name an archive: REPO::ARCHIVE"));
    };

    let show = Show { verbose: caller.common.verbose, list: args.list, progress: args.progress };
    let console = Console::new(show, caller.signals);
    let restored = restore::restore(&selected.repository, archive, &options, &console)?;
    let warnings = restored.warnings.max(console.warnings()) + selected.warnings;
    drop(console);

    let exit = if restored.damaged > 0 { Exit::Integrity } else { Exit::with_warnings(warnings) };
    out::ended(print(&selected.repository, archive, &restored, args, caller.common.verbose), exit)
}

fn print(
    repository: &Repository,
    archive: &Archive,
    restored: &Restored,
    args: &RestoreArgs,
    verbose: bool,
) -> Result<()> {
    let mut out = Out::new();
    if args.json {
        let target = args.target.to_string_lossy().into_owned();
        out.json(&RestoreJson::of(repository, archive, restored, target, args.dry_run))?;
    } else if args.dry_run || verbose {
        out.line(format!(
            "{}{}, {} written; {} right already, {} removed",
            if args.dry_run { "would be done: " } else { "" },
            render::count(restored.files, "file"),
            render::bytes(restored.bytes),
            restored.skipped,
            restored.deleted,
        ))?;
    }
    out.finish()
}

fn options(args: &RestoreArgs) -> Result<RestoreOptions> {
    let mut paths = args.paths.iter().map(|path| stored_path(path)).collect::<Result<Vec<_>>>()?;
    if paths.iter().any(Vec::is_empty) {
        // `.` among them: everything.
        paths.clear();
    }
    Ok(RestoreOptions {
        paths,
        target: args.target.clone(),
        dry_run: args.dry_run,
        overwrite: match args.overwrite {
            OverwriteMode::IfChanged => Overwrite::IfChanged,
            OverwriteMode::Always => Overwrite::Always,
            OverwriteMode::Never => Overwrite::Never,
        },
        delete: args.delete,
        sparse: args.sparse,
        numeric_ids: args.numeric_ids,
        strip_components: args.strip_components,
        jobs: args.workers.count(Need::READ)?,
    })
}

/// A PATH as archives store it: no leading slash, no `.`, nothing doubled.
fn stored_path(path: &OsStr) -> Result<Vec<u8>> {
    if path.is_empty() {
        return Err(usage("PATH is empty"));
    }
    let parts: Vec<&[u8]> =
        path.as_bytes().split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(usage(format!("{}: no path of an archive contains ..", path.display())));
    }
    Ok(parts.join(&b'/'))
}

/// Whether this is the root directory by any name, through links too.
fn is_root(target: &Path) -> bool {
    target.canonicalize().is_ok_and(|resolved| resolved == Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_archives_store_them() {
        let stored = |text: &str| stored_path(OsStr::new(text)).unwrap();
        assert_eq!(stored("/etc//passwd"), b"etc/passwd");
        assert_eq!(stored("./a/./b/"), b"a/b");
        assert_eq!(stored("."), b"");
        assert!(stored_path(OsStr::new("a/../b")).is_err());
        assert!(stored_path(OsStr::new("")).is_err());
    }

    #[test]
    fn the_root_is_known_by_any_name() {
        for name in ["/", "//", "/.", "/usr/.."] {
            assert!(is_root(Path::new(name)), "{name}");
        }
        assert!(!is_root(Path::new("/usr")));
        assert!(!is_root(Path::new("/does/not/exist")));
    }
}
