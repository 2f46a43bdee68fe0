//! Replies to requests.
//!
//! In: what became of a request. Out: the bytes of its reply, whole messages only, appended to a buffer. Stateless and
//! `Copy`: replies may be made in any order and on any thread, as long as messages are not cut into each other.

use crate::errno::Errno;
use crate::meta::ALLOCATION_ID;
use crate::request::{Command, Request};
use crate::wire::{SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, chunk, put16, put32, put64};

/// Most extents in one reply to `BLOCK_STATUS`. A client asks again for the rest.
pub const MAX_EXTENTS: usize = 1024;
/// Longest text beside an error, in bytes; longer ones are cut.
pub const MAX_MESSAGE_BYTES: usize = 1024;
/// Bytes of the offset before data in a chunk.
const OFFSET_BYTES: u32 = 8;
/// `NBD_STATE_HOLE` and `NBD_STATE_ZERO` of `base:allocation`.
const STATE_HOLE: u32 = 1 << 0;
const STATE_ZERO: u32 = 1 << 1;

/// A piece of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// That many zeroes.
    Hole(u32),
}

impl Part<'_> {
    fn bytes(&self) -> u64 {
        match self {
            // A slice is never longer than isize::MAX.
            Part::Data(data) => data.len() as u64,
            Part::Hole(bytes) => u64::from(*bytes),
        }
    }
}

/// Allocation of a piece of the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes.
    pub length: u64,
    /// Nothing is allocated there.
    pub hole: bool,
    /// It reads as zeroes.
    pub zero: bool,
}

/// A reply that would not be one to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The parts are not as long as what was to be read.
    #[error("{got} bytes for a read of {wanted}")]
    Length {
        /// Bytes that were to be read.
        wanted: u32,
        /// Bytes in the parts.
        got: u64,
    },
    /// The request is of another kind.
    #[error("the request is none that this is a reply to")]
    Kind,
}

/// Makes the replies of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replies {
    structured: bool,
}

impl Replies {
    pub(crate) const fn new(structured: bool) -> Self {
        Self { structured }
    }

    /// Whether the client understands structured replies; then errors carry their text.
    #[must_use]
    pub const fn structured(self) -> bool {
        self.structured
    }

    /// Success of a request that asks for no data: not a read, not `BLOCK_STATUS`.
    pub fn done(self, request: &Request, out: &mut Vec<u8>) {
        self.put_done(request.cookie, matches!(request.command, Command::Read { .. }), out);
    }

    /// Failure. `message` is for people; empty is allowed.
    pub fn fail(self, request: &Request, errno: Errno, message: &str, out: &mut Vec<u8>) {
        self.put_error(request.cookie, errno, message, out);
    }

    /// What comes before the data of a successful read of `length` bytes at `offset`: exactly `length` bytes must
    /// follow on the wire. For data that is sent from where it lies.
    pub fn read_header(self, cookie: u64, offset: u64, length: u32, out: &mut Vec<u8>) {
        if self.structured {
            put_chunk(out, chunk::FLAG_DONE, chunk::OFFSET_DATA, cookie, length.saturating_add(OFFSET_BYTES));
            put64(out, offset);
        } else {
            put_simple(out, 0, cookie);
        }
    }

