//! What sysfs, the device nodes, the mounts and the swap areas tell: who lies on whom, what a device is called, where it
//! is mounted. No device is opened.
//!
//! A device is its number: names are resolved to it, because a mount or a link may name an alias of an alias.

use std::collections::{BTreeMap, BTreeSet};

use super::escape::Escape;
use crate::discovery::probe::{Answer, Probe, ProbeError, malformed};

const NAME: &str = "/sys/block";
/// Time limit of the search of `/dev` in seconds.
const LIMIT_S: u32 = 5;
/// Exit code of the lines when the mounts could not be read.
const NO_MOUNTS: u32 = 9;
/// Folders of `/dev` that hold no names of block devices that anybody uses.
const PRUNED: [&str; 7] = ["block", "char", "fd", "hugepages", "mqueue", "pts", "shm"];

/// Reads sysfs, `/dev`, mountinfo and `/proc/swaps`.
pub(in crate::discovery) struct TreeProbe;

/// The devices as the kernel and `/dev` know them.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub(in crate::discovery) struct Tree {
    /// By kernel name.
    pub(super) devices: BTreeMap<String, SysDevice>,
    /// Device numbers by the absolute path of every block device node and of every link to one.
    pub(super) nodes: BTreeMap<String, String>,
    /// What is mounted, in the kernel's order.
    pub(super) mounts: Vec<Mount>,
    /// Paths of the swap areas.
    pub(super) swaps: Vec<String>,
}

/// A device in sysfs.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub(super) struct SysDevice {
    /// `major:minor`.
    pub(super) number: String,
    /// Kernel names of the devices that lie on it.
    pub(super) holders: BTreeSet<String>,
    /// Kernel names of the devices that it lies on.
    pub(super) slaves: BTreeSet<String>,
    /// Whether there is hardware (or a transport to some) behind it.
    pub(super) hardware: bool,
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Mount {
    /// Number of the file system's device: a block device's, or an anonymous one (btrfs, ZFS).
    pub(super) number: String,
    /// What was mounted, by whatever name.
    pub(super) source: String,
    /// Where.
    pub(super) target: String,
}

impl Probe for TreeProbe {
    type Fact = Tree;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        // What does not exist is no failure: a pattern that matches nothing, a dead link. A node may be mounted over a
        // plain file (in a container): only stat tells what it is, and that is on another file system.
        let pruned = PRUNED.map(|folder| format!("-path /dev/{folder}")).join(" -o ");
        format!(
            "cd {NAME} || exit\n\
             grep -s . */dev */*/dev /dev/null\n\
             printf '\\0'\n\
             printf '%s\\n' */holders/* */*/holders/* */slaves/* */device\n\
             printf '\\0'\n\
             within {LIMIT_S} find /dev \\( {pruned} \\) -prune -o ! -type d ! -type c \
             -exec stat -L -c '%t:%T|%F|%n' {{}} + 2>/dev/null\n\
             printf '\\0'\n\
             cat /proc/self/mountinfo || exit {NO_MOUNTS}\n\
             printf '\\0'\n\
             [ ! -e /proc/swaps ] || cat /proc/swaps"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Tree, ProbeError> {
        let text = String::from_utf8_lossy(&answer.succeeded(NAME)?.stdout);
        let sections: Vec<&str> = text.split('\0').collect();
        let [numbers, relations, nodes, mounts, swaps] = sections[..] else {
            return Err(malformed(NAME, format!("it has {} parts instead of 5", sections.len())));
        };
        let mut tree = Tree { devices: devices(numbers), ..Tree::default() };
        relate(relations, &mut tree.devices);
        tree.nodes = nodes.lines().filter_map(block_node).collect();
        for line in mounts.lines() {
            tree.mounts.push(mount(line).ok_or_else(|| malformed(NAME, format!("mountinfo: `{line}`")))?);
        }
        tree.swaps = swaps
            .lines()
            .skip(1)
            .filter_map(|line| Some(Escape::Octal.decode(line.split_whitespace().next()?)))
            .collect();
        Ok(tree)
    }
}

impl Tree {
    /// The number of the device that this name leads to.
    pub(super) fn number_of(&self, path: &str) -> Option<&str> {
        self.nodes.get(path).map(String::as_str)
    }

    /// Where the device with this number is mounted (`[SWAP]` for swap).
    pub(super) fn uses(&self, number: &str) -> BTreeSet<String> {
        let mounted = self
            .mounts
            .iter()
            .filter(|mount| mount.number == number || self.number_of(&mount.source) == Some(number))
            .map(|mount| mount.target.clone());
        // A swap area under a name that is not there any more is seen by `O_EXCL` only.
        let swap = self.swaps.iter().any(|path| self.number_of(path) == Some(number));
        mounted.chain(swap.then(|| "[SWAP]".to_owned())).collect()
    }
}

/// `sda/dev:8:0`, `sda/sda1/dev:8:1`. Other folders of a disk may hold the number of something else
/// (`nvme0n1/device/dev`).
fn devices(lines: &str) -> BTreeMap<String, SysDevice> {
    let device = |line: &str| {
        let (path, number) = line.split_once("/dev:")?;
        let name = kernel_name(path)?;
        Some((name.to_owned(), SysDevice { number: number.to_owned(), ..SysDevice::default() }))
    };
    lines.lines().filter_map(device).collect()
}

/// The device of a folder below `/sys/block`: a disk, or a partition, whose name begins with its disk's.
fn kernel_name(folder: &str) -> Option<&str> {
    match folder.split_once('/') {
        None => Some(folder),
        Some((disk, partition)) => partition.starts_with(disk).then_some(partition),
    }
}

/// `sda/holders/dm-0`, `sda/sda1/holders/md0`, `dm-0/slaves/sda`, `sda/device`; a pattern that matched nothing stands
/// there as it is and names no device.
fn relate(lines: &str, devices: &mut BTreeMap<String, SysDevice>) {
    for line in lines.lines() {
        let (folder, relation, other) = match line.rsplit_once('/') {
            Some((name, "device")) => (name, "device", ""),
            Some((path, other)) => match path.rsplit_once('/') {
                Some((folder, relation)) => (folder, relation, other),
                None => continue,
            },
            None => continue,
        };
        let Some(device) = kernel_name(folder).and_then(|name| devices.get_mut(name)) else { continue };
        match relation {
            "device" => device.hardware = true,
            _ if other == "*" => {}
            "holders" => drop(device.holders.insert(other.to_owned())),
            "slaves" => drop(device.slaves.insert(other.to_owned())),
            _ => {}
        }
    }
}

/// `8:1|block special file|/dev/sda1`; stat prints the numbers in hexadecimal.
fn block_node(line: &str) -> Option<(String, String)> {
    let mut fields = line.splitn(3, '|');
    let (number, kind, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (major, minor) = number.split_once(':')?;
    let decimal = |digits: &str| u32::from_str_radix(digits, 16).ok();
    (kind == "block special file")
        .then_some((path.to_owned(), format!("{}:{}", decimal(major)?, decimal(minor)?)))
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let number = left.nth(2)?.to_owned();
    let target = Escape::Octal.decode(left.nth(1)?);
    let source = Escape::Octal.decode(right.split(' ').nth(1)?);
    Some(Mount { number, source, target })
}
