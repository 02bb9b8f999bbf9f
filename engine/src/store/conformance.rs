//! What every store must do, as far as one process can see it. Run it against each new kind of store.

use std::collections::BTreeMap;

use crate::error::StoreErrorKind;
use crate::id::{ArchiveId, FileId, PackId};
use crate::store::{Key, Kind, Store, StoreResult};

/// What a check found wrong, in words.
type Verdict = Result<(), String>;

const MIB: usize = 1 << 20;

/// Checks a store that is empty; it is empty again afterwards if all is well.
pub fn verify(store: &dyn Store) -> Result<(), String> {
    check_empty(store)?;
    check_missing(store)?;
    check_whole_files(store)?;
    check_ranges(store)?;
    check_limits(store)?;
    check_names(store)?;
    check_replacing(store)?;
    check_uploads(store)?;
    check_long_upload(store)?;
    check_interleaved_uploads(store)?;
    check_threads(store)?;
    check_removal(store)?;
    check_keeping(store)?;
    check_many(store)?;
    check_reserve(store)?;
    check_empty(store)
}

fn check_empty(store: &dyn Store) -> Verdict {
    Kind::ALL.iter().try_for_each(|kind| expect_listing(store, *kind, &BTreeMap::new()))
}

fn check_missing(store: &dyn Store) -> Verdict {
    for key in samples(7) {
        expect(ok("size", &key, store.size(&key))?.is_none(), "size", &key, "a file that was never put has a size")?;
        expect_kind("read", &key, store.read(&key, u64::MAX), StoreErrorKind::NotFound)?;
        expect_kind("read_at", &key, store.read_at(&key, 0, &mut [0; 4]), StoreErrorKind::NotFound)?;
        expect_kind("read_at", &key, store.read_at(&key, u64::MAX, &mut []), StoreErrorKind::NotFound)?;
        ok("remove", &key, store.remove(&key))?;
    }
    Ok(())
}

fn check_whole_files(store: &dyn Store) -> Verdict {
    for (key, length) in samples(1).into_iter().zip([0, 1, 17, 4096, 4097, 70_000, MIB].into_iter().cycle()) {
        let bytes = pattern(length, 1);
        ok("put", &key, store.put(&key, &bytes))?;
        expect_file(store, &key, &bytes)?;
        ok("remove", &key, store.remove(&key))?;
    }
    Ok(())
}

fn check_ranges(store: &dyn Store) -> Verdict {
    let key = Key::pack(PackId::from_bytes([0x2a; 32]));
    let bytes = pattern(10_000, 2);
    ok("put", &key, store.put(&key, &bytes))?;
    for (offset, length) in [(0, 10_000), (0, 1), (9_999, 1), (4_000, 5_000), (0, 0), (10_000, 0), (20_000, 0)] {
        let mut buffer = vec![0; length];
        ok("read_at", &key, store.read_at(&key, offset, &mut buffer))?;
        let expected = usize::try_from(offset).ok().and_then(|from| bytes.get(from..from + length)).unwrap_or_default();
        expect(buffer == expected, "read_at", &key, &format!("other bytes at {offset}, length {length}"))?;
    }
    let beyond = [(0, 10_001), (9_999, 2), (10_000, 1), (20_000, 5), (1 << 62, 1), (i64::MAX as u64, 1)];
    for (offset, length) in beyond.into_iter().chain([(1 << 63, 1), (u64::MAX, 1), (u64::MAX, 9_000)]) {
        let read = store.read_at(&key, offset, &mut vec![0; length]);
        expect_kind("read_at beyond the end", &key, read, StoreErrorKind::Truncated)?;
    }
    ok("remove", &key, store.remove(&key))
}

fn check_limits(store: &dyn Store) -> Verdict {
    let key = Key::config();
    ok("put", &key, store.put(&key, &pattern(100, 3)))?;
    for limit in [100, 101, u64::MAX] {
        expect(ok("read", &key, store.read(&key, limit))?.len() == 100, "read", &key, "not the whole file")?;
    }
    for limit in [0, 99] {
        expect_kind("read over the limit", &key, store.read(&key, limit), StoreErrorKind::Other)?;
    }
    ok("put", &key, store.put(&key, &[]))?;
    expect(ok("read", &key, store.read(&key, 0))?.is_empty(), "read", &key, "an empty file has bytes")?;
    ok("remove", &key, store.remove(&key))
}

