//! `vault info`.

use anyhow::Result;
use vault_engine::ops::archives::{self, Archive, Facts};
use vault_engine::ops::info;
use vault_engine::repository::Repository;

use crate::args::InfoArgs;
use crate::exit::Exit;
use crate::json::{ArchiveJson, ContentJson, InfoJson, RepositoryJson, WarningJson};
use crate::out::Out;
use crate::progress::{Console, Show};
use crate::session::Caller;
use crate::{render, time};

/// Shows the repository or one archive.
pub(super) fn run(caller: Caller<'_>, args: &InfoArgs) -> Result<Exit> {
    let selected = super::select(caller, args.archive.as_ref())?;
    let mut out = Out::new();
    let console = Console::new(Show::QUIET, caller.signals);
    match &selected.archive {
        Some(archive) => {
            let facts = archives::facts(&selected.repository, &console)?;
            show_archive(&selected.repository, archive, &facts, args.json, &mut out)?;
        }
        None => show_repository(&selected.repository, args.json, &mut out)?,
    }
    out.finish()?;
    Ok(Exit::with_warnings(selected.warnings + console.warnings()))
}

fn show_repository(repository: &Repository, json: bool, out: &mut Out) -> Result<()> {
    let info = info::info(repository)?;
    if json {
        return out.json(&InfoJson {
            repository: RepositoryJson::of(repository),
            content: Some(ContentJson::of(&info)),
            archive: None,
            warnings: None,
        });
    }
    let encryption = if repository.encrypted() { "aes-256-gcm" } else { "none" };
    show(
        out,
        &[
            ("Repository", repository.id().to_hex()),
            ("Location", repository.describe()),
            ("Encryption", encryption.to_owned()),
            ("Archives", info.archives.to_string()),
            ("Packs", format!("{} ({})", info.packs, render::bytes(info.pack_bytes))),
            (
                "Index",
                format!(
                    "{} for {}",
                    render::count(info.index_segments, "segment"),
                    render::count(info.objects, "object")
                ),
            ),
        ],
    )
}

fn show_archive(repository: &Repository, archive: &Archive, facts: &Facts, json: bool, out: &mut Out) -> Result<()> {
    let warnings = archives::warnings(repository, archive)?;
    if json {
        return out.json(&InfoJson {
            repository: RepositoryJson::of(repository),
            content: None,
            archive: Some(ArchiveJson::of(archive).with_facts(facts)),
            warnings: Some(warnings.iter().map(|(path, message)| WarningJson::of(path, message)).collect()),
        });
    }
    let manifest = &archive.manifest;
    let statistics = &manifest.statistics;
    let paths: Vec<String> = manifest.paths.iter().map(|path| render::path(path)).collect();
    show(
        out,
        &[
            ("Archive", archive.id.to_hex()),
            ("Name", format!("{}/{}", render::text(&manifest.host), render::text(&manifest.name))),
            ("Time", time::local(manifest.time)),
            ("Made", format!("{} to {}", time::local(manifest.start), time::local(manifest.end))),
            ("User", render::text(&manifest.user)),
            ("Paths", paths.join(", ")),
            ("Comment", render::text(&manifest.comment)),
            ("Program", render::text(&manifest.program)),
            ("Parent", manifest.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_hex())),
            ("Protected", if facts.is_protected(archive.id) { "yes".to_owned() } else { String::new() }),
            ("Incomplete", lacks(facts.losses(archive.id).len())),
            ("Files", statistics.files.to_string()),
            ("Directories", statistics.directories.to_string()),
            ("Size", render::bytes(statistics.bytes)),
            (
                "New",
                format!("{} ({} stored)", render::bytes(statistics.new_bytes), render::bytes(statistics.stored_bytes)),
            ),
            ("Warnings", statistics.warnings.to_string()),
        ],
    )?;
    warnings
        .iter()
        .try_for_each(|(path, message)| out.line(format!("  {}: {}", render::path(path), render::text(message))))
}

fn show(out: &mut Out, fields: &[(&str, String)]) -> Result<()> {
    fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .try_for_each(|(label, value)| out.line(format!("{:<13}{value}", format!("{label}:"))))
}

/// What a repair has recorded as lost.
fn lacks(objects: usize) -> String {
    match objects {
        0 => String::new(),
        objects => format!("without {}; `vault check` names the files", render::count(objects as u64, "object")),
    }
}
