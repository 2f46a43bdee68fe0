//! What the backends do differently: the seam between the lab and the machines that are its nodes.
//!
//! In: a record, a node. Out: a machine of that node that is prepared, runs, stands still or is dead. Networks, power as a
//! sequence, faults, fencing, files and names are the lab's and the same for all.

use std::path::{Path, PathBuf};

use super::Say;
use super::cgroup::Group;
use super::config::{Backend, LabConfig, Suite};
use super::container::Container;
use super::error::LabError;
use super::faults::DiskFault;
use super::record::{LabDisk, LabNode, LabPaths, LabRecord};
use super::vm::Vm;

/// What an image is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageParts<'a> {
    pub(crate) suite: Suite,
    /// The root directory of a minimal Debian.
    pub(crate) base: &'a Path,
    /// The package repository.
    pub(crate) packages: &'a Path,
}

/// A disk in its node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskOf<'a> {
    pub(crate) node: &'a LabNode,
    pub(crate) disk: &'a LabDisk,
    pub(crate) paths: &'a LabPaths,
}

impl DiskOf<'_> {
    /// Its file.
    pub(crate) fn file(&self) -> PathBuf {
        if self.disk.shared {
            self.paths.shared_disk(&self.disk.name)
        } else {
            self.paths.node(&self.node.name).disk(&self.disk.name)
        }
    }
}

/// One kind of machine. A machine's processes are in its node's control group and network namespace.
pub(crate) trait Machine: Sync {
    /// Fails when this host has no room for so many more nodes.
    fn check_room_for(&self, nodes: usize) -> Result<(), LabError>;

    /// Packages that the image is made with, besides what nodes install from.
    fn image_packages(&self) -> &'static [&'static str];

    /// The image that all nodes begin with.
    fn image(&self, config: &LabConfig, parts: ImageParts<'_>, say: Say<'_>) -> Result<PathBuf, LabError>;

    /// Settles how the lab's machines are run on this host.
    fn settle(
        &self,
        lab: &mut LabRecord,
        config: &LabConfig,
        paths: &LabPaths,
        say: Say<'_>,
    ) -> Result<(), LabError>;

    /// Makes the disks that all nodes share.
    fn prepare_shared(&self, lab: &LabRecord, paths: &LabPaths) -> Result<(), LabError>;

    /// Makes the node's disks and its root, before its first start.
    fn prepare(&self, lab: &LabRecord, node: &mut LabNode, paths: &LabPaths) -> Result<(), LabError>;

    /// Commands of `ip -batch` that set up the node's namespace, in which its ends of the cables are.
    fn plug(&self, lab: &LabRecord, node: &LabNode) -> String;

    /// Starts the machine. Waits until it runs, not until its services do.
    fn start(&self, lab: &LabRecord, node: &LabNode, paths: &LabPaths, group: &Group)
    -> Result<(), LabError>;

    /// Ends the machine as a loss of power would, and its control group.
    fn kill(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<(), LabError>;

    /// Makes everything on a running machine stand still.
    fn freeze(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<(), LabError>;

    /// Ends [`Machine::freeze`].
    fn thaw(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<(), LabError>;

    /// Whether the machine stands still.
    fn is_frozen(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<bool, LabError>;

    /// Gives a disk of the node this size, which is more than it has; a machine that runs sees it grow.
    fn resize_disk(&self, disk: DiskOf<'_>, size_bytes: u64, runs: bool) -> Result<(), LabError>;

    /// Gives the node a blank disk of this size instead of this one, with the same name and serial number.
    fn replace_disk(&self, disk: DiskOf<'_>, size_bytes: u64, runs: bool) -> Result<(), LabError>;

    /// Makes a disk of a running machine as bad as this fault says, or good again.
    fn set_disk_fault(&self, disk: DiskOf<'_>, fault: Option<&DiskFault>) -> Result<(), LabError>;

    /// Whether a machine whose sshd answers lets everybody in: while it boots, pam_nologin(8) lets in nobody but root.
    fn lets_people_in(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<bool, LabError>;

    /// The end of what the machine said while it booted.
    fn console(&self, node: &LabNode, paths: &LabPaths) -> String;
}

/// The machines of a backend.
pub(crate) fn machine(backend: Backend) -> &'static dyn Machine {
    match backend {
        Backend::Container => &Container,
        Backend::Vm => &Vm,
    }
}
