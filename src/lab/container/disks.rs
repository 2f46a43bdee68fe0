//! The containers' disks: sparse files on the host behind loop devices that one node only can see.
//!
//! In: a node of the record. Out: loop devices; the directories that the node sees as /sys/block, /dev/disk and
//! /run/udev/data, so that its tools find its own disks with stable names and serial numbers, and no others.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::error::LabError;
use crate::lab::machine::DiskOf;
use crate::lab::process::{Program, wait_for};
use crate::lab::record::{LabDisk, LabNode, NodePaths};

/// How often another free loop device is tried when somebody else was faster.
const ATTACH_ATTEMPTS: usize = 50;
/// Longest wait for a detached loop device to be free.
const DETACH_LIMIT: Duration = Duration::from_secs(10);
/// Major device number of loop devices (Documentation/admin-guide/devices.txt).
pub(crate) const LOOP_MAJOR: u32 = 7;
/// What the disks call themselves.
const MODEL: &str = "hactl_lab_disk";

/// Makes the files, attaches them and writes what the node is to see. Fills in the devices.
pub(crate) fn attach(node: &mut LabNode, paths: &NodePaths) -> Result<(), LabError> {
    for dir in ["by-id", "by-path"] {
        let dir = paths.dev_disk().join(dir);
        fs::create_dir_all(&dir).map_err(LabError::io("create", &dir))?;
    }
    for dir in [paths.sys_block(), paths.udev_data()] {
        fs::create_dir_all(&dir).map_err(LabError::io("create", &dir))?;
    }
    for (slot, disk) in node.disks.iter_mut().enumerate() {
        let file = paths.disk(&disk.name);
        File::create(&file)
            .and_then(|created| created.set_len(disk.size_bytes))
            .map_err(LabError::io("create", &file))?;
        let device = attach_file(&file)?;
        show(disk, slot, &device, paths)?;
        disk.device = Some(device);
    }
    Ok(())
}

fn attach_file(file: &Path) -> Result<PathBuf, LabError> {
    let mut refusal = String::new();
    for _ in 0..ATTACH_ATTEMPTS {
        let device = Program::new("find a free loop device", ["losetup", "--find"]).run()?;
        let device = PathBuf::from(device.trim());
        make_node(&device)?;
        // Direct I/O, so that the node's flushes reach the file; a file system that cannot do it (tmpfs) does without.
        for direct in ["--direct-io=on", "--direct-io=off"] {
            let ended = Program::new("attach a disk", ["losetup", direct]).arg(&device).arg(file).finish()?;
            if ended.status.success() {
                return Ok(device);
            }
            // losetup may have attached it before it failed to set direct I/O.
            if backing_file(&device).is_some_and(|backing| backing == file) {
                Program::new("detach a disk", ["losetup", "--detach"]).arg(&device).run()?;
            }
            refusal = ended.stderr;
        }
    }
    Err(LabError::Command {
        attempted: format!("attach the disk {}", file.display()),
        command: "losetup --find".to_owned(),
        status: format!("no device after {ATTACH_ATTEMPTS} attempts"),
        output: refusal,
    })
}

/// The kernel makes loop devices on demand; where /dev is not devtmpfs nobody makes their nodes.
fn make_node(device: &Path) -> Result<(), LabError> {
    if device.exists() {
        return Ok(());
    }
    let number = loop_number(device).unwrap_or_default();
    let ended = Program::new("make a device node", ["mknod", "--mode=0660"])
        .arg(device)
        .arg("b")
        .arg(LOOP_MAJOR.to_string())
        .arg(number.to_string())
        .finish()?;
    if ended.status.success() || device.exists() {
        return Ok(());
    }
    Err(LabError::Command {
        attempted: format!("make the device node {}", device.display()),
        command: "mknod".to_owned(),
        status: ended.status.to_string(),
        output: ended.stderr,
    })
}

/// The number in `/dev/loop12`.
pub(crate) fn loop_number(device: &Path) -> Option<u32> {
    device.file_name().and_then(OsStr::to_str)?.strip_prefix("loop")?.parse().ok()
}

