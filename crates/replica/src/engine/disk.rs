//! The own disk: what each operation was for, its metadata in the right order, attaching and losing it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::core::Replica;
use super::peer::{Negotiation, Peer};
use super::resize::RoomFor;
use crate::activity_log::{AL_EXTENT_BLOCKS, ActivityLog};
use crate::bitmap::Bitmap;
use crate::config::{Config, Fencing, OnIoError, Protocol, QuorumPolicy};
use crate::generation::{Generation, Generations};
use crate::handshake::{Decision, Report, decide};
use crate::ids::{BlockRange, NodeId, OpId, RequestId};
use crate::io::{AdminError, DiskError, DiskOp, Event, Handler, Output};
use crate::metadata::{AlTransaction, Attached, Superblock};
use crate::state::{DiskState, Role};

/// What a disk operation was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpKind {
    ClientRead(u64),
    LocalWrite(u64),
    EpochFlush(u64),
    PeerWrite { peer: NodeId, seq: u64 },
    PeerFlush { peer: NodeId, session: u64, epoch: u64 },
    PeerRead { peer: NodeId, session: u64, id: u64 },
    SyncServe { peer: NodeId, session: u64, id: u64 },
    SyncCompare { peer: NodeId, session: u64, id: u64 },
    SyncWrite { peer: NodeId, session: u64, id: u64 },
    SyncFlush { peer: NodeId, session: u64 },
    VerifyOwn { peer: NodeId, session: u64, id: u64 },
    VerifyServe { peer: NodeId, session: u64, id: u64 },
    PromotionFlush(u64),
    InheritedFlush,
    PromiseFlush { peer: NodeId, session: u64, id: u64 },
    Superblock,
    LastWord,
    BitmapPage { peer: NodeId, page: u32 },
    ResetLog,
    Log,
    Room(RoomFor),
}

/// What goes on once the superblock is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    GenerationRecorded(Generation),
    PeerGenerationRecorded {
        peer: NodeId,
        session: u64,
        current: Generation,
    },
    Promoted,
    Demoted,
    SourceReady {
        peer: NodeId,
        session: u64,
        base: Option<Generation>,
    },
    TargetReady {
        peer: NodeId,
        session: u64,
    },
    TargetCommitted {
        peer: NodeId,
        session: u64,
    },
    SourceCommitted {
        peer: NodeId,
        session: u64,
    },
    SyncDone {
        peer: NodeId,
        session: u64,
    },
    Behind {
        peer: NodeId,
        session: u64,
        id: u64,
    },
    OutdatedForGoodbye {
        peer: NodeId,
        session: u64,
    },
    /// The volume is larger.
    Grown,
    /// An order of the admin is carried out.
    Ordered(RequestId),
    LogInUse,
}

/// A disk that is being given up.
#[derive(Debug)]
pub(super) struct Leaving {
    /// What is still to be written to it.
    last_word: Option<Box<Superblock>>,
    /// Who ordered it.
    request: Option<RequestId>,
}

/// The own disk and its metadata.
#[derive(Debug)]
pub(super) struct LocalDisk {
    pub(super) state: DiskState,
    /// Names this attachment.
    pub(super) instance: u64,
    pub(super) superblock: Superblock,
    pub(super) bitmaps: BTreeMap<NodeId, Bitmap>,
    pub(super) log: ActivityLog,
    newest_log: u32,
    superblock_in_flight: Option<Vec<After>>,
    superblock_waiting: Vec<After>,
    /// Pages on their way; true: changed since, to be written again.
    pages_in_flight: BTreeMap<(NodeId, u32), bool>,
    /// A transaction that waits for pages of the bitmap.
    log_waiting: Option<AlTransaction>,
    /// The transaction is on disk; the superblock that says the log speaks is not.
    pub(super) log_commit_pending: bool,
    /// All stale pages go to disk before the next transaction: the log that spoke for them will be overwritten.
    save_all: bool,
}

