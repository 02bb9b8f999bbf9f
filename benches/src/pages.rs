//! What a night of a database adds, by page size, split of content lists and compression: why the default is what it is.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use vault_engine::chunker::ChunkerRequest;
use vault_engine::format::config::Profile;
use vault_engine::format::split::SplitRule;
use vault_engine::ops::create::{CreateOptions, FilesCache, create};
use vault_engine::pattern::PatternSet;
use vault_engine::progress::Silent;
use vault_engine::repository::{InitOptions, OpenOptions, Repository};
use vault_engine::store::{Kind, LocalStore};

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Setting {
    page_log2: u8,
    list_bits: u8,
    level: i8,
}

/// Page sizes at the default level, then levels and list splits at the two sizes in question.
const SETTINGS: [Setting; 12] = [
    Setting { page_log2: 12, list_bits: 7, level: 3 },
    Setting { page_log2: 13, list_bits: 7, level: 3 },
    Setting { page_log2: 14, list_bits: 7, level: 3 },
    Setting { page_log2: 15, list_bits: 7, level: 3 },
    Setting { page_log2: 13, list_bits: 5, level: 3 },
    Setting { page_log2: 13, list_bits: 7, level: 1 },
    Setting { page_log2: 13, list_bits: 7, level: 6 },
    Setting { page_log2: 13, list_bits: 7, level: 9 },
    Setting { page_log2: 14, list_bits: 5, level: 3 },
    Setting { page_log2: 14, list_bits: 7, level: 1 },
    Setting { page_log2: 14, list_bits: 7, level: 6 },
    Setting { page_log2: 14, list_bits: 7, level: 9 },
];

/// Archives two states of a folder with each setting, in repositories below `scratch`; gives the table. All paths are absolute; the
/// current directory changes.
pub fn pages(first: &Path, second: &Path, scratch: &Path) -> Result<String> {
    let mut table = String::from(
        "| page | list split, bits | zstd | first night, kB | second night, kB |\n|---|---|---|---|---|\n",
    );
    for (number, setting) in SETTINGS.iter().enumerate() {
        let place = scratch.join(format!("pages-{number}"));
        let (night1, night2) = grown_by(first, second, &place, *setting)?;
        let Setting { page_log2, list_bits, level } = setting;
        let page = 1u64 << page_log2;
        writeln!(table, "| {page} | {list_bits} | {level} | {} | {} |", night1 / 1000, night2 / 1000)?;
        std::fs::remove_dir_all(&place)?;
    }
    Ok(table)
}

/// All bytes of a keyless repository after the first night, and by how much the second makes it grow.
fn grown_by(first: &Path, second: &Path, place: &Path, setting: Setting) -> Result<(u64, u64)> {
    let store = LocalStore::create(place)?;
    let bits = setting.list_bits;
    let list_split = SplitRule { minimum: 1 << (bits - 2), bits, maximum: 1 << (bits + 2) };
    let profile = Profile { page_log2: setting.page_log2, list_split, ..Profile::default() };
    let options = InitOptions { encrypted: false, secret: None, slot_name: String::new(), like: None, profile };
    Repository::init(&store, &options)?;
    let repository = Repository::open(Arc::new(store), OpenOptions::default())?;
    let empty = size(&repository)?;
    archive(&repository, first, setting)?;
    let after_first = size(&repository)?;
    archive(&repository, second, setting)?;
    Ok((after_first - empty, size(&repository)? - after_first))
}

fn archive(repository: &Repository, folder: &Path, setting: Setting) -> Result<()> {
    let options = CreateOptions {
        host: "host".to_owned(),
        name: "database".to_owned(),
        moving_name: false,
        // The content of either folder as that of one place; the paths below decide what is a database.
        paths: vec![PathBuf::from(".")],
        input_name: None,
        compression: format!("auto,zstd,{}", setting.level).parse()?,
        verify: vault_engine::format::verify::Verify::default(),
        chunker: ChunkerRequest::Auto,
        one_file_system: false,
        excludes: PatternSet::new(),
        exclude_caches: false,
        exclude_if_present: Vec::new(),
        skip: Vec::new(),
        files_cache: FilesCache::Disabled,
        time: None,
        utc_offset_seconds: 0,
        user: String::new(),
        comment: String::new(),
        program: "vault-bench".to_owned(),
        dry_run: false,
        jobs: None,
    };
    std::env::set_current_dir(folder)?;
    create(repository, &options, None, &Silent)?;
    Ok(())
}

fn size(repository: &Repository) -> Result<u64> {
    let mut bytes = 0;
    for kind in Kind::ALL {
        bytes += repository.store().list(kind)?.iter().map(|file| file.size).sum::<u64>();
    }
    Ok(bytes)
}