/// Listings name each file of their kind once, with its size, and nothing else; also names that only marks have.
fn check_names(store: &dyn Store) -> Verdict {
    let mut expected: BTreeMap<Kind, BTreeMap<String, u64>> = BTreeMap::new();
    let keys: Vec<_> = (0..12).flat_map(samples).collect();
    for (key, length) in keys.iter().zip((0..500).cycle()) {
        ok("put", key, store.put(key, &pattern(length, 4)))?;
        expected.entry(key.kind()).or_default().insert(key.name().to_owned(), length as u64);
    }
    for kind in Kind::ALL {
        expect_listing(store, kind, expected.get(&kind).unwrap_or(&BTreeMap::new()))?;
    }
    for (kind, names) in expected {
        for (name, size) in names {
            let key = Key::listed(kind, name);
            expect(ok("size", &key, store.size(&key))? == Some(size), "size", &key, "other than listed")?;
            ok("remove", &key, store.remove(&key))?;
        }
    }
    Ok(())
}

fn check_replacing(store: &dyn Store) -> Verdict {
    for key in samples(5) {
        for bytes in [pattern(300, 5), pattern(300, 5), pattern(300, 6), pattern(20, 7), pattern(5_000, 8)] {
            ok("put over another", &key, store.put(&key, &bytes))?;
            expect_file(store, &key, &bytes)?;
        }
        let bytes = pattern(5_000, 8);
        upload(store, &key, &[&bytes])?;
        expect_file(store, &key, &bytes)?;
        let listed = ok("list", &key, store.list(key.kind()))?;
        expect(listed.iter().filter(|file| file.name == key.name()).count() == 1, "list", &key, "not named once")?;
        ok("remove", &key, store.remove(&key))?;
    }
    Ok(())
}

/// An upload is seen when it has its name, and never if it was dropped.
fn check_uploads(store: &dyn Store) -> Verdict {
    for key in samples(9) {
        let bytes = pattern(5_000, 9);
        let (first, second) = bytes.split_at(1_234);
        let mut upload = ok("begin", &key, store.begin())?;
        ok("append", &key, upload.append(first))?;
        check_empty(store)?;
        ok("append", &key, upload.append(&[]))?;
        ok("append", &key, upload.append(second))?;
        expect(ok("size", &key, store.size(&key))?.is_none(), "begin", &key, "seen before it is finished")?;
        ok("finish", &key, upload.finish(&key))?;
        expect_file(store, &key, &bytes)?;
        ok("remove", &key, store.remove(&key))?;

        let mut dropped = ok("begin", &key, store.begin())?;
        ok("append", &key, dropped.append(&bytes))?;
        drop(dropped);
        check_empty(store)?;

        let untouched = ok("begin", &key, store.begin())?;
        ok("finish", &key, untouched.finish(&key))?;
        expect_file(store, &key, &[])?;
        ok("remove", &key, store.remove(&key))?;
    }
    Ok(())
}

