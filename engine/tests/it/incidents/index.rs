//! The local index against a plain table of what the segments say.

use proptest::prelude::*;
use vault_engine::compress::Codec;
use vault_engine::format::block::Entry;
use vault_engine::format::file::{Class, seal_file};
use vault_engine::format::pack::{BlockEntry, encode_block_entry};
use vault_engine::format::segment::{IndexedPack, Segment};
use vault_engine::id::ObjectId;

use super::*;

const PACKS: u8 = 20;
const OBJECTS: u8 = 40;

/// What happens to the repository between two looks.
#[derive(Clone, Debug)]
enum Step {
    /// A segment that names these packs is put.
    Put(BTreeSet<u8>),
    /// A segment goes.
    Drop(prop::sample::Index),
    /// A pack is there, whole or not.
    Stand(u8, bool),
    /// A pack goes.
    Go(u8),
    /// Packs are condemned.
    Condemn(BTreeSet<u8>),
    /// What is remembered is lost.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let packs = || prop::collection::btree_set(0..PACKS, 1..4);
    prop_oneof![
        8 => packs().prop_map(Step::Put),
        2 => any::<prop::sample::Index>().prop_map(Step::Drop),
        4 => (0..PACKS, prop::bool::weighted(0.8)).prop_map(|(pack, whole)| Step::Stand(pack, whole)),
        1 => (0..PACKS).prop_map(Step::Go),
        1 => packs().prop_map(Step::Condemn),
        1 => Just(Step::Forget),
    ]
}

fn object(number: u8) -> ObjectId {
    // Some ids differ in their last byte only.
    let mut id = *blake3::hash(&[number / 2]).as_bytes();
    id[31] = number % 2;
    ObjectId::from_bytes(id)
}

fn pack_id(pack: u8) -> PackId {
    PackId::from_bytes([pack; 32])
}

fn size_of(pack: u8) -> usize {
    10_000 + usize::from(pack)
}

/// Of one to three blocks, whose objects others have too.
fn blocks_of(pack: u8) -> Vec<BlockEntry> {
    let random = noise(u64::from(pack), 64);
    (0..=u32::from(random[0] % 3))
        .map(|number| {
            let at = 1 + 16 * number as usize;
            let chosen = &random[at..at + 1 + usize::from(random[at] % 8)];
            let entries = chosen.iter().map(|byte| Entry { id: object(byte % OBJECTS), length: 100 }).collect();
            BlockEntry { offset: 128 + 2048 * number, body_length: 1024, codec: Codec::None, entries }
        })
        .collect()
}

fn indexed(pack: u8) -> IndexedPack {
    let mut trailer = Vec::new();
    for block in blocks_of(pack) {
        encode_block_entry(&block, &mut trailer);
    }
    IndexedPack { id: pack_id(pack), size: size_of(pack) as u64, class: Class::Data, trailer }
}

/// The repository, and what it should be.
struct Model {
    store: MemoryStore,
    cache: TempDir,
    segments: Vec<(FileId, BTreeSet<u8>)>,
    standing: BTreeMap<u8, bool>,
    condemned: BTreeSet<u8>,
}

impl Model {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Put(packs) => {
                let repository = sample::open(self.store.clone());
                let packs_of = packs.iter().map(|pack| indexed(*pack)).collect();
                let segment = Segment { writer: [1; 16], replaces: Vec::new(), packs: packs_of };
                let bytes = seal_file(repository.ring(), Class::Index, [2; 16], &segment.encode()).unwrap();
                let id = FileId::from_bytes(*blake3::hash(&bytes).as_bytes());
                self.store.insert_raw(Key::file(Kind::Index, id), bytes);
                self.segments.push((id, packs.clone()));
            }
            Step::Drop(which) if !self.segments.is_empty() => {
                let (id, _) = self.segments.swap_remove(which.index(self.segments.len()));
                self.store.remove_raw(&Key::file(Kind::Index, id));
            }
            Step::Drop(_) => {}
            Step::Stand(pack, whole) => {
                let length = size_of(*pack) - usize::from(!whole);
                self.store.insert_raw(Key::pack(pack_id(*pack)), vec![0; length]);
                self.standing.insert(*pack, *whole);
            }
            Step::Go(pack) => {
                self.store.remove_raw(&Key::pack(pack_id(*pack)));
                self.standing.remove(pack);
            }
            Step::Condemn(packs) => {
                let ids = packs.iter().map(|pack| pack_id(*pack)).collect();
                compact::condemn(&sample::open(self.store.clone()), &self.store, ids, Vec::new());
                self.condemned.extend(packs);
            }
            Step::Forget => self.cache = TempDir::new().unwrap(),
        }
    }

    /// Every copy of an object that can be tried: pack, offset, position, and whether a writer may build on it.
    fn copies(&self, id: ObjectId) -> BTreeSet<(PackId, u32, u32, bool)> {
        let mut copies = BTreeSet::new();
        for pack in self.segments.iter().flat_map(|(_, packs)| packs) {
            let good = match self.standing.get(pack) {
                Some(_) if self.condemned.contains(pack) => false,
                None | Some(false) => continue,
                Some(true) => true,
            };
            for block in blocks_of(*pack) {
                let at = (0..).zip(&block.entries).filter(|(_, entry)| entry.id == id);
                copies.extend(at.map(|(position, _)| (pack_id(*pack), block.offset, position, good)));
            }
        }
        copies
    }

    fn assert_answers(&self) -> Result<(), TestCaseError> {
        let index = sample::try_open(self.store.clone(), Some(self.cache.path())).unwrap().load_index().unwrap();
        for id in (0..OBJECTS).map(object) {
            let expected = self.copies(id);
            let found = index.copies(&id);
            let places: BTreeSet<_> = found.iter().map(|copy| (copy.pack, copy.offset, copy.position)).collect();
            let all: BTreeSet<_> =
                expected.iter().map(|(pack, offset, position, _)| (*pack, *offset, *position)).collect();
            prop_assert_eq!(places, all);
            let good: BTreeSet<PackId> = expected.iter().filter(|copy| copy.3).map(|copy| copy.0).collect();
            // Those that a writer may build on come first.
            let first = found.iter().take_while(|copy| good.contains(&copy.pack)).count();
            prop_assert!(found.iter().skip(first).all(|copy| !good.contains(&copy.pack)));
            let chosen = index.good(&id);
            prop_assert_eq!(chosen.is_some(), !good.is_empty());
            if let Some(number) = chosen {
                let set = index.pack_set();
                set.insert(number);
                let packs = index.packs_of(&set);
                prop_assert_eq!(packs.len(), 1);
                prop_assert!(good.contains(&packs[0].0));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_index_answers_as_a_plain_table_would(steps in prop::collection::vec(step(), 1..40)) {
        let mut model = Model {
            store: sample::memory(),
            cache: TempDir::new().unwrap(),
            segments: Vec::new(),
            standing: (0..PACKS / 2).map(|pack| (pack, true)).collect(),
            condemned: BTreeSet::new(),
        };
        for pack in 0..PACKS / 2 {
            model.take(&Step::Stand(pack, true));
        }
        for step in &steps {
            model.take(step);
            model.assert_answers()?;
        }
    }
}
