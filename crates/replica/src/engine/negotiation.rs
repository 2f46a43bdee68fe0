//! Negotiation: two connected nodes tell one another what they have, and both draw the same conclusion.
//!
//! Between a node's own report and the peer's nothing may change that the report speaks of: no write is let in, and a
//! report waits until a change of generation or a promotion is over.

use super::core::Replica;
use super::disk::After;
use super::generation_change::Change;
use super::peer::Negotiation;
use crate::generation::Generations;
use crate::handshake::{Decision, Extent, Report, decide};
use crate::ids::NodeId;
use crate::io::{Event, Handler, Output};
use crate::split_brain::{Verdict, judge};
use crate::state::{ConnectionState, DiskState, ReplicationState, Role};
use crate::wire::{Message, PeerReport};

impl Replica {
    /// What this node says of itself to a peer.
    fn own_report(&self, peer: NodeId) -> PeerReport {
        let superblock = &self.disk.superblock;
        let attached = self.disk.is_attached();
        let generations = if attached {
            superblock.generations.clone()
        } else {
            Generations { current: self.exposed, ..Generations::default() }
        };
        PeerReport {
            role: self.role,
            disk: self.disk.state,
            generations,
            crashed_primary: attached && superblock.crashed_primary,
            dirty_blocks: if attached { self.disk.dirty(peer) } else { 0 },
            full_sync: superblock.peers.get(&peer).is_some_and(|flags| flags.full_sync),
            discard_my_data: self.peers.get(&peer).is_some_and(|peer| peer.discard_my_data),
            primary_since: superblock.primary_since,
            quorum: self.quorum,
            disk_instance: if attached { self.disk.instance } else { 0 },
        }
    }

    /// Tells every settled peer what changed.
    pub(super) fn report_state(&mut self) {
        let settled: Vec<NodeId> =
            self.peers.values().filter(|peer| peer.is_settled()).map(|peer| peer.id).collect();
        for peer in settled {
            let report = Box::new(self.own_report(peer));
            self.send(peer, Message::State { report });
        }
    }

    /// The own disk is new: every settled peer is asked again.
    pub(super) fn renegotiate_all(&mut self) {
        for peer in self.peers.values_mut() {
            if peer.is_settled() {
                peer.negotiation = Negotiation::Again;
            }
        }
    }

    /// Whether a peer was told what we have and has not answered: nothing may change.
    pub(super) fn is_negotiating(&self) -> bool {
        self.peers
            .values()
            .any(|peer| peer.is_connected() && matches!(peer.negotiation, Negotiation::Sent(_)))
    }

    /// Whether writes have to wait for a negotiation that goes on or is to begin.
    pub(super) fn is_about_to_negotiate(&self) -> bool {
        let waits =
            |peer: &super::peer::Peer| !matches!(peer.negotiation, Negotiation::Greeting | Negotiation::Over);
        self.peers.values().any(|peer| peer.is_connected() && waits(peer))
    }

    /// Sends reports that wait for their moment.
    pub(super) fn continue_negotiations(&mut self) {
        let moment = !matches!(self.change, Change::Recording | Change::Telling { .. })
            && !self.promotion.as_ref().is_some_and(super::role::Promotion::is_decided);
        if !moment {
            return;
        }
        // What was sent to a peer is answered first, and stable there: that belongs to what was agreed before.
        if self.peers.values().any(|peer| peer.negotiation == Negotiation::Again && peer.follows()) {
            self.flush_epochs(None);
        }
        let wanted = |peer: &&super::peer::Peer| {
            let drained = peer.unacknowledged.is_empty() && !self.reads_from(peer.id);
            let due = matches!(peer.negotiation, Negotiation::Wanted | Negotiation::Again);
            peer.is_connected() && due && drained
        };
        let wanted: Vec<NodeId> = self.peers.values().filter(wanted).map(|peer| peer.id).collect();
        if wanted.is_empty() || !self.inherited_is_stable() {
            return;
        }
        for id in wanted {
            self.stop_following(id);
            if matches!(self.change, Change::Recording | Change::Telling { .. }) {
                return;
            }
            let report = Box::new(self.own_report(id));
            self.send(id, Message::Generations { report: report.clone() });
            let now = self.now;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.since = now;
            peer.negotiation = Negotiation::Sent(report);
            if let Some(theirs) = peer.early_report.take() {
                self.conclude(id, theirs);
            }
        }
    }

