//! Client writes and reads: to the own disk and to the peers that follow, and when they are answered.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::admission::Admit;
use super::core::{LockOwner, Replica};
use super::disk::OpKind;
use super::peer::{Peer, Unacknowledged};
use crate::config::{MAX_REQUEST_BYTES, Protocol};
use crate::ids::{BlockRange, NodeId, RequestId, SECTOR_BYTES};
use crate::io::{ClientError, DiskOp, Output};
use crate::state::DiskState;
use crate::wire::{Message, WireWrite, WriteBody};

/// How far a write is on the own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    /// It has not begun.
    Waiting,
    /// It is on its way.
    InFlight,
    /// It is written.
    Done,
    /// There is no disk, or it failed.
    None,
}

/// A client's write.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) client: RequestId,
    pub(super) offset: u64,
    pub(super) body: WriteBody,
    pub(super) blocks: BlockRange,
    pub(super) fua: bool,
    pub(super) local: Local,
    /// Peers whose acknowledgement the protocol waits for.
    pub(super) waiting: BTreeSet<NodeId>,
    /// Peers that it was sent to and that have not written it yet.
    pub(super) unwritten: BTreeSet<NodeId>,
    pub(super) written_by_peer: bool,
    /// Extents of the activity log held for it.
    pub(super) extents: Vec<u32>,
    pub(super) epoch: Option<u64>,
    pub(super) answered: bool,
}

/// A client's read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) client: RequestId,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) from: Option<NodeId>,
}

impl Replica {
    fn is_valid(&self, offset: u64, len: u64) -> bool {
        len > 0
            && len <= MAX_REQUEST_BYTES
            && offset.is_multiple_of(SECTOR_BYTES)
            && len.is_multiple_of(SECTOR_BYTES)
            && offset.checked_add(len).is_some_and(|end| end <= self.config.size)
    }

    pub(super) fn client_write(&mut self, client: RequestId, offset: u64, body: WriteBody, fua: bool) {
        if !self.is_valid(offset, body.bytes()) {
            self.outputs.push_back(Output::Reply { id: client, result: Err(ClientError::Invalid) });
            return;
        }
        self.next_write += 1;
        let id = self.next_write;
        let blocks = BlockRange::of_bytes(offset, body.bytes());
        let write = Write {
            client,
            offset,
            body,
            blocks,
            fua,
            local: Local::Waiting,
            waiting: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            written_by_peer: false,
            extents: Vec::new(),
            epoch: None,
            answered: false,
        };
        self.writes.insert(id, write);
        self.admission.push_back(Admit::Write(id));
    }

    pub(super) fn client_read(&mut self, client: RequestId, offset: u64, len: u64) {
        if !self.is_valid(offset, len) {
            self.outputs.push_back(Output::Reply { id: client, result: Err(ClientError::Invalid) });
            return;
        }
        self.next_write += 1;
        let id = self.next_write;
        self.reads.insert(id, Read { client, offset, len, from: None });
        self.admission.push_back(Admit::Read(id));
    }

    /// Writes here and sends it to all that follow; those that do not are marked.
    pub(super) fn carry_out_write(&mut self, id: u64) {
        let Some(write) = self.writes.get_mut(&id) else { return self.release_write_lock(id) };
        // Into the epoch only now: what waited for a lock must not count for a barrier that is already sent.
        write.epoch = Some(self.epochs.begin(write.blocks, &write.extents));
        let (offset, body, blocks) = (write.offset, write.body.clone(), write.blocks);
        let local = self.disk.is_attached() && self.disk.state != DiskState::Outdated;
        let (follow, stray): (Vec<&Peer>, Vec<&Peer>) =
            self.peers.values().filter(|peer| !peer.diskless).partition(|peer| peer.follows());
        let to: Vec<NodeId> = follow.iter().map(|peer| peer.id).collect();
        let absent: Vec<NodeId> = stray.iter().map(|peer| peer.id).collect();
        write.local = if local { Local::InFlight } else { Local::None };
        write.unwritten.extend(to.iter().copied());
        // Without good data of its own the Primary reads from the peer: there a write must be before it is answered.
        if self.config.protocol != Protocol::A || self.disk.state != DiskState::UpToDate {
            write.waiting.extend(to.iter().copied());
        }
        for peer in absent {
            self.disk.mark(peer, blocks);
        }
        for peer in to {
            let now = self.now;
            if let Some(state) = self.peers.get_mut(&peer) {
                state.unacknowledged.push_back((now, Unacknowledged::Write(id)));
                state.unacknowledged_bytes += body.bytes();
            }
            let write = WireWrite { id, offset, body: body.clone() };
            self.send(peer, Message::Write { write });
        }
        if local {
            self.submit(OpKind::LocalWrite(id), DiskOp::Write { offset, body });
        } else {
            self.release_write_lock(id);
            self.settle_write(id);
        }
    }

