//! Connections: wanted and given up, up and down, and where each message goes.

use super::core::Replica;
use super::disk::After;
use super::peer::{Negotiation, Peer};
use crate::ids::NodeId;
use crate::io::{AdminError, Event, Output};
use crate::state::{ConnectionState, DiskState, ReplicationState, Role};
use crate::wire::{Hello, Message};

impl Replica {
    pub(super) fn connect(&mut self, peer: NodeId, discard_my_data: bool) -> Result<(), AdminError> {
        if discard_my_data && self.role == Role::Primary {
            return Err(AdminError::State("the data of a Primary is not thrown away; demote it first"));
        }
        let Some(state) = self.peers.get_mut(&peer) else { return Err(AdminError::NoPeer(peer)) };
        state.discard_my_data = discard_my_data;
        if state.connection == ConnectionState::StandAlone {
            state.connection = ConnectionState::Connecting;
            self.outputs.push_back(Output::Connect(peer));
            self.event(Event::Connection(peer, ConnectionState::Connecting));
        }
        Ok(())
    }

    /// Disconnects in good order: a Secondary that leaves a Primary records first that its data is outdated from now on.
    pub(super) fn disconnect_by_order(&mut self, peer: NodeId) -> Result<(), AdminError> {
        let Some(state) = self.peers.get(&peer) else { return Err(AdminError::NoPeer(peer)) };
        let (session, settled) = (state.session, state.is_settled());
        let leaves_primary = settled && state.role == Role::Primary;
        if leaves_primary && self.role == Role::Primary {
            return Err(AdminError::State(
                "both are Primary, and would go on apart; demote one of the two first",
            ));
        }
        if settled && self.joins_or_is_joined(peer) {
            return Err(AdminError::Busy);
        }
        if leaves_primary && state.disk != DiskState::UpToDate && self.disk.state == DiskState::UpToDate {
            return Err(AdminError::State("the peer is Primary and works with the data here"));
        }
        if !state.is_connected() {
            self.drop_connection(peer, ConnectionState::StandAlone);
        } else if leaves_primary && self.disk.state == DiskState::UpToDate {
            self.set_disk_state(DiskState::Outdated);
            self.persist(After::OutdatedForGoodbye { peer, session });
        } else {
            let outdated = settled && self.disk.state == DiskState::Outdated;
            self.say_goodbye(peer, outdated);
        }
        Ok(())
    }

    pub(super) fn say_goodbye(&mut self, peer: NodeId, outdated: bool) {
        self.send(peer, Message::Goodbye { outdated });
        self.drop_connection(peer, ConnectionState::StandAlone);
    }

    /// Gives a connection up, or only this attempt at it. Everything of it ends here at once.
    pub(super) fn drop_connection(&mut self, peer: NodeId, reason: ConnectionState) {
        let connected = self.peers.get(&peer).is_some_and(Peer::is_connected);
        if connected {
            self.lose_connection(peer, reason);
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.connection =
                if reason == ConnectionState::StandAlone { reason } else { ConnectionState::Connecting };
        }
        self.outputs.push_back(Output::Disconnect { peer, reason });
    }

    pub(super) fn protocol_error(&mut self, peer: NodeId, what: &'static str) {
        self.event(Event::ProtocolError(peer, what));
        self.drop_connection(peer, ConnectionState::ProtocolError);
    }

    pub(super) fn peer_up(&mut self, peer: NodeId) {
        let now = self.now;
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.connection != ConnectionState::Connecting {
            return;
        }
        state.connection = ConnectionState::Connected;
        state.session += 1;
        state.negotiation = Negotiation::Greeting;
        state.early_report = None;
        state.last_heard = now;
        state.ping_sent = None;
        state.presence.begin(self.moment);
        state.since = now;
        state.role = Role::Unknown;
        state.disk = DiskState::DUnknown;
        self.event(Event::Connection(peer, ConnectionState::Connected));
        self.say_hello(peer);
    }

    pub(super) fn say_hello(&mut self, peer: NodeId) {
        let hello = Hello {
            node: self.config.node,
            to: peer,
            size: self.config.size,
            protocol: self.config.protocol,
            diskless: self.config.diskless,
            two_primaries: self.config.two_primaries,
        };
        self.send(peer, Message::Hello { hello });
    }

    /// The shell lost a connection. What we gave up ourselves has ended already.
    pub(super) fn peer_down(&mut self, peer: NodeId) {
        if self.peers.get(&peer).is_some_and(Peer::is_connected) {
            self.lose_connection(peer, ConnectionState::NetworkFailure);
            if let Some(state) = self.peers.get_mut(&peer) {
                state.connection = ConnectionState::Connecting;
            }
        }
    }

    /// All that ends with a connection. First the marks, then whatever may be decided by them.
    fn lose_connection(&mut self, peer: NodeId, reason: ConnectionState) {
        self.inherit_writes(peer);
        self.stop_following(peer);
        self.drop_incoming(peer);
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.connection = reason;
        state.role = Role::Unknown;
        state.disk = DiskState::DUnknown;
        state.replication = ReplicationState::Off;
        state.negotiation = Negotiation::Greeting;
        state.early_report = None;
        self.event(Event::Connection(peer, reason));
        self.believe_witness(peer);
        self.note_departure(peer);
        self.change_without(peer);
        self.promotion_without(peer);
        if self.promised.is_some_and(|(to, _)| to == peer) {
            self.promised = None;
        }
        self.update_quorum();
        self.fence_lost_peer(peer);
    }

