//! Online verification: the checksum of every block here against the peer's; what differs is marked on both sides.
//!
//! Each block is locked here while it is compared, and the request follows all writes on the same channel, so that the
//! comparison is of the same moment on both sides. That holds as long as the other side is not Primary: a peer's
//! promotion ends the verification. What differs is not copied: a reconnection does that.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::core::{LockOwner, Replica};
use super::disk::OpKind;
use super::sync::MAX_SYNC_BLOCKS;
use super::sync_source::{blocks_to_bytes, checksum};
use crate::ids::{BlockRange, NodeId};
use crate::io::{AdminError, DiskOp, Event};
use crate::state::{DiskState, ReplicationState, Role};
use crate::wire::Message;

/// Blocks that are compared at a time.
const WINDOW: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Comparison {
    blocks: BlockRange,
    mine: Option<u128>,
}

/// A verification that goes on.
#[derive(Debug, Default)]
pub(super) struct Verify {
    cursor: u64,
    differing: u64,
    running: BTreeMap<u64, Comparison>,
}

impl Replica {
    pub(super) fn start_verify(&mut self, with: NodeId) -> Result<(), AdminError> {
        if self.promised.is_some() {
            return Err(AdminError::Busy);
        }
        let own = self.disk.state == DiskState::UpToDate;
        let Some(peer) = self.peers.get_mut(&with) else { return Err(AdminError::NoPeer(with)) };
        let ready = peer.has_good_data() && peer.replication == ReplicationState::Established;
        if !own || !ready {
            return Err(AdminError::State("both disks must be UpToDate and connected"));
        }
        if peer.role == Role::Primary {
            return Err(AdminError::State("the peer is Primary; start the verification there"));
        }
        peer.verify = Some(Verify::default());
        self.set_replication(with, ReplicationState::VerifyS);
        Ok(())
    }

    /// Ends verifications where they are: a peer is about to become Primary, and from then on a block may change there
    /// between the look here and the look there. What was found is kept; that it is not over is seen by there being no
    /// [`Event::VerifyDone`].
    pub(super) fn stop_verifies(&mut self) {
        for with in self.peers.keys().copied().collect::<Vec<_>>() {
            let Some(peer) = self.peers.get_mut(&with) else { continue };
            if peer.verify.take().is_none() {
                continue;
            }
            let session = peer.session;
            let reads = |owner: LockOwner| {
                self.ops.values().any(|kind| match *kind {
                    OpKind::VerifyOwn { peer, session, id } => LockOwner::Verify(peer, session, id) == owner,
                    _ => false,
                })
            };
            let of_it = |owner: &LockOwner| matches!(*owner, LockOwner::Verify(peer, s, _) if peer == with && s == session);
            let idle: Vec<LockOwner> = self
                .locks
                .waiting()
                .chain(self.locks.holders())
                .filter(|owner| of_it(owner) && !reads(*owner))
                .collect();
            for owner in idle {
                self.release_lock(owner);
            }
            self.set_replication(with, ReplicationState::Established);
            self.save_bitmaps();
        }
    }

    pub(super) fn pump_verifies(&mut self) {
        for with in self.peers.keys().copied().collect::<Vec<_>>() {
            self.pump_verify(with);
        }
    }

    fn pump_verify(&mut self, with: NodeId) {
        let Some(blocks_total) = self.disk.bitmaps.get(&with).map(crate::bitmap::Bitmap::blocks) else {
            return;
        };
        loop {
            let Some(peer) = self.peers.get_mut(&with) else { return };
            let session = peer.session;
            let Some(verify) = peer.verify.as_mut() else { return };
            if verify.cursor >= blocks_total && verify.running.is_empty() {
                let differing = verify.differing;
                peer.verify = None;
                self.set_replication(with, ReplicationState::Established);
                self.save_bitmaps();
                self.event(Event::VerifyDone(with, differing));
                return;
            }
            if verify.running.len() >= WINDOW || verify.cursor >= blocks_total {
                return;
            }
            let blocks = BlockRange { start: verify.cursor, end: verify.cursor + 1 };
            verify.cursor += 1;
            self.next_write += 1;
            let id = self.next_write;
            verify.running.insert(id, Comparison { blocks, mine: None });
            let owner = LockOwner::Verify(with, session, id);
            if self.locks.acquire(owner, blocks) {
                self.carry_out_verify(owner, with, id);
            }
        }
    }

