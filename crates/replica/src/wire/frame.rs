//! Frames: magic, version, kind, length and CRC32C before the fields of a message.
//!
//! `magic u32 | version u8 | kind u8 | reserved u16 | length u32 | crc32c u32`, big-endian; the checksum is over the
//! first 12 bytes and the fields. Where what carries the frames authenticates every byte of them, it is 0.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::field::WireError;
use super::message::{DATA_LENGTH_BYTES, Message, WIRE_VERSION};
use super::part::Part;
use crate::config::MAX_REQUEST_BYTES;

/// Bytes before the fields.
pub const FRAME_HEADER_BYTES: usize = 16;
const MAGIC: u32 = 0x6861_5250;
/// Data of at least so many bytes is not copied into a frame.
const DETACHED_BYTES: usize = 16 * 1024;
/// Data of at least so many bytes goes to aligned memory as it arrives.
const ALIGNED_BYTES: usize = 4096;
/// Longest fields of a message: the largest write and its head.
const MAX_FIELDS_BYTES: u64 = MAX_REQUEST_BYTES + 4096;

/// How it is seen that a frame arrived as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Integrity {
    /// By its checksum.
    #[default]
    Checksum,
    /// What carries it authenticates every byte: a checksum would find nothing more.
    Authenticated,
}

/// Appends a message as a frame.
pub fn encode(message: &Message, out: &mut BytesMut) {
    encode_as(message, Integrity::Checksum, out);
}

fn encode_as(message: &Message, integrity: Integrity, out: &mut BytesMut) {
    let start = out.len();
    out.put_u32(MAGIC);
    out.put_u8(WIRE_VERSION);
    out.put_u8(message.kind());
    out.put_u16(0);
    out.put_u64(0);
    message.put_fields(out);
    let len = u32::try_from(out.len() - start - FRAME_HEADER_BYTES).unwrap_or(u32::MAX);
    out[start + 8..start + 12].copy_from_slice(&len.to_be_bytes());
    if integrity == Integrity::Checksum {
        let crc = checksum(&out[start..start + 12], &out[start + FRAME_HEADER_BYTES..]);
        out[start + 12..start + 16].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Appends a message as a frame, but for the data of a large write, which is returned: it follows what was appended.
pub fn encode_detached(message: &Message, integrity: Integrity, out: &mut BytesMut) -> Option<Bytes> {
    let Some((rest, data)) = message.without_large_data(DETACHED_BYTES) else {
        encode_as(message, integrity, out);
        return None;
    };
    let start = out.len();
    // The data is the last field: the same message without it ends with its length, which is put right.
    encode_as(&rest, Integrity::Authenticated, out);
    let fields = out.len() - start - FRAME_HEADER_BYTES + data.len();
    let [whole, part] = [fields, data.len()].map(|len| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    let end = out.len();
    out[start + 8..start + 12].copy_from_slice(&whole);
    out[end - DATA_LENGTH_BYTES..].copy_from_slice(&part);
    if integrity == Integrity::Checksum {
        let crc = checksum(&out[start..start + 12], &out[start + FRAME_HEADER_BYTES..]);
        let crc = crc32c::crc32c_append(crc, &data);
        out[start + 12..start + 16].copy_from_slice(&crc.to_be_bytes());
    }
    Some(data)
}

fn checksum(head: &[u8], fields: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), fields)
}

/// What a frame says of itself.
struct Head {
    kind: u8,
    len: usize,
    expected: u32,
}

/// Cuts a stream of bytes into messages. After an error it must not be used again: the connection is to be dropped.
///
/// The data of a write is put into aligned memory as it arrives, so that it can be handed to a disk without being moved.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
    integrity: Integrity,
    /// A message whose data arrives; what is in `buffer` follows it.
    part: Option<Part>,
}

impl Frames {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for frames that are authenticated by what carries them.
    #[must_use]
    pub fn authenticated() -> Self {
        Self { integrity: Integrity::Authenticated, ..Self::default() }
    }