fn check_long_upload(store: &dyn Store) -> Verdict {
    let key = Key::pack(PackId::from_bytes([0xc3; 32]));
    let bytes = pattern(3 * MIB, 10);
    let mut pieces = Vec::new();
    let mut rest = bytes.as_slice();
    for length in [1, 4_095, 65_537, 3, 300_007].into_iter().cycle() {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    upload(store, &key, &pieces)?;
    expect_file(store, &key, &bytes)?;
    let mut middle = vec![0; MIB];
    ok("read_at", &key, store.read_at(&key, MIB as u64, &mut middle))?;
    expect(bytes.get(MIB..2 * MIB) == Some(&middle), "read_at", &key, "other bytes in the middle")?;
    ok("remove", &key, store.remove(&key))
}

fn check_interleaved_uploads(store: &dyn Store) -> Verdict {
    let keys = [Key::pack(PackId::from_bytes([1; 32])), Key::pack(PackId::from_bytes([2; 32]))];
    let [first, second] = &keys;
    let mut one = ok("begin", first, store.begin())?;
    let mut other = ok("begin", second, store.begin())?;
    for round in 0..20 {
        ok("append", first, one.append(&pattern(100 + round, 11)))?;
        ok("append", second, other.append(&pattern(50 + round, 12)))?;
    }
    ok("finish", second, other.finish(second))?;
    expect(ok("size", first, store.size(first))?.is_none(), "finish", first, "the wrong upload was finished")?;
    ok("finish", first, one.finish(first))?;
    expect_file(store, first, &(0..20).flat_map(|round| pattern(100 + round, 11)).collect::<Vec<_>>())?;
    expect_file(store, second, &(0..20).flat_map(|round| pattern(50 + round, 12)).collect::<Vec<_>>())?;
    keys.iter().try_for_each(|key| ok("remove", key, store.remove(key)))
}

/// Four writers at once, on files of their own and on one that they all put; each must see its own at once.
fn check_threads(store: &dyn Store) -> Verdict {
    const WRITERS: u8 = 4;
    let shared = Key::archive(ArchiveId::from_bytes([0xee; 32]));
    let shared_bytes = pattern(2_000, 13);
    let work = |writer: u8| -> Verdict {
        for round in 0..10 {
            let mut id = [round; 32];
            id[0] = writer.wrapping_mul(0x31);
            let key = Key::pack(PackId::from_bytes(id));
            let bytes = pattern(1_000 + usize::from(writer) * 37, round);
            if round % 2 == 0 {
                ok("put", &key, store.put(&key, &bytes))?;
            } else {
                upload(store, &key, &[&bytes])?;
            }
            ok("put", &shared, store.put(&shared, &shared_bytes))?;
            expect_file(store, &key, &bytes)?;
            expect_file(store, &shared, &shared_bytes)?;
            let listed = ok("list", &key, store.list(Kind::Packs))?;
            expect(listed.iter().any(|file| file.name == key.name()), "list", &key, "misses what was just put")?;
            ok("remove", &key, store.remove(&key))?;
        }
        Ok(())
    };
    let work = &work;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || work(writer))).collect();
        let joined =
            writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| Err("a writer panicked".into())));
        joined.collect::<Verdict>()
    })?;
    ok("remove", &shared, store.remove(&shared))
}

fn check_removal(store: &dyn Store) -> Verdict {
    for key in samples(11) {
        ok("put", &key, store.put(&key, b"going"))?;
        ok("remove", &key, store.remove(&key))?;
        ok("remove what is gone", &key, store.remove(&key))?;
        expect(ok("size", &key, store.size(&key))?.is_none(), "remove", &key, "it is still there")?;
        expect_kind("read", &key, store.read(&key, 100), StoreErrorKind::NotFound)?;
        ok("put again", &key, store.put(&key, b"back"))?;
        expect_file(store, &key, b"back")?;
        ok("remove", &key, store.remove(&key))?;
    }
    Ok(())
}

/// A second name stands when the first goes.
fn check_keeping(store: &dyn Store) -> Verdict {
    let (key, kept) = (Key::pack(PackId::from_bytes([0x5e; 32])), Key::listed(Kind::Quarantine, "packs-5e"));
    expect_kind("keep", &key, store.keep_as(&key, &kept), StoreErrorKind::NotFound)?;
    let bytes = pattern(MIB + 4097, 15);
    upload(store, &key, &[&bytes])?;
    ok("keep", &key, store.keep_as(&key, &kept))?;
    expect_file(store, &key, &bytes)?;
    ok("remove", &key, store.remove(&key))?;
    expect_listing(store, Kind::Quarantine, &BTreeMap::from([(kept.name().to_owned(), bytes.len() as u64)]))?;
    expect_file(store, &kept, &bytes)?;
    ok("remove", &kept, store.remove(&kept))
}

/// Many at once are what they are one by one: some that exist, some of them twice, some gone, in every folder.
fn check_many(store: &dyn Store) -> Verdict {
    let first = Key::config();
    ok("put nothing", &first, store.put_many(&[]))?;
    ok("remove nothing", &first, store.remove_many(&[]))?;
    check_empty(store)?;
    let keys: Vec<_> = (20..40).flat_map(samples).collect();
    let keys: Vec<_> = keys.into_iter().filter(|key| *key != first).collect();
    let files: Vec<_> =
        keys.iter().cloned().zip((0..2_000).step_by(7).cycle().map(|length| pattern(length, 14))).collect();
    for (key, _) in files.iter().step_by(3) {
        ok("put", key, store.put(key, b"to be replaced"))?;
    }
    ok("put many", &first, store.put_many(&files))?;
    ok("put many again", &first, store.put_many(&files))?;
    files.iter().try_for_each(|(key, bytes)| expect_file(store, key, bytes))?;
    let (some, others) = files.split_at(files.len() / 2);
    let going: Vec<_> = some.iter().map(|(key, _)| key.clone()).collect();
    ok("remove many", &first, store.remove_many(&going))?;
    for (key, _) in some {
        expect(ok("size", key, store.size(key))?.is_none(), "remove many", key, "it is still there")?;
    }
    others.iter().try_for_each(|(key, bytes)| expect_file(store, key, bytes))?;
    let twice: Vec<_> = keys.iter().chain(&keys).cloned().collect();
    ok("remove many, some gone and all named twice", &first, store.remove_many(&twice))
}

