//! Resynchronisation, the source's side: it answers requests under a lock, so that no write overtakes an answer.

use bytes::Bytes;

use super::core::{LockOwner, Replica};
use super::disk::{After, OpKind};
use super::generation_change::Change;
use super::sync::MAX_SYNC_BLOCKS;
use crate::bitmap::PAGE_BITS;
use crate::generation::Generation;
use crate::handshake::Extent;
use crate::ids::{BLOCK_BYTES, BlockRange, NodeId};
use crate::io::DiskOp;
use crate::state::{DiskState, ReplicationState};
use crate::wire::{Message, WriteBody};

/// Requests of a target that wait at a time, at most.
const MAX_SERVES: usize = 8192;

/// A request of the target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Serve {
    blocks: BlockRange,
    checksum: Option<u128>,
}

/// XXH3-128 over bytes: two blocks with the same one are taken to be equal.
pub(super) fn checksum(data: &[u8]) -> u128 {
    twox_hash::XxHash3_128::oneshot(data)
}

/// Offset and length of blocks; the last block of a volume may be short.
pub(super) fn blocks_to_bytes(blocks: BlockRange, size: u64) -> (u64, u64) {
    let offset = blocks.start.saturating_mul(BLOCK_BYTES).min(size);
    let end = blocks.end.saturating_mul(BLOCK_BYTES).min(size);
    (offset, end - offset)
}

impl Replica {
    /// This node's data goes to the peer. After a split brain both bitmaps count from the same base, and the target
    /// takes that base as its generation, so that an interruption does not look like a split brain again.
    pub(super) fn become_source(&mut self, to: NodeId, extent: Extent, after_split_brain: bool) {
        self.change_after_reattach(true);
        if self.disk.state.is_whole() {
            self.set_disk_state(DiskState::UpToDate);
        }
        let session = self.peers.get(&to).map_or(0, |peer| peer.session);
        let slot = self.disk.superblock.generations.slot(to);
        let fresh = Generation::from_entropy(self.random());
        let Some(peer) = self.peers.get_mut(&to) else { return };
        peer.was_good = matches!(peer.disk, DiskState::Consistent | DiskState::UpToDate);
        peer.disk = DiskState::Inconsistent;
        match extent {
            Extent::Bitmap => {
                let base = after_split_brain.then_some(slot);
                self.persist(After::SourceReady { peer: to, session, base });
            }
            Extent::Full => {
                // Every block is marked on disk before the base that says "count from these marks" is recorded. A target that
                // has taken over the last one keeps it: with another one, which it may never hear of, each would have the
                // other's generation behind it, as after a split brain.
                let known = peer.known.as_ref().map(|known| known.generations.current);
                let taken_over = slot.is_some() && known.is_some_and(|current| current.same(slot));
                peer.base = Some(if taken_over { slot } else { fresh });
                if let Some(bitmap) = self.disk.bitmaps.get_mut(&to) {
                    bitmap.set_all();
                }
                self.save_bitmaps();
            }
        }
        self.set_replication(to, ReplicationState::WFBitMapS);
        self.report_state();
    }

    /// Whether a peer that lacks what was written here, and is to get it, may not have recorded that yet. If this node were lost
    /// now, no fencing would keep that peer from going on with what it has. It sends its bitmap after it has recorded it.
    pub(super) fn waits_for_target(&self) -> bool {
        self.peers.values().any(|peer| peer.was_good && peer.replication == ReplicationState::WFBitMapS)
    }

    /// Goes on with full copies whose marks are on disk by now, and with ends that waited for a generation.
    pub(super) fn continue_sources(&mut self) {
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        for to in peers {
            let Some(peer) = self.peers.get_mut(&to) else { continue };
            let session = peer.session;
            if peer.commit_wanted && !matches!(self.change, Change::Recording | Change::Telling { .. }) {
                peer.commit_wanted = false;
                let generations = self.disk.superblock.generations.clone();
                self.send(to, Message::SyncCommit { generations });
            } else if peer.base.is_some() && self.disk.pages_are_saved() && self.change == Change::Idle {
                let base = peer.base.take();
                let generations = &mut self.disk.superblock.generations;
                if base != Some(generations.slot(to)) {
                    generations.peer_has_all(to);
                }
                generations.bitmap.extend(base.map(|base| (to, base)));
                self.persist(After::SourceReady { peer: to, session, base });
            }
        }
    }

    /// Sends every page of the bitmap that has a mark.
    pub(super) fn send_bitmap(&mut self, to: NodeId) {
        let Some(bitmap) = self.disk.bitmaps.get(&to) else { return };
        let pages: Vec<(u32, Bytes)> = (0..bitmap.pages())
            .filter(|page| !bitmap.page_is_clean(*page))
            .map(|page| (page, bitmap.page(page)))
            .collect();
        for (page, bits) in pages {
            self.send(to, Message::BitmapPage { page, bits, last: false });
        }
        self.send(to, Message::BitmapPage { page: 0, bits: Bytes::new(), last: true });
    }

