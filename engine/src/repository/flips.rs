//! Bits that flip in memory, on purpose: a test of `--verify`. Only with debug assertions is there anything to switch on; a release
//! build compiles all of it to nothing.

use std::borrow::Cow;
#[cfg(debug_assertions)]
use std::sync::Mutex;

#[cfg(debug_assertions)]
use crate::sync::lock;

/// Where bytes can change on their way into the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A chunk that was read, before its id is computed.
    Read,
    /// The objects of a block, after their ids were computed.
    Plain,
    /// A block after it was compressed, before it is sealed.
    Compressed,
    /// The sealed head of a block, before it is appended to its pack.
    Head,
    /// The sealed body of a block, before it is appended to its pack.
    Body,
    /// The list of what a pack holds, before it is sealed as its trailer.
    Trailer,
    /// A sealed trailer.
    SealedTrailer,
    /// The sealed padding of a pack.
    Padding,
    /// The sealed tail of a pack.
    Tail,
    /// An index segment, before it is sealed.
    Segment,
    /// A manifest, before it is sealed.
    Manifest,
    /// A file that was sealed whole: a segment, a manifest, an event, a gc record, a session.
    File,
    /// The mark of an archive.
    Mark,
}

/// The flip that is to come.
#[derive(Debug, Default)]
pub struct Flips {
    #[cfg(debug_assertions)]
    next: Mutex<Option<Flip>>,
}

#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug)]
struct Flip {
    stage: Stage,
    left: usize,
    at: usize,
}

#[cfg(debug_assertions)]
impl Flips {
    /// Flips a bit the next time but `skipped` that bytes come through a stage, once: in byte `at`, counted round and round.
    pub fn flip(&self, stage: Stage, skipped: usize, at: usize) {
        *lock(&self.next) = Some(Flip { stage, left: skipped, at });
    }

    /// Whether a flip is still to come; it is called off.
    pub fn take_back(&self) -> bool {
        lock(&self.next).take().is_some()
    }

    fn due(&self, stage: Stage) -> Option<usize> {
        let mut next = lock(&self.next);
        let flip = next.as_mut().filter(|flip| flip.stage == stage)?;
        if flip.left > 0 {
            flip.left -= 1;
            return None;
        }
        next.take().map(|flip| flip.at)
    }
}

impl Flips {
    /// Bytes pass a stage.
    #[cfg(debug_assertions)]
    pub(crate) fn alter(&self, stage: Stage, bytes: &mut [u8]) {
        let Some(at) = self.due(stage) else { return };
        let length = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at % length) {
            *byte ^= 0x10;
        }
    }

    /// Bytes that nobody else can change pass a stage.
    #[cfg(debug_assertions)]
    pub(crate) fn altered<'a>(&self, stage: Stage, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(at) = self.due(stage) else { return Cow::Borrowed(bytes) };
        let mut copy = bytes.to_vec();
        let length = copy.len().max(1);
        if let Some(byte) = copy.get_mut(at % length) {
            *byte ^= 0x10;
        }
        Cow::Owned(copy)
    }

    /// Nothing happens to them.
    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "as with debug assertions, where it does something")]
    pub(crate) fn alter(&self, _: Stage, _: &mut [u8]) {}

    /// Nothing happens to them.
    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "as with debug assertions, where it does something")]
    pub(crate) fn altered<'a>(&self, _: Stage, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(bytes)
    }
}
