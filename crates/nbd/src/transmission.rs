//! The transmission phase: requests are decoded and checked; those that must not be are refused here.
//!
//! In: bytes from the client. Out: [`Request`]s, the data of writes as slices of the input, and, for a request that the
//! protocol or the export does not allow, the error reply. The data of a refused write is read away, so that the next
//! request is found.

use crate::errno::Errno;
use crate::export::Export;
use crate::reply::Replies;
use crate::request::{Command, Request};
use crate::session::{End, Event, Violation};
use crate::wire::{Fields, REQUEST_MAGIC, cmd};

/// Bytes of a request without its data.
const REQUEST_BYTES: usize = 28;

/// Why a request was refused. Its text goes to the client where structured replies were agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// No command of this protocol.
    #[error("the command is not known here")]
    Command,
    /// The export does not offer this command.
    #[error("the export does not offer this command")]
    NotOffered,
    /// The export does not offer this flag, or the command does not take it.
    #[error("the command does not take these flags here")]
    Flags,
    /// A write of any kind to a read-only export.
    #[error("the export is read-only")]
    ReadOnly,
    /// A flush of a part of the export.
    #[error("a flush takes neither offset nor length")]
    FlushRange,
    /// Offset or length is not a multiple of the minimum block size.
    #[error("offset or length is not a multiple of the minimum block size")]
    Unaligned,
    /// The range ends after the export.
    #[error("the range ends after the end of the export")]
    BeyondEnd,
    /// Data is to be written after the end of the export.
    #[error("the range to be written ends after the end of the export")]
    WriteBeyondEnd,
    /// More data at once than the export's maximum block size.
    #[error("the length is more than the maximum block size")]
    TooLong,
    /// `BLOCK_STATUS` of nothing.
    #[error("the range is empty")]
    Empty,
    /// `BLOCK_STATUS` without `base:allocation` having been selected for this export.
    #[error("no metadata context was selected for this export")]
    NoContext,
}

impl Refused {
    /// What is answered.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::ReadOnly => Errno::Perm,
            Self::WriteBeyondEnd => Errno::NoSpc,
            _ => Errno::Inval,
        }
    }
}

#[derive(Clone, Copy)]
enum Stage {
    Header,
    /// Data of a write that is handed on.
    Payload {
        left: u32,
    },
    /// Data of a write that was refused. It is answered when the data is through: clients do not expect the reply to
    /// a request that they are still sending.
    Drain {
        left: u32,
        cookie: u64,
        refused: Refused,
    },
}

/// An opened export.
pub(crate) struct Transmission {
    name: String,
    export: Export,
    structured: bool,
    allocation: bool,
    stage: Stage,
    buffer: Vec<u8>,
}

struct Header {
    flags: u16,
    command: u16,
    cookie: u64,
    offset: u64,
    length: u32,
}

impl Transmission {
    pub(crate) const fn new(name: String, export: Export, structured: bool, allocation: bool) -> Self {
        Self { name, export, structured, allocation, stage: Stage::Header, buffer: Vec::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn export(&self) -> &Export {
        &self.export
    }

    pub(crate) fn set_export(&mut self, export: Export) {
        self.export = export;
    }

    pub(crate) const fn replies(&self) -> Replies {
        Replies::new(self.structured)
    }

    pub(crate) const fn payload_left(&self) -> u32 {
        match self.stage {
            Stage::Payload { left } => left,
            _ => 0,
        }
    }

    /// Marks data as read. `bytes` is at most what is left.
    pub(crate) fn payload_taken(&mut self, bytes: u32) {
        if let Stage::Payload { left } = self.stage {
            self.stage = match left.saturating_sub(bytes) {
                0 => Stage::Header,
                left => Stage::Payload { left },
            };
        }
    }

    pub(crate) fn receive<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Event<'a>>), Violation> {
        let (Stage::Payload { left } | Stage::Drain { left, .. }) = self.stage else {
            return self.receive_header(input, out);
        };
        let bytes = u32::try_from(input.len()).unwrap_or(u32::MAX).min(left);
        // `bytes` is at most `input.len()`.
        let data = &input[..usize::try_from(bytes).unwrap_or(input.len())];
        let last = bytes == left;
        let event = match self.stage {
            Stage::Drain { cookie, refused, .. } if last => {
                self.stage = Stage::Header;
                Some(self.refuse(cookie, refused, out))
            }
            Stage::Drain { cookie, refused, .. } => {
                self.stage = Stage::Drain { left: left - bytes, cookie, refused };
                None
            }
            _ => {
                self.payload_taken(bytes);
                Some(Event::Payload { data, last })
            }
        };
        Ok((data.len(), event))
    }

    fn receive_header<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Event<'a>>), Violation> {
        // A request that came in one piece is decoded where it lies.
        if let (true, Some(message)) = (self.buffer.is_empty(), input.get(..REQUEST_BYTES)) {
            return Ok((REQUEST_BYTES, self.request(message, out)?));
        }
        let taken = input.len().min(REQUEST_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&input[..taken]);
        if self.buffer.len() < REQUEST_BYTES {
            return Ok((taken, None));
        }
        let message = std::mem::take(&mut self.buffer);
        let event = self.request(&message, out)?;
        self.buffer = message;
        self.buffer.clear();
        Ok((taken, event))
    }

