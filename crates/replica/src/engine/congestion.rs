//! Congestion: what a Primary does about a peer that does not keep up (DRBD's `on-congestion`).
//!
//! Measured here, in what was sent to the peer and not acknowledged: under protocol A a write is done before that, so
//! nothing else slows the application down. With `pull-ahead` the Primary stops sending and only marks (Ahead), in four
//! steps, and no write is let in before the third is over:
//!
//! 1. What the peer has not confirmed as stable is marked, and no flush waits for it any more.
//! 2. The peer is told on the channel that does not queue behind data. It records that its data is outdated, and says so:
//!    from then on it is not promoted with what it has.
//! 3. A new generation begins that the peer does not follow, as for any peer that is lost. Not before: a peer that could
//!    still be promoted with what it has would begin one too, and the two would be a split brain.
//! 4. Once the peer has written all that was sent to it, the two negotiate anew, and what is marked is copied.
//!
//! So nothing that was answered is ever spoken for less than if the connection had been lost, and the peer knows more.
//! Only a peer that is in sync is left behind: a resynchronisation is not interrupted, as otherwise it might never end.

use super::core::Replica;
use super::disk::After;
use super::generation_change::Change;
use super::peer::{Negotiation, Peer};
use crate::config::OnCongestion;
use crate::ids::NodeId;
use crate::state::{ConnectionState, DiskState, ReplicationState, Role};
use crate::wire::Message;

/// How far a peer is that is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// It was told by this number, and has not recorded it.
    Told(u64),
    /// It has recorded that its data is outdated.
    Known,
}

impl Replica {
    /// Whether too much is on its way to this peer, and it could be left behind.
    fn is_congested(&self, peer: &Peer) -> bool {
        let may_leave = !peer.diskless
            && peer.negotiation == Negotiation::Over
            && peer.answers
            && peer.replication == ReplicationState::Established
            && peer.has_good_data()
            && !peer.unacknowledged.is_empty();
        let congestion = &self.config.congestion;
        let full = congestion.fill_bytes > 0 && peer.unacknowledged_bytes >= congestion.fill_bytes;
        let extents = congestion.extents.unwrap_or(self.config.al_extents);
        may_leave && (full || self.disk.log.held() >= usize::from(extents))
    }

    /// Before a write is let in: does what is configured about peers that do not keep up. Whether anything was done.
    pub(super) fn relieve_congestion(&mut self) -> bool {
        let policy = self.config.congestion.policy;
        let able = self.role == Role::Primary
            && self.disk.state == DiskState::UpToDate
            && self.change == Change::Idle
            && self.resize.is_none()
            && self.growth.is_none();
        if policy == OnCongestion::Block || !able {
            return false;
        }
        let slow: Vec<NodeId> =
            self.peers.values().filter(|peer| self.is_congested(peer)).map(|peer| peer.id).collect();
        for peer in &slow {
            match policy {
                OnCongestion::Disconnect => self.drop_connection(*peer, ConnectionState::NetworkFailure),
                _ => self.pull_ahead(*peer),
            }
        }
        !slow.is_empty()
    }

    /// Goes on without the peer, which stays connected.
    fn pull_ahead(&mut self, id: NodeId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // It goes on to acknowledge what was sent: so it is seen when all of that has arrived.
        let owed = std::mem::take(&mut peer.unacknowledged);
        self.stop_following(id);
        self.next_write += 1;
        let number = self.next_write;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.unacknowledged = owed;
            peer.ahead = Some(Ahead::Told(number));
            peer.disk = DiskState::Outdated;
        }
        self.set_replication(id, ReplicationState::Ahead);
        self.send(id, Message::PullAhead { id: number });
        // Whether or not anything more is written: what was answered is no longer there.
        self.change_is_due = true;
    }

    /// Whether a peer that is left behind may not know it yet: then it could be promoted with what it has.
    pub(super) fn waits_for_behind(&self) -> bool {
        self.peers.values().any(|peer| {
            peer.replication == ReplicationState::Ahead && !matches!(peer.ahead, Some(Ahead::Known))
        })
    }

    /// The Primary goes on without us: recorded before it may answer anything that is not here.
    pub(super) fn fall_behind(&mut self, from: NodeId, id: u64) {
        if self.role == Role::Primary {
            return self.protocol_error(from, "a Primary cannot be left behind");
        }
        let Some(peer) = self.peers.get(&from) else { return };
        let (session, settled) = (peer.session, peer.is_settled());
        if !self.disk.is_attached() {
            // The report that the disk is gone is on its way.
            return;
        }
        // From here on the two disks differ, and rightly so.
        self.stop_verifies();
        if self.disk.state.is_whole() {
            self.set_disk_state(DiskState::Outdated);
        }
        // In the middle of a negotiation both decide by their reports, and this side is the target.
        if settled
            && self.peers.get(&from).is_some_and(|peer| peer.replication == ReplicationState::Established)
        {
            self.set_replication(from, ReplicationState::Behind);
        }
        self.persist(After::Behind { peer: from, session, id });
    }

    /// That is on stable storage.
    pub(super) fn behind_recorded(&mut self, to: NodeId, session: u64, id: u64) {
        if self.is_session(to, session) {
            self.send(to, Message::Behind { id });
            self.report_state();
        }
    }

    /// The peer has recorded that it is left behind.
    pub(super) fn peer_is_behind(&mut self, from: NodeId, id: u64) {
        if let Some(peer) = self.peers.get_mut(&from)
            && peer.ahead == Some(Ahead::Told(id))
        {
            peer.ahead = Some(Ahead::Known);
        }
    }

    /// Goes back to following, by a negotiation, once a peer has written all that was sent to it.
    pub(super) fn continue_ahead(&mut self) {
        let settled = self.change == Change::Idle;
        for peer in self.peers.values_mut() {
            let drained = peer.replication == ReplicationState::Ahead
                && peer.ahead == Some(Ahead::Known)
                && peer.unacknowledged.is_empty();
            if settled && drained && peer.negotiation == Negotiation::Over {
                peer.negotiation = Negotiation::Again;
            }
        }
    }

    /// The own disk is gone. Peers that were left behind have nothing that could take its place; the marks that said what
    /// they lack went with it.
    pub(super) fn end_ahead_without_disk(&mut self, peer: NodeId) {
        if let Some(state) = self.peers.get_mut(&peer)
            && state.replication == ReplicationState::Ahead
        {
            state.ahead = None;
            state.disk = DiskState::Outdated;
            if state.negotiation == Negotiation::Over {
                state.negotiation = Negotiation::Again;
            }
        }
    }
}