    /// The peer's report for a negotiation.
    pub(super) fn peer_generations(&mut self, from: NodeId, report: Box<PeerReport>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        match peer.negotiation {
            Negotiation::Sent(_) => self.conclude(from, report),
            _ => {
                peer.early_report = Some(report);
                let settled = peer.is_settled();
                peer.negotiation = if settled { Negotiation::Again } else { Negotiation::Wanted };
            }
        }
    }

    /// Both reports are there.
    fn conclude(&mut self, from: NodeId, theirs: Box<PeerReport>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let Negotiation::Sent(mine) = std::mem::replace(&mut peer.negotiation, Negotiation::Over) else {
            return;
        };
        peer.role = theirs.role;
        peer.disk = theirs.disk;
        peer.answers = false;
        peer.learn(&theirs);
        if mine.disk.has_data() != self.disk.state.has_data() {
            // The disk that was spoken of is gone, or one has come: nothing follows from what was said.
            peer.negotiation = Negotiation::Wanted;
            return;
        }
        if self.disk.state == DiskState::UpToDate {
            // All that was answered is here.
            self.lost_writes = None;
        }
        let told = mine.clone();
        let (mine, theirs) = (mine.report(self.config.node), theirs.report(from));
        let both = mine.role == Role::Primary && theirs.role == Role::Primary;
        if both && !self.may_go_on_together(&mine, &theirs) {
            // Whatever the generations say, the two must not be joined; by them it is told whether it is split brain.
            self.two_primaries(from, &mine, &theirs);
            return;
        }
        match decide(&mine, &theirs) {
            Decision::NoData => self.no_data(from, &theirs),
            Decision::InSync => self.found_in_sync(from),
            Decision::Source(extent) => self.become_source(from, extent, false),
            Decision::Target(_) => {
                // What was learned here must not be forgotten when the connection breaks before anything is copied.
                if self.disk.state.is_whole() && !mine.generations.current.same(theirs.generations.current) {
                    self.set_disk_state(DiskState::Outdated);
                    self.persist(After::Nothing);
                }
                if self.goes_on_with(from, &theirs) {
                    self.become_target(from);
                }
            }
            Decision::SplitBrain => self.split_brain(from, &mine, &theirs),
            Decision::Unrelated => {
                self.event(Event::UnrelatedData(from));
                self.drop_connection(from, ConnectionState::StandAlone);
            }
            Decision::NoSource | Decision::WouldReplacePrimary => {
                self.event(Event::CannotJoin(from));
                self.drop_connection(from, ConnectionState::StandAlone);
            }
        }
        self.settled(from, &told);
    }

