//! One transaction of the activity log: which slots changed, and a part of all slots beside.
//!
//! In: 4 KiB of the log, or what to put into them. Out: a [`Transaction`], or what is wrong. A block is valid when its
//! magic and its CRC32C are right (the plain remainder: register 0 before and no inversion after).

use std::collections::BTreeMap;

use crate::fields::{Block, block, put, u16_at, u32_at};
use crate::layout::BLOCK_BYTES;

/// Slots that one transaction can change.
pub const UPDATES_PER_TRANSACTION: usize = 64;
/// Slots whose contents are repeated beside the changes.
pub const CONTEXT_PER_TRANSACTION: usize = 919;
/// Most extents that can be active at a time.
pub const MAX_EXTENTS: u16 = 65_534;

const LOG_MAGIC: u32 = 0x69cb_65a2;
const TYPE_UPDATE: u16 = 0;
const TYPE_INITIALISED: u16 = 0xffff;
const NO_SLOT: u16 = u16::MAX;
const NO_EXTENT: u32 = u32::MAX;

mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const NUMBER: usize = 4;
    pub(super) const CRC: usize = 8;
    pub(super) const TYPE: usize = 12;
    pub(super) const UPDATE_COUNT: usize = 14;
    pub(super) const CONTEXT_SIZE: usize = 16;
    pub(super) const CONTEXT_START: usize = 18;
    pub(super) const UPDATE_SLOTS: usize = 36;
    pub(super) const UPDATE_EXTENTS: usize = UPDATE_SLOTS + 2 * super::UPDATES_PER_TRANSACTION;
    pub(super) const CONTEXT: usize = UPDATE_EXTENTS + 4 * super::UPDATES_PER_TRANSACTION;
}

/// Why a block of the log cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Fewer than 4096 bytes.
    #[error("{0} bytes are too few for a transaction of {BLOCK_BYTES}")]
    Short(usize),
    /// It is none.
    #[error("this is no transaction of an activity log (the magic is {0:#010x})")]
    Magic(u32),
    /// It was not written whole.
    #[error("the transaction's checksum is {found:#010x}, not {expected:#010x}: it was not written whole")]
    Checksum {
        /// What it should be.
        expected: u32,
        /// What stands there.
        found: u32,
    },
    /// A kind that is not known.
    #[error("transactions of type {0:#06x} are not known")]
    Type(u16),
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// A block that was never used.
    Initialised,
    /// A change of the active set.
    Update {
        /// Its place in the order of transactions, wrapping.
        number: u32,
        /// How many slots there are.
        slots: u16,
        /// What is in slots apart from those that change; `None` for an empty one.
        context: BTreeMap<u16, Option<u32>>,
        /// What the slots that change hold from now on.
        updates: BTreeMap<u16, Option<u32>>,
    },
}

impl Transaction {
    /// Reads a block of the log.
    ///
    /// # Errors
    /// When it is none, or was not written whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, TransactionError> {
        let raw = block(bytes).ok_or(TransactionError::Short(bytes.len()))?;
        let magic = u32_at(raw, at::MAGIC);
        if magic != LOG_MAGIC {
            return Err(TransactionError::Magic(magic));
        }
        let (expected, found) = (checksum(raw), u32_at(raw, at::CRC));
        if found != expected {
            return Err(TransactionError::Checksum { expected, found });
        }
        match u16_at(raw, at::TYPE) {
            TYPE_INITIALISED => Ok(Self::Initialised),
            TYPE_UPDATE => Ok(update(raw)),
            other => Err(TransactionError::Type(other)),
        }
    }

    /// A block of a log without transactions.
    #[must_use]
    pub fn initialised() -> Vec<u8> {
        let mut raw = [0; BLOCK_BYTES];
        put(&mut raw, at::MAGIC, &LOG_MAGIC.to_be_bytes());
        put(&mut raw, at::TYPE, &TYPE_INITIALISED.to_be_bytes());
        seal(raw)
    }
}

