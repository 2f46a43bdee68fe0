//! What is always learned about a node, in the first round trip.

use std::collections::BTreeMap;
use std::net::IpAddr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::{BlockDevice, ClaimLedger, Fact, Ledger, Observation, Query};

/// `/etc/os-release`, as far as it matters (os-release(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsRelease {
    /// `ID`, lower case: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`; empty where there is none (Debian sid).
    pub version_id: String,
    /// `ID_LIKE`, split at blanks.
    pub id_like: Vec<String>,
    /// `PRETTY_NAME`, for people.
    pub pretty_name: String,
}

/// `uname`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
}

/// Size of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Processors that are online.
    pub cpus: u32,
    /// `MemTotal` in bytes.
    pub memory_bytes: u64,
}

/// A network interface with its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The interface's name.
    pub name: String,
    /// Maximum transmission unit in bytes.
    pub mtu: u32,
    /// Whether its operational state is up (or unknown, as loopback's is).
    pub up: bool,
    /// Addresses with their prefix length in bits.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// The node's clock against this machine's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Node's clock less ours, in milliseconds, as far as the round trip lets it be known.
    pub offset_ms: i64,
    /// Half the round trip in milliseconds: the offset's uncertainty.
    pub uncertainty_ms: u64,
}

/// Free space below a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that root can still write.
    pub available_bytes: u64,
    /// Inodes that are free.
    pub available_inodes: u64,
}

/// The state of the package manager that matters before anything is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageManager {
    /// Which it is: `apt`.
    pub kind: String,
    /// Who holds its lock, in words ("apt-get, process 4711"), if anybody does.
    pub locked_by: Option<String>,
    /// Packages that an interrupted run left unconfigured.
    pub unfinished: Vec<String>,
}

/// Everything that was learned about one node that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// `uname -n`.
    pub hostname: Fact<String>,
    /// The distribution.
    pub os: Fact<OsRelease>,
    /// The kernel.
    pub kernel: Fact<Kernel>,
    /// Size of the machine.
    pub hardware: Fact<Hardware>,
    /// Network interfaces.
    pub links: Fact<Vec<Link>>,
    /// The clock.
    pub clock: Fact<Clock>,
    /// Free space, by path (`/var`, `/etc`).
    pub space: Fact<BTreeMap<Utf8PathBuf, Space>>,
    /// The package manager.
    pub package_manager: Fact<PackageManager>,
    /// Block devices.
    pub block_devices: Fact<Vec<BlockDevice>>,
    /// What hactl owns there.
    pub ledger: Fact<Ledger>,
    /// Which devices were claimed there.
    pub claims: Fact<ClaimLedger>,
    /// Answers to what was asked on top.
    #[serde(skip)]
    pub observed: BTreeMap<Query, Observation>,
}

impl NodeFacts {
    /// Facts of which nothing is known, for this reason.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        fn unknown<T>(why: &str) -> Fact<T> {
            Fact::Unknown(why.to_owned())
        }
        Self {
            hostname: unknown(why),
            os: unknown(why),
            kernel: unknown(why),
            hardware: unknown(why),
            links: unknown(why),
            clock: unknown(why),
            space: unknown(why),
            package_manager: unknown(why),
            block_devices: unknown(why),
            ledger: unknown(why),
            claims: unknown(why),
            observed: BTreeMap::new(),
        }
    }

    /// The answer to a query; an unasked one is unknown.
    #[must_use]
    pub fn observation(&self, query: &Query) -> Observation {
        self.observed
            .get(query)
            .cloned()
            .unwrap_or_else(|| Observation::Unknown("it was not asked".to_owned()))
    }
}
