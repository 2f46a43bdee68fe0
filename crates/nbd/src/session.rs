//! One connection: the handshake, then requests, then the end.

use crate::export::{Export, ExportError, Exports};
use crate::handshake::{Handshake, Outcome, TlsPolicy};
use crate::reply::Replies;
use crate::request::Request;
use crate::transmission::{Refused, Transmission};

/// What a client does that can only be answered by dropping the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Flags in the handshake that this server did not offer.
    #[error("the client set unknown flags in the handshake: {0:#x}")]
    ClientFlags(u32),
    /// What should be an option is none.
    #[error("an option does not begin as options do: {0:#x}")]
    OptionMagic(u64),
    /// An option from a client that did not say that it knows of replies to options.
    #[error("option {0} from a client that does not speak the fixed newstyle handshake")]
    NotFixed(u32),
    /// More than [`crate::MAX_OPTIONS`] options.
    #[error("too many options before an export was opened")]
    TooManyOptions,
    /// `EXPORT_NAME` with a name that is not there.
    #[error("the client asked for an export that does not exist")]
    UnknownExport,
    /// `EXPORT_NAME` without TLS where there must be TLS.
    #[error("the client asked for an export without starting TLS")]
    Unencrypted,
    /// `EXPORT_NAME` of an export that insists on its block sizes.
    #[error("the client asked for an export without asking for its block sizes")]
    NoBlockSizes,
    /// What should be a request is none.
    #[error("a request does not begin as requests do: {0:#x}")]
    RequestMagic(u32),
}

/// How a session ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client aborted the handshake.
    Aborted,
    /// The client disconnected. Requests it still waits for are to be completed, their replies sent.
    Disconnected,
}

/// What the client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The client will speak TLS from the next byte on: send what is to be sent, do TLS's own handshake, and pass what
    /// was decrypted to [`Session::receive`] from then on. Input that was read already belongs to TLS.
    StartTls,
    /// An export was opened: see [`Session::export_name`], [`Session::replies`].
    Opened,
    /// A request to be carried out and answered.
    Request(Request),
    /// Data of the write that was the last [`Event::Request`].
    Payload {
        /// The next bytes.
        data: &'a [u8],
        /// Whether these are the last ones.
        last: bool,
    },
    /// A request was refused; it has been answered.
    Refused {
        /// The client's cookie.
        cookie: u64,
        /// Why.
        refused: Refused,
    },
    /// The session is over: send what is to be sent and close the connection.
    Ended(End),
}

/// What became of some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes of the input that were used; at least one if there was one.
    pub consumed: usize,
    /// What they amount to.
    pub event: Option<Event<'a>>,
}

enum Phase {
    Handshake(Box<Handshake>),
    Transmission(Box<Transmission>),
    Ended,
}

/// The server's side of one connection.
pub struct Session {
    phase: Phase,
}

impl Session {
    /// A session with a client that has just connected. The greeting is appended to `out`.
    #[must_use]
    pub fn new(exports: Exports, tls: TlsPolicy, out: &mut Vec<u8>) -> Self {
        Self { phase: Phase::Handshake(Box::new(Handshake::new(exports, tls, out))) }
    }

    /// Takes bytes from the client, up to the end of one message: call again with the rest until all are consumed. What
    /// is to be sent is appended to `out`; that is one message's worth, so a caller that stops calling while `out` has
    /// not been sent is never made to hold more.
    ///
    /// # Errors
    /// When the connection must be dropped. Replies already in `out` may still be sent; the session is over.
    pub fn receive<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Result<Step<'a>, Violation> {
        let result = match &mut self.phase {
            Phase::Handshake(handshake) => handshake.receive(input, out).map(|(consumed, outcome)| {
                let event = match outcome {
                    Outcome::Going => None,
                    Outcome::StartTls => Some(Event::StartTls),
                    Outcome::Aborted => Some(Event::Ended(End::Aborted)),
                    Outcome::Opened(transmission) => {
                        self.phase = Phase::Transmission(Box::new(transmission));
                        Some(Event::Opened)
                    }
                };
                Step { consumed, event }
            }),
            Phase::Transmission(transmission) => {
                transmission.receive(input, out).map(|(consumed, event)| Step { consumed, event })
            }
            Phase::Ended => Ok(Step { consumed: input.len(), event: None }),
        };
        if matches!(result, Err(_) | Ok(Step { event: Some(Event::Ended(_)), .. })) {
            self.phase = Phase::Ended;
        }
        result
    }

    const fn transmission(&self) -> Option<&Transmission> {
        match &self.phase {
            Phase::Transmission(transmission) => Some(transmission),
            _ => None,
        }
    }

    /// How to reply to this client. Settled once an export was opened.
    #[must_use]
    pub fn replies(&self) -> Replies {
        self.transmission().map_or(Replies::new(false), Transmission::replies)
    }

    /// The name of the opened export.
    #[must_use]
    pub fn export_name(&self) -> Option<&str> {
        self.transmission().map(Transmission::name)
    }

    /// The opened export.
    #[must_use]
    pub fn export(&self) -> Option<&Export> {
        self.transmission().map(Transmission::export)
    }

    /// Bytes of a write's data that are still to come. They may be read from the connection straight to where they
    /// belong, without [`Session::receive`], if [`Session::payload_taken`] is told.
    #[must_use]
    pub fn payload_left(&self) -> u32 {
        self.transmission().map_or(0, Transmission::payload_left)
    }

    /// Says that so many bytes of a write's data were read past this session; at most [`Session::payload_left`] count.
    pub fn payload_taken(&mut self, bytes: u32) {
        if let Phase::Transmission(transmission) = &mut self.phase {
            transmission.payload_taken(bytes.min(transmission.payload_left()));
        }
    }

    /// Says that the opened export has another size now. Clients learn it when they connect anew, but requests are held
    /// against it at once.
    ///
    /// # Errors
    /// When the export cannot have that size; it keeps the one it had.
    pub fn resize(&mut self, size: u64) -> Result<(), ExportError> {
        if let Phase::Transmission(transmission) = &mut self.phase {
            let resized = transmission.export().resized(size)?;
            transmission.set_export(resized);
        }
        Ok(())
    }
}
