//! The engine: one owner, typed inputs, synchronous steps.
//!
//! `core` dispatches; each other file is one concept of it: `admission` and `write` are a write's way through, `epoch`
//! what makes it stable, `secondary` the peer's side of it, `connection` and `negotiation` how two nodes meet, `sync`
//! and `sync_source` the two sides of a resynchronisation, `verify` the comparison, `generation_change` new generations,
//! `orders` what the admin says of the data, `congestion` peers that do not keep up, `two_primaries` two that write at
//! once, `role` promotion and demotion, `guard` what stops I/O, `fencing` the handlers that fence, `presence` which peers were seen since when,
//! `disk` the own disk and its metadata, `timers` the waits. None of them does I/O or reads a clock.

mod admission;
mod congestion;
mod connection;
mod core;
mod disk;
mod epoch;
mod fencing;
mod generation_change;
mod guard;
mod inspect;
mod negotiation;
mod orders;
mod peer;
mod presence;
mod resize;
mod role;
mod secondary;
mod sync;
mod sync_source;
mod timers;
mod two_primaries;
mod verify;
mod write;

pub use core::Replica;
pub use inspect::{PeerStatus, Suspension};
