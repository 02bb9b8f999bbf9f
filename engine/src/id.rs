//! Newtypes for everything that 32 bytes can name, so that a pack is never looked up as an object.

use std::fmt;

/// Length of every id and name, in bytes.
pub const ID_LEN: usize = 32;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; ID_LEN]);

        impl $name {
            /// Wraps raw bytes.
            pub const fn from_bytes(bytes: [u8; ID_LEN]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
                &self.0
            }

            /// All zeros: where the format says "none".
            pub const fn zero() -> Self {
                Self([0; ID_LEN])
            }

            /// Whether this is "none".
            pub fn is_zero(&self) -> bool {
                self.0 == [0; ID_LEN]
            }

            /// All 64 hexadecimal digits, lower case.
            pub fn to_hex(&self) -> String {
                hex(&self.0)
            }

            /// Reads 64 lower-case hexadecimal digits; anything else is `None`.
            pub fn from_hex(text: &str) -> Option<Self> {
                unhex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0[..4]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex(&self.0[..4]))
            }
        }
    };
}

id_type! {
    /// Names an object: keyed BLAKE3 of its plaintext.
    ObjectId
}
id_type! {
    /// Names a pack: BLAKE3 of its bytes.
    PackId
}
id_type! {
    /// Names an archive: BLAKE3 of its manifest's bytes.
    ArchiveId
}
id_type! {
    /// Names any other file that is named by its bytes: index segment, key slot, event, gc record.
    FileId
}
id_type! {
    /// Names a repository: random.
    RepositoryId
}
id_type! {
    /// Names a key domain: random, shared by repositories made alike.
    DomainId
}

impl From<PackId> for FileId {
    fn from(id: PackId) -> Self {
        Self(id.0)
    }
}

impl From<ArchiveId> for FileId {
    fn from(id: ArchiveId) -> Self {
        Self(id.0)
    }
}

/// Lower-case hexadecimal digits of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Reads exactly `2 * N` lower-case hexadecimal digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(*pair.first()?)? << 4 | value(*pair.get(1)?)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_reads_back_what_it_wrote_and_refuses_the_rest() {
        let id = ObjectId::from_bytes(std::array::from_fn(|i| u8::try_from(i * 7).unwrap_or(9)));
        assert_eq!(ObjectId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(ObjectId::from_hex(&id.to_hex().to_uppercase()), None);
        assert_eq!(ObjectId::from_hex("ab"), None);
        assert_eq!(id.to_string().len(), 8);
    }
}
