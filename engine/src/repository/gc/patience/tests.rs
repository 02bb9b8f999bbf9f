//! Every row of the table of docs/gc.md §5, and what is read of sessions.

use std::sync::Arc;

use super::*;
use crate::format::config::Profile;
use crate::format::file::{FileCipher, seal_file};
use crate::format::manifest::{Manifest, Statistics};
use crate::id::{ArchiveId, ObjectId, PackId};
use crate::meta::{Attributes, Node, NodeKind};
use crate::process::ProcessId;
use crate::repository::{InitOptions, OpenOptions, Repository, Secret};
use crate::store::{Fault, FaultyStore, MemoryStore, Store};

const HOST: [u8; 16] = [1; 16];
const SESSION: SessionId = [0xaa; 16];
const DAY: i64 = 24 * 60 * 60;
const GRACE: Duration = Duration::from_hours(7 * 24);

fn open(store: &Arc<dyn Store>) -> Repository {
    let secret = || Secret::KeyFile(b"0123456789abcdef0123456789abcdef".to_vec().into());
    if store.list(Kind::Config).unwrap().is_empty() {
        let (slot_name, profile) = ("test".to_owned(), Profile::default());
        let options = InitOptions { encrypted: true, secret: Some(secret()), slot_name, like: None, profile };
        Repository::init(store.as_ref(), &options).unwrap();
    }
    let options = OpenOptions { secrets: vec![secret()], host_id: HOST, ..OpenOptions::default() };
    Repository::open(Arc::clone(store), options).unwrap()
}

fn repository() -> Repository {
    open(&(Arc::new(MemoryStore::new()) as Arc<dyn Store>))
}

fn ago(seconds: i64) -> Timestamp {
    let now = clock::now();
    Timestamp { seconds: now.seconds - seconds, ..now }
}

/// A session of another machine that makes the archive `host/name`, and has just begun.
fn record() -> SessionRecord {
    let (start, process) = (ago(100), ProcessId::default());
    SessionRecord { host_id: [2; 16], verb: Verb::Create, start, time: start, series: "host/name".to_owned(), process }
}

fn put(core: &Core, session: &SessionId, number: u64, record: &SessionRecord) -> Key {
    let bytes = seal_file(&core.ring, Class::Session, *session, &record.encode()).unwrap();
    let key = Key::session(session, number);
    core.store.put(&key, &bytes).unwrap();
    key
}

fn archive(host_id: [u8; 16], series: &str, start: Timestamp) -> Archive {
    let (host, name) = series.split_once('/').unwrap();
    let root = Node {
        name: Vec::new(),
        implied: true,
        changed: false,
        missing: false,
        attributes: Attributes::default(),
        kind: NodeKind::Directory { tree: ObjectId::zero() },
    };
    let manifest = Manifest {
        root,
        root_xattrs: None,
        root_stamps: ObjectId::zero(),
        repository: crate::id::RepositoryId::from_bytes([0; 32]),
        host: host.to_owned(),
        name: name.to_owned(),
        host_id,
        sequence: 1,
        previous: None,
        parent: None,
        time: start,
        start,
        end: start,
        utc_offset_seconds: 0,
        user: String::new(),
        comment: String::new(),
        program: String::new(),
        paths: Vec::new(),
        statistics: Statistics::default(),
        warnings: ObjectId::zero(),
        segments: Vec::new(),
    };
    Archive { id: ArchiveId::from_bytes([9; 32]), manifest }
}

/// Whether a session with this one file is spared, and whether the file is to go.
fn judge(record: &SessionRecord, archives: &[Archive], grace: Duration) -> (bool, bool) {
    let repository = repository();
    let core = repository.core();
    let key = put(core, &SESSION, 1, record);
    let patience = Patience::read(core, archives, grace).unwrap();
    assert!(patience.spares(&core.session), "our own, always");
    assert!(!patience.spares(&[0xbb; 16]), "a session without a file");
    assert!(patience.stale_files().is_empty() || patience.stale_files() == [key]);
    (patience.spares(&SESSION), !patience.stale_files().is_empty())
}

