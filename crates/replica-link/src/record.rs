//! What follows the handshake: frames, sealed in records.
//!
//! `length u16 | ciphertext and tag`, big-endian. A record carries a piece of the stream of frames, cut anywhere. Each is
//! numbered, and the number is what it is sealed with: one that is repeated, left out or moved does not open.

use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};
use replica::wire::{Frames, Message, encode};
use snow::StatelessTransportState;

use crate::error::LinkError;

pub(crate) const LENGTH_BYTES: usize = 2;
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes that sealing adds to every record.
pub const RECORD_OVERHEAD_BYTES: usize = LENGTH_BYTES + TAG_BYTES;
/// Longest piece of the stream in a record.
const MAX_PIECE_BYTES: usize = u16::MAX as usize - TAG_BYTES;
/// Records of one connection and direction at most; then it must be made anew. Far below what the cipher bears.
pub const MAX_RECORDS: u64 = 1 << 48;

/// The sending half of a connection.
#[derive(Debug)]
pub struct Sealer {
    keys: Option<Arc<StatelessTransportState>>,
    next: u64,
    frames: BytesMut,
}

impl Sealer {
    pub(crate) fn new(keys: Option<Arc<StatelessTransportState>>) -> Self {
        Self { keys, next: 0, frames: BytesMut::new() }
    }

    /// Adds a message to what is to be sent. It waits for [`Self::seal`]: the more at a time, the less is added.
    pub fn push(&mut self, message: &Message) {
        encode(message, &mut self.frames);
    }

    /// Bytes that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.frames.len()
    }

    /// Seals all that waits, and appends it to what is to be written.
    ///
    /// # Errors
    /// The keys are used up.
    pub fn seal(&mut self, out: &mut BytesMut) -> Result<(), LinkError> {
        let frames = std::mem::take(&mut self.frames);
        if self.keys.is_none() {
            if out.is_empty() {
                *out = frames;
            } else {
                out.extend_from_slice(&frames);
            }
            return Ok(());
        }
        out.reserve(frames.len() + (frames.len() / MAX_PIECE_BYTES + 1) * RECORD_OVERHEAD_BYTES);
        for piece in frames.chunks(MAX_PIECE_BYTES) {
            self.seal_piece(piece, out)?;
        }
        // The room is kept for the next ones.
        self.frames = frames;
        self.frames.clear();
        Ok(())
    }

    /// The first record: nobody without the keys of just now can make it.
    pub(crate) fn confirm(&mut self, session: &[u8], out: &mut BytesMut) -> Result<(), LinkError> {
        self.seal_piece(session, out)
    }

    fn seal_piece(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), LinkError> {
        let Some(keys) = &self.keys else { return Err(LinkError::Exhausted) };
        if self.next >= MAX_RECORDS {
            return Err(LinkError::Exhausted);
        }
        let sealed = piece.len() + TAG_BYTES;
        let length = u16::try_from(sealed).map_err(|_| LinkError::RecordLength(sealed))?;
        out.put_u16(length);
        let start = out.len();
        out.resize(start + sealed, 0);
        keys.write_message(self.next, piece, &mut out[start..]).map_err(|_| LinkError::Exhausted)?;
        self.next += 1;
        Ok(())
    }
}

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Opener {
    keys: Option<Arc<StatelessTransportState>>,
    next: u64,
    sealed: BytesMut,
    frames: Frames,
    failed: Option<LinkError>,
}

impl Opener {
    pub(crate) fn new(keys: Option<Arc<StatelessTransportState>>, arrived: BytesMut) -> Self {
        let mut opener = Self { keys, next: 0, sealed: BytesMut::new(), frames: Frames::new(), failed: None };
        *opener.buffer() = arrived;
        opener
    }

    /// Where bytes that arrive go.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.keys.is_some() { &mut self.sealed } else { self.frames.buffer() }
    }

    /// How many more bytes make the next piece whole; at least one.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let missing = if self.keys.is_none() {
            self.frames.wanted()
        } else {
            match self.length() {
                Some(length) => (LENGTH_BYTES + length).saturating_sub(self.sealed.len()),
                None => LENGTH_BYTES - self.sealed.len(),
            }
        };
        missing.max(1)
    }

    /// The next message, if it is there whole.
    ///
    /// # Errors
    /// What arrived is not what was sent, or no message. From then on the same error always.
    pub fn next_message(&mut self) -> Result<Option<Message>, LinkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let next = self.next_whole();
        if let Err(error) = &next {
            self.failed = Some(error.clone());
            self.sealed = BytesMut::new();
        }
        next
    }

    fn next_whole(&mut self) -> Result<Option<Message>, LinkError> {
        loop {
            if let Some(message) = self.frames.next_message()? {
                return Ok(Some(message));
            }
            if self.keys.is_none() || !self.open_piece()? {
                return Ok(None);
            }
        }
    }

    fn length(&self) -> Option<usize> {
        let raw = self.sealed.get(..LENGTH_BYTES)?;
        Some(usize::from(u16::from_be_bytes([raw[0], raw[1]])))
    }

    /// Opens the next record into the stream of frames, if it is there whole.
    fn open_piece(&mut self) -> Result<bool, LinkError> {
        let (Some(keys), Some(length)) = (&self.keys, self.length()) else { return Ok(false) };
        // One with nothing in it is never sent.
        if length <= TAG_BYTES {
            return Err(LinkError::RecordLength(length));
        }
        if self.next >= MAX_RECORDS {
            return Err(LinkError::Exhausted);
        }
        let Some(record) = self.sealed.get(LENGTH_BYTES..LENGTH_BYTES + length) else { return Ok(false) };
        let frames = self.frames.buffer();
        let start = frames.len();
        // The cipher wants room for the tag too.
        frames.resize(start + length, 0);
        let opened = keys.read_message(self.next, record, &mut frames[start..]);
        frames.truncate(start + length - TAG_BYTES);
        opened.map_err(|_| LinkError::Tampered)?;
        self.next += 1;
        self.sealed.advance(LENGTH_BYTES + length);
        Ok(true)
    }

    /// The first record, with the session's number in it.
    pub(crate) fn confirmation(&mut self, session: &mut [u8]) -> Result<(), LinkError> {
        let (Some(keys), Some(length)) = (&self.keys, self.length()) else { return Err(LinkError::Tampered) };
        let record = self.sealed.get(LENGTH_BYTES..LENGTH_BYTES + length).ok_or(LinkError::Tampered)?;
        let mut opened = [0; 64];
        if length != session.len() + TAG_BYTES || length > opened.len() {
            return Err(LinkError::RecordLength(length));
        }
        keys.read_message(self.next, record, &mut opened[..length]).map_err(|_| LinkError::Tampered)?;
        session.copy_from_slice(&opened[..session.len()]);
        self.next += 1;
        self.sealed.advance(LENGTH_BYTES + length);
        Ok(())
    }
}
