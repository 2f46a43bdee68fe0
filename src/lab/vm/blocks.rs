//! A virtual machine's disks as QEMU's block nodes: what is on the command line, and what can be done to them while the
//! machine runs.
//!
//! In: a disk, its file, a connection to QEMU. Out: JSON for the command line; commands. A disk is a *medium* (the file) in a
//! *device* (what the guest sees); a fault is a filter that is put between the two and taken out again.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::error::LabError;
use crate::lab::faults::DiskFault;
use crate::lab::process::wait_for;
use crate::lab::record::LabDisk;

use super::qmp::Qmp;

/// Longest time until a guest has let go of a disk that is pulled out; an emulated one is slow.
const UNPLUG_LIMIT: Duration = Duration::from_secs(60);
/// `EIO` (errno(3)): what a broken disk answers.
const EIO: i32 = 5;

/// How a disk's file can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Past the host's page cache.
    Direct,
    /// Through it, where the file system knows no other way.
    Through,
}

fn medium_name(disk: &LabDisk) -> String {
    format!("disk-{}", disk.name)
}

fn device_name(disk: &LabDisk) -> String {
    format!("device-{}", disk.name)
}

fn fault_name(disk: &LabDisk) -> String {
    format!("fault-{}", disk.name)
}

/// The device's name where QEMU keeps objects.
fn device_path(disk: &LabDisk) -> String {
    format!("/machine/peripheral/{}", device_name(disk))
}

/// The file of a disk, for `-blockdev` and `blockdev-add`.
pub(crate) fn medium(disk: &LabDisk, file: &Path, caching: Caching) -> Value {
    let cache = json!({ "direct": caching == Caching::Direct });
    // Several machines have the file of a shared disk open.
    let locking = if disk.shared { "off" } else { "auto" };
    let file = json!({
        "driver": "file", "filename": file.to_string_lossy(), "cache": cache, "discard": "unmap", "locking": locking
    });
    json!({
        "driver": "raw", "node-name": medium_name(disk), "cache": cache, "discard": "unmap", "file": file
    })
}

/// What the guest sees, for `-device` and `device_add`. A full or broken host is an error of the disk for the guest; QEMU
/// would stop the machine.
pub(crate) fn device(disk: &LabDisk) -> Value {
    let mut device = json!({
        "driver": "virtio-blk-pci", "id": device_name(disk), "drive": medium_name(disk), "serial": disk.serial,
        "rerror": "report", "werror": "report", "write-cache": "on"
    });
    if disk.shared {
        device["share-rw"] = Value::Bool(true);
    }
    device
}

/// Tells QEMU, and QEMU the guest, that a disk has this size.
pub(crate) fn resize(qmp: &mut Qmp, disk: &LabDisk, size_bytes: u64) -> Result<(), LabError> {
    let top = if has_fault(qmp, disk)? { fault_name(disk) } else { medium_name(disk) };
    qmp.execute_with("block_resize", &json!({ "node-name": top, "size": size_bytes })).map(drop)
}

/// Pulls a disk out of a running machine. The guest sees it go, also when it is in use.
pub(crate) fn unplug(qmp: &mut Qmp, disk: &LabDisk) -> Result<(), LabError> {
    let there = |qmp: &mut Qmp| -> Result<bool, LabError> {
        let found = qmp.execute_with("qom-list", &json!({ "path": "/machine/peripheral" }))?;
        let name = device_name(disk);
        Ok(found.as_array().into_iter().flatten().any(|object| object["name"] == name.as_str()))
    };
    if there(qmp)? {
        qmp.execute_with("device_del", &json!({ "id": device_name(disk) }))?;
        let what = || format!("pull out the disk {}; the guest does not let go of it", disk.name);
        wait_for(what, UNPLUG_LIMIT, || Ok((!there(qmp)?).then_some(())))?;
    }
    remove_fault(qmp, disk)?;
    // QEMU frees the device a moment after its name is gone; until then it holds the medium.
    let medium = json!({ "node-name": medium_name(disk) });
    let what = || format!("take the medium out of the disk {}", disk.name);
    wait_for(what, UNPLUG_LIMIT, || match qmp.execute_with("blockdev-del", &medium) {
        Ok(_) => Ok(Some(())),
        Err(_) if has_node(qmp, &medium_name(disk))? => Ok(None),
        Err(error) => Err(error),
    })
}

