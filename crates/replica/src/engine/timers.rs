//! Waits: pings, acknowledgements and handshakes that take too long, and the rate of a resynchronisation.

use std::time::Duration;

use super::core::Replica;
use super::peer::{Negotiation, Peer};
use crate::state::ConnectionState;
use crate::time::Time;

impl Replica {
    /// When to say [`crate::Input::Timeout`], if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let connected = self.peers.values().filter(|peer| peer.is_connected());
        let deadlines = connected.flat_map(|peer| {
            let ping = self.ping_deadline(peer);
            let rate = peer.target.as_ref().and_then(super::sync::SyncTarget::next_at);
            let rate = rate.filter(|next_at| *next_at > self.now);
            [Some(ping), self.silence_deadline(peer), rate].into_iter().flatten()
        });
        deadlines.min()
    }

    fn ping_deadline(&self, peer: &Peer) -> Time {
        match peer.ping_sent {
            Some(sent) => sent.after(self.config.timeouts.ping_timeout),
            None => peer.last_heard.after(self.config.timeouts.ping_int),
        }
    }

    /// When a peer that owes an answer is given up.
    fn silence_deadline(&self, peer: &Peer) -> Option<Time> {
        let timeouts = &self.config.timeouts;
        let patience: Duration = timeouts.timeout.saturating_mul(timeouts.ko_count.max(1));
        let greeting = matches!(peer.negotiation, Negotiation::Greeting | Negotiation::Sent(_));
        let handshake = greeting.then(|| peer.since.after(patience));
        let owed = peer.unacknowledged.front().map(|(sent, _)| sent.after(patience));
        handshake.into_iter().chain(owed).min()
    }

    pub(super) fn check_timers(&mut self) {
        let now = self.now;
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            let Some(peer) = self.peers.get(&id).filter(|peer| peer.is_connected()) else { continue };
            let silent = self.silence_deadline(peer).is_some_and(|deadline| deadline <= now);
            let ping_due = self.ping_deadline(peer) <= now;
            if silent || (ping_due && peer.ping_sent.is_some()) {
                self.drop_connection(id, ConnectionState::Timeout);
            } else if ping_due {
                self.ping(id);
            }
        }
    }
}
