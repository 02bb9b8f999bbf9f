//! Counting zeros at the start of a buffer, at the speed of memory.

/// Long enough for the compiler to use the widest registers, short enough to stop early.
const STRIDE: usize = 256;

/// How many bytes from the start are zero.
pub(super) fn leading_zeros(bytes: &[u8]) -> usize {
    // Nearly every chunk begins with something else: one look decides.
    if bytes.first().is_none_or(|first| *first != 0) {
        return 0;
    }
    let whole = bytes.chunks_exact(STRIDE).take_while(|stride| is_zero(stride)).count() * STRIDE;
    let rest = bytes.get(whole..).unwrap_or_default();
    whole + rest.iter().take_while(|byte| **byte == 0).count()
}

/// Whether all bytes are zero.
pub(super) fn is_all_zeros(bytes: &[u8]) -> bool {
    leading_zeros(bytes) == bytes.len()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |seen, byte| seen | byte) == 0
}
