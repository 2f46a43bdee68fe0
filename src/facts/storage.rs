//! Block devices as they were seen.

use serde::{Deserialize, Serialize};

use super::Fact;

/// One block device of a node (lsblk(8), sysfs, udev's links) and what is on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Kernel name: `vda1`.
    pub name: String,
    /// Path of the device node.
    pub path: String,
    /// Device number, `major:minor`: the same device has the same number whatever it is called.
    pub number: Option<String>,
    /// `disk`, `part`, `lvm`, `mpath`, `loop`, `rom`, … as lsblk says; but a device without hardware that lsblk calls
    /// a disk has the name of its driver: `zram`, `nbd`, `drbd`, `bcache`, …
    pub device_type: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Whether it is removable.
    pub removable: bool,
    /// Whether it turns, where the kernel says.
    pub rotational: Option<bool>,
    /// How it is attached: `sata`, `nvme`, `virtio`, …, where it is known.
    pub transport: Option<String>,
    /// Model, where it has one.
    pub model: Option<String>,
    /// Serial number, where it has one.
    pub serial: Option<String>,
    /// World wide name, or the EUI or NGUID of an NVMe namespace (`eui.…`), where it has one.
    pub wwn: Option<String>,
    /// Signature found on it by lsblk, which asks the udev database: a hint for people, no evidence.
    pub filesystem: Option<String>,
    /// Type of its partition table, from the same source.
    pub partition_table: Option<String>,
    /// Where it is mounted (`[SWAP]` for swap).
    pub mountpoints: Vec<String>,
    /// Kernel names of the devices that it lies on: the disk of a partition, every path of a multipath map, every
    /// member of an array.
    pub parents: Vec<String>,
    /// Kernel names of the devices that lie on it, from sysfs' `holders`.
    pub holders: Vec<String>,
    /// Absolute paths of its links below `/dev/disk` and `/dev/mapper`, sorted.
    pub links: Vec<String>,
    /// What the probes that open the device found; unknown where one of them failed.
    pub content: Fact<DeviceContent>,
}

/// What is on a device and whether anybody uses it, as seen by opening it read-only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceContent {
    /// Everything that was recognised, in order of offset; empty on a blank device.
    pub signatures: Vec<Signature>,
    /// Why it cannot be opened with `O_EXCL`, in words; absent when it can.
    pub busy: Option<String>,
    /// Who else uses it, which `O_EXCL` does not see: processes that hold it open, loop devices and exports on it.
    #[serde(default)]
    pub users: Vec<DeviceUser>,
}

/// Somebody who uses a device without claiming it from the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceUser {
    /// The name of the process (proc_pid_comm(5)), or what else it is: `loop3`, `nvmet`, `xen-backend`.
    pub name: String,
    /// The process, where it is one.
    pub pid: Option<u32>,
    /// Whether it may write to the device.
    pub writes: bool,
}

/// Something recognised on a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signature {
    /// Bytes from the start of the device, where the probe says.
    pub offset: Option<u64>,
    /// As libblkid names it: `ext4`, `LVM2_member`, `gpt`, …; `sbd`, `drbd`, `replica` for what it does not know;
    /// `ambivalent` where libblkid found several that exclude each other.
    pub kind: String,
    /// Its UUID, where it has one.
    pub uuid: Option<String>,
    /// Its label, where it has one.
    pub label: Option<String>,
}

impl Signature {
    /// What consent must say to lose it: `type/uuid`, or `type/none` where it has no UUID.
    #[must_use]
    pub fn consent(&self) -> String {
        format!("{}/{}", self.kind, self.uuid.as_deref().unwrap_or("none"))
    }
}