/// Writes the links and the device database entry of one disk.
fn show(disk: &LabDisk, slot: usize, device: &Path, paths: &NodePaths) -> Result<(), LabError> {
    let number = loop_number(device).unwrap_or_default();
    let name = format!("loop{number}");
    let link = |at: PathBuf, to: String| symlink(to, &at).map_err(LabError::io("link", &at));
    link(paths.sys_block().join(&name), format!("../devices/virtual/block/{name}"))?;
    let mut links =
        vec![format!("by-id/virtio-{}", disk.serial), format!("by-path/pci-0000:00:{:02x}.0", slot + 5)];
    links.extend(disk.wwn.iter().map(|wwn| format!("by-id/wwn-{wwn}")));
    let mut database = String::from("I:1\n");
    for at in &links {
        link(paths.dev_disk().join(at), format!("../../{name}"))?;
        database += &format!("S:disk/{at}\n");
    }
    let names: Vec<String> = links.iter().map(|at| format!("/dev/disk/{at}")).collect();
    database += &format!(
        "E:DEVLINKS={}\nE:ID_BUS=virtio\nE:ID_MODEL={MODEL}\nE:ID_SERIAL={serial}\nE:ID_SERIAL_SHORT={serial}\n\
         E:ID_PATH=pci-0000:00:{:02x}.0\nG:systemd\n",
        names.join(" "),
        slot + 5,
        serial = disk.serial,
    );
    if let Some(wwn) = &disk.wwn {
        database += &format!("E:ID_WWN={wwn}\nE:ID_WWN_WITH_EXTENSION={wwn}\n");
    }
    let file = paths.udev_data().join(format!("b{LOOP_MAJOR}:{number}"));
    fs::write(&file, database).map_err(LabError::io("write", &file))
}

/// Loop devices whose files are below a directory, also deleted ones.
pub(crate) fn loops_below(dir: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return BTreeSet::new() };
    entries
        .filter_map(Result::ok)
        .map(|entry| Path::new("/dev").join(entry.file_name()))
        .filter(|device| backing_file(device).is_some_and(|file| file.starts_with(dir)))
        .collect()
}

/// Loop devices whose files are on these devices. The kernel asks the file for its attributes to tell; one on FUSE without a server
/// is told only when its attributes still hold, as those of the engine's volumes do.
pub(crate) fn loops_backed_by(devices: &BTreeSet<(u32, u32)>) -> Result<BTreeSet<PathBuf>, LabError> {
    let listing =
        Program::new("list loop devices", ["losetup", "--list", "--json", "--output", "NAME,BACK-MAJ:MIN"])
            .run()?;
    let backed = parse_loops(&listing).into_iter().filter(|(_, backing)| devices.contains(backing));
    Ok(backed.map(|(device, _)| device).collect())
}

/// Name and backing device from `losetup --json`, which prints nothing when there are none and pads its values.
fn parse_loops(listing: &str) -> Vec<(PathBuf, (u32, u32))> {
    let listing: serde_json::Value = serde_json::from_str(listing).unwrap_or_default();
    let devices = listing["loopdevices"].as_array().cloned().unwrap_or_default();
    let parse = |device: &serde_json::Value| {
        let (major, minor) = device["back-maj:min"].as_str()?.trim().split_once(':')?;
        let backing = (major.trim().parse().ok()?, minor.trim().parse().ok()?);
        Some((PathBuf::from(device["name"].as_str()?.trim()), backing))
    };
    devices.iter().filter_map(parse).collect()
}

/// The file behind a loop device, as the process that attached it saw it.
fn backing_file(device: &Path) -> Option<PathBuf> {
    let name = device.file_name()?;
    let text = fs::read_to_string(Path::new("/sys/block").join(name).join("loop/backing_file")).ok()?;
    Some(PathBuf::from(text.trim_end_matches('\n')))
}

