//! Which files are cut into pages.

use super::{ChunkerProfile, ChunkerRequest, PreviousCut, choose, is_of_database};
use crate::meta::Chunking;

const PROFILE: ChunkerProfile = ChunkerProfile { cdc_log2: 20, page_log2: 13, smallest_paged: 65_536 };
const BY_CONTENT: Chunking = Chunking::ContentDefined(20);
const BY_PAGE: Chunking = Chunking::Fixed(13);
const BY_BLOCK: Chunking = Chunking::Fixed(12);

fn auto(path: &str, head: &[u8]) -> Chunking {
    choose(&PROFILE, ChunkerRequest::Auto, path.as_bytes(), 1 << 20, head, None)
}

fn sqlite(high: u8, low: u8) -> Vec<u8> {
    [b"SQLite format 3\0".as_slice(), &[high, low], &[0; 80]].concat()
}

/// A page header with these bytes 18 and 19.
fn postgres(version: u8, size: u8) -> Vec<u8> {
    let mut head = vec![1; 64];
    head.splice(18..20, [version, size]);
    head
}

#[test]
fn sqlite_is_cut_along_its_own_pages() {
    assert_eq!(auto("any/name", &sqlite(0x10, 0)), BY_BLOCK);
    assert_eq!(auto("any/name", &sqlite(0x20, 0)), BY_PAGE);
    assert_eq!(auto("any/name", &sqlite(0x02, 0)), BY_BLOCK);
    assert_eq!(auto("any/name", &sqlite(0x80, 0)), Chunking::Fixed(15));
    assert_eq!(auto("any/name", &sqlite(0, 1)), Chunking::Fixed(16));
    assert_eq!(auto("any/name", &sqlite(3, 7)), BY_PAGE);
    assert_eq!(auto("any/name", b"SQLite format 3\0"), BY_CONTENT);
}

#[test]
fn postgres_is_known_by_place_and_header() {
    for path in [
        "base/16384/16385",
        "pgdata/base/5/2619_vm",
        "base/5/2619_fsm.1",
        "base/5/16390_init",
        "data/global/1262",
        "pg_tblspc/99/PG_17_202406281/5/777.12",
    ] {
        assert_eq!(auto(path, &postgres(4, 0x20)), BY_PAGE, "{path}");
        assert_eq!(auto(path, &postgres(4, 0x80)), Chunking::Fixed(15), "{path}");
        assert_eq!(auto(path, &[0; 4096]), BY_PAGE, "{path}");
        assert_eq!(auto(path, b"text"), BY_CONTENT, "{path}");
        assert_eq!(auto(path, &postgres(9, 0x20)), BY_CONTENT, "{path}");
    }
    for path in ["base/16384/pg_internal.init", "base/x/1", "pg_wal/000000010000000000000001", "1", "base/5/1.x", ""] {
        assert_eq!(auto(path, &postgres(4, 0x20)), BY_CONTENT, "{path}");
    }
}

#[test]
fn other_stores_are_known_by_magic_or_name() {
    let lmdb = [[0; 16].as_slice(), &[0xDE, 0xC0, 0xEF, 0xBE], &[1; 44]].concat();
    assert_eq!(auto("x/lock-free", &lmdb), BY_BLOCK);
    assert_eq!(auto("collection-0.wt", &[0x41, 0xD8, 0x01, 0, 1, 0, 0, 0]), BY_BLOCK);
    assert_eq!(auto("a.disk", b"QFI\xfb\0\0\0\x03"), BY_PAGE);
    for path in [
        "neo4j/neostore.nodestore.db",
        "neo4j/block.x1.db",
        "neo4j/schema/index/range-1.0/3/index-3",
        "db/users.ibd",
        "ibdata1",
        "undo_001",
        "vm/disk.IMG",
        "vm/disk.vdi",
        "disk.qcow2",
        "a/disk.vmdk",
    ] {
        assert_eq!(auto(path, b"anything"), BY_PAGE, "{path}");
    }
    for path in [
        "chroma/uuid/data_level0.bin",
        "chroma/uuid/link_lists.bin",
        "storage/vectors/matrix.mmap",
        "storage/payload/page_0.dat",
        "storage/vectors/chunk_12.mmap",
    ] {
        assert_eq!(auto(path, b"anything"), BY_BLOCK, "{path}");
    }
    for path in [
        "neostore.transaction.db.3",
        "neo4j/schema/index/text-1.0/3/index-3",
        "pages/page_x.dat",
        "segment.sst",
        "img",
        "a.img/photo.jpg",
        "mmap",
    ] {
        assert_eq!(auto(path, b"anything"), BY_CONTENT, "{path}");
    }
    let photo = choose(&PROFILE, ChunkerRequest::Auto, b"photo.raw", 1_000_001, b"", None);
    assert_eq!(photo, BY_CONTENT);
}

