//! Promotion and demotion.
//!
//! A promotion asks every connected peer first; then it waits for what peers sent to reach the disk, flushes it, and
//! records that the node is Primary. A demotion waits until everything is stable everywhere, saves the bitmaps, and
//! records that the activity log speaks for nothing any more.

use std::collections::BTreeSet;

use super::core::Replica;
use super::disk::{After, OpKind};
use super::generation_change::Change;
use super::peer::{Negotiation, Peer};
use crate::generation::Generation;
use crate::ids::{NodeId, RequestId};
use crate::io::{AdminError, ClientError, DiskOp, Event, Output};
use crate::promotion::{PeerView, PromotionError, PromotionView, may_promote};
use crate::state::{DiskState, ReplicationState, Role};
use crate::wire::{Message, Refusal};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// A fence-peer handler runs.
    Fencing,
    /// Peers are asked.
    Asking {
        /// Those that have not answered.
        waiting: BTreeSet<NodeId>,
        /// The data that they were asked about.
        about: Generation,
    },
    /// What peers sent is still on its way to the disk.
    Draining,
    /// It is flushed.
    Flushing,
    /// Diskless peers take note of the generation that it begins.
    Announcing,
    /// The superblock is on its way.
    Recording,
    /// All is recorded. The Primary that it joins was lost meanwhile, and what it had sent is still on its way to the disk:
    /// nobody sees that arrive who does not know of another writer.
    Settling,
}

/// A promotion that goes on.
#[derive(Debug)]
pub(super) struct Promotion {
    id: u64,
    request: RequestId,
    force: bool,
    wall_clock: u64,
    stage: Stage,
    /// The Primary that it joins.
    beside: Option<NodeId>,
    /// It makes a blank disk count: peers that are connected have to hear of it.
    makes_data: bool,
}

impl Promotion {
    /// Whether it is one beside that Primary.
    pub(super) fn joins(&self, primary: NodeId) -> bool {
        self.beside == Some(primary)
    }

    /// Whether it is past the point where a peer could stop it.
    pub(super) fn is_decided(&self) -> bool {
        matches!(
            self.stage,
            Stage::Draining | Stage::Flushing | Stage::Announcing | Stage::Recording | Stage::Settling
        )
    }
}

/// A demotion that goes on.
#[derive(Debug)]
pub(super) struct Demotion {
    request: RequestId,
    force: bool,
    recording: bool,
}

impl Replica {
    fn promotion_view(&self, force: bool) -> PromotionView {
        let changing = |state: ReplicationState| {
            matches!(
                state,
                ReplicationState::WFBitMapS | ReplicationState::WFBitMapT | ReplicationState::Behind
            )
        };
        let peers = self.peers.values().map(|peer| PeerView {
            node: peer.id,
            diskful: !peer.diskless,
            connected: peer.is_connected(),
            in_handshake: peer.is_connected()
                && (peer.negotiation != Negotiation::Over || changing(peer.replication)),
            role: peer.role,
            disk: peer.disk,
            older: self.lost_newer_data_than(peer),
            in_sync: peer.has_good_data() && peer.replication == ReplicationState::Established,
            outdated: self.is_out_of_the_way(peer.id),
        });
        PromotionView {
            disk: self.disk.state,
            tiebreaker: self.config.diskless,
            quorum: self.quorum,
            fencing: self.config.fencing,
            two_primaries: self.config.two_primaries,
            force,
            peers: peers.collect(),
        }
    }

    pub(super) fn promote(
        &mut self,
        request: RequestId,
        force: bool,
        wall_clock: u64,
    ) -> Option<Result<(), AdminError>> {
        if self.promotion.is_some() || self.demotion.is_some() || self.is_resizing() {
            return Some(Err(AdminError::Busy));
        }
        if self.role == Role::Primary {
            return Some(Ok(()));
        }
        if self.promised.is_some() {
            return Some(Err(PromotionError::Busy.into()));
        }
        self.next_write += 1;
        let id = self.next_write;
        let beside = self.other_primary();
        let begun = |stage| Promotion { id, request, force, wall_clock, stage, beside, makes_data: false };
        match may_promote(&self.promotion_view(force)) {
            Err(PromotionError::PeerNotFenced(peer)) => {
                self.promotion = Some(begun(Stage::Fencing));
                self.run_fence_handler(peer);
            }
            Err(error) => return Some(Err(error.into())),
            Ok(()) => {
                let stage = self.ask_peers(id);
                self.promotion = Some(begun(stage));
            }
        }
        None
    }

