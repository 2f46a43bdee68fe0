//! Two Primaries at once (DRBD's `allow-two-primaries`): who may join, in which order writes of both that meet are
//! carried out, and who goes on when the two lose one another.
//!
//! **Order of writes.** Each side writes what its clients want at once, and sends it to the other; both disks must end up
//! with the same. Writes that have no block in common need no order. For those that have, the order is the one in which
//! the *arbiter*, the node with the lower id, carries them out:
//!
//! 1. On the arbiter a write of the peer takes its range, and then waits until the peer has acknowledged every write of
//!    the arbiter's own to that range. While it has the range no other write of the arbiter's to it is sent.
//! 2. The arbiter acknowledges on the channel on which its writes travel (`WrittenInOrder`), before it lets go of the
//!    range. So the other side knows the order: an own write that is not acknowledged when a write of the arbiter's has
//!    the range comes *after* that one, and one that is acknowledged comes before it.
//! 3. The other side never waits for the arbiter: it puts the arbiter's write on its disk at once, but *beneath* its own
//!    writes that come after it, which are on that disk already. The bytes that those cover are written as they are.
//!    (Writing the arbiter's bytes and then the own ones once more would end the same, but show the older ones to readers
//!    in between, and be two writes of which a power failure may leave the first.)
//!
//! Why 2 is true. Let `b` be a write of the other side, sent and not acknowledged as far as that side knows when `a`, the
//! arbiter's, has the range there. Had `b` been carried out before `a` was sent, its acknowledgement would have been sent
//! before `a`, on the same channel. So it was not, and as the arbiter holds `b` back until `a` is acknowledged, it comes
//! after. And had `b` been acknowledged although it comes after `a`, then after `a` was acknowledged, so after `a` had the
//! range. The acknowledgement of `a` may travel on either channel: rule 1 needs no more than that it comes.
//!
//! Nothing waits in a circle: the arbiter waits for an acknowledgement; on the other side that waits for the own disk only
//! (for the local part of an own write that has the range). A resynchronisation locks ranges across the two nodes the
//! other way round, and so there is none while both are Primary: who is not in sync does not join, and a Primary that
//! works over the other's disk attaches its own again once one of the two is demoted.
//!
//! **What is promised.** A write is answered once it is on both disks; each side keeps its own activity log and epochs for
//! what its own clients wrote, and marks that for the other when it is lost. A write of the arbiter's that lies beneath
//! one of the other side's counts as written there: the other side's is newer, not yet answered, and as good a value of
//! these blocks as the arbiter's. A flush on either side covers what was answered on both: it flushes both disks.
//!
//! **Generations.** The second Primary joins the generation of the first and begins none. When the connection breaks, each
//! begins one before it answers anything, as always. With quorum by majority and a node that breaks ties, both would keep
//! quorum by that node: it lets only the first of the two begin, and the second gives its quorum up. Without quorum and
//! fencing both go on; that is a split brain, and found as one when they meet. Primaries that meet with the same
//! generation, nothing marked and good disks, go on together.

use super::core::Replica;
use super::disk::OpKind;
use super::generation_change::Change;
use super::peer::{Negotiation, Peer};
use crate::buffer::Buffer;
use crate::config::QuorumPolicy;
use crate::generation::Generation;
use crate::handshake::{Decision, Report, decide};
use crate::ids::{BlockRange, NodeId};
use crate::io::{DiskOp, Event};
use crate::promotion::PromotionError;
use crate::state::{DiskState, ReplicationState, Role};
use crate::wire::{Message, WriteBody};

/// What a Primary that is lost had sent to this node, which may be Primary too: in no epoch and no activity log here. As long as
/// it may be in the cache of the disk only, it must not be given back to that peer as what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inherited {
    Nothing,
    Cached,
    Flushing,
}

impl Replica {
    /// A peer is lost. One that stays connected has everything flushed here itself before it negotiates anew.
    pub(super) fn inherit_writes(&mut self, from: NodeId) {
        let was_primary = self.peers.get(&from).is_some_and(|peer| peer.role == Role::Primary);
        if self.config.two_primaries && was_primary && self.disk.is_attached() {
            self.inherited = Inherited::Cached;
        }
    }

    /// Whether all that was inherited is on stable storage; sees to it that it will be.
    pub(super) fn inherited_is_stable(&mut self) -> bool {
        if !self.disk.is_attached() {
            // What went with the disk is copied from the peer, or marked there.
            self.inherited = Inherited::Nothing;
        }
        if self.inherited == Inherited::Cached && self.peer_writes_are_over() {
            self.inherited = Inherited::Flushing;
            self.submit(OpKind::InheritedFlush, DiskOp::Flush);
        }
        self.inherited == Inherited::Nothing
    }

    /// When that failed, the disk is gone.
    pub(super) fn inherited_flushed(&mut self) {
        if self.inherited == Inherited::Flushing {
            self.inherited = Inherited::Nothing;
        }
    }

    /// Whether the order in which overlapping writes are carried out is decided here, not at this peer.
    fn arbitrates(&self, peer: NodeId) -> bool {
        self.config.two_primaries && self.config.node < peer
    }

    /// Tells a peer that its write is written.
    pub(super) fn acknowledge_write(&mut self, to: NodeId, id: u64) {
        let in_order = self.arbitrates(to);
        self.send(to, if in_order { Message::WrittenInOrder { id } } else { Message::Written { id } });
    }

    /// Whether a peer's write, which has its range, comes after own ones that the peer has not acknowledged.
    pub(super) fn waits_for_own_writes(&self, from: NodeId, blocks: BlockRange) -> bool {
        let before =
            |write: &super::write::Write| write.unwritten.contains(&from) && write.blocks.overlaps(blocks);
        self.arbitrates(from) && self.writes.values().any(before)
    }

