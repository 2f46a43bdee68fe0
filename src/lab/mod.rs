//! The built-in lab: real nodes on one machine, with real systemd, sshd, disks, networks, a fence device, and faults.
//!
//! In: a [`LabConfig`]. Out: a running [`Lab`] with an inventory for its nodes; or nothing left of it. Each node is a
//! machine (a systemd-nspawn container, or a QEMU virtual machine) in a network namespace and a control group of its own,
//! over a cached minimal Debian image; it installs packages from a cached repository. What the two kinds of machines do
//! differently is behind one trait (`machine`). The lab needs root, and never touches anything but what carries its name.
//! It blocks; there is no async in it.

mod cache;
mod cgroup;
mod config;
mod container;
mod disks;
mod error;
mod fault_request;
mod faults;
mod fence_device;
mod fence_wire;
mod image;
mod inventory;
mod launch;
mod lifecycle;
mod lock;
mod machine;
mod mounts;
mod names;
mod network;
mod packages;
mod personal;
mod power;
mod prerequisites;
mod process;
mod record;
mod sources;
mod status;
mod storage;
mod teardown;
#[cfg(test)]
mod testing;
mod vm;

pub use config::{
    Accelerator, Backend, DEFAULT_BOOT_DELAY, DEFAULT_CACHE_DIR, DEFAULT_STATE_ROOT, DiskSize, DiskSpec,
    LabConfig, Storage, Suite,
};
pub use error::LabError;
pub use fault_request::FaultRequest;
pub use faults::{DiskFault, Fault};
pub use fence_device::serve as serve_fence_device;
pub use lifecycle::{Lab, Outcome};
pub use names::{LabName, NODE_NAMES};
pub use power::Power;
pub use prerequisites::{Missing, check_prerequisites};
pub use record::{FenceDevice, LabDisk, LabNetwork, LabNode, LabPaths, LabRecord, Phase};
pub use status::{LabStatus, NodeStatus};

/// Takes one line of progress at a time. May be called from several threads.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);
