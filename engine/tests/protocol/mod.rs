//! The steps of docs/gc.md by name, what each may do to the store, and which may follow which.
//!
//! The model (`engine/tests/it/model`) and the simulation of the real code share this table and nothing else. The model asserts that its
//! processes keep to it and that every pair that it allows occurs; the simulation asserts that the code keeps to it. So the code does nothing
//! whose order was not searched.

use Place::{DeletedMark, Manifest, OkMark, Pack, Record, Segment};
use Step::{
    Abandon, Adopt, CheckGc, CheckPacks, Condemn, ConfirmGc, ConfirmManifest, CopyPack, CopyRead, CopySegment, Delete,
    DeleteLook, DropPack, DropRecord, ExpireForget, ExpireLook, ExpireManifest, ExpireRecord, GiveWay, Index,
    LookArchives, LookGc, LookIndex, LookPacks, Ok, Open, Pending, PreparePack, PrepareSegment, PruneDelete, PruneGc,
    PruneLook, PruneManifest, Purge, PurgeLook, ReadLook, ReadPack, ReindexPut, ReindexRead, ReindexRemove, Report,
    RescueGc, RescueIndex, RescuePacks, RescueRead, RescueSegment, RescueUpload, Supersede, Survey, TidyLook,
    TidyManifest, TidyMark, Upload,
};
use Verb::{Inspect, List, Put, Read, Remove};

/// What a call does to one name or to one folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// A file appears.
    Put,
    /// Names are listed.
    List,
    /// Bytes of a file.
    Read,
    /// Whether a file exists, or its size.
    Inspect,
    /// A file goes.
    Remove,
}

/// What kind of file a call is about. Everything else (`config`, `keys/`, `sessions/`, `tmp/`, `events/`) is not part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// `packs/`
    Pack,
    /// `index/`
    Segment,
    /// `archives/<id>`; also the listing of `archives/`, which shows marks too.
    Manifest,
    /// `archives/<id>.ok`
    OkMark,
    /// `archives/<id>.del`
    DeletedMark,
    /// `gc/`
    Record,
}

/// Who takes steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// `create`, `undelete`.
    Writer,
    /// `compact`.
    Compaction,
    /// `prune`, until it compacts.
    Prune,
    /// `delete`.
    Delete,
    /// `restore`, `list`, `check` and all else that only reads.
    Reader,
}