    /// The peer is one of us now, unless it was sent away.
    fn settled(&mut self, from: NodeId, told: &PeerReport) {
        let now_here = self.own_report(from);
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.is_settled()) else { return };
        peer.fenced = false;
        // An order to discard was for what was found now. Data that is written from here on is not thrown away by it.
        peer.discard_my_data &= peer.replication == ReplicationState::WFBitMapT;
        if now_here.role != told.role || now_here.disk != told.disk {
            self.send(from, Message::State { report: Box::new(now_here) });
        }
        self.fencing_outdated(from);
        if let Some(flags) = self.disk.superblock.peers.get_mut(&from)
            && std::mem::take(&mut flags.outdated)
        {
            self.persist(After::Nothing);
        }
        self.note_arrival(from);
        self.update_quorum();
        self.tell_what_others_have(from);
    }

    fn no_data(&mut self, from: NodeId, theirs: &Report) {
        if !self.disk.is_attached() && theirs.disk.has_data() && !self.goes_on_with(from, theirs) {
            return;
        }
        self.set_replication(from, ReplicationState::Established);
    }

    /// A Primary without good data of its own goes on only with the data that it worked with. False: the peer's is not,
    /// and the connection was given up.
    fn goes_on_with(&mut self, from: NodeId, theirs: &Report) -> bool {
        if self.role != Role::Primary || self.disk.state == DiskState::UpToDate {
            return true;
        }
        let current = theirs.generations.current;
        if self.is_exposed(current) {
            self.expose(current);
            return true;
        }
        self.event(Event::CannotJoin(from));
        self.drop_connection(from, ConnectionState::StandAlone);
        false
    }

    fn found_in_sync(&mut self, from: NodeId) {
        self.change_after_reattach(false);
        self.set_replication(from, ReplicationState::Established);
        self.peer_is_in_sync(from);
        if self.disk.state.is_whole() {
            self.set_disk_state(DiskState::UpToDate);
        }
        if let Some(peer) = self.peers.get_mut(&from)
            && peer.disk.is_whole()
        {
            peer.disk = DiskState::UpToDate;
        }
        self.persist(After::Nothing);
        self.report_state();
    }

    /// The peer has what is here: nothing is owed to it. In memory; the caller persists it.
    pub(super) fn peer_is_in_sync(&mut self, peer: NodeId) {
        let superblock = &mut self.disk.superblock;
        superblock.generations.peer_has_all(peer);
        superblock.crashed_primary = false;
        if let Some(flags) = superblock.peers.get_mut(&peer) {
            flags.full_sync = false;
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.discard_my_data = false;
        }
        self.unfence(peer);
    }

    fn two_primaries(&mut self, from: NodeId, mine: &Report, theirs: &Report) {
        if decide(mine, theirs) == Decision::SplitBrain {
            return self.split_brain(from, mine, theirs);
        }
        self.event(Event::CannotJoin(from));
        // Where two are allowed one of them is about to be fenced or demoted, and is to be brought back then without an order.
        let tries_again = self.config.two_primaries && decide(mine, theirs) != Decision::Unrelated;
        let reason = if tries_again { ConnectionState::Unconnected } else { ConnectionState::StandAlone };
        self.drop_connection(from, reason);
    }

    fn split_brain(&mut self, from: NodeId, mine: &Report, theirs: &Report) {
        self.event(Event::SplitBrain(from));
        let verdict = judge(&self.config.after_split_brain, mine, theirs);
        let (my_slot, your_slot) = (mine.generations.slot(from), theirs.generations.slot(self.config.node));
        let counted_from_one_base = my_slot.same(your_slot) && !mine.full_sync && !theirs.full_sync;
        let extent = if counted_from_one_base { Extent::Bitmap } else { Extent::Full };
        // The disk of a Primary that works over a peer's is none that its users see.
        let source_is_whole = |source: &Report| source.disk.is_whole() && !source.works_over_peer();
        let loser_works = |loser: &Report| loser.role == Role::Primary;
        match verdict {
            Verdict::DiscardTheirs if source_is_whole(mine) && !loser_works(theirs) => {
                self.become_source(from, extent, true);
            }
            Verdict::DiscardMine if source_is_whole(theirs) && !loser_works(mine) => self.become_target(from),
            Verdict::CallMyHandler => {
                self.outputs.push_back(Output::Handler(Handler::PriLostAfterSb(from)));
                self.drop_connection(from, ConnectionState::StandAlone);
            }
            _ => {
                self.outputs.push_back(Output::Handler(Handler::SplitBrain(from)));
                self.drop_connection(from, ConnectionState::StandAlone);
            }
        }
    }

    pub(super) fn set_replication(&mut self, peer: NodeId, replication: ReplicationState) {
        if let Some(state) = self.peers.get_mut(&peer)
            && state.replication != replication
        {
            state.replication = replication;
            self.event(Event::Replication(peer, replication));
        }
    }

    /// A peer's state changed outside a negotiation.
    pub(super) fn peer_state(&mut self, from: NodeId, report: Box<PeerReport>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !peer.is_settled() {
            return;
        }
        // Between its report of a negotiation and the end of it, it tells nothing of the kind.
        peer.answers |= peer.negotiation == Negotiation::Over;
        let lost_disk = peer.disk.has_data() && !report.disk.has_data();
        peer.role = report.role;
        peer.learn(&report);
        if lost_disk {
            self.peer_lost_disk(from);
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            // What it said before it heard that it is left behind counts no more.
            let stale = peer.replication == ReplicationState::Ahead && report.disk == DiskState::UpToDate;
            peer.disk = if stale { DiskState::Outdated } else { report.disk };
        }
        self.update_quorum();
        if self.promised.is_some_and(|(to, _)| to == from) && report.role == Role::Primary {
            self.promised = None;
        }
        let known = self.peers.get(&from).and_then(|peer| peer.known.as_ref());
        if let Some(generations) = known.map(|known| known.generations.clone()) {
            self.witness(from, &generations);
        }
    }

    /// The peer goes on without its disk.
    pub(super) fn peer_lost_disk(&mut self, from: NodeId) {
        // While it still counts as following: only then its losses are marked.
        self.stop_following(from);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.disk = DiskState::Diskless;
        }
        self.set_replication(from, ReplicationState::Established);
        if self.disk.state == DiskState::Inconsistent {
            self.event(Event::CannotJoin(from));
        }
    }

    /// A diskless node passes on what others have: so a node that cannot see them learns that it is outdated.
    pub(super) fn witness(&mut self, of: NodeId, generations: &Generations) {
        if !self.config.diskless {
            return;
        }
        let others: Vec<NodeId> = self
            .peers
            .values()
            .filter(|peer| peer.is_settled() && peer.id != of)
            .map(|peer| peer.id)
            .collect();
        for peer in others {
            self.send(peer, Message::Witness { node: of, generations: generations.clone() });
        }
    }

    fn tell_what_others_have(&mut self, to: NodeId) {
        if !self.config.diskless {
            return;
        }
        let known: Vec<(NodeId, Generations)> = self
            .peers
            .values()
            .filter(|peer| peer.id != to)
            .filter_map(|peer| peer.known.as_ref().map(|known| (peer.id, known.generations.clone())))
            .collect();
        for (node, generations) in known {
            self.send(to, Message::Witness { node, generations });
        }
    }

    /// It was learned that others went on without the data here. Recorded, so that it is known after a crash too.
    pub(super) fn mark_outdated(&mut self) {
        if matches!(self.disk.state, DiskState::UpToDate | DiskState::Consistent) {
            self.set_disk_state(DiskState::Outdated);
            self.persist(After::Nothing);
            self.report_state();
        }
    }

    /// A node that we cannot see went on from what we have: we are outdated.
    pub(super) fn witnessed(&mut self, node: NodeId, generations: &Generations) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.witnessed = Some(generations.clone());
        }
        self.believe_witness(node);
    }

    /// Draws the conclusion from what a node said last, and what was said of it. As long as it seems to be connected it
    /// speaks for itself; when that turns out not to be so, what is known of it counts.
    pub(super) fn believe_witness(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get(&node) else { return };
        let mine = self.disk.superblock.generations.current;
        let went_on =
            |theirs: &Generations| theirs.slot(self.config.node).same(mine) && !theirs.current.same(mine);
        let said = peer.known.as_ref().map(|known| &known.generations);
        let newer = said.into_iter().chain(peer.witnessed.as_ref()).any(went_on);
        let may_be = self.role != Role::Primary && !peer.is_connected();
        if newer && may_be {
            self.mark_outdated();
        }
    }
}
