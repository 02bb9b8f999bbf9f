//! A store, the processes that use it, and what a judge remembers: one state of the search.
//!
//! Packs, segments and records are numbered places; a set of them is a `u16`. A name that was removed never comes back, so the number of a
//! pack that nobody remembers may be given to another. Numbers mean nothing: `settle` sorts them, so that states which differ only
//! in numbers are one state.

mod settle;

use crate::protocol::{Place, Step, Verb};

/// A set of small numbers.
pub(crate) type Set = u16;

pub(crate) const PACKS: usize = 14;
pub(crate) const SEGMENTS: usize = 12;
pub(crate) const RECORDS: usize = 7;
pub(crate) const PROCESSES: usize = 5;

/// The numbers in a set.
pub(crate) fn members(set: Set) -> impl Iterator<Item = usize> {
    let mut rest = set;
    std::iter::from_fn(move || {
        let first = rest.trailing_zeros() as usize;
        (rest != 0).then(|| {
            rest &= rest - 1;
            first
        })
    })
}

/// Every subset of a set.
pub(crate) fn subsets(set: Set) -> impl Iterator<Item = Set> {
    let mut next = Some(set);
    std::iter::from_fn(move || {
        let subset = next?;
        next = (subset != 0).then(|| (subset - 1) & set);
        Some(subset)
    })
}

/// A gc record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) packs: Set,
    /// Archives, or `NO_ARCHIVES`.
    pub(crate) archives: Set,
}

/// What a record of packs says, so that it is a record even when all its packs are gone.
pub(crate) const NO_ARCHIVES: Set = 1 << 15;

/// A listing that has begun, or what it gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Names {
    /// Packs, segments, records; of archives the manifests.
    pub(crate) files: Set,
    pub(crate) ok: Set,
    pub(crate) deleted: Set,
}

/// What a process remembers. Everything that it does not need any more is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    /// The last step, see `last`.
    pub(crate) last: u16,
    /// Attempts or runs that ended, looks.
    pub(crate) turn: u16,
    pub(crate) looks: u16,
    /// Chunks that are to be put or read.
    pub(crate) missing: Set,
    /// Packs that the index named; those a copy can be read from.
    pub(crate) view: Set,
    pub(crate) listed: Set,
    pub(crate) condemned: Set,
    /// Packs that are put and not indexed; entries that are to be put.
    pub(crate) fresh: Set,
    /// Packs that are to be removed.
    pub(crate) drop: Set,
    /// Segments read, and those to be removed.
    pub(crate) segments: Set,
    pub(crate) replaced: Set,
    /// Records to be removed, and one's own.
    pub(crate) records: Set,
    pub(crate) mine: Set,
    /// Archives.
    pub(crate) archives: Set,
    pub(crate) stale: Set,
    pub(crate) asked: Set,
    pub(crate) roots: Set,
    /// The listing in course: 0 none, or the folder and one more.
    pub(crate) listing: u16,
    /// What existed all the time since it began, and what appeared or went.
    pub(crate) certain: Names,
    pub(crate) perhaps: Names,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    Gc,
    Archives,
    Index,
    Packs,
}

const ENDED: u16 = u16::MAX;

impl Process {
    /// The last step of this run, if it has taken one.
    pub(crate) fn last(&self) -> Option<Step> {
        if self.last == 0 || self.last == ENDED {
            return None;
        }
        crate::protocol::STEPS.get(usize::from(self.last) - 1).copied()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.last == ENDED
    }

    pub(crate) fn took(&mut self, step: Step) {
        self.last = step as u16 + 1;
    }

    /// Nothing more is done.
    pub(crate) fn end(&mut self) {
        *self = Self { last: ENDED, ..Self::default() };
    }

    /// Everything is forgotten but the number of the attempt or run.
    pub(crate) fn forget(&mut self) {
        *self = Self { last: self.last, turn: self.turn, ..Self::default() };
    }

    /// The next run.
    pub(crate) fn restart(&mut self) {
        *self = Self { turn: self.turn, ..Self::default() };
    }

    /// Nothing but where it is and what it has put.
    pub(crate) fn kept(&self) -> Self {
        Self { last: self.last, turn: self.turn, mine: self.mine, ..Self::default() }
    }

    fn lists(&self, folder: Folder) -> bool {
        self.listing == folder as u16 + 1
    }

    fn pack_sets(&mut self) -> impl Iterator<Item = &mut Set> {
        let listing = self.lists(Folder::Packs);
        let paging = listing.then_some([&mut self.certain.files, &mut self.perhaps.files]).into_iter().flatten();
        [&mut self.view, &mut self.listed, &mut self.condemned, &mut self.fresh, &mut self.drop]
            .into_iter()
            .chain(paging)
    }