/// One step, named as in docs/gc.md, section 2. A step is one operation of the store, or several of the same kind in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    // The writer.
    /// *upload*: whatever is read before the manifest is put, at any time. Nothing depends on it.
    Open,
    /// *upload*: a pack is put.
    Upload,
    /// *index*: a segment that names packs which are durable.
    Index,
    /// *pending*: the manifest.
    Pending,
    /// *check*: `gc/` is listed and read.
    CheckGc,
    /// *check*: then `packs/` is listed.
    CheckPacks,
    /// *rescue*: a fresh look at `gc/`,
    RescueGc,
    /// *rescue*: at `index/`,
    RescueIndex,
    /// *rescue*: and at `packs/`.
    RescuePacks,
    /// *rescue*: what has no good copy is read from any pack that stands.
    RescueRead,
    /// *rescue*: and put into a new pack,
    RescueUpload,
    /// *rescue*: which is indexed.
    RescueSegment,
    /// *rescue*: it can be read nowhere: the manifest, which has no mark, is removed.
    Abandon,
    /// *ok*: the mark.
    Ok,
    /// *confirm*: `gc/` is listed and read.
    ConfirmGc,
    /// *confirm*: then the manifest is asked for.
    ConfirmManifest,
    /// *confirm*: the manifest has gone: one's own `.ok` is removed.
    GiveWay,
    /// *confirm*: this archive counts: `.del` is put beside those of earlier attempts that were named.
    Supersede,

    // The compaction.
    /// *purge*: what a run reads at its beginning: above all, the archives and their marks.
    PurgeLook,
    /// *purge*: the manifest of a deleted archive is removed.
    Purge,
    /// *expire*: a record that names pending archives.
    ExpireRecord,
    /// *expire*: its author, after it, asks for the `.ok` of each of them,
    ExpireLook,
    /// *expire*: and removes its manifest if there is none;
    ExpireManifest,
    /// *expire*: then the record.
    ExpireForget,
    /// *condemn*: whatever is read to choose the packs. Nothing depends on it.
    Survey,
    /// *prepare*: what lives in packs that are to be condemned, in a new pack. Nothing depends on it.
    PreparePack,
    /// *prepare*: the segment that names it.
    PrepareSegment,
    /// *condemn*: a record that names packs.
    Condemn,
    /// *look*: `gc/` is listed and read,
    LookGc,
    /// *look*: then `archives/`,
    LookArchives,
    /// *look*: then `index/`,
    LookIndex,
    /// *look*: then `packs/` is listed.
    LookPacks,
    /// *copy*: packs are read, to follow references and to copy, and whatever says where else a copy might be.
    CopyRead,
    /// *look*: something seems to be missing: packs that no segment names get one, before another look.
    Adopt,
    /// *copy*: a new pack.
    CopyPack,
    /// *copy*: the segment that names new packs.
    CopySegment,
    /// *reindex*: the segments that are to be replaced are read; one that is gone was replaced by somebody else.
    ReindexRead,
    /// *reindex*: new segments.
    ReindexPut,
    /// *reindex*: then the ones that they replace are removed.
    ReindexRemove,
    /// *drop*: a condemned pack is removed.
    DropPack,
    /// *drop*: then, when all of them are gone, the records.
    DropRecord,
    /// *tidy*: the archives are listed.
    TidyLook,
    /// *tidy*: the manifest of a mark that stands alone is asked for.
    TidyManifest,
    /// *tidy*: the mark is removed.
    TidyMark,
    /// What is read at the end, for the report.
    Report,

    // Pruning, deleting, reading.
    /// What `prune` reads to decide.
    PruneLook,
    /// Then it lists and reads `gc/`,
    PruneGc,
    /// then asks for the manifests of those that it keeps,
    PruneManifest,
    /// then puts `.del` marks.
    PruneDelete,
    /// What `delete` reads.
    DeleteLook,
    /// A `.del` mark.
    Delete,
    /// A reader's look.
    ReadLook,
    /// A reader's read of a pack.
    ReadPack,
}

const READS: &[(Verb, Place)] = &[
    (List, Pack),
    (List, Segment),
    (List, Manifest),
    (List, Record),
    (Read, Pack),
    (Read, Segment),
    (Read, Manifest),
    (Read, OkMark),
    (Read, DeletedMark),
    (Read, Record),
    (Inspect, Pack),
    (Inspect, Segment),
    (Inspect, Manifest),
    (Inspect, OkMark),
    (Inspect, DeletedMark),
    (Inspect, Record),
];
const GC: &[(Verb, Place)] = &[(List, Record), (Read, Record)];
const ARCHIVES: &[(Verb, Place)] =
    &[(List, Manifest), (Read, Manifest), (Read, OkMark), (Read, DeletedMark), (Inspect, OkMark)];
const INDEX: &[(Verb, Place)] = &[(List, Segment), (Read, Segment)];
/// What no segment names is read to learn what is in it.
const PACKS: &[(Verb, Place)] = &[(List, Pack), (Read, Pack)];

/// Where a copy is read from decides nothing: its id is computed.
const COPIES: &[(Verb, Place)] =
    &[(Read, Pack), (Inspect, Pack), (List, Record), (Read, Record), (List, Segment), (Read, Segment), (List, Pack)];

