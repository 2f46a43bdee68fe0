//! What the admin set for a volume: nodes, protocol, policies, limits. Values only; checked once, when made.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::ids::{NodeId, SECTOR_BYTES};
use crate::split_brain::Policies;

/// Largest request of a client, in bytes; the shell cuts larger ones. One activity log extent, so that a request
/// touches two at most.
pub const MAX_REQUEST_BYTES: u64 = 4 * 1024 * 1024;
/// Nodes with a disk that a volume may have for now; the formats are laid out for more.
pub const MAX_DISKFUL_NODES: usize = 2;
/// Fewest activity log extents: a request needs two, and one more lets another go on meanwhile.
pub const MIN_AL_EXTENTS: u16 = 4;
/// Most activity log extents, and the default: what the log on disk has room for.
pub const MAX_AL_EXTENTS: u16 = 6433;
/// Largest volume: 1 PiB, DRBD's own limit.
pub const MAX_VOLUME_BYTES: u64 = 1 << 50;

/// When a write is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Written here and handed to the socket.
    A = 0,
    /// And received by the peer.
    B = 1,
    /// And written by the peer.
    #[default]
    C = 2,
}

/// When a partition may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuorumPolicy {
    /// Always.
    #[default]
    Off,
    /// With more than half of the nodes with disks; with exactly half, when a majority of the diskless nodes is there
    /// and quorum was never lost.
    Majority,
    /// With all nodes with disks.
    All,
    /// With this many nodes with disks.
    AtLeast(u8),
}

/// What a Primary without quorum does with I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNoQuorum {
    /// It waits.
    #[default]
    SuspendIo,
    /// It fails.
    IoError,
}

/// What is done about a peer that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Fencing {
    /// Nothing.
    #[default]
    DontCare,
    /// The `fence-peer` handler is called.
    ResourceOnly,
    /// It is called, and I/O waits for its answer.
    ResourceAndStonith,
}

/// What is done about an error of the own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnIoError {
    /// The disk is given up; work goes on over the peer's.
    #[default]
    Detach,
    /// A block that cannot be read is told to the client, or read from the peer, which then brings it back. Errors of
    /// writing give the disk up all the same.
    PassOn,
    /// The `local-io-error` handler is called, then as [`Self::Detach`].
    CallHandler,
}

/// What a Primary does about a peer that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCongestion {
    /// It waits, once no more can be sent.
    #[default]
    Block,
    /// It stops sending, marks what the peer lacks, and brings it back later.
    PullAhead,
    /// It gives the connection up; once connected anew the peer is brought back.
    Disconnect,
}

/// When a peer does not keep up, and what is done about it. Only under protocol A: under B and C a write is answered by
/// the peer, so that a slow one slows the application down before anything piles up (DRBD refuses it just so).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Congestion {
    /// What is done.
    pub policy: OnCongestion,
    /// Bytes sent and not acknowledged, at least; 0: they do not count.
    pub fill_bytes: u64,
    /// Extents of the activity log in use, at least; none: all of them.
    pub extents: Option<u16>,
}

/// Resynchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncConfig {
    /// Bytes asked for and not yet there, at most.
    pub fill_target_bytes: u64,
    /// Bytes per second at most.
    pub max_rate: u64,
    /// Bytes per second while the application works.
    pub min_rate: u64,
    /// Ask with checksums, and copy only blocks that differ (`csums-alg`).
    pub checksums: bool,
}

impl Default for SyncConfig {
    fn default() -> Self {
        let mib = 1024 * 1024;
        Self { fill_target_bytes: 4 * mib, max_rate: 4096 * mib, min_rate: 4 * mib, checksums: false }
    }
}

/// Waits of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A peer that says nothing for this long is asked.
    pub ping_int: Duration,
    /// And must answer within this.
    pub ping_timeout: Duration,
    /// A handshake must be over, and a write acknowledged, within this times `ko_count`.
    pub timeout: Duration,
    /// How many timeouts a peer may take over a write.
    pub ko_count: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            ping_int: Duration::from_secs(10),
            ping_timeout: Duration::from_millis(500),
            timeout: Duration::from_secs(6),
            ko_count: 7,
        }
    }
}

/// One peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerConfig {
    /// It has no disk by intent: a tiebreaker.
    pub diskless: bool,
}