/// Gives a disk more room; whoever has it open sees it grow.
pub(crate) fn resize(disk: DiskOf<'_>, size_bytes: u64) -> Result<(), LabError> {
    let (device, file) = (device_of(disk)?, disk.file());
    let open = OpenOptions::new().write(true).open(&file);
    open.and_then(|file| file.set_len(size_bytes)).map_err(LabError::io("resize", &file))?;
    Program::new("tell a disk's new size", ["losetup", "--set-capacity"]).arg(device).run().map(drop)
}

/// Makes a disk blank that nobody uses, and as large as this.
pub(crate) fn replace(disk: DiskOf<'_>, size_bytes: u64) -> Result<(), LabError> {
    let (device, file) = (device_of(disk)?, disk.file());
    make_node(device)?;
    let exclusive = i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap_or_default();
    // The kernel's own idea of who uses it, whichever namespace the user is in (open(2), O_EXCL on a block device).
    let held = OpenOptions::new().read(true).custom_flags(exclusive).open(device).map_err(|error| {
        LabError::Usage(format!(
            "the disk `{}` of {} is in use ({error}): stop what uses it, or cut the node's power first",
            disk.disk.name, disk.node.name
        ))
    })?;
    let blank = |file: File| file.set_len(0).and_then(|()| file.set_len(size_bytes));
    let open = OpenOptions::new().write(true).open(&file);
    open.and_then(blank).map_err(LabError::io("replace", &file))?;
    drop(held);
    Program::new("forget what was read of a disk", ["blockdev", "--flushbufs"]).arg(device).run()?;
    Program::new("tell a disk's new size", ["losetup", "--set-capacity"]).arg(device).run().map(drop)
}

fn device_of(disk: DiskOf<'_>) -> Result<&Path, LabError> {
    disk.disk.device.as_deref().ok_or_else(|| {
        LabError::Usage(format!("the disk `{}` of {} was never attached", disk.disk.name, disk.node.name))
    })
}

/// Detaches loop devices and waits until they are free.
pub(crate) fn detach(devices: &BTreeSet<PathBuf>) -> Result<(), LabError> {
    for device in devices {
        let before = backing_file(device);
        let what = || format!("detach {} (its file is {before:?})", device.display());
        wait_for(what, DETACH_LIMIT, || {
            if backing_file(device).is_none() || backing_file(device) != before {
                return Ok(Some(()));
            }
            make_node(device)?;
            // A device that is open is detached when it is closed; until then this is repeated.
            Program::new("detach a disk", ["losetup", "--detach"]).arg(device).finish()?;
            Ok(None)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::config::Backend;
    use crate::lab::disks::plan;
    use crate::lab::record::LabPaths;
    use crate::names::NodeName;

    #[test]
    fn loops_are_read_with_padding_and_without_backing() {
        let listing = r#"{"loopdevices": [{"name":"/dev/loop61", "back-maj:min":"    0:88 "},
            {"name":"/dev/loop60", "back-maj:min":null}]}"#;
        assert_eq!(parse_loops(listing), [(PathBuf::from("/dev/loop61"), (0, 88))]);
        assert!(parse_loops("").is_empty());
    }

    #[test]
    fn what_the_node_sees_names_its_disk() {
        let dir = tempfile::tempdir().unwrap();
        let paths = LabPaths::new(dir.path()).node(&NodeName::new("alpha").unwrap());
        for sub in [
            paths.dev_disk().join("by-id"),
            paths.dev_disk().join("by-path"),
            paths.sys_block(),
            paths.udev_data(),
        ] {
            fs::create_dir_all(sub).unwrap();
        }
        let lab = "lab".parse().unwrap();
        let spec = "data1=1M".parse().unwrap();
        let disk = plan(&lab, &NodeName::new("alpha").unwrap(), &spec, Backend::Container);
        show(&disk, 0, Path::new("/dev/loop12"), &paths).unwrap();
        let link = fs::read_link(paths.dev_disk().join("by-id/virtio-alpha-data1")).unwrap();
        assert_eq!(link, Path::new("../../loop12"));
        let database = fs::read_to_string(paths.udev_data().join("b7:12")).unwrap();
        assert!(database.contains("E:ID_SERIAL_SHORT=alpha-data1\n"), "{database}");
        assert!(paths.sys_block().join("loop12").is_symlink());
    }
}