impl Step {
    /// What a step may do to the store.
    pub(crate) fn operations(self) -> &'static [(Verb, Place)] {
        match self {
            Open | PurgeLook | Survey | Report | PruneLook | DeleteLook | ReadLook => READS,
            CheckGc | RescueGc | ConfirmGc | LookGc | PruneGc => GC,
            LookArchives | TidyLook => ARCHIVES,
            ExpireLook => &[(Inspect, OkMark)],
            RescueIndex | LookIndex => INDEX,
            RescuePacks | LookPacks => PACKS,
            CheckPacks => &[(List, Pack)],
            RescueRead | ReadPack => &[(Read, Pack), (Inspect, Pack)],
            CopyRead => COPIES,
            Upload | RescueUpload | PreparePack | CopyPack => &[(Put, Pack)],
            ReindexRead => &[(Read, Segment)],
            Index | RescueSegment | Adopt | PrepareSegment | CopySegment | ReindexPut => &[(Put, Segment)],
            Pending => &[(Put, Manifest)],
            Abandon | Purge | ExpireManifest => &[(Remove, Manifest)],
            Ok => &[(Put, OkMark)],
            ConfirmManifest | TidyManifest | PruneManifest => &[(Inspect, Manifest)],
            GiveWay => &[(Remove, OkMark)],
            ExpireRecord | Condemn => &[(Put, Record)],
            ExpireForget | DropRecord => &[(Remove, Record)],
            ReindexRemove => &[(Remove, Segment)],
            DropPack => &[(Remove, Pack)],
            TidyMark => &[(Remove, OkMark), (Remove, DeletedMark)],
            Supersede | PruneDelete | Delete => &[(Put, DeletedMark)],
        }
    }

    /// Whose step it is.
    pub(crate) fn role(self) -> Role {
        match self {
            _ if self <= Supersede => Role::Writer,
            _ if self <= Report => Role::Compaction,
            _ if self <= PruneDelete => Role::Prune,
            _ if self <= Delete => Role::Delete,
            _ => Role::Reader,
        }
    }

    /// Whether the step may consist of several operations in a row.
    fn repeats(self) -> bool {
        !matches!(self, Pending | Abandon | Ok | ConfirmManifest | ExpireRecord | ExpireForget)
    }
}

const BEGIN: &[Step] = &[PurgeLook];
/// What follows a round of a compaction.
const ROUND: &[Step] = &[Survey, Condemn, TidyLook];

/// Every step that may follow a step, itself left out.
fn followers(role: Role, previous: Option<Step>) -> Vec<&'static [Step]> {
    let Some(previous) = previous else {
        return vec![match role {
            Role::Writer => &[Open],
            Role::Compaction => BEGIN,
            Role::Prune => &[PruneLook],
            Role::Delete => &[DeleteLook],
            Role::Reader => &[ReadLook],
        }];
    };
    match previous {
        Open | Upload | Index => vec![match previous {
            Open => &[Upload, Index, Pending],
            Upload => &[Open, Index],
            _ => &[Open, Upload, Pending],
        }],
        Pending => vec![&[CheckGc]],
        CheckGc => vec![&[CheckPacks]],
        CheckPacks => vec![&[RescueGc, Ok]],
        RescueGc => vec![&[RescueIndex]],
        RescueIndex => vec![&[RescuePacks]],
        RescuePacks => vec![&[RescueGc, RescueRead, Abandon, Ok]],
        RescueRead => vec![&[RescueGc, RescueUpload, RescueSegment, Abandon]],
        RescueUpload => vec![&[RescueRead, RescueSegment]],
        RescueSegment => vec![&[RescueRead, RescueUpload, Ok]],
        Ok => vec![&[ConfirmGc]],
        ConfirmGc => vec![&[ConfirmManifest]],
        ConfirmManifest => vec![&[Open, GiveWay, Supersede]],
        Abandon | GiveWay => vec![&[Open]],

        PurgeLook => vec![&[Purge, ExpireRecord, LookGc], ROUND],
        Purge => vec![&[ExpireRecord, LookGc], ROUND],
        ExpireRecord => vec![&[ExpireLook]],
        ExpireLook => vec![&[ExpireManifest, ExpireForget]],
        ExpireManifest => vec![&[ExpireLook, ExpireForget]],
        ExpireForget => vec![&[LookGc], ROUND],
        Survey => vec![&[Adopt, PreparePack, LookGc, Condemn, TidyLook]],
        PreparePack => vec![&[Survey, PrepareSegment, Condemn]],
        PrepareSegment => vec![&[Survey, PreparePack, Condemn]],
        Adopt => vec![&[Survey, LookGc]],
        Condemn => vec![&[LookGc]],
        LookGc => vec![&[LookArchives]],
        LookArchives => vec![&[LookIndex]],
        LookIndex => vec![&[LookPacks]],
        LookPacks => vec![&[CopyRead, ReindexRead, DropPack, DropRecord], ROUND],
        CopyRead => vec![&[LookGc, Adopt, CopyPack, CopySegment, ReindexRead, DropPack, DropRecord], ROUND],
        CopyPack => vec![&[CopyRead, CopySegment]],
        CopySegment => vec![&[LookGc, CopyRead, CopyPack, ReindexRead, DropPack]],
        ReindexRead => vec![&[ReindexPut, ReindexRemove, DropPack]],
        // On a full disk the packs go first.
        ReindexPut => vec![&[ReindexRead, ReindexRemove, DropPack]],
        ReindexRemove => vec![&[DropPack, DropRecord], ROUND],
        DropPack => vec![&[ReindexRead, DropRecord]],
        DropRecord => vec![ROUND],
        TidyLook | TidyMark => vec![&[TidyManifest, Report]],
        TidyManifest => vec![&[TidyMark, Report]],

        PruneLook => vec![&[PruneGc]],
        // What was to be kept is gone or named: the rules are applied again.
        PruneGc => vec![&[PruneLook, PruneManifest]],
        PruneManifest => vec![&[PruneLook, PruneDelete]],
        DeleteLook => vec![&[Delete]],
        ReadLook => vec![&[ReadPack]],
        ReadPack => vec![&[ReadLook]],
        Supersede | Report | PruneDelete | Delete => vec![],
    }
}

