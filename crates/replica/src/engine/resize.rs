//! Growing a volume while it is in use.
//!
//! Whoever is ordered to asks every disk how much it has room for: by that each moves its metadata to the end of a device
//! that has grown, still as that of a volume of the old size. Then the peers grow, and the one that was ordered to last,
//! so that a Primary never sends a block that its peer does not have yet. Each records the marks of what is new before the
//! size that makes them count. Whoever is interrupted catches up when it connects: the larger side's first word says what
//! the volume has become, and the smaller side grows before it goes on.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::core::Replica;
use super::disk::{After, OpKind};
use super::peer::{Negotiation, Peer};
use crate::bitmap::Bitmap;
use crate::config::MAX_VOLUME_BYTES;
use crate::ids::{BLOCK_BYTES, BlockRange, NodeId, RequestId, SECTOR_BYTES};
use crate::io::{AdminError, DiskOp, Event, Output};
use crate::metadata::ShrinkError;
use crate::state::{DiskState, ReplicationState, Role};
use crate::wire::{Hello, Message};

/// Why the room of the own disk was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoomFor {
    /// An order here.
    Order(u64),
    /// An order at a peer.
    Peer { peer: NodeId, session: u64, id: u64 },
    /// A peer's volume is larger.
    Greeting { peer: NodeId, session: u64, size: u64 },
}

#[derive(Debug)]
enum Stage {
    /// These have not said how much they have room for.
    Asking { waiting: BTreeSet<NodeId>, rooms: BTreeMap<NodeId, u64> },
    /// These have not grown.
    Peers { waiting: BTreeSet<NodeId>, size: u64 },
    /// The own disk has not.
    Own,
}

/// An order to grow that goes on.
#[derive(Debug)]
pub(super) struct Resize {
    id: u64,
    request: RequestId,
    wanted: Option<u64>,
    clean: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The order is carried out.
    Ordered,
    /// The peer that asked is told.
    Tell { peer: NodeId, session: u64, id: u64 },
    /// The greeting goes on.
    Greet { peer: NodeId, session: u64 },
    /// Nothing.
    Rest,
}

/// The own disk grows.
#[derive(Debug)]
pub(super) struct Growth {
    recording: bool,
    then: Then,
}

/// Gives a bitmap the blocks of a larger volume; whether they count as equal, `clean` says.
fn grow_bitmap(bitmap: &mut Bitmap, (from, to): (u64, u64), clean: bool) {
    bitmap.grow(to);
    // The last block may have been there in part: what was marked of it stays marked.
    let new = BlockRange { start: from.div_ceil(BLOCK_BYTES), end: to.div_ceil(BLOCK_BYTES) };
    if clean {
        bitmap.clear(new);
    } else {
        bitmap.set(BlockRange { start: from / BLOCK_BYTES, ..new });
    }
}

impl Replica {
    /// Whether the volume is about to become larger.
    pub(super) fn is_resizing(&self) -> bool {
        self.resize.is_some() || self.growth.is_some()
    }

    fn is_in_sync_with(peer: &Peer) -> bool {
        peer.has_good_data() && peer.replication == ReplicationState::Established
    }

    /// Makes the volume as large as its disks allow, or as large as is wanted. With `clean`, what is new counts as equal.
    pub(super) fn resize(
        &mut self,
        request: RequestId,
        wanted: Option<u64>,
        clean: bool,
    ) -> Result<(), AdminError> {
        self.may_order()?;
        if self.is_resizing() {
            return Err(AdminError::Busy);
        }
        let from = self.config.size;
        match wanted {
            Some(to) if to < from => return Err(ShrinkError { from, to }.into()),
            Some(to) if to > MAX_VOLUME_BYTES || !to.is_multiple_of(SECTOR_BYTES) => {
                return Err(AdminError::State("the size is not in sectors of 512 bytes, or too large"));
            }
            _ => {}
        }
        if self.disk.state != DiskState::UpToDate {
            return Err(AdminError::State("the disk here must be UpToDate"));
        }
        let peers: Vec<NodeId> = self.config.diskful_peers().collect();
        if self.both_are_primary() {
            return Err(AdminError::State("both nodes are Primary; demote one of the two first"));
        }
        for peer in &peers {
            let found = self.peers.get(peer).filter(|peer| Self::is_in_sync_with(peer));
            let Some(found) = found else { return Err(AdminError::NotInSync(*peer)) };
            if found.role == Role::Primary {
                return Err(AdminError::State("a peer is Primary; order it there"));
            }
        }
        self.next_write += 1;
        let id = self.next_write;
        for peer in &peers {
            self.send(*peer, Message::ResizeRoom { id });
        }
        let waiting = peers.into_iter().chain([self.config.node]).collect();
        let stage = Stage::Asking { waiting, rooms: BTreeMap::new() };
        self.resize = Some(Resize { id, request, wanted, clean, stage });
        self.submit(OpKind::Room(RoomFor::Order(id)), DiskOp::MakeRoom);
        Ok(())
    }

