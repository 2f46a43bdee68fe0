//! Epochs: which writes have to become stable together, here and on every peer that follows.
//!
//! An epoch closes when a flush is asked for, when it is large, or when the activity log needs a slot. Then the peers
//! get a barrier, and the own disk a flush once the epoch's writes are over. An epoch is stable when all of them say so;
//! only then its extents may leave the activity log and its flushes are answered. What a lost peer had not confirmed is
//! marked for it.

use std::collections::{BTreeSet, VecDeque};

use super::admission::Admit;
use super::core::Replica;
use super::disk::OpKind;
use super::peer::Unacknowledged;
use crate::ids::{BlockRange, NodeId, RequestId};
use crate::io::{ClientError, DiskOp, Output};
use crate::state::DiskState;
use crate::wire::Message;

/// Writes of an epoch at most.
const MAX_EPOCH_WRITES: usize = 2048;

#[derive(Debug)]
struct Epoch {
    number: u64,
    blocks: Vec<BlockRange>,
    extents: Vec<u32>,
    /// Writes let in and not over.
    open: usize,
    closed: bool,
    /// Peers whose confirmation is awaited.
    waiting: BTreeSet<NodeId>,
    /// The own disk was flushed, or there is none.
    flushed: bool,
    /// It is stable on the own disk.
    stable_here: bool,
    /// It is stable on a peer's disk.
    stable_there: bool,
    /// Clients to be answered; true: for all that was answered before, false: for one write.
    waiters: Vec<(RequestId, bool)>,
}

impl Epoch {
    fn new(number: u64) -> Self {
        Self {
            number,
            blocks: Vec::new(),
            extents: Vec::new(),
            open: 0,
            closed: false,
            waiting: BTreeSet::new(),
            flushed: false,
            stable_here: false,
            stable_there: false,
            waiters: Vec::new(),
        }
    }

    fn is_stable(&self) -> bool {
        self.closed && self.open == 0 && self.flushed && self.waiting.is_empty()
    }
}

/// The epochs that are not stable yet; the last one is open.
#[derive(Debug)]
pub(super) struct Epochs {
    list: VecDeque<Epoch>,
    next: u64,
    flush_in_flight: bool,
}

impl Epochs {
    pub(super) fn new() -> Self {
        Self { list: VecDeque::from([Epoch::new(1)]), next: 2, flush_in_flight: false }
    }

    /// Adds a write to the open epoch.
    pub(super) fn begin(&mut self, blocks: BlockRange, extents: &[u32]) -> u64 {
        if self.list.back().is_none_or(|epoch| epoch.closed) {
            self.list.push_back(Epoch::new(self.next));
            self.next += 1;
        }
        let Some(epoch) = self.list.back_mut() else { return 0 };
        epoch.blocks.push(blocks);
        epoch.extents.extend_from_slice(extents);
        epoch.open += 1;
        epoch.number
    }

    pub(super) fn write_over(&mut self, number: u64) {
        if let Some(epoch) = self.list.iter_mut().find(|epoch| epoch.number == number) {
            epoch.open = epoch.open.saturating_sub(1);
        }
    }

    pub(super) fn wait_for(&mut self, number: u64, client: RequestId) {
        if let Some(epoch) = self.list.iter_mut().find(|epoch| epoch.number == number) {
            epoch.waiters.push((client, false));
        }
    }

    /// Has a flush wait for everything. When nothing is under way it still asks the disks: what was written over a
    /// peer that was lost meanwhile is in no epoch any more, and may be in that peer's cache only. What a second Primary
    /// was told is in none here either: where there may be one, or was (`shared`), a flush does not join one that is under way.
    fn wait_for_all(&mut self, client: RequestId, shared: bool) {
        if self.list.back().is_none_or(|epoch| shared && epoch.closed) {
            self.list.push_back(Epoch::new(self.next));
            self.next += 1;
        }
        if let Some(epoch) = self.list.back_mut() {
            epoch.waiters.push((client, true));
        }
    }

    pub(super) fn take_waiters(&mut self) -> Vec<RequestId> {
        let waiters = self.list.iter_mut().flat_map(|epoch| std::mem::take(&mut epoch.waiters));
        waiters.map(|(client, _)| client).collect()
    }

    /// The flushes that wait, but not the single writes.
    fn take_flushes(&mut self) -> Vec<RequestId> {
        let mut flushes = Vec::new();
        for epoch in &mut self.list {
            epoch.waiters.retain(|(id, flush)| {
                if *flush {
                    flushes.push(*id);
                }
                !*flush
            });
        }
        flushes
    }

    /// Whether everything is stable.
    pub(super) fn are_stable(&self) -> bool {
        self.list.iter().all(|epoch| epoch.blocks.is_empty() && epoch.waiters.is_empty())
    }

    /// Whether the block was written in an epoch that is not stable.
    pub(super) fn covers(&self, block: u64) -> bool {
        let here = BlockRange { start: block, end: block + 1 };
        self.list.iter().any(|epoch| epoch.blocks.iter().any(|blocks| blocks.overlaps(here)))
    }
}

