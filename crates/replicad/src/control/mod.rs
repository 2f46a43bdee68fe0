//! The control socket: JSON lines, one request or answer each, with the version of the protocol in every line.

mod client;
mod protocol;
mod server;

pub use client::{CallError, Connection};
pub use protocol::{Outcome, PROTOCOL_VERSION, Reply, Request, Verb};
pub(crate) use server::{ControlEvent, ControlServer};
