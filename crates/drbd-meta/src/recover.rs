//! What has to be done before metadata of a crashed node can be used: the active extents become dirty blocks.

use std::collections::BTreeSet;

use crate::bitmap::Bitmap;
use crate::flags::DeviceFlags;
use crate::replay::{ReplayError, replay};
use crate::superblock::Superblock;
use crate::transaction::Transaction;
use crate::write::Write;

/// Why metadata cannot be recovered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The node was Primary, and what was active cannot be told.
    #[error("the node was Primary, and its activity log cannot be interpreted")]
    Log(#[from] ReplayError),
}

/// How metadata was recovered. To be written in this order, each part on stable storage before the next, so that a
/// recovery that is interrupted can be done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The extents that were active and are dirty now, for every peer.
    pub extents: BTreeSet<u32>,
    /// Blocks (over all peers) that were not dirty before.
    pub newly_dirty: u64,
    /// Changed pages of the bitmap.
    pub bitmap: Vec<Write>,
    /// An empty activity log, where it was not empty.
    pub log: Option<Write>,
    /// The superblock, which says that the log is clean, where it did not.
    pub superblock: Option<Write>,
}

/// Recovers metadata: `log` is the whole activity log. The superblock and the bitmap are changed in place; nothing is
/// left to do where all is in order. A log that was damaged while the node was Secondary does not matter and is renewed.
///
/// # Errors
/// When the node was Primary and the log cannot be interpreted.
pub fn recover(
    superblock: &mut Superblock,
    log: &[u8],
    bitmap: &mut Bitmap,
) -> Result<Recovery, RecoveryError> {
    let layout = *superblock.layout();
    let was_primary = superblock.flags.contains(DeviceFlags::PRIMARY_IND);
    let active = match replay(&layout, log) {
        Ok(active) => active,
        Err(error) if was_primary => return Err(error.into()),
        Err(_) => BTreeSet::new(),
    };
    let empty = Transaction::initialised().repeat(layout.log_blocks() as usize);
    let extents = if was_primary { active } else { BTreeSet::new() };
    let newly_dirty = extents.iter().map(|extent| bitmap.set_extent(*extent)).sum();
    let was_clean = superblock.flags.contains(DeviceFlags::LOG_CLEAN);
    superblock.flags = superblock.flags.with(DeviceFlags::LOG_CLEAN);
    Ok(Recovery {
        extents,
        newly_dirty,
        bitmap: bitmap.take_writes(),
        log: (log != empty).then(|| Write::Data { offset: layout.log_at(), bytes: empty }),
        superblock: (!was_clean)
            .then(|| Write::Data { offset: layout.superblock_at(), bytes: superblock.encode() }),
    })
}
