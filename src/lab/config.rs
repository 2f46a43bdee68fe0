//! What kind of lab is wanted.
//!
//! In: what a person typed. Out: values that make sense. Never touches the machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::NodeName;

use super::error::LabError;
use super::names::{LabName, NODE_NAMES};

/// Where labs are kept.
pub const DEFAULT_STATE_ROOT: &str = "/var/lib/hactl-lab";
/// Where images and packages are kept for all labs.
pub const DEFAULT_CACHE_DIR: &str = "/var/cache/hactl-lab";
/// How long a fenced node stays away by default. No real machine is back within a second, and Pacemaker counts on
/// that: the news that a node was fenced waits until corosync has noticed that it is gone (token and consensus timeout, 8 s
/// by default with three nodes), and a node that is back before hears of its own fencing and stops for good.
pub const DEFAULT_BOOT_DELAY: Duration = Duration::from_secs(10);
/// Most networks: corosync knows eight links, four are enough to try them.
pub(crate) const MAX_NETWORKS: usize = 4;
/// Most disks of a node: the loop devices of a whole lab should stay few; a virtual machine's bus has 31 places.
pub(crate) const MAX_DISKS: usize = 24;
pub(crate) const MAX_VM_DISKS: usize = 20;
/// Size in bytes of a root file system in memory.
pub(crate) const ROOT_IN_MEMORY_BYTES: u64 = 1 << 30;
/// Smallest disk in bytes.
pub(crate) const MIN_DISK_BYTES: u64 = 1024 * 1024;
/// Largest disk in bytes (the file is sparse).
pub(crate) const MAX_DISK_BYTES: u64 = 1024 * 1024 * 1024 * 1024;

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// Its name in the archive.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Suite {
    type Err = LabError;
    fn from_str(text: &str) -> Result<Self, LabError> {
        match text {
            "bookworm" | "12" => Ok(Self::Bookworm),
            "trixie" | "13" => Ok(Self::Trixie),
            _ => Err(LabError::Usage(format!("no lab image for `{text}`: bookworm or trixie"))),
        }
    }
}

/// What a lab's nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// systemd-nspawn containers: no kernel module, no virtualisation, up within seconds.
    #[default]
    Container,
    /// QEMU virtual machines: kernels of their own with DRBD, watchdogs, a disk that all see.
    Vm,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Container => "container",
            Self::Vm => "vm",
        })
    }
}

impl FromStr for Backend {
    type Err = LabError;
    fn from_str(text: &str) -> Result<Self, LabError> {
        match text {
            "container" => Ok(Self::Container),
            "vm" => Ok(Self::Vm),
            _ => Err(LabError::Usage(format!("`{text}` is no backend: container or vm"))),
        }
    }
}

/// What runs virtual machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's emulation: works everywhere, many times slower.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "emulation",
        })
    }
}

/// Where the nodes' root file systems keep what is written to them. Their disks are files on disk in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In memory: installing packages and taking the lab down do not wait for the host's disk.
    Memory,
    /// Below the lab's directory.
    Disk,
}

impl Storage {
    /// Memory, when every node could fill its root and half of what is available would remain.
    pub(crate) fn for_nodes(nodes: usize, available_bytes: u64) -> Self {
        let most = ROOT_IN_MEMORY_BYTES.saturating_mul(nodes as u64);
        if available_bytes / 2 >= most { Self::Memory } else { Self::Disk }
    }
}

impl FromStr for Storage {
    type Err = LabError;
    fn from_str(text: &str) -> Result<Self, LabError> {
        match text {
            "memory" => Ok(Self::Memory),
            "disk" => Ok(Self::Disk),
            _ => Err(LabError::Usage(format!("`{text}` is no storage: memory or disk"))),
        }
    }
}

/// A blank disk: a file on the host that one node sees as a block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// The node that gets it; every node gets one of its own when absent.
    pub node: Option<NodeName>,
    /// Its name, unique in a node; part of the serial number.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl FromStr for DiskSpec {
    type Err = LabError;

    /// Parses `[NODE:]NAME=SIZE`, with a size such as `256MiB` or `2G` (powers of 1024).
    fn from_str(text: &str) -> Result<Self, LabError> {
        let wrong = |why: &str| {
            LabError::Usage(format!(
                "`{text}` is not a disk: {why} (expected [NODE:]NAME=SIZE, e.g. data1=256MiB)"
            ))
        };
        let (place, size) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let (node, name) = match place.split_once(':') {
            Some((node, name)) => {
                (Some(NodeName::new(node).map_err(|error| wrong(&error.to_string()))?), name)
            }
            None => (None, place),
        };
        let fits = !name.is_empty() && name.len() <= 12 && name.chars().all(|c| c.is_ascii_alphanumeric());
        if !fits {
            return Err(wrong("its name has 1 to 12 letters and digits"));
        }
        let size_bytes =
            parse_size(size).ok_or_else(|| wrong("the size is not a number with K, M, G or T"))?;
        check_size(size_bytes, name).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self { node, name: name.to_owned(), size_bytes })
    }
}

