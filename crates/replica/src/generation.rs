//! Generation identifiers: which version of the data a node holds, and which versions it has seen.
//!
//! A current one, one bitmap slot per peer (the generation since which that peer's dirty bitmap counts), and a history.
//! Bit 0 marks a primary and is masked in comparisons. The facts are those of DRBD's user's guide, "Generation
//! Identifiers".

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::NodeId;

/// How many generations the history keeps.
pub const HISTORY_LEN: usize = 32;

/// One generation identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// No generation: an empty slot.
    pub const NONE: Self = Self(0);
    /// The volume was just created and holds nothing yet.
    pub const JUST_CREATED: Self = Self(4);
    /// The bit that says "this node was Primary".
    pub const PRIMARY_BIT: u64 = 1;

    /// A new one out of random bits.
    #[must_use]
    pub fn from_entropy(bits: u64) -> Self {
        // Above all reserved values, and bit 0 free for the mark.
        Self((bits | 1 << 63) & !Self::PRIMARY_BIT)
    }

    /// Whether both name the same generation: bit 0 does not count, and an empty slot equals nothing.
    #[must_use]
    pub fn same(self, other: Self) -> bool {
        self.is_some() && self.0 & !Self::PRIMARY_BIT == other.0 & !Self::PRIMARY_BIT
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_some(self) -> bool {
        self.0 & !Self::PRIMARY_BIT != 0
    }

    /// Whether the volume was just created.
    #[must_use]
    pub fn is_just_created(self) -> bool {
        self.same(Self::JUST_CREATED)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// All generation identifiers of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generations {
    /// What the data here is.
    pub current: Generation,
    /// Per peer: the generation since which its dirty bitmap counts. Empty: it has, or had when last seen, what is here.
    pub bitmap: BTreeMap<NodeId, Generation>,
    /// What the data here was, newest first; at most [`HISTORY_LEN`].
    pub history: Vec<Generation>,
}

impl Generations {
    /// Those of a volume just created.
    #[must_use]
    pub fn just_created() -> Self {
        Self { current: Generation::JUST_CREATED, bitmap: BTreeMap::new(), history: Vec::new() }
    }

    /// The slot of this peer.
    #[must_use]
    pub fn slot(&self, peer: NodeId) -> Generation {
        self.bitmap.get(&peer).copied().unwrap_or(Generation::NONE)
    }

    /// Begins a new generation that the `absent` peers do not follow: their slots take the old one unless they count
    /// from an earlier one already.
    pub fn begin(&mut self, new: Generation, absent: &[NodeId]) {
        let old = std::mem::replace(&mut self.current, new);
        for peer in absent {
            if !self.slot(*peer).is_some() {
                self.bitmap.insert(*peer, old);
            }
        }
        self.remember(old);
    }

    /// The peer has what is here: its slot is emptied into the history.
    pub fn peer_has_all(&mut self, peer: NodeId) {
        if let Some(old) = self.bitmap.remove(&peer) {
            self.remember(old);
        }
    }

    /// The data here became what `source` holds.
    pub fn adopt(&mut self, source_node: NodeId, source: &Self) {
        let old = std::mem::replace(&mut self.current, source.current);
        if !old.same(source.current) {
            self.remember(old);
        }
        self.peer_has_all(source_node);
        for generation in source.history.iter().rev() {
            self.remember(*generation);
        }
    }

    /// Whether the generation is in the history.
    #[must_use]
    pub fn knows(&self, generation: Generation) -> bool {
        self.history.iter().any(|known| known.same(generation))
    }

    fn remember(&mut self, generation: Generation) {
        if !generation.is_some() || generation.is_just_created() {
            return;
        }
        self.history.retain(|known| !known.same(generation));
        self.history.insert(0, generation);
        self.history.truncate(HISTORY_LEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> NodeId {
        NodeId::new(1).unwrap()
    }

    #[test]
    fn bit_0_is_masked_and_empty_equals_nothing() {
        assert!(Generation(0x10).same(Generation(0x11)));
        assert!(!Generation(0x10).same(Generation(0x12)));
        assert!(!Generation::NONE.same(Generation::NONE));
        assert!(!Generation(1).is_some());
        assert!(Generation(5).is_just_created());
        assert_eq!(Generation::from_entropy(u64::MAX).0 & 1, 0);
        assert!(Generation::from_entropy(0).is_some());
    }

    #[test]
    fn a_new_generation_keeps_the_oldest_base_of_an_absent_peer() {
        let mut mine = Generations { current: Generation(0x10), ..Generations::default() };
        mine.begin(Generation(0x20), &[peer()]);
        mine.begin(Generation(0x30), &[peer()]);
        assert_eq!((mine.current, mine.slot(peer())), (Generation(0x30), Generation(0x10)));
        assert_eq!(mine.history, vec![Generation(0x20), Generation(0x10)]);
        mine.peer_has_all(peer());
        assert!(!mine.slot(peer()).is_some());
        assert!(mine.knows(Generation(0x11)));
    }

    #[test]
    fn the_history_is_bounded_and_newest_first() {
        let mut mine = Generations { current: Generation(0x1000), ..Generations::default() };
        for step in 0..100 {
            mine.begin(Generation(0x2000 + step * 2), &[]);
        }
        assert_eq!(mine.history.len(), HISTORY_LEN);
        assert_eq!(mine.history[0], Generation(0x2000 + 98 * 2));
    }

    #[test]
    fn a_target_knows_the_ancestors_of_its_source() {
        let source = Generations {
            current: Generation(0x30),
            bitmap: BTreeMap::new(),
            history: vec![Generation(0x20), Generation(0x10)],
        };
        let mut mine = Generations { current: Generation(0x10), ..Generations::default() };
        mine.adopt(peer(), &source);
        assert_eq!(mine.current, Generation(0x30));
        assert_eq!(mine.history, vec![Generation(0x20), Generation(0x10)]);
    }
}