impl LocalDisk {
    pub(super) fn none(config: &Config) -> Self {
        Self {
            state: DiskState::Diskless,
            instance: 0,
            superblock: Superblock::just_created(config),
            bitmaps: config.diskful_peers().map(|peer| (peer, Bitmap::new(config.size))).collect(),
            log: ActivityLog::new(config.al_extents, 0),
            newest_log: 0,
            superblock_in_flight: None,
            superblock_waiting: Vec::new(),
            pages_in_flight: BTreeMap::new(),
            log_waiting: None,
            log_commit_pending: false,
            save_all: false,
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.state.has_data()
    }

    /// Marks blocks that a peer lacks.
    pub(super) fn mark(&mut self, peer: NodeId, blocks: BlockRange) {
        if let Some(bitmap) = self.bitmaps.get_mut(&peer) {
            bitmap.set(blocks);
        }
    }

    /// Whether no bitmap page is on its way.
    pub(super) fn pages_are_saved(&self) -> bool {
        self.pages_in_flight.is_empty()
    }

    pub(super) fn dirty(&self, peer: NodeId) -> u64 {
        self.bitmaps.get(&peer).map_or(0, Bitmap::dirty)
    }
}

impl Replica {
    /// Brings the superblock to stable storage and then goes on with `after`. Without a disk there is nothing to wait
    /// for, and nothing goes on.
    pub(super) fn persist(&mut self, after: After) {
        if !self.disk.is_attached() {
            return;
        }
        self.disk.superblock_waiting.push(after);
        self.write_superblock();
    }

    fn write_superblock(&mut self) {
        if self.disk.superblock_in_flight.is_some() || self.disk.superblock_waiting.is_empty() {
            return;
        }
        self.disk.superblock_in_flight = Some(std::mem::take(&mut self.disk.superblock_waiting));
        let superblock = Box::new(self.disk.superblock.clone());
        self.submit(OpKind::Superblock, DiskOp::Superblock(superblock));
    }

    /// Writes every page of every bitmap that lacks a bit on disk.
    pub(super) fn save_bitmaps(&mut self) {
        let stale: Vec<(NodeId, Vec<u32>)> =
            self.disk.bitmaps.iter().map(|(peer, bitmap)| (*peer, bitmap.stale_pages())).collect();
        for (peer, pages) in stale {
            for page in pages {
                self.save_page(peer, page);
            }
        }
    }

    /// Writes every page, so that bits cleared since are clear on disk too.
    pub(super) fn save_whole_bitmap(&mut self, peer: NodeId) {
        let pages = self.disk.bitmaps.get(&peer).map_or(0, Bitmap::pages);
        for page in 0..pages {
            self.save_page(peer, page);
        }
    }

    fn save_page(&mut self, peer: NodeId, page: u32) {
        if !self.disk.is_attached() {
            return;
        }
        if let Some(again) = self.disk.pages_in_flight.get_mut(&(peer, page)) {
            *again = true;
            return;
        }
        let Some(bitmap) = self.disk.bitmaps.get_mut(&peer) else { return };
        bitmap.page_handed_out(page);
        let bits = bitmap.page(page);
        self.disk.pages_in_flight.insert((peer, page), false);
        self.submit(OpKind::BitmapPage { peer, page }, DiskOp::BitmapPage { peer, page, bits });
    }

    /// Makes extents active: bitmap pages of those evicted, then the record, and on first use the superblock.
    pub(super) fn activate(&mut self, wanted: &[u32], keep: &[u32]) {
        if self.disk.log_waiting.is_some() || self.disk.log_commit_pending {
            return;
        }
        let Some(pending) = self.disk.log.begin(wanted, keep) else { return };
        self.disk.newest_log = pending.transaction.number;
        if std::mem::take(&mut self.disk.save_all) {
            self.save_bitmaps();
        } else {
            for extent in pending.evicted {
                let page = Bitmap::page_of(u64::from(extent) * AL_EXTENT_BLOCKS);
                let stale = self.disk.bitmaps.iter().filter(|(_, bitmap)| bitmap.is_stale(page));
                for peer in stale.map(|(peer, _)| *peer).collect::<Vec<_>>() {
                    self.save_page(peer, page);
                }
            }
        }
        self.disk.log_waiting = Some(pending.transaction);
        self.write_log();
    }

    fn write_log(&mut self) {
        if !self.disk.pages_in_flight.is_empty() || self.disk.log_commit_pending {
            return;
        }
        let Some(transaction) = self.disk.log_waiting.take() else { return };
        if self.disk.superblock.al_clean {
            let number = transaction.number.wrapping_sub(1);
            self.disk.log_waiting = Some(transaction);
            self.disk.log_commit_pending = true;
            self.submit(OpKind::ResetLog, DiskOp::ResetActivityLog { number });
        } else {
            self.submit(OpKind::Log, DiskOp::ActivityLog(transaction));
        }
    }

    /// The activity log speaks for nothing any more: a new one begins empty.
    pub(super) fn retire_log(&mut self) {
        self.disk.superblock.al_clean = true;
        self.disk.log = ActivityLog::new(self.config.al_extents, self.disk.newest_log);
    }

