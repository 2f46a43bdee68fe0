//! A look at the engine from outside: for status, metrics and the simulator's checkers. Changes nothing.

use super::core::Replica;
use crate::bitmap::Bitmap;
use crate::config::Config;
use crate::generation::Generations;
use crate::ids::NodeId;
use crate::state::{ConnectionState, DiskState, ReplicationState, Role};

/// One peer, for status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// The connection.
    pub connection: ConnectionState,
    /// The replication.
    pub replication: ReplicationState,
    /// Its role.
    pub role: Role,
    /// Its disk.
    pub disk: DiskState,
    /// Blocks that it lacks, as far as is known here.
    pub dirty_blocks: u64,
}

/// Why I/O waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspension {
    /// The admin said so.
    User,
    /// The partition has no quorum.
    Quorum,
    /// This peer is not known to be fenced.
    Fencing(NodeId),
}

impl Replica {
    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The own disk.
    #[must_use]
    pub fn disk_state(&self) -> DiskState {
        self.disk.state
    }

    /// Whether the partition has quorum.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.quorum
    }

    /// Whether I/O waits: for quorum, fencing or the admin.
    #[must_use]
    pub fn io_is_suspended(&self) -> bool {
        self.role == Role::Primary && self.is_suspended()
    }

    /// What the I/O of a Primary waits for; nothing, when it does not wait.
    #[must_use]
    pub fn suspensions(&self) -> Vec<Suspension> {
        if !self.io_is_suspended() {
            return Vec::new();
        }
        let user = self.suspended.then_some(Suspension::User);
        let quorum = self.waits_for_quorum().then_some(Suspension::Quorum);
        user.into_iter().chain(quorum).chain(self.fencing.iter().copied().map(Suspension::Fencing)).collect()
    }

    /// The generations of the own disk.
    #[must_use]
    pub fn generations(&self) -> Option<&Generations> {
        self.disk.is_attached().then_some(&self.disk.superblock.generations)
    }

    /// The dirty bitmap of a peer.
    #[must_use]
    pub fn bitmap(&self, peer: NodeId) -> Option<&Bitmap> {
        self.disk.is_attached().then(|| self.disk.bitmaps.get(&peer)).flatten()
    }

    /// One peer.
    #[must_use]
    pub fn peer_status(&self, peer: NodeId) -> Option<PeerStatus> {
        self.peers.get(&peer).map(|state| PeerStatus {
            connection: state.connection,
            replication: state.replication,
            role: state.role,
            disk: state.disk,
            dirty_blocks: self.disk.dirty(peer),
        })
    }

    /// Whether the block was written and is not yet known to be stable everywhere.
    #[must_use]
    pub fn is_unstable(&self, block: u64) -> bool {
        self.epochs.covers(block)
            || self.writes.values().any(|write| (write.blocks.start..write.blocks.end).contains(&block))
    }

    /// Whether nothing is under way: no request, no write, no metadata.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ops.is_empty() && self.writes.is_empty() && self.reads.is_empty() && self.admission.is_empty()
    }
}
