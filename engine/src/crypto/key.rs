//! Secret keys and what derives from what: one label per purpose, the root key never used directly.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::aead::Aead;
use crate::id::{DomainId, ObjectId};

/// 32 secret bytes, wiped when dropped; neither printable nor cloneable by accident.
#[derive(Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a key must never reach a log")]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Takes the bytes over.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for deriving and sealing only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Keyed BLAKE3.
    pub fn hash(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, bytes).as_bytes()
    }
}

/// What a subkey is for: its number in a bundle, and its label (docs/format.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subkey {
    /// Ids of chunks.
    IdData,
    /// Ids of metadata objects.
    IdMeta,
    /// The chunker's gear table.
    Chunker,
    /// Where directories are split.
    Names,
    /// Packs of class data.
    SealData,
    /// Packs of class meta.
    SealMeta,
    /// Index segments.
    SealIndex,
    /// Manifests.
    SealRoot,
    /// Events.
    SealEvent,
    /// Gc records.
    SealGc,
    /// Sessions.
    SealSession,
    /// The profile in `config`.
    SealConfig,
}

impl Subkey {
    fn context(self) -> &'static str {
        match self {
            Self::IdData => "vault 1 key id data",
            Self::IdMeta => "vault 1 key id meta",
            Self::Chunker => "vault 1 key chunker",
            Self::Names => "vault 1 key names",
            Self::SealData => "vault 1 key seal data",
            Self::SealMeta => "vault 1 key seal meta",
            Self::SealIndex => "vault 1 key seal index",
            Self::SealRoot => "vault 1 key seal root",
            Self::SealEvent => "vault 1 key seal event",
            Self::SealGc => "vault 1 key seal gc",
            Self::SealSession => "vault 1 key seal session",
            Self::SealConfig => "vault 1 key seal config",
        }
    }
}

/// Which keys name an object: file content can never carry a metadata id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// A chunk of a file's bytes.
    Data,
    /// A tree, stamp, content list, attribute set or warning list.
    Meta,
}

/// Every key of a domain that a reader and writer with the full role holds.
#[expect(missing_debug_implementations, reason = "keys must never reach a log")]
pub struct KeyRing {
    domain: DomainId,
    root: SecretKey,
    id_data: SecretKey,
    id_meta: SecretKey,
    names: SecretKey,
}

impl KeyRing {
    /// Derives the ring of a domain from its root key.
    pub fn new(domain: DomainId, root: SecretKey) -> Self {
        let derive = |subkey| derive_subkey(&root, subkey);
        Self {
            domain,
            id_data: derive(Subkey::IdData),
            id_meta: derive(Subkey::IdMeta),
            names: derive(Subkey::Names),
            root,
        }
    }

    /// The domain these keys belong to.
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// The root key, for wrapping it into another slot.
    pub fn root(&self) -> &SecretKey {
        &self.root
    }

    /// The id of an object: keyed BLAKE3 over all of its plaintext.
    pub fn object_id(&self, purpose: Purpose, plaintext: &[u8]) -> ObjectId {
        let key = match purpose {
            Purpose::Data => &self.id_data,
            Purpose::Meta => &self.id_meta,
        };
        ObjectId::from_bytes(key.hash(plaintext))
    }

    /// The hash that splits directories and groups hard links.
    pub fn name_hash(&self, name: &[u8]) -> [u8; 32] {
        self.names.hash(name)
    }

    /// Any other subkey.
    pub fn subkey(&self, subkey: Subkey) -> SecretKey {
        derive_subkey(&self.root, subkey)
    }
}

fn derive_subkey(root: &SecretKey, subkey: Subkey) -> SecretKey {
    SecretKey(blake3::derive_key(subkey.context(), root.expose()))
}

/// Proof of which key sealed a file, compared before anything is opened: AES-GCM alone does not commit to its key.
#[derive(Clone, Copy, Debug)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// From a header.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For a header.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Commitment {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The keys of one sealed file, config or slot.
#[expect(missing_debug_implementations, reason = "keys must never reach a log")]
pub struct RecordKeys {
    /// Seals and opens.
    pub aead: Aead,
    /// Goes into the header.
    pub commitment: Commitment,
}

impl RecordKeys {
    /// `K_seal ‖ K_nonce ‖ COMMIT = derive(context, parts…, 96)`.
    pub fn derive(context: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for part in parts {
            hasher.update(part);
        }
        let mut output = hasher.finalize_xof();
        let mut next = || {
            let mut bytes = [0; 32];
            output.fill(&mut bytes);
            bytes
        };
        let (seal, nonce, commitment) = (SecretKey(next()), SecretKey(next()), Commitment(next()));
        output.zeroize();
        hasher.zeroize();
        Self { aead: Aead::new(&seal, nonce), commitment }
    }
}
