//! One form for all worlds that are the same but for their numbers, and its bytes.

use super::{PACKS, Process, Set, World, members};
use crate::protocol::Step;

impl World {
    fn pack_sets(&mut self) -> impl Iterator<Item = &mut Set> {
        let records = self.records.iter_mut().map(|record| &mut record.packs);
        let processes = self.processes.iter_mut().flat_map(Process::pack_sets);
        [&mut self.standing].into_iter().chain(processes).chain(&mut self.segments).chain(records)
    }

    fn segment_sets(&mut self) -> impl Iterator<Item = &mut Set> {
        [&mut self.live].into_iter().chain(self.processes.iter_mut().flat_map(Process::segment_sets))
    }

    fn record_sets(&mut self) -> impl Iterator<Item = &mut Set> {
        [&mut self.open].into_iter().chain(self.processes.iter_mut().flat_map(Process::record_sets))
    }

    /// Packs that are gone are in no later listing of `packs/`: what was read before it need not say so.
    pub(crate) fn forget_dead(&mut self) {
        let standing = self.standing;
        for record in &mut self.records {
            record.packs &= standing;
        }
        for process in &mut self.processes {
            let will_list = match process.last() {
                Some(Step::CheckPacks | Step::RescuePacks | Step::LookPacks) | None => false,
                Some(step) => step < Step::LookPacks,
            };
            if will_list {
                process.view &= standing;
                process.condemned &= standing;
            }
        }
    }

    /// Forgets what nobody can ask for any more and sorts the rest: equal worlds become the same.
    pub(crate) fn settle(&mut self) {
        self.did = None;
        let known = self.segment_sets().fold(0, |all, set| all | *set);
        clear(&mut self.segments, known);
        let known = self.record_sets().fold(0, |all, set| all | *set);
        clear(&mut self.records, known);
        let known = self.pack_sets().fold(0, |all, set| all | *set);
        clear(&mut self.packs, known);
        let mut signatures = [0_u64; PACKS];
        for (signature, chunks) in signatures.iter_mut().zip(self.packs) {
            *signature = u64::from(chunks) << 60;
        }
        // What processes know of a pack, bit for bit; of segments and records, which have no order yet, how many name it.
        let processes = self.processes.iter_mut().flat_map(Process::pack_sets);
        for (bit, set) in [&mut self.standing].into_iter().chain(processes).enumerate() {
            members(*set).for_each(|pack| signatures[pack] |= 1 << (59 - bit));
        }
        for set in self.segments.iter().chain(self.records.iter().map(|record| &record.packs)) {
            members(*set).for_each(|pack| signatures[pack] += 1);
        }
        if let Some(places) = sorting(signatures) {
            self.packs = moved(self.packs, &places);
            self.pack_sets().for_each(|set| *set = renamed(*set, &places));
        }
        let mut signatures = self.segments.map(|segment| u64::from(segment) << 40);
        mark(&mut signatures, self.segment_sets());
        if let Some(places) = sorting(signatures) {
            self.segments = moved(self.segments, &places);
            self.segment_sets().for_each(|set| *set = renamed(*set, &places));
        }
        let mut signatures =
            self.records.map(|record| u64::from(record.packs) << 48 | u64::from(record.archives) << 32);
        mark(&mut signatures, self.record_sets());
        if let Some(places) = sorting(signatures) {
            self.records = moved(self.records, &places);
            self.record_sets().for_each(|set| *set = renamed(*set, &places));
        }
    }

    /// Every number of the state.
    fn words(&mut self, processes: usize) -> impl Iterator<Item = &mut u16> {
        let archives = [
            &mut self.standing,
            &mut self.live,
            &mut self.open,
            &mut self.manifests,
            &mut self.ok,
            &mut self.dropped,
            &mut self.deleted,
            &mut self.counted,
            &mut self.unwanted,
            &mut self.relied,
        ];
        let records = self.records.iter_mut().flat_map(|record| [&mut record.packs, &mut record.archives]);
        let processes = self.processes.iter_mut().take(processes).flat_map(Process::words);
        archives.into_iter().chain(processes).chain(records).chain(&mut self.packs).chain(&mut self.segments)
    }

    /// The bytes of a state: for each eight numbers a byte that says which are not zero, then those, in one byte or three.
    pub(crate) fn encode(&self, processes: usize, bytes: &mut Vec<u8>) {
        let mut copy = *self;
        let mut at = bytes.len();
        for (number, word) in copy.words(processes).enumerate() {
            if number % 8 == 0 {
                at = bytes.len();
                bytes.push(0);
            }
            if *word != 0 {
                bytes[at] |= 1 << (number % 8);
                let [low, high] = word.to_le_bytes();
                match (low, high) {
                    (..=254, 0) => bytes.push(low),
                    _ => bytes.extend([255, low, high]),
                }
            }
        }
    }

    pub(crate) fn decode(processes: usize, mut bytes: &[u8]) -> Self {
        let mut world = Self::default();
        let mut next = || {
            let (first, rest) = bytes.split_first().unwrap();
            bytes = rest;
            *first
        };
        let mut present = 0;
        for (number, word) in world.words(processes).enumerate() {
            if number % 8 == 0 {
                present = next();
            }
            if present & 1 << (number % 8) != 0 {
                *word = match next() {
                    255 => u16::from_le_bytes([next(), next()]),
                    low => u16::from(low),
                };
            }
        }
        world
    }
}

fn clear<T: Default>(places: &mut [T], known: Set) {
    for (number, place) in places.iter_mut().enumerate() {
        if known & 1 << number == 0 {
            *place = T::default();
        }
    }
}

/// Adds to each signature in which sets its place is.
fn mark<'a>(signatures: &mut [u64], sets: impl Iterator<Item = &'a mut Set>) {
    for (bit, set) in sets.enumerate() {
        members(*set).for_each(|place| signatures[place] |= 1 << bit);
    }
}

/// Where each place goes, largest signature first; none if all are in order.
fn sorting<const N: usize>(signatures: [u64; N]) -> Option<[usize; N]> {
    if signatures.is_sorted_by(|one, other| one >= other) {
        return None;
    }
    let mut order: [usize; N] = std::array::from_fn(|place| place);
    order.sort_by_key(|place| std::cmp::Reverse(signatures[*place]));
    let mut places = [0; N];
    for (new, old) in order.into_iter().enumerate() {
        places[old] = new;
    }
    Some(places)
}

fn moved<T: Copy + Default, const N: usize>(values: [T; N], places: &[usize; N]) -> [T; N] {
    let mut moved = [T::default(); N];
    for (value, place) in values.into_iter().zip(places) {
        moved[*place] = value;
    }
    moved
}

fn renamed(set: Set, places: &[usize]) -> Set {
    members(set).fold(0, |renamed, member| renamed | 1 << places[member])
}
