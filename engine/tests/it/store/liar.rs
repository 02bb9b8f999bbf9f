//! Stores that break one promise each: `conformance` must see it, or it would let a real one through.

use vault_engine::store::{Key, Kind, Listed, MemoryStore, Store, StoreResult, Upload, conformance};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    ListsAllButOne,
    ListsOneTwice,
    ListsOtherSizes,
    IgnoresLimits,
    PadsShortReads,
    ReadsFromTheBegin,
    KeepsWhatIsRemoved,
    KeepsTheFirst,
    FailsToRemoveTwice,
    ShowsUploadsEarly,
    LosesUploads,
    MixesUpMarks,
    PutsAllButOne,
    RemovesAllButOne,
    SpendsForEver,
    ListsItsReserve,
}

const LIES: [Lie; 16] = [
    Lie::ListsAllButOne,
    Lie::ListsOneTwice,
    Lie::ListsOtherSizes,
    Lie::IgnoresLimits,
    Lie::PadsShortReads,
    Lie::ReadsFromTheBegin,
    Lie::KeepsWhatIsRemoved,
    Lie::KeepsTheFirst,
    Lie::FailsToRemoveTwice,
    Lie::ShowsUploadsEarly,
    Lie::LosesUploads,
    Lie::MixesUpMarks,
    Lie::PutsAllButOne,
    Lie::RemovesAllButOne,
    Lie::SpendsForEver,
    Lie::ListsItsReserve,
];

#[derive(Clone, Debug)]
struct Liar {
    honest: MemoryStore,
    lie: Lie,
}

impl Liar {
    fn key(&self, key: &Key) -> Key {
        match key.name().strip_suffix(".del") {
            Some(id) if self.lie == Lie::MixesUpMarks => Key::listed(key.kind(), format!("{id}.ok")),
            _ => key.clone(),
        }
    }
}

impl Store for Liar {
    fn describe(&self) -> String {
        format!("{:?}", self.lie)
    }

    fn read(&self, key: &Key, limit: u64) -> StoreResult<Vec<u8>> {
        let limit = if self.lie == Lie::IgnoresLimits { u64::MAX } else { limit };
        self.honest.read(&self.key(key), limit)
    }

    fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let offset = if self.lie == Lie::ReadsFromTheBegin { 0 } else { offset };
        let read = self.honest.read_at(&self.key(key), offset, buffer);
        if self.lie == Lie::PadsShortReads && self.size(key)?.is_some() { Ok(()) } else { read }
    }

    fn size(&self, key: &Key) -> StoreResult<Option<u64>> {
        self.honest.size(&self.key(key))
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> StoreResult<()> {
        if self.lie == Lie::KeepsTheFirst && self.size(key)?.is_some() {
            return Ok(());
        }
        self.honest.put(&self.key(key), bytes)
    }

    fn begin(&self) -> StoreResult<Box<dyn Upload>> {
        let early = Key::listed(Kind::Packs, "ab".repeat(32));
        if self.lie == Lie::ShowsUploadsEarly {
            self.honest.put(&early, b"")?;
        }
        Ok(Box::new(LiarUpload { liar: self.clone(), early, upload: self.honest.begin()? }))
    }

    fn list(&self, kind: Kind) -> StoreResult<Vec<Listed>> {
        let mut listed = self.honest.list(kind)?;
        match self.lie {
            Lie::ListsAllButOne => drop(listed.pop()),
            Lie::ListsOneTwice => listed.extend(listed.first().cloned()),
            Lie::ListsOtherSizes => listed.iter_mut().for_each(|file| file.size += 1),
            _ => {}
        }
        Ok(listed)
    }

    fn remove(&self, key: &Key) -> StoreResult<()> {
        match self.lie {
            Lie::KeepsWhatIsRemoved => Ok(()),
            Lie::FailsToRemoveTwice => self.honest.read(key, u64::MAX).and_then(|_| self.honest.remove(key)),
            _ => self.honest.remove(&self.key(key)),
        }
    }

    fn put_many(&self, files: &[(Key, Vec<u8>)]) -> StoreResult<()> {
        let left = usize::from(self.lie == Lie::PutsAllButOne);
        files.iter().skip(left).try_for_each(|(key, bytes)| self.put(key, bytes))
    }

    fn remove_many(&self, keys: &[Key]) -> StoreResult<()> {
        let left = usize::from(self.lie == Lie::RemovesAllButOne);
        keys.iter().skip(left).try_for_each(|key| self.remove(key))
    }

    fn spend_reserve(&self) -> StoreResult<bool> {
        Ok(self.lie == Lie::SpendsForEver)
    }

    fn keep_reserve(&self) -> StoreResult<()> {
        if self.lie == Lie::ListsItsReserve { self.honest.put(&Key::listed(Kind::Gc, "reserve"), b"") } else { Ok(()) }
    }
}

#[derive(Debug)]
struct LiarUpload {
    liar: Liar,
    early: Key,
    upload: Box<dyn Upload>,
}

impl Upload for LiarUpload {
    fn append(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.upload.append(bytes)
    }

    fn finish(self: Box<Self>, key: &Key) -> StoreResult<()> {
        match self.liar.lie {
            Lie::LosesUploads => return Ok(()),
            Lie::ShowsUploadsEarly => self.liar.honest.remove(&self.early)?,
            _ => {}
        }
        self.upload.finish(key)
    }
}

#[test]
fn conformance_sees_every_lie() {
    for lie in LIES {
        let liar = Liar { honest: MemoryStore::new(), lie };
        assert!(conformance::verify(&liar).is_err(), "{lie:?} was not seen");
    }
}
