//! What a machine needs to run a lab, checked before anything is made.
//!
//! In: the machine. Out: nothing, or everything that is missing, each with what to do. Changes nothing.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::LabError;
use super::process::is_installed;

/// Programs and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 21] = [
    ("apt-ftparchive", "apt-utils"),
    ("apt-get", "apt"),
    ("chroot", "coreutils"),
    ("chown", "coreutils"),
    ("gzip", "gzip"),
    ("ip", "iproute2"),
    ("losetup", "mount"),
    ("env", "coreutils"),
    ("mmdebstrap", "mmdebstrap"),
    ("mknod", "coreutils"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("systemd-id128", "systemd"),
    ("systemd-nspawn", "systemd-container"),
    ("tc", "iproute2"),
    ("unshare", "util-linux"),
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

/// Checks everything.
///
/// # Errors
/// [`LabError::Prerequisites`] with all that is missing.
pub fn check_prerequisites() -> Result<(), LabError> {
    let mut missing: Vec<Missing> = PROGRAMS
        .iter()
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
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    condition(
        mounts.lines().any(|line| line.split_whitespace().nth(2) == Some("cgroup2")),
        "no cgroup2 hierarchy is mounted",
        "mount -t cgroup2 none /sys/fs/cgroup (or /sys/fs/cgroup/unified beside version 1)",
    );
    if missing.is_empty() { Ok(()) } else { Err(LabError::Prerequisites(missing)) }
}

/// Checks that so many more nodes fit into this machine's limits. A node whose systemd gets no inotify instance hangs
/// half booted, so this is found out before.
///
/// # Errors
/// [`LabError::Prerequisites`] with the command that raises the limit.
pub(crate) fn check_room_for(nodes: usize) -> Result<(), LabError> {
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
