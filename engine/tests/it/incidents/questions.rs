//! Commands whose store fails once: none passes over it.

use vault_engine::ops::archives::{self, Selector, Wanted};
use vault_engine::ops::create::{CreateOptions, create};
use vault_engine::ops::delete::{DeleteOptions, delete};
use vault_engine::ops::protect::protect;
use vault_engine::ops::prune::prune;
use vault_engine::ops::repair::{RepairOptions, repair};
use vault_engine::ops::undelete::undelete;
use vault_engine::store::{Operation, Verb};

use super::*;
use crate::deletion::keep_last;

/// Three archives of a small source, the first of which is deleted.
struct Scene {
    world: World,
    deleted: ArchiveId,
    newest: ArchiveId,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        for number in 0..4 {
            world.write(&format!("file {number}"), noise(number, 3000));
        }
        let deleted = world.archive();
        let mut newest = deleted;
        for night in 0..2 {
            world.write("changes", noise(10 + night, 3000));
            newest = world.archive();
        }
        world.delete(deleted);
        world.write("changes", noise(20, 3000));
        Self { world, deleted, newest }
    }
}

fn by_id(id: ArchiveId) -> Vec<Wanted> {
    vec![Wanted { text: format!("aid:{id}"), selector: Selector::Id(id.to_hex()) }]
}

