//! The decision when two disks meet: who synchronises whom, how much, or why they must not be joined.
//!
//! A pure function of both sides' reports. It is antisymmetric: with the sides swapped it gives the mirror image, so
//! both nodes come to the same decision without a word more. First match wins.

use crate::generation::{Generation, Generations};
use crate::ids::NodeId;
use crate::state::{DiskState, Role};

/// What one side says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who.
    pub node: NodeId,
    /// Its role at present.
    pub role: Role,
    /// Its disk.
    pub disk: DiskState,
    /// Its generations.
    pub generations: Generations,
    /// It was Primary when it crashed, or when it lost its disk.
    pub crashed_primary: bool,
    /// How many blocks its bitmap for the other side marks.
    pub dirty_blocks: u64,
    /// A full synchronisation between the two is still owed.
    pub full_sync: bool,
    /// The admin said that the data of this side may be thrown away.
    pub discard_my_data: bool,
    /// When it became Primary last; the larger, the later. For after-split-brain policies.
    pub primary_since: u64,
}

/// How much a synchronisation copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The blocks that either side's bitmap marks.
    Bitmap,
    /// All blocks.
    Full,
}

/// What follows from two reports, seen from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// One side or both have no disk: nothing to compare.
    NoData,
    /// Both hold the same.
    InSync,
    /// This side's data goes to the other.
    Source(Extent),
    /// The other side's data comes here.
    Target(Extent),
    /// Both were written without the other.
    SplitBrain,
    /// They never had anything in common.
    Unrelated,
    /// No side may be the source: the one that the generations point at is not whole.
    NoSource,
    /// The data of a Primary would have to be replaced under its users.
    WouldReplacePrimary,
}

impl Decision {
    /// The same decision as the other side sees it.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Source(extent) => Self::Target(extent),
            Self::Target(extent) => Self::Source(extent),
            other => other,
        }
    }
}

/// Who synchronises whom.
#[must_use]
pub fn decide(mine: &Report, theirs: &Report) -> Decision {
    if !mine.disk.has_data() || !theirs.disk.has_data() {
        return Decision::NoData;
    }
    let decision = by_generations(mine, theirs);
    guard(decision, mine, theirs)
}

impl Report {
    /// It is Primary, and its users do not see its own disk.
    #[must_use]
    pub fn works_over_peer(&self) -> bool {
        self.role == Role::Primary && self.disk != DiskState::UpToDate
    }
}

/// An Inconsistent disk never becomes source, a Primary that reads its own disk never becomes target, and one that does
/// not becomes source only with the generation that its users see.
fn guard(decision: Decision, mine: &Report, theirs: &Report) -> Decision {
    let (source, target) = match decision {
        Decision::Source(_) => (mine, theirs),
        Decision::Target(_) => (theirs, mine),
        other => return other,
    };
    let same = source.generations.current.same(target.generations.current);
    if !source.disk.is_whole() || (source.works_over_peer() && !same) {
        return Decision::NoSource;
    }
    if target.role == Role::Primary && target.disk == DiskState::UpToDate {
        return Decision::WouldReplacePrimary;
    }
    decision
}

fn by_generations(mine: &Report, theirs: &Report) -> Decision {
    let (me, you) = (&mine.generations, &theirs.generations);
    match (me.current.is_just_created(), you.current.is_just_created()) {
        (true, true) => return Decision::InSync,
        (true, false) => return Decision::Target(Extent::Full),
        (false, true) => return Decision::Source(Extent::Full),
        (false, false) => {}
    }
    if me.current.same(you.current) {
        return equal_currents(mine, theirs);
    }
    let extent = if mine.full_sync || theirs.full_sync { Extent::Full } else { Extent::Bitmap };
    let (my_slot, your_slot) = (me.slot(theirs.node), you.slot(mine.node));
    // Each being an ancestor of the other is a contradiction: nobody's data is safe to throw away.
    match (me.current.same(your_slot), you.current.same(my_slot)) {
        (true, true) => return Decision::SplitBrain,
        (true, false) => return Decision::Target(extent),
        (false, true) => return Decision::Source(extent),
        (false, false) => {}
    }
    match (you.knows(me.current), me.knows(you.current)) {
        (true, true) => return Decision::SplitBrain,
        (true, false) => return Decision::Target(Extent::Full),
        (false, true) => return Decision::Source(Extent::Full),
        (false, false) => {}
    }
    if my_slot.same(your_slot) || have_common_ancestor(me, you) {
        return Decision::SplitBrain;
    }
    Decision::Unrelated
}

fn have_common_ancestor(me: &Generations, you: &Generations) -> bool {
    let ancestors = |side: &Generations| -> Vec<Generation> {
        side.bitmap.values().chain(&side.history).copied().filter(|generation| generation.is_some()).collect()
    };
    let yours = ancestors(you);
    ancestors(me).iter().any(|mine| yours.iter().any(|other| mine.same(*other)))
}

/// The same generation on both sides: in sync, unless a crash or an interrupted synchronisation left its marks.
fn equal_currents(mine: &Report, theirs: &Report) -> Decision {
    let extent = if mine.full_sync || theirs.full_sync { Extent::Full } else { Extent::Bitmap };
    match (mine.disk.is_whole(), theirs.disk.is_whole()) {
        (true, false) => return Decision::Source(extent),
        (false, true) => return Decision::Target(extent),
        (false, false) => return Decision::NoSource,
        (true, true) => {}
    }
    let marks = |side: &Report| side.crashed_primary || side.dirty_blocks > 0;
    if !marks(mine) && !marks(theirs) {
        return Decision::InSync;
    }
    // Whose users see the data now, then who crashed as Primary, then who has marks, then the lower node id.
    let claim = |side: &Report| (side.role == Role::Primary, side.crashed_primary, side.dirty_blocks > 0);
    match claim(mine).cmp(&claim(theirs)).then(theirs.node.cmp(&mine.node)) {
        std::cmp::Ordering::Less => Decision::Target(extent),
        _ => Decision::Source(extent),
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
