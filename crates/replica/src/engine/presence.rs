//! Presence: which peers were seen to be here since when, and so whether a diskless node may help to keep a tie.
//!
//! When the peer with the other disk is lost, a diskless node keeps the tie: it has let nobody else go on. It can vouch for that
//! only since it was connected. Before, the other peer may have lost us without our having noticed, and been let go on; a
//! diskless node that restarted has forgotten that. So it counts for a tie only when each peer that is lost was seen to be
//! here after the diskless node came: by its answer to a ping that was sent later. For the same reason no generation begins
//! after the loss of a diskless node before the peers with disks were seen to be still here.

use super::core::Replica;
use super::peer::Peer;
use crate::ids::NodeId;
use crate::wire::Message;

/// What is known of one peer's presence. Moments count the arrivals and losses of diskless nodes.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// When this diskless node came; 0 while it is not settled.
    came: u64,
    /// It was here at this moment.
    proved: u64,
    /// Pings that were sent in this connection, and answers to them.
    pings: u64,
    pongs: u64,
    /// How many answers prove that it was here at which moment.
    awaited: Option<(u64, u64)>,
}

impl Presence {
    /// A connection begins at this moment; whatever arrives from now on was not asked for before.
    pub(super) fn begin(&mut self, moment: u64) {
        *self = Self { proved: moment, ..Self::default() };
    }
}

impl Replica {
    /// Asks a peer for a sign of life.
    pub(super) fn ping(&mut self, id: NodeId) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.presence.pings += 1;
            peer.ping_sent.get_or_insert(now);
            self.send(id, Message::Ping {});
        }
    }

    /// It has answered. Answers come in the order of the pings.
    pub(super) fn pong(&mut self, from: NodeId) {
        let Some(presence) = self.peers.get_mut(&from).map(|peer| &mut peer.presence) else { return };
        if presence.pongs == presence.pings {
            return self.protocol_error(from, "an answer to no ping");
        }
        presence.pongs += 1;
        if let Some((answers, moment)) = presence.awaited
            && presence.pongs >= answers
        {
            presence.proved = moment;
            presence.awaited = None;
        }
    }

    /// A peer has settled: a diskless one has come, and those with disks are to show that they are here.
    pub(super) fn note_arrival(&mut self, from: NodeId) {
        if let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.diskless && peer.presence.came == 0)
        {
            self.moment += 1;
            peer.presence.came = self.moment;
        }
        self.ask_for_presence();
    }

    /// A diskless node is lost, and may let others go on from now on.
    pub(super) fn note_departure(&mut self, from: NodeId) {
        if let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.presence.came != 0) {
            peer.presence.came = 0;
            self.moment += 1;
            self.ask_for_presence();
        }
    }

    fn ask_for_presence(&mut self) {
        let moment = self.moment;
        let unasked = |peer: &&Peer| {
            let asked = peer.presence.awaited.is_some_and(|(_, asked)| asked == moment);
            !peer.diskless && peer.is_settled() && peer.presence.proved < moment && !asked
        };
        for id in self.peers.values().filter(unasked).map(|peer| peer.id).collect::<Vec<_>>() {
            self.ping(id);
            if let Some(presence) = self.peers.get_mut(&id).map(|peer| &mut peer.presence) {
                presence.awaited = Some((presence.pings, moment));
            }
        }
    }

    /// Whether a peer with a disk that seems to be here has not been seen since a diskless node came or was lost: it may have
    /// been let go on without us.
    pub(super) fn awaits_presence(&self) -> bool {
        let unproved =
            |peer: &Peer| !peer.diskless && peer.is_settled() && peer.presence.proved < self.moment;
        self.peers.values().any(unproved)
    }

    /// Whether a diskless node that is here can vouch that no lost peer was let go on.
    pub(super) fn keeps_tie(&self, diskless: &Peer) -> bool {
        let lost = |peer: &&Peer| !peer.diskless && !peer.is_connected() && !self.is_out_of_the_way(peer.id);
        self.peers.values().filter(lost).all(|peer| peer.presence.proved >= diskless.presence.came)
    }
}
