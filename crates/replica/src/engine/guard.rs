//! What stops I/O: quorum, fencing, suspension; and the handlers' answers.

use super::core::Replica;
use super::disk::After;
use super::generation_change::Change;
use super::peer::Negotiation;
use crate::config::OnNoQuorum;
use crate::ids::NodeId;
use crate::io::{Event, Handler, Output};
use crate::quorum::{QuorumView, has_quorum};
use crate::state::{DiskState, Role};

/// Exit codes of the fence-peer handler, as DRBD's manual has them.
mod fence_code {
    pub(super) const INCONSISTENT: i32 = 3;
    pub(super) const OUTDATED: i32 = 4;
    pub(super) const UNREACHABLE: i32 = 5;
    pub(super) const IS_PRIMARY: i32 = 6;
    pub(super) const STONITHED: i32 = 7;
}

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

    pub(super) fn run_fence_handler(&mut self, peer: NodeId) {
        if self.fence_running.insert(peer) {
            self.outputs.push_back(Output::Handler(Handler::FencePeer(peer)));
        }
    }

    pub(super) fn handler_done(&mut self, handler: Handler, exit_code: i32) {
        match handler {
            Handler::FencePeer(peer) => self.fence_done(peer, exit_code),
            Handler::BeforeResyncTarget(peer) => self.before_resync_done(peer, exit_code == 0),
            _ => {}
        }
    }

    fn fence_done(&mut self, peer: NodeId, exit_code: i32) {
        self.fence_running.remove(&peer);
        let back = self.peers.get(&peer).is_some_and(|peer| peer.is_settled());
        // A peer that is down cannot go on. Whether it did before, good data here tells: a generation begins without it.
        let assumed_dead = exit_code == fence_code::UNREACHABLE && self.disk.state == DiskState::UpToDate;
        let away =
            matches!(exit_code, fence_code::INCONSISTENT | fence_code::OUTDATED | fence_code::STONITHED);
        match exit_code {
            _ if back => {
                self.fencing.remove(&peer);
            }
            _ if away || assumed_dead => {
                if assumed_dead || exit_code == fence_code::STONITHED {
                    if let Some(state) = self.peers.get_mut(&peer) {
                        state.fenced = true;
                    }
                } else if let Some(flags) = self.disk.superblock.peers.get_mut(&peer) {
                    flags.outdated = true;
                    self.persist(After::Nothing);
                }
                self.fencing.remove(&peer);
                self.update_quorum();
            }
            fence_code::IS_PRIMARY if self.role != Role::Primary => {
                if self.disk.state == DiskState::UpToDate || self.disk.state == DiskState::Consistent {
                    self.set_disk_state(DiskState::Outdated);
                    self.persist(After::Nothing);
                }
            }
            code => self.event(Event::FencingFailed(peer, code)),
        }
        self.promotion_fenced(peer);
    }

    /// Whether a peer that is not connected is known to be outdated or fenced.
    pub(super) fn is_out_of_the_way(&self, peer: NodeId) -> bool {
        let outdated = self.disk.superblock.peers.get(&peer).is_some_and(|flags| flags.outdated);
        outdated || self.peers.get(&peer).is_some_and(|peer| peer.fenced)
    }
}
