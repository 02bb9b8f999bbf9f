//! What the processes of a search keep to: a variant of the protocol, and what is changed in it.

/// How a commit and an expiry agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// `.ok` is created only if it is absent, and says "ok" or "dropped". For stores that can do that; the code does not use it.
    Mark,
    /// The author of an expiry decides; the writer gives way. What docs/gc.md says and the code does.
    Author,
}

/// A rule left out or changed. The names say what is done instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    // The writer.
    NoCheck,
    CheckOnlyGc,
    CheckGcThenIndex,
    CheckOnlyPacks,
    CheckPacksBeforeGc,
    CheckBeforePending,
    InheritedUnchecked,
    OkOverwrites,
    NoFinalHead,
    NoFinalGc,
    FinalHeadBeforeGc,
    /// A writer that gives way deletes the archive before another one counts.
    GivesWayAtOnce,
    UndeleteRemovesMark,
    // Expiry, purge, marks.
    ExpiryDecidesAlone,
    AnybodyExpires,
    RecordBeforeManifest,
    ExpiryLooksFirst,
    MarkBeforeManifest,
    MarkWithoutHead,
    // The compaction's look.
    ArchivesBeforeRecord,
    ArchivesBeforeGc,
    GcBeforeRecord,
    PacksBeforeGc,
    PacksBeforeIndex,
    NoPacks,
    PendingNoRoot,
    DeletedNoRoot,
    OnlyOwnRecords,
    // What it does then.
    CopyOnlyOwn,
    MissingIgnored,
    CopyNotIndexed,
    OldSegmentsFirst,
    RecordBeforePacks,
    NameFromContent,
    // Pruning.
    PruneUnasked,
    PruneHeadBeforeGc,
    PruneOnlyGc,
    PruneOnlyHead,
    // What makes no difference, and what a writer may do in addition.
    IndexFirst,
    PacksBeforeReindex,
    SegmentNameFromContent,
    CheckReadsIndex,
    WriterLoops,
    /// Inherited subtrees are not checked if the parent's manifest still stands.
    Shortcut,
}

/// What the processes keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) variant: Variant,
    /// A listing begins and ends, and what appears or goes in between may or may not be in it.
    pub(crate) paged: bool,
    changes: u64,
}

impl Rules {
    pub(crate) const fn new(variant: Variant) -> Self {
        Self { variant, paged: false, changes: 0 }
    }

    pub(crate) const fn paged(self) -> Self {
        Self { paged: true, ..self }
    }

    pub(crate) const fn atomic(self) -> Self {
        Self { paged: false, ..self }
    }

    pub(crate) const fn with(self, change: Change) -> Self {
        Self { changes: self.changes | 1 << change as u32, ..self }
    }

    pub(crate) const fn has(&self, change: Change) -> bool {
        self.changes & 1 << change as u32 != 0
    }

    /// Nothing is changed: what exists no more can be forgotten wherever a later listing of `packs/` will say so.
    pub(crate) const fn are_whole(&self) -> bool {
        self.changes == 0
    }

    /// Whether these are the rules of docs/gc.md, and so those of the table of steps.
    pub(crate) fn are_those_of_the_code(&self) -> bool {
        self.variant == Variant::Author && self.changes & !(1 << Change::PacksBeforeReindex as u32) == 0
    }
}