    fn request<'a>(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<Option<Event<'a>>, Violation> {
        let header = header(message)?;
        if header.command == cmd::DISC {
            return Ok(Some(Event::Ended(End::Disconnected)));
        }
        let (cookie, has_data) = (header.cookie, header.command == cmd::WRITE && header.length > 0);
        Ok(match self.check(&header) {
            Ok(Some(command)) => {
                if has_data {
                    self.stage = Stage::Payload { left: header.length };
                }
                Some(Event::Request(Request { cookie, command }))
            }
            Ok(None) => {
                self.replies().put_done(cookie, header.command == cmd::READ, out);
                None
            }
            Err(refused) if has_data => {
                self.stage = Stage::Drain { left: header.length, cookie, refused };
                None
            }
            Err(refused) => Some(self.refuse(cookie, refused, out)),
        })
    }

    fn refuse(&self, cookie: u64, refused: Refused, out: &mut Vec<u8>) -> Event<'static> {
        self.replies().put_error(cookie, refused.errno(), &refused.to_string(), out);
        Event::Refused { cookie, refused }
    }

    /// The command, or `None` when there is nothing to do because its range is empty.
    fn check(&self, header: &Header) -> Result<Option<Command>, Refused> {
        let features = self.export.features();
        let Header { offset, length, .. } = *header;
        let writes = matches!(header.command, cmd::WRITE | cmd::TRIM | cmd::WRITE_ZEROES);
        if writes && features.read_only {
            return Err(Refused::ReadOnly);
        }
        let (offered, own_flags) = match header.command {
            cmd::READ => (true, if self.structured { cmd::FLAG_DF } else { 0 }),
            cmd::WRITE => (true, 0),
            cmd::FLUSH => (features.flush, 0),
            cmd::TRIM => (features.trim, 0),
            cmd::CACHE => (features.cache, 0),
            cmd::WRITE_ZEROES => {
                let fast = if features.fast_zero { cmd::FLAG_FAST_ZERO } else { 0 };
                (features.write_zeroes, cmd::FLAG_NO_HOLE | fast)
            }
            cmd::BLOCK_STATUS if !self.allocation => return Err(Refused::NoContext),
            cmd::BLOCK_STATUS => (true, cmd::FLAG_REQ_ONE),
            _ => return Err(Refused::Command),
        };
        if !offered {
            return Err(Refused::NotOffered);
        }
        // Clients set FUA on all kinds of commands.
        let fua_flag = if features.fua { cmd::FLAG_FUA } else { 0 };
        if header.flags & !(own_flags | fua_flag) != 0 {
            return Err(Refused::Flags);
        }
        if header.command == cmd::FLUSH {
            return if offset == 0 && length == 0 {
                Ok(Some(Command::Flush))
            } else {
                Err(Refused::FlushRange)
            };
        }
        self.check_range(header)?;
        if length == 0 {
            return if header.command == cmd::BLOCK_STATUS { Err(Refused::Empty) } else { Ok(None) };
        }
        Ok(Some(command(header)))
    }

    fn check_range(&self, header: &Header) -> Result<(), Refused> {
        let Header { offset, length, .. } = *header;
        let blocks = self.export.blocks();
        if !offset.is_multiple_of(u64::from(blocks.minimum())) || !length.is_multiple_of(blocks.minimum()) {
            return Err(Refused::Unaligned);
        }
        if offset.checked_add(u64::from(length)).is_none_or(|end| end > self.export.size()) {
            let writes = matches!(header.command, cmd::WRITE | cmd::WRITE_ZEROES);
            return Err(if writes { Refused::WriteBeyondEnd } else { Refused::BeyondEnd });
        }
        // Only where the data itself travels: the others cost nothing here, whatever their length.
        if matches!(header.command, cmd::READ | cmd::WRITE) && length > blocks.maximum() {
            return Err(Refused::TooLong);
        }
        Ok(())
    }
}

fn header(message: &[u8]) -> Result<Header, Violation> {
    let mut fields = Fields(message);
    let magic = fields.u32().unwrap_or_default();
    if magic != REQUEST_MAGIC {
        return Err(Violation::RequestMagic(magic));
    }
    Ok(Header {
        flags: fields.u16().unwrap_or_default(),
        command: fields.u16().unwrap_or_default(),
        cookie: fields.u64().unwrap_or_default(),
        offset: fields.u64().unwrap_or_default(),
        length: fields.u32().unwrap_or_default(),
    })
}

/// The command of a header whose command, flags and range were checked.
const fn command(header: &Header) -> Command {
    let Header { offset, length, flags, .. } = *header;
    let fua = flags & cmd::FLAG_FUA != 0;
    match header.command {
        cmd::WRITE => Command::Write { offset, length, fua },
        cmd::TRIM => Command::Trim { offset, length, fua },
        cmd::CACHE => Command::Cache { offset, length },
        cmd::WRITE_ZEROES => Command::WriteZeroes {
            offset,
            length,
            fua,
            no_hole: flags & cmd::FLAG_NO_HOLE != 0,
            fast_only: flags & cmd::FLAG_FAST_ZERO != 0,
        },
        cmd::BLOCK_STATUS => Command::BlockStatus { offset, length, one: flags & cmd::FLAG_REQ_ONE != 0 },
        _ => Command::Read { offset, length, unfragmented: flags & cmd::FLAG_DF != 0 },
    }
}