#[test]
fn small_and_empty_files_are_never_cut_into_pages() {
    let of_size = |size| choose(&PROFILE, ChunkerRequest::Auto, b"x", size, &sqlite(0x10, 0), None);
    assert_eq!(of_size(0), Chunking::None);
    assert_eq!(of_size(65_535), BY_CONTENT);
    assert_eq!(of_size(65_536), BY_BLOCK);
}

#[test]
fn very_large_files_are_not_cut_finer_than_the_profile_says() {
    let of_size = |size| choose(&PROFILE, ChunkerRequest::Auto, b"x", size, &sqlite(0x10, 0), None);
    assert_eq!(of_size((64 << 30) - 1), BY_BLOCK);
    assert_eq!(of_size(64 << 30), BY_PAGE);
    // What it was is kept, or a file that grows would be stored again.
    let previous = Some(PreviousCut { chunking: BY_BLOCK, size: 60 << 30 });
    assert_eq!(choose(&PROFILE, ChunkerRequest::Auto, b"x", 70 << 30, &sqlite(0x10, 0), previous), BY_BLOCK);
}

#[test]
fn pages_and_logs_belong_to_a_database() {
    let log = |path: &str, head: &[u8]| is_of_database(BY_CONTENT, path.as_bytes(), head);
    assert!(is_of_database(BY_PAGE, b"any", b""));
    assert!(log("data/pg_wal/0000000100000000000000A1", b"") && log("pg_xlog/000000010000000000000001", b""));
    assert!(log("app.db-wal", &[0x37, 0x7F, 6, 0x82, 0]) && log("app.db-wal", &[0x37, 0x7F, 6, 0x83, 0]));
    assert!(
        !log("pg_wal/archive_status", b"")
            && !log("my_pg_wal/0000000100000000000000A1", b"")
            && !log("x/0000000100000000000000A1", b"")
            && !log("text", b"text")
    );
}

#[test]
fn what_was_asked_for_counts_more_than_what_a_file_is() {
    let previous = Some(PreviousCut { chunking: BY_PAGE, size: 1 << 20 });
    let ask = |request| choose(&PROFILE, request, b"x.ibd", 1 << 20, b"", previous);
    assert_eq!(ask(ChunkerRequest::ContentDefined(None)), BY_CONTENT);
    assert_eq!(ask(ChunkerRequest::ContentDefined(Some(16))), Chunking::ContentDefined(16));
    assert_eq!(ask(ChunkerRequest::Fixed(9)), Chunking::Fixed(9));
}

#[test]
fn a_file_keeps_its_chunker_until_it_is_eight_times_larger_or_smaller() {
    let kept = Chunking::Fixed(15);
    let next = |chunking, before, now| {
        let previous = Some(PreviousCut { chunking, size: before });
        choose(&PROFILE, ChunkerRequest::Auto, b"x.db", now, b"no magic any more", previous)
    };
    assert_eq!(next(kept, 1 << 20, 1 << 20), kept);
    assert_eq!(next(kept, 1 << 20, (8 << 20) - 1), kept);
    assert_eq!(next(kept, 1 << 20, 8 << 20), BY_CONTENT);
    assert_eq!(next(kept, 1 << 20, (1 << 17) + 1), kept);
    assert_eq!(next(kept, 1 << 20, 1 << 17), BY_CONTENT);
    assert_eq!(next(kept, 1 << 62, 1 << 62), kept);
    // Sizes that no writer chooses, and files that had no choice.
    assert_eq!(next(Chunking::Fixed(40), 1 << 20, 1 << 20), BY_CONTENT);
    assert_eq!(next(Chunking::None, 0, 1 << 20), BY_CONTENT);
    assert_eq!(next(kept, 60_000, 70_000), BY_CONTENT);
}
