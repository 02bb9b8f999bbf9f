//! The names in one directory, compactly: a directory of a million entries is two allocations, not a million.

use std::cmp::Ordering;
use std::io;

use rustix::fd::AsFd;
use rustix::fs::RawDir;
use rustix::io::Errno;

/// Room for what one call of the kernel returns; directories on FUSE and network file systems profit from more than 4 KiB.
const LISTING_BUFFER: usize = 64 * 1024;
/// A name's length lives in the low bits of its entry, its start in the others.
const LENGTH_BITS: u32 = 16;

/// Names of a directory's entries in ascending order of their bytes, each once, without `.` and `..`.
#[derive(Clone, Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    entries: Vec<u64>,
}

impl Names {
    /// Reads the directory from where its descriptor stands to the end.
    pub(super) fn read(directory: impl AsFd) -> io::Result<Self> {
        let mut names = Self::default();
        let mut buffer = Vec::with_capacity(LISTING_BUFFER);
        let mut listing = RawDir::new(directory, buffer.spare_capacity_mut());
        while let Some(entry) = listing.next() {
            match entry {
                Ok(entry) => names.push(entry.file_name().to_bytes()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        names.sort();
        Ok(names)
    }

    fn push(&mut self, name: &[u8]) {
        if name == b"." || name == b".." {
            return;
        }
        // The kernel's record of an entry is at most 64 KiB long with its head, and 2^48 bytes of names do not exist.
        self.entries.push(((self.bytes.len() as u64) << LENGTH_BITS) | name.len() as u64);
        self.bytes.extend_from_slice(name);
    }

    /// Sorts, and leaves out the second of two equal names, which file systems may list when they change meanwhile.
    fn sort(&mut self) {
        let Self { bytes, entries } = self;
        entries.sort_unstable_by(|a, b| -> Ordering { name_at(bytes, *a).cmp(name_at(bytes, *b)) });
        entries.dedup_by(|a, b| name_at(bytes, *a) == name_at(bytes, *b));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the directory is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The name at this place of the order.
    pub fn at(&self, index: usize) -> Option<&[u8]> {
        self.entries.get(index).map(|entry| name_at(&self.bytes, *entry))
    }

    /// All of them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
        self.entries.iter().map(|entry| name_at(&self.bytes, *entry))
    }

    /// Takes the last one away.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.entries.pop().map(|entry| name_at(&self.bytes, entry).to_vec())
    }
}

fn name_at(bytes: &[u8], entry: u64) -> &[u8] {
    let start = usize::try_from(entry >> LENGTH_BITS).unwrap_or(usize::MAX);
    let length = usize::try_from(entry & ((1 << LENGTH_BITS) - 1)).unwrap_or(0);
    bytes.get(start..start.saturating_add(length)).unwrap_or_default()
}