    fn segment_sets(&mut self) -> impl Iterator<Item = &mut Set> {
        let listing = self.lists(Folder::Index);
        let paging = listing.then_some([&mut self.certain.files, &mut self.perhaps.files]).into_iter().flatten();
        [&mut self.segments, &mut self.replaced].into_iter().chain(paging)
    }

    fn record_sets(&mut self) -> impl Iterator<Item = &mut Set> {
        let listing = self.lists(Folder::Gc);
        let paging = listing.then_some([&mut self.certain.files, &mut self.perhaps.files]).into_iter().flatten();
        [&mut self.records, &mut self.mine].into_iter().chain(paging)
    }

    /// Every number, for encoding.
    fn words(&mut self) -> [&mut u16; 24] {
        [
            &mut self.last,
            &mut self.turn,
            &mut self.looks,
            &mut self.missing,
            &mut self.view,
            &mut self.listed,
            &mut self.condemned,
            &mut self.fresh,
            &mut self.drop,
            &mut self.segments,
            &mut self.replaced,
            &mut self.records,
            &mut self.mine,
            &mut self.archives,
            &mut self.stale,
            &mut self.asked,
            &mut self.roots,
            &mut self.listing,
            &mut self.certain.files,
            &mut self.certain.ok,
            &mut self.certain.deleted,
            &mut self.perhaps.files,
            &mut self.perhaps.ok,
            &mut self.perhaps.deleted,
        ]
    }
}

/// One state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct World {
    /// The chunks in each pack.
    pub(crate) packs: [Set; PACKS],
    pub(crate) standing: Set,
    /// The packs that each segment names.
    pub(crate) segments: [Set; SEGMENTS],
    pub(crate) live: Set,
    pub(crate) records: [Record; RECORDS],
    pub(crate) open: Set,
    pub(crate) manifests: Set,
    /// `.ok` that says "ok"; that says "dropped".
    pub(crate) ok: Set,
    pub(crate) dropped: Set,
    pub(crate) deleted: Set,
    /// What the judge knows: archives whose `create` exited 0, that a user wanted gone, that a prune relied on.
    pub(crate) counted: Set,
    pub(crate) unwanted: Set,
    pub(crate) relied: Set,
    pub(crate) processes: [Process; PROCESSES],
    /// What the last step did to the store. Not part of the state.
    pub(crate) did: Option<(Verb, Place)>,
}

impl World {
    /// Every chunk in these packs.
    pub(crate) fn chunks(&self, packs: Set) -> Set {
        members(packs).fold(0, |chunks, pack| chunks | self.packs.get(pack).copied().unwrap_or(0))
    }

    /// Every pack that these segments name.
    pub(crate) fn named(&self, segments: Set) -> Set {
        members(segments).fold(0, |packs, segment| packs | self.segments[segment])
    }

    /// What is there for a listing.
    pub(crate) fn names(&self, folder: Folder) -> Names {
        let of = |files| Names { files, ..Names::default() };
        match folder {
            Folder::Gc => of(self.open),
            Folder::Archives => Names { files: self.manifests, ok: self.ok, deleted: self.deleted },
            Folder::Index => of(self.live),
            Folder::Packs => of(self.standing),
        }
    }

    fn do_once(&mut self, verb: Verb, place: Place) {
        assert!(self.did.is_none(), "a step is one operation: {:?}, then {verb:?} {place:?}", self.did);
        self.did = Some((verb, place));
    }

    pub(crate) fn read(&mut self, place: Place) {
        self.do_once(Verb::Read, place);
    }

    pub(crate) fn list(&mut self, folder: Folder) {
        let place = match folder {
            Folder::Gc => Place::Record,
            Folder::Archives => Place::Manifest,
            Folder::Index => Place::Segment,
            Folder::Packs => Place::Pack,
        };
        self.do_once(Verb::List, place);
    }

    pub(crate) fn has_manifest(&mut self, archive: usize) -> bool {
        self.do_once(Verb::Inspect, Place::Manifest);
        self.manifests & 1 << archive != 0
    }

    pub(crate) fn ask_ok(&mut self) {
        self.do_once(Verb::Inspect, Place::OkMark);
    }

    /// A new pack; its set.
    pub(crate) fn put_pack(&mut self, chunks: Set, name_from_content: bool) -> Set {
        self.do_once(Verb::Put, Place::Pack);
        let same = || self.packs.iter().position(|pack| *pack == chunks && name_from_content);
        let free = || self.packs.iter().position(|pack| *pack == 0);
        let pack = same().or_else(free).expect("places for packs");
        self.packs[pack] = chunks;
        let before = self.standing;
        self.standing |= 1 << pack;
        self.changed(Folder::Packs, before ^ self.standing, |names| &mut names.files);
        1 << pack
    }