    pub(super) fn local_write_done(&mut self, id: u64, ok: bool) {
        if let Some(write) = self.writes.get_mut(&id) {
            write.local = if ok && self.disk.is_attached() { Local::Done } else { Local::None };
            if write.local == Local::None {
                // Now it counts only where it is written.
                write.waiting.extend(write.unwritten.iter().copied());
            }
        }
        self.release_write_lock(id);
        self.settle_write(id);
    }

    fn release_write_lock(&mut self, id: u64) {
        self.release_lock(LockOwner::Write(id));
    }

    /// Lets go of a range; whoever waited for it goes on.
    pub(super) fn release_lock(&mut self, owner: LockOwner) {
        for next in self.locks.release(owner) {
            match next {
                LockOwner::Write(id) => self.carry_out_write(id),
                LockOwner::PeerWrite(peer, seq) => self.carry_out_peer_write(peer, seq),
                LockOwner::Serve(peer, _, id) => self.carry_out_serve(next, peer, id),
                LockOwner::Pull(peer, _, id) => self.carry_out_pull(next, peer, id),
                LockOwner::Verify(peer, _, id) => self.carry_out_verify(next, peer, id),
                LockOwner::VerifyServe(peer, _, id) => self.carry_out_verify_serve(next, peer, id),
            }
        }
    }

    pub(super) fn write_received(&mut self, from: NodeId, id: u64) {
        if self.config.protocol != Protocol::B || self.disk.state != DiskState::UpToDate {
            return;
        }
        if let Some(write) = self.writes.get_mut(&id)
            && matches!(write.local, Local::InFlight | Local::Done)
        {
            write.waiting.remove(&from);
        }
        self.settle_write(id);
    }

    pub(super) fn write_written(&mut self, from: NodeId, id: u64) {
        self.acknowledged(from, Unacknowledged::Write(id));
        let counts = self.peers.get(&from).is_some_and(Peer::has_good_data);
        if let Some(write) = self.writes.get_mut(&id)
            && write.unwritten.remove(&from)
        {
            write.waiting.remove(&from);
            write.written_by_peer |= counts;
        }
        self.settle_write(id);
        self.continue_peer_writes(from);
    }

    pub(super) fn write_failed(&mut self, from: NodeId, id: u64) {
        let asked = Unacknowledged::Write(id);
        let awaited = |peer: &Peer| peer.unacknowledged.iter().any(|(_, sent)| *sent == asked);
        // Its report that the disk is gone may still be on its way on the other channel. Or the report came first, and the
        // next disk is there already: then nobody waits for this any more.
        if self.peers.get(&from).is_some_and(awaited) {
            self.peer_lost_disk(from);
        }
    }

    pub(super) fn acknowledged(&mut self, from: NodeId, what: Unacknowledged) {
        if let Some(peer) = self.peers.get_mut(&from)
            && let Some(index) = peer.unacknowledged.iter().position(|(_, sent)| *sent == what)
        {
            peer.unacknowledged.remove(index);
            peer.answers = true;
            if let Unacknowledged::Write(id) = what {
                let bytes = self.writes.get(&id).map_or(0, |write| write.body.bytes());
                peer.unacknowledged_bytes = peer.unacknowledged_bytes.saturating_sub(bytes);
            }
        }
    }

    /// Nobody waits for this peer any more; what it may lack has been marked.
    pub(super) fn writes_without(&mut self, peer: NodeId) {
        let touched: Vec<u64> = self
            .writes
            .iter()
            .filter(|(_, write)| write.unwritten.contains(&peer))
            .map(|(id, _)| *id)
            .collect();
        for id in touched {
            if let Some(write) = self.writes.get_mut(&id) {
                write.unwritten.remove(&peer);
                write.waiting.remove(&peer);
            }
            self.settle_write(id);
        }
        self.continue_peer_writes(peer);
    }

    /// When nothing is waited for, the write may be answered, and when nothing is under way either, forgotten.
    fn settle_write(&mut self, id: u64) {
        let Some(write) = self.writes.get(&id) else { return };
        if matches!(write.local, Local::Waiting | Local::InFlight) {
            return;
        }
        if write.waiting.is_empty() && !write.answered {
            self.held.insert(id);
        }
        self.forget_write(id);
    }

