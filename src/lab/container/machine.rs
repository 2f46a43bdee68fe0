//! The container backend behind the lab's seam.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::lab::Say;
use crate::lab::cgroup::Group;
use crate::lab::config::LabConfig;
use crate::lab::error::LabError;
use crate::lab::faults::DiskFault;
use crate::lab::machine::{DiskOf, ImageParts, Machine};
use crate::lab::network::interface;
use crate::lab::personal;
use crate::lab::prerequisites::check_inotify_for;
use crate::lab::record::{LabNode, LabPaths, LabRecord, PREFIX_BITS};

use super::{disks, node as process, power};

/// systemd-nspawn containers.
#[derive(Debug)]
pub(crate) struct Container;

impl Machine for Container {
    fn check_room_for(&self, nodes: usize) -> Result<(), LabError> {
        check_inotify_for(nodes)
    }

    fn image_packages(&self) -> &'static [&'static str] {
        &[]
    }

    fn image(&self, _: &LabConfig, parts: ImageParts<'_>, _: Say<'_>) -> Result<PathBuf, LabError> {
        Ok(parts.base.to_path_buf())
    }

    fn settle(&self, _: &mut LabRecord, _: &LabConfig, _: &LabPaths, _: Say<'_>) -> Result<(), LabError> {
        Ok(())
    }

    fn prepare_shared(&self, _: &LabRecord, _: &LabPaths) -> Result<(), LabError> {
        // LabConfig refuses shared disks of containers.
        Ok(())
    }

    fn prepare(&self, lab: &LabRecord, node: &mut LabNode, paths: &LabPaths) -> Result<(), LabError> {
        let own = paths.node(&node.name);
        disks::attach(node, &own)?;
        process::mount_root(lab, &own)?;
        let passwd = own.rootfs().join("etc/passwd");
        let passwd = fs::read_to_string(&passwd).map_err(LabError::io("read", &passwd))?;
        personal::write_below(&own.rootfs(), &personal::files(node, paths, &passwd)?)
    }

    fn plug(&self, lab: &LabRecord, node: &LabNode) -> String {
        let mut batch = String::from("link set lo up\n");
        for (network, address) in lab.networks.iter().zip(&node.addresses) {
            let (interface, mac) = (interface(network.number), lab.name.mac(&node.name, network.number));
            // Writing to a string does not fail.
            let _ = write!(
                batch,
                "link set {interface} address {mac}\naddr add {address}/{PREFIX_BITS} brd + dev {interface}\n\
                 link set {interface} up\n"
            );
        }
        batch
    }

    fn start(
        &self,
        lab: &LabRecord,
        node: &LabNode,
        paths: &LabPaths,
        group: &Group,
    ) -> Result<(), LabError> {
        process::mount_root(lab, &paths.node(&node.name))?;
        process::start(lab, node, paths, group)
    }

    fn kill(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<(), LabError> {
        power::kill(node, paths, group)
    }

    fn freeze(&self, _: &LabNode, _: &LabPaths, group: &Group) -> Result<(), LabError> {
        group.freeze()?;
        group.wait_frozen()
    }

    fn thaw(&self, _: &LabNode, _: &LabPaths, group: &Group) -> Result<(), LabError> {
        group.thaw()
    }

    fn is_frozen(&self, _: &LabNode, _: &LabPaths, group: &Group) -> Result<bool, LabError> {
        Ok(group.is_frozen())
    }

    fn resize_disk(&self, disk: DiskOf<'_>, size_bytes: u64, _: bool) -> Result<(), LabError> {
        disks::resize(disk, size_bytes)
    }

    fn replace_disk(&self, disk: DiskOf<'_>, size_bytes: u64, _: bool) -> Result<(), LabError> {
        disks::replace(disk, size_bytes)
    }

    fn set_disk_fault(&self, disk: DiskOf<'_>, fault: Option<&DiskFault>) -> Result<(), LabError> {
        match fault {
            None => Ok(()),
            Some(_) => Err(LabError::Usage(format!(
                "the disk `{}` of a container cannot be made to fail or slow: its kernel is this machine's \
                 (use --backend vm)",
                disk.disk.name
            ))),
        }
    }

    fn lets_people_in(&self, _: &LabNode, _: &LabPaths, group: &Group) -> Result<bool, LabError> {
        let booting = |init| Path::new(&format!("/proc/{init}/root/run/nologin")).exists();
        Ok(group.init().is_some_and(|init| !booting(init)))
    }

    fn console(&self, node: &LabNode, paths: &LabPaths) -> String {
        process::console(&paths.node(&node.name))
    }
}
