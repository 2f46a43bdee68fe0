//! What stops I/O: quorum, fencing, suspension.

use super::core::Replica;
use super::generation_change::Change;
use super::peer::Negotiation;
use crate::config::OnNoQuorum;
use crate::io::{Event, Handler};
use crate::quorum::{QuorumView, has_quorum};

impl Replica {
    /// Counts who is there.
    pub(super) fn update_quorum(&mut self) {
        let here = |peer: &&super::peer::Peer| peer.is_settled();
        let with_disk = || self.peers.values().filter(|peer| !peer.diskless);
        let without = || self.peers.values().filter(|peer| peer.diskless);
        let outdated = |peer: &&super::peer::Peer| !peer.is_settled() && self.is_out_of_the_way(peer.id);
        let has_disk =
            |peer: &&super::peer::Peer| peer.negotiation == Negotiation::Over && peer.disk.has_data();
        let (me_with, me_without) = if self.config.diskless { (0, 1) } else { (1, 0) };
        let my_disk = usize::from(self.disk.is_attached());
        let view = QuorumView {
            diskful: with_disk().count() + me_with,
            diskful_present: with_disk().filter(here).filter(has_disk).count() + my_disk,
            diskful_here: with_disk().filter(here).count() + me_with,
            diskful_outdated: with_disk().filter(outdated).count(),
            diskless: without().count() + me_without,
            diskless_present: without().filter(here).filter(|peer| self.keeps_tie(peer)).count() + me_without,
            had_quorum: self.quorum,
        };
        let quorum = has_quorum(self.config.quorum, &view);
        if quorum != self.quorum {
            self.quorum = quorum;
            self.event(Event::Quorum(quorum));
        }
    }

    /// Whether I/O waits.
    pub(super) fn is_suspended(&self) -> bool {
        self.suspended || self.waits_for_quorum() || !self.fencing.is_empty()
    }

    /// Whether I/O waits for want of quorum.
    pub(super) fn waits_for_quorum(&self) -> bool {
        !self.quorum && self.config.on_no_quorum == OnNoQuorum::SuspendIo
    }

    /// Whether I/O fails for want of quorum.
    pub(super) fn fails_for_quorum(&self) -> bool {
        !self.quorum && self.config.on_no_quorum == OnNoQuorum::IoError
    }

    /// Whether what is done may be answered: nothing waits, and no peer that might be promoted lacks it without our
    /// generation saying so. None begins over a peer that is here and has yet to record that it lacks something: promoted
    /// with what it has, it would begin one too.
    pub(super) fn may_answer(&mut self) -> bool {
        if self.is_suspended() || self.fails_for_quorum() || self.is_negotiating() {
            return false;
        }
        if self.waits_for_behind() || self.waits_for_target() {
            return false;
        }
        if self.change == Change::Idle && !self.strays().is_empty() {
            self.begin_generation();
        }
        self.change == Change::Idle
    }

    pub(super) fn handler_done(&mut self, handler: Handler, exit_code: i32) {
        match handler {
            Handler::FencePeer(peer) => self.fence_done(peer, exit_code),
            Handler::UnfencePeer(peer) => {
                self.fence_handler_over(peer);
            }
            Handler::BeforeResyncTarget(peer) => self.before_resync_done(peer, exit_code == 0),
            _ => {}
        }
    }
}
