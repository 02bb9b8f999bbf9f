//! argon2id: from a passphrase to a key that wraps a bundle, never to a data key.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

/// How hard a passphrase is stretched; stored in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfParameters {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfParameters {
    /// RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes. Also the least that is written.
    pub const FLOOR: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Memory × passes in KiB: what a try costs.
    pub fn cost_kib(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// Whether a reader tries a slot with these, given how much memory it may use.
    pub fn acceptable(&self, memory_limit_kib: u64) -> bool {
        (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
            && self.memory_kib >= 8 * self.lanes
            && u64::from(self.memory_kib) <= memory_limit_kib
            && self.cost_kib() <= 4 * 1024 * 1024
    }
}

/// argon2id, version 0x13, 32 bytes of output.
///
/// # Errors
/// Parameters out of range; check [`KdfParameters::acceptable`] first, because this allocates what they say.
pub fn stretch(passphrase: &[u8], salt: &[u8; 32], parameters: KdfParameters) -> crate::Result<Zeroizing<[u8; 32]>> {
    let unusable = |error: argon2::Error| crate::Error::Internal(format!("argon2id refused its parameters: {error}"));
    let params = Params::new(parameters.memory_kib, parameters.passes, parameters.lanes, Some(32)).map_err(unusable)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut *key)
        .map_err(unusable)?;
    Ok(key)
}