    fn ask_peers(&mut self, id: u64) -> Stage {
        let current =
            if self.disk.is_attached() { self.disk.superblock.generations.current } else { Generation::NONE };
        let asked: BTreeSet<NodeId> =
            self.peers.values().filter(|peer| peer.is_settled()).map(|peer| peer.id).collect();
        let beside = self.other_primary();
        for peer in &asked {
            self.send(*peer, Message::PromotePrepare { id, current, beside });
        }
        Stage::Asking { waiting: asked, about: current }
    }

    /// The fence-peer handler that the promotion waited for has ended, or is not needed any more: it is judged once more,
    /// finally.
    fn promotion_fenced(&mut self) {
        let Some(promotion) = self.promotion.as_ref() else { return };
        let (id, force) = (promotion.id, promotion.force);
        match may_promote(&self.promotion_view(force)) {
            Ok(()) => {
                let (stage, beside) = (self.ask_peers(id), self.other_primary());
                if let Some(promotion) = self.promotion.as_mut() {
                    promotion.stage = stage;
                    promotion.beside = beside;
                }
            }
            Err(error) => self.fail_promotion(error),
        }
    }

    pub(super) fn fail_promotion(&mut self, error: PromotionError) {
        let Some(promotion) = self.promotion.take() else { return };
        self.withdraw_change();
        let settled: Vec<NodeId> =
            self.peers.values().filter(|peer| peer.is_settled()).map(|peer| peer.id).collect();
        for peer in settled {
            self.send(peer, Message::PromoteAbort { id: promotion.id });
        }
        self.outputs.push_back(Output::AdminReply { id: promotion.request, result: Err(error.into()) });
    }

    /// A peer asks whether it may become Primary.
    pub(super) fn promote_prepare(
        &mut self,
        from: NodeId,
        id: u64,
        (current, beside): (Generation, Option<NodeId>),
    ) {
        let joins = |node: NodeId| self.config.two_primaries && beside == Some(node);
        let other_primary = |peer: &&Peer| {
            peer.id != from && peer.is_connected() && peer.role == Role::Primary && !joins(peer.id)
        };
        let excludes_it = self.role == Role::Primary && !(joins(self.config.node) && self.may_join(from));
        let went_on = |peer: &&Peer| {
            let known = peer.known.as_ref().filter(|_| peer.id != from);
            known.is_some_and(|known| {
                let theirs = &known.generations;
                theirs.slot(from).same(current) && !theirs.current.same(current)
            })
        };
        let lost_newer = self.peers.get(&from).is_some_and(|peer| self.lost_newer_data_than(peer));
        let mine_first = self.is_resizing()
            || self.promotion.as_ref().is_some_and(|own| own.is_decided() || self.config.node < from);
        let refused = if excludes_it || self.peers.values().any(|peer| other_primary(&peer)) {
            Some(Refusal::PeerIsPrimary)
        } else if mine_first || self.promised.is_some_and(|(to, _)| to != from) {
            Some(Refusal::PromotionInProgress)
        } else if lost_newer || self.peers.values().any(|peer| went_on(&peer)) {
            Some(Refusal::Outdated)
        } else if self.is_negotiating() {
            Some(Refusal::Handshake)
        } else {
            None
        };
        if refused.is_none() {
            if self.promotion.is_some() {
                self.fail_promotion(PromotionError::Busy);
            }
            self.promised = Some((from, id));
            self.stop_verifies();
            let peer = self.peers.get(&from).filter(|peer| peer.disk != DiskState::UpToDate);
            if let Some(session) = peer.map(|peer| peer.session).filter(|_| self.disk.is_attached()) {
                // It will work with the data here: as with its own, what its users see must not go with the power.
                self.submit(OpKind::PromiseFlush { peer: from, session, id }, DiskOp::Flush);
                return;
            }
        }
        self.send(from, Message::PromoteAnswer { id, refused });
    }

    /// What a peer is to work with is on stable storage. When the flush failed, the disk is gone, and the peer was told.
    pub(super) fn promise_flushed(&mut self, to: NodeId, session: u64, id: u64) {
        if self.is_session(to, session) && self.promised == Some((to, id)) {
            self.send(to, Message::PromoteAnswer { id, refused: None });
        }
    }

