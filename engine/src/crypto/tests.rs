//! Known answers, and what must not open.

use super::aead::hedged_nonce;
use super::*;
use crate::id::{DomainId, unhex};

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    unhex(hex).unwrap()
}

#[test]
fn blake3_matches_its_published_vectors() {
    // BLAKE3 test_vectors.json: input of 251-cycling bytes, key "whats the Elvish word for friend".
    let input: Vec<u8> = (0..1024u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let key = SecretKey::new(*b"whats the Elvish word for friend");
    assert_eq!(crate::id::hex(&key.hash(&input)), "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4");
    assert_eq!(
        crate::id::hex(blake3::hash(&input).as_bytes()),
        "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"
    );
    assert_eq!(
        crate::id::hex(&blake3::derive_key("BLAKE3 2019-12-27 16:29:52 test vectors context", &input)),
        "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a6896843027066c23b601d3ddfb391e90d5c8eccdef4ae2a264bce9e612ba15e2bc9d654af1481b2e75dbabe615974f1070bba84d56853265a34330b4766f8e75edd1f4a1650476c10802f22b64bd3919d246ba20a17558bc51c199efdec67e80a227251808d8ce5bad6ea1d3f2"
            .get(..64)
            .unwrap()
    );
}

#[test]
fn aes_256_gcm_opens_the_vector_of_the_gcm_specification() {
    // McGrew and Viega, The Galois/Counter Mode of Operation, test case 16.
    use aes_gcm::aead::inout::InOutBuf;
    use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
    let cipher =
        Aes256Gcm::new((&bytes::<32>("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")).into());
    let mut text: Vec<u8> = bytes::<60>(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    )
    .to_vec();
    let aad = bytes::<20>("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let nonce = bytes::<12>("cafebabefacedbaddecaf888");
    let tag = cipher.encrypt_inout_detached((&nonce).into(), &aad, InOutBuf::from(text.as_mut_slice())).unwrap();
    assert_eq!(
        crate::id::hex(&text),
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    );
    assert_eq!(crate::id::hex(&tag), "76fc6ece0f4e1768cddf8853bb2d551b");
}

#[test]
fn argon2id_matches_the_reference_implementation() {
    // `echo -n password | argon2 somesaltsomesaltsomesaltsomesalt -id -t 3 -k 65536 -p 4 -l 32`, reference implementation 20190702.
    let parameters = KdfParameters::FLOOR;
    let key = stretch(b"password", b"somesaltsomesaltsomesaltsomesalt", parameters).unwrap();
    assert_eq!(crate::id::hex(&*key), ARGON2_EXPECTED);
}
const ARGON2_EXPECTED: &str = "f13236b43df54b139157ceb75984e72267e4291e4f522882325c27dfff3d1ed2";

#[test]
fn a_record_opens_with_its_key_and_context_only() {
    let keys = RecordKeys::derive("vault 1 file", &[b"key"]);
    let other = RecordKeys::derive("vault 1 file", &[b"yek"]);
    let mut record = vec![0; NONCE_LEN];
    record.extend_from_slice(b"plaintext");
    keys.aead.seal(&mut record, &[b"plaintext"], b"context").unwrap();
    assert_eq!(record.len(), b"plaintext".len() + SEAL_OVERHEAD);
    assert_eq!(keys.aead.open(&mut record.clone(), b"context").unwrap(), b"plaintext");
    assert_eq!(keys.aead.open(&mut record.clone(), b"contexT"), Err(OpenError));
    assert_eq!(other.aead.open(&mut record.clone(), b"context"), Err(OpenError));
    assert!(keys.commitment != other.commitment);
    for at in 0..record.len() {
        let mut flipped = record.clone();
        flipped[at] ^= 1;
        assert_eq!(keys.aead.open(&mut flipped, b"context"), Err(OpenError), "byte {at}");
    }
    assert_eq!(keys.aead.open(&mut [0; 27], b"context"), Err(OpenError));
}

#[test]
fn a_repeated_random_state_repeats_no_nonce_with_another_plaintext() {
    let key = SecretKey::new([7; 32]);
    let nonces: std::collections::HashSet<_> =
        (0..10_000u32).map(|i| hedged_nonce(&key, &[1; 16], &[&i.to_le_bytes()], b"context")).collect();
    assert_eq!(nonces.len(), 10_000);
}

#[test]
fn data_and_metadata_never_share_an_id() {
    let ring = KeyRing::new(DomainId::from_bytes([1; 32]), SecretKey::new([2; 32]));
    assert_ne!(ring.object_id(Purpose::Data, b"tree"), ring.object_id(Purpose::Meta, b"tree"));
}

#[test]
fn hostile_parameters_are_refused_before_anything_is_allocated() {
    let limit = 1024 * 1024;
    assert!(KdfParameters::FLOOR.acceptable(limit));
    for (memory_kib, passes, lanes) in
        [(u32::MAX, 3, 4), (65536, 0, 4), (65536, 3, 0), (65536, u32::MAX, 4), (7, 1, 1), (1024 * 1024, 5, 4)]
    {
        assert!(!KdfParameters { memory_kib, passes, lanes }.acceptable(limit));
    }
}

#[test]
fn keys_and_ids_are_the_known_answers_of_format_md() {
    let root = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let ring = KeyRing::new(DomainId::from_bytes([0; 32]), SecretKey::new(root));
    let key = |subkey| crate::id::hex(ring.subkey(subkey).expose());
    assert_eq!(key(Subkey::IdData), "f48ca160ba1693d9257411c3c7e079f78a12dcad64fdb452ba28337948b4419e");
    assert_eq!(key(Subkey::SealRoot), "f5632aef4d1d5712d7811100e347de0a99079ed17803a1780f204846da7fa907");
    let id = ring.object_id(Purpose::Data, b"abc");
    assert_eq!(id.to_hex(), "0fd15f5e90abafb23fc8bb3c68644a6ebdf31bf6580489f043ec8013868c3db8");
}
