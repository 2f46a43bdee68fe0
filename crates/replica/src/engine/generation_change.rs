//! New generations: begun by a Primary before anything is answered that a lost peer does not have.
//!
//! Every connected diskless node has taken note first, then the metadata is on stable storage, then the gate opens again.
//! In this order, because the node that breaks the tie decides who goes on: a generation that it was not told of was
//! never begun, and when quorum is lost meanwhile the old one still counts. A Primary that loses its own disk has its peer
//! begin the generation.

use std::collections::BTreeSet;

use super::core::Replica;
use super::disk::After;
use super::peer::Peer;
use crate::generation::{Generation, Generations};
use crate::ids::NodeId;
use crate::io::{ClientError, Event};
use crate::state::{DiskState, Role};
use crate::wire::Message;

/// A generation that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// None does.
    Idle,
    /// Diskless peers take note first; nothing has begun yet.
    Telling {
        /// Those that have not.
        waiting: BTreeSet<NodeId>,
        /// What is to begin.
        next: Generation,
        /// Who does not follow it.
        absent: Vec<NodeId>,
    },
    /// The superblock is on its way.
    Recording,
    /// The own disk is gone; the peer with the data has to begin one, or has been told to.
    AtPeer(Option<(NodeId, Generation)>),
}

impl Replica {
    /// Peers with disks that do not follow, and that have as their data what is current here.
    pub(super) fn strays(&self) -> Vec<NodeId> {
        if self.disk.state == DiskState::UpToDate { self.absent() } else { Vec::new() }
    }

    /// The same, if the data here were good.
    pub(super) fn absent(&self) -> Vec<NodeId> {
        let generations = &self.disk.superblock.generations;
        let stray = |peer: &&Peer| !peer.diskless && !peer.follows() && !generations.slot(peer.id).is_some();
        self.peers.values().filter(stray).map(|peer| peer.id).collect()
    }

    /// Begins a new generation that the strays do not follow.
    pub(super) fn begin_generation(&mut self) {
        let strays = self.strays();
        if self.change != Change::Idle || strays.is_empty() || self.is_negotiating() {
            return;
        }
        self.announce(strays);
    }

    /// Has the diskless peers take note of a new generation. What follows is [`Self::continue_change`]'s.
    pub(super) fn announce(&mut self, absent: Vec<NodeId>) {
        let next = Generation::from_entropy(self.random());
        let mut generations = self.disk.superblock.generations.clone();
        generations.begin(next, &absent);
        let waiting = self.tell_generations(&generations);
        self.change = Change::Telling { waiting, next, absent };
        self.continue_telling();
    }

    /// Tells the diskless peers what the data here is, or is to be. Whom.
    fn tell_generations(&mut self, generations: &Generations) -> BTreeSet<NodeId> {
        let told: BTreeSet<NodeId> = self
            .peers
            .values()
            .filter(|peer| peer.diskless && peer.is_settled())
            .map(|peer| peer.id)
            .collect();
        for peer in &told {
            self.send(*peer, Message::NewGeneration { generations: generations.clone() });
        }
        told
    }

    /// What was announced does not begin: the old generation still counts, and whoever can still be told is told so.
    pub(super) fn withdraw_change(&mut self) {
        if matches!(self.change, Change::Telling { .. }) {
            self.change = Change::Idle;
            let generations = self.disk.superblock.generations.clone();
            self.tell_generations(&generations);
        }
    }

    /// All have taken note: now it begins, unless quorum was lost over it.
    fn continue_telling(&mut self) {
        let Change::Telling { waiting, next, absent } = &self.change else { return };
        if !waiting.is_empty() || self.awaits_presence() {
            return;
        }
        let (next, absent) = (*next, absent.clone());
        if self.is_announcing() {
            self.promotion_announced(next, &absent);
        } else if self.quorum {
            self.rotate(next, &absent);
            self.persist(After::GenerationRecorded(next));
        } else {
            self.withdraw_change();
        }
    }

    /// Takes the new generation, in memory; the caller persists it.
    pub(super) fn rotate(&mut self, next: Generation, absent: &[NodeId]) {
        self.disk.superblock.generations.begin(next, absent);
        self.change = Change::Recording;
        self.event(Event::Generation(next));
    }

    /// The new generation is on stable storage.
    pub(super) fn generation_recorded(&mut self) {
        // What only the old one's followers had counts no more: the data here is what goes on.
        self.lost_writes = None;
        self.change = Change::Idle;
        self.report_state();
    }

    /// A peer took note, or began the generation it was told to.
    pub(super) fn new_generation_done(&mut self, from: NodeId, current: Generation) {
        match &mut self.change {
            Change::Telling { waiting, next, .. } if next.same(current) => {
                waiting.remove(&from);
            }
            Change::AtPeer(Some((peer, wanted))) if *peer == from && wanted.same(current) => {
                self.expose(current);
                self.change = Change::Idle;
                self.event(Event::Generation(current));
            }
            _ => {}
        }
    }

