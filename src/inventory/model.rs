//! What the user wants: clusters, their nodes, the way to them, claims, barclamps.
//!
//! Plain data, made by [`load`](crate::inventory::load) only: what exists here is valid. Never refers to YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::resources::{Constraint, Resource};
use super::secret::{SecretRef, Setting};
use super::value::{Address, ByteSize, HostName, ResourceId, SizeMatch};
use crate::names::{BarclampName, ClusterName, NodeName, RoleName};

/// Version of the inventory format that this program reads.
pub const INVENTORY_VERSION: u32 = 1;
/// Most links between the nodes of a cluster: what corosync's knet can use (corosync.conf(5)).
pub const MAX_LINKS: usize = 8;
/// Most nodes of one cluster: a limit of ours, twice what corosync is tested with.
pub const MAX_NODES_PER_CLUSTER: usize = 64;
/// How long connecting to a node may take unless the inventory says otherwise.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Smallest device that is claimed automatically unless the inventory says otherwise: 1 GiB.
pub const DEFAULT_MINIMUM_CLAIM_SIZE: ByteSize = ByteSize(1 << 30);

/// Everything the user wants.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inventory {
    /// Format version; [`INVENTORY_VERSION`].
    pub version: u32,
    /// The clusters, by name; at least one.
    pub clusters: BTreeMap<ClusterName, Cluster>,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its nodes, by name; at least one.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Devices claimed explicitly: node, purpose, device.
    pub claims: BTreeMap<NodeName, BTreeMap<String, DeviceClaim>>,
    /// When a device may be claimed without being named.
    pub claim_policy: ClaimPolicy,
    /// Barclamps in use with their attributes, not yet checked by the barclamp's own schema.
    pub barclamps: BTreeMap<BarclampName, BarclampEntry>,
    /// Resources in Pacemaker's own terms, by id.
    pub resources: BTreeMap<ResourceId, Resource>,
    /// Constraints, in the order of the inventory; ids are unique.
    pub constraints: Vec<Constraint>,
    /// Meta attributes that all resources have unless they say otherwise (`rsc_defaults`).
    pub resource_defaults: BTreeMap<String, Setting>,
    /// Properties that all operations have unless they say otherwise (`op_defaults`).
    pub operation_defaults: BTreeMap<String, Setting>,
}

impl Cluster {
    /// How many links the nodes have; the same for all of them.
    #[must_use]
    pub fn link_count(&self) -> usize {
        self.nodes.values().next().map_or(0, |node| node.links.len())
    }

    /// The nodes that have this role, by name.
    pub fn nodes_with_role<'a>(&'a self, role: &'a RoleName) -> impl Iterator<Item = &'a Node> + 'a {
        self.nodes.values().filter(move |node| node.roles.contains(role))
    }
}

/// One machine of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// Its name: what `uname -n` prints there.
    pub name: NodeName,
    /// Where it is reached by SSH.
    pub address: Address,
    /// Its address on each of corosync's links, link 0 first; 1 to [`MAX_LINKS`] of them.
    /// Without `links` in the inventory this is the node's own address.
    pub links: Vec<IpAddr>,
    /// What it does for barclamps.
    pub roles: BTreeSet<RoleName>,
    /// Permanent node attributes of the CIB.
    pub attributes: BTreeMap<String, Setting>,
    /// How much of what it has (Pacemaker's utilization).
    pub utilization: BTreeMap<String, i64>,
    /// How to log in: the cluster's `ssh`, overridden by the node's `ssh` and `port`.
    pub ssh: SshSettings,
}

/// How to log in to a node. What is `None` is taken from ssh_config(5), then from the defaults named here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SshSettings {
    /// Login name; default `root`.
    pub user: Option<String>,
    /// TCP port; default 22.
    pub port: Option<u16>,
    /// Private key files, tried in this order; `~` and relative paths are already resolved.
    pub identities: Vec<Utf8PathBuf>,
    /// Whether the keys of a running ssh-agent are tried too; default true.
    pub agent: bool,
    /// What decrypts the private keys.
    pub passphrase: Option<SecretRef>,
    /// How to become root when the login is not root.
    pub sudo: Sudo,
    /// Hosts to go through, the first one first. `Some` and empty: none, whatever ssh_config says.
    pub jump: Option<Vec<JumpHost>>,
    /// known_hosts file to use instead of the user's.
    pub known_hosts: Option<Utf8PathBuf>,
    /// ssh_config file to use instead of `~/.ssh/config`.
    pub config: Option<Utf8PathBuf>,
    /// Longest time from the first packet to the end of authentication.
    pub connect_timeout: Duration,
}