/// The size of a disk must be one that a disk can have.
pub(crate) fn check_size(size_bytes: u64, disk: &str) -> Result<(), LabError> {
    if (MIN_DISK_BYTES..=MAX_DISK_BYTES).contains(&size_bytes) && size_bytes.is_multiple_of(4096) {
        return Ok(());
    }
    Err(LabError::Usage(format!("the size of `{disk}` must be 1 MiB to 1 TiB, in steps of 4 KiB")))
}

/// A size of a disk as people write it: `256MiB`, `2G` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSize(
    /// In bytes.
    pub u64,
);

impl FromStr for DiskSize {
    type Err = LabError;
    fn from_str(text: &str) -> Result<Self, LabError> {
        parse_size(text).map(Self).ok_or_else(|| {
            LabError::Usage(format!("`{text}` is not a size: a number with K, M, G or T, such as 512MiB"))
        })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The lab that is wanted.
#[derive(Debug, Clone)]
pub struct LabConfig {
    /// Its name; also the cluster's in the inventory that `up` prints.
    pub name: LabName,
    /// What its nodes are.
    pub backend: Backend,
    /// How many nodes, 1 to 16; they are called alpha, beta, gamma, …
    pub nodes: usize,
    /// How many networks each node is on, 1 to `MAX_NETWORKS`; the host is on the first one.
    pub networks: usize,
    /// Their disks.
    pub disks: Vec<DiskSpec>,
    /// Disks that every node sees as the same one; virtual machines only.
    pub shared_disks: Vec<DiskSpec>,
    /// Whether the nodes begin with the cluster's packages installed (and nothing of them running); virtual machines only.
    pub baked: bool,
    /// Which Debian the nodes run; the host's own when `None`.
    pub suite: Option<Suite>,
    /// Where the lab is kept; below [`DEFAULT_STATE_ROOT`] when `None`.
    pub state_dir: Option<PathBuf>,
    /// Where images and packages are kept.
    pub cache_dir: PathBuf,
    /// The Debian mirror; from the host's apt sources when `None`.
    pub mirror: Option<String>,
    /// Packages for the nodes to install from, besides the built-in list.
    pub packages: Vec<String>,
    /// Where the nodes' root file systems keep what is written to them; when `None`, in memory if there is plenty.
    pub storage: Option<Storage>,
    /// How long a node that was fenced spends in its firmware before it boots; see [`DEFAULT_BOOT_DELAY`].
    pub boot_delay: Duration,
    /// The `hactl` executable, which is also the fence device's daemon; this process's own when `None`.
    pub hactl: Option<PathBuf>,
}

impl LabConfig {
    /// Three nodes, two networks, one disk of 256 MiB each.
    #[must_use]
    pub fn new(name: LabName) -> Self {
        Self {
            name,
            backend: Backend::Container,
            nodes: 3,
            networks: 2,
            disks: vec![DiskSpec { node: None, name: "data1".to_owned(), size_bytes: 256 << 20 }],
            shared_disks: Vec::new(),
            baked: false,
            suite: None,
            state_dir: None,
            cache_dir: PathBuf::from(DEFAULT_CACHE_DIR),
            mirror: None,
            packages: Vec::new(),
            storage: None,
            boot_delay: DEFAULT_BOOT_DELAY,
            hactl: None,
        }
    }

    /// The names of its nodes, in order.
    ///
    /// # Errors
    /// Too many or no nodes, networks or disks, disks of nodes that there are not, two disks of one name, what only virtual
    /// machines have for containers.
    pub fn node_names(&self) -> Result<Vec<NodeName>, LabError> {
        if !(1..=NODE_NAMES.len()).contains(&self.nodes) {
            return Err(LabError::Usage(format!(
                "{} nodes: a lab has 1 to {}",
                self.nodes,
                NODE_NAMES.len()
            )));
        }
        if !(1..=MAX_NETWORKS).contains(&self.networks) {
            return Err(LabError::Usage(format!(
                "{} networks: a lab has 1 to {MAX_NETWORKS}",
                self.networks
            )));
        }
        let names: Vec<NodeName> = NODE_NAMES[..self.nodes]
            .iter()
            .map(|name| NodeName::new(*name).map_err(|error| LabError::Usage(error.to_string())))
            .collect::<Result<_, _>>()?;
        for disk in &self.disks {
            if let Some(node) = &disk.node
                && !names.contains(node)
            {
                return Err(LabError::UnknownNode {
                    lab: self.name.to_string(),
                    node: node.to_string(),
                    known: names.iter().map(ToString::to_string).collect(),
                });
            }
        }
        self.check_shared()?;
        for node in &names {
            let own = self.disks_of(node).chain(&self.shared_disks);
            let mut disks: Vec<&str> = own.map(|disk| disk.name.as_str()).collect();
            let most = if self.backend == Backend::Vm { MAX_VM_DISKS } else { MAX_DISKS };
            if disks.len() > most {
                return Err(LabError::Usage(format!(
                    "{} disks for node {node}: it can have {most}",
                    disks.len()
                )));
            }
            disks.sort_unstable();
            if let Some(pair) = disks.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(LabError::Usage(format!(
                    "node {node} would have two disks called `{}`",
                    pair[0]
                )));
            }
        }
        Ok(names)
    }

    fn check_shared(&self) -> Result<(), LabError> {
        if let Some(disk) = self.shared_disks.iter().find(|disk| disk.node.is_some()) {
            return Err(LabError::Usage(format!("the disk `{}` cannot be one node's and shared", disk.name)));
        }
        if self.backend == Backend::Container && !self.shared_disks.is_empty() {
            return Err(LabError::Usage("only virtual machines share disks (--backend vm)".to_owned()));
        }
        if self.backend == Backend::Container && self.baked {
            return Err(LabError::Usage(
                "only the image of virtual machines can have the cluster's packages in it (--backend vm)"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The disks that this node gets.
    pub fn disks_of<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a DiskSpec> + 'a {
        self.disks.iter().filter(move |disk| disk.node.as_ref().is_none_or(|owner| owner == node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LabConfig {
        LabConfig::new("lab".parse().unwrap())
    }

    #[test]
    fn disks_are_read_as_people_write_them() {
        let disk: DiskSpec = "beta:db=2G".parse().unwrap();
        assert_eq!(disk.node.unwrap().as_str(), "beta");
        assert_eq!(disk.size_bytes, 2 << 30);
        assert_eq!("data1=256MiB".parse::<DiskSpec>().unwrap().size_bytes, 256 << 20);
    }

    #[test]
    fn wrong_disks_say_what_is_wrong() {
        for (bad, why) in [
            ("data", "no `=`"),
            ("a b=1M", "letters and digits"),
            ("d=1X", "not a number"),
            ("d=1K", "1 MiB to 1 TiB"),
            ("-:d=1M", "node name"),
        ] {
            let message = bad.parse::<DiskSpec>().unwrap_err().to_string();
            assert!(message.contains(why), "{bad}: {message}");
        }
    }

    #[test]
    fn a_disk_for_nobody_and_two_of_one_name_are_refused() {
        let mut wanted = config();
        wanted.disks.push("delta:x=1M".parse().unwrap());
        assert!(matches!(wanted.node_names(), Err(LabError::UnknownNode { .. })));
        let mut wanted = config();
        wanted.disks.push("beta:data1=1M".parse().unwrap());
        assert!(wanted.node_names().unwrap_err().to_string().contains("two disks called `data1`"));
    }

    #[test]
    fn what_only_virtual_machines_have_is_refused_for_containers() {
        let shared = vec!["sbd=16M".parse().unwrap()];
        let wanted = LabConfig { shared_disks: shared.clone(), ..config() };
        assert!(wanted.node_names().unwrap_err().to_string().contains("--backend vm"));
        assert!(LabConfig { baked: true, ..config() }.node_names().is_err());
        let wanted = LabConfig { shared_disks: shared, baked: true, backend: Backend::Vm, ..config() };
        assert!(wanted.node_names().is_ok());
        let wanted = LabConfig { shared_disks: vec!["data1=16M".parse().unwrap()], ..wanted };
        assert!(wanted.node_names().unwrap_err().to_string().contains("two disks called `data1`"));
    }

    #[test]
    fn memory_is_used_only_when_there_is_plenty() {
        assert_eq!(Storage::for_nodes(3, 6 << 30), Storage::Memory);
        assert_eq!(Storage::for_nodes(3, (6 << 30) - 1), Storage::Disk);
    }

    #[test]
    fn nodes_are_counted() {
        assert_eq!(config().node_names().unwrap().last().unwrap().as_str(), "gamma");
        assert!(LabConfig { nodes: 0, ..config() }.node_names().is_err());
        assert!(LabConfig { nodes: 17, ..config() }.node_names().is_err());
        assert!(LabConfig { networks: 5, ..config() }.node_names().is_err());
    }
}
