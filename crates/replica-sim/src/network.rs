//! A simulated connection between two nodes: two channels each way, ordered within, not between them.
//!
//! A connection ends at its two ends at different times; what was on its way when it was cut is lost, what was sent
//! before an end closed it in good order still arrives.

use replica::Time;

/// One connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    /// Counts connections; a message of an older one is lost.
    pub(crate) epoch: u64,
    /// Whether each end believes in it.
    pub(crate) up: [bool; 2],
    /// Nothing sent arrives any more.
    pub(crate) dead: bool,
    /// An attempt goes on.
    pub(crate) connecting: bool,
    /// No attempt succeeds.
    pub(crate) partitioned: bool,
    /// Per direction and channel: not before then the next message arrives.
    pub(crate) next_free: [[Time; 2]; 2],
}

impl Link {
    /// Whether a new attempt may begin.
    #[must_use]
    pub(crate) fn is_free(&self) -> bool {
        !self.up[0] && !self.up[1] && !self.connecting && !self.partitioned
    }

    /// When the last message from this end arrives.
    #[must_use]
    pub(crate) fn drained(&self, end: usize) -> Time {
        self.next_free[end][0].max(self.next_free[end][1])
    }
}
