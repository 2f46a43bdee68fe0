//! The handshake: greeting, client flags, options, until an export is opened.
//!
//! In: bytes from the client. Out: replies to options, and finally a [`Transmission`]. Consumes exactly the bytes of
//! one message per call, so that what follows a `STARTTLS` or a `GO` is left for whom it is meant.

use crate::export::{Export, Exports, MAX_NAME_BYTES};
use crate::meta::{ALLOCATION, ALLOCATION_ID, MetaRequest};
use crate::options::{InfoRequest, OptionReply, name};
use crate::session::Violation;
use crate::transmission::Transmission;
use crate::wire::{
    FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES, Fields, INIT_MAGIC, OPTION_MAGIC, info, opt, put16, put32, put64,
    rep,
};

/// Most data of one option in bytes. A longer one is read away and answered with `NBD_REP_ERR_TOO_BIG`.
pub const MAX_OPTION_BYTES: u32 = 1 << 16;
/// Most options before an export is opened; after that the connection is dropped.
pub const MAX_OPTIONS: u32 = 1024;
/// Bytes of an option before its data.
const OPTION_HEADER_BYTES: usize = 16;
/// Bytes of the client's flags.
const CLIENT_FLAGS_BYTES: usize = 4;
/// Zeroes after the reply to `EXPORT_NAME` for clients that did not wave them.
const TRAILING_ZEROES: usize = 124;

/// What a server says to `STARTTLS`, and to those who do not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPolicy {
    /// There is no TLS (on a unix socket): `NBD_REP_ERR_UNSUP`.
    Unsupported,
    /// There could be, but it is not wanted: `NBD_REP_ERR_POLICY`.
    Refused,
    /// The client may choose, but for exports that are [`Export::tls_only`].
    Offered,
    /// Nothing but `STARTTLS` and `ABORT` before it.
    Required,
}

/// What one step of the handshake came to.
pub(crate) enum Outcome {
    /// More is to come.
    Going,
    /// TLS begins now.
    StartTls,
    /// An export was opened.
    Opened(Transmission),
    /// The client gave up.
    Aborted,
}