    /// Own writes were acknowledged, or nobody waits for that any more: the peer's that waited for it go on.
    pub(super) fn continue_peer_writes(&mut self, from: NodeId) {
        if !self.arbitrates(from) {
            return;
        }
        let Some(peer) = self.peers.get(&from) else { return };
        let waiting: Vec<u64> =
            peer.incoming.writes.iter().filter(|(_, write)| write.has_range).map(|(seq, _)| *seq).collect();
        for seq in waiting {
            self.carry_out_peer_write(from, seq);
        }
    }

    /// What the write of the arbiter comes to here: it lies beneath own writes that the arbiter has not acknowledged.
    pub(super) fn beneath_own_writes(&self, from: NodeId, offset: u64, body: &WriteBody) -> WriteBody {
        if !self.config.two_primaries || self.config.node < from {
            return body.clone();
        }
        let end = offset + body.bytes();
        let above = |write: &&super::write::Write| {
            write.unwritten.contains(&from)
                && write.offset < end
                && offset < write.offset + write.body.bytes()
        };
        // By number: those that overlap one another were carried out in that order.
        let mut above = self.writes.values().filter(above).peekable();
        if above.peek().is_none() {
            return body.clone();
        }
        let mut merged = match body {
            WriteBody::Data(data) => Buffer::copied(data),
            // Within the limit of a request, as was seen when it arrived.
            WriteBody::Zeroes { len, .. } => Buffer::zeroes(usize::try_from(*len).unwrap_or(0)),
        };
        for write in above {
            let (from, to) = (write.offset.max(offset), (write.offset + write.body.bytes()).min(end));
            let place = (from - offset) as usize..(to - offset) as usize;
            match &write.body {
                WriteBody::Data(data) => {
                    let start = (from - write.offset) as usize;
                    merged[place.clone()].copy_from_slice(&data[start..start + place.len()]);
                }
                WriteBody::Zeroes { .. } => merged[place].fill(0),
            }
        }
        WriteBody::Data(merged.freeze())
    }

    /// The connected peer that is Primary, if any.
    pub(super) fn other_primary(&self) -> Option<NodeId> {
        let primary = |peer: &&Peer| peer.is_connected() && peer.role == Role::Primary;
        self.peers.values().find(primary).map(|peer| peer.id)
    }

    /// Whether this node and a connected peer are both Primary, or are about to be.
    pub(super) fn both_are_primary(&self) -> bool {
        self.role == Role::Primary && (self.other_primary().is_some() || self.promised.is_some())
    }

    /// Whether this node is becoming Primary beside the peer, or the peer beside this one.
    pub(super) fn joins_or_is_joined(&self, peer: NodeId) -> bool {
        let joins = self.promotion.as_ref().is_some_and(|promotion| promotion.joins(peer));
        let is_joined = self.role == Role::Primary && self.promised.is_some_and(|(to, _)| to == peer);
        joins || is_joined
    }

    /// Whether a peer may become Primary beside this one.
    pub(super) fn may_join(&self, from: NodeId) -> bool {
        let in_sync = |peer: &Peer| {
            peer.has_good_data()
                && peer.replication == ReplicationState::Established
                && peer.negotiation == Negotiation::Over
        };
        self.config.two_primaries
            && self.disk.state == DiskState::UpToDate
            && self.change == Change::Idle
            && self.peers.get(&from).is_some_and(in_sync)
    }

    /// Whether two Primaries that meet go on together: the same data on both sides, or a disk on one of them only.
    pub(super) fn may_go_on_together(&self, mine: &Report, theirs: &Report) -> bool {
        let good = |side: &Report| side.disk == DiskState::UpToDate;
        self.config.two_primaries
            && match decide(mine, theirs) {
                Decision::InSync => good(mine) && good(theirs),
                Decision::NoData => true,
                _ => false,
            }
    }

    /// Whether this node breaks ties between two Primaries.
    fn breaks_ties(&self) -> bool {
        self.config.two_primaries && self.config.diskless && self.config.quorum == QuorumPolicy::Majority
    }

    /// Whether a node that wants to begin a generation comes too late: another has begun one without it.
    pub(super) fn is_too_late(&self, from: NodeId, next: Generation) -> bool {
        let known = |peer: &Peer| peer.known.as_ref().map(|known| known.generations.clone());
        let Some(told) = self.peers.get(&from).and_then(known).map(|generations| generations.current) else {
            return false;
        };
        let went_on = |peer: &&Peer| {
            known(peer).is_some_and(|theirs| {
                peer.id != from && theirs.slot(from).same(told) && !theirs.current.same(told)
            })
        };
        // What is withdrawn is told once more: that is not to begin, it counts already.
        self.breaks_ties() && !next.same(told) && self.peers.values().any(|peer| went_on(&peer))
    }

    /// The node that breaks the tie has let the other go on.
    pub(super) fn new_generation_refused(&mut self, from: NodeId, current: Generation) {
        let announced = matches!(&self.change, Change::Telling { next, .. } if next.same(current));
        if !announced {
            return;
        }
        if self.is_announcing() {
            let reason = "it has let another node go on";
            self.fail_promotion(PromotionError::Refused { node: from, reason });
            return self.mark_outdated();
        }
        self.withdraw_change();
        self.give_quorum_up();
    }

    /// A tie was broken in the other's favour. It is not won again: for that both disks have to be here.
    pub(super) fn give_quorum_up(&mut self) {
        if std::mem::take(&mut self.quorum) {
            self.event(Event::Quorum(false));
        }
    }
}
