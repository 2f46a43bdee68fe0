//! Resynchronisation, the target's side: it asks for what is marked, under a lock, writes it, and says when it is stable.
//!
//! The target asks, so that it can hold a block from the question to the answer: a write of the Primary to that block
//! waits meanwhile on either side, whichever of the two is Primary. A bit is cleared only once the block is on stable
//! storage. The target becomes UpToDate in three steps, so that at every instant either it is not whole, or the source's
//! slot for it is empty and a new generation would count from what the target has.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::core::{LockOwner, Replica};
use super::disk::{After, OpKind};
use super::sync_source::{blocks_to_bytes, checksum};
use crate::generation::{Generation, Generations};
use crate::ids::{BLOCK_BYTES, BlockRange, NodeId};
use crate::io::{DiskOp, Handler, Output};
use crate::state::{ConnectionState, DiskState, ReplicationState};
use crate::time::Time;
use crate::wire::{MAX_INSYNC_RANGES, Message, WriteBody};

/// Blocks of one request at most: 128 KiB.
pub(super) const MAX_SYNC_BLOCKS: u64 = 32;
/// Blocks written before they are flushed and reported: 16 MiB.
const FLUSH_BLOCKS: u64 = 4096;

/// What may be asked for ahead of the rate: waking up for every single request would be slower than most rates.
const BURST: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The source prepares.
    Preparing,
    /// The handler has its say.
    Handler,
    /// The superblock is on its way.
    Recording,
    /// The source's bitmap is awaited.
    Bitmap,
    /// Blocks are asked for.
    Running,
    /// All are here; the source has the word.
    Finishing,
    /// The source has agreed; that is on its way to the disk.
    Over,
    /// The source cannot read; its report is awaited.
    Stuck,
}

/// A resynchronisation to here.
#[derive(Debug)]
pub(super) struct SyncTarget {
    phase: Phase,
    base: Option<Generation>,
    cursor: u64,
    requests: BTreeMap<u64, BlockRange>,
    /// Written, not yet on stable storage.
    written: Vec<BlockRange>,
    flushing: Option<Vec<BlockRange>>,
    /// Up to then the rate is used up.
    used_until: Time,
}

impl SyncTarget {
    fn new() -> Self {
        Self {
            phase: Phase::Preparing,
            base: None,
            cursor: 0,
            requests: BTreeMap::new(),
            written: Vec::new(),
            flushing: None,
            used_until: Time::default(),
        }
    }

    /// When it may ask again, where it waits for nothing but time.
    pub(super) fn next_at(&self) -> Option<Time> {
        (self.phase == Phase::Running).then(|| self.used_until.before(BURST))
    }
}