    fn comparison(&mut self, with: NodeId, id: u64) -> Option<&mut Comparison> {
        self.peers
            .get_mut(&with)
            .and_then(|peer| peer.verify.as_mut())
            .and_then(|verify| verify.running.get_mut(&id))
    }

    pub(super) fn carry_out_verify(&mut self, owner: LockOwner, with: NodeId, id: u64) {
        let Some(session) = self.peers.get(&with).map(|peer| peer.session) else { return };
        let blocks = self.comparison(with, id).map(|comparison| comparison.blocks);
        let (Some(blocks), true) = (blocks, owner == LockOwner::Verify(with, session, id)) else {
            return self.release_lock(owner);
        };
        let (offset, len) = blocks_to_bytes(blocks, self.config.size);
        self.submit(OpKind::VerifyOwn { peer: with, session, id }, DiskOp::Read { offset, len });
    }

    pub(super) fn verify_read_done(&mut self, with: NodeId, session: u64, id: u64, data: Option<Bytes>) {
        let current = self.is_session(with, session);
        match (self.comparison(with, id).filter(|_| current), data) {
            (Some(comparison), Some(data)) => {
                comparison.mine = Some(checksum(&data));
                let blocks = comparison.blocks;
                self.send(with, Message::VerifyRequest { id, blocks });
            }
            _ => self.release_lock(LockOwner::Verify(with, session, id)),
        }
    }

    pub(super) fn verify_request(&mut self, from: NodeId, id: u64, blocks: BlockRange) {
        let (_, len) = blocks_to_bytes(blocks, self.config.size);
        if len == 0 || blocks.blocks() > MAX_SYNC_BLOCKS {
            return self.protocol_error(from, "a verification outside the volume");
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.verify_serves.len() >= 2 * WINDOW || peer.verify_serves.contains_key(&id) {
            return self.protocol_error(from, "too many verification requests");
        }
        peer.verify_serves.insert(id, blocks);
        let owner = LockOwner::VerifyServe(from, peer.session, id);
        if self.locks.acquire(owner, blocks) {
            self.carry_out_verify_serve(owner, from, id);
        }
    }

    pub(super) fn carry_out_verify_serve(&mut self, owner: LockOwner, to: NodeId, id: u64) {
        let found =
            self.peers.get(&to).and_then(|peer| peer.verify_serves.get(&id).map(|b| (peer.session, *b)));
        let (Some((session, blocks)), true) = (found, self.disk.is_attached()) else {
            return self.release_lock(owner);
        };
        if owner != LockOwner::VerifyServe(to, session, id) {
            return self.release_lock(owner);
        }
        let (offset, len) = blocks_to_bytes(blocks, self.config.size);
        self.submit(OpKind::VerifyServe { peer: to, session, id }, DiskOp::Read { offset, len });
    }

    pub(super) fn verify_serve_done(&mut self, to: NodeId, session: u64, id: u64, data: Option<Bytes>) {
        self.release_lock(LockOwner::VerifyServe(to, session, id));
        if self.is_session(to, session) {
            if let Some(peer) = self.peers.get_mut(&to) {
                peer.verify_serves.remove(&id);
            }
            self.send(to, Message::VerifyAnswer { id, checksum: data.map(|data| checksum(&data)) });
        }
    }

    pub(super) fn verify_answer(&mut self, from: NodeId, id: u64, theirs: Option<u128>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let session = peer.session;
        let Some(verify) = peer.verify.as_mut() else { return };
        let Some(comparison) = verify.running.remove(&id) else { return };
        let blocks = comparison.blocks;
        let differs = comparison.mine.is_some() && theirs.is_some() && comparison.mine != theirs;
        if differs {
            verify.differing += blocks.blocks();
            self.disk.mark(from, blocks);
            self.send(from, Message::OutOfSync { ranges: vec![blocks] });
        }
        self.release_lock(LockOwner::Verify(from, session, id));
    }

    /// The peer found that these differ.
    pub(super) fn out_of_sync(&mut self, from: NodeId, ranges: &[BlockRange]) {
        for blocks in ranges {
            self.disk.mark(from, *blocks);
        }
        self.save_bitmaps();
    }
}