    fn forget_write(&mut self, id: u64) {
        let over = |write: &Write| {
            write.answered && write.unwritten.is_empty() && matches!(write.local, Local::Done | Local::None)
        };
        if let Some(epoch) = self.writes.get(&id).filter(|write| over(write)).map(|write| write.epoch) {
            self.writes.remove(&id);
            if let Some(epoch) = epoch {
                self.epochs.write_over(epoch);
            }
        }
    }

    /// Answers what is done, in the order it came, unless something forbids it.
    pub(super) fn answer_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        if self.fails_for_quorum() {
            self.fail_unanswered(ClientError::NoQuorum);
        }
        if !self.may_answer() {
            return;
        }
        for id in std::mem::take(&mut self.held) {
            let Some(write) = self.writes.get_mut(&id) else { continue };
            write.answered = true;
            let (client, fua, epoch) = (write.client, write.fua, write.epoch);
            // What is only on a disk that is not whole is nowhere.
            let here = write.local == Local::Done && self.disk.state == DiskState::UpToDate;
            let ok = here || write.written_by_peer;
            if ok
                && fua
                && let Some(epoch) = epoch
            {
                self.epochs.wait_for(epoch, client);
                self.flush_epochs(None);
            } else {
                let result = if ok { Ok(None) } else { Err(ClientError::Io) };
                self.outputs.push_back(Output::Reply { id: client, result });
            }
            self.forget_write(id);
        }
    }

    /// Fails every write that was let in and not answered. It may still reach the disks: it counts as never answered.
    pub(super) fn fail_unanswered(&mut self, error: ClientError) {
        self.held.clear();
        for id in self.writes.keys().copied().collect::<Vec<_>>() {
            if let Some(write) = self.writes.get_mut(&id)
                && !write.answered
            {
                write.answered = true;
                let client = write.client;
                self.outputs.push_back(Output::Reply { id: client, result: Err(error) });
            }
            self.forget_write(id);
        }
        for client in self.epochs.take_waiters() {
            self.outputs.push_back(Output::Reply { id: client, result: Err(error) });
        }
    }

    /// Reads here, or from a peer with good data.
    pub(super) fn carry_out_read(&mut self, id: u64) {
        let Some(read) = self.reads.get_mut(&id) else { return };
        let (offset, len) = (read.offset, read.len);
        if self.disk.state == DiskState::UpToDate {
            self.submit(OpKind::ClientRead(id), DiskOp::Read { offset, len });
        } else if let Some(peer) = self.peers.values().find(|peer| peer.has_good_data()).map(|peer| peer.id) {
            read.from = Some(peer);
            self.send(peer, Message::Read { id, offset, len });
        } else {
            self.answer_read(id, Err(ClientError::Io));
        }
    }

    fn answer_read(&mut self, id: u64, result: Result<Option<Bytes>, ClientError>) {
        if let Some(read) = self.reads.remove(&id) {
            self.outputs.push_back(Output::Reply { id: read.client, result });
        }
    }

    /// A read of the own disk ended; one that failed is tried at a peer, unless it was passed on.
    pub(super) fn local_read_done(&mut self, id: u64, data: Option<Bytes>) {
        match data {
            Some(data) => self.answer_read(id, Ok(Some(data))),
            None if self.disk.state == DiskState::UpToDate => self.answer_read(id, Err(ClientError::Io)),
            None if self.reads.contains_key(&id) => self.admission.push_back(Admit::Read(id)),
            None => {}
        }
    }

    pub(super) fn remote_read_done(&mut self, from: NodeId, id: u64, data: Option<Bytes>) {
        let Some(read) = self.reads.get(&id).filter(|read| read.from == Some(from)) else { return };
        let whole = data.filter(|data| data.len() as u64 == read.len);
        let result = whole.map_or(Err(ClientError::Io), |data| Ok(Some(data)));
        self.answer_read(id, result);
    }

    /// Whether a read of this peer is on its way.
    pub(super) fn reads_from(&self, peer: NodeId) -> bool {
        self.reads.values().any(|read| read.from == Some(peer))
    }

    /// Reads from a lost peer are tried elsewhere.
    pub(super) fn reads_without(&mut self, peer: NodeId) {
        for (id, read) in &mut self.reads {
            if read.from == Some(peer) {
                read.from = None;
                self.admission.push_back(Admit::Read(*id));
            }
        }
    }
}