const SPARED: (bool, bool) = (true, false);
const NEITHER: (bool, bool) = (false, false);
const STALE: (bool, bool) = (false, true);

fn running() -> SessionRecord {
    SessionRecord { host_id: HOST, process: ProcessId::own(), ..record() }
}

fn dead() -> SessionRecord {
    let own = ProcessId::own();
    SessionRecord { process: ProcessId { started: own.started + 1, ..own }, ..running() }
}

fn old(record: SessionRecord) -> SessionRecord {
    SessionRecord { time: ago(8 * DAY), start: ago(9 * DAY), ..record }
}

fn successor(record: &SessionRecord) -> Vec<Archive> {
    vec![archive(record.host_id, &record.series, ago(10))]
}

#[test]
fn without_grace_nobody_is_spared() {
    assert_eq!(judge(&running(), &[], Duration::ZERO), NEITHER);
    assert_eq!(judge(&dead(), &[], Duration::ZERO), STALE);
    assert_eq!(judge(&record(), &[], Duration::ZERO), STALE);
}

#[test]
fn whose_process_runs_is_spared_though_old_and_superseded() {
    assert_eq!(judge(&running(), &[], GRACE), SPARED);
    assert_eq!(judge(&running(), &successor(&running()), GRACE), SPARED);
    assert_eq!(judge(&old(running()), &successor(&running()), GRACE), SPARED);
    let elsewhere = SessionRecord { host_id: [2; 16], ..old(running()) };
    assert_eq!(judge(&elsewhere, &[], GRACE), STALE, "a number of a process says nothing of another machine");
}

#[test]
fn who_may_be_alive_is_spared_within_the_grace_before_and_after_now() {
    assert_eq!(judge(&record(), &[], GRACE), SPARED);
    let put = |time| SessionRecord { time, ..record() };
    assert_eq!(judge(&put(ago(6 * DAY)), &[], GRACE), SPARED);
    assert_eq!(judge(&put(ago(-6 * DAY)), &[], GRACE), SPARED, "its clock is ahead, or ours behind");
    assert_eq!(judge(&put(ago(8 * DAY)), &[], GRACE), STALE);
    assert_eq!(judge(&put(ago(-8 * DAY)), &[], GRACE), STALE);
    for seconds in [i64::MIN, i64::MAX] {
        assert_eq!(judge(&put(Timestamp { seconds, nanoseconds: 0 }), &[], GRACE), STALE);
    }
}

#[test]
fn who_is_superseded_and_not_known_to_run_is_not_spared() {
    assert_eq!(judge(&record(), &successor(&record()), GRACE), NEITHER, "perhaps it still runs: its file stays");
    assert_eq!(judge(&dead(), &successor(&dead()), GRACE), STALE);
}

#[test]
fn who_is_dead_is_spared_within_the_grace_because_it_may_be_repeated() {
    assert_eq!(judge(&dead(), &[], GRACE), SPARED);
    assert_eq!(judge(&old(dead()), &[], GRACE), STALE);
}

#[test]
fn a_dead_run_that_made_no_archive_is_never_repeated() {
    let compaction = SessionRecord { verb: Verb::Compact, series: String::new(), ..dead() };
    assert_eq!(judge(&compaction, &[], GRACE), STALE);
    let elsewhere = SessionRecord { host_id: [2; 16], ..compaction };
    assert_eq!(judge(&elsewhere, &[], GRACE), SPARED, "perhaps it is alive");
}

#[test]
fn only_a_later_archive_of_the_same_host_and_series_supersedes() {
    let session = dead();
    let others = [
        archive([3; 16], "host/name", ago(10)),
        archive(HOST, "host/other", ago(10)),
        archive(HOST, "other/name", ago(10)),
        archive(HOST, "host/name", ago(200)),
        archive(HOST, "host/name", session.start),
    ];
    assert_eq!(judge(&session, &others, GRACE), SPARED);
    let later = [&others[..], &successor(&session), &others[..]].concat();
    assert_eq!(judge(&session, &later, GRACE), STALE);
    let without = SessionRecord { host_id: [2; 16], series: String::new(), ..session };
    assert_eq!(
        judge(&without, &[archive([2; 16], "/", ago(10))], GRACE),
        SPARED,
        "who makes no archive has no successor"
    );
}