    /// A successful read, its data in parts. Holes travel as such where the client understands them and did not ask
    /// for one piece.
    ///
    /// # Errors
    /// When the request is no read, or the parts are not exactly as long as it; nothing is written then.
    pub fn read(self, request: &Request, parts: &[Part<'_>], out: &mut Vec<u8>) -> Result<(), ReplyError> {
        let Command::Read { offset, length, unfragmented } = request.command else {
            return Err(ReplyError::Kind);
        };
        let got = parts.iter().map(Part::bytes).fold(0, u64::saturating_add);
        if got != u64::from(length) {
            return Err(ReplyError::Length { wanted: length, got });
        }
        if !self.structured || unfragmented || parts.iter().all(|part| matches!(part, Part::Data(_))) {
            self.read_header(request.cookie, offset, length, out);
            for part in parts {
                match part {
                    Part::Data(data) => out.extend_from_slice(data),
                    // At most `length`, which fits.
                    Part::Hole(bytes) => out.resize(out.len() + *bytes as usize, 0),
                }
            }
            return Ok(());
        }
        let mut at = offset;
        let last = parts.iter().rposition(|part| part.bytes() > 0);
        for (index, part) in parts.iter().enumerate().filter(|(_, part)| part.bytes() > 0) {
            let flags = if Some(index) == last { chunk::FLAG_DONE } else { 0 };
            match part {
                Part::Data(data) => {
                    // At most `length`.
                    let bytes = u32::try_from(data.len()).unwrap_or(length);
                    put_chunk(
                        out,
                        flags,
                        chunk::OFFSET_DATA,
                        request.cookie,
                        bytes.saturating_add(OFFSET_BYTES),
                    );
                    put64(out, at);
                    out.extend_from_slice(data);
                }
                Part::Hole(bytes) => {
                    put_chunk(out, flags, chunk::OFFSET_HOLE, request.cookie, OFFSET_BYTES + 4);
                    put64(out, at);
                    put32(out, *bytes);
                }
            }
            at += part.bytes();
        }
        Ok(())
    }

    /// Allocation of the range that was asked for. Extents lie one after the other from the request's offset; what lies
    /// beyond its end is cut off, neighbours of a kind are put together, and beyond [`MAX_EXTENTS`] the client has to
    /// ask again. Without any extent the whole range counts as allocated.
    ///
    /// # Errors
    /// When the request is no `BLOCK_STATUS`; nothing is written then.
    pub fn block_status(
        self,
        request: &Request,
        extents: &[Extent],
        out: &mut Vec<u8>,
    ) -> Result<(), ReplyError> {
        let Command::BlockStatus { length, one, .. } = request.command else {
            return Err(ReplyError::Kind);
        };
        let most = if one { 1 } else { MAX_EXTENTS };
        let mut descriptors: Vec<(u32, u32)> = Vec::new();
        let mut left = length;
        for extent in extents {
            let bytes = u32::try_from(extent.length).unwrap_or(u32::MAX).min(left);
            let flags = if extent.hole { STATE_HOLE } else { 0 } | if extent.zero { STATE_ZERO } else { 0 };
            let full = descriptors.len() == most;
            match descriptors.last_mut() {
                _ if bytes == 0 => {}
                Some((last, same)) if *same == flags => *last += bytes,
                _ if full => break,
                _ => descriptors.push((bytes, flags)),
            }
            left -= bytes;
        }
        if descriptors.is_empty() {
            descriptors.push((length, 0));
        }
        // At most `MAX_EXTENTS` descriptors of 8 bytes.
        let bytes = u32::try_from(descriptors.len() * 8 + 4).unwrap_or(u32::MAX);
        put_chunk(out, chunk::FLAG_DONE, chunk::BLOCK_STATUS, request.cookie, bytes);
        put32(out, ALLOCATION_ID);
        for (bytes, flags) in descriptors {
            put32(out, bytes);
            put32(out, flags);
        }
        Ok(())
    }

    pub(crate) fn put_done(self, cookie: u64, is_read: bool, out: &mut Vec<u8>) {
        // A read is never answered by a simple reply where structured ones were agreed on.
        if self.structured && is_read {
            put_chunk(out, chunk::FLAG_DONE, chunk::NONE, cookie, 0);
        } else {
            put_simple(out, 0, cookie);
        }
    }

    pub(crate) fn put_error(self, cookie: u64, errno: Errno, message: &str, out: &mut Vec<u8>) {
        if !self.structured {
            return put_simple(out, errno.code(), cookie);
        }
        let message = &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)];
        // At most `MAX_MESSAGE_BYTES`.
        let bytes = u16::try_from(message.len()).unwrap_or(0);
        put_chunk(out, chunk::FLAG_DONE, chunk::ERROR, cookie, u32::from(bytes) + 6);
        put32(out, errno.code());
        put16(out, bytes);
        out.extend_from_slice(message.as_bytes());
    }
}

fn put_simple(out: &mut Vec<u8>, error: u32, cookie: u64) {
    put32(out, SIMPLE_REPLY_MAGIC);
    put32(out, error);
    put64(out, cookie);
}

fn put_chunk(out: &mut Vec<u8>, flags: u16, kind: u16, cookie: u64, bytes: u32) {
    put32(out, STRUCTURED_REPLY_MAGIC);
    put16(out, flags);
    put16(out, kind);
    put64(out, cookie);
    put32(out, bytes);
}
