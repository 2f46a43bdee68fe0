//! What kind of cluster and which faults a seed stands for.

use std::time::Duration;

use replica::config::{
    Config, Congestion, Fencing, OnCongestion, OnIoError, OnNoQuorum, Protocol, QuorumPolicy, SyncConfig,
    Timeouts,
};
use replica::ids::{BLOCK_BYTES, NodeId};
use replica::split_brain::{After0Pri, After1Pri, After2Pri, Policies};

use crate::rng::Rng;

/// Bytes of the simulated volume: eight extents of the activity log.
pub(crate) const VOLUME_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes that it may grow by.
pub(crate) const MAX_GROWTH_BYTES: u64 = 16 * 1024 * 1024;
/// Blocks that the workload uses.
const HOT_BLOCKS: u64 = 24;
/// Seeds with this bit are runs with two Primaries.
const TWO_PRIMARIES_SEED_BIT: u64 = 1 << 33;
/// Seeds with this bit are runs under protocol A that do something about congestion.
const CONGESTED_SEED_BIT: u64 = 1 << 32;

/// What keeps two partitions from both going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two disks and a diskless tiebreaker, with quorum.
    Quorum,
    /// Two disks, and a fence-peer handler that cuts the peer's power.
    Fencing,
    /// Two disks and nothing: split brain happens, and must be noticed.
    Reckless,
}

/// A run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// What guards it.
    pub(crate) kind: Kind,
    /// One configuration per node.
    pub(crate) configs: Vec<Config>,
    /// The blocks that the workload uses, rising.
    pub(crate) hot: Vec<u64>,
    /// How long faults go on.
    pub(crate) length: Duration,
    /// Disks begin blank, and the admin forces one.
    pub(crate) blank: bool,
    /// Disks fail too.
    pub(crate) disk_errors: bool,
    /// The network is slow now and then.
    pub(crate) slow_network: bool,
    /// Data takes its time between the two disks, and something is done about that.
    pub(crate) congested: bool,
    /// Both nodes may be Primary at once.
    pub(crate) two_primaries: bool,
    /// Devices grow, and the volume with them.
    pub(crate) grows: bool,
    /// How long between two faults, on average.
    pub(crate) fault_every: Duration,
}

/// The node with this number.
#[must_use]
pub(crate) fn node(id: usize) -> NodeId {
    // Scenarios have three nodes at most.
    NodeId::new(id as u8).unwrap_or_else(|| unreachable!("node {id} is below the limit"))
}

impl Scenario {
    /// Out of a seed.
    #[must_use]
    pub(crate) fn of_seed(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let kind = match rng.below(5) {
            0 | 1 => Kind::Quorum,
            2 => Kind::Fencing,
            _ => Kind::Reckless,
        };
        let nodes = if kind == Kind::Quorum { 3 } else { 2 };
        let mut shared = Config::new(node(0), VOLUME_BYTES);
        shared.protocol = if rng.chance(70) { Protocol::C } else { [Protocol::A, Protocol::B][rng.index(2)] };
        let chosen = seed & CONGESTED_SEED_BIT != 0;
        if chosen {
            shared.protocol = Protocol::A;
        }
        shared.two_primaries = seed & TWO_PRIMARIES_SEED_BIT != 0;
        if shared.two_primaries {
            shared.protocol = Protocol::C;
        }
        shared.al_extents = 4 + rng.below(5) as u16;
        shared.sync = SyncConfig {
            fill_target_bytes: BLOCK_BYTES << rng.below(8),
            max_rate: (1 << 20) << rng.below(9),
            min_rate: 1 << 20,
            checksums: rng.chance(30),
        };
        shared.timeouts = short_timeouts();
        if rng.chance(30) {
            shared.on_io_error = OnIoError::PassOn;
        }
        match kind {
            Kind::Quorum => {
                shared.quorum = QuorumPolicy::Majority;
                shared.on_no_quorum =
                    if rng.chance(70) { OnNoQuorum::SuspendIo } else { OnNoQuorum::IoError };
            }
            Kind::Fencing => shared.fencing = Fencing::ResourceAndStonith,
            Kind::Reckless => shared.after_split_brain = policies(rng),
        }
        shared.congestion = congestion(seed, chosen, &shared);
        let configs: Vec<Config> = (0..nodes)
            .map(|id| {
                let mut config = shared.clone();
                config.node = node(id);
                config.diskless = id == 2;
                (0..nodes)
                    .filter(|peer| *peer != id)
                    .fold(config, |config, peer| config.with_peer(node(peer), peer == 2))
            })
            .collect();
        let (hot, grows) = hot_blocks(rng);
        Self {
            kind,
            configs,
            hot,
            length: Duration::from_millis(800 + rng.below(1500)),
            blank: rng.chance(20),
            disk_errors: rng.chance(30),
            slow_network: rng.chance(30),
            two_primaries: shared.two_primaries,
            congested: shared.congestion.policy != OnCongestion::Block,
            grows,
            fault_every: Duration::from_millis(40 + rng.below(400)),
        }
    }
}

/// The blocks that the workload uses, and whether the volume grows: then there are some beyond its end.
fn hot_blocks(rng: &mut Rng) -> (Vec<u64>, bool) {
    let blocks = VOLUME_BYTES / BLOCK_BYTES;
    let mut hot: Vec<u64> = (0..HOT_BLOCKS).map(|_| rng.below(blocks)).collect();
    // Neighbours too, so that requests of several blocks touch more than one of them.
    for block in hot.clone().into_iter().take(8) {
        hot.push((block + 1).min(blocks - 1));
    }
    let grows = rng.chance(30);
    if grows {
        hot.extend((0..HOT_BLOCKS / 4).map(|_| blocks + rng.below(MAX_GROWTH_BYTES / BLOCK_BYTES)));
    }
    hot.sort_unstable();
    hot.dedup();
    (hot, grows)
}

fn short_timeouts() -> Timeouts {
    Timeouts {
        ping_int: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(100),
        timeout: Duration::from_millis(150),
        ko_count: 2,
    }
}

/// Drawn apart, so that runs without congestion stay what they were.
fn congestion(seed: u64, chosen: bool, config: &Config) -> Congestion {
    let rng = &mut Rng::new(!seed);
    let policy = match rng.below(10) {
        0..7 => OnCongestion::PullAhead,
        7..9 => OnCongestion::Disconnect,
        _ if chosen => OnCongestion::PullAhead,
        _ => OnCongestion::Block,
    };
    let fill_bytes = if rng.chance(80) { BLOCK_BYTES << rng.below(5) } else { 0 };
    let extents = rng.chance(60).then(|| 1 + rng.below(u64::from(config.al_extents)) as u16);
    match config.protocol {
        Protocol::A => Congestion { policy, fill_bytes, extents },
        Protocol::B | Protocol::C => Congestion::default(),
    }
}

fn policies(rng: &mut Rng) -> Policies {
    if rng.chance(50) {
        return Policies::default();
    }
    let zero = [
        After0Pri::DiscardYoungerPrimary,
        After0Pri::DiscardOlderPrimary,
        After0Pri::DiscardZeroChanges,
        After0Pri::DiscardLeastChanges,
        After0Pri::DiscardNode(node(0)),
    ];
    let one = [After1Pri::Consensus, After1Pri::DiscardSecondary, After1Pri::ViolentlyAs0p];
    let two = [After2Pri::Disconnect, After2Pri::CallPriLostAfterSb, After2Pri::ViolentlyAs0p];
    Policies {
        after_0pri: zero[rng.index(zero.len())],
        after_1pri: one[rng.index(one.len())],
        after_2pri: two[rng.index(two.len())],
    }
}
