//! The activity log as it is written: a ring of transactions that says at any time which extents are active.
//!
//! An extent is made active, and that is on stable storage, before data is written in it; after a crash the active ones
//! may differ from the peers'. Each transaction repeats a part of all slots, so that the blocks of the ring together
//! always tell the whole set, whichever of them was being written. Which extents become active and which are given up
//! is the caller's to decide; order on disk is, too: bitmap pages, then the transaction, then data.

use std::collections::BTreeMap;

use crate::layout::{BLOCK_BYTES, Layout};
use crate::transaction::{CONTEXT_PER_TRANSACTION, MAX_EXTENTS, UPDATES_PER_TRANSACTION, encode_update};
use crate::write::Write;

/// Why a change cannot be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// So many slots would not be told by the ring.
    #[error("{slots} active extents are more than the {most} that an activity log of this size can hold")]
    Slots {
        /// Slots asked for.
        slots: u16,
        /// Slots possible.
        most: u16,
    },
    /// A slot that does not exist.
    #[error("there is no slot {slot} in an activity log of {slots}")]
    NoSuchSlot {
        /// The slot.
        slot: u16,
        /// How many there are.
        slots: u16,
    },
    /// More changes than a transaction holds.
    #[error("{0} changes are more than the {UPDATES_PER_TRANSACTION} of one transaction")]
    TooMany(usize),
}

/// An activity log in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityLog {
    layout: Layout,
    slots: Vec<Option<u32>>,
    number: u32,
    context_start: usize,
}

impl ActivityLog {
    /// A log without transactions, as on a device that was just created or recovered, for at most `slots` active
    /// extents.
    ///
    /// # Errors
    /// When the ring is too small for them: see [`ActivityLog::most_slots`].
    pub fn new(layout: &Layout, slots: u16) -> Result<Self, LogError> {
        let most = Self::most_slots(layout);
        if slots == 0 || slots > most {
            return Err(LogError::Slots { slots, most });
        }
        Ok(Self { layout: *layout, slots: vec![None; usize::from(slots)], number: 0, context_start: 0 })
    }

    /// The most extents that can be active: all blocks of the ring but the one being written must tell them all.
    #[must_use]
    pub fn most_slots(layout: &Layout) -> u16 {
        let told = (layout.log_blocks() as usize - 1) * CONTEXT_PER_TRANSACTION;
        u16::try_from(told).unwrap_or(MAX_EXTENTS).min(MAX_EXTENTS)
    }

    /// What each slot holds.
    #[must_use]
    pub fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }

    /// Changes slots: from now on each holds the extent given, or none. The write must be on stable storage before
    /// data is written in an extent that became active.
    ///
    /// # Errors
    /// When there are too many changes, or a slot does not exist; nothing has changed then.
    pub fn commit(&mut self, changes: &BTreeMap<u16, Option<u32>>) -> Result<Write, LogError> {
        if changes.len() > UPDATES_PER_TRANSACTION {
            return Err(LogError::TooMany(changes.len()));
        }
        let count = self.slots.len();
        // At most `MAX_EXTENTS`.
        let slots = u16::try_from(count).unwrap_or(MAX_EXTENTS);
        if let Some(slot) = changes.keys().copied().find(|slot| *slot >= slots) {
            return Err(LogError::NoSuchSlot { slot, slots });
        }
        for (slot, extent) in changes {
            self.slots[usize::from(*slot)] = *extent;
        }
        let start = self.context_start;
        let end = (start + CONTEXT_PER_TRANSACTION).min(count);
        let updates: Vec<(u16, Option<u32>)> =
            changes.iter().map(|(slot, extent)| (*slot, *extent)).collect();
        let bytes = encode_update(
            self.number,
            slots,
            u16::try_from(start).unwrap_or(0),
            &self.slots[start..end],
            &updates,
        );
        let offset =
            self.layout.log_at() + u64::from(self.layout.log_block_of(self.number)) * BLOCK_BYTES as u64;
        self.number = self.number.wrapping_add(1);
        self.context_start = if end == count { 0 } else { end };
        Ok(Write::Data { offset, bytes })
    }
}