impl Replica {
    pub(super) fn become_target(&mut self, from: NodeId) {
        self.change_after_reattach(false);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.target = Some(SyncTarget::new());
        }
        self.set_replication(from, ReplicationState::WFBitMapT);
    }

    fn target(&mut self, from: NodeId) -> Option<&mut SyncTarget> {
        self.peers.get_mut(&from).and_then(|peer| peer.target.as_mut())
    }

    /// The source is ready; before anything here is replaced the handler has its say.
    pub(super) fn sync_begin(&mut self, from: NodeId, base: Option<Generation>) {
        match self.target(from) {
            Some(target) if target.phase == Phase::Preparing => {
                target.base = base;
                target.phase = Phase::Handler;
                self.outputs.push_back(Output::Handler(Handler::BeforeResyncTarget(from)));
            }
            _ => self.protocol_error(from, "a synchronisation that was not agreed"),
        }
    }

    pub(super) fn before_resync_done(&mut self, from: NodeId, allowed: bool) {
        let Some(target) = self.target(from).filter(|target| target.phase == Phase::Handler) else { return };
        target.phase = Phase::Recording;
        let base = target.base;
        if !allowed {
            return self.drop_connection(from, ConnectionState::StandAlone);
        }
        let session = self.peers.get(&from).map_or(0, |peer| peer.session);
        if let Some(base) = base {
            self.disk.superblock.generations.begin(base, &[]);
        }
        self.set_disk_state(DiskState::Inconsistent);
        self.persist(After::TargetReady { peer: from, session });
    }

    /// The disk counts as Inconsistent now: from here on it may be written to.
    pub(super) fn target_recorded(&mut self, from: NodeId, session: u64) {
        if !self.is_session(from, session) {
            return;
        }
        let Some(target) = self.target(from).filter(|target| target.phase == Phase::Recording) else {
            return;
        };
        target.phase = Phase::Bitmap;
        self.report_state();
        self.send_bitmap(from);
    }

    /// The source's bitmap is here whole, and merged with ours.
    pub(super) fn start_pulling(&mut self, from: NodeId) {
        if let Some(target) = self.target(from) {
            target.phase = Phase::Running;
            target.cursor = 0;
        }
        self.set_replication(from, ReplicationState::SyncTarget);
    }

    pub(super) fn expects_bitmap(&self, from: NodeId) -> bool {
        let target = self.peers.get(&from).and_then(|peer| peer.target.as_ref());
        target.is_some_and(|target| matches!(target.phase, Phase::Bitmap | Phase::Finishing))
    }

    pub(super) fn pump_syncs(&mut self) {
        self.continue_sources();
        for from in self.peers.keys().copied().collect::<Vec<_>>() {
            if self.target(from).is_some_and(|target| target.phase == Phase::Running) {
                self.pump_sync(from);
            }
        }
    }

    fn pump_sync(&mut self, from: NodeId) {
        let fill_blocks = (self.config.sync.fill_target_bytes / BLOCK_BYTES).max(1);
        let rate =
            if self.application_works() { self.config.sync.min_rate } else { self.config.sync.max_rate };
        let now = self.now;
        loop {
            let Some(bitmap) = self.disk.bitmaps.get(&from) else { return };
            let Some(peer) = self.peers.get_mut(&from) else { return };
            let session = peer.session;
            let Some(target) = peer.target.as_mut() else { return };
            let asked: u64 = target.requests.values().map(|blocks| blocks.blocks()).sum();
            if asked >= fill_blocks || now < target.used_until.before(BURST) {
                break;
            }
            let Some(blocks) = bitmap.next_dirty(target.cursor, MAX_SYNC_BLOCKS) else { break };
            target.cursor = blocks.end;
            // Numbers are never used twice: an earlier round's request may still be on a disk somewhere.
            self.next_write += 1;
            let id = self.next_write;
            target.requests.insert(id, blocks);
            let bytes = blocks.blocks() * BLOCK_BYTES;
            let wait = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate);
            target.used_until = target.used_until.max(now).after(wait);
            let owner = LockOwner::Pull(from, session, id);
            if self.locks.acquire(owner, blocks) {
                self.carry_out_pull(owner, from, id);
            }
        }
        self.flush_or_finish(from);
    }

    /// Whether the application used the volume in the last moment.
    fn application_works(&self) -> bool {
        let moment = Duration::from_millis(100);
        let received = self.peers.values().any(|peer| !peer.incoming.writes.is_empty());
        received || (self.last_client_io != Time::default() && self.now.since(self.last_client_io) < moment)
    }

    fn flush_or_finish(&mut self, from: NodeId) {
        let Some(bitmap) = self.disk.bitmaps.get(&from) else { return };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let session = peer.session;
        let Some(target) = peer.target.as_mut() else { return };
        let written: u64 = target.written.iter().map(|blocks| blocks.blocks()).sum();
        let at_end = target.requests.is_empty() && bitmap.next_dirty(target.cursor, 1).is_none();
        if target.flushing.is_some() {
            return;
        }
        if written >= FLUSH_BLOCKS || (at_end && written > 0) {
            target.flushing = Some(std::mem::take(&mut target.written));
            self.submit(OpKind::SyncFlush { peer: from, session }, DiskOp::Flush);
        } else if at_end && bitmap.dirty() == 0 {
            target.phase = Phase::Finishing;
            self.send(from, Message::SyncFinished {});
        } else if at_end {
            // Marked meanwhile: once more from the start.
            target.cursor = 0;
            self.pump_sync(from);
        }
    }

    /// The blocks are locked: asks for them, with a checksum of what is here if that is wanted.
    pub(super) fn carry_out_pull(&mut self, owner: LockOwner, from: NodeId, id: u64) {
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return };
        let blocks = self.target(from).and_then(|target| target.requests.get(&id).copied());
        let (Some(blocks), true) = (blocks, owner == LockOwner::Pull(from, session, id)) else {
            return self.release_lock(owner);
        };
        if self.config.sync.checksums {
            let (offset, len) = blocks_to_bytes(blocks, self.config.size);
            self.submit(OpKind::SyncCompare { peer: from, session, id }, DiskOp::Read { offset, len });
        } else {
            self.send(from, Message::SyncRequest { id, blocks, checksum: None });
        }
    }

    pub(super) fn compare_read_done(&mut self, from: NodeId, session: u64, id: u64, data: Option<Bytes>) {
        let blocks = self.target(from).and_then(|target| target.requests.get(&id).copied());
        match (blocks, self.is_session(from, session)) {
            (Some(blocks), true) => {
                let checksum = data.map(|data| checksum(&data));
                self.send(from, Message::SyncRequest { id, blocks, checksum });
            }
            _ => self.release_lock(LockOwner::Pull(from, session, id)),
        }
    }

    /// The source's answer: bytes, or nothing when they are equal.
    pub(super) fn sync_data(&mut self, from: NodeId, id: u64, body: Option<WriteBody>) {
        let size = self.config.size;
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return };
        let Some(blocks) = self.target(from).and_then(|target| target.requests.get(&id).copied()) else {
            return;
        };
        let (offset, len) = blocks_to_bytes(blocks, size);
        match body {
            Some(body) if body.bytes() == len => {
                self.submit(OpKind::SyncWrite { peer: from, session, id }, DiskOp::Write { offset, body });
            }
            Some(_) => self.protocol_error(from, "another length than was asked for"),
            None => self.sync_write_done(from, session, id, true),
        }
    }

    pub(super) fn sync_failed(&mut self, from: NodeId, id: u64) {
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return };
        let Some(target) = self.target(from) else { return };
        if target.requests.remove(&id).is_some() {
            target.phase = Phase::Stuck;
            self.release_lock(LockOwner::Pull(from, session, id));
        }
    }

    pub(super) fn sync_write_done(&mut self, from: NodeId, session: u64, id: u64, ok: bool) {
        self.release_lock(LockOwner::Pull(from, session, id));
        if !self.is_session(from, session) || !ok {
            return;
        }
        if let Some(target) = self.target(from)
            && let Some(blocks) = target.requests.remove(&id)
        {
            target.written.push(blocks);
        }
    }

    pub(super) fn sync_flush_done(&mut self, from: NodeId, session: u64, ok: bool) {
        if !self.is_session(from, session) || !ok {
            return;
        }
        let Some(ranges) = self.target(from).and_then(|target| target.flushing.take()) else { return };
        if let Some(bitmap) = self.disk.bitmaps.get_mut(&from) {
            for blocks in &ranges {
                bitmap.clear(*blocks);
            }
        }
        for part in ranges.chunks(MAX_INSYNC_RANGES) {
            self.send(from, Message::InSync { ranges: part.to_vec() });
        }
    }

    /// The source agrees. The generations are taken over first, the data still counting as Inconsistent.
    pub(super) fn sync_commit(&mut self, from: NodeId, generations: &Generations) {
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return };
        if !self.target(from).is_some_and(|target| target.phase == Phase::Finishing) {
            return self.protocol_error(from, "the end of a synchronisation that is not over");
        }
        self.disk.superblock.generations.adopt(from, generations);
        self.persist(After::TargetCommitted { peer: from, session });
    }

    /// The source has recorded that we have everything: now the data here is UpToDate.
    pub(super) fn sync_done(&mut self, from: NodeId) {
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return };
        let Some(target) = self.target(from).filter(|target| target.phase == Phase::Finishing) else {
            return self.protocol_error(from, "the end of a synchronisation that is not over");
        };
        target.phase = Phase::Over;
        self.peer_is_in_sync(from);
        self.set_disk_state(DiskState::UpToDate);
        self.save_whole_bitmap(from);
        self.persist(After::SyncDone { peer: from, session });
    }

    pub(super) fn sync_done_recorded(&mut self, from: NodeId, session: u64) {
        // Another one may have begun meanwhile: a block was lost again.
        let over = self.target(from).is_some_and(|target| target.phase == Phase::Over);
        if !self.is_session(from, session) || !over {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.target = None;
        }
        self.set_replication(from, ReplicationState::Established);
        self.outputs.push_back(Output::Handler(Handler::AfterResyncTarget(from)));
        self.report_state();
    }

    /// A synchronisation with this peer ends where it is. Blocks on their way to the disk keep their locks until they
    /// are there.
    pub(super) fn stop_sync(&mut self, from: NodeId) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let session = peer.session;
        peer.target = None;
        peer.serves.clear();
        peer.verify = None;
        peer.verify_serves.clear();
        peer.base = None;
        peer.commit_wanted = false;
        let busy = |kind: &OpKind, owner: LockOwner| match *kind {
            OpKind::SyncWrite { peer, session, id } | OpKind::SyncCompare { peer, session, id } => {
                LockOwner::Pull(peer, session, id) == owner
            }
            OpKind::SyncServe { peer, session, id } => LockOwner::Serve(peer, session, id) == owner,
            OpKind::VerifyOwn { peer, session, id } => LockOwner::Verify(peer, session, id) == owner,
            OpKind::VerifyServe { peer, session, id } => LockOwner::VerifyServe(peer, session, id) == owner,
            _ => false,
        };
        let of_peer = |owner: &LockOwner| match *owner {
            LockOwner::Pull(peer, s, _)
            | LockOwner::Serve(peer, s, _)
            | LockOwner::Verify(peer, s, _)
            | LockOwner::VerifyServe(peer, s, _) => peer == from && s == session,
            LockOwner::Write(_) | LockOwner::PeerWrite(..) => false,
        };
        let owners: Vec<LockOwner> =
            self.locks.waiting().chain(self.locks.holders()).filter(of_peer).collect();
        for owner in owners {
            if !self.ops.values().any(|kind| busy(kind, owner)) {
                self.release_lock(owner);
            }
        }
    }

    /// The own disk is gone.
    pub(super) fn stop_all_syncs(&mut self) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.stop_sync(peer);
            self.end_ahead_without_disk(peer);
            if self.peers.get(&peer).is_some_and(|peer| peer.is_settled()) {
                self.set_replication(peer, ReplicationState::Established);
            }
        }
    }
}