    /// Whether no metadata is on its way.
    pub(super) fn metadata_is_idle(&self) -> bool {
        self.disk.superblock_in_flight.is_none()
            && self.disk.pages_in_flight.is_empty()
            && !self.disk.log.is_busy()
            && !self.disk.log_commit_pending
    }

    /// A disk operation ended.
    pub(super) fn disk_done(&mut self, op: OpId, result: Result<Option<Bytes>, DiskError>) {
        let Some(kind) = self.ops.remove(&op) else { return };
        let ok = result.is_ok();
        let data = result.ok().flatten();
        // A disk that cannot make room has none.
        let costs_nothing = matches!(kind, OpKind::Room(_));
        if !ok && self.disk.is_attached() && !costs_nothing && !self.is_passed_on(kind) {
            self.disk_failed();
        }
        match kind {
            OpKind::ClientRead(id) => self.local_read_done(id, data),
            OpKind::LocalWrite(id) => self.local_write_done(id, ok),
            OpKind::EpochFlush(epoch) => self.epoch_flushed(epoch, ok),
            OpKind::PeerWrite { peer, seq } => self.peer_write_done(peer, seq, ok),
            OpKind::PeerFlush { peer, session, epoch } => self.peer_flush_done(peer, session, epoch, ok),
            OpKind::PeerRead { peer, session, id } => self.peer_read_done(peer, session, id, data),
            OpKind::SyncServe { peer, session, id } => self.serve_read_done(peer, session, id, data),
            OpKind::SyncCompare { peer, session, id } => self.compare_read_done(peer, session, id, data),
            OpKind::SyncWrite { peer, session, id } => self.sync_write_done(peer, session, id, ok),
            OpKind::SyncFlush { peer, session } => self.sync_flush_done(peer, session, ok),
            OpKind::VerifyOwn { peer, session, id } => self.verify_read_done(peer, session, id, data),
            OpKind::VerifyServe { peer, session, id } => self.verify_serve_done(peer, session, id, data),
            OpKind::Room(why) => self.room_made(why, data),
            OpKind::PromotionFlush(id) => self.promotion_flushed(id, ok),
            OpKind::InheritedFlush => self.inherited_flushed(),
            OpKind::PromiseFlush { peer, session, id } => self.promise_flushed(peer, session, id),
            _ => self.metadata_done(kind, ok),
        }
        self.continue_leaving();
    }

    fn metadata_done(&mut self, kind: OpKind, ok: bool) {
        if !ok || !self.disk.is_attached() {
            // The disk is gone, and with it everything that waited for its metadata.
            return;
        }
        match kind {
            OpKind::Superblock => {
                for after in self.disk.superblock_in_flight.take().unwrap_or_default() {
                    self.after(after);
                }
                self.write_superblock();
                self.retire_when_saved();
            }
            OpKind::BitmapPage { peer, page } => {
                if self.disk.pages_in_flight.remove(&(peer, page)) == Some(true) {
                    self.save_page(peer, page);
                }
                self.write_log();
                self.retire_when_saved();
            }
            OpKind::ResetLog => {
                if let Some(transaction) = self.disk.log_waiting.take() {
                    self.submit(OpKind::Log, DiskOp::ActivityLog(transaction));
                }
            }
            OpKind::Log if self.disk.superblock.al_clean => {
                self.disk.superblock.al_clean = false;
                self.persist(After::LogInUse);
            }
            OpKind::Log => {
                self.disk.log.committed();
                self.retire_when_saved();
            }
            _ => {}
        }
    }

