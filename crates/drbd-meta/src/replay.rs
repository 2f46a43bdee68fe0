//! Which extents were active, by the log on disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::layout::{BLOCK_BYTES, Layout};
use crate::transaction::{Transaction, TransactionError};

/// Why an activity log cannot be interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Not as many bytes as the layout has for it.
    #[error("the activity log has {expected} bytes on this device, not {found}")]
    Length {
        /// Bytes that were given.
        found: usize,
        /// Bytes that it has.
        expected: u64,
    },
    /// None of its blocks is one of an activity log.
    #[error("there is no activity log here: no block of it is valid")]
    NoLog,
    /// Some blocks were never used, others are damaged, and no transaction is left.
    #[error("{damaged} blocks of the activity log are damaged and none holds a transaction")]
    NoTransaction {
        /// Blocks that cannot be read.
        damaged: u32,
    },
    /// A transaction of a kind that is not known: what was active cannot be told.
    #[error("the activity log holds a transaction that is not known here")]
    Unknown(#[source] TransactionError),
}

/// The extents that were active when the last transaction was written. `bytes` is the whole log, read at
/// [`Layout::log_at`]. A damaged block is taken for one whose writing was interrupted: data that depends on it was not
/// written, and what it replaced is told by the others.
///
/// # Errors
/// When the log cannot be interpreted.
pub fn replay(layout: &Layout, bytes: &[u8]) -> Result<BTreeSet<u32>, ReplayError> {
    let expected = layout.log_bytes();
    if bytes.len() as u64 != expected {
        return Err(ReplayError::Length { found: bytes.len(), expected });
    }
    let (mut damaged, mut first_damaged) = (0, false);
    let mut updates = Vec::new();
    for turn in 0..layout.log_blocks() {
        // Within the log: its length was checked.
        let at = layout.log_block_of(turn) as usize * BLOCK_BYTES;
        match Transaction::decode(&bytes[at..]) {
            Ok(Transaction::Initialised) => {}
            Ok(Transaction::Update { number, context, updates: changes, .. }) => {
                updates.push((number, context, changes));
            }
            Err(unknown @ TransactionError::Type(_)) => return Err(ReplayError::Unknown(unknown)),
            Err(_) => {
                damaged += 1;
                first_damaged |= turn == 0;
            }
        }
    }
    if damaged == layout.log_blocks() {
        return Err(ReplayError::NoLog);
    }
    let Some((reference, ..)) = updates.first() else {
        // The very first transaction may have been interrupted.
        let interrupted = damaged == 1 && first_damaged;
        return if damaged == 0 || interrupted {
            Ok(BTreeSet::new())
        } else {
            Err(ReplayError::NoTransaction { damaged })
        };
    };
    // Numbers wrap; those in one ring are never far from each other.
    let reference = *reference;
    updates.sort_by_key(|(number, ..)| number.wrapping_sub(reference).cast_signed());
    let mut active: BTreeMap<u16, Option<u32>> = BTreeMap::new();
    for (_, context, changes) in updates {
        active.extend(context);
        active.extend(changes);
    }
    Ok(active.into_values().flatten().collect())
}
