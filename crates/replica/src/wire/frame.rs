//! Frames: magic, version, kind, length and CRC32C before the fields of a message.
//!
//! `magic u32 | version u8 | kind u8 | reserved u16 | length u32 | crc32c u32`, big-endian; the checksum is over the
//! first 12 bytes and the fields.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::field::WireError;
use super::message::{Message, WIRE_VERSION};
use crate::config::MAX_REQUEST_BYTES;

/// Bytes before the fields.
pub const FRAME_HEADER_BYTES: usize = 16;
const MAGIC: u32 = 0x6861_5250;
/// Data of at least so many bytes is not copied into a frame.
const DETACHED_BYTES: usize = 16 * 1024;
/// Longest fields of a message: the largest write and its head.
const MAX_FIELDS_BYTES: u64 = MAX_REQUEST_BYTES + 4096;

/// Appends a message as a frame.
pub fn encode(message: &Message, out: &mut BytesMut) {
    let start = out.len();
    out.put_u32(MAGIC);
    out.put_u8(WIRE_VERSION);
    out.put_u8(message.kind());
    out.put_u16(0);
    out.put_u64(0);
    message.put_fields(out);
    let len = u32::try_from(out.len() - start - FRAME_HEADER_BYTES).unwrap_or(u32::MAX);
    out[start + 8..start + 12].copy_from_slice(&len.to_be_bytes());
    let crc = checksum(&out[start..start + 12], &out[start + FRAME_HEADER_BYTES..]);
    out[start + 12..start + 16].copy_from_slice(&crc.to_be_bytes());
}

/// Appends a message as a frame, but for the data of a large write, which is returned: it follows what was appended.
pub fn encode_detached(message: &Message, out: &mut BytesMut) -> Option<Bytes> {
    let Some((rest, data)) = message.without_large_data(DETACHED_BYTES) else {
        encode(message, out);
        return None;
    };
    let start = out.len();
    // The data is the last field: the same message without it ends with its length, which is put right.
    encode(&rest, out);
    let fields = out.len() - start - FRAME_HEADER_BYTES + data.len();
    let [whole, part] = [fields, data.len()].map(|len| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    let end = out.len();
    out[start + 8..start + 12].copy_from_slice(&whole);
    out[end - 4..].copy_from_slice(&part);
    let crc = checksum(&out[start..start + 12], &out[start + FRAME_HEADER_BYTES..]);
    let crc = crc32c::crc32c_append(crc, &data);
    out[start + 12..start + 16].copy_from_slice(&crc.to_be_bytes());
    Some(data)
}

fn checksum(head: &[u8], fields: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), fields)
}

/// Cuts a stream of bytes into messages. After an error it must not be used again: the connection is to be dropped.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to read more bytes to. At most [`Self::wanted`] at a time keeps the buffer bounded.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// How many more bytes make the next message whole; at least what is left of its head.
    #[must_use]
    pub fn wanted(&self) -> usize {
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
        if self.buffer.len() < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let mut head = &self.buffer[..FRAME_HEADER_BYTES];
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
        if self.buffer.len() < FRAME_HEADER_BYTES + len as usize {
            return Ok(None);
        }
        let frame = self.buffer.split_to(FRAME_HEADER_BYTES + len as usize).freeze();
        let found = checksum(&frame[..12], &frame[FRAME_HEADER_BYTES..]);
        if found != expected {
            return Err(WireError::Checksum { found, expected });
        }
        let mut fields: Bytes = frame.slice(FRAME_HEADER_BYTES..);
        let message = Message::get_fields(kind, &mut fields)?;
        if fields.is_empty() { Ok(Some(message)) } else { Err(WireError::Trailing(fields.len())) }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
