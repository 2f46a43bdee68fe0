//! Block devices as they were seen.

use serde::{Deserialize, Serialize};

/// One block device of a node (lsblk(8)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Kernel name: `vda1`.
    pub name: String,
    /// Path of the device node.
    pub path: String,
    /// `disk`, `part`, `lvm`, `mpath`, `loop`, `rom`, …
    pub device_type: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Whether it is removable.
    pub removable: bool,
    /// Model, where it has one.
    pub model: Option<String>,
    /// Serial number, where it has one.
    pub serial: Option<String>,
    /// World wide name, where it has one.
    pub wwn: Option<String>,
    /// Signature found on it by lsblk (file system, swap, RAID member, …).
    pub filesystem: Option<String>,
    /// Type of its partition table.
    pub partition_table: Option<String>,
    /// Where it is mounted (`[SWAP]` for swap).
    pub mountpoints: Vec<String>,
    /// Kernel names of the devices that it lies on: the disk of a partition, every path of a multipath map, every
    /// member of an array.
    pub parents: Vec<String>,
    /// Names of its stable links in `/dev/disk/by-id`.
    pub by_id: Vec<String>,
}
