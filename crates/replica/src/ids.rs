//! Identities: nodes, disk operations, client requests; and ranges of blocks.

use std::fmt;

/// Highest node id of a volume (DRBD 9 knows 32 nodes, 0 to 31).
pub const MAX_NODE_ID: u8 = 31;
/// Bytes that one bit of a dirty bitmap stands for.
pub const BLOCK_BYTES: u64 = 4096;
/// Bytes that all requests are multiples of.
pub const SECTOR_BYTES: u64 = 512;

/// Which node of the volume: 0 to [`MAX_NODE_ID`], as in DRBD 9's `node-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

impl NodeId {
    /// The id, when it is within the limit.
    #[must_use]
    pub fn new(id: u8) -> Option<Self> {
        (id <= MAX_NODE_ID).then_some(Self(id))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// A disk operation that the core asked for; its completion carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A client's request or an admin's command, numbered by the shell; the reply carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A range of 4 KiB blocks, `start` within it and `end` after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRange {
    /// First block.
    pub start: u64,
    /// The block after the last one.
    pub end: u64,
}

impl BlockRange {
    /// All blocks that `len` bytes at `offset` touch.
    #[must_use]
    pub fn of_bytes(offset: u64, len: u64) -> Self {
        let start = offset / BLOCK_BYTES;
        let end = if len == 0 { start } else { (offset.saturating_add(len) - 1) / BLOCK_BYTES + 1 };
        Self { start, end }
    }

    /// Whether the two have a block in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// How many blocks.
    #[must_use]
    pub fn blocks(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}
