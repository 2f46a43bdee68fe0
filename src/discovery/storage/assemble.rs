//! One list of devices out of what lsblk, the tree and the probes that open devices told. Pure.

use std::collections::BTreeSet;

use super::content::Contents;
use super::tree::{SysDevice, Tree};
use crate::facts::{BlockDevice, Fact};

/// Folders below which a link is a name worth knowing.
const LINK_FOLDERS: [&str; 2] = ["/dev/disk/", "/dev/mapper/"];
/// What lsblk calls every device that is nothing else.
const DISK: &str = "disk";
/// Drivers of devices that lsblk calls disks and that look like hardware: name of the devices, name of the kind.
const DISGUISED: [(&str, &str); 2] = [("fd", "floppy"), ("ublkb", "ublk")];

/// The devices with everything that is known of them. Without the list there is nothing; without the tree or the
/// contents each device has unknown contents.
pub(in crate::discovery) fn assemble(
    listed: Fact<Vec<BlockDevice>>,
    tree: &Fact<Tree>,
    contents: &Fact<Contents>,
) -> Fact<Vec<BlockDevice>> {
    let Fact::Known(mut devices) = listed else { return listed };
    for device in &mut devices {
        device.content = match complete(device, tree) {
            Err(why) => Fact::Unknown(why),
            Ok(number) => match contents {
                Fact::Known(contents) => contents.of_device(&device.name, &number, device.size_bytes),
                Fact::Unknown(why) => Fact::Unknown(why.clone()),
            },
        };
    }
    Fact::Known(devices)
}

/// Adds what the tree knows; the device's number, or why the tree does not know the device.
fn complete(device: &mut BlockDevice, tree: &Fact<Tree>) -> Result<String, String> {
    let tree = tree.as_result()?;
    let known = tree.devices.get(&device.name).ok_or("it is not in /sys/block")?;
    if device.number.as_ref().is_some_and(|number| *number != known.number) {
        return Err(format!("/sys/block has the number {} for it", known.number));
    }
    device.number = Some(known.number.clone());
    device.device_type = kind(device, known);
    device.holders = known.holders.iter().cloned().collect();
    let parents: BTreeSet<String> = device.parents.drain(..).chain(known.slaves.iter().cloned()).collect();
    device.parents = parents.into_iter().collect();
    let mounted: BTreeSet<String> = device.mountpoints.drain(..).chain(tree.uses(&known.number)).collect();
    device.mountpoints = mounted.into_iter().collect();
    let names = || tree.nodes.iter().filter(|(_, number)| **number == known.number).map(|(path, _)| path);
    device.links =
        names().filter(|path| LINK_FOLDERS.iter().any(|folder| path.starts_with(folder))).cloned().collect();
    match tree.number_of(&device.path) {
        Some(number) if number == known.number => {}
        Some(number) => {
            return Err(format!("{} is device {number}, but it is {}", device.path, known.number));
        }
        None => match names().max_by_key(|path| path.strip_prefix("/dev/") == Some(&device.name)) {
            Some(path) => device.path.clone_from(path),
            None => return Err(format!("there is no device node {}", device.path)),
        },
    }
    Ok(known.number.clone())
}

/// lsblk's type, but for what it calls a disk although nothing is behind it: the name of its driver.
fn kind(device: &BlockDevice, known: &SysDevice) -> String {
    if device.device_type != DISK {
        return device.device_type.clone();
    }
    let driver = device.name.trim_end_matches(|c: char| c.is_ascii_digit());
    let disguised = DISGUISED.iter().find(|(name, _)| *name == driver);
    match disguised {
        Some((_, kind)) => (*kind).to_owned(),
        None if known.hardware => device.device_type.clone(),
        None => driver.to_owned(),
    }
}
