//! What follows the handshake: frames, sealed in records.
//!
//! `length u16 | ciphertext and tag`, big-endian. A record carries a piece of the stream of frames, cut anywhere. Each is
//! numbered, and the number is what it is sealed with: one that is repeated, left out or moved does not open.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use replica::wire::{Frames, Integrity, Message, encode_detached};

use crate::error::LinkError;
use crate::keys::DirectionKey;

pub(crate) const LENGTH_BYTES: usize = 2;
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes that sealing adds to every record.
pub const RECORD_OVERHEAD_BYTES: usize = LENGTH_BYTES + TAG_BYTES;
/// Longest piece of the stream in a record.
const MAX_PIECE_BYTES: usize = u16::MAX as usize - TAG_BYTES;
/// Records of one connection and direction at most; then it must be made anew. The keys are changed far more
/// often.
pub const MAX_RECORDS: u64 = 1 << 48;

/// The sending half of a connection.
#[derive(Debug)]
pub struct Sealer {
    key: Option<DirectionKey>,
    next: u64,
    /// What waits: frames, and the data of large writes after the frames that they belong to.
    pieces: Vec<Bytes>,
    frames: BytesMut,
    pending: usize,
}

impl Sealer {
    pub(crate) fn new(key: Option<DirectionKey>) -> Self {
        Self { key, next: 0, pieces: Vec::new(), frames: BytesMut::new(), pending: 0 }
    }

    /// Whether what is sent is protected: then it is sealed with [`Self::seal`], which copies it anyway.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.key.is_some()
    }

    /// Adds a message to what is to be sent. It waits for [`Self::seal`]: the more at a time, the less is added.
    pub fn push(&mut self, message: &Message) {
        let before = self.frames.len();
        let integrity = if self.key.is_some() { Integrity::Authenticated } else { Integrity::Checksum };
        let data = encode_detached(message, integrity, &mut self.frames);
        self.pending += self.frames.len() - before;
        if let Some(data) = data {
            self.pending += data.len();
            self.pieces.push(self.frames.split().freeze());
            self.pieces.push(data);
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Seals all that waits, and appends it to what is to be written.
    ///
    /// # Errors
    /// The keys are used up.
    pub fn seal(&mut self, out: &mut BytesMut) -> Result<(), LinkError> {
        let pending = std::mem::take(&mut self.pending);
        let records = pending / MAX_PIECE_BYTES + 2 * (self.pieces.len() + 1);
        out.reserve(pending + records * RECORD_OVERHEAD_BYTES);
        let mut pieces = std::mem::take(&mut self.pieces);
        for piece in pieces.drain(..) {
            self.seal_piece(&piece, out)?;
        }
        // Their memory is used again.
        self.pieces = pieces;
        let mut frames = std::mem::take(&mut self.frames);
        self.seal_piece(&frames, out)?;
        frames.clear();
        self.frames = frames;
        Ok(())
    }

    /// Hands out all that waits, piece by piece, the data of large writes as it is: for a connection without protection.
    ///
    /// # Errors
    /// The keys are used up, if there are any after all.
    pub fn seal_each(&mut self, mut write: impl FnMut(Bytes)) -> Result<(), LinkError> {
        if self.key.is_some() {
            let mut out = BytesMut::new();
            self.seal(&mut out)?;
            write(out.freeze());
            return Ok(());
        }
        self.pending = 0;
        self.pieces.drain(..).for_each(&mut write);
        if !self.frames.is_empty() {
            write(self.frames.split().freeze());
        }
        Ok(())
    }

    /// The first record: nobody without the keys of just now can make it.
    pub(crate) fn confirm(&mut self, session: &[u8], out: &mut BytesMut) -> Result<(), LinkError> {
        self.seal_piece(session, out)
    }

    fn seal_piece(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), LinkError> {
        let Some(key) = &mut self.key else {
            out.extend_from_slice(piece);
            return Ok(());
        };
        for piece in piece.chunks(MAX_PIECE_BYTES) {
            if self.next >= MAX_RECORDS {
                return Err(LinkError::Exhausted);
            }
            let sealed = piece.len() + TAG_BYTES;
            out.put_u16(u16::try_from(sealed).map_err(|_| LinkError::RecordLength(sealed))?);
            let start = out.len();
            out.extend_from_slice(piece);
            let tag = key.seal(self.next, &mut out[start..])?;
            out.extend_from_slice(&tag);
            self.next += 1;
        }
        Ok(())
    }
}

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Opener {
    key: Option<DirectionKey>,
    next: u64,
    sealed: BytesMut,
    frames: Frames,
    failed: Option<LinkError>,
}

impl Opener {
    pub(crate) fn new(key: Option<DirectionKey>, arrived: BytesMut) -> Self {
        let frames = if key.is_some() { Frames::authenticated() } else { Frames::new() };
        let mut opener = Self { key, next: 0, sealed: BytesMut::new(), frames, failed: None };
        *opener.buffer() = arrived;
        opener
    }

    /// Where bytes that arrive go.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.key.is_some() { &mut self.sealed } else { self.frames.buffer() }
    }

    /// Where the data of a message that arrives can be read to directly, without protection; then [`Self::filled`] is
    /// told how much came.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        if self.key.is_some() { None } else { self.frames.room() }
    }

    /// So many bytes were put into [`Self::room`].
    pub fn filled(&mut self, bytes: usize) {
        self.frames.filled(bytes);
    }

    /// Whether what arrives is copied on: then the room in [`Self::buffer`] is used again, however much it is.
    #[must_use]
    pub fn keeps_room(&self) -> bool {
        self.key.is_some()
    }

    /// How many more bytes make the next piece whole; at least one.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let missing = if self.key.is_none() {
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
            if !self.open_piece()? {
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
        let length = self.length();
        let (Some(key), Some(length)) = (&mut self.key, length) else { return Ok(false) };
        // One with nothing in it is never sent.
        if length <= TAG_BYTES {
            return Err(LinkError::RecordLength(length));
        }
        if self.next >= MAX_RECORDS {
            return Err(LinkError::Exhausted);
        }
        let Some(record) = self.sealed.get_mut(LENGTH_BYTES..LENGTH_BYTES + length) else { return Ok(false) };
        self.frames.feed(key.open(self.next, record)?);
        self.next += 1;
        self.sealed.advance(LENGTH_BYTES + length);
        Ok(true)
    }

    /// The first record, with the session's number in it.
    pub(crate) fn confirmation(&mut self, session: &mut [u8]) -> Result<(), LinkError> {
        let length = self.length();
        let (Some(key), Some(length)) = (&mut self.key, length) else { return Err(LinkError::Tampered) };
        let record = self.sealed.get_mut(LENGTH_BYTES..LENGTH_BYTES + length).ok_or(LinkError::Tampered)?;
        if length != session.len() + TAG_BYTES {
            return Err(LinkError::RecordLength(length));
        }
        session.copy_from_slice(key.open(self.next, record)?);
        self.next += 1;
        self.sealed.advance(LENGTH_BYTES + length);
        Ok(())
    }
}
