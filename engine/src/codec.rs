//! Little-endian writing and bounds-checked reading: the only way from bytes to numbers in `format`.

use crate::id::ID_LEN;
use crate::meta::Timestamp;

/// Why bytes could not be read: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at offset {offset}: {problem}")]
pub struct DecodeError {
    /// The field, as docs/format.md calls it.
    pub field: &'static str,
    /// Offset in the record.
    pub offset: usize,
    /// What is wrong.
    pub problem: &'static str,
    /// Nothing is wrong: it says what only a newer version knows.
    pub is_newer: bool,
}

/// Result of a decoder.
pub type Decoded<T> = Result<T, DecodeError>;

/// Appends fields to a buffer.
pub trait Put {
    /// Raw bytes.
    fn put(&mut self, bytes: &[u8]);
    /// One byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    /// Two bytes.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }
    /// Four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }
    /// Eight bytes.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }
    /// A `str`: at most 65,535 bytes; what is longer is a bug of the caller, who checks first.
    fn put_str(&mut self, value: &[u8]) {
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.put_u16(len);
        self.put(value.get(..usize::from(len)).unwrap_or(value));
    }
    /// A `u32` length and that many bytes.
    fn put_blob(&mut self, value: &[u8]) {
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.put_u32(len);
        self.put(value);
    }
    /// A `time`.
    fn put_time(&mut self, value: Timestamp) {
        self.put(&value.seconds.to_le_bytes());
        self.put_u32(value.nanoseconds);
    }
    /// A count that the caller keeps within `u32`.
    fn put_count(&mut self, value: usize) {
        self.put_u32(u32::try_from(value).unwrap_or(u32::MAX));
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Reads fields from a record, never past its end.
#[derive(Clone, Debug)]
pub struct Take<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Take<'a> {
    /// From the start of a record.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Where the next field begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// An error at this place.
    pub fn error(&self, field: &'static str, problem: &'static str) -> DecodeError {
        DecodeError { field, offset: self.offset, problem, is_newer: false }
    }

    /// The error for a number that this version gives no meaning to.
    pub fn unknown(&self, field: &'static str) -> DecodeError {
        DecodeError { field, offset: self.offset, problem: "unknown: a newer version wrote it", is_newer: true }
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize, field: &'static str) -> Decoded<&'a [u8]> {
        let end = self.offset.checked_add(n).ok_or_else(|| self.error(field, "length overflows"))?;
        let found = self.bytes.get(self.offset..end).ok_or_else(|| self.error(field, "the record ends before it"))?;
        self.offset = end;
        Ok(found)
    }

    /// A fixed number of bytes.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Decoded<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N, field)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Decoded<u8> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    /// Two bytes.
    pub fn u16(&mut self, field: &'static str) -> Decoded<u16> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    /// Four bytes.
    pub fn u32(&mut self, field: &'static str) -> Decoded<u32> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    /// Eight bytes.
    pub fn u64(&mut self, field: &'static str) -> Decoded<u64> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// Four bytes, signed.
    pub fn i32(&mut self, field: &'static str) -> Decoded<i32> {
        Ok(i32::from_le_bytes(self.array(field)?))
    }

    /// 32 bytes of an id or a name.
    pub fn id(&mut self, field: &'static str) -> Decoded<[u8; ID_LEN]> {
        self.array(field)
    }

    /// A `str`.
    pub fn str(&mut self, field: &'static str) -> Decoded<&'a [u8]> {
        let len = self.u16(field)?;
        self.bytes(usize::from(len), field)
    }

    /// A `u32` length and that many bytes.
    pub fn blob(&mut self, field: &'static str) -> Decoded<&'a [u8]> {
        let len = self.u32(field)?;
        self.bytes(usize::try_from(len).map_err(|_| self.error(field, "too long"))?, field)
    }

    /// A `time`.
    pub fn time(&mut self, field: &'static str) -> Decoded<Timestamp> {
        let seconds = i64::from_le_bytes(self.array(field)?);
        let nanoseconds = self.u32(field)?;
        if nanoseconds >= 1_000_000_000 {
            return Err(self.error(field, "more than a second of nanoseconds"));
        }
        Ok(Timestamp { seconds, nanoseconds })
    }

    /// A `u32` count of items that are at least `item_len` bytes each, so that nothing is allocated that cannot be there.
    pub fn count(&mut self, item_len: usize, field: &'static str) -> Decoded<usize> {
        let count = self.u32(field)?;
        self.fits(u64::from(count), item_len, field)
    }

    /// The same for a `u16` count.
    pub fn short_count(&mut self, item_len: usize, field: &'static str) -> Decoded<usize> {
        let count = self.u16(field)?;
        self.fits(u64::from(count), item_len, field)
    }

    fn fits(&self, count: u64, item_len: usize, field: &'static str) -> Decoded<usize> {
        let count = usize::try_from(count).map_err(|_| self.error(field, "too many"))?;
        match count.checked_mul(item_len) {
            Some(len) if len <= self.remaining() => Ok(count),
            _ => Err(self.error(field, "more items than the record holds")),
        }
    }

    /// Reserved bytes.
    pub fn zeros(&mut self, n: usize, field: &'static str) -> Decoded<()> {
        if self.bytes(n, field)?.iter().all(|&b| b == 0) { Ok(()) } else { Err(self.error(field, "not zero")) }
    }

    /// The record must end here.
    pub fn end(&self, field: &'static str) -> Decoded<()> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.error(field, "bytes after the end")) }
    }
}