/// Puts a disk into a running machine.
pub(crate) fn plug(qmp: &mut Qmp, disk: &LabDisk, file: &Path, caching: Caching) -> Result<(), LabError> {
    qmp.execute_with("blockdev-add", &medium(disk, file, caching))?;
    qmp.execute_with("device_add", &device(disk)).map(drop)
}

/// Makes a disk as bad as this fault says, or good again.
pub(crate) fn set_fault(qmp: &mut Qmp, disk: &LabDisk, fault: Option<&DiskFault>) -> Result<(), LabError> {
    if has_fault(qmp, disk)? {
        show(qmp, disk, &medium_name(disk))?;
        remove_fault(qmp, disk)?;
    }
    let (name, medium) = (fault_name(disk), medium_name(disk));
    match fault {
        None => return Ok(()),
        Some(DiskFault::Failing) => {
            // Every request fails, from the moment the filter exists (the event `none`).
            let always = json!([{ "event": "none", "errno": EIO, "once": false }]);
            let filter = json!({
                "driver": "blkdebug", "node-name": name, "image": medium, "inject-error": always
            });
            qmp.execute_with("blockdev-add", &filter)?;
        }
        Some(DiskFault::Slow { iops, bytes_per_second }) => {
            let limits = json!({ "iops-total": iops, "bps-total": bytes_per_second });
            let group = json!({ "qom-type": "throttle-group", "id": name, "limits": limits });
            qmp.execute_with("object-add", &group)?;
            let filter = json!({
                "driver": "throttle", "node-name": name, "throttle-group": name, "file": medium
            });
            qmp.execute_with("blockdev-add", &filter)?;
        }
    }
    show(qmp, disk, &name)
}

/// Lets the guest's disk be this block node.
fn show(qmp: &mut Qmp, disk: &LabDisk, node: &str) -> Result<(), LabError> {
    let drive = json!({ "path": device_path(disk), "property": "drive", "value": node });
    qmp.execute_with("qom-set", &drive).map(drop)
}

fn has_fault(qmp: &mut Qmp, disk: &LabDisk) -> Result<bool, LabError> {
    has_node(qmp, &fault_name(disk))
}

fn has_node(qmp: &mut Qmp, name: &str) -> Result<bool, LabError> {
    let nodes = qmp.execute_with("query-named-block-nodes", &json!({ "flat": true }))?;
    Ok(nodes.as_array().into_iter().flatten().any(|node| node["node-name"] == name))
}

/// Removes the filter, which nobody uses any more.
fn remove_fault(qmp: &mut Qmp, disk: &LabDisk) -> Result<(), LabError> {
    let name = fault_name(disk);
    if has_fault(qmp, disk)? {
        qmp.execute_with("blockdev-del", &json!({ "node-name": name }))?;
    }
    let objects = qmp.execute_with("qom-list", &json!({ "path": "/objects" }))?;
    if objects.as_array().into_iter().flatten().any(|object| object["name"] == name.as_str()) {
        qmp.execute_with("object-del", &json!({ "id": name }))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::disks::plan_shared;

    #[test]
    fn a_shared_disk_is_shared_as_file_and_as_device() {
        let disk = plan_shared(&"sbd=16M".parse().unwrap());
        let medium = medium(&disk, Path::new("/lab,1/sbd.img"), Caching::Through);
        assert_eq!(medium["file"]["filename"], "/lab,1/sbd.img");
        assert_eq!(medium["file"]["locking"], "off");
        assert_eq!(medium["cache"]["direct"], false);
        assert_eq!(device(&disk)["share-rw"], true);
    }

    #[test]
    fn an_error_of_the_host_is_an_error_of_the_disk() {
        let mut disk = plan_shared(&"data1=16M".parse().unwrap());
        disk.shared = false;
        let device = device(&disk);
        assert_eq!((&device["rerror"], &device["werror"]), (&json!("report"), &json!("report")));
        assert_eq!(device.get("share-rw"), None);
        assert_eq!(medium(&disk, Path::new("x"), Caching::Direct)["file"]["locking"], "auto");
    }
}
