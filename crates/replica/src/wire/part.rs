//! A message whose data arrives piece by piece, into the memory from which a disk takes it.

use super::field::WireError;
use super::frame::Integrity;
use super::message::Message;
use crate::buffer::Buffer;

/// What there is of it.
#[derive(Debug)]
pub(super) struct Part {
    /// All of it but the data.
    message: Message,
    data: Buffer,
    filled: usize,
    /// The checksum of everything before the data.
    crc: u32,
    expected: u32,
}

impl Part {
    /// A message that `bytes` bytes of data belong to; no more than a frame may have.
    pub(super) fn new(message: Message, bytes: usize, crc: u32, expected: u32) -> Self {
        Self { message, data: Buffer::new(bytes), filled: 0, crc, expected }
    }

    /// Where the rest of the data goes.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.data[self.filled..]
    }

    /// So much of it is there.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.data.len());
    }

    /// How much is not there yet.
    pub(super) fn missing(&self) -> usize {
        self.data.len() - self.filled
    }

    /// Takes what belongs to it; what is left belongs to the next.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (own, rest) = bytes.split_at(bytes.len().min(self.missing()));
        self.room()[..own.len()].copy_from_slice(own);
        self.filled(own.len());
        rest
    }

    /// The whole message.
    pub(super) fn message(self, integrity: Integrity) -> Result<Message, WireError> {
        if integrity == Integrity::Checksum {
            let found = crc32c::crc32c_append(self.crc, &self.data);
            if found != self.expected {
                return Err(WireError::Checksum { found, expected: self.expected });
            }
        }
        Ok(self.message.with_data(self.data.freeze()))
    }
}