    /// The own disk has said how much it has room for.
    pub(super) fn room_made(&mut self, why: RoomFor, answer: Option<Bytes>) {
        let room = answer.and_then(|answer| answer[..].try_into().ok()).map_or(0, u64::from_be_bytes);
        match why {
            RoomFor::Order(id) => self.resize_room_answer(self.config.node, id, Some(room)),
            RoomFor::Peer { peer, session, id } => {
                if self.is_session(peer, session) {
                    self.send(peer, Message::ResizeRoomAnswer { id, room: Some(room) });
                }
            }
            RoomFor::Greeting { peer, session, size } => self.greeting_room(peer, session, (size, room)),
        }
    }

    /// A peer is ordered to make the volume larger.
    pub(super) fn resize_room(&mut self, from: NodeId, id: u64) {
        let ready = self.may_order().is_ok() && !self.is_resizing() && self.role != Role::Primary;
        match self.peers.get(&from).filter(|peer| ready && Self::is_in_sync_with(peer)) {
            Some(peer) => {
                let session = peer.session;
                let why = RoomFor::Peer { peer: from, session, id };
                self.submit(OpKind::Room(why), DiskOp::MakeRoom);
            }
            None => self.send(from, Message::ResizeRoomAnswer { id, room: None }),
        }
    }

    /// How much a disk has room for; none: something else goes on there.
    pub(super) fn resize_room_answer(&mut self, from: NodeId, id: u64, room: Option<u64>) {
        let Some(resize) = self.resize.as_mut().filter(|resize| resize.id == id) else { return };
        let Stage::Asking { waiting, rooms } = &mut resize.stage else { return };
        if !waiting.remove(&from) {
            return;
        }
        let Some(room) = room else { return self.fail_resize(AdminError::Busy) };
        rooms.insert(from, room);
        if !waiting.is_empty() {
            return;
        }
        let smallest = rooms.iter().min_by_key(|(_, room)| **room).map(|(node, room)| (*node, *room));
        let Some((node, room)) = smallest else { return };
        let now = self.config.size;
        // In whole blocks, unless it was said otherwise.
        let size =
            resize.wanted.unwrap_or_else(|| (room / BLOCK_BYTES * BLOCK_BYTES).clamp(now, MAX_VOLUME_BYTES));
        if size > room.max(now) {
            return self.fail_resize(AdminError::TooSmall { node, room, wanted: size });
        }
        if size == now {
            return self.end_resize(Ok(()));
        }
        let (id, clean) = (resize.id, resize.clean);
        let peers: BTreeSet<NodeId> = self.config.diskful_peers().collect();
        for peer in &peers {
            self.send(*peer, Message::ResizeCommit { id, size, clean });
        }
        if let Some(resize) = self.resize.as_mut() {
            resize.stage = Stage::Peers { waiting: peers, size };
        }
        self.peers_have_grown();
    }