/// A volume as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// This node has no disk by intent.
    pub diskless: bool,
    /// All others.
    pub peers: BTreeMap<NodeId, PeerConfig>,
    /// Bytes of the volume.
    pub size: u64,
    /// When a write is done.
    pub protocol: Protocol,
    /// Two nodes that are connected and in sync may both be Primary (`allow-two-primaries`).
    pub two_primaries: bool,
    /// Quorum.
    pub quorum: QuorumPolicy,
    /// Without quorum.
    pub on_no_quorum: OnNoQuorum,
    /// Fencing.
    pub fencing: Fencing,
    /// After split brain.
    pub after_split_brain: Policies,
    /// Errors of the own disk.
    pub on_io_error: OnIoError,
    /// Extents of the activity log.
    pub al_extents: u16,
    /// Peers that do not keep up.
    pub congestion: Congestion,
    /// Resynchronisation.
    pub sync: SyncConfig,
    /// Waits.
    pub timeouts: Timeouts,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The size is zero, too large or not a multiple of a sector.
    #[error("a volume of {0} bytes is not possible: multiples of {SECTOR_BYTES}, up to {MAX_VOLUME_BYTES}")]
    Size(u64),
    /// Too many nodes with disks.
    #[error("{0} nodes with disks are more than the {MAX_DISKFUL_NODES} supported; make the others diskless")]
    DiskfulNodes(usize),
    /// The node is its own peer.
    #[error("{0} is listed as a peer of itself")]
    OwnPeer(NodeId),
    /// Too few or too many extents.
    #[error("al-extents {0} is outside {MIN_AL_EXTENTS} to {MAX_AL_EXTENTS}")]
    AlExtents(u16),
    /// A policy that has a meaning under protocol A only.
    #[error(
        "on-congestion pull-ahead and disconnect need protocol A: under B and C a write waits for the peer"
    )]
    CongestionProtocol,
    /// What one Primary is told to be written the other must see.
    #[error(
        "allow-two-primaries needs protocol C: under A and B one of the two would not see what the other was told"
    )]
    TwoPrimariesProtocol,
    /// Too few or too many extents.
    #[error("congestion-extents {0} is outside 1 to {MAX_AL_EXTENTS}")]
    CongestionExtents(u16),
    /// Nothing could ever be in flight.
    #[error("the resynchronisation's fill target and rates must not be zero")]
    SyncRates,
}

impl Config {
    /// A volume with the defaults of DRBD.
    #[must_use]
    pub fn new(node: NodeId, size: u64) -> Self {
        Self {
            node,
            diskless: false,
            peers: BTreeMap::new(),
            size,
            protocol: Protocol::default(),
            two_primaries: false,
            quorum: QuorumPolicy::default(),
            on_no_quorum: OnNoQuorum::default(),
            fencing: Fencing::default(),
            after_split_brain: Policies::default(),
            on_io_error: OnIoError::default(),
            al_extents: MAX_AL_EXTENTS,
            congestion: Congestion::default(),
            sync: SyncConfig::default(),
            timeouts: Timeouts::default(),
        }
    }

    /// Adds a peer.
    #[must_use]
    pub fn with_peer(mut self, peer: NodeId, diskless: bool) -> Self {
        self.peers.insert(peer, PeerConfig { diskless });
        self
    }

    /// Peers that have a disk.
    pub fn diskful_peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.iter().filter(|(_, peer)| !peer.diskless).map(|(id, _)| *id)
    }

    /// Checks it.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.size == 0 || self.size > MAX_VOLUME_BYTES || !self.size.is_multiple_of(SECTOR_BYTES) {
            return Err(ConfigError::Size(self.size));
        }
        let diskful = self.diskful_peers().count() + usize::from(!self.diskless);
        if diskful > MAX_DISKFUL_NODES {
            return Err(ConfigError::DiskfulNodes(diskful));
        }
        if self.peers.contains_key(&self.node) {
            return Err(ConfigError::OwnPeer(self.node));
        }
        if !(MIN_AL_EXTENTS..=MAX_AL_EXTENTS).contains(&self.al_extents) {
            return Err(ConfigError::AlExtents(self.al_extents));
        }
        if self.congestion.policy != OnCongestion::Block && self.protocol != Protocol::A {
            return Err(ConfigError::CongestionProtocol);
        }
        if self.two_primaries && self.protocol != Protocol::C {
            return Err(ConfigError::TwoPrimariesProtocol);
        }
        if let Some(extents) = self.congestion.extents
            && !(1..=MAX_AL_EXTENTS).contains(&extents)
        {
            return Err(ConfigError::CongestionExtents(extents));
        }
        if self.sync.fill_target_bytes == 0 || self.sync.max_rate == 0 || self.sync.min_rate == 0 {
            return Err(ConfigError::SyncRates);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u8) -> NodeId {
        NodeId::new(id).unwrap()
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let good = Config::new(node(0), 1 << 30).with_peer(node(1), false).with_peer(node(2), true);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.clone().with_peer(node(3), false).check(), Err(ConfigError::DiskfulNodes(3)));
        assert_eq!(good.clone().with_peer(node(0), true).check(), Err(ConfigError::OwnPeer(node(0))));
        assert_eq!(Config { size: 1000, ..good.clone() }.check(), Err(ConfigError::Size(1000)));
        assert_eq!(Config { al_extents: 3, ..good.clone() }.check(), Err(ConfigError::AlExtents(3)));
        let ahead = Congestion { policy: OnCongestion::PullAhead, ..Congestion::default() };
        for protocol in [Protocol::B, Protocol::C] {
            let config = Config { protocol, congestion: ahead, ..good.clone() };
            assert_eq!(config.check(), Err(ConfigError::CongestionProtocol));
        }
        assert_eq!(Config { protocol: Protocol::A, congestion: ahead, ..good.clone() }.check(), Ok(()));
        for protocol in [Protocol::A, Protocol::B] {
            let config = Config { protocol, two_primaries: true, ..good.clone() };
            assert_eq!(config.check(), Err(ConfigError::TwoPrimariesProtocol));
        }
        assert_eq!(Config { two_primaries: true, ..good.clone() }.check(), Ok(()));
        let none = Congestion { extents: Some(0), ..Congestion::default() };
        assert_eq!(Config { congestion: none, ..good }.check(), Err(ConfigError::CongestionExtents(0)));
    }
}
