//! What a process that was killed leaves behind: ublk and NBD devices, loop devices on the volume's file, its mount, the device's
//! name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::attach::{losetup, name_of};
use super::fuse::FuseFile;
use super::{kernel_nbd, ublk};

/// Where the kernel shows block devices that no hardware is behind, also in a container that has a /sys/block of its own.
const BLOCK_DEVICES: &str = "/sys/devices/virtual/block";
/// What is mounted, with device numbers (proc_pid_mountinfo(5)).
const MOUNT_INFO: &str = "/proc/self/mountinfo";

/// Takes it away. A device in use goes with its last user. What could not be done is returned.
///
/// To be called by whoever has the volume's control socket: nobody else serves the file then.
pub(crate) fn clear(file: &Path, volume: &str) -> Vec<String> {
    // While the file is mounted: nothing tells whose the loop devices are after that.
    let mut troubles = release_loop_devices(file);
    troubles.extend(file.parent().map(kernel_nbd::clear).unwrap_or_default());
    troubles.extend(file.parent().map(ublk::clear).unwrap_or_default());
    FuseFile::clear(file);
    let link = name_of(volume);
    // A device that has a file again is somebody's, and not what this name was made for.
    let nobodys = std::fs::read_link(&link).is_ok_and(|device| backing_file(&device).is_none());
    if nobodys {
        // It is only a name, and the next promotion makes it anew.
        let _ = std::fs::remove_file(link);
    }
    troubles
}

fn release_loop_devices(file: &Path) -> Vec<String> {
    // There is no folder for the volume before its first start, and without loop devices none of them.
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    let (Some(folder), Some(name)) = (folder, file.file_name()) else { return Vec::new() };
    let file = folder.join(name);
    let mounted = mounted_on(&file);
    let Ok(devices) = std::fs::read_dir(BLOCK_DEVICES) else { return Vec::new() };
    let mut troubles = Vec::new();
    for device in devices.filter_map(Result::ok).map(|device| Path::new("/dev").join(device.file_name())) {
        if backing_file(&device).as_deref() != Some(&file) {
            continue;
        }
        let path = device.to_string_lossy();
        // In another container a file of this name is another file.
        let backing = losetup(&["--list", "--noheadings", "--output", "BACK-MAJ:MIN", &path]);
        if backing.is_ok_and(|backing| mounted.contains(&backing)) {
            troubles.extend(losetup(&["--detach", &path]).err());
        }
    }
    troubles
}

/// The file that a loop device rests on.
fn backing_file(device: &Path) -> Option<PathBuf> {
    let file = Path::new(BLOCK_DEVICES).join(device.file_name()?).join("loop/backing_file");
    let backing = std::fs::read_to_string(file).ok()?;
    Some(PathBuf::from(backing.trim_end_matches('\n')))
}

/// Device numbers, as `major:minor`, of what is mounted on this file. Neither this nor the question to the loop device needs an
/// answer of whoever serves it.
fn mounted_on(file: &Path) -> BTreeSet<String> {
    let mounts = std::fs::read_to_string(MOUNT_INFO).unwrap_or_default();
    let device = |line: &str| {
        let mut words = line.split(' ').skip(2);
        let (device, target) = (words.next()?, words.nth(1)?);
        (Path::new(target) == file).then(|| device.to_owned())
    };
    mounts.lines().filter_map(device).collect()
}
