//! What a machine needs to run a lab, checked before anything is made.
//!
//! In: the machine. Out: nothing, or everything that is missing, each with what to do. Changes nothing.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::config::Backend;
use super::error::LabError;
use super::process::is_installed;

/// Programs that every lab needs and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 17] = [
    ("apt-ftparchive", "apt-utils"),
    ("apt-get", "apt"),
    ("chroot", "coreutils"),
    ("gzip", "gzip"),
    ("ip", "iproute2"),
    ("losetup", "mount"),
    ("mmdebstrap", "mmdebstrap"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("systemd-id128", "systemd"),
    ("tc", "iproute2"),
    ("unshare", "util-linux"),
];
/// Programs that containers need.
const CONTAINER_PROGRAMS: [(&str, &str); 3] =
    [("env", "coreutils"), ("mknod", "coreutils"), ("systemd-nspawn", "systemd-container")];
/// Programs that virtual machines need.
const VM_PROGRAMS: [(&str, &str); 4] = [
    ("cp", "coreutils"),
    ("mkfs.ext4", "e2fsprogs"),
    ("qemu-img", "qemu-utils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];

/// inotify instances of one node with a cluster on it, with some to spare (systemd 3, logind 1, others).
const INOTIFY_PER_NODE: usize = 6;

/// One thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A program.
    Program {
        /// Its name.
        program: &'static str,
        /// The Debian package with it.
        package: &'static str,
    },
    /// Something of the kernel or of this process's rights.
    Condition {
        /// What.
        what: String,
        /// What to do.
        remedy: String,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { program, package } => {
                write!(f, "`{program}` is not installed: apt-get install --yes {package}")
            }
            Self::Condition { what, remedy } => write!(f, "{what}: {remedy}"),
        }
    }
}

/// Checks everything that a lab of this backend needs.
///
/// # Errors
/// [`LabError::Prerequisites`] with all that is missing.
pub fn check_prerequisites(backend: Backend) -> Result<(), LabError> {
    let special: &[(&'static str, &'static str)] = match backend {
        Backend::Container => &CONTAINER_PROGRAMS,
        Backend::Vm => &VM_PROGRAMS,
    };
    let mut missing: Vec<Missing> = PROGRAMS
        .iter()
        .chain(special)
        .filter(|(program, _)| !is_installed(OsStr::new(program)))
        .map(|&(program, package)| Missing::Program { program, package })
        .collect();
    let mut condition = |holds: bool, what: &str, remedy: &str| {
        if !holds {
            missing.push(Missing::Condition { what: what.to_owned(), remedy: remedy.to_owned() });
        }
    };
    condition(
        rustix::process::geteuid().is_root(),
        "the lab makes network namespaces, mounts and loop devices",
        "run it as root (sudo)",
    );
    match backend {
        Backend::Container => {
            let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
            condition(
                has_filesystem(&filesystems, "overlay")
                    || Path::new("/sys/module/overlay").exists()
                    || modprobe("overlay"),
                "the kernel has no overlay file system",
                "modprobe overlay",
            );
            condition(
                Path::new("/dev/loop-control").exists() || modprobe("loop"),
                "there is no /dev/loop-control",
                "modprobe loop",
            );
        }
        Backend::Vm => {
            condition(
                std::env::consts::ARCH == "x86_64",
                "virtual machines are x86_64 ones",
                "use --backend container on this processor",
            );
            condition(
                Path::new("/dev/net/tun").exists() || modprobe("tun"),
                "there is no /dev/net/tun",
                "modprobe tun",
            );
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    condition(
        mounts.lines().any(|line| line.split_whitespace().nth(2) == Some("cgroup2")),
        "no cgroup2 hierarchy is mounted",
        "mount -t cgroup2 none /sys/fs/cgroup (or /sys/fs/cgroup/unified beside version 1)",
    );
    if missing.is_empty() { Ok(()) } else { Err(LabError::Prerequisites(missing)) }
}

/// Checks that so many more containers fit into this machine's limits. One whose systemd gets no inotify instance hangs
/// half booted, so this is found out before.
///
/// # Errors
/// [`LabError::Prerequisites`] with the command that raises the limit.
pub(crate) fn check_inotify_for(nodes: usize) -> Result<(), LabError> {
    let path = Path::new("/proc/sys/fs/inotify/max_user_instances");
    let limit = fs::read_to_string(path).map_err(LabError::io("read", path))?;
    let Ok(limit) = limit.trim().parse::<usize>() else { return Ok(()) };
    let (needed, used) = (nodes * INOTIFY_PER_NODE, root_inotify_instances());
    if used + needed <= limit {
        return Ok(());
    }
    Err(LabError::Prerequisites(vec![Missing::Condition {
        what: format!(
            "{nodes} nodes need {needed} inotify instances, and {used} of root's {limit} are in use \
             (by other labs?)"
        ),
        remedy: "sysctl fs.inotify.max_user_instances=1024, or take another lab down".to_owned(),
    }]))
}

/// Checks that so many bytes of memory are available.
///
/// # Errors
/// [`LabError::Prerequisites`] with what is missing.
pub(crate) fn check_memory_for(nodes: usize, bytes_per_node: u64) -> Result<(), LabError> {
    let (needed, available) = (bytes_per_node.saturating_mul(nodes as u64), available_memory_bytes()?);
    if needed <= available {
        return Ok(());
    }
    Err(LabError::Prerequisites(vec![Missing::Condition {
        what: format!(
            "{nodes} nodes need {} MiB of memory, and {} MiB are available",
            needed >> 20,
            available >> 20
        ),
        remedy: "fewer nodes (--nodes), or take another lab down".to_owned(),
    }]))
}

/// What the kernel would give to new programs without swapping.
pub(crate) fn available_memory_bytes() -> Result<u64, LabError> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).map_err(LabError::io("read", path))?;
    let available_kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    Ok(available_kib * 1024)
}

/// How many inotify instances processes of root hold.
fn root_inotify_instances() -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes
        .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == 0))
        .filter_map(|entry| fs::read_dir(entry.path().join("fd")).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:inotify"))
        .count()
}

fn has_filesystem(filesystems: &str, wanted: &str) -> bool {
    filesystems.lines().any(|line| line.split_whitespace().last() == Some(wanted))
}

/// Loads a module; whether that worked is the answer.
fn modprobe(module: &str) -> bool {
    let program = super::process::Program::new("load a kernel module", ["modprobe", "--quiet", module]);
    program.finish().is_ok_and(|finished| finished.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_comes_with_the_command_that_installs_it() {
        let missing = Missing::Program { program: "systemd-nspawn", package: "systemd-container" };
        assert_eq!(
            missing.to_string(),
            "`systemd-nspawn` is not installed: apt-get install --yes systemd-container"
        );
    }

    #[test]
    fn file_systems_are_read_with_and_without_nodev() {
        let listing = "nodev\tsysfs\n\text4\nnodev\toverlay\n";
        assert!(has_filesystem(listing, "overlay") && has_filesystem(listing, "ext4"));
        assert!(!has_filesystem(listing, "lay"));
    }
}