    /// The peer's data no longer follows ours: what it may lack is marked, and nobody waits for it any more.
    pub(super) fn stop_following(&mut self, peer: NodeId) {
        // What a second Primary was told is in no epoch here, and may be on its disk's cache only.
        let shares = self.disk.state != DiskState::UpToDate
            && self.peers.get(&peer).is_some_and(|peer| peer.role == Role::Primary && peer.has_good_data());
        self.stop_sync(peer);
        let unstable = self.mark_unstable(peer);
        self.writes_without(peer);
        self.reads_without(peer);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.unacknowledged.clear();
            state.unacknowledged_bytes = 0;
            state.ahead = None;
            state.replication = ReplicationState::Off;
        }
        // It may have lost what was answered on its word; that must not go unnoticed even if nothing more is written.
        self.change_is_due |= unstable;
        if (unstable || shares) && self.role == Role::Primary {
            let instance = self.peers.get(&peer).map_or(0, |peer| peer.disk_instance);
            self.lost_writes.get_or_insert((peer, instance));
        }
    }

    /// A message of a connected peer.
    pub(super) fn message(&mut self, from: NodeId, message: Message) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !peer.is_connected() {
            return;
        }
        peer.last_heard = now;
        peer.ping_sent = None;
        let greeting = peer.negotiation == Negotiation::Greeting;
        match message {
            Message::Ping {} => self.send(from, Message::Pong {}),
            Message::Pong {} => self.pong(from),
            Message::Hello { hello } if greeting => self.hello(from, &hello),
            Message::Goodbye { outdated } => self.goodbye(from, outdated),
            // Acknowledgements travel apart; in a greeting there is nothing that they could be for.
            _ if greeting => self.protocol_error(from, "a message before its first word"),
            Message::Generations { report } => self.peer_generations(from, report),
            Message::State { report } => self.peer_state(from, report),
            Message::PromotePrepare { id, current, beside } => {
                self.promote_prepare(from, id, (current, beside));
            }
            Message::PromoteAnswer { id, refused } => self.promote_answer(from, id, refused),
            Message::PromoteAbort { id } => {
                if self.promised == Some((from, id)) {
                    self.promised = None;
                }
            }
            Message::NewGeneration { generations } => self.new_generation(from, generations),
            Message::NewGenerationDone { current } => self.new_generation_done(from, current),
            Message::NewGenerationRefused { current } => self.new_generation_refused(from, current),
            Message::Witness { node, generations } => self.witnessed(node, &generations),
            // A connection whose handshake begins anew carries the tail of what was sent before.
            other => self.data_message(from, other),
        }
    }

    fn data_message(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Write { write } => self.peer_write(from, write),
            Message::Barrier { epoch } => self.peer_barrier(from, epoch),
            Message::Received { id } => self.write_received(from, id),
            Message::Written { id } | Message::WrittenInOrder { id } => self.write_written(from, id),
            Message::WriteFailed { id } => self.write_failed(from, id),
            Message::BarrierDone { epoch } => self.barrier_done(from, epoch),
            Message::PullAhead { id } => self.fall_behind(from, id),
            Message::Behind { id } => self.peer_is_behind(from, id),
            Message::Read { id, offset, len } => self.peer_read(from, id, offset, len),
            Message::ReadDone { id, data } => self.remote_read_done(from, id, data),
            Message::SyncBegin { base } => self.sync_begin(from, base),
            Message::BitmapPage { page, bits, last } => self.bitmap_page(from, page, &bits, last),
            Message::SyncRequest { id, blocks, checksum } => self.sync_request(from, id, blocks, checksum),
            Message::SyncData { id, body } => self.sync_data(from, id, Some(body)),
            Message::SyncEqual { id } => self.sync_data(from, id, None),
            Message::SyncFailed { id } => self.sync_failed(from, id),
            Message::InSync { ranges } => self.in_sync(from, &ranges),
            Message::SyncFinished {} => self.sync_finished(from),
            Message::SyncCommit { generations } => self.sync_commit(from, &generations),
            Message::SyncCommitted {} => self.sync_committed(from),
            Message::SyncDone {} => self.sync_done(from),
            Message::BeginGeneration { current } => self.begin_generation_for(from, current),
            Message::VerifyRequest { id, blocks } => self.verify_request(from, id, blocks),
            Message::VerifyAnswer { id, checksum } => self.verify_answer(from, id, checksum),
            Message::OutOfSync { ranges } => self.out_of_sync(from, &ranges),
            Message::ResizeRoom { id } => self.resize_room(from, id),
            Message::ResizeRoomAnswer { id, room } => self.resize_room_answer(from, id, room),
            Message::ResizeCommit { id, size, clean } => self.resize_commit(from, (id, size), clean),
            Message::ResizeDone { id } => self.resize_done(from, id),
            Message::SkipInitialSync { current } => self.initial_sync_skipped(from, current),
            _ => self.protocol_error(from, "a second first word"),
        }
    }

    fn hello(&mut self, from: NodeId, hello: &Hello) {
        let diskless = self.peers.get(&from).is_some_and(|peer| peer.diskless);
        if hello.node != from || hello.to != self.config.node {
            self.protocol_error(from, "another node's first word");
        } else if hello.protocol != self.config.protocol {
            self.protocol_error(from, "another protocol than configured here");
        } else if hello.two_primaries != self.config.two_primaries {
            self.protocol_error(from, "another setting of allow-two-primaries than configured here");
        } else if hello.diskless != diskless {
            self.protocol_error(from, "a disk where none is configured, or none where one is");
        } else if !self.size_differs(from, hello)
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.negotiation = Negotiation::Wanted;
        }
    }

    fn goodbye(&mut self, from: NodeId, outdated: bool) {
        if outdated && let Some(flags) = self.disk.superblock.peers.get_mut(&from) {
            flags.outdated = true;
            self.persist(After::Nothing);
        }
        self.drop_connection(from, ConnectionState::TearDown);
    }
}
