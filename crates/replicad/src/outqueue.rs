//! What waits to be written to a socket: small pieces are put together, large ones are sent from where they lie.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::AsFd;

use bytes::{Buf, Bytes, BytesMut};
use rustix::io::Errno;

/// Pieces of at least so many bytes are not copied.
const LARGE_BYTES: usize = 16 * 1024;
/// Memory kept for later when nothing waits, in bytes.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// Pieces given to one system call.
const PIECES: usize = 64;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct OutQueue {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
}

impl OutQueue {
    /// Whether nothing waits.
    #[must_use]
    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that wait.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.bytes
    }

    /// Adds bytes, copying them.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.tail.extend_from_slice(bytes);
    }

    /// Lets something be appended in place; what was appended before an error stays.
    ///
    /// # Errors
    /// Those of the caller.
    pub(crate) fn append<E>(&mut self, append: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<(), E> {
        let before = self.tail.len();
        let appended = append(&mut self.tail);
        self.bytes += self.tail.len().saturating_sub(before);
        appended
    }

    /// Adds bytes, without copying them when they are many.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < LARGE_BYTES {
            self.extend(&bytes);
            return;
        }
        self.bytes += bytes.len();
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.pieces.push_back(bytes);
    }

    /// Writes as much as the socket takes. Whether everything is written.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(crate) fn write_to(&mut self, socket: impl AsFd) -> Result<bool, Errno> {
        while self.bytes > 0 {
            let slices: Vec<IoSlice<'_>> = self
                .pieces
                .iter()
                .map(|piece| IoSlice::new(piece))
                .chain((!self.tail.is_empty()).then(|| IoSlice::new(&self.tail)))
                .take(PIECES)
                .collect();
            match rustix::io::writev(&socket, &slices) {
                Ok(written) => self.advance(written),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(piece) = self.pieces.front_mut() {
            let step = written.min(piece.len());
            piece.advance(step);
            written -= step;
            if !piece.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.tail.advance(written);
        if self.tail.is_empty() && self.tail.capacity() > MAX_KEPT_BYTES {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn everything_arrives_in_order_however_little_the_socket_takes() {
        let (here, mut there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let mut queue = OutQueue::default();
        let mut expected = Vec::new();
        for (index, len) in [3, 20_000, 1, 300_000, 16_384, 16_383, 5, 1_000_000].into_iter().enumerate() {
            let piece = vec![index as u8; len];
            expected.extend_from_slice(&piece);
            queue.push(Bytes::from(piece));
        }
        let mut arrived = Vec::new();
        let mut buffer = vec![0; 50_000];
        while !queue.write_to(&here).unwrap() {
            assert_eq!(arrived.len() % 50_000, 0, "the socket was full");
            there.read_exact(&mut buffer).unwrap();
            arrived.extend_from_slice(&buffer);
        }
        assert!(queue.is_empty());
        drop(here);
        there.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived.len(), expected.len());
        assert!(arrived == expected);
        drop(there);
    }
}
