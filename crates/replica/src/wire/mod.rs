//! What replicas say to one another: typed messages, and frames around them.
//!
//! In: messages to encode, bytes to decode. Out: bytes, messages, or an error after which the connection is dropped. A
//! length is never believed beyond its limit, and nothing that arrives makes a replica panic.

mod field;
mod frame;
mod message;
mod part;

pub use field::WireError;
pub use frame::{FRAME_HEADER_BYTES, Frames, Integrity, encode, encode_detached};
pub use message::{
    Channel, Hello, MAX_INSYNC_RANGES, Message, PeerReport, Refusal, WIRE_VERSION, WireWrite, WriteBody,
};
