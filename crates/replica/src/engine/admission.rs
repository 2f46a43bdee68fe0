//! Admission: requests wait here, first come first, until nothing stands in their way.
//!
//! A write is let in once I/O is not suspended, the generation is settled and the extents it touches are active on
//! disk. From there it goes on by itself.

use super::core::{LockOwner, Replica};
use super::generation_change::Change;
use crate::activity_log::ActivityLog;
use crate::ids::{NodeId, RequestId};
use crate::io::{ClientError, Output};
use crate::state::{DiskState, ReplicationState, Role};

/// Requests whose extents are made active together.
const GROUP_COMMIT_REQUESTS: usize = 64;

/// What waits to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admit {
    /// A client's write.
    Write(u64),
    /// A client's read.
    Read(u64),
    /// A client's flush.
    Flush(RequestId),
    /// A write of a diskless Primary.
    PeerWrite(NodeId, u64),
}

impl Replica {
    /// Lets in what can be.
    pub(super) fn admit(&mut self) {
        if self.fails_for_quorum() {
            self.fail_waiting(ClientError::NoQuorum);
        } else if self.role == Role::Primary && !self.is_suspended() && self.has_no_data() {
            self.fail_waiting(ClientError::Io);
        }
        while let Some(next) = self.admission.front().copied() {
            let went = match next {
                Admit::Write(id) => self.admit_write(id),
                Admit::Read(id) => self.admit_read(id),
                Admit::Flush(id) => self.admit_flush(id),
                Admit::PeerWrite(peer, seq) => self.admit_peer_write(peer, seq),
            };
            if !went {
                return self.admit_past(next);
            }
            self.admission.pop_front();
        }
    }

    /// What a client here waits for must not hold a second Primary's writes up.
    fn admit_past(&mut self, blocked: Admit) {
        if !self.config.two_primaries || matches!(blocked, Admit::PeerWrite(..)) {
            return;
        }
        let mut index = 1;
        while let Some(next) = self.admission.get(index).copied() {
            match next {
                Admit::PeerWrite(peer, seq) if self.admit_peer_write(peer, seq) => {
                    self.admission.remove(index);
                }
                Admit::PeerWrite(..) => return,
                _ => index += 1,
            }
        }
    }

    /// Whether requests of clients here wait to be let in.
    pub(super) fn clients_wait(&self) -> bool {
        self.admission.iter().any(|next| !matches!(next, Admit::PeerWrite(..)))
    }

    fn admit_write(&mut self, id: u64) -> bool {
        if self.is_about_to_negotiate() || self.becomes_target() || !self.may_answer() {
            return false;
        }
        if self.relieve_congestion() {
            return false;
        }
        let Some(write) = self.writes.get(&id) else { return true };
        let blocks = write.blocks;
        let extents: Vec<u32> = ActivityLog::extents(write.offset, write.body.bytes()).collect();
        if self.disk.is_attached() && !self.hold_extents(&extents) {
            return false;
        }
        if let Some(write) = self.writes.get_mut(&id) {
            write.extents = extents;
        }
        if self.locks.acquire(LockOwner::Write(id), blocks) {
            self.carry_out_write(id);
        }
        true
    }

    fn admit_read(&mut self, id: u64) -> bool {
        // A disk that is not whole is no help, and a peer that is may be one again in a moment.
        let between = self.disk.state != DiskState::UpToDate
            && self.is_about_to_negotiate()
            && !self.peers.values().any(|peer| peer.has_good_data());
        let diskless_waits = !self.disk.is_attached() && self.change != Change::Idle;
        if self.is_suspended()
            || self.becomes_target()
            || between
            || (diskless_waits && self.peers.values().any(|peer| peer.has_good_data()))
        {
            return false;
        }
        self.carry_out_read(id);
        true
    }

    fn admit_flush(&mut self, id: RequestId) -> bool {
        // Not before the disks that it has to reach are known.
        if self.is_suspended() || self.is_about_to_negotiate() || self.becomes_target() {
            return false;
        }
        self.flush_epochs(Some(id));
        true
    }

    fn admit_peer_write(&mut self, peer: NodeId, seq: u64) -> bool {
        let Some(write) = self.peers.get(&peer).and_then(|state| state.incoming.writes.get(&seq)) else {
            return true;
        };
        let extents: Vec<u32> = ActivityLog::extents(write.offset, write.body.bytes()).collect();
        if self.disk.is_attached() && !self.hold_extents(&extents) {
            return false;
        }
        self.begin_peer_write(peer, seq, extents);
        true
    }

    /// Whether neither the own disk nor a peer's is good for anything, nor about to be.
    fn has_no_data(&self) -> bool {
        self.disk.state != DiskState::UpToDate
            && !self.peers.values().any(|peer| peer.has_good_data())
            && !self.is_about_to_negotiate()
            && !self.becomes_target()
    }

    /// Whether the own disk is about to be filled from a peer that is not yet ready to follow.
    fn becomes_target(&self) -> bool {
        self.peers.values().any(|peer| peer.replication == ReplicationState::WFBitMapT)
    }

    /// Holds the extents, or sees to it that they become active, with those of the requests that wait behind.
    fn hold_extents(&mut self, extents: &[u32]) -> bool {
        if self.disk.log.hold(extents) {
            return true;
        }
        if self.disk.log.is_busy() {
            return false;
        }
        let mut wanted = extents.to_vec();
        for waiting in self.admission.iter().skip(1).take(GROUP_COMMIT_REQUESTS) {
            let range = match waiting {
                Admit::Write(id) => self.writes.get(id).map(|write| (write.offset, write.body.bytes())),
                Admit::PeerWrite(peer, seq) => self
                    .peers
                    .get(peer)
                    .and_then(|state| state.incoming.writes.get(seq))
                    .map(|write| (write.offset, write.body.bytes())),
                Admit::Read(_) | Admit::Flush(_) => None,
            };
            if let Some((offset, len)) = range {
                wanted.extend(ActivityLog::extents(offset, len));
            }
        }
        self.activate(&wanted, extents);
        if !self.disk.log.is_busy() {
            // Every slot is held by writes that are not stable yet.
            self.flush_epochs(None);
        }
        false
    }

    /// Fails all that waits or is done and may not be answered.
    pub(super) fn fail_waiting(&mut self, error: ClientError) {
        for next in std::mem::take(&mut self.admission) {
            let id = match next {
                Admit::Write(id) => self.writes.remove(&id).map(|write| write.client),
                Admit::Read(id) => self.reads.remove(&id).map(|read| read.client),
                Admit::Flush(id) => Some(id),
                Admit::PeerWrite(..) => {
                    self.admission.push_back(next);
                    None
                }
            };
            if let Some(id) = id {
                self.outputs.push_back(Output::Reply { id, result: Err(error) });
            }
        }
        self.fail_unanswered(error);
    }
}
