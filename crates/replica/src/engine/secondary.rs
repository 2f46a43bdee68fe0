//! The peer's side of a write: what a Primary sends is written in order where it overlaps, and acknowledged.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::admission::Admit;
use super::core::{LockOwner, Replica};
use super::disk::OpKind;
use crate::config::{MAX_REQUEST_BYTES, Protocol};
use crate::ids::{BlockRange, NodeId};
use crate::io::DiskOp;
use crate::state::{DiskState, Role};
use crate::wire::{Message, WireWrite, WriteBody};

/// A write received and not yet written.
#[derive(Debug)]
pub(super) struct PeerWrite {
    session: u64,
    id: u64,
    pub(super) offset: u64,
    pub(super) body: WriteBody,
    blocks: BlockRange,
    extents: Vec<u32>,
    /// It has its range, and waits for own writes of a second Primary.
    pub(super) has_range: bool,
    in_flight: bool,
}

/// What came from one peer and is not over.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) writes: BTreeMap<u64, PeerWrite>,
    next_seq: u64,
    /// Barriers: all writes below the first number belong to it; the second is the epoch.
    barriers: VecDeque<(u64, u64)>,
    flush_in_flight: bool,
}

impl Replica {
    pub(super) fn is_within(&self, offset: u64, len: u64) -> bool {
        len > 0
            && len <= MAX_REQUEST_BYTES
            && offset.checked_add(len).is_some_and(|end| end <= self.config.size)
    }

    pub(super) fn peer_write(&mut self, from: NodeId, write: WireWrite) {
        if !self.is_within(write.offset, write.body.bytes()) {
            return self.protocol_error(from, "a write outside the volume");
        }
        let from_primary = self.peers.get(&from).is_some_and(|peer| peer.role == Role::Primary);
        if self.role == Role::Primary && !(self.config.two_primaries && from_primary) {
            return self.protocol_error(from, "a write to a Primary");
        }
        if !self.disk.is_attached() {
            self.send(from, Message::WriteFailed { id: write.id });
            return;
        }
        if self.config.protocol == Protocol::B {
            self.send(from, Message::Received { id: write.id });
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let from_diskless = !peer.disk.has_data();
        let seq = peer.incoming.next_seq;
        peer.incoming.next_seq += 1;
        let blocks = BlockRange::of_bytes(write.offset, write.body.bytes());
        let received = PeerWrite {
            session: peer.session,
            id: write.id,
            offset: write.offset,
            body: write.body,
            blocks,
            extents: Vec::new(),
            has_range: false,
            in_flight: false,
        };
        peer.incoming.writes.insert(seq, received);
        if from_diskless {
            // What the Primary has no disk for is counted here, under the protection of the log here.
            self.admission.push_back(Admit::PeerWrite(from, seq));
        } else {
            self.begin_peer_write(from, seq, Vec::new());
        }
    }

    pub(super) fn begin_peer_write(&mut self, from: NodeId, seq: u64, extents: Vec<u32>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let diskless = !peer.disk.has_data();
        let Some(write) = peer.incoming.writes.get_mut(&seq) else { return };
        write.extents = extents;
        let blocks = write.blocks;
        if diskless {
            self.disk.mark(from, blocks);
        }
        if self.locks.acquire(LockOwner::PeerWrite(from, seq), blocks) {
            self.carry_out_peer_write(from, seq);
        }
    }

    pub(super) fn carry_out_peer_write(&mut self, from: NodeId, seq: u64) {
        let write = self.peers.get_mut(&from).and_then(|peer| peer.incoming.writes.get_mut(&seq));
        let Some(write) = write else { return self.release_lock(LockOwner::PeerWrite(from, seq)) };
        write.has_range = true;
        let (offset, body, blocks) = (write.offset, write.body.clone(), write.blocks);
        if self.waits_for_own_writes(from, blocks) {
            return;
        }
        if let Some(write) = self.peers.get_mut(&from).and_then(|peer| peer.incoming.writes.get_mut(&seq)) {
            write.has_range = false;
            write.in_flight = true;
        }
        if self.disk.is_attached() {
            let body = self.beneath_own_writes(from, offset, &body);
            self.submit(OpKind::PeerWrite { peer: from, seq }, DiskOp::Write { offset, body });
        } else {
            self.peer_write_done(from, seq, false);
        }
    }

    pub(super) fn peer_write_done(&mut self, from: NodeId, seq: u64, ok: bool) {
        let over = self.peers.get_mut(&from).and_then(|peer| peer.incoming.writes.remove(&seq));
        let found = over.is_some();
        if let Some(write) = over {
            for extent in write.extents {
                self.disk.log.release(extent);
            }
            // Before anything that waited for the range is sent: the order of the two says which came first.
            if self.is_session(from, write.session) {
                let id = write.id;
                if ok && self.disk.is_attached() {
                    self.acknowledge_write(from, id);
                } else {
                    self.send(from, Message::WriteFailed { id });
                }
            }
        }
        self.release_lock(LockOwner::PeerWrite(from, seq));
        if found {
            self.continue_barriers(from);
        }
    }

    pub(super) fn peer_barrier(&mut self, from: NodeId, epoch: u64) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.incoming.barriers.push_back((peer.incoming.next_seq, epoch));
        self.continue_barriers(from);
    }

