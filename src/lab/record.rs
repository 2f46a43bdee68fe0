//! What is known of a lab: where its files are, and the record that outlives the process that made it.
//!
//! In: a state directory. Out: paths and the record (`lab.json`). The record says what was *intended*; what is there
//! is asked of the kernel. Never decides anything.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::names::NodeName;

use super::config::{Accelerator, Backend, DEFAULT_STATE_ROOT, Storage, Suite};
use super::error::LabError;
use super::names::LabName;

/// Version of the record.
pub(crate) const RECORD_FORMAT: u32 = 1;
/// The file that makes a directory a lab's.
pub(crate) const RECORD_FILE: &str = "lab.json";
/// Where it is noted which labs there are; empty after a reboot, like the kernel.
pub(crate) const RUN_DIR: &str = "/run/hactl-lab";
/// Bits of the network part of every subnet of a lab.
pub(crate) const PREFIX_BITS: u8 = 24;

/// How far `up` came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// `up` has begun and has not ended.
    Creating,
    /// `up` has ended well.
    Up,
}

/// A lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabRecord {
    /// Version of this record.
    pub format: u32,
    /// Its name.
    pub name: LabName,
    /// How far it came.
    pub phase: Phase,
    /// The kernel's boot that it was made in; after another boot nothing of it is left but files.
    pub boot_id: String,
    /// What its nodes are. A record that does not say was made when there were containers only.
    #[serde(default)]
    pub backend: Backend,
    /// What runs virtual machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// Whether the cluster's packages are in the image already.
    #[serde(default)]
    pub baked: bool,
    /// The Debian of its nodes.
    pub suite: Suite,
    /// Its nodes, in order.
    pub nodes: Vec<LabNode>,
    /// Its networks, in order.
    pub networks: Vec<LabNetwork>,
    /// The image: a root file system, or the directory with a virtual machine's disk and kernel.
    pub image: PathBuf,
    /// The package repository.
    pub packages: PathBuf,
    /// The executable that is the fence device's daemon.
    pub hactl: PathBuf,
    /// The fence device.
    pub fence: FenceDevice,
    /// Where the nodes' root file systems keep what is written to them.
    pub storage: Storage,
    /// How long a node that was fenced spends in its firmware, in milliseconds.
    pub boot_delay_ms: u64,
}

/// A node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabNode {
    /// Its name.
    pub name: NodeName,
    /// Its place in the lab, from 0.
    pub index: usize,
    /// Its address on each network, the first one is for SSH.
    pub addresses: Vec<Ipv4Addr>,
    /// Its disks.
    pub disks: Vec<LabDisk>,
}

/// A network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabNetwork {
    /// Its number, from 1.
    pub number: usize,
    /// Its first address (ends in 0).
    pub subnet: Ipv4Addr,
    /// The host's address on it; on the first network only.
    pub host: Option<Ipv4Addr>,
}

/// A disk of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabDisk {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its serial number.
    pub serial: String,
    /// Its world wide name, with `0x`, if it has one.
    pub wwn: Option<String>,
    /// Whether all nodes see this same disk.
    #[serde(default)]
    pub shared: bool,
    /// The loop device that shows it to a container; `None` until it is attached.
    pub device: Option<PathBuf>,
}

/// Where the fence device listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FenceDevice {
    /// Its address, on the first network.
    pub ip: Ipv4Addr,
    /// Its TCP port.
    pub port: u16,
    /// The file with its secret.
    pub secret: PathBuf,
}

impl LabRecord {
    /// The node of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, name: &str) -> Result<&LabNode, LabError> {
        self.nodes.iter().find(|node| node.name.as_str() == name).ok_or_else(|| LabError::UnknownNode {
            lab: self.name.to_string(),
            node: name.to_owned(),
            known: self.nodes.iter().map(|node| node.name.to_string()).collect(),
        })
    }

    /// Disk sizes by node and name, and whether they are shared, to compare with what is wanted.
    pub(crate) fn disk_sizes(&self) -> BTreeMap<(String, String), (u64, bool)> {
        self.nodes
            .iter()
            .flat_map(|node| {
                node.disks
                    .iter()
                    .map(|disk| ((node.name.to_string(), disk.name.clone()), (disk.size_bytes, disk.shared)))
            })
            .collect()
    }
}

/// The files of a lab.
#[derive(Debug, Clone)]
pub struct LabPaths {
    root: PathBuf,
}

impl LabPaths {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the lab of this name is: as given, or as noted when it was made, or the default.
    pub(crate) fn find(name: &LabName, given: Option<&Path>) -> Result<Self, LabError> {
        let noted =
            fs::read_to_string(Self::note(name)).ok().map(|text| PathBuf::from(text.trim_end_matches('\n')));
        let chosen = match (given, noted) {
            (Some(given), _) => std::path::absolute(given).map_err(LabError::io("resolve", given))?,
            (None, Some(noted)) => noted,
            (None, None) => Path::new(DEFAULT_STATE_ROOT).join(name.as_str()),
        };
        Ok(Self::new(chosen))
    }

    /// The file that notes where the lab of this name is.
    pub(crate) fn note(name: &LabName) -> PathBuf {
        Path::new(RUN_DIR).join(format!("{name}.dir"))
    }

    /// The lock on the lab of this name.
    pub(crate) fn lock(name: &LabName) -> PathBuf {
        Path::new(RUN_DIR).join(format!("{name}.lock"))
    }