impl Replica {
    /// Closes the open epoch, and has the client answered once all there is is stable.
    pub(super) fn flush_epochs(&mut self, client: Option<RequestId>) {
        if let Some(client) = client {
            self.epochs.wait_for_all(client, self.config.two_primaries);
        }
        let Some(epoch) = self.epochs.list.back_mut().filter(|epoch| !epoch.closed) else { return };
        if epoch.blocks.is_empty() && epoch.waiters.is_empty() {
            return;
        }
        epoch.closed = true;
        let number = epoch.number;
        let followers: Vec<NodeId> =
            self.peers.values().filter(|peer| !peer.diskless && peer.follows()).map(|peer| peer.id).collect();
        epoch.waiting.extend(followers.iter().copied());
        for peer in followers {
            let now = self.now;
            if let Some(state) = self.peers.get_mut(&peer) {
                state.unacknowledged.push_back((now, Unacknowledged::Epoch(number)));
            }
            self.send(peer, Message::Barrier { epoch: number });
        }
    }

    /// Goes on with epochs: flushes what is over, answers what is stable.
    pub(super) fn continue_epochs(&mut self) {
        if self.epochs.list.back().is_some_and(|epoch| epoch.blocks.len() >= MAX_EPOCH_WRITES) {
            self.flush_epochs(None);
        }
        loop {
            self.flush_own_disk();
            if !self.epochs.list.front().is_some_and(Epoch::is_stable) {
                return;
            }
            let waits = self.epochs.list.front().is_some_and(|epoch| !epoch.waiters.is_empty());
            if waits && self.fails_for_quorum() {
                self.fail_unanswered(ClientError::NoQuorum);
            } else if waits && !self.may_answer() {
                return;
            }
            let Some(epoch) = self.epochs.list.pop_front() else { return };
            for extent in epoch.extents {
                self.disk.log.release(extent);
            }
            let here = epoch.stable_here && self.disk.state == DiskState::UpToDate;
            let result = if here || epoch.stable_there { Ok(None) } else { Err(ClientError::Io) };
            let flushes = epoch.waiters.iter().any(|(_, flush)| *flush);
            let lost = flushes && self.lost_writes.take().is_some();
            for (id, flush) in epoch.waiters {
                let result = if flush && lost { Err(ClientError::Io) } else { result.clone() };
                self.outputs.push_back(Output::Reply { id, result });
            }
            if lost {
                self.fail_flushes();
            }
            self.admit();
        }
    }

    /// Fails every flush that was asked for so far: of what went with a peer's cache, whoever asked before it was told
    /// must hear.
    fn fail_flushes(&mut self) {
        let mut ids = self.epochs.take_flushes();
        self.admission.retain(|next| match next {
            Admit::Flush(id) => {
                ids.push(*id);
                false
            }
            _ => true,
        });
        for id in ids {
            self.outputs.push_back(Output::Reply { id, result: Err(ClientError::Io) });
        }
    }

    /// One flush at a time, for as many epochs as are over.
    fn flush_own_disk(&mut self) {
        if self.epochs.flush_in_flight {
            return;
        }
        let ready = |epoch: &&Epoch| epoch.closed && epoch.open == 0;
        let Some(last) = self.epochs.list.iter().take_while(ready).filter(|epoch| !epoch.flushed).last()
        else {
            return;
        };
        let number = last.number;
        if self.disk.is_attached() {
            self.epochs.flush_in_flight = true;
            self.submit(OpKind::EpochFlush(number), DiskOp::Flush);
        } else {
            self.flushed_up_to(number, false);
        }
    }

    fn flushed_up_to(&mut self, number: u64, ok: bool) {
        for epoch in self.epochs.list.iter_mut().filter(|epoch| epoch.number <= number && !epoch.flushed) {
            epoch.flushed = true;
            epoch.stable_here |= ok;
        }
    }

    pub(super) fn epoch_flushed(&mut self, number: u64, ok: bool) {
        self.epochs.flush_in_flight = false;
        let ok = ok && self.disk.is_attached();
        self.flushed_up_to(number, ok);
    }

    /// The own disk is gone: what it had confirmed counts for nothing any more.
    pub(super) fn epochs_without_disk(&mut self) {
        for epoch in &mut self.epochs.list {
            epoch.extents.clear();
            epoch.stable_here = false;
        }
    }

    pub(super) fn barrier_done(&mut self, from: NodeId, number: u64) {
        // A later barrier vouches for all earlier ones.
        if let Some(peer) = self.peers.get_mut(&from) {
            let earlier =
                |what: &Unacknowledged| matches!(what, Unacknowledged::Epoch(sent) if *sent <= number);
            peer.unacknowledged.retain(|(_, what)| !earlier(what));
            peer.answers = true;
        }
        let counts = self.peers.get(&from).is_some_and(super::peer::Peer::has_good_data);
        let instance = self.peers.get(&from).map_or(0, |peer| peer.disk_instance);
        if counts && self.lost_writes == Some((from, instance)) {
            self.lost_writes = None;
        }
        for epoch in self.epochs.list.iter_mut().filter(|epoch| epoch.number <= number) {
            if epoch.waiting.remove(&from) {
                epoch.stable_there |= counts;
            }
        }
    }

    /// Marks what a lost peer had not confirmed. Whether there was anything.
    pub(super) fn mark_unstable(&mut self, peer: NodeId) -> bool {
        let followed = self.peers.get(&peer).is_some_and(|peer| !peer.diskless && peer.follows());
        let mut any = false;
        for epoch in &mut self.epochs.list {
            if epoch.waiting.remove(&peer) || (followed && !epoch.closed) {
                any |= !epoch.blocks.is_empty();
                for blocks in &epoch.blocks {
                    if let Some(bitmap) = self.disk.bitmaps.get_mut(&peer) {
                        bitmap.set(*blocks);
                    }
                }
            }
        }
        any
    }
}
