//! Requests of a client, as they are after they have been checked.

/// One request: aligned, within the export, of a command and with flags that the export offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What the client recognises the reply by. Clients may reuse it as soon as the reply is complete.
    pub cookie: u64,
    /// What is asked for.
    pub command: Command,
}

/// What a client asks for. Offsets and lengths are in bytes; lengths are never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Data is wanted. Answer with [`crate::Replies::read`] or [`crate::Replies::read_header`].
    Read {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// The reply must hold the data in one piece. [`crate::Replies::read`] sees to it.
        unfragmented: bool,
    },
    /// Data is to be written: [`crate::Event::Payload`]s with `length` bytes in all follow.
    Write {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// The reply must wait until the data is on stable storage.
        fua: bool,
    },
    /// Everything whose reply was sent must be on stable storage before the reply to this.
    Flush,
    /// The range is not needed any more; its contents may become anything.
    Trim {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// The reply must wait until this is on stable storage.
        fua: bool,
    },
    /// The range must read as zeroes.
    WriteZeroes {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// The reply must wait until this is on stable storage.
        fua: bool,
        /// The space must stay allocated.
        no_hole: bool,
        /// Fail at once with [`crate::Errno::NotSup`] if this is not faster than writing zeroes as data.
        fast_only: bool,
    },
    /// The range will be read soon.
    Cache {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Allocation of the range is wanted. Answer with [`crate::Replies::block_status`].
    BlockStatus {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// One extent is enough. [`crate::Replies::block_status`] sees to it.
        one: bool,
    },
}