#[test]
fn of_several_files_the_newest_time_counts_and_the_series_of_any() {
    let repository = repository();
    let core = repository.core();
    let rescue = SessionRecord { series: String::new(), start: ago(5), time: ago(5), ..dead() };
    let files = [put(core, &SESSION, 1, &old(dead())), put(core, &SESSION, 2, &rescue)];
    assert!(Patience::read(core, &[], GRACE).unwrap().spares(&SESSION));
    let patience = Patience::read(core, &successor(&dead()), GRACE).unwrap();
    assert!(!patience.spares(&SESSION));
    let mut stale = patience.stale_files().to_vec();
    stale.sort();
    assert_eq!(stale, files);
}

#[test]
fn a_file_that_cannot_be_opened_spares_nothing_and_hinders_nobody() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    let repository = open(&(Arc::new(store.clone()) as Arc<dyn Store>));
    let core = repository.core();
    let good = put(core, &SESSION, 1, &record());
    let bytes = core.store.read(&good, 1 << 20).unwrap();
    let put_raw = |session: [u8; 16], bytes: &[u8]| core.store.put(&Key::session(&session, 1), bytes).unwrap();
    put_raw([1; 16], &bytes);
    put_raw([2; 16], b"");
    put_raw([3; 16], &bytes[..200]);
    put_raw([4; 16], &seal_file(&core.ring, Class::Session, [4; 16], b"no record").unwrap());
    put_raw([5; 16], &seal_file(&core.ring, Class::Gc, [5; 16], &record().encode()).unwrap());
    core.store.put(&Key::listed(Kind::Sessions, "notes"), b"").unwrap();
    let patience = Patience::read(core, &[], GRACE).unwrap();
    assert!(patience.spares(&SESSION));
    assert!((1..=5).all(|n| !patience.spares(&[n; 16])) && patience.stale_files().is_empty());

    store.inject(Fault::crash(1));
    assert!(!Patience::read(core, &[], GRACE).unwrap().spares(&SESSION), "none could be read");
    assert!(Patience::read(core, &[], GRACE).is_err(), "but a listing must succeed");
}

#[test]
fn our_own_files_are_never_stale() {
    let repository = repository();
    let core = repository.core();
    put(core, &core.session, 1, &old(dead()));
    let patience = Patience::read(core, &successor(&dead()), Duration::ZERO).unwrap();
    assert!(patience.spares(&core.session) && patience.stale_files().is_empty());
}

#[test]
fn who_put_a_pack_or_a_manifest_stands_in_its_header() {
    let repository = repository();
    let core = repository.core();
    let (id, _) = core.put_sealed(Kind::Archives, Class::Root, b"payload").unwrap();
    let manifest = Key::file(Kind::Archives, id);
    assert_eq!(session_of(core, &manifest).unwrap(), Some(core.session));
    for class in [Class::Data, Class::Meta] {
        let pack = Key::pack(PackId::from_bytes([class.number(); 32]));
        let header = FileCipher::create(&core.ring, class, SESSION).unwrap();
        core.store.put(&pack, header.header()).unwrap();
        assert_eq!(session_of(core, &pack).unwrap(), Some(SESSION));
        core.store.put(&pack, &header.header()[..127]).unwrap();
        assert_eq!(session_of(core, &pack).unwrap(), None);
        core.store.put(&pack, &[class.number(); 128]).unwrap();
        assert_eq!(session_of(core, &pack).unwrap(), None);
    }
    assert_eq!(session_of(core, &Key::pack(PackId::from_bytes([7; 32]))).unwrap(), None);
}
