//! What a resource asks about a node, and the answer.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::Digest;
use crate::engine::VolumeId;

/// One thing that a resource needs to know about a node to be judged. A closed set: discovery merges the
/// queries of all resources into one script per node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// A regular file: digest, mode, owner, time; and its text when `text` is set.
    File {
        /// Absolute path.
        path: Utf8PathBuf,
        /// Whether the content is wanted (never for secrets).
        text: bool,
    },
    /// A package of the distribution.
    Package {
        /// Its name.
        name: String,
    },
    /// A systemd unit.
    Unit {
        /// Its name with suffix: `corosync.service`.
        name: String,
    },
    /// A kernel module.
    Module {
        /// Its name.
        name: String,
    },
    /// A kernel parameter.
    Sysctl {
        /// Its key with dots.
        key: String,
    },
    /// The state of the cluster stack.
    Cluster(ClusterQuery),
    /// The version of DRBD's kernel module; absent where the running kernel has none.
    DrbdModule,
    /// All replicated volumes, as their engines tell them.
    Volumes,
    /// One replicated volume.
    Volume(VolumeQuery),
    /// A directory that is to live on a volume.
    Seeded(SeededQuery),
}

/// Which directory is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeededQuery {
    /// The directory, an absolute path.
    pub directory: Utf8PathBuf,
    /// Where the volume is mounted.
    pub mount: Utf8PathBuf,
}

/// Which replicated volume is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeQuery {
    /// The volume.
    #[serde(flatten)]
    pub volume: VolumeId,
    /// The device that it lies on, where all about it is wanted, and not only its state.
    pub device: Option<String>,
}

/// One of the cluster stack's own reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterQuery {
    /// The live CIB, `cibadmin --query`; absent when Pacemaker does not run here.
    Cib,
    /// `crm_mon -1 --output-as=xml`; absent when Pacemaker does not run here.
    Status,
    /// `corosync-cmapctl`: the configuration that corosync runs with; absent when it does not run.
    Cmap,
    /// `corosync-quorumtool -s`; absent when corosync does not run.
    Quorum,
    /// `corosync-cfgtool -s`: over which links each peer is reached; absent when corosync does not run.
    Links,
    /// `idle` when Pacemaker has nothing left to do, or else what it has; absent when Pacemaker does not run here.
    Idle,
    /// Whether a CIB of an earlier cluster lies in `/var/lib/pacemaker/cib`.
    LeftoverCib,
}

/// The answer to a [`Query`].
#[derive(Clone, PartialEq, Eq)]
pub enum Observation {
    /// A file, or its absence.
    File(Option<FileState>),
    /// A package, or its absence.
    Package(Option<PackageState>),
    /// A unit; one that does not exist has `load_state` `not-found`.
    Unit(UnitState),
    /// Text (sysctl, module, cluster reports), or its absence. May hold secrets: never logged.
    Text(Option<String>),
    /// It could not be learned, and why.
    Unknown(String),
}

impl std::fmt::Debug for Observation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(state) => f.debug_tuple("File").field(state).finish(),
            Self::Package(state) => f.debug_tuple("Package").field(state).finish(),
            Self::Unit(state) => f.debug_tuple("Unit").field(state).finish(),
            Self::Text(text) => write!(f, "Text({:?} bytes)", text.as_ref().map(String::len)),
            Self::Unknown(why) => f.debug_tuple("Unknown").field(why).finish(),
        }
    }
}

/// A regular file as it was seen.
#[derive(Clone, PartialEq, Eq)]
pub struct FileState {
    /// Digest of its content.
    pub digest: Digest,
    /// Permission bits.
    pub mode: u32,
    /// Owner's name.
    pub owner: String,
    /// Group's name.
    pub group: String,
    /// Modification time, microseconds since the epoch, on the node's clock.
    pub modified_us: i64,
    /// Its text, when asked for, no larger than the limit, and UTF-8.
    pub text: Option<String>,
}

impl std::fmt::Debug for FileState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileState")
            .field("digest", &self.digest)
            .field("mode", &format_args!("{:04o}", self.mode))
            .field("owner", &self.owner)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageState {
    /// Its version.
    pub version: String,
    /// Whether it is unpacked *and* configured.
    pub configured: bool,
}

/// A systemd unit (`systemctl show`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked`, …
    pub load_state: String,
    /// `ActiveState`: `active`, `inactive`, `failed`, …
    pub active_state: String,
    /// `UnitFileState`: `enabled`, `disabled`, `masked`, `masked-runtime`, …
    pub unit_file_state: String,
    /// `StateChangeTimestamp` in microseconds since the epoch, on the node's clock; 0 when it never started.
    /// A start and a reload both move it.
    pub since_us: i64,
}
