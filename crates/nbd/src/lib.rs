//! The server's side of the NBD protocol, without I/O.
//!
//! In: the bytes a client sends, in pieces of any size. Out: bytes to send, and [`Event`]s: an export was opened, a
//! checked request arrived, a piece of a write's data arrived, the client left. Replies are encoded by [`Replies`], in
//! any order and from any thread. Never reads a socket, a clock or a disk; never allocates more than one option's or
//! one request header's worth of input ([`MAX_OPTION_BYTES`]); a write's data is handed on, not collected.
//!
//! ```
//! use nbd::{BlockSizes, Command, Event, Export, Exports, Features, Session, TlsPolicy};
//!
//! let export = Export::new(1 << 20, BlockSizes::default(), Features { flush: true, ..Features::default() })?;
//! let exports = Exports::new([("r0".to_owned(), export)])?;
//! let mut to_client = Vec::new();
//! let mut session = Session::new(exports, TlsPolicy::Unsupported, &mut to_client);
//!
//! fn serve(session: &mut Session, mut input: &[u8], to_client: &mut Vec<u8>) -> Result<(), nbd::Violation> {
//!     while !input.is_empty() {
//!         let step = session.receive(input, to_client)?;
//!         input = &input[step.consumed..];
//!         match step.event {
//!             Some(Event::Request(request)) if request.command == Command::Flush => {
//!                 // … put everything on stable storage, then:
//!                 session.replies().done(&request, to_client);
//!             }
//!             Some(Event::Ended(_)) => return Ok(()),
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! serve(&mut session, &[0, 0, 0, 3], &mut to_client)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is spoken: fixed newstyle with `EXPORT_NAME`, `ABORT`, `LIST`, `STARTTLS` (answered as [`TlsPolicy`] says),
//! `INFO`, `GO`, `STRUCTURED_REPLY`, `LIST_META_CONTEXT` and `SET_META_CONTEXT` for `base:allocation`; the commands
//! `READ` (`DF`), `WRITE`, `DISC`, `FLUSH`, `TRIM`, `CACHE`, `WRITE_ZEROES` (`NO_HOLE`, `FAST_ZERO`), `BLOCK_STATUS`
//! (`REQ_ONE`), all with `FUA`. Everything else is answered with the error that the protocol has for it, and the
//! connection stays usable. Source: the protocol's description, `doc/proto.md` of the NBD project.

mod errno;
mod export;
mod handshake;
mod meta;
mod options;
mod reply;
mod request;
mod session;
mod transmission;
mod wire;

pub use errno::Errno;
pub use export::{
    BlockSizes, Export, ExportError, Exports, Features, MAX_DESCRIPTION_BYTES, MAX_EXPORTS, MAX_NAME_BYTES,
};
pub use handshake::{MAX_OPTION_BYTES, MAX_OPTIONS, TlsPolicy};
pub use reply::{Extent, MAX_EXTENTS, MAX_MESSAGE_BYTES, Part, Replies, ReplyError};
pub use request::{Command, Request};
pub use session::{End, Event, Session, Step, Violation};
pub use transmission::Refused;

#[cfg(test)]
mod tests;