impl Default for SshSettings {
    fn default() -> Self {
        Self {
            user: None,
            port: None,
            identities: Vec::new(),
            agent: true,
            passphrase: None,
            sudo: Sudo::Never,
            jump: None,
            known_hosts: None,
            config: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        }
    }
}

/// How to become root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// The login is root already.
    Never,
    /// `sudo` asks for no password.
    Passwordless,
    /// `sudo` asks for this password.
    Password(SecretRef),
}

/// A host on the way to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JumpHost {
    /// Login name there; default: as ssh_config says, then the name of the person who runs hactl.
    pub user: Option<String>,
    /// Its address, or an alias of ssh_config.
    pub host: Address,
    /// TCP port; default 22.
    pub port: Option<u16>,
}

impl std::str::FromStr for JumpHost {
    type Err = super::value::ValueError;

    /// Parses `[user@]host[:port]`; an IPv6 address with a port is written `[address]:port`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why| super::value::ValueError { wanted: "a jump host", text: text.to_owned(), why };
        let (user, rest) = match text.rsplit_once('@') {
            Some(("", _)) => return Err(fail("the user before `@` is empty")),
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, text),
        };
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(|| fail("`[` without `]`"))?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or(after)) })
        } else if rest.parse::<IpAddr>().is_ok() {
            (rest, None)
        } else {
            rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port)))
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port != 0 => Some(port),
            Some(_) => return Err(fail("the port must be a number between 1 and 65535")),
        };
        let host = host.parse::<Address>().map_err(|error| fail(error.why))?;
        Ok(Self { user, host, port })
    }
}

impl std::fmt::Display for JumpHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (&self.host, self.port) {
            (Address::Ip(IpAddr::V6(ip)), Some(port)) => write!(f, "[{ip}]:{port}"),
            (host, Some(port)) => write!(f, "{host}:{port}"),
            (host, None) => host.fmt(f),
        }
    }
}

impl From<HostName> for Address {
    fn from(name: HostName) -> Self {
        Self::Name(name)
    }
}

/// One device that is claimed explicitly. All that is said must hold, and exactly one device may match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DeviceClaim {
    /// A link below `/dev/disk/`, or a bare device node together with `unstable_path`.
    pub path: Option<Utf8PathBuf>,
    /// Serial number.
    pub serial: Option<String>,
    /// World Wide Name.
    pub wwn: Option<String>,
    /// NVMe EUI-64 or NGUID.
    pub eui: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Size.
    pub size: Option<SizeMatch>,
    /// Whether it turns.
    pub rotational: Option<bool>,
    /// How it is attached: `sata`, `sas`, `nvme`, `usb`, ... as `lsblk` says.
    pub transport: Option<String>,
    /// Consent to lose exactly this: everything that is on the device now.
    pub wipe: Vec<WipeConsent>,
    /// A bare device node (`/dev/sdb`) is accepted although its name may move.
    pub unstable_path: bool,
}

/// Names the content that may be destroyed, as `type/uuid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WipeConsent {
    /// Type of the signature as `blkid` says: `ext4`, `LVM2_member`, `gpt`, ...
    pub kind: String,
    /// Its UUID (or, where the signature has none, what hactl printed for it).
    pub uuid: String,
}

/// When a device may be claimed without being named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimPolicy {
    /// Whether a lone candidate is taken.
    pub auto: AutoClaim,
    /// Devices below this size are no candidates.
    pub minimum_size: ByteSize,
    /// Types of device (as `lsblk` says) that may be candidates.
    pub device_types: BTreeSet<String>,
}

impl Default for ClaimPolicy {
    fn default() -> Self {
        Self {
            auto: AutoClaim::SingleCandidate,
            minimum_size: DEFAULT_MINIMUM_CLAIM_SIZE,
            device_types: ["disk", "mpath"].map(str::to_owned).into(),
        }
    }
}

/// Whether a device is taken without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoClaim {
    /// Exactly one unclaimed candidate is taken; none or several is an error.
    SingleCandidate,
    /// Never: every device is claimed explicitly.
    Never,
}

/// A barclamp in use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BarclampEntry {
    /// Its attributes: always an object. Secrets stand in it as references; see
    /// [`SecretRef::from_json`](super::secret::SecretRef::from_json).
    pub attributes: serde_json::Value,
    /// Where the attributes stand in the inventory, as a JSON pointer
    /// (`/clusters/lab/barclamps/pacemaker`), for [`Spans`](super::Spans).
    pub pointer: String,
}
