//! What all images begin with: a minimal Debian with systemd and sshd, and nothing of a cluster.
//!
//! In: a suite, apt sources. Out: a directory tree in the cache. Bare on purpose: hactl installs the rest.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Say;
use super::cache::{Entry, remove_tree};
use super::config::Suite;
use super::error::LabError;
use super::process::Program;

/// Longest build of an image.
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Raised when what this file does to an image changes.
const IMAGE_VERSION: &str = "1";
/// What is in it besides `apt` and essential packages.
const INCLUDE: &str = "systemd-sysv,dbus,openssh-server,udev,iproute2,util-linux,kmod,ca-certificates,sudo";
/// Where the nodes see the package repository.
pub(crate) const NODE_REPOSITORY: &str = "/opt/hactl-lab-packages";
/// Units that are of no use in a lab, or that change what the host has set up.
const MASKED: [&str; 15] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "drbd.service",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "networking.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-resolved.service",
];
/// Accounts to try logins and sudo with: without a password, and with this one.
const OPERATOR_PASSWORD: &str = "operator-pw";

/// The image's root directory, built when it is not in the cache.
pub(crate) fn image(
    cache_dir: &Path,
    suite: Suite,
    sources: &str,
    say: Say<'_>,
) -> Result<PathBuf, LabError> {
    let masked = MASKED.join(" ");
    let entry = Entry::new(
        cache_dir,
        &format!("image-{suite}"),
        &[
            IMAGE_VERSION,
            std::env::consts::ARCH,
            sources,
            INCLUDE,
            &masked,
            OPERATOR_PASSWORD,
            NODE_REPOSITORY,
        ],
    );
    let dir = entry.get(say, |dir| {
        say(&format!("building the {suite} image (once; about half a minute)"));
        build(dir, suite, sources)
    })?;
    Ok(dir.join("rootfs"))
}

fn build(dir: &Path, suite: Suite, sources: &str) -> Result<(), LabError> {
    let root = dir.join("rootfs");
    let list = dir.join("debian.sources");
    fs::write(&list, sources).map_err(LabError::io("write", &list))?;
    let mut program =
        Program::new("build the nodes' image", ["mmdebstrap", "--mode=root", "--variant=minbase"])
            .arg(format!("--include={INCLUDE}"))
            .arg("--aptopt=Acquire::Retries \"3\"")
            .arg("--aptopt=Acquire::http::Timeout \"30\"");
    for excluded in ["man", "doc", "locale", "info"] {
        program = program.arg(format!("--dpkgopt=path-exclude=/usr/share/{excluded}/*"));
    }
    program.arg(suite.as_str()).arg(&root).arg(&list).contained().limit(BUILD_LIMIT).run()?;
    customise(&root)
}

/// Turns a fresh Debian into what all nodes have in common.
fn customise(root: &Path) -> Result<(), LabError> {
    for name in ["etc/apt/sources.list", "etc/machine-id", "etc/hostname", "etc/resolv.conf"] {
        remove_tree(&root.join(name))?;
    }
    remove_tree(&root.join("etc/apt/sources.list.d"))?;
    let ssh = root.join("etc/ssh");
    for entry in fs::read_dir(&ssh).map_err(LabError::io("read", &ssh))?.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            remove_tree(&entry.path())?;
        }
    }
    write(root, "etc/apt/sources.list", 0o644, &format!("deb [trusted=yes] file:{NODE_REPOSITORY} ./\n"))?;
    write(
        root,
        "etc/ssh/sshd_config.d/hactl-lab.conf",
        0o644,
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nMaxStartups 200\n",
    )?;
    for unit in MASKED {
        let link = root.join("etc/systemd/system").join(unit);
        remove_tree(&link)?;
        symlink("/dev/null", &link).map_err(LabError::io("link", &link))?;
    }
    for user in ["admin", "operator"] {
        // Debian has had a system group called `operator`.
        chroot(root, &["useradd", "--create-home", "--no-user-group", "--shell", "/bin/bash", user], "")?;
        write(root, &format!("home/{user}/.hushlogin"), 0o644, "")?;
    }
    chroot(root, &["chpasswd"], &format!("operator:{OPERATOR_PASSWORD}\n"))?;
    write(
        root,
        "etc/sudoers.d/hactl-lab",
        0o440,
        "admin ALL=(ALL:ALL) NOPASSWD: ALL\noperator ALL=(ALL:ALL) ALL\n",
    )
}

fn chroot(root: &Path, argv: &[&str], stdin: &str) -> Result<(), LabError> {
    let mut program = Program::new("set up the nodes' image", ["chroot"]).arg(root);
    for word in argv {
        program = program.arg(word);
    }
    program.stdin(stdin).run().map(drop)
}

/// Writes a file below `root`, with its directories.
pub(crate) fn write(root: &Path, name: &str, mode: u32, text: &str) -> Result<(), LabError> {
    let path = root.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(LabError::io("create", parent))?;
    }
    fs::write(&path, text).map_err(LabError::io("write", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        .map_err(LabError::io("set the mode of", &path))
}