fn update(raw: &Block) -> Transaction {
    let slots = u16_at(raw, at::CONTEXT_SIZE);
    let start = usize::from(u16_at(raw, at::CONTEXT_START));
    let extent = |at: usize| Some(u32_at(raw, at)).filter(|extent| *extent != NO_EXTENT);
    let context = (0..CONTEXT_PER_TRANSACTION)
        .map(|index| (start + index, extent(at::CONTEXT + 4 * index)))
        // Beyond the last slot there is nothing; should something stand there all the same, it counts.
        .filter(|(slot, extent)| *slot < usize::from(slots) || extent.is_some())
        .filter_map(|(slot, extent)| {
            Some((u16::try_from(slot).ok().filter(|slot| *slot < MAX_EXTENTS)?, extent))
        });
    let count = usize::from(u16_at(raw, at::UPDATE_COUNT));
    let updates = (0..UPDATES_PER_TRANSACTION)
        .map(|index| (index, u16_at(raw, at::UPDATE_SLOTS + 2 * index)))
        .filter(|(index, slot)| *index < count || *slot != NO_SLOT)
        .filter(|(_, slot)| *slot < MAX_EXTENTS)
        .map(|(index, slot)| (slot, extent(at::UPDATE_EXTENTS + 4 * index)));
    Transaction::Update {
        number: u32_at(raw, at::NUMBER),
        slots,
        context: context.collect(),
        updates: updates.collect(),
    }
}

/// The block of a change. `context` holds the slots from `context_start` on, at most [`CONTEXT_PER_TRANSACTION`];
/// `updates` are at most [`UPDATES_PER_TRANSACTION`]: what is more is left out, which the caller sees to.
#[must_use]
pub fn encode_update(
    number: u32,
    slots: u16,
    context_start: u16,
    context: &[Option<u32>],
    updates: &[(u16, Option<u32>)],
) -> Vec<u8> {
    let mut raw = [0; BLOCK_BYTES];
    put(&mut raw, at::MAGIC, &LOG_MAGIC.to_be_bytes());
    put(&mut raw, at::NUMBER, &number.to_be_bytes());
    put(&mut raw, at::TYPE, &TYPE_UPDATE.to_be_bytes());
    let count = u16::try_from(updates.len().min(UPDATES_PER_TRANSACTION)).unwrap_or(0);
    put(&mut raw, at::UPDATE_COUNT, &count.to_be_bytes());
    put(&mut raw, at::CONTEXT_SIZE, &slots.to_be_bytes());
    put(&mut raw, at::CONTEXT_START, &context_start.to_be_bytes());
    for index in 0..UPDATES_PER_TRANSACTION {
        let (slot, extent) = updates.get(index).copied().unwrap_or((NO_SLOT, None));
        put(&mut raw, at::UPDATE_SLOTS + 2 * index, &slot.to_be_bytes());
        put(&mut raw, at::UPDATE_EXTENTS + 4 * index, &extent.unwrap_or(NO_EXTENT).to_be_bytes());
    }
    for index in 0..CONTEXT_PER_TRANSACTION {
        let extent = context.get(index).copied().flatten().unwrap_or(NO_EXTENT);
        put(&mut raw, at::CONTEXT + 4 * index, &extent.to_be_bytes());
    }
    seal(raw)
}

fn seal(mut raw: Block) -> Vec<u8> {
    let sum = checksum(&raw);
    put(&mut raw, at::CRC, &sum.to_be_bytes());
    raw.to_vec()
}

/// The checksum of a block, whatever stands in its place.
fn checksum(raw: &Block) -> u32 {
    // The library inverts before and after; the format does neither.
    let sum = crc32c::crc32c_append(u32::MAX, &raw[..at::CRC]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    !crc32c::crc32c_append(sum, &raw[at::CRC + 4..])
}
