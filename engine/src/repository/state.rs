//! Small files that a client keeps about a repository, outside of it: they say themselves whether they are whole.
//!
//! Nothing depends on them but what a client can know of the past. One that is damaged is as if it had never been.

use crate::id::ID_LEN;

/// Length of a magic.
const MAGIC_LEN: usize = 8;

/// `magic ‖ payload ‖ BLAKE3 of both`.
pub(crate) fn frame(magic: [u8; MAGIC_LEN], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAGIC_LEN + payload.len() + ID_LEN);
    out.extend_from_slice(&magic);
    out.extend_from_slice(payload);
    let check = blake3::hash(&out);
    out.extend_from_slice(check.as_bytes());
    out
}

/// The payload; `None` if these are not the bytes that [`frame`] made.
pub(crate) fn unframe(magic: [u8; MAGIC_LEN], bytes: &[u8]) -> Option<&[u8]> {
    let (front, check) = bytes.split_last_chunk::<ID_LEN>()?;
    if blake3::hash(front) != *check {
        return None;
    }
    front.strip_prefix(&magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_framed_is_whole_or_nothing() {
        let file = frame(*b"vault  1", b"payload");
        assert_eq!(unframe(*b"vault  1", &file), Some(b"payload".as_slice()));
        assert_eq!(unframe(*b"vault  2", &file), None);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(unframe(*b"vault  1", &damaged), None, "byte {at}");
            assert_eq!(unframe(*b"vault  1", &file[..at]), None, "cut to {at}");
        }
    }
}
