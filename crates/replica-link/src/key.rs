//! From a shared secret to the key of a volume's connections.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a secret at least.
pub const MIN_SECRET_BYTES: usize = 8;
/// Bytes of a secret at most: what DRBD's `shared-secret` takes.
pub const MAX_SECRET_BYTES: usize = 64;
/// Bytes of a volume's name at most.
pub(crate) const MAX_VOLUME_BYTES: usize = 255;
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Memory that a guess at the secret costs, in KiB, and rounds over it: what OWASP advises for Argon2id.
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
const ARGON2_ROUNDS: u32 = 2;
const ARGON2_LANES: u32 = 1;
/// Sets these keys apart from all others that anybody makes of the same secret.
const SALT_LABEL: &[u8] = b"hactl replica link key, version 1: ";

/// Why a secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Too short or too long.
    #[error("a shared secret of {0} bytes cannot be used: {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")]
    SecretLength(usize),
    /// The name of the volume is empty or too long.
    #[error("a volume's name of {0} bytes cannot be used: 1 to {MAX_VOLUME_BYTES} bytes")]
    VolumeLength(usize),
    /// The key could not be made.
    #[error("a key could not be made of the shared secret: {0}")]
    Derivation(argon2::Error),
}

/// The key of a volume's connections. It is not shown, and wiped when dropped.
#[derive(Clone)]
pub struct LinkKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

impl LinkKey {
    /// Out of the shared secret, for one volume: Argon2id, so that a recorded handshake gives whoever guesses at a weak
    /// secret hard work. It takes 19 MiB and some tens of milliseconds: once at the start.
    ///
    /// # Errors
    /// The secret is too short or too long, or the volume has no usable name.
    pub fn derive(secret: &[u8], volume: &str) -> Result<Self, KeyError> {
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.len()) {
            return Err(KeyError::SecretLength(secret.len()));
        }
        if !(1..=MAX_VOLUME_BYTES).contains(&volume.len()) {
            return Err(KeyError::VolumeLength(volume.len()));
        }
        let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_ROUNDS, ARGON2_LANES, Some(KEY_BYTES))
            .map_err(KeyError::Derivation)?;
        let salt = [SALT_LABEL, volume.as_bytes()].concat();
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(secret, &salt, &mut *key)
            .map_err(KeyError::Derivation)?;
        Ok(Self(key))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// How connections are protected. There is no default: whoever wants none has to say so.
#[derive(Debug, Clone)]
pub enum Security {
    /// Both sides prove that they know the secret, and all is encrypted.
    Key(LinkKey),
    /// Nobody proves anything, and everybody on the way can read and change all of it. For a wire between two machines,
    /// and for measuring.
    Unprotected,
}
