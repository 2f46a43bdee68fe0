//! The keys of a connection, and when they change.
//!
//! AES-GCM bears only so much under one key: every [`REKEY_RECORDS`] records of a direction its key is replaced by the one
//! that follows from it (Noise, section 11.3). Both ends count the same records, so nothing is said about it.
//!
//! The handshake is Noise's, and what follows is as Noise lays it down; sealed and opened where it lies, because copies
//! are what a fast connection spends its time with.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::error::LinkError;

/// Records under one key: 256 GiB at most, which leaves whoever sees them all an advantage below 2^-60.
pub const REKEY_RECORDS: u64 = 1 << 22;
/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// The nonce with which the next key is made of one; no record has it.
const NEXT_KEY_NONCE: u64 = u64::MAX;

/// The key of one direction.
pub(crate) struct DirectionKey {
    key: LessSafeKey,
    every: u64,
}

impl std::fmt::Debug for DirectionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DirectionKey(..)")
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, LinkError> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| LinkError::Unavailable("AES-256-GCM"))
}

/// Noise's nonce for AES-GCM: four zeroes and the number.
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl DirectionKey {
    /// The one that a handshake came to.
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Result<Self, LinkError> {
        Ok(Self { key: cipher(key)?, every: REKEY_RECORDS })
    }

    /// Changes it more often.
    #[cfg(test)]
    pub(crate) fn changed_every(self, every: u64) -> Self {
        Self { every, ..self }
    }

    /// Seals the record of this number where it lies, and returns its tag; records are sealed in order, each once.
    pub(crate) fn seal(&mut self, number: u64, piece: &mut [u8]) -> Result<[u8; MAX_TAG_LEN], LinkError> {
        self.change_if_due(number)?;
        self.seal_with(number, piece)
    }

    fn seal_with(&self, number: u64, piece: &mut [u8]) -> Result<[u8; MAX_TAG_LEN], LinkError> {
        let tag = self.key.seal_in_place_separate_tag(nonce(number), Aad::empty(), piece);
        let mut bytes = [0; MAX_TAG_LEN];
        bytes.copy_from_slice(tag.map_err(|_| LinkError::Exhausted)?.as_ref());
        Ok(bytes)
    }

    /// Opens the record of this number where it lies; records are opened in order, each once, and none after one that does
    /// not open.
    pub(crate) fn open<'a>(&mut self, number: u64, record: &'a mut [u8]) -> Result<&'a [u8], LinkError> {
        self.change_if_due(number)?;
        let opened = self.key.open_in_place(nonce(number), Aad::empty(), record);
        opened.map(|piece| &*piece).map_err(|_| LinkError::Tampered)
    }

    /// Noise's REKEY: the next key is what 32 zeroes are sealed to.
    fn change_if_due(&mut self, number: u64) -> Result<(), LinkError> {
        if number > 0 && number.is_multiple_of(self.every) {
            let mut next = Zeroizing::new([0; KEY_BYTES]);
            self.seal_with(NEXT_KEY_NONCE, &mut next[..])?;
            self.key = cipher(&next)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use snow::{HandshakeState, StatelessTransportState};

    use super::*;

    const NOISE: &str = "Noise_NN_25519_AESGCM_BLAKE2s";

    /// Two ends that have finished a handshake.
    fn ends() -> [HandshakeState; 2] {
        let mut dialler = snow::Builder::new(NOISE.parse().unwrap()).build_initiator().unwrap();
        let mut acceptor = snow::Builder::new(NOISE.parse().unwrap()).build_responder().unwrap();
        let (mut wire, mut none) = ([0; 128], [0; 128]);
        let len = dialler.write_message(&[], &mut wire).unwrap();
        acceptor.read_message(&wire[..len], &mut none).unwrap();
        let len = acceptor.write_message(&[], &mut wire).unwrap();
        dialler.read_message(&wire[..len], &mut none).unwrap();
        [dialler, acceptor]
    }

    /// The key of the dialler's direction at both ends.
    fn both_ends(every: u64) -> [DirectionKey; 2] {
        ends().map(|mut end| {
            DirectionKey::new(&end.dangerously_get_raw_split().0).unwrap().changed_every(every)
        })
    }

    fn sealed(key: &mut DirectionKey, number: u64) -> [u8; 20] {
        let mut record = [0; 20];
        record[..4].copy_from_slice(b"data");
        let tag = key.seal(number, &mut record[..4]).unwrap();
        record[4..].copy_from_slice(&tag);
        record
    }

    #[test]
    fn both_ends_change_the_key_of_a_direction_at_the_same_record() {
        let [mut here, mut there] = both_ends(3);
        for number in 0..10 {
            assert_eq!(
                there.open(number, &mut sealed(&mut here, number)).unwrap(),
                b"data",
                "record {number}"
            );
        }
    }

    #[test]
    fn what_was_sealed_after_a_change_does_not_open_with_the_key_before() {
        let [mut here, there] = both_ends(3);
        let mut late = there.changed_every(u64::MAX);
        for number in 0..3 {
            late.open(number, &mut sealed(&mut here, number)).unwrap();
        }
        assert!(late.open(3, &mut sealed(&mut here, 3)).is_err());
    }

    /// Noise's own transport at the other end, through a change of keys.
    #[test]
    fn records_are_what_noise_lays_down_in_both_directions() {
        let [mut dialler, acceptor] = ends();
        let (own, other) = dialler.dangerously_get_raw_split();
        let [mut out, mut back] = [own, other].map(|key| DirectionKey::new(&key).unwrap().changed_every(2));
        let mut noise: StatelessTransportState = acceptor.into_stateless_transport_mode().unwrap();
        for number in 0..5 {
            if number > 0 && number % 2 == 0 {
                noise.rekey_incoming();
                noise.rekey_outgoing();
            }
            let mut opened = [0; 20];
            let len = noise.read_message(number, &sealed(&mut out, number), &mut opened).unwrap();
            assert_eq!(&opened[..len], b"data", "record {number}");
            let mut record = [0; 20];
            noise.write_message(number, b"back", &mut record).unwrap();
            assert_eq!(back.open(number, &mut record).unwrap(), b"back", "record {number}");
        }
    }
}
