//! Fencing of lost peers: when it is asked for, in which order its handlers run, and what their answers mean.
//!
//! What fence-peer does to a peer, unfence-peer takes back. So for each peer only one of them runs at a time, and the next
//! one after it. An answer of fence-peer counts only if the peer was not here meanwhile: when it was, what the handler
//! did is taken back, and the peer may have gone since with what it had.

use super::core::Replica;
use super::disk::After;
use crate::config::Fencing;
use crate::ids::NodeId;
use crate::io::{Event, Handler, Output};
use crate::state::{DiskState, Role};

/// Exit codes of the fence-peer handler, as DRBD's manual has them.
mod fence_code {
    pub(super) const INCONSISTENT: i32 = 3;
    pub(super) const OUTDATED: i32 = 4;
    pub(super) const UNREACHABLE: i32 = 5;
    pub(super) const IS_PRIMARY: i32 = 6;
    pub(super) const STONITHED: i32 = 7;
}

/// The handlers of one peer.
#[derive(Debug)]
pub(super) struct Handlers {
    running: Handler,
    /// What is to run after it.
    next: Option<Handler>,
    /// The peer was here since it began.
    outdated: bool,
}

impl Replica {
    /// With fencing, a Primary that loses a peer with a disk has it fenced.
    pub(super) fn fence_lost_peer(&mut self, peer: NodeId) {
        let diskless = self.peers.get(&peer).is_none_or(|peer| peer.diskless);
        let outdated = self.is_out_of_the_way(peer);
        if self.role != Role::Primary || diskless || outdated || self.config.fencing == Fencing::DontCare {
            return;
        }
        if self.config.fencing == Fencing::ResourceAndStonith {
            self.fencing.insert(peer);
        }
        self.run_fence_handler(peer);
    }

    pub(super) fn run_fence_handler(&mut self, peer: NodeId) {
        self.run_after_the_other(peer, Handler::FencePeer(peer));
    }

    /// The peer has what is here, and nothing is to keep it from being promoted.
    pub(super) fn unfence(&mut self, peer: NodeId) {
        if self.config.fencing != Fencing::DontCare {
            self.run_after_the_other(peer, Handler::UnfencePeer(peer));
        }
    }

    fn run_after_the_other(&mut self, peer: NodeId, handler: Handler) {
        let Some(handlers) = self.fence_handlers.get_mut(&peer) else {
            let handlers = Handlers { running: handler, next: None, outdated: false };
            self.fence_handlers.insert(peer, handlers);
            return self.outputs.push_back(Output::Handler(handler));
        };
        let serves = handlers.running == handler && !handlers.outdated;
        handlers.next = (!serves).then_some(handler);
    }

    /// The peer is here: what a fence-peer handler that still runs says of it will not count, and one that waits does not
    /// run.
    pub(super) fn fencing_outdated(&mut self, peer: NodeId) {
        self.fencing.remove(&peer);
        let fence = Handler::FencePeer(peer);
        if let Some(handlers) = self.fence_handlers.get_mut(&peer) {
            handlers.outdated = handlers.running == fence;
            handlers.next = handlers.next.filter(|next| *next != fence);
        }
    }

    /// Whether a fence-peer handler runs or is to run.
    pub(super) fn is_fencing(&self) -> bool {
        let fences = |handler: &Handler| matches!(handler, Handler::FencePeer(_));
        self.fence_handlers.values().any(|all| fences(&all.running) || all.next.as_ref().is_some_and(fences))
    }

    /// A handler ended, and the next one runs. Whether its answer counts.
    pub(super) fn fence_handler_over(&mut self, peer: NodeId) -> bool {
        let Some(ended) = self.fence_handlers.remove(&peer) else { return false };
        if let Some(next) = ended.next {
            self.run_after_the_other(peer, next);
        }
        !ended.outdated
    }

    pub(super) fn fence_done(&mut self, peer: NodeId, exit_code: i32) {
        if !self.fence_handler_over(peer) {
            return;
        }
        // A peer that is down cannot go on. Whether it did before, good data here tells: a generation begins without it.
        let assumed_dead = exit_code == fence_code::UNREACHABLE && self.disk.state == DiskState::UpToDate;
        let away =
            matches!(exit_code, fence_code::INCONSISTENT | fence_code::OUTDATED | fence_code::STONITHED);
        match exit_code {
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
    }

    /// Whether a peer that is not connected is known to be outdated or fenced.
    pub(super) fn is_out_of_the_way(&self, peer: NodeId) -> bool {
        let outdated = self.disk.superblock.peers.get(&peer).is_some_and(|flags| flags.outdated);
        outdated || self.peers.get(&peer).is_some_and(|peer| peer.fenced)
    }
}