    pub(super) fn promote_answer(&mut self, from: NodeId, id: u64, refused: Option<Refusal>) {
        let Some(promotion) = self.promotion.as_mut().filter(|promotion| promotion.id == id) else { return };
        let Stage::Asking { waiting, about } = &mut promotion.stage else { return };
        let about = *about;
        match refused {
            None => {
                waiting.remove(&from);
            }
            Some(reason) => {
                let reason = match reason {
                    Refusal::PeerIsPrimary => "it is Primary, or connected to one",
                    Refusal::PromotionInProgress => "another promotion goes on",
                    Refusal::Outdated => "it knows newer data than is here",
                    Refusal::Handshake => "a handshake goes on",
                };
                self.fail_promotion(PromotionError::Refused { node: from, reason });
                // Unless it was asked about data that a resynchronisation has replaced since.
                let is_current = self.disk.superblock.generations.current.same(about);
                if refused == Some(Refusal::Outdated) && is_current {
                    self.mark_outdated();
                }
            }
        }
    }

    /// A connection changed while peers were asked.
    pub(super) fn promotion_without(&mut self, peer: NodeId) {
        let stops = |promotion: &Promotion| {
            let leader_lost = promotion.beside == Some(peer)
                && !matches!(promotion.stage, Stage::Recording | Stage::Settling);
            leader_lost || !promotion.is_decided()
        };
        if self.promotion.as_ref().is_some_and(stops) {
            self.fail_promotion(PromotionError::ConnectionLost(peer));
        }
    }

    /// The own disk is gone in the middle of it.
    pub(super) fn promotion_without_disk(&mut self) {
        if self.promotion.is_some() {
            self.fail_promotion(PromotionError::NoData(DiskState::Diskless));
        }
    }

    /// Goes on with a promotion or demotion whose next step may be possible now.
    pub(super) fn continue_role(&mut self) {
        let fences = self.promotion.as_ref().is_some_and(|promotion| promotion.stage == Stage::Fencing);
        if fences && !self.is_fencing() {
            self.promotion_fenced();
        }
        match self.promotion.as_ref().map(|promotion| promotion.stage.clone()) {
            Some(Stage::Asking { waiting, .. }) if waiting.is_empty() => self.decide_promotion(),
            Some(Stage::Draining) if self.is_drained() => self.flush_for_promotion(),
            Some(Stage::Settling) if self.peer_writes_are_over() => self.promotion_recorded(),
            _ => {}
        }
        self.continue_demotion();
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(promotion) = self.promotion.as_mut() {
            promotion.stage = stage;
        }
    }

    /// All agree; what they agreed to is judged once more, as time has passed.
    fn decide_promotion(&mut self) {
        let Some(promotion) = self.promotion.as_ref() else { return };
        let (force, beside) = (promotion.force, promotion.beside);
        let unasked = self.other_primary().filter(|primary| Some(*primary) != beside);
        match (may_promote(&self.promotion_view(force)), unasked) {
            (Err(error), _) => self.fail_promotion(error),
            (Ok(()), Some(primary)) => self.fail_promotion(PromotionError::PeerIsPrimary(primary)),
            (Ok(()), None) => {
                self.set_stage(Stage::Draining);
                if self.is_drained() {
                    self.flush_for_promotion();
                }
            }
        }
    }

    /// Whether what peers sent is on the disk. A Primary beside which this one is promoted goes on writing.
    fn is_drained(&self) -> bool {
        let joins = self.promotion.as_ref().is_some_and(|promotion| promotion.beside.is_some());
        joins || self.peer_writes_are_over()
    }

    fn flush_for_promotion(&mut self) {
        if self.disk.is_attached() {
            self.set_stage(Stage::Flushing);
            let id = self.promotion.as_ref().map_or(0, |promotion| promotion.id);
            self.submit(OpKind::PromotionFlush(id), DiskOp::Flush);
        } else {
            self.set_stage(Stage::Recording);
            self.promotion_recorded();
        }
    }