    /// Begins to use a disk.
    pub(super) fn attach(&mut self, attached: Attached) -> Result<(), AdminError> {
        if self.config.diskless {
            return Err(AdminError::State("this node has no disk by intent"));
        }
        if self.disk.is_attached() || !self.ops.is_empty() || self.promotion.is_some() {
            return Err(AdminError::Busy);
        }
        if self.both_are_primary() {
            // What one is brought while both write would need an order of its own.
            return Err(AdminError::State("a peer is Primary too; demote one of the two first"));
        }
        let superblock = attached.superblock;
        if superblock.node != self.config.node || superblock.size > self.config.size {
            return Err(AdminError::WrongDisk(superblock.node));
        }
        self.check_against_users(&superblock)?;
        let mut disk = LocalDisk::none(&self.config);
        disk.instance = self.random().max(1);
        disk.log = ActivityLog::new(self.config.al_extents, attached.al_number);
        disk.newest_log = attached.al_number;
        for (peer, mut bitmap) in attached.bitmaps {
            bitmap.as_on_disk();
            disk.bitmaps.insert(peer, bitmap);
        }
        disk.superblock = superblock;
        for (peer, flags) in &disk.superblock.peers {
            if flags.full_sync
                && let Some(bitmap) = disk.bitmaps.get_mut(peer)
            {
                bitmap.set_all();
            }
        }
        if !disk.superblock.al_clean {
            for extent in attached.active_extents {
                let start = u64::from(extent) * AL_EXTENT_BLOCKS;
                for bitmap in disk.bitmaps.values_mut() {
                    bitmap.set(BlockRange { start, end: start + AL_EXTENT_BLOCKS });
                }
            }
            disk.save_all = true;
        }
        disk.superblock.crashed_primary |= disk.superblock.primary;
        disk.superblock.primary = self.role == Role::Primary;
        disk.state = self.state_on_attach(&disk.superblock);
        disk.superblock.was_up_to_date &= disk.state != DiskState::Outdated;
        let recorded = disk.superblock.size;
        self.disk = disk;
        self.persist(After::Nothing);
        if recorded < self.config.size {
            self.grow_attached(recorded);
        }
        self.event(Event::Disk(self.disk.state));
        // While the disk was away, a peer may have gone on without it, and be gone itself by now.
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.believe_witness(peer);
        }
        self.renegotiate_all();
        self.update_quorum();
        Ok(())
    }

    /// A Primary that works with a peer's data takes only a disk with that data, or one that it can be brought to (DRBD:
    /// "can only attach to data with current UUID").
    fn check_against_users(&self, superblock: &Superblock) -> Result<(), AdminError> {
        let worked_over = self
            .peers
            .values()
            .find(|peer| peer.has_good_data())
            .and_then(|peer| peer.known.as_ref().map(|known| known.report(peer.id)));
        let Some(theirs) = worked_over.filter(|_| self.role == Role::Primary) else { return Ok(()) };
        let mine = Report {
            node: self.config.node,
            role: Role::Primary,
            disk: self.state_on_attach(superblock),
            generations: superblock.generations.clone(),
            crashed_primary: superblock.crashed_primary,
            dirty_blocks: 0,
            full_sync: false,
            discard_my_data: false,
            primary_since: superblock.primary_since,
        };
        match decide(&mine, &theirs) {
            Decision::Target(_) | Decision::InSync | Decision::Source(_) => Ok(()),
            _ => Err(AdminError::OtherData(theirs.node)),
        }
    }

    /// What a disk is worth before a peer was met.
    fn state_on_attach(&self, superblock: &Superblock) -> DiskState {
        if !superblock.consistent {
            return DiskState::Inconsistent;
        }
        let alone_is_enough =
            self.config.quorum == QuorumPolicy::Off && self.config.fencing == Fencing::DontCare;
        match (superblock.was_up_to_date, self.role) {
            // A running Primary has gone on without this disk.
            (_, Role::Primary) | (false, _) => DiskState::Outdated,
            (true, _) if alone_is_enough || self.config.diskful_peers().next().is_none() => {
                DiskState::UpToDate
            }
            (true, _) => DiskState::Consistent,
        }
    }

    /// Changes what the own disk is worth, in memory; the caller persists it.
    pub(super) fn set_disk_state(&mut self, state: DiskState) {
        if self.disk.state == state {
            return;
        }
        self.disk.state = state;
        self.disk.superblock.consistent = state.is_whole();
        self.disk.superblock.was_up_to_date = matches!(state, DiskState::UpToDate | DiskState::Consistent);
        self.event(Event::Disk(state));
    }

