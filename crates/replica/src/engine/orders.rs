//! Orders that change what the data of a disk is worth: invalidate, here and at a peer, and outdate.
//!
//! Each is answered once it is on stable storage. What is copied because of it is decided as always, by a new
//! negotiation.

use super::core::Replica;
use super::disk::After;
use super::peer::Negotiation;
use crate::ids::{NodeId, RequestId};
use crate::io::{AdminError, Output};
use crate::state::{DiskState, ReplicationState, Role};

impl Replica {
    /// Whether nothing goes on that an order may not disturb.
    pub(super) fn may_order(&self) -> Result<(), AdminError> {
        if !self.disk.is_attached() {
            Err(AdminError::State("there is no disk"))
        } else if self.promotion.is_some() || self.demotion.is_some() || self.promised.is_some() {
            Err(AdminError::Busy)
        } else {
            Ok(())
        }
    }

    /// The data here counts for nothing any more: all of it comes from the peer, now or when it connects.
    pub(super) fn invalidate(&mut self, from: NodeId, request: RequestId) -> Result<(), AdminError> {
        self.may_order()?;
        let Some(peer) = self.peers.get(&from).filter(|peer| !peer.diskless) else {
            return Err(AdminError::NoPeer(from));
        };
        if self.role == Role::Primary {
            return Err(AdminError::State("the data of a Primary is not thrown away; demote it first"));
        }
        if peer.is_connected() && !peer.has_good_data() {
            return Err(AdminError::State("the peer has no UpToDate data to replace it with"));
        }
        let went_on = self.disk.superblock.generations.slot(from).is_some();
        if !peer.is_connected() && went_on && self.disk.state.is_whole() {
            // Nobody else may have it.
            return Err(AdminError::State(
                "a generation was begun here that the peer lacks; connect them first",
            ));
        }
        if !matches!(peer.replication, ReplicationState::Off | ReplicationState::Established) {
            return Err(AdminError::Busy);
        }
        self.owe_full_sync(from);
        self.set_disk_state(DiskState::Inconsistent);
        self.persist(After::Ordered(request));
        self.report_state();
        Ok(())
    }

    /// The peer's data counts for nothing any more: all of it goes there from here.
    pub(super) fn invalidate_remote(&mut self, to: NodeId, request: RequestId) -> Result<(), AdminError> {
        self.may_order()?;
        let Some(peer) = self.peers.get(&to).filter(|peer| !peer.diskless) else {
            return Err(AdminError::NoPeer(to));
        };
        let ready = peer.follows() && peer.replication == ReplicationState::Established;
        if self.disk.state != DiskState::UpToDate || !ready {
            return Err(AdminError::State(
                "the disk here must be UpToDate, and the peer connected with its disk",
            ));
        }
        if peer.role == Role::Primary {
            return Err(AdminError::State("the data of a Primary is not thrown away; demote it first"));
        }
        self.owe_full_sync(to);
        self.persist(After::Ordered(request));
        Ok(())
    }

    /// Everything is marked; the flag says so before the marks are on disk. A settled peer is asked anew.
    fn owe_full_sync(&mut self, with: NodeId) {
        if let Some(bitmap) = self.disk.bitmaps.get_mut(&with) {
            bitmap.set_all();
        }
        if let Some(flags) = self.disk.superblock.peers.get_mut(&with) {
            flags.full_sync = true;
        }
        if let Some(peer) = self.peers.get_mut(&with).filter(|peer| peer.is_settled()) {
            peer.negotiation = Negotiation::Again;
        }
    }

    /// Another node goes on without the data here: it is not to be promoted before it was brought up to date.
    pub(super) fn outdate(&mut self, request: RequestId) -> Option<Result<(), AdminError>> {
        if let Err(error) = self.may_order() {
            return Some(Err(error));
        }
        if self.role == Role::Primary {
            return Some(Err(AdminError::State("a Primary works with the data here; demote it first")));
        }
        if self.peers.values().any(|peer| !peer.diskless && peer.is_settled()) {
            return Some(Err(AdminError::State("a peer with a disk is connected; disconnect first")));
        }
        match self.disk.state {
            DiskState::Outdated => Some(Ok(())),
            DiskState::UpToDate | DiskState::Consistent => {
                self.set_disk_state(DiskState::Outdated);
                self.persist(After::Ordered(request));
                self.report_state();
                None
            }
            _ => Some(Err(AdminError::State("the data here is not whole"))),
        }
    }

    /// Orders whose record was on its way to a disk that is gone.
    pub(super) fn fail_orders(&mut self, waiting: Vec<After>) {
        for after in waiting {
            if let After::Ordered(id) = after {
                let result = Err(AdminError::State("the disk was lost meanwhile"));
                self.outputs.push_back(Output::AdminReply { id, result });
            }
        }
    }
}
