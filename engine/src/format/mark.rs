//! Marks beside a manifest: `.ok` makes the archive count, `.del` deletes it.

use crate::codec::{Put, Take};
use crate::format::{FORMAT, FormatError, Opened};
use crate::id::ArchiveId;

const MAGIC: &[u8; 8] = b"VAULT\0MK";
/// Length of a mark.
pub const MARK_LEN: usize = 80;

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The archive is complete.
    Ok,
    /// The archive is deleted; compaction purges it.
    Deleted,
}

impl Mark {
    fn number(self) -> u8 {
        match self {
            Self::Ok => 1,
            Self::Deleted => 2,
        }
    }

    /// The file's bytes.
    pub fn encode(self, archive: ArchiveId) -> Vec<u8> {
        let mut out = Vec::with_capacity(MARK_LEN);
        out.put(MAGIC);
        out.put_u8(self.number());
        out.put_u16(FORMAT);
        out.put(&[0; 5]);
        out.put(archive.as_bytes());
        let check = blake3::hash(&out);
        out.put(check.as_bytes());
        out
    }

    /// Checks that the bytes are this mark of this archive.
    pub fn verify(self, archive: ArchiveId, bytes: &[u8]) -> Opened<()> {
        if bytes == self.encode(archive) {
            return Ok(());
        }
        Err(FormatError::Field(Take::new(bytes).error("mark", "not the mark that its name says")))
    }
}