    /// A page of the peer's bitmap. The source adds the target's marks to its own, and then sends all of them.
    pub(super) fn bitmap_page(&mut self, from: NodeId, page: u32, bits: &Bytes, last: bool) {
        let Some(replication) = self.peers.get(&from).map(|peer| peer.replication) else { return };
        let as_source = replication == ReplicationState::WFBitMapS;
        if !as_source && !self.expects_bitmap(from) {
            return self.protocol_error(from, "a bitmap that was not asked for");
        }
        let Some(bitmap) = self.disk.bitmaps.get_mut(&from) else { return };
        if page >= bitmap.pages() || bits.len() as u64 > PAGE_BITS / 8 {
            return self.protocol_error(from, "a bitmap page outside the volume");
        }
        bitmap.merge_page(page, bits);
        if !last {
            return;
        }
        if as_source {
            // From here on the target follows: what was written before is marked, what comes is sent.
            self.send_bitmap(from);
            self.set_replication(from, ReplicationState::SyncSource);
        } else {
            self.start_pulling(from);
        }
    }

    pub(super) fn sync_request(&mut self, from: NodeId, id: u64, blocks: BlockRange, checksum: Option<u128>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let (offset, len) = blocks_to_bytes(blocks, self.config.size);
        if len == 0 || blocks.blocks() > MAX_SYNC_BLOCKS || offset / BLOCK_BYTES != blocks.start {
            return self.protocol_error(from, "a synchronisation request outside the volume");
        }
        if peer.serves.len() >= MAX_SERVES || peer.serves.contains_key(&id) {
            return self.protocol_error(from, "too many synchronisation requests");
        }
        if peer.replication != ReplicationState::SyncSource || self.disk.state != DiskState::UpToDate {
            self.send(from, Message::SyncFailed { id });
            return;
        }
        peer.serves.insert(id, Serve { blocks, checksum });
        let owner = LockOwner::Serve(from, peer.session, id);
        if self.locks.acquire(owner, blocks) {
            self.carry_out_serve(owner, from, id);
        }
    }

    pub(super) fn carry_out_serve(&mut self, owner: LockOwner, to: NodeId, id: u64) {
        let Some((session, serve)) =
            self.peers.get(&to).and_then(|peer| peer.serves.get(&id).map(|serve| (peer.session, *serve)))
        else {
            return self.release_lock(owner);
        };
        if owner != LockOwner::Serve(to, session, id) {
            return self.release_lock(owner);
        }
        let (offset, len) = blocks_to_bytes(serve.blocks, self.config.size);
        self.submit(OpKind::SyncServe { peer: to, session, id }, DiskOp::Read { offset, len });
    }

    pub(super) fn serve_read_done(&mut self, to: NodeId, session: u64, id: u64, data: Option<Bytes>) {
        if self.is_session(to, session)
            && let Some(serve) = self.peers.get_mut(&to).and_then(|peer| peer.serves.remove(&id))
        {
            let answer = match data {
                None => Message::SyncFailed { id },
                Some(data) if serve.checksum.is_some_and(|theirs| theirs == checksum(&data)) => {
                    Message::SyncEqual { id }
                }
                Some(data) if data.iter().all(|byte| *byte == 0) => {
                    let body = WriteBody::Zeroes { len: data.len() as u64, may_trim: true };
                    Message::SyncData { id, body }
                }
                Some(data) => Message::SyncData { id, body: WriteBody::Data(data) },
            };
            self.send(to, answer);
        }
        // Only now may a write to these blocks follow.
        self.release_lock(LockOwner::Serve(to, session, id));
    }

    /// The target has these on stable storage.
    pub(super) fn in_sync(&mut self, from: NodeId, ranges: &[BlockRange]) {
        let source =
            self.peers.get(&from).is_some_and(|peer| peer.replication == ReplicationState::SyncSource);
        if let Some(bitmap) = self.disk.bitmaps.get_mut(&from).filter(|_| source) {
            for blocks in ranges {
                bitmap.clear(*blocks);
            }
        }
    }

    pub(super) fn sync_finished(&mut self, from: NodeId) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.replication != ReplicationState::SyncSource {
            return self.protocol_error(from, "the end of a synchronisation that does not run");
        }
        if self.disk.dirty(from) > 0 {
            // Marked meanwhile: the target is told, and goes on.
            self.send_bitmap(from);
        } else if let Some(peer) = self.peers.get_mut(&from) {
            peer.commit_wanted = true;
        }
    }

    /// The target has taken over the generations: its slot is emptied.
    pub(super) fn sync_committed(&mut self, from: NodeId) {
        let Some(peer) = self.peers.get(&from) else { return };
        let session = peer.session;
        if peer.replication != ReplicationState::SyncSource || self.disk.dirty(from) > 0 {
            return self.protocol_error(from, "the end of a synchronisation that does not run");
        }
        self.peer_is_in_sync(from);
        self.save_whole_bitmap(from);
        self.persist(After::SourceCommitted { peer: from, session });
    }

    /// That is on stable storage: the target may count as UpToDate.
    pub(super) fn source_recorded(&mut self, to: NodeId, session: u64) {
        let runs = self.peers.get(&to).is_some_and(|peer| peer.replication == ReplicationState::SyncSource);
        if self.is_session(to, session) && runs {
            self.send(to, Message::SyncDone {});
            self.set_replication(to, ReplicationState::Established);
            self.report_state();
        }
    }
}
