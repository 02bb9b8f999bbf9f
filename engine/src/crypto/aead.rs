//! AES-256-GCM records with hedged nonces: `nonce 12 ‖ ciphertext ‖ tag 16`.
//!
//! A nonce is a keyed hash of fresh random bytes *and* of what is sealed, so that a repeated random state (a cloned
//! virtual machine) repeats a nonce only together with its plaintext, which tells nothing.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};

use super::key::SecretKey;

/// Length of a nonce.
pub const NONCE_LEN: usize = 12;
/// Length of a tag.
pub const TAG_LEN: usize = 16;
/// By how much a sealed record is longer than what it seals.
pub const SEAL_OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// A record is not what was sealed under this key with this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal is broken: not written with this key, or changed since")]
pub struct OpenError;

/// Seals and opens the records of one file.
#[expect(missing_debug_implementations, reason = "keys must never reach a log")]
pub struct Aead {
    cipher: Aes256Gcm,
    nonce_key: SecretKey,
    #[cfg(debug_assertions)]
    used: std::sync::Mutex<std::collections::HashSet<[u8; NONCE_LEN]>>,
}

impl Aead {
    /// With the two secret keys of a file.
    pub(super) fn new(seal_key: &SecretKey, nonce_key: SecretKey) -> Self {
        Self {
            cipher: Aes256Gcm::new(seal_key.expose().into()),
            nonce_key,
            #[cfg(debug_assertions)]
            used: std::sync::Mutex::default(),
        }
    }

    /// Seals `record[NONCE_LEN..]` in place, puts the nonce before it and appends the tag.
    ///
    /// `unique` is what makes the plaintext differ from any other under this key: record kind, ordinal, and the
    /// plaintext or the ids that stand for it. The additional data go into the nonce too: two tags under one nonce tell as much
    /// as two plaintexts.
    pub fn seal(&self, record: &mut Vec<u8>, unique: &[&[u8]], aad: &[u8]) -> crate::Result<()> {
        let too_short = || crate::Error::Internal("a record without room for its nonce".to_owned());
        let nonce = self.nonce(super::random()?, unique, aad)?;
        let (front, plaintext) = record.split_at_mut_checked(NONCE_LEN).ok_or_else(too_short)?;
        front.copy_from_slice(&nonce);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), aad, InOutBuf::from(plaintext))
            .map_err(|_| crate::Error::Internal("a record too long to seal".to_owned()))?;
        record.extend_from_slice(&tag);
        Ok(())
    }

    /// Seals `plain`, which stays as it is, into a record of its own; otherwise as [`Self::seal`].
    pub fn seal_apart(&self, plain: &[u8], unique: &[&[u8]], aad: &[u8]) -> crate::Result<Vec<u8>> {
        let broken = || crate::Error::Internal("a record too long to seal".to_owned());
        let nonce = self.nonce(super::random()?, unique, aad)?;
        let mut record = Vec::with_capacity(plain.len() + SEAL_OVERHEAD);
        record.extend_from_slice(&nonce);
        record.resize(NONCE_LEN + plain.len(), 0);
        let text = record.get_mut(NONCE_LEN..).ok_or_else(broken)?;
        let buffers = InOutBuf::new(plain, text).map_err(|_| broken())?;
        let tag = self.cipher.encrypt_inout_detached(&nonce.into(), aad, buffers).map_err(|_| broken())?;
        record.extend_from_slice(&tag);
        Ok(record)
    }

    fn nonce(&self, fresh: [u8; 16], unique: &[&[u8]], aad: &[u8]) -> crate::Result<[u8; NONCE_LEN]> {
        let nonce = hedged_nonce(&self.nonce_key, &fresh, unique, aad);
        #[cfg(debug_assertions)]
        {
            let mut used = self.used.lock().map_err(|_| crate::Error::Internal("poisoned nonce set".to_owned()))?;
            assert!(used.insert(nonce), "a nonce was used twice under one key");
        }
        Ok(nonce)
    }

    /// Opens a record in place; the plaintext is the slice that is returned.
    ///
    /// # Errors
    /// The tag does not match: nothing of the record may be used.
    pub fn open<'r>(&self, record: &'r mut [u8], aad: &[u8]) -> Result<&'r mut [u8], OpenError> {
        let (nonce, rest) = record.split_first_chunk_mut::<NONCE_LEN>().ok_or(OpenError)?;
        let (text, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(OpenError)?;
        let (nonce, tag) = (&*nonce, &*tag);
        self.cipher
            .decrypt_inout_detached(nonce.into(), aad, InOutBuf::from(&mut *text), tag.into())
            .map_err(|_| OpenError)?;
        Ok(text)
    }
}

/// The first 12 bytes of the keyed hash of fresh bytes and of what is sealed.
pub(super) fn hedged_nonce(key: &SecretKey, fresh: &[u8; 16], unique: &[&[u8]], aad: &[u8]) -> [u8; NONCE_LEN] {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(fresh);
    hasher.update(&(aad.len() as u64).to_le_bytes());
    hasher.update(aad);
    for part in unique {
        hasher.update(part);
    }
    let mut nonce = [0; NONCE_LEN];
    hasher.finalize_xof().fill(&mut nonce);
    nonce
}
