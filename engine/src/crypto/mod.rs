//! Keys, ids, sealing. Pure but for the system's random bytes; docs/security.md argues, docs/format.md §3 gives the bytes.

mod aead;
mod kdf;
mod key;

pub use aead::{Aead, NONCE_LEN, OpenError, SEAL_OVERHEAD, TAG_LEN};
pub use kdf::{KdfParameters, stretch};
pub use key::{Commitment, KeyRing, Purpose, RecordKeys, SecretKey, Subkey};

use zeroize::Zeroizing;

/// Fresh random bytes of the operating system.
///
/// # Errors
/// The system has none: nothing may be sealed then.
pub fn random<const N: usize>() -> crate::Result<[u8; N]> {
    let mut bytes = [0; N];
    #[cfg(debug_assertions)]
    if crate::simulation::fill(&mut bytes) {
        return Ok(bytes);
    }
    getrandom::fill(&mut bytes)
        .map_err(|error| crate::Error::Internal(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// Fresh random bytes that are a secret.
pub fn random_secret<const N: usize>() -> crate::Result<Zeroizing<[u8; N]>> {
    Ok(Zeroizing::new(random()?))
}

#[cfg(test)]
mod tests;
