//! The activity log: which 4 MiB extents may differ after a crash of the Primary.
//!
//! In: the extents that writes want to hold. Out: transactions to put on disk before those writes. An extent that is
//! held is never evicted; the caller holds it until what was written to it is on stable storage on every side. The
//! order on disk is the caller's: bitmap pages of evicted extents, then the transaction, then data.

use std::collections::BTreeMap;

use crate::ids::BLOCK_BYTES;
use crate::metadata::AlTransaction;

/// Bytes of an extent.
pub const AL_EXTENT_BYTES: u64 = 4 * 1024 * 1024;
/// Blocks of an extent.
pub const AL_EXTENT_BLOCKS: u64 = AL_EXTENT_BYTES / BLOCK_BYTES;
/// Slots that one transaction changes at most (DRBD's AL_UPDATES_PER_TRANSACTION).
pub const AL_UPDATES_PER_TRANSACTION: usize = 64;
/// Unchanged slots that one transaction repeats (DRBD's AL_CONTEXT_PER_TRANSACTION).
pub const AL_CONTEXT_PER_TRANSACTION: usize = 919;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    extent: Option<u32>,
    holders: u32,
    used: u64,
}

/// A transaction on its way to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Extents that it drops: their bitmap pages must be on disk first.
    pub evicted: Vec<u32>,
    /// What to write.
    pub transaction: AlTransaction,
}

/// The extents that are active, and the transaction that changes them.
#[derive(Debug)]
pub struct ActivityLog {
    slots: Vec<Slot>,
    by_extent: BTreeMap<u32, u16>,
    in_flight: Option<Vec<(u16, u32)>>,
    /// Slots with holders.
    held: usize,
    number: u32,
    next_context: u16,
    clock: u64,
}

impl ActivityLog {
    /// An empty log with this many slots, whose next transaction follows number `newest`.
    #[must_use]
    pub fn new(slots: u16, newest: u32) -> Self {
        Self {
            slots: vec![Slot::default(); usize::from(slots)],
            by_extent: BTreeMap::new(),
            in_flight: None,
            held: 0,
            number: newest,
            next_context: 0,
            clock: 0,
        }
    }

    /// The extents that `len` bytes at `offset` touch.
    pub fn extents(offset: u64, len: u64) -> impl Iterator<Item = u32> {
        let first = offset / AL_EXTENT_BYTES;
        let last = (offset + len.max(1) - 1) / AL_EXTENT_BYTES;
        (first..=last).map(|extent| u32::try_from(extent).unwrap_or(u32::MAX))
    }

    /// Holds all these extents, when all of them are active on disk.
    pub fn hold(&mut self, extents: &[u32]) -> bool {
        if !extents.iter().all(|extent| self.by_extent.contains_key(extent)) {
            return false;
        }
        self.clock += 1;
        for extent in extents {
            if let Some(slot) = self.by_extent.get(extent) {
                let slot = &mut self.slots[usize::from(*slot)];
                self.held += usize::from(slot.holders == 0);
                slot.holders += 1;
                slot.used = self.clock;
            }
        }
        true
    }

    /// Lets go of an extent once; it stays active until its slot is wanted.
    pub fn release(&mut self, extent: u32) {
        if let Some(slot) = self.by_extent.get(&extent) {
            let slot = &mut self.slots[usize::from(*slot)];
            self.held -= usize::from(slot.holders == 1);
            slot.holders = slot.holders.saturating_sub(1);
        }
    }

    /// How many extents somebody holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether a transaction is on its way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether the extent is active on disk, or will be once the transaction on its way is.
    #[must_use]
    pub fn speaks_for(&self, extent: u32) -> bool {
        self.by_extent.contains_key(&extent)
    }

    /// Begins a transaction that makes these extents active. None: one is on its way, nothing is to change, or every
    /// slot is held. The extents named first are served first, and `keep` are not evicted for them.
    pub fn begin(&mut self, wanted: &[u32], keep: &[u32]) -> Option<Pending> {
        if self.in_flight.is_some() {
            return None;
        }
        let mut updates = Vec::new();
        let mut evicted = Vec::new();
        let mut taken = Vec::new();
        for extent in wanted {
            if self.by_extent.contains_key(extent) || updates.iter().any(|(_, other)| other == extent) {
                continue;
            }
            if updates.len() == AL_UPDATES_PER_TRANSACTION {
                break;
            }
            let Some(index) = self.evictable(&taken, keep) else { break };
            taken.push(index);
            evicted.extend(self.slots[usize::from(index)].extent);
            updates.push((index, *extent));
        }
        if updates.is_empty() {
            return None;
        }
        // From here on the evicted extents are not active: nobody may hold them while the record is on its way.
        for (index, _) in &updates {
            let slot = &mut self.slots[usize::from(*index)];
            if let Some(old) = slot.extent.take() {
                self.by_extent.remove(&old);
            }
        }
        let transaction = self.transaction(&updates);
        self.in_flight = Some(updates);
        Some(Pending { evicted, transaction })
    }