/// Whether a process may take a step after another; `None` before its first. Any process may end after any step: it was killed.
pub(crate) fn may_follow(role: Role, previous: Option<Step>, next: Step) -> bool {
    let again = previous == Some(next) && next.repeats();
    next.role() == role && (again || followers(role, previous).iter().any(|allowed| allowed.contains(&next)))
}

/// Follows what a process does to the store, of which several steps may be possible explanations.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    role: Role,
    /// What the last step may have been.
    possible: Vec<Option<Step>>,
}

impl Follower {
    /// Before the first step.
    pub(crate) fn new(role: Role) -> Self {
        Self { role, possible: vec![None] }
    }

    /// The next operation. What the step may have been; none: the process has left the protocol.
    pub(crate) fn take(&mut self, verb: Verb, place: Place) -> &[Option<Step>] {
        let steps = STEPS.iter().filter(|step| step.operations().contains(&(verb, place)));
        self.possible = steps
            .filter(|step| self.possible.iter().any(|previous| may_follow(self.role, *previous, **step)))
            .map(|step| Some(*step))
            .collect();
        &self.possible
    }

    /// Whether the process may end here and say that it succeeded.
    pub(crate) fn may_succeed(&self) -> bool {
        let last = [ConfirmManifest, Supersede];
        self.role != Role::Writer || self.possible.iter().flatten().any(|step| last.contains(step))
    }
}

/// Every step.
pub(crate) const STEPS: &[Step] = &[
    Open,
    Upload,
    Index,
    Pending,
    CheckGc,
    CheckPacks,
    RescueGc,
    RescueIndex,
    RescuePacks,
    RescueRead,
    RescueUpload,
    RescueSegment,
    Abandon,
    Ok,
    ConfirmGc,
    ConfirmManifest,
    GiveWay,
    Supersede,
    PurgeLook,
    Purge,
    ExpireRecord,
    ExpireLook,
    ExpireManifest,
    ExpireForget,
    Survey,
    PreparePack,
    PrepareSegment,
    Condemn,
    LookGc,
    LookArchives,
    LookIndex,
    LookPacks,
    CopyRead,
    Adopt,
    CopyPack,
    CopySegment,
    ReindexRead,
    ReindexPut,
    ReindexRemove,
    DropPack,
    DropRecord,
    TidyLook,
    TidyManifest,
    TidyMark,
    Report,
    PruneLook,
    PruneGc,
    PruneManifest,
    PruneDelete,
    DeleteLook,
    Delete,
    ReadLook,
    ReadPack,
];

#[test]
fn the_follower_knows_a_create_and_an_order_that_is_none() {
    let mut good = Follower::new(Role::Writer);
    let create = [
        (List, Segment),
        (Put, Pack),
        (Put, Segment),
        (Put, Manifest),
        (List, Record),
        (List, Pack),
        (Put, OkMark),
        (List, Record),
    ];
    for (verb, place) in create {
        assert!(!good.take(verb, place).is_empty(), "{verb:?} {place:?}");
        assert!(!good.may_succeed());
    }
    assert_eq!(good.take(Inspect, Manifest), [Some(ConfirmManifest)]);
    assert!(good.may_succeed());

    let mut bad = Follower::new(Role::Writer);
    for (verb, place) in create.iter().take(4) {
        bad.take(*verb, *place);
    }
    assert!(bad.take(List, Pack).is_empty(), "packs/ before gc/");
}
