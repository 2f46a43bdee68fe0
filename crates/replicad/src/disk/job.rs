//! What a backend carries out, whichever it is: reads, writes, zeroes and flushes, each answered once.

use bytes::Bytes;

use crate::buffer::Buffer;

/// Something to do on the backing device.
#[derive(Debug)]
pub(super) enum Job {
    /// Fill the buffer from there.
    Read {
        /// Bytes from the start of the device.
        offset: u64,
        /// Aligned memory.
        buffer: Buffer,
    },
    /// Write these bytes there.
    Write {
        /// Bytes from the start of the device.
        offset: u64,
        /// Aligned memory.
        data: Bytes,
    },
    /// Make this range read as zeroes.
    Zero {
        /// Bytes from the start of the device.
        offset: u64,
        /// How many.
        len: u64,
        /// The space may be given back.
        may_trim: bool,
    },
    /// Bring all writes that are done to stable storage.
    Sync,
}

/// What became of a job: the buffer of a read.
#[derive(Debug)]
pub(super) struct Done {
    /// The number it was submitted with.
    pub token: u64,
    /// How it went.
    pub result: std::io::Result<Option<Buffer>>,
}