    /// A diskless node takes note of what a Primary has, or is about to have: from here on it lets nobody be promoted
    /// that lacks it. Others hear of it once it has begun.
    pub(super) fn new_generation(&mut self, from: NodeId, generations: Generations) {
        let current = generations.current;
        if self.is_too_late(from, current) {
            return self.send(from, Message::NewGenerationRefused { current });
        }
        if let Some(known) = self.peers.get_mut(&from).and_then(|peer| peer.known.as_mut()) {
            known.generations = generations;
        }
        self.send(from, Message::NewGenerationDone { current });
    }

    /// The Primary lost its disk: the generation begins here, without it.
    pub(super) fn begin_generation_for(&mut self, from: NodeId, current: Generation) {
        if !self.disk.is_attached() {
            return;
        }
        self.peer_lost_disk(from);
        if self.disk.state != DiskState::UpToDate {
            // Thrown away by order meanwhile: what the Primary's disk had is the last there is, and must not look outdated.
            return;
        }
        self.disk.superblock.generations.begin(current, &[from]);
        self.event(Event::Generation(current));
        let session = self.peers.get(&from).map_or(0, |peer| peer.session);
        self.persist(After::PeerGenerationRecorded { peer: from, session, current });
        if self.role == Role::Primary {
            // A Primary itself: the one generation stands for the one that it would begin, and nothing is answered before.
            self.withdraw_change();
            self.change = Change::Recording;
            self.persist(After::GenerationRecorded(current));
        }
    }

    /// A connection is gone: whom a change waited for.
    pub(super) fn change_without(&mut self, peer: NodeId) {
        match &mut self.change {
            Change::Telling { waiting, .. } => {
                waiting.remove(&peer);
            }
            Change::AtPeer(told) if told.is_some_and(|(told, _)| told == peer) => {
                self.change = Change::AtPeer(None);
            }
            _ => {}
        }
    }

    /// The own disk is gone: a Primary has its peer begin a generation before anything more is answered.
    pub(super) fn change_without_disk(&mut self) {
        self.change = if self.role == Role::Primary { Change::AtPeer(None) } else { Change::Idle };
    }

    /// A disk that came back was negotiated: whatever the peer should have begun is settled with it. When this disk is
    /// the source after all, what only the peer has is not answered any more.
    pub(super) fn change_after_reattach(&mut self, as_source: bool) {
        if matches!(self.change, Change::AtPeer(_)) {
            if as_source {
                self.fail_unanswered(ClientError::Io);
            }
            self.change = Change::Idle;
        }
    }

    /// Whether a peer's data is what a Primary without good data of its own has worked with: the generation is the same,
    /// or the one that the peer was told to begin before the connection broke. That the peer went on from there by
    /// itself is not enough: its own clients wrote since, and ours must not see that under their feet.
    pub(super) fn is_exposed(&self, current: Generation) -> bool {
        let is = |generation: Generation| generation.is_some() && generation.same(current);
        is(self.exposed) || is(self.proposed)
    }

    /// Whether the own disk had good data when it was lost that went on from what a peer has.
    pub(super) fn lost_newer_data_than(&self, peer: &Peer) -> bool {
        let Some(known) = peer.known.as_ref().filter(|_| !self.disk.is_attached()) else { return false };
        let theirs = known.generations.current;
        let went_on = self.lost.knows(theirs) || self.lost.slot(peer.id).same(theirs);
        theirs.is_some() && went_on && !self.lost.current.same(theirs)
    }

    /// The data that the users of this Primary see from now on.
    pub(super) fn expose(&mut self, current: Generation) {
        self.exposed = current;
        self.proposed = Generation::NONE;
    }

    /// Goes on with a generation that all have taken note of; tells the peer with the data to begin one, once there is
    /// one.
    pub(super) fn continue_change(&mut self) {
        self.continue_telling();
        if self.change_is_due && (self.role != Role::Primary || self.may_answer()) {
            self.change_is_due = false;
        }
        if self.change != Change::AtPeer(None) || self.disk.is_attached() {
            return;
        }
        let holds = |peer: &&Peer| {
            let known = peer.known.as_ref().map(|known| known.generations.current);
            let same = known.is_some_and(|current| self.is_exposed(current));
            peer.has_good_data() && same
        };
        let Some(peer) = self.peers.values().find(holds).map(|peer| peer.id) else { return };
        let new = Generation::from_entropy(self.random());
        self.proposed = new;
        self.change = Change::AtPeer(Some((peer, new)));
        self.send(peer, Message::BeginGeneration { current: new });
    }
}
