//! Range locks: writes that overlap are carried out in the order in which they came.
//!
//! In: an owner and a range of blocks. Out: whether it may go ahead now, and, when another lets go, who may go ahead
//! next. First come, first served among those that overlap; disjoint ranges never wait for one another.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::BlockRange;

/// Who holds which range, and who waits.
#[derive(Debug)]
pub struct RangeLocks<O> {
    /// Ranges held, by first block; disjoint.
    held: BTreeMap<u64, (BlockRange, O)>,
    ranges: BTreeMap<O, BlockRange>,
    waiting: VecDeque<(O, BlockRange)>,
}

impl<O: Copy + Ord> RangeLocks<O> {
    /// Nothing held.
    #[must_use]
    pub fn new() -> Self {
        Self { held: BTreeMap::new(), ranges: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Takes the range, or queues for it. True: the owner has it now.
    pub fn acquire(&mut self, owner: O, range: BlockRange) -> bool {
        if self.is_held(range) || self.waiting.iter().any(|(_, other)| other.overlaps(range)) {
            self.waiting.push_back((owner, range));
            return false;
        }
        self.take(owner, range);
        true
    }

    /// Lets go of what the owner holds or waits for. The owners that have theirs now, in the order they came.
    pub fn release(&mut self, owner: O) -> Vec<O> {
        if let Some(range) = self.ranges.remove(&owner) {
            self.held.remove(&range.start);
        } else {
            self.waiting.retain(|(other, _)| *other != owner);
        }
        let mut granted = Vec::new();
        let mut still = VecDeque::with_capacity(self.waiting.len());
        for (next, range) in std::mem::take(&mut self.waiting) {
            if self.is_held(range) || still.iter().any(|(_, other): &(O, BlockRange)| other.overlaps(range)) {
                still.push_back((next, range));
            } else {
                self.take(next, range);
                granted.push(next);
            }
        }
        self.waiting = still;
        granted
    }

    /// Who waits and has nothing yet, first come first.
    pub fn waiting(&self) -> impl Iterator<Item = O> + '_ {
        self.waiting.iter().map(|(owner, _)| *owner)
    }

    /// Who holds a range.
    pub fn holders(&self) -> impl Iterator<Item = O> + '_ {
        self.ranges.keys().copied()
    }

    fn take(&mut self, owner: O, range: BlockRange) {
        if range.blocks() > 0 {
            self.held.insert(range.start, (range, owner));
        }
        self.ranges.insert(owner, range);
    }

    fn is_held(&self, range: BlockRange) -> bool {
        // Held ranges are disjoint: only the last one that starts before the end can reach into it.
        self.held.range(..range.end).next_back().is_some_and(|(_, (held, _))| held.overlaps(range))
    }
}

impl<O: Copy + Ord> Default for RangeLocks<O> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange { start, end }
    }

    #[test]
    fn overlapping_owners_go_in_the_order_they_came() {
        let mut locks = RangeLocks::new();
        assert!(locks.acquire(1, range(0, 4)));
        assert!(!locks.acquire(2, range(3, 6)));
        // Disjoint from the holder, but it must not overtake the one that waits for the same blocks.
        assert!(!locks.acquire(3, range(5, 8)));
        assert!(locks.acquire(4, range(10, 12)));
        assert_eq!(locks.release(1), vec![2]);
        assert_eq!(locks.release(2), vec![3]);
        assert_eq!(locks.release(3), Vec::<i32>::new());
        assert_eq!(locks.holders().collect::<Vec<_>>(), vec![4]);
    }

    #[test]
    fn one_that_waits_can_give_up() {
        let mut locks = RangeLocks::new();
        assert!(locks.acquire('a', range(0, 1)));
        assert!(!locks.acquire('b', range(0, 9)));
        assert!(!locks.acquire('c', range(5, 6)));
        assert_eq!(locks.release('b'), vec!['c']);
        assert_eq!(locks.waiting().count(), 0);
    }
}
