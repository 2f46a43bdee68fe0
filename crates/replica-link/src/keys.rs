//! The keys of a connection, and when they change.
//!
//! AES-GCM bears only so much under one key: every [`REKEY_RECORDS`] records of a direction its key is replaced by the one
//! that follows from it (Noise, section 11.3). Both ends count the same records, so nothing is said about it.

use std::sync::{Arc, PoisonError, RwLock};

use snow::StatelessTransportState;

use crate::error::LinkError;

/// Records under one key: 256 GiB at most, which leaves whoever sees them all an advantage below 2^-60.
pub const REKEY_RECORDS: u64 = 1 << 22;

/// The keys of both directions, shared by the two halves of a connection.
#[derive(Clone)]
pub(crate) struct Keys {
    state: Arc<RwLock<StatelessTransportState>>,
    every: u64,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    /// Those that a handshake came to.
    pub(crate) fn new(state: StatelessTransportState) -> Self {
        Self { state: Arc::new(RwLock::new(state)), every: REKEY_RECORDS }
    }

    /// Changes them more often.
    #[cfg(test)]
    pub(crate) fn changed_every(self, every: u64) -> Self {
        Self { every, ..self }
    }

    /// Seals the record of this number; records are sealed in order, each once.
    pub(crate) fn seal(&self, number: u64, piece: &[u8], out: &mut [u8]) -> Result<(), LinkError> {
        if self.is_due(number) {
            self.state.write().unwrap_or_else(PoisonError::into_inner).rekey_outgoing();
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.write_message(number, piece, out).map_err(|_| LinkError::Exhausted)?;
        Ok(())
    }

    /// Opens the record of this number; records are opened in order, each once, and none after one that does not open.
    pub(crate) fn open(&self, number: u64, record: &[u8], out: &mut [u8]) -> Result<(), LinkError> {
        if self.is_due(number) {
            self.state.write().unwrap_or_else(PoisonError::into_inner).rekey_incoming();
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.read_message(number, record, out).map_err(|_| LinkError::Tampered)?;
        Ok(())
    }

    fn is_due(&self, number: u64) -> bool {
        number > 0 && number.is_multiple_of(self.every)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    const NOISE: &str = "Noise_NN_25519_AESGCM_BLAKE2s";

    fn both_ends(every: u64) -> [Keys; 2] {
        let mut dialler = snow::Builder::new(NOISE.parse().unwrap()).build_initiator().unwrap();
        let mut acceptor = snow::Builder::new(NOISE.parse().unwrap()).build_responder().unwrap();
        let (mut wire, mut none) = ([0; 128], [0; 128]);
        let len = dialler.write_message(&[], &mut wire).unwrap();
        acceptor.read_message(&wire[..len], &mut none).unwrap();
        let len = acceptor.write_message(&[], &mut wire).unwrap();
        dialler.read_message(&wire[..len], &mut none).unwrap();
        [dialler, acceptor]
            .map(|end| Keys::new(end.into_stateless_transport_mode().unwrap()).changed_every(every))
    }

    fn sealed(keys: &Keys, number: u64) -> [u8; 20] {
        let mut record = [0; 20];
        keys.seal(number, b"data", &mut record).unwrap();
        record
    }

    #[test]
    fn both_ends_change_the_key_of_a_direction_at_the_same_record_and_only_that() {
        let [dialler, acceptor] = both_ends(3);
        for number in 0..10 {
            let mut opened = [0; 20];
            acceptor.open(number, &sealed(&dialler, number), &mut opened).unwrap();
            assert_eq!(&opened[..4], b"data", "record {number}");
        }
        let mut opened = [0; 20];
        dialler.open(0, &sealed(&acceptor, 0), &mut opened).unwrap();
        assert_eq!(&opened[..4], b"data", "the other direction has its first key still");
    }

    #[test]
    fn what_was_sealed_after_a_change_does_not_open_with_the_key_before() {
        let [dialler, acceptor] = both_ends(3);
        let late = acceptor.changed_every(u64::MAX);
        for number in 0..3 {
            late.open(number, &sealed(&dialler, number), &mut [0; 20]).unwrap();
        }
        assert!(late.open(3, &sealed(&dialler, 3), &mut [0; 20]).is_err());
    }
}