    /// The transaction is on stable storage: its extents are active.
    pub fn committed(&mut self) {
        for (index, extent) in self.in_flight.take().unwrap_or_default() {
            self.slots[usize::from(index)] = Slot { extent: Some(extent), holders: 0, used: self.clock };
            self.by_extent.insert(extent, index);
        }
    }

    /// Extents that somebody holds, or that are active.
    pub fn active(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_extent.keys().copied()
    }

    fn evictable(&self, taken: &[u16], keep: &[u32]) -> Option<u16> {
        let free = |(index, slot): &(usize, &Slot)| {
            slot.holders == 0
                && !taken.contains(&(*index as u16))
                && slot.extent.is_none_or(|extent| !keep.contains(&extent))
        };
        let slots = || self.slots.iter().enumerate().filter(free);
        slots()
            .min_by_key(|(index, slot)| (slot.extent.is_some(), slot.used, *index))
            .map(|(index, _)| index as u16)
    }

    fn transaction(&mut self, updates: &[(u16, u32)]) -> AlTransaction {
        self.number = self.number.wrapping_add(1);
        let slots = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        let context_start = self.next_context;
        let end = self.slots.len().min(usize::from(context_start) + AL_CONTEXT_PER_TRANSACTION);
        let context = (usize::from(context_start)..end)
            .map(|index| {
                let new =
                    updates.iter().find(|(slot, _)| usize::from(*slot) == index).map(|(_, extent)| *extent);
                new.or(self.slots[index].extent)
            })
            .collect();
        self.next_context = if end == self.slots.len() { 0 } else { end as u16 };
        AlTransaction { number: self.number, updates: updates.to_vec(), slots, context_start, context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_can_be_held_only_once_its_record_is_on_disk() {
        let mut log = ActivityLog::new(4, 7);
        assert!(!log.hold(&[3]));
        let pending = log.begin(&[3, 9, 3], &[]).unwrap();
        assert_eq!(pending.transaction.updates, vec![(0, 3), (1, 9)]);
        assert_eq!((pending.transaction.number, pending.evicted.len()), (8, 0));
        assert!(!log.hold(&[3]), "the record is still on its way");
        assert!(log.begin(&[5], &[]).is_none(), "one transaction at a time");
        log.committed();
        assert!(log.hold(&[3, 9]));
    }

    #[test]
    fn what_is_held_is_never_evicted_and_the_longest_unused_goes_first() {
        let mut log = ActivityLog::new(4, 0);
        log.begin(&[0, 1, 2, 3], &[]).unwrap();
        log.committed();
        for extent in [0, 1, 2, 3] {
            assert!(log.hold(&[extent]));
        }
        assert!(log.begin(&[4], &[]).is_none(), "every slot is held");
        assert_eq!(log.held(), 4);
        assert!(log.hold(&[2]));
        log.release(2);
        assert_eq!(log.held(), 4, "held twice, let go of once");
        log.release(2);
        log.release(1);
        assert_eq!(log.held(), 2);
        let pending = log.begin(&[4], &[]).unwrap();
        assert_eq!(pending.evicted, vec![1]);
        assert!(!log.hold(&[1]), "an evicted extent is out as soon as its eviction is on its way");
        log.committed();
        assert!(log.begin(&[5], &[2, 4]).is_none(), "those to keep are not taken");
        assert_eq!(log.begin(&[5], &[4]).unwrap().evicted, vec![2]);
    }

    #[test]
    fn the_contexts_of_successive_transactions_name_every_slot() {
        let mut log = ActivityLog::new(2000, 0);
        let mut seen = std::collections::BTreeSet::new();
        for step in 0..3u32 {
            let transaction = log.begin(&[step], &[]).unwrap().transaction;
            let start = usize::from(transaction.context_start);
            seen.extend(start..start + transaction.context.len());
            log.committed();
        }
        assert_eq!(seen.len(), 2000);
    }

    #[test]
    fn extents_of_a_request_across_a_border() {
        assert_eq!(ActivityLog::extents(AL_EXTENT_BYTES - 512, 1024).collect::<Vec<_>>(), vec![0, 1]);
        assert_eq!(ActivityLog::extents(0, AL_EXTENT_BYTES).collect::<Vec<_>>(), vec![0]);
    }
}
