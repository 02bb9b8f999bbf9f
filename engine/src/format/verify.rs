//! What is about to be written, looked at once more: a flipped bit in memory or a broken compressor must not reach the repository.
//!
//! A block's ids are recomputed from the buffer that was sealed, after it was sealed: whatever changed between the computing of an id and
//! the cipher's last byte shows there, in the plaintext, in the compressor or in the buffer. What happens to the sealed bytes shows only when
//! they are opened, which costs as much again: one block in 16 is. A block that a compaction moves as it is has its ids computed when it is
//! opened; that it was sealed unchanged is told by a hash.

use std::fmt;
use std::str::FromStr;

use crate::compress::{self, Codec};
use crate::crypto::{KeyRing, Purpose};
use crate::error::{Error, Result};
use crate::format::block::{
    BlockKind, Compressed, ENTRY_LEN, Entry, SealedBlock, decode_directory, open_block, open_head,
};
use crate::format::file::{FileCipher, Record};

/// How much of what is written is looked at once more before it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Every id is recomputed, and every sealed block opened.
    All,
    /// Every id is recomputed, and one sealed block in 16 opened.
    #[default]
    Default,
    /// No block. Readers recompute every id all the same, so that damage is an error then and never other bytes.
    None,
}

/// One sealed block in so many is opened by default.
const OPENED: u64 = 16;

impl Verify {
    /// Whether ids are recomputed before a block is written.
    pub fn recomputes_ids(self) -> bool {
        self != Self::None
    }

    /// Whether the sealed block with this number, counted from 0, is opened.
    pub fn opens(self, number: u64) -> bool {
        match self {
            Self::All => true,
            Self::Default => number.is_multiple_of(OPENED),
            Self::None => false,
        }
    }
}

impl FromStr for Verify {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Self::All),
            "default" => Ok(Self::Default),
            "none" => Ok(Self::None),
            _ => Err(Error::Usage(format!("{text:?} says not how much to verify; there are: all, default, none"))),
        }
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Default => "default",
            Self::None => "none",
        })
    }
}

fn altered() -> Error {
    Error::Altered { what: "a block" }
}

/// Whether what was sealed as a block's body still is what its ids say: directory, payload and zeros.
///
/// # Errors
/// `Altered` if it is not.
pub fn recompute_ids(ring: &KeyRing, purpose: Purpose, block: &Compressed, entries: &[Entry]) -> Result<()> {
    let head = block.head(0, BlockKind::Objects);
    let (directory, rest) = block.body().split_at_checked(entries.len() * ENTRY_LEN).ok_or_else(altered)?;
    let (stored, zeros) = rest.split_at_checked(head.stored_length as usize).ok_or_else(altered)?;
    let sealed = decode_directory(directory).map_err(|_| altered())?;
    if sealed != entries || head.count as usize != entries.len() || zeros.iter().any(|&byte| byte != 0) {
        return Err(altered());
    }
    let is_right = match head.codec {
        Codec::None => stored.len() == head.plain_length as usize && have_ids(ring, purpose, stored, entries),
        codec => with_scratch(head.plain_length as usize, |plain| {
            compress::decompress(codec, stored, plain).is_ok() && have_ids(ring, purpose, plain, entries)
        }),
    };
    if is_right { Ok(()) } else { Err(altered()) }
}

/// Whether what was sealed as a block's body still is what it was when it was opened: for one that moves as it is from pack to pack.
///
/// # Errors
/// `Altered` if it is not.
pub(crate) fn has_hash(block: &Compressed, hash: &blake3::Hash) -> Result<()> {
    if blake3::hash(block.body()) == *hash { Ok(()) } else { Err(altered()) }
}

fn have_ids(ring: &KeyRing, purpose: Purpose, plain: &[u8], entries: &[Entry]) -> bool {
    let mut rest = plain;
    let all = entries.iter().all(|entry| {
        let Some((object, behind)) = rest.split_at_checked(entry.length as usize) else { return false };
        rest = behind;
        ring.object_id(purpose, object) == entry.id
    });
    all && rest.is_empty()
}

/// Runs on a buffer of the thread, so that no block allocates and faults in fresh pages.
fn with_scratch<T>(length: usize, run: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local!(static SCRATCH: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < length {
            scratch.resize(length, 0);
        }
        run(scratch.get_mut(..length).unwrap_or_default())
    })
}

/// Whether a sealed head opens and describes the block. It is so short that it always is opened.
///
/// # Errors
/// `Altered` if it does not.
pub fn open_sealed_head(cipher: &FileCipher, block: &Compressed, sealed: &SealedBlock) -> Result<()> {
    let (head, _) = open_head(cipher, &sealed.head).map_err(|_| altered())?;
    let meant = block.head(head.ordinal, head.kind);
    if head == meant && sealed.body.len() == head.body_length as usize { Ok(()) } else { Err(altered()) }
}

/// Whether a block, as it is about to be written, opens to the objects that it was made of. `cipher` is best one that was derived
/// again from the header: then a fault in the other's keys shows too.
///
/// # Errors
/// `Altered` if it does not.
pub fn open_sealed(
    ring: &KeyRing,
    cipher: &FileCipher,
    purpose: Purpose,
    sealed: &SealedBlock,
    entries: &[Entry],
) -> Result<()> {
    let mut bytes = [sealed.head.as_slice(), &sealed.body].concat();
    let open = open_block(ring, cipher, purpose, &mut bytes).map_err(|_| altered())?;
    if open.entries == entries { Ok(()) } else { Err(altered()) }
}

/// Whether a padding block opens.
pub fn padding_opens(cipher: &FileCipher, sealed: &SealedBlock) -> bool {
    let Ok((head, head_plain)) = open_head(cipher, &sealed.head) else { return false };
    let mut body = sealed.body.clone();
    head.kind == BlockKind::Padding
        && head.body_length as usize == body.len()
        && (body.is_empty() || cipher.unseal(Record::Body, &head_plain, &mut body).is_ok())
}