    /// With `on-io-error pass-on` a block that cannot be read does not cost the disk: the client is told, or served by a
    /// peer with good data; then the block counts as lost, and the disk as Inconsistent until the peer has brought it
    /// back. A disk that cannot be written, nor serve a resynchronisation, is given up all the same.
    fn is_passed_on(&mut self, kind: OpKind) -> bool {
        let reads = matches!(
            kind,
            OpKind::ClientRead(_)
                | OpKind::PeerRead { .. }
                | OpKind::VerifyOwn { .. }
                | OpKind::VerifyServe { .. }
        );
        if !reads || self.config.on_io_error != OnIoError::PassOn {
            return false;
        }
        let OpKind::ClientRead(id) = kind else { return true };
        if self.both_are_primary() {
            // The block cannot be brought back while both write: the disk is given up, the peer's is read.
            return false;
        }
        let good = self.peers.values().find(|peer| peer.has_good_data()).map(|peer| peer.id);
        let blocks = self.reads.get(&id).map(|read| BlockRange::of_bytes(read.offset, read.len));
        if let (Some(peer), Some(blocks), DiskState::UpToDate) = (good, blocks, self.disk.state) {
            self.disk.mark(peer, blocks);
            self.save_bitmaps();
            self.expose(self.disk.superblock.generations.current);
            self.set_disk_state(DiskState::Inconsistent);
            self.persist(After::Nothing);
            self.report_state();
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.negotiation = Negotiation::Again;
            }
        }
        true
    }

    /// The own disk reported an error: it is given up.
    fn disk_failed(&mut self) {
        if self.config.on_io_error == OnIoError::CallHandler {
            self.outputs.push_back(Output::Handler(Handler::LocalIoError));
        }
        self.lose_disk(DiskState::Failed, None);
    }

    pub(super) fn detach_by_order(&mut self, request: RequestId) -> Option<Result<(), AdminError>> {
        if !self.disk.is_attached() {
            return Some(Err(AdminError::State("there is no disk")));
        }
        if self.role == Role::Primary && !self.peers.values().any(Peer::has_good_data) {
            return Some(Err(AdminError::State("this is the only good disk of a Primary")));
        }
        if self.promotion.is_some() || self.demotion.is_some() {
            return Some(Err(AdminError::Busy));
        }
        self.lose_disk(DiskState::Detaching, Some(request));
        None
    }

    /// Gives the disk up. From here on nothing is read from it or written to it, but for one word: where a peer goes on
    /// with good data, this disk is outdated from now on, and must say so when it comes back alone.
    fn lose_disk(&mut self, state: DiskState, request: Option<RequestId>) {
        self.withdraw_change();
        let superblock = &self.disk.superblock;
        // With a disk that was not good the users saw the peer's data, and still do.
        let current = superblock.generations.current;
        let good = matches!(self.disk.state, DiskState::UpToDate | DiskState::Consistent);
        self.lost = if good { superblock.generations.clone() } else { Generations::default() };
        let expose = self.role != Role::Primary || self.disk.state == DiskState::UpToDate;
        let goes_on_elsewhere = self.peers.values().any(Peer::has_good_data);
        let last_word = (goes_on_elsewhere && superblock.was_up_to_date)
            .then(|| Box::new(Superblock { was_up_to_date: false, ..superblock.clone() }));
        if expose {
            self.expose(if self.others_have_all() { current } else { Generation::NONE });
        }
        let gone = std::mem::replace(&mut self.disk, LocalDisk { state, ..LocalDisk::none(&self.config) });
        self.fail_orders(
            gone.superblock_in_flight.into_iter().flatten().chain(gone.superblock_waiting).collect(),
        );
        self.leaving = Some(Leaving { last_word, request });
        self.event(Event::Disk(state));
        self.stop_all_syncs();
        self.change_without_disk();
        self.promotion_without_disk();
        self.demotion_without_disk();
        self.epochs_without_disk();
        self.update_quorum();
        self.report_state();
        self.continue_leaving();
    }

    /// Whether a peer's disk has, or had when it was lost, all that was answered. Under protocol C it has; under A and B
    /// what was answered may have been here only.
    fn others_have_all(&self) -> bool {
        self.role != Role::Primary
            || self.config.protocol == Protocol::C
            || self.peers.values().any(Peer::has_good_data)
            || self.disk.bitmaps.values().all(|bitmap| bitmap.dirty() == 0)
    }

    /// Says the last word once no superblock is on its way any more; then the disk is gone. Whether the word was heard
    /// does not change that.
    pub(super) fn continue_leaving(&mut self) {
        let busy = self.ops.values().any(|kind| matches!(kind, OpKind::Superblock | OpKind::LastWord));
        let Some(leaving) = self.leaving.as_mut().filter(|_| !busy) else { return };
        if let Some(superblock) = leaving.last_word.take() {
            return self.submit(OpKind::LastWord, DiskOp::Superblock(superblock));
        }
        let request = leaving.request;
        self.leaving = None;
        self.disk.state = DiskState::Diskless;
        self.event(Event::Disk(DiskState::Diskless));
        self.report_state();
        if let Some(id) = request {
            self.outputs.push_back(Output::AdminReply { id, result: Ok(()) });
        }
    }
}