    /// Where to read more bytes to. At most [`Self::wanted`] at a time keeps the buffer bounded.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Where the data of the message that arrives can be read to directly; then [`Self::filled`] is told how much came.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        let part = self.part.as_mut().filter(|_| self.buffer.is_empty())?;
        Some(part.room()).filter(|room| !room.is_empty())
    }

    /// So many bytes were put into [`Self::room`].
    pub fn filled(&mut self, bytes: usize) {
        if let Some(part) = &mut self.part {
            part.filled(bytes);
        }
    }

    /// Takes bytes in, the data of a write straight to where it belongs.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        if let Some(part) = self.part.as_mut().filter(|_| self.buffer.is_empty()) {
            bytes = part.take(bytes);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many more bytes make the next message whole; at least what is left of its head.
    #[must_use]
    pub fn wanted(&self) -> usize {
        if let Some(part) = &self.part {
            return part.missing().saturating_sub(self.buffer.len());
        }
        match self.buffer.get(8..12).and_then(|raw| <[u8; 4]>::try_from(raw).ok()) {
            None => FRAME_HEADER_BYTES - self.buffer.len().min(FRAME_HEADER_BYTES),
            Some(raw) => {
                let len = u64::from(u32::from_be_bytes(raw)).min(MAX_FIELDS_BYTES) as usize;
                (FRAME_HEADER_BYTES + len).saturating_sub(self.buffer.len())
            }
        }
    }

    /// The next message, if it is there whole.
    ///
    /// # Errors
    /// The stream is not this protocol, of another version, corrupted, or beyond a limit.
    pub fn next_message(&mut self) -> Result<Option<Message>, WireError> {
        if self.part.is_none() {
            let Some(head) = self.head()? else { return Ok(None) };
            self.part = self.begin_part(&head)?;
            if self.part.is_none() {
                return self.whole(&head);
            }
        }
        let Some(part) = &mut self.part else { return Ok(None) };
        let before = self.buffer.len();
        let left = part.take(&self.buffer).len();
        self.buffer.advance(before - left);
        match self.part.take_if(|part| part.missing() == 0) {
            Some(part) => part.message(self.integrity).map(Some),
            None => Ok(None),
        }
    }

    /// Judges the head of the next frame, once it is there.
    fn head(&self) -> Result<Option<Head>, WireError> {
        let Some(mut head) = self.buffer.get(..FRAME_HEADER_BYTES) else { return Ok(None) };
        let magic = head.get_u32();
        let (version, kind, reserved) = (head.get_u8(), head.get_u8(), head.get_u16());
        let (len, expected) = (head.get_u32(), head.get_u32());
        if magic != MAGIC {
            return Err(WireError::Magic(magic));
        }
        if version != WIRE_VERSION {
            return Err(WireError::Version(version));
        }
        if reserved != 0 {
            return Err(WireError::Value("reserved field"));
        }
        if u64::from(len) > MAX_FIELDS_BYTES {
            return Err(WireError::TooLong { announced: u64::from(len), limit: MAX_FIELDS_BYTES });
        }
        if self.integrity == Integrity::Authenticated && expected != 0 {
            return Err(WireError::Value("checksum where none is due"));
        }
        Ok(Some(Head { kind, len: len as usize, expected }))
    }

    /// A write of much data, once all of it but the data is there: the data is collected where it belongs.
    fn begin_part(&mut self, head: &Head) -> Result<Option<Part>, WireError> {
        let Some(before) = Message::bytes_before_data(head.kind) else { return Ok(None) };
        let bytes = head.len.saturating_sub(before);
        if bytes < ALIGNED_BYTES || self.buffer.len() < FRAME_HEADER_BYTES + before {
            return Ok(None);
        }
        let fields = &self.buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + before];
        let Some(message) = Message::before_data(head.kind, fields, bytes)? else { return Ok(None) };
        let crc = match self.integrity {
            Integrity::Checksum => checksum(&self.buffer[..12], fields),
            Integrity::Authenticated => 0,
        };
        self.buffer.advance(FRAME_HEADER_BYTES + before);
        Ok(Some(Part::new(message, bytes, crc, head.expected)))
    }

    /// The message of a frame that is there whole.
    fn whole(&mut self, head: &Head) -> Result<Option<Message>, WireError> {
        if self.buffer.len() < FRAME_HEADER_BYTES + head.len {
            return Ok(None);
        }
        let frame = self.buffer.split_to(FRAME_HEADER_BYTES + head.len).freeze();
        if self.integrity == Integrity::Checksum {
            let found = checksum(&frame[..12], &frame[FRAME_HEADER_BYTES..]);
            if found != head.expected {
                return Err(WireError::Checksum { found, expected: head.expected });
            }
        }
        let mut fields: Bytes = frame.slice(FRAME_HEADER_BYTES..);
        let message = Message::get_fields(head.kind, &mut fields)?;
        if fields.is_empty() { Ok(Some(message)) } else { Err(WireError::Trailing(fields.len())) }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