    /// A peer says what the volume becomes.
    pub(super) fn resize_commit(&mut self, from: NodeId, (id, size): (u64, u64), clean: bool) {
        if self.config.diskless {
            self.config.size = self.config.size.max(size);
            return;
        }
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return };
        if !self.disk.is_attached() || self.is_resizing() || size <= self.config.size {
            return self.protocol_error(from, "a new size in the middle of something else");
        }
        self.grow(size, clean, Then::Tell { peer: from, session, id });
    }

    /// A peer has grown.
    pub(super) fn resize_done(&mut self, from: NodeId, id: u64) {
        let Some(resize) = self.resize.as_mut().filter(|resize| resize.id == id) else { return };
        if let Stage::Peers { waiting, .. } = &mut resize.stage {
            waiting.remove(&from);
            self.peers_have_grown();
        }
    }

    fn peers_have_grown(&mut self) {
        let Some(resize) = self.resize.as_mut() else { return };
        let Stage::Peers { waiting, size } = &resize.stage else { return };
        if waiting.is_empty() {
            let (size, clean) = (*size, resize.clean);
            resize.stage = Stage::Own;
            self.grow(size, clean, Then::Ordered);
        }
    }

    fn end_resize(&mut self, result: Result<(), AdminError>) {
        if let Some(resize) = self.resize.take() {
            self.outputs.push_back(Output::AdminReply { id: resize.request, result });
        }
    }

    fn fail_resize(&mut self, error: AdminError) {
        self.end_resize(Err(error));
    }

    /// The own disk becomes larger: first the marks of what is new, then the size.
    fn grow(&mut self, size: u64, clean: bool, then: Then) {
        let from = self.config.size;
        self.config.size = size;
        for bitmap in self.disk.bitmaps.values_mut() {
            grow_bitmap(bitmap, (from, size), clean);
        }
        self.growth = Some(Growth { recording: false, then });
        self.save_bitmaps();
    }

    /// A disk that was away while the volume grew is attached.
    pub(super) fn grow_attached(&mut self, from: u64) {
        let size = std::mem::replace(&mut self.config.size, from);
        self.grow(size, false, Then::Rest);
    }

    /// Goes on with a growth whose next step may be possible now, or gives it up.
    pub(super) fn continue_resize(&mut self) {
        if !self.disk.is_attached() {
            self.growth = None;
        }
        if let Some(growth) = self.growth.as_mut().filter(|growth| !growth.recording)
            && self.disk.pages_are_saved()
        {
            growth.recording = true;
            self.disk.superblock.size = self.config.size;
            self.persist(After::Grown);
        }
        let Some(resize) = self.resize.as_ref() else { return };
        let lost =
            self.config.diskful_peers().find(|id| !self.peers.get(id).is_some_and(Peer::has_good_data));
        match (&resize.stage, lost) {
            _ if self.disk.state != DiskState::UpToDate => {
                self.fail_resize(AdminError::State("the disk was lost meanwhile"));
            }
            (Stage::Asking { .. } | Stage::Peers { .. }, Some(peer)) => {
                self.fail_resize(AdminError::NotInSync(peer));
            }
            _ => {}
        }
    }

    /// The new size is on stable storage.
    pub(super) fn grown(&mut self) {
        let Some(growth) = self.growth.take() else { return };
        self.event(Event::Resized(self.config.size));
        match growth.then {
            Then::Ordered => {
                let (id, clean) = self.resize.as_ref().map_or((0, false), |resize| (resize.id, resize.clean));
                let (size, peers) = (self.config.size, self.config.peers.clone());
                for (peer, config) in peers {
                    if config.diskless {
                        self.send(peer, Message::ResizeCommit { id, size, clean });
                    }
                }
                self.end_resize(Ok(()));
                if !clean {
                    self.renegotiate_all();
                }
            }
            Then::Tell { peer, session, id } => {
                if self.is_session(peer, session) {
                    self.send(peer, Message::ResizeDone { id });
                }
            }
            Then::Greet { peer, session } => self.greet_again(peer, session),
            Then::Rest => {}
        }
    }

    /// The first word of a peer whose volume is larger or smaller. Whether the greeting waits.
    pub(super) fn size_differs(&mut self, from: NodeId, hello: &Hello) -> bool {
        if self.config.diskless || hello.diskless {
            if self.config.diskless {
                self.config.size = self.config.size.max(hello.size);
            }
            return false;
        }
        if hello.size <= self.config.size {
            // It grows, and says so.
            return hello.size < self.config.size;
        }
        let Some(session) = self.peers.get(&from).map(|peer| peer.session) else { return true };
        if self.disk.is_attached() {
            let why = RoomFor::Greeting { peer: from, session, size: hello.size };
            self.submit(OpKind::Room(why), DiskOp::MakeRoom);
        } else {
            // There is nothing here that could grow; the disk does once it is attached.
            self.config.size = hello.size;
            self.event(Event::Resized(hello.size));
            self.greet_again(from, session);
        }
        true
    }

    fn greeting_room(&mut self, peer: NodeId, session: u64, (size, room): (u64, u64)) {
        if !self.is_session(peer, session) {
            return;
        }
        if !self.disk.is_attached() || self.is_resizing() || self.promotion.is_some() {
            self.protocol_error(peer, "the volume has grown there, and something else goes on here");
        } else if size <= self.config.size {
            self.greet_again(peer, session);
        } else if size > room {
            self.protocol_error(peer, "the volume has grown there, and the disk here has no room for it");
        } else {
            self.grow(size, false, Then::Greet { peer, session });
        }
    }

    /// Says the first word once more, with the new size; the peer's has been heard.
    fn greet_again(&mut self, peer: NodeId, session: u64) {
        if !self.is_session(peer, session) {
            return;
        }
        self.say_hello(peer);
        if let Some(state) = self.peers.get_mut(&peer)
            && state.negotiation == Negotiation::Greeting
        {
            state.negotiation = Negotiation::Wanted;
        }
    }
}
