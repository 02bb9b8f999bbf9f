//! Which chunker a file gets. Files that are updated in place, page by page, are cut along their pages; all else by content.
//!
//! A wrong guess costs deduplication, never data: what is cut one way is restored like what is cut the other way.

use super::{CDC_LOG2, ChunkerRequest, FIXED_LOG2, is_supported};
use crate::meta::Chunking;

/// As many bytes from a file's start as [`choose`] looks at.
pub const HEAD_BYTES: usize = 4096;

/// A file keeps its chunker until it has grown or shrunk by this factor.
const STICKY_FACTOR: u64 = 8;

/// The part of a repository's profile that says how files are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkerProfile {
    /// Content-defined chunks average 2^n bytes.
    pub cdc_log2: u8,
    /// Pages of databases are cut into chunks of 2^n bytes.
    pub page_log2: u8,
    /// Files below this are never cut into pages.
    pub smallest_paged: u32,
}

/// How the previous archive cut the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousCut {
    /// With which chunker.
    pub chunking: Chunking,
    /// And how large the file was.
    pub size: u64,
}

/// The chunker for a file of `size` bytes at `path` in its volume, which begins with `head` (up to [`HEAD_BYTES`]).
pub fn choose(
    profile: &ChunkerProfile,
    requested: ChunkerRequest,
    path: &[u8],
    size: u64,
    head: &[u8],
    previous: Option<PreviousCut>,
) -> Chunking {
    if size == 0 {
        return Chunking::None;
    }
    let by_content = Chunking::ContentDefined(within(profile.cdc_log2, *CDC_LOG2.start(), *CDC_LOG2.end()));
    match requested {
        ChunkerRequest::ContentDefined(None) => return by_content,
        ChunkerRequest::ContentDefined(Some(log2)) => return Chunking::ContentDefined(log2),
        ChunkerRequest::Fixed(log2) => return Chunking::Fixed(log2),
        ChunkerRequest::Auto => {}
    }
    if let Some(previous) = previous
        && is_kept(*profile, previous, size)
    {
        return previous.chunking;
    }
    if size < u64::from(profile.smallest_paged) {
        return by_content;
    }
    match page_log2(path, size, head) {
        None => by_content,
        Some(own) => {
            let least = if size < FINE_BYTES && own != UNTOLD { BLOCK_LOG2 } else { profile.page_log2 };
            Chunking::Fixed(within(own.max(least), *FIXED_LOG2.start(), *FIXED_LOG2.end()))
        }
    }
}

/// Whether a file that is cut like this belongs to a database: one of pages, or one of the logs that tell what happens to them.
pub fn is_of_database(chunking: Chunking, path: &[u8], head: &[u8]) -> bool {
    matches!(chunking, Chunking::Fixed(_)) || is_postgres_log(path) || is_sqlite_log(head)
}

/// A write-ahead log of PostgreSQL: `pg_wal/000000010000000000000001`.
fn is_postgres_log(path: &[u8]) -> bool {
    let mut from_behind = path.rsplit(|byte| *byte == b'/');
    let (Some(name), Some(folder)) = (from_behind.next(), from_behind.next()) else { return false };
    let in_place = folder == b"pg_wal" || folder == b"pg_xlog";
    in_place && name.len() == 24 && name.iter().all(u8::is_ascii_hexdigit)
}

fn is_sqlite_log(head: &[u8]) -> bool {
    head.starts_with(&[0x37, 0x7F, 0x06, 0x82]) || head.starts_with(&[0x37, 0x7F, 0x06, 0x83])
}

fn within(log2: u8, least: u8, most: u8) -> u8 {
    log2.clamp(least, most)
}

/// Another chunker would store the whole file again, so the choice stays until the file is another one by its size. A
/// file that was too small to be cut into pages had no choice yet.
fn is_kept(profile: ChunkerProfile, previous: PreviousCut, size: u64) -> bool {
    let had_choice = |size: u64| size >= u64::from(profile.smallest_paged);
    is_supported(previous.chunking)
        && had_choice(previous.size) == had_choice(size)
        && size < previous.size.saturating_mul(STICKY_FACTOR)
        && previous.size < size.saturating_mul(STICKY_FACTOR)
}

/// Stands for a page size that the file does not tell.
const UNTOLD: u8 = 0;
/// The blocks of stores that write at any multiple of 4 KiB. A page that is told to be smaller is cut like these.
const BLOCK_LOG2: u8 = 12;
/// A file of so many bytes is not cut finer than the profile says: 4 KiB of it cost 113 bytes of trailer, index and list.
const FINE_BYTES: u64 = 64 << 30;