enum Stage {
    ClientFlags,
    Header,
    Data { option: u32, bytes: usize },
    Drain { option: u32, left: u32, answer: (u32, &'static str) },
}

/// A handshake under way.
pub(crate) struct Handshake {
    exports: Exports,
    policy: TlsPolicy,
    encrypted: bool,
    fixed: bool,
    zeroes: bool,
    structured: bool,
    /// The export for which `base:allocation` was selected.
    allocation_of: Option<String>,
    options: u32,
    stage: Stage,
    buffer: Vec<u8>,
}

impl Handshake {
    pub(crate) fn new(exports: Exports, policy: TlsPolicy, out: &mut Vec<u8>) -> Self {
        put64(out, INIT_MAGIC);
        put64(out, OPTION_MAGIC);
        put16(out, FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES);
        Self {
            exports,
            policy,
            encrypted: false,
            fixed: false,
            zeroes: true,
            structured: false,
            allocation_of: None,
            options: 0,
            stage: Stage::ClientFlags,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, Outcome), Violation> {
        let wanted = match self.stage {
            Stage::ClientFlags => CLIENT_FLAGS_BYTES,
            Stage::Header => OPTION_HEADER_BYTES,
            Stage::Data { bytes, .. } => bytes,
            Stage::Drain { option, left, answer } => {
                let taken = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                // `taken` is at most `left`.
                let left = left - u32::try_from(taken).unwrap_or(left);
                self.stage = Stage::Drain { option, left, answer };
                if left == 0 {
                    self.stage = Stage::Header;
                    return self.drained(option, answer, out).map(|outcome| (taken, outcome));
                }
                return Ok((taken, Outcome::Going));
            }
        };
        let taken = input.len().min(wanted - self.buffer.len());
        self.buffer.extend_from_slice(&input[..taken]);
        if self.buffer.len() < wanted {
            return Ok((taken, Outcome::Going));
        }
        let message = std::mem::take(&mut self.buffer);
        let outcome = match self.stage {
            Stage::ClientFlags => self.client_flags(&message),
            Stage::Header => self.header(&message, out),
            Stage::Data { option, .. } => {
                self.stage = Stage::Header;
                self.option(option, &message, out)
            }
            // Handled above.
            Stage::Drain { .. } => Ok(Outcome::Going),
        }?;
        Ok((taken, outcome))
    }

    fn client_flags(&mut self, message: &[u8]) -> Result<Outcome, Violation> {
        let flags = Fields(message).u32().unwrap_or_default();
        let (fixed, no_zeroes) = (u32::from(FLAG_FIXED_NEWSTYLE), u32::from(FLAG_NO_ZEROES));
        if flags & !(fixed | no_zeroes) != 0 {
            return Err(Violation::ClientFlags(flags));
        }
        self.fixed = flags & fixed != 0;
        self.zeroes = flags & no_zeroes == 0;
        self.stage = Stage::Header;
        Ok(Outcome::Going)
    }

    fn header(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<Outcome, Violation> {
        let mut fields = Fields(message);
        let magic = fields.u64().unwrap_or_default();
        let option = fields.u32().unwrap_or_default();
        let length = fields.u32().unwrap_or_default();
        if magic != OPTION_MAGIC {
            return Err(Violation::OptionMagic(magic));
        }
        self.options += 1;
        if self.options > MAX_OPTIONS {
            return Err(Violation::TooManyOptions);
        }
        if !self.fixed && option != opt::EXPORT_NAME {
            return Err(Violation::NotFixed(option));
        }
        if let Some(answer) = self.refusal(option, length)? {
            if length == 0 {
                return self.drained(option, answer, out);
            }
            self.stage = Stage::Drain { option, left: length, answer };
            return Ok(Outcome::Going);
        }
        if length == 0 {
            return self.option(option, &[], out);
        }
        // At most `MAX_OPTION_BYTES`: `refusal` saw to it.
        self.stage = Stage::Data { option, bytes: usize::try_from(length).unwrap_or(0) };
        Ok(Outcome::Going)
    }

    /// The error (or, for `ABORT`, the acknowledgement) for an option whose data need not be looked at.
    fn refusal(&self, option: u32, length: u32) -> Result<Option<(u32, &'static str)>, Violation> {
        if option == opt::ABORT {
            return Ok(Some((rep::ACK, "")));
        }
        let tls_first = self.policy == TlsPolicy::Required && !self.encrypted;
        if option == opt::EXPORT_NAME {
            if tls_first {
                return Err(Violation::Unencrypted);
            }
            let fits = usize::try_from(length).is_ok_and(|length| length <= MAX_NAME_BYTES);
            return if fits { Ok(None) } else { Err(Violation::UnknownExport) };
        }
        Ok(if tls_first && option != opt::STARTTLS {
            Some((rep::ERR_TLS_REQD, "TLS must be started first"))
        } else if !matches!(
            option,
            opt::LIST
                | opt::STARTTLS
                | opt::INFO
                | opt::GO
                | opt::STRUCTURED_REPLY
                | opt::LIST_META_CONTEXT
                | opt::SET_META_CONTEXT
        ) {
            Some((rep::ERR_UNSUP, "this option is not known here"))
        } else if matches!(option, opt::LIST | opt::STARTTLS | opt::STRUCTURED_REPLY) && length > 0 {
            Some((rep::ERR_INVALID, "this option takes no data"))
        } else if length > MAX_OPTION_BYTES {
            Some((rep::ERR_TOO_BIG, "the option has too much data"))
        } else {
            None
        })
    }

    /// Answers an option whose data was read away.
    fn drained(
        &mut self,
        option: u32,
        (kind, message): (u32, &'static str),
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Violation> {
        if option == opt::SET_META_CONTEXT {
            self.allocation_of = None;
        }
        OptionReply { option, out }.error(kind, message);
        Ok(if option == opt::ABORT { Outcome::Aborted } else { Outcome::Going })
    }

    fn option(&mut self, option: u32, data: &[u8], out: &mut Vec<u8>) -> Result<Outcome, Violation> {
        if option == opt::EXPORT_NAME {
            return self.export_name(data, out);
        }
        let mut reply = OptionReply { option, out };
        match option {
            opt::LIST => self.list(&mut reply),
            opt::STARTTLS => return Ok(self.start_tls(&mut reply)),
            opt::INFO | opt::GO => return Ok(self.info(data, &mut reply)),
            opt::STRUCTURED_REPLY => {
                self.structured = true;
                reply.ack();
            }
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => self.meta_context(data, &mut reply),
            // `refusal` lets nothing else through.
            _ => reply.error(rep::ERR_UNSUP, "this option is not known here"),
        }
        Ok(Outcome::Going)
    }

    /// Whether the client may know of the export.
    const fn visible(&self, export: &Export) -> bool {
        self.encrypted || !export.is_tls_only()
    }

    fn list(&self, reply: &mut OptionReply<'_>) {
        for (name, export) in self.exports.iter().filter(|(_, export)| self.visible(export)) {
            reply.server(name, export);
        }
        reply.ack();
    }

    fn start_tls(&mut self, reply: &mut OptionReply<'_>) -> Outcome {
        match self.policy {
            TlsPolicy::Unsupported => reply.error(rep::ERR_UNSUP, "there is no TLS here"),
            TlsPolicy::Refused => reply.error(rep::ERR_POLICY, "TLS is not wanted here"),
            TlsPolicy::Offered | TlsPolicy::Required if self.encrypted => {
                reply.error(rep::ERR_INVALID, "TLS was started before");
            }
            TlsPolicy::Offered | TlsPolicy::Required => {
                reply.ack();
                // Whatever was agreed on before could have been agreed on by somebody in between.
                self.encrypted = true;
                self.structured = false;
                self.allocation_of = None;
                return Outcome::StartTls;
            }
        }
        Outcome::Going
    }

    /// The export that the client may open under this name, or the error to answer with.
    fn find(&self, name: &str) -> Result<(&str, &Export), (u32, &'static str)> {
        match self.exports.find(name) {
            Some((_, export)) if !self.visible(export) => {
                Err((rep::ERR_TLS_REQD, "this export is to be had over TLS only"))
            }
            Some(found) => Ok(found),
            None => Err((rep::ERR_UNKNOWN, "there is no such export")),
        }
    }

    fn info(&self, data: &[u8], reply: &mut OptionReply<'_>) -> Outcome {
        let Some(request) = InfoRequest::parse(data) else {
            reply.error(rep::ERR_INVALID, "the option's data is malformed");
            return Outcome::Going;
        };
        let (name, export) = match self.find(request.name) {
            Ok(found) => found,
            Err((kind, message)) => {
                reply.error(kind, message);
                return Outcome::Going;
            }
        };
        reply.infos(&request, name, export, self.structured);
        if export.insists_on_blocks() && !request.asks_for(info::BLOCK_SIZE) {
            reply.error(rep::ERR_BLOCK_SIZE_REQD, "this export wants its block sizes kept to");
            return Outcome::Going;
        }
        reply.ack();
        if reply.option == opt::GO { self.open(name, export) } else { Outcome::Going }
    }

    fn open(&self, name: &str, export: &Export) -> Outcome {
        let allocation = self.allocation_of.as_deref() == Some(name);
        Outcome::Opened(Transmission::new(name.to_owned(), export.clone(), self.structured, allocation))
    }

    fn export_name(&self, data: &[u8], out: &mut Vec<u8>) -> Result<Outcome, Violation> {
        // This option knows no errors.
        let name = name(data).ok_or(Violation::UnknownExport)?;
        let (name, export) = self.find(name).map_err(|(kind, _)| match kind {
            rep::ERR_TLS_REQD => Violation::Unencrypted,
            _ => Violation::UnknownExport,
        })?;
        if export.insists_on_blocks() {
            return Err(Violation::NoBlockSizes);
        }
        put64(out, export.size());
        put16(out, export.flags(self.structured));
        if self.zeroes {
            out.resize(out.len() + TRAILING_ZEROES, 0);
        }
        Ok(self.open(name, export))
    }

    fn meta_context(&mut self, data: &[u8], reply: &mut OptionReply<'_>) {
        let setting = reply.option == opt::SET_META_CONTEXT;
        if setting {
            // Replaced also by a request that fails.
            self.allocation_of = None;
        }
        if !self.structured {
            return reply.error(rep::ERR_INVALID, "structured replies must be agreed on first");
        }
        let Some(request) = MetaRequest::parse(data) else {
            return reply.error(rep::ERR_INVALID, "the option's data is malformed");
        };
        let found =
            self.find(request.name).map(|(name, export)| (name.to_owned(), export.features().allocation));
        let (name, offered) = match found {
            Ok(found) => found,
            Err((kind, message)) => return reply.error(kind, message),
        };
        let named = if setting { request.selects_allocation() } else { request.lists_allocation() };
        if named && offered {
            reply.with(rep::META_CONTEXT, |out| {
                put32(out, if setting { ALLOCATION_ID } else { 0 });
                out.extend_from_slice(ALLOCATION.as_bytes());
            });
            if setting {
                self.allocation_of = Some(name);
            }
        }
        reply.ack();
    }
}
