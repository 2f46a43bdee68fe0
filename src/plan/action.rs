//! The closed set of things that hactl can do to a node: what is printed is what is executed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::{Check, SeedSource, VolumeTarget, VolumeVerb};
use crate::facts::{ClaimEntry, Digest};
use crate::names::NodeName;

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitVerb {
    /// Start at boot.
    Enable,
    /// Do not start at boot.
    Disable,
    /// Start now.
    Start,
    /// Stop now.
    Stop,
    /// Stop and start.
    Restart,
    /// Have it read its configuration again.
    Reload,
    /// Take back a mask that lasts until the next boot.
    Unmask,
}

impl UnitVerb {
    /// systemctl's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Unmask => "unmask",
        }
    }
}

/// Label of a file system that is not complete yet; it goes when it is. Nobody gives it to one of their own, so what
/// bears it can be made anew. XFS allows 12 characters (mkfs.xfs(8)).
pub const UNFINISHED_LABEL: &str = "hactl-making";

/// A file system that hactl makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesystemType {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FilesystemType {
    /// The one of this name.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Ext4, Self::Xfs].into_iter().find(|one| one.word() == word)
    }

    /// Its name: for libblkid, for mount(8), and behind `mkfs.`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// One change to one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Install packages with the distribution's package manager, without recommended ones. `keep_stopped` are
    /// masked until the next boot (or until a unit step unmasks them), so that no daemon starts with a
    /// configuration that is not ours.
    InstallPackages {
        /// Package names.
        packages: Vec<String>,
        /// Units that the packages would start.
        keep_stopped: Vec<String>,
    },
    /// See that packages can be installed, before anything is changed. The lists of packages are read anew for it.
    CheckPackages {
        /// Package names.
        packages: Vec<String>,
    },
    /// Remove packages with their configuration files.
    RemovePackages {
        /// Package names.
        packages: Vec<String>,
    },
    /// Put this very program on the node.
    InstallProgram {
        /// Absolute path.
        path: Utf8PathBuf,
        /// Its digest: this one, and no other.
        digest: Digest,
    },
    /// Put a whole file in place atomically.
    ReplaceFile {
        /// Absolute path.
        path: Utf8PathBuf,
        /// The content, secrets as markers.
        content: String,
        /// Permission bits.
        mode: u32,
        /// Owner's name.
        owner: String,
        /// Group's name.
        group: String,
        /// A command that must accept the file before it is put in place; `{}` is the candidate's path.
        validate: Option<Vec<String>>,
        /// Whether only a block in the file is ours: such a file is not removed with the cluster.
        shared: bool,
    },
    /// Remove a file that hactl wrote; put back what was there before.
    RemoveFile {
        /// Absolute path.
        path: Utf8PathBuf,
        /// What to put back.
        restore: Option<Utf8PathBuf>,
    },
    /// Change the state of a unit.
    Unit {
        /// Its name with suffix.
        unit: String,
        /// What to do.
        verb: UnitVerb,
    },
    /// Make a secret file of random bytes.
    GenerateSecret {
        /// Absolute path.
        path: Utf8PathBuf,
        /// How many random bytes.
        size_bytes: usize,
        /// The file's text, with `{}` for the bytes in hexadecimal digits; absent: the bytes as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Copy a secret file from another node, through this machine's memory.
    CopySecret {
        /// Absolute path, the same on both.
        path: Utf8PathBuf,
        /// Whose copy is right.
        from: NodeName,
    },
    /// Load a kernel module.
    LoadModule {
        /// Its name.
        name: String,
    },
    /// Set a kernel parameter now.
    SetSysctl {
        /// Its key with dots.
        key: String,
        /// Its value.
        value: String,
    },
    /// See that datagrams pass between the nodes on every link, before anything is changed.
    CheckLinks {
        /// Nodes whose corosync does not run, so that its ports can be listened on.
        listeners: Vec<NodeName>,
        /// Every node's addresses, link 0 first.
        addresses: BTreeMap<NodeName, Vec<IpAddr>>,
        /// corosync's UDP port on each link.
        ports: Vec<u16>,
    },
    /// `corosync-cfgtool -R`: every node of the cluster reads its corosync.conf again.
    ReloadCorosync,
    /// Pacemaker leaves all resources as they are (on) or manages them again (off).
    Maintenance {
        /// On or off.
        on: bool,
    },
    /// Bring the CIB to this configuration by one patch, made against the live CIB that the guard names and
    /// conditional on its version: while the guard holds, it consists of exactly these changes.
    PatchCib {
        /// The wanted `<cib>`, secrets as markers.
        desired: String,
        /// The changes in words, for people; secrets masked.
        changes: Vec<String>,
    },
    /// Move what Pacemaker runs on a node elsewhere (on), or let it come back (off).
    Standby {
        /// Which node.
        target: NodeName,
        /// On or off.
        on: bool,
    },
    /// Copy a directory to a volume, whole and durably, unless an earlier run finished that.
    SeedDirectory {
        /// The directory, an absolute path.
        directory: Utf8PathBuf,
        /// Where the volume is mounted.
        mount: Utf8PathBuf,
        /// How to come to the volume where it is not mounted yet.
        open: Option<SeedSource>,
    },
    /// Set a directory aside and put a link in its place.
    LinkDirectory {
        /// The directory, an absolute path.
        directory: Utf8PathBuf,
        /// What the link leads to.
        target: Utf8PathBuf,
    },
    /// Forget what hactl recorded on the node.
    ForgetLedger,
    /// Have Pacemaker stop every resource of the cluster.
    StopAllResources,
    /// Remove the state that Pacemaker and corosync keep on disk.
    RemoveClusterState,
    /// Record in the node's ledger, durably, that a device is claimed: before the first byte on it.
    ClaimDevice {
        /// What for.
        purpose: String,
        /// Which device, and what its user puts on it.
        entry: ClaimEntry,
    },
    /// Take a claim out of the node's ledger. What is on the device stays.
    ReleaseClaim {
        /// What for.
        purpose: String,
    },
    /// Remove everything that is recognised on the device that the guard names.
    WipeSignatures {
        /// The name to reach it by.
        path: String,
        /// What goes, as `type/uuid`.
        signatures: Vec<String>,
    },
    /// Make a file system on the device that the guard names, which holds nothing.
    MakeFilesystem {
        /// The name to reach it by.
        path: String,
        /// Which.
        fstype: FilesystemType,
        /// Its UUID, chosen beforehand.
        uuid: String,
    },
    /// Write SBD's header on the device that the guard names, which holds nothing.
    CreateSbdHeader {
        /// The name to reach it by.
        path: String,
        /// Watchdog timeout in seconds.
        watchdog_timeout_s: u32,
        /// How long a message may take to arrive, in seconds.
        msgwait_timeout_s: u32,
    },
    /// Make a replicated volume's metadata at the end of the device that the guard names, which holds nothing.
    CreateVolumeMetadata {
        /// The volume.
        target: VolumeTarget,
    },
    /// Something that an engine's own tools do to a volume.
    Volume {
        /// The volume.
        target: VolumeTarget,
        /// What.
        verb: VolumeVerb,
    },
    /// Make a file system on a volume that is Primary here and holds nothing, or nothing but what was not completed.
    MakeVolumeFilesystem {
        /// The volume.
        target: VolumeTarget,
        /// Which.
        fstype: FilesystemType,
        /// Its UUID, chosen beforehand.
        uuid: String,
        /// Whether the volume holds one with this UUID that was not completed.
        unfinished: bool,
    },
    /// Grow the mounted file system of a volume to the volume's size.
    GrowVolumeFilesystem {
        /// The volume.
        target: VolumeTarget,
        /// Which.
        fstype: FilesystemType,
        /// Where it is mounted.
        mount: String,
    },
    /// Have Pacemaker forget the failures of a resource on a node, and try again.
    CleanupResource {
        /// Its id.
        resource: String,
        /// The node.
        target: NodeName,
    },
    /// Have systemd read its unit files again.
    ReloadUnitFiles,
    /// Wait for a condition.
    Wait {
        /// What must become true.
        until: Check,
        /// How long it may take, in seconds.
        limit_s: u64,
    },
}