    /// Flushes for the barriers whose writes are over; one flush at a time, for as many as are ready.
    fn continue_barriers(&mut self, from: NodeId) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let session = peer.session;
        let incoming = &mut peer.incoming;
        if incoming.flush_in_flight || !self.disk.is_attached() {
            return;
        }
        let oldest = incoming.writes.keys().next().copied().unwrap_or(u64::MAX);
        let mut ready = None;
        while let Some((bound, epoch)) = incoming.barriers.front().copied() {
            if oldest < bound {
                break;
            }
            ready = Some(epoch);
            incoming.barriers.pop_front();
        }
        let Some(epoch) = ready else { return };
        incoming.flush_in_flight = true;
        self.submit(OpKind::PeerFlush { peer: from, session, epoch }, DiskOp::Flush);
    }

    pub(super) fn peer_flush_done(&mut self, from: NodeId, session: u64, epoch: u64, ok: bool) {
        if !self.is_session(from, session) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.incoming.flush_in_flight = false;
        }
        if ok && self.disk.is_attached() {
            self.send(from, Message::BarrierDone { epoch });
        }
        self.continue_barriers(from);
    }

    /// The connection is gone. What is on its way to the disk gets there; the rest is forgotten, as the Primary has
    /// marked it.
    pub(super) fn drop_incoming(&mut self, from: NodeId) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.incoming.barriers.clear();
        peer.incoming.flush_in_flight = false;
        let waiting: Vec<u64> =
            peer.incoming.writes.iter().filter(|(_, write)| !write.in_flight).map(|(seq, _)| *seq).collect();
        let mut extents = Vec::new();
        for seq in &waiting {
            extents.extend(peer.incoming.writes.remove(seq).map(|write| write.extents).unwrap_or_default());
        }
        for extent in extents {
            self.disk.log.release(extent);
        }
        for seq in waiting {
            self.release_lock(LockOwner::PeerWrite(from, seq));
        }
    }

    /// Whether writes of a peer are still on their way to the disk.
    pub(super) fn peer_writes_are_over(&self) -> bool {
        self.peers.values().all(|peer| peer.incoming.writes.is_empty())
    }

    /// A read for a Primary without a good disk.
    pub(super) fn peer_read(&mut self, from: NodeId, id: u64, offset: u64, len: u64) {
        if !self.is_within(offset, len) {
            return self.protocol_error(from, "a read outside the volume");
        }
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return };
        if self.disk.state == DiskState::UpToDate {
            self.submit(OpKind::PeerRead { peer: from, session, id }, DiskOp::Read { offset, len });
        } else {
            self.send(from, Message::ReadDone { id, data: None });
        }
    }

    pub(super) fn peer_read_done(&mut self, peer: NodeId, session: u64, id: u64, data: Option<Bytes>) {
        if self.is_session(peer, session) {
            self.send(peer, Message::ReadDone { id, data });
        }
    }
}