/// A command, which says whether it found all as it should be, and which operations may fail without that being told.
type Command = (&'static str, fn(&Repository, &Scene) -> Result<bool>, fn(&Failed) -> bool);

/// An operation that failed.
struct Failed {
    operation: Operation,
    /// The same was asked of the same file once more.
    again: bool,
}

/// A session's file decides nothing: one that stays, or that cannot be read, costs patience.
fn is_of_a_session(Failed { operation, .. }: &Failed) -> bool {
    operation.key.starts_with("sessions/") && [Verb::Remove, Verb::Read].contains(&operation.verb)
}

const COMMANDS: [Command; 9] = [
    ("list", |repository, _| archives::list(repository, &Silent).map(|_| true), |_| false),
    ("create", creates, is_of_a_session),
    (
        "restore",
        |repository, scene| {
            let archive = repository.archive(scene.newest)?.unwrap();
            let target = TempDir::new().unwrap();
            sample::try_restore(repository, &archive, target.path()).map(|(restored, _)| restored.damaged == 0)
        },
        // Another copy is looked for; where there is none, the files are named (`a_read_that_fails_is_never_taken_for_an_answer`).
        |failed| failed.operation.key.starts_with("packs/"),
    ),
    (
        "check",
        |repository, _| {
            let report = check(repository, CheckOptions { read_data: true, jobs: Some(1) }, &Silent)?;
            Ok(report.findings.is_empty())
        },
        // Segments and metadata are read for the packs' sake and for the archives'; what is read once more and is whole then is whole.
        |Failed { operation, again }| {
            *again && ["index/", "packs/"].iter().any(|folder| operation.key.starts_with(folder))
        },
    ),
    ("prune", |repository, _| prune(repository, &keep_last(1), &Silent).map(|_| true), |_| false),
    (
        "delete",
        |repository, scene| {
            let options = DeleteOptions { archives: by_id(scene.newest), ..DeleteOptions::default() };
            delete(repository, &options, &Silent).map(|_| true)
        },
        |_| false,
    ),
    (
        "undelete",
        |repository, scene| Ok(undelete(repository, &by_id(scene.deleted), &Silent)?[0].archive.is_some()),
        is_of_a_session,
    ),
    ("protect", |repository, scene| protect(repository, &by_id(scene.newest), &Silent).map(|_| true), |_| false),
    (
        "compact",
        |repository, _| compact(repository, &CompactOptions { jobs: Some(1), ..THOROUGH }, &Silent).map(|_| true),
        // What does not open with its neighbours is asked for once more, from every copy.
        |failed| is_of_a_session(failed) || failed.again && failed.operation.key.starts_with("packs/"),
    ),
];

fn creates(repository: &Repository, scene: &Scene) -> Result<bool> {
    let heard = sample::Heard::default();
    let options = CreateOptions { jobs: Some(1), ..sample::options(&[&scene.world.source()]) };
    let created = create(repository, &options, None, &heard);
    // What the repository could not do is never said of a file.
    assert_eq!(heard.warnings(), [] as [String; 0]);
    created.map(|created| created.archive.is_some())
}

/// Runs a command once for each of its operations, which fails; `judge` gets what it left, which operation failed, and how it ended.
fn fails_at_each(
    scene: &Scene,
    (name, run, _): Command,
    mode: FaultMode,
    mut judge: impl FnMut(&MemoryStore, Failed, Result<bool>),
) {
    for at in 0.. {
        let store = scene.world.copy();
        let faulty = FaultyStore::new(Arc::new(store.clone()));
        let repository = sample::open(faulty.clone());
        faulty.take_operations();
        let (then, kind) = (FaultThen::Once, StoreErrorKind::Other);
        faulty.inject(Fault { only: None, at, mode, then, kind });
        let done = run(&repository, scene);
        drop(repository);
        let operations = faulty.take_operations();
        let Some((operation, later)) =
            operations.get(usize::try_from(at).unwrap()..).and_then(|rest| rest.split_first())
        else {
            assert!(done.unwrap_or_else(|error| panic!("{name}, undisturbed: {error}")), "{name}");
            assert!(at > 3, "{name}: {at} operations");
            return;
        };
        let failed = Failed { operation: operation.clone(), again: later.contains(operation) };
        judge(&store, failed, done);
    }
}

#[track_caller]
fn assert_told(mode: FaultMode) {
    let scene = Scene::new();
    let mut silent = Vec::new();
    for command in COMMANDS {
        let (name, _, may_fail) = command;
        fails_at_each(&scene, command, mode, |_, failed, done| match done {
            Err(Error::Store(error)) if error.kind == StoreErrorKind::Other => {}
            Ok(false) => {}
            Ok(true) if may_fail(&failed) => {}
            other => silent.push(format!("{name}: {} failed, and it ended with {other:?}", failed.operation)),
        });
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn no_command_passes_over_what_its_store_did_not_do() {
    assert_told(FaultMode::Before);
}

#[test]
fn no_command_passes_over_an_answer_that_was_lost() {
    assert_told(FaultMode::After);
}

#[test]
fn a_repair_sets_nothing_aside_that_it_could_not_read() {
    let scene = Scene::new();
    let segment = compact::names(&scene.world.store, Kind::Index).pop_first().unwrap();
    scene.world.store.corrupt(&Key::listed(Kind::Index, &segment), |bytes| bytes[200] ^= 1);
    let damaged: BTreeSet<String> = [format!("index-{segment}")].into();
    let keys = compact::names(&scene.world.store, Kind::Keys);
    let repairs: Command = (
        "repair",
        |repository, _| {
            let options = RepairOptions { from: None, dry_run: false, jobs: Some(1) };
            repair(repository, options, &Silent).map(|_| true)
        },
        |_| false,
    );
    fails_at_each(&scene, repairs, FaultMode::Before, |store, failed, done| {
        let failed = failed.operation;
        let aside = compact::names(store, Kind::Quarantine);
        assert!(aside.is_subset(&damaged), "{failed} failed, and these were set aside: {aside:?}");
        assert_eq!(compact::names(store, Kind::Keys), keys, "{failed} failed");
        compact::assert_restores(store, None, &scene.world.kept, &scene.world.source());
        assert!(matches!(done, Ok(_) | Err(Error::Store(_))), "{failed} failed: {done:?}");
    });
}

/// A restore of packs that are damaged in any way ends, and asks no more often than one that looks for each file once more.
#[test]
fn a_restore_of_damaged_packs_ends_after_few_questions() {
    let mut world = World::new();
    for number in 0..12 {
        world.write(&format!("file {number}"), noise(number, 300_000));
    }
    let id = world.archive();
    let damages: [fn(&mut Vec<u8>); 6] = [
        Vec::clear,
        |bytes| bytes.truncate(100),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.fill(0),
        |bytes| bytes.iter_mut().skip(128).step_by(1000).for_each(|byte| *byte ^= 1),
        |bytes| bytes.extend_from_within(..),
    ];
    let asked = |store: &MemoryStore| {
        let faulty = FaultyStore::new(Arc::new(store.clone()));
        let repository = sample::open(faulty.clone());
        let archive = repository.archive(id).unwrap().unwrap();
        let target = TempDir::new().unwrap();
        let restored = sample::try_restore(&repository, &archive, target.path()).map(|(restored, _)| restored.damaged);
        for (path, bytes) in sample::files(&sample::inside(target.path(), &world.source())) {
            assert!(world.kept[&id][&path] == bytes, "{}", path.display());
        }
        (faulty.take_operations().len(), restored)
    };
    let (undisturbed, _) = asked(&world.store);
    for pack in compact::packs(&world.store) {
        for (number, damage) in damages.iter().enumerate() {
            let store = world.copy();
            store.corrupt(&Key::pack(pack), damage);
            let (questions, restored) = asked(&store);
            assert!(!matches!(restored, Ok(0)), "damage {number} of {pack} was not told");
            assert!(questions < 10 * (undisturbed + 12), "damage {number}: {questions} questions, not {undisturbed}");
        }
    }
}