    pub(crate) fn remove_pack(&mut self, pack: Set) {
        self.do_once(Verb::Remove, Place::Pack);
        let before = self.standing;
        self.standing &= !pack;
        self.changed(Folder::Packs, before ^ self.standing, |names| &mut names.files);
    }

    pub(crate) fn put_segment(&mut self, packs: Set, name_from_content: bool) {
        self.do_once(Verb::Put, Place::Segment);
        let same = || self.segments.iter().position(|segment| *segment == packs && name_from_content);
        let free = || (0..SEGMENTS).find(|at| self.segments[*at] == 0 && self.live & 1 << at == 0);
        let segment = same().or_else(free).expect("places for segments");
        self.segments[segment] = packs;
        let before = self.live;
        self.live |= 1 << segment;
        self.changed(Folder::Index, before ^ self.live, |names| &mut names.files);
    }

    pub(crate) fn remove_segment(&mut self, segment: Set) {
        self.do_once(Verb::Remove, Place::Segment);
        let before = self.live;
        self.live &= !segment;
        self.changed(Folder::Index, before ^ self.live, |names| &mut names.files);
    }

    /// A new record; its set.
    pub(crate) fn put_record(&mut self, record: Record) -> Set {
        self.do_once(Verb::Put, Place::Record);
        let free = self.records.iter().position(|record| *record == Record::default());
        let place = free.expect("places for records");
        self.records[place] = record;
        let before = self.open;
        self.open |= 1 << place;
        self.changed(Folder::Gc, before ^ self.open, |names| &mut names.files);
        1 << place
    }

    pub(crate) fn remove_record(&mut self, record: Set) {
        self.do_once(Verb::Remove, Place::Record);
        let before = self.open;
        self.open &= !record;
        self.changed(Folder::Gc, before ^ self.open, |names| &mut names.files);
    }

    pub(crate) fn put_manifest(&mut self, archive: Set) {
        self.do_once(Verb::Put, Place::Manifest);
        let before = self.manifests;
        self.manifests |= archive;
        self.changed(Folder::Archives, before ^ self.manifests, |names| &mut names.files);
    }

    pub(crate) fn remove_manifest(&mut self, archive: Set) {
        self.do_once(Verb::Remove, Place::Manifest);
        let before = self.manifests;
        self.manifests &= !archive;
        self.changed(Folder::Archives, before ^ self.manifests, |names| &mut names.files);
    }

    /// `.ok`, whatever it said before.
    pub(crate) fn put_ok(&mut self, archive: Set) {
        self.do_once(Verb::Put, Place::OkMark);
        let before = self.ok;
        self.ok |= archive;
        self.dropped &= !archive;
        self.changed(Folder::Archives, before ^ self.ok, |names| &mut names.ok);
    }

    /// `.ok` that says "dropped"; for an expiry that may create it if it is absent.
    pub(crate) fn put_dropped(&mut self, archive: Set) {
        self.do_once(Verb::Put, Place::OkMark);
        self.dropped |= archive;
    }

    /// A put that was refused, because the mark is there.
    pub(crate) fn refused(&mut self) {
        self.do_once(Verb::Put, Place::OkMark);
    }

    pub(crate) fn remove_ok(&mut self, archive: Set) {
        self.do_once(Verb::Remove, Place::OkMark);
        let before = self.ok;
        self.ok &= !archive;
        self.dropped &= !archive;
        self.changed(Folder::Archives, before ^ self.ok, |names| &mut names.ok);
    }

    pub(crate) fn put_deleted(&mut self, archive: Set) {
        self.do_once(Verb::Put, Place::DeletedMark);
        let before = self.deleted;
        self.deleted |= archive;
        self.changed(Folder::Archives, before ^ self.deleted, |names| &mut names.deleted);
    }

    pub(crate) fn remove_deleted(&mut self, archive: Set) {
        self.do_once(Verb::Remove, Place::DeletedMark);
        let before = self.deleted;
        self.deleted &= !archive;
        self.changed(Folder::Archives, before ^ self.deleted, |names| &mut names.deleted);
    }

    /// A name appeared or went: listings in course may show it or not. (To put or remove once more changes nothing.)
    fn changed(&mut self, folder: Folder, name: Set, of: impl Fn(&mut Names) -> &mut Set) {
        if name == 0 {
            return;
        }
        for process in self.processes.iter_mut().filter(|process| process.lists(folder)) {
            *of(&mut process.certain) &= !name;
            *of(&mut process.perhaps) |= name;
        }
    }
}