    /// The lab's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn record(&self) -> PathBuf {
        self.root.join(RECORD_FILE)
    }
    /// The faults that are injected now.
    pub(crate) fn faults(&self) -> PathBuf {
        self.root.join("faults.json")
    }
    pub(crate) fn faults_lock(&self) -> PathBuf {
        self.root.join("faults.lock")
    }
    /// The inventory for these nodes.
    #[must_use]
    pub fn inventory(&self) -> PathBuf {
        self.root.join("inventory.yml")
    }
    /// For `ssh -F`.
    #[must_use]
    pub fn ssh_config(&self) -> PathBuf {
        self.root.join("ssh_config")
    }
    /// The nodes' host keys.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }
    /// The private key that opens all nodes.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.root.join("id_ed25519")
    }
    pub(crate) fn fence_secret(&self) -> PathBuf {
        self.root.join("fence-secret")
    }
    pub(crate) fn daemon_pid(&self) -> PathBuf {
        self.root.join("fenced.pid")
    }
    pub(crate) fn daemon_log(&self) -> PathBuf {
        self.root.join("fenced.log")
    }
    /// The disks that all nodes see.
    pub(crate) fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }
    pub(crate) fn shared_disk(&self, name: &str) -> PathBuf {
        self.shared().join(format!("disk-{name}.img"))
    }
    pub(crate) fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }
    pub(crate) fn node(&self, node: &NodeName) -> NodePaths {
        NodePaths { root: self.nodes().join(node.as_str()) }
    }

    /// Reads the record; `None` when there is no lab here.
    pub(crate) fn load(&self) -> Result<Option<LabRecord>, LabError> {
        let path = self.record();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LabError::io("read", &path)(error)),
        };
        let wrong = |reason: String| LabError::Record { path: path.clone(), reason };
        let record: LabRecord = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if record.format != RECORD_FORMAT {
            return Err(wrong(format!("it has format {}, this hactl knows {RECORD_FORMAT}", record.format)));
        }
        Ok(Some(record))
    }

    /// Replaces the record.
    pub(crate) fn save(&self, record: &LabRecord) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(record)
            .map_err(|error| LabError::Record { path: self.record(), reason: error.to_string() })?;
        replace(&self.record(), &text)
    }
}

/// The files of one node.
#[derive(Debug, Clone)]
pub(crate) struct NodePaths {
    root: PathBuf,
}

impl NodePaths {
    pub(crate) fn dir(&self) -> &Path {
        &self.root
    }
    /// The mount point of its root file system.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.root.join("root")
    }
    /// Holds what the node writes on its root file system.
    pub(crate) fn writable(&self) -> PathBuf {
        self.root.join("writable")
    }
    pub(crate) fn upper(&self) -> PathBuf {
        self.writable().join("upper")
    }
    pub(crate) fn work(&self) -> PathBuf {
        self.writable().join("work")
    }
    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.root.join(format!("disk-{name}.img"))
    }
    /// What a virtual machine writes on its root file system.
    pub(crate) fn overlay(&self) -> PathBuf {
        self.writable().join("root.qcow2")
    }
    /// What a virtual machine boots with: the image's initrd and what is the node's own.
    pub(crate) fn initrd(&self) -> PathBuf {
        self.root.join("initrd")
    }
    /// Where a virtual machine is controlled.
    pub(crate) fn qmp(&self) -> PathBuf {
        self.root.join("qmp")
    }
    /// What the emulator says.
    pub(crate) fn emulator_log(&self) -> PathBuf {
        self.root.join("qemu.log")
    }
    /// The node's SSH host key.
    pub(crate) fn host_key(&self) -> PathBuf {
        self.root.join("ssh_host_ed25519_key")
    }
    /// What a container sees as /sys/block.
    pub(crate) fn sys_block(&self) -> PathBuf {
        self.root.join("sys-block")
    }
    /// What a container sees as /dev/disk.
    pub(crate) fn dev_disk(&self) -> PathBuf {
        self.root.join("dev-disk")
    }
    /// What a container sees as /run/udev/data.
    pub(crate) fn udev_data(&self) -> PathBuf {
        self.root.join("udev-data")
    }
    /// Is there while the node's firmware is at work.
    pub(crate) fn starting(&self) -> PathBuf {
        self.root.join("starting")
    }
    pub(crate) fn console(&self) -> PathBuf {
        self.root.join("console.log")
    }
    pub(crate) fn power_lock(&self) -> PathBuf {
        self.root.join("power.lock")
    }
}

/// Writes a file whole or not at all.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), LabError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    fs::write(&temporary, text).map_err(LabError::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(LabError::io("replace", path))
}

/// The kernel's boot.
pub(crate) fn boot_id() -> Result<String, LabError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(fs::read_to_string(path).map_err(LabError::io("read", path))?.trim().to_owned())
}

/// The host's architecture for Debian is in the image; this is only its release.
pub(crate) fn host_suite() -> Result<Suite, LabError> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).map_err(LabError::io("read", path))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"'))
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| {
            LabError::Usage("this machine is neither Debian 12 nor 13; choose with --suite".to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;

    #[test]
    fn a_record_from_before_there_were_backends_is_one_of_containers() {
        let dir = tempfile::tempdir().unwrap();
        let paths = LabPaths::new(dir.path());
        let mut old = serde_json::to_value(record()).unwrap();
        for key in ["backend", "accelerator", "baked"] {
            old.as_object_mut().unwrap().remove(key);
        }
        for node in old["nodes"].as_array_mut().unwrap() {
            node["disks"][0].as_object_mut().unwrap().remove("shared");
        }
        fs::write(paths.record(), old.to_string()).unwrap();
        let read = paths.load().unwrap().unwrap();
        assert_eq!((read.backend, read.accelerator), (Backend::Container, None));
        assert!(!read.nodes[0].disks[0].shared);
        assert_eq!(read.nodes[0].disks[0].wwn.as_deref(), Some("0x5000c5ff00000000"));
    }
}