/// The size of the file's pages as a power of two, or [`UNTOLD`]; `None` if it is not a file of pages.
fn page_log2(path: &[u8], size: u64, head: &[u8]) -> Option<u8> {
    let components: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let (name, folders) = components.split_last()?;
    let told = sqlite_page(head).or_else(|| postgres_page(name, folders, head));
    let of_blocks = is_wiredtiger(head) || is_lmdb(head) || is_mapped_vectors(name);
    let untold = is_neo4j(name, folders) || is_innodb(name) || is_disk_image(name, size, head);
    told.or(of_blocks.then_some(BLOCK_LOG2)).or(untold.then_some(UNTOLD))
}

/// Bytes 16 and 17 are the page size, high byte first; 1 stands for 65,536.
fn sqlite_page(head: &[u8]) -> Option<u8> {
    let rest = head.strip_prefix(b"SQLite format 3\0")?;
    let (high, low) = (rest.first().copied()?, rest.get(1).copied()?);
    let size = match u32::from(high) << 8 | u32::from(low) {
        1 => 65_536,
        size => size,
    };
    Some(log2_of(size).unwrap_or(UNTOLD))
}

fn log2_of(size: u32) -> Option<u8> {
    let log2 = u8::try_from(size.checked_ilog2()?).ok()?;
    (size.is_power_of_two() && (9..=16).contains(&log2)).then_some(log2)
}

/// `base/1/2`, `global/2`, `pg_tblspc/3/PG_17_202406281/1/2` with the forks and segments that the name may carry.
fn is_postgres_place(name: &[u8], folders: &[&[u8]]) -> bool {
    let in_place = match folders {
        [.., folder] if *folder == b"global" => true,
        [.., folder, database] => (*folder == b"base" || folder.starts_with(b"PG_")) && is_number(database),
        _ => false,
    };
    let (relation, segment) = match name.iter().position(|byte| *byte == b'.') {
        Some(dot) => (name.get(..dot).unwrap_or(name), name.get(dot + 1..)),
        None => (name, None),
    };
    let forks: [&[u8]; 3] = [b"_fsm", b"_vm", b"_init"];
    let relation = forks.iter().find_map(|fork| relation.strip_suffix(*fork)).unwrap_or(relation);
    in_place && is_number(relation) && segment.is_none_or(is_number)
}

fn is_number(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

/// A page header says its size and layout version 4 in bytes 18 and 19; a page that was only allocated is zeros.
fn postgres_page(name: &[u8], folders: &[&[u8]], head: &[u8]) -> Option<u8> {
    if !is_postgres_place(name, folders) {
        return None;
    }
    let (version, size) = (head.get(18).copied()?, head.get(19).copied()?);
    let all_zeros = head.iter().all(|byte| *byte == 0);
    log2_of(u32::from(size) << 8).filter(|_| version == 4).or(all_zeros.then_some(UNTOLD))
}

fn is_wiredtiger(head: &[u8]) -> bool {
    head.starts_with(&120_897_u32.to_le_bytes())
}

fn is_lmdb(head: &[u8]) -> bool {
    head.get(16..20).is_some_and(|magic| magic == 0xBEEF_C0DE_u32.to_le_bytes())
}

/// Record stores, block stores and native indexes. Not the transaction logs, which grow at the end, nor Lucene's
/// files, which never change.
fn is_neo4j(name: &[u8], folders: &[&[u8]]) -> bool {
    let record_store = name.starts_with(b"neostore") && !name.starts_with(b"neostore.transaction");
    let block_store = name.starts_with(b"block.") && name.ends_with(b".db");
    let in_index = folders.windows(2).any(|pair| pair == [b"schema".as_slice(), b"index"]);
    let lucene = folders.iter().any(|folder| folder.starts_with(b"lucene") || folder.starts_with(b"text"));
    record_store || block_store || (in_index && !lucene && name.starts_with(b"index-"))
}

fn is_innodb(name: &[u8]) -> bool {
    let undo = name.strip_prefix(b"undo_").is_some_and(is_number);
    undo || has_extension(name, &["ibd"]) || name.strip_prefix(b"ibdata").is_some_and(is_number)
}

/// Files that vector databases map into memory: those of hnswlib (Chroma) and Qdrant.
fn is_mapped_vectors(name: &[u8]) -> bool {
    let hnswlib: [&[u8]; 4] = [b"data_level0.bin", b"link_lists.bin", b"header.bin", b"length.bin"];
    let page = name.strip_prefix(b"page_").and_then(|rest| rest.strip_suffix(b".dat")).is_some_and(is_number);
    page || hnswlib.contains(&name) || has_extension(name, &["mmap"])
}

fn is_disk_image(name: &[u8], size: u64, head: &[u8]) -> bool {
    // Photographs are called .raw too; a disk has whole sectors.
    let sectors = size.is_multiple_of(512) && has_extension(name, &["img", "raw"]);
    sectors || head.starts_with(b"QFI\xfb") || has_extension(name, &["qcow2", "vmdk", "vdi"])
}

fn has_extension(name: &[u8], extensions: &[&str]) -> bool {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    let found = name.get(dot + 1..).unwrap_or_default();
    extensions.iter().any(|extension| found.eq_ignore_ascii_case(extension.as_bytes()))
}
