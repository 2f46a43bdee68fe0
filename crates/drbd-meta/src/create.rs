//! New metadata.

use crate::layout::Layout;
use crate::superblock::Superblock;
use crate::transaction::Transaction;
use crate::write::Write;

/// What makes a device one with metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// An empty bitmap and an empty log. To be on stable storage before the superblock is written: without that there
    /// is no metadata, and an interrupted creation leaves nothing that could be taken for some.
    pub body: Vec<Write>,
    /// The superblock.
    pub superblock: Write,
}

/// New metadata of a device without history. Whether the device may be written to is for others to decide.
#[must_use]
pub fn create(layout: &Layout) -> Creation {
    let log = Transaction::initialised().repeat(layout.log_blocks() as usize);
    Creation {
        body: vec![
            Write::Zeroes { offset: layout.bitmap_at(), length: layout.bitmap_bytes() },
            Write::Data { offset: layout.log_at(), bytes: log },
        ],
        superblock: Write::Data { offset: layout.superblock_at(), bytes: Superblock::new(*layout).encode() },
    }
}
