//! What protects the connection between two replicas: who is there, that nobody else reads or changes what is said, and
//! how the stream is cut into messages. Without I/O, clock or tasks: bytes go in, messages and bytes come out.
//!
//! In: the bytes of one TCP connection, and messages to send. Out: bytes to write, messages, or an error after which the
//! connection is closed. It never reads a socket, waits, or gives a peer a reason; time limits are the caller's
//! ([`HANDSHAKE_TIMEOUT`]).
//!
//! ```text
//! Handshake::dial / ::accept --bytes--> Link { peer, channel, session, sealer, opener }
//! Sealer: push(message)..., seal(out)         Opener: buffer() <- bytes, next_message()
//! ```
//!
//! - The keys come from the volume's shared secret ([`LinkKey`]) and a Diffie-Hellman exchange of their own for every
//!   connection: Noise `NNpsk0` over Curve25519, AES-256-GCM and BLAKE2s. What is recorded today is not read with
//!   the secret of tomorrow.
//! - Both sides are bound to the volume, to which node dials which, and to the channel. What is said in one connection
//!   counts in no other, and in no other direction.
//! - A dialler counts only once it has proved that it is there now: what was recorded earlier never opens a link.
//! - Before that, every message has a fixed length, and nothing is allocated for it.
//! - A connection without protection exists only where both sides were told so ([`Security::Unprotected`]).
//!
//! The bytes are laid down in `docs/wire-protocol.md`, what it protects against in `docs/threat-model.md`.

mod error;
mod handshake;
mod key;
mod keys;
mod preamble;
mod record;

pub use error::LinkError;
pub use handshake::{Endpoint, HANDSHAKE_TIMEOUT, Handshake, Link, SessionId};
pub use key::{KeyError, LinkKey, MAX_SECRET_BYTES, MIN_SECRET_BYTES, Security};
pub use keys::REKEY_RECORDS;
pub use record::{MAX_RECORDS, Opener, RECORD_OVERHEAD_BYTES, Sealer};

#[cfg(test)]
mod tests;