    /// What the users would see is on stable storage.
    ///
    /// A peer that does not follow may come back as the Primary that it was, with writes that nobody was promised, or be
    /// one over the data here; either way it must see that it went on without what our users see from now on. And data
    /// that counts only by force is a generation of its own.
    pub(super) fn promotion_flushed(&mut self, id: u64, ok: bool) {
        let Some(promotion) = self.promotion.as_ref().filter(|promotion| ok && promotion.id == id) else {
            return;
        };
        let becomes_good = self.promotion_makes_good(promotion.force);
        let own_generation = becomes_good && !self.disk.superblock.consistent;
        let good = becomes_good || self.disk.state == DiskState::UpToDate;
        let parted = good && self.peers.values().any(|peer| !peer.diskless && !peer.follows());
        if own_generation || parted {
            self.set_stage(Stage::Announcing);
            let absent = self.absent();
            self.announce(absent);
        } else {
            self.record_promotion(false);
        }
    }

    /// Whether the promotion makes the data here UpToDate.
    fn promotion_makes_good(&self, force: bool) -> bool {
        let usable = self.disk.state == DiskState::Consistent || (force && self.disk.state.has_data());
        usable && !self.peers.values().any(Peer::has_good_data)
    }

    /// Whether a promotion waits for diskless peers to take note.
    pub(super) fn is_announcing(&self) -> bool {
        self.promotion.as_ref().is_some_and(|promotion| promotion.stage == Stage::Announcing)
    }

    /// All took note. One that was lost over it may have been what the promotion stood on.
    pub(super) fn promotion_announced(&mut self, next: Generation, absent: &[NodeId]) {
        let force = self.promotion.as_ref().is_some_and(|promotion| promotion.force);
        if !self.quorum && !force {
            return self.fail_promotion(PromotionError::NoQuorum);
        }
        let own_generation = !self.disk.superblock.consistent;
        self.rotate(next, absent);
        self.record_promotion(own_generation);
    }

    fn record_promotion(&mut self, makes_data: bool) {
        let Some(promotion) = self.promotion.as_mut() else { return };
        promotion.makes_data = makes_data;
        promotion.stage = Stage::Recording;
        let (force, wall_clock) = (promotion.force, promotion.wall_clock);
        if self.promotion_makes_good(force) {
            self.set_disk_state(DiskState::UpToDate);
        }
        self.disk.superblock.primary = true;
        self.disk.superblock.primary_since = wall_clock;
        self.persist(After::Promoted);
    }

    pub(super) fn promotion_recorded(&mut self) {
        let beside = self.promotion.as_ref().and_then(|promotion| promotion.beside);
        let left = beside.and_then(|peer| self.peers.get(&peer)).is_some_and(|peer| !peer.is_connected());
        if left && !self.peer_writes_are_over() {
            return self.set_stage(Stage::Settling);
        }
        let force = self.promotion.as_ref().is_some_and(|promotion| promotion.force);
        if left && !self.quorum && !force {
            self.disk.superblock.primary = false;
            self.persist(After::Nothing);
            return self.fail_promotion(PromotionError::NoQuorum);
        }
        let Some(promotion) = self.promotion.take() else { return };
        self.role = Role::Primary;
        if self.disk.state != DiskState::UpToDate {
            // It works with a peer's data from the start, as if it had lost its own disk.
            let good = self.peers.values().find(|peer| peer.has_good_data());
            let known = good.and_then(|peer| peer.known.as_ref());
            self.expose(known.map_or(Generation::NONE, |known| known.generations.current));
        }
        if !self.disk.is_attached() {
            self.change = Change::AtPeer(None);
        }
        self.event(Event::Role(Role::Primary));
        self.outputs.push_back(Output::AdminReply { id: promotion.request, result: Ok(()) });
        if self.change == Change::Recording {
            self.generation_recorded();
        } else {
            self.report_state();
        }
        if promotion.makes_data {
            self.renegotiate_all();
        }
        let lost: Vec<NodeId> =
            self.peers.values().filter(|peer| !peer.is_connected()).map(|peer| peer.id).collect();
        for peer in lost {
            self.fence_lost_peer(peer);
        }
    }