impl Action {
    /// The units that are masked while packages are installed.
    #[must_use]
    pub fn install(packages: &BTreeSet<String>, keep_stopped: &BTreeSet<String>) -> Self {
        Self::InstallPackages {
            packages: packages.iter().cloned().collect(),
            keep_stopped: keep_stopped.iter().cloned().collect(),
        }
    }

    /// A wait.
    #[must_use]
    pub fn wait(until: Check, limit: Duration) -> Self {
        Self::Wait { until, limit_s: limit.as_secs() }
    }

    /// Whether it only sees that the others can be done. Nothing is changed on any node before all of these hold.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::CheckPackages { .. } | Self::CheckLinks { .. })
    }

    /// The digest of the file that this action leaves behind, where that is known before secrets are revealed.
    #[must_use]
    pub fn file_digest(&self) -> Option<Digest> {
        match self {
            Self::ReplaceFile { content, .. } if !crate::secrets::has_marker(content) => {
                Some(Digest::of(content.as_bytes()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstallPackages { packages, .. } => write!(f, "install {}", packages.join(" ")),
            Self::CheckPackages { packages } => {
                write!(f, "check that {} can be installed", packages.join(" "))
            }
            Self::RemovePackages { packages } => write!(f, "remove packages {}", packages.join(" ")),
            Self::ReplaceFile { path, mode, .. } => write!(f, "write {path} ({mode:04o})"),
            Self::InstallProgram { path, digest } => write!(f, "put hactl at {path} ({})", digest.short()),
            Self::RemoveFile { path, restore: None } => write!(f, "remove {path}"),
            Self::RemoveFile { path, restore: Some(_) } => write!(f, "put back the earlier {path}"),
            Self::Unit { unit, verb } => write!(f, "{} {unit}", verb.word()),
            Self::GenerateSecret { path, size_bytes, .. } => {
                write!(f, "make {path} ({size_bytes} random bytes)")
            }
            Self::CopySecret { path, from } => write!(f, "copy {path} from {from}"),
            Self::LoadModule { name } => write!(f, "load kernel module {name}"),
            Self::SetSysctl { key, value } => write!(f, "set {key} = {value}"),
            Self::CheckLinks { addresses, ports, .. } => {
                write!(f, "check {} links between {} nodes", ports.len(), addresses.len())
            }
            Self::ReloadCorosync => f.write_str("reload corosync on all nodes"),
            Self::Maintenance { on: true } => {
                f.write_str("maintenance mode on (resources keep running unmanaged)")
            }
            Self::Maintenance { on: false } => f.write_str("maintenance mode off"),
            Self::PatchCib { changes, .. } => {
                write!(f, "change the CIB ({} changes, one patch)", changes.len())
            }
            Self::Standby { target, on: true } => write!(f, "standby {target}"),
            Self::Standby { target, on: false } => write!(f, "unstandby {target}"),
            Self::SeedDirectory { directory, mount, .. } => {
                write!(f, "copy {directory} to the volume at {mount}")
            }
            Self::LinkDirectory { directory, target } => {
                write!(f, "set {directory} aside and link it to {target}")
            }
            Self::ForgetLedger => f.write_str("forget what hactl recorded"),
            Self::StopAllResources => f.write_str("stop every resource of the cluster"),
            Self::RemoveClusterState => f.write_str("remove the state of corosync and Pacemaker"),
            Self::ClaimDevice { purpose, entry } => {
                write!(f, "record that {} is claimed for {purpose}", entry.identity)
            }
            Self::ReleaseClaim { purpose } => {
                write!(f, "forget the claim for {purpose} (what is on the device stays)")
            }
            Self::WipeSignatures { path, signatures } => {
                write!(f, "wipe {} on {path}", signatures.join(" and "))
            }
            Self::MakeFilesystem { path, fstype, uuid } => {
                write!(f, "make {} on {path} (UUID {uuid})", fstype.word())
            }
            Self::CreateSbdHeader { path, .. } => write!(f, "write the SBD header on {path}"),
            Self::CreateVolumeMetadata { target } => {
                write!(f, "make the metadata of {} on {}", target.volume.engine.title(), target.path)
            }
            Self::Volume { target, verb } => write!(f, "{verb} volume {}", target.volume),
            Self::MakeVolumeFilesystem { target, fstype, uuid, .. } => {
                write!(f, "make {} on {} (UUID {uuid})", fstype.word(), target.volume.device())
            }
            Self::GrowVolumeFilesystem { target, fstype, .. } => {
                write!(f, "grow {} on {}", fstype.word(), target.volume.device())
            }
            Self::CleanupResource { resource, target } => {
                write!(f, "forget the failures of {resource} on {target}")
            }
            Self::ReloadUnitFiles => f.write_str("have systemd read its unit files again"),
            Self::Wait { until, limit_s } => write!(f, "wait until {until} (at most {limit_s} s)"),
        }
    }
}