/// What is kept for deleting is in no listing, and can be given back once.
fn check_reserve(store: &dyn Store) -> Verdict {
    let config = Key::config();
    ok("ask for the room", &config, store.free_bytes())?;
    ok("spend the reserve", &config, store.spend_reserve())?;
    expect(!ok("spend it again", &config, store.spend_reserve())?, "spend the reserve", &config, "twice")?;
    ok("keep a reserve", &config, store.keep_reserve())?;
    ok("keep a reserve that is there", &config, store.keep_reserve())?;
    check_empty(store)
}

/// One key of every shape, of which all but `config` differ for each seed.
fn samples(seed: u8) -> Vec<Key> {
    let id: [u8; 32] = std::array::from_fn(|at| seed.wrapping_mul(29).wrapping_add(u8::try_from(at).unwrap_or(0) * 3));
    let (file, archive) = (FileId::from_bytes(id), ArchiveId::from_bytes(id));
    let session: [u8; 16] = std::array::from_fn(|at| seed ^ u8::try_from(at).unwrap_or(0));
    let mut keys: Vec<_> =
        [Kind::Keys, Kind::Index, Kind::Events, Kind::Gc].into_iter().map(|kind| Key::file(kind, file)).collect();
    keys.extend([Key::config(), Key::pack(PackId::from_bytes(id)), Key::archive(archive)]);
    keys.extend([Key::ok_mark(archive), Key::deleted_mark(archive)]);
    keys.extend([Key::session(&session, 0), Key::session(&session, u64::MAX)]);
    keys
}

/// Bytes in which neighbours, pages and seeds differ.
fn pattern(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed).wrapping_mul(0x9e37_79b9) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn upload(store: &dyn Store, key: &Key, pieces: &[&[u8]]) -> Verdict {
    let mut upload = ok("begin", key, store.begin())?;
    for piece in pieces {
        ok("append", key, upload.append(piece))?;
    }
    ok("finish", key, upload.finish(key))
}

fn expect_file(store: &dyn Store, key: &Key, bytes: &[u8]) -> Verdict {
    expect(ok("size", key, store.size(key))? == Some(bytes.len() as u64), "size", key, "another size than was put")?;
    expect(ok("read", key, store.read(key, bytes.len() as u64))? == bytes, "read", key, "other bytes than were put")?;
    let mut buffer = vec![0; bytes.len()];
    ok("read_at", key, store.read_at(key, 0, &mut buffer))?;
    expect(buffer == bytes, "read_at", key, "other bytes than were put")
}

fn expect_listing(store: &dyn Store, kind: Kind, expected: &BTreeMap<String, u64>) -> Verdict {
    let listed = store.list(kind).map_err(|error| format!("list {}: {error:?}", kind.folder()))?;
    let count = listed.len();
    let listed: BTreeMap<_, _> = listed.into_iter().map(|file| (file.name, file.size)).collect();
    if count == listed.len() && listed == *expected {
        return Ok(());
    }
    Err(format!("list {}: {count} lines, {listed:?} instead of {expected:?}", kind.folder()))
}

fn expect(condition: bool, action: &str, key: &Key, problem: &str) -> Verdict {
    if condition { Ok(()) } else { Err(format!("{action} {key}: {problem}")) }
}

fn expect_kind<T>(action: &str, key: &Key, result: StoreResult<T>, kind: StoreErrorKind) -> Verdict {
    match result {
        Err(error) if error.kind == kind => Ok(()),
        Err(error) => Err(format!("{action} {key}: {error:?} instead of {kind:?}")),
        Ok(_) => Err(format!("{action} {key}: success instead of {kind:?}")),
    }
}

fn ok<T>(action: &str, key: &Key, result: StoreResult<T>) -> Result<T, String> {
    result.map_err(|error| format!("{action} {key}: {error:?}"))
}