    pub(super) fn demote(&mut self, request: RequestId, force: bool) -> Option<Result<(), AdminError>> {
        if self.promotion.is_some() || self.demotion.is_some() || self.is_resizing() {
            return Some(Err(AdminError::Busy));
        }
        if self.role != Role::Primary {
            return Some(Ok(()));
        }
        if let Some(holder) = self.holders.first() {
            return Some(Err(AdminError::HeldOpen(holder.clone())));
        }
        let waits = self.clients_wait() || !self.held.is_empty() || !self.epochs.are_stable();
        if self.is_suspended() && waits {
            if !force {
                return Some(Err(AdminError::Suspended));
            }
            self.fail_waiting(ClientError::Io);
        }
        self.demotion = Some(Demotion { request, force, recording: false });
        None
    }

    fn continue_demotion(&mut self) {
        if self.demotion.as_ref().is_none_or(|demotion| demotion.recording) {
            return;
        }
        if self.is_suspended() && self.demotion.as_ref().is_some_and(|demotion| demotion.force) {
            self.fail_waiting(ClientError::Io);
        }
        let quiet = !self.clients_wait() && self.writes.is_empty() && self.reads.is_empty();
        if !quiet {
            return;
        }
        if !self.epochs.are_stable() {
            self.flush_epochs(None);
            self.continue_epochs();
            return;
        }
        if !matches!(self.change, Change::Idle | Change::AtPeer(None)) || self.is_negotiating() {
            return;
        }
        if let Some(demotion) = self.demotion.as_mut() {
            demotion.recording = true;
        }
        if self.disk.is_attached() {
            self.save_bitmaps();
            self.retire_when_saved();
        } else {
            self.demotion_recorded();
        }
    }

    /// The bitmaps go to disk before the log that speaks for them is retired.
    pub(super) fn retire_when_saved(&mut self) {
        let recording = self.demotion.as_ref().is_some_and(|demotion| demotion.recording);
        if recording && self.disk.superblock.primary && self.metadata_is_idle() {
            let works_over_us = |peer: &Peer| peer.role == Role::Primary && !peer.disk.has_data();
            if !self.peers.values().any(works_over_us) {
                // One that did until now may have written, and so marked, since the bitmaps were saved.
                self.save_bitmaps();
                if !self.metadata_is_idle() {
                    return;
                }
                self.retire_log();
            }
            self.disk.superblock.primary = false;
            self.persist(After::Demoted);
        }
    }

    pub(super) fn demotion_recorded(&mut self) {
        let Some(demotion) = self.demotion.take() else { return };
        self.role = Role::Secondary;
        self.lost_writes = None;
        self.change = Change::Idle;
        self.fencing.clear();
        self.event(Event::Role(Role::Secondary));
        self.report_state();
        self.outputs.push_back(Output::AdminReply { id: demotion.request, result: Ok(()) });
    }

    /// The own disk is gone in the middle of it: there is nothing left to record.
    pub(super) fn demotion_without_disk(&mut self) {
        if self.demotion.as_ref().is_some_and(|demotion| demotion.recording) {
            self.demotion_recorded();
        }
    }

    /// Declares two blank disks equal: both take the same new generation, and nothing is copied.
    pub(super) fn skip_initial_sync(&mut self) -> Result<(), AdminError> {
        let blank = |disk: DiskState, current: Generation| {
            disk == DiskState::Inconsistent && current.is_just_created()
        };
        if !blank(self.disk.state, self.disk.superblock.generations.current) {
            return Err(AdminError::State("the disk here is not just created"));
        }
        let good = |peer: &&Peer| {
            let current = peer.known.as_ref().map_or(Generation::NONE, |known| known.generations.current);
            peer.is_settled() && blank(peer.disk, current)
        };
        let peers: Vec<NodeId> = self.config.diskful_peers().collect();
        if !peers.iter().all(|id| self.peers.get(id).as_ref().is_some_and(good)) {
            return Err(AdminError::State("every peer must be connected and just created"));
        }
        let current = Generation::from_entropy(self.random());
        for peer in peers {
            self.send(peer, Message::SkipInitialSync { current });
        }
        self.take_generation(current);
        Ok(())
    }

    pub(super) fn initial_sync_skipped(&mut self, from: NodeId, current: Generation) {
        if !self.disk.superblock.generations.current.is_just_created() || self.role == Role::Primary {
            return self.protocol_error(from, "a generation for a disk that is not just created");
        }
        self.take_generation(current);
    }

    fn take_generation(&mut self, current: Generation) {
        self.disk.superblock.generations.current = current;
        self.set_disk_state(DiskState::UpToDate);
        self.persist(After::Nothing);
        self.report_state();
    }
}
