//! What `resources.yml` says of block devices: the need for one, and what is put on it.

use serde::Deserialize;

use crate::claims::ExpectedUuid;
use crate::engine::Engine;

/// `claim`: a need for a block device. Its texts cannot see `node.claims`, which comes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimItem {
    /// Which device that is, in a line, for people who look for one.
    pub summary: String,
    /// Its name below `claims` in the inventory, and in `node.claims` for templates.
    pub name: String,
    /// What for, as the ledgers of the nodes call it; unique in the cluster.
    pub purpose: String,
    /// How the devices of several nodes relate: `own` (default), `replicas` or `shared`.
    #[serde(default)]
    pub across: AcrossWord,
    /// Smallest size that will do: `64MiB`.
    pub minimum_size: String,
    /// What its user puts on it; anything else found there is somebody else's.
    pub expects: Vec<ExpectsItem>,
}

/// How the devices of one purpose on several nodes relate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcrossWord {
    /// Each node has its own.
    #[default]
    Own,
    /// They replicate each other.
    Replicas,
    /// All nodes use the same one.
    Shared,
}

/// A signature that the user of a device puts there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectsItem {
    /// As libblkid names it: `ext4`, `xfs`; `sbd`, `drbd`, `replica` for what it does not know.
    pub kind: String,
    /// `derived`: it has the UUID in `node.claims.NAME.uuid`; `common`: one that is the same on all nodes; default
    /// `any`.
    #[serde(default)]
    pub uuid: UuidWord,
}

/// Which UUID a signature has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UuidWord {
    /// Whatever its user gives it, or none.
    #[default]
    Any,
    /// The one that follows from the claim.
    Derived,
    /// The one that follows from the purpose, the same on all nodes.
    Common,
}

impl From<UuidWord> for ExpectedUuid {
    fn from(word: UuidWord) -> Self {
        match word {
            UuidWord::Any => Self::Any,
            UuidWord::Derived => Self::Derived,
            UuidWord::Common => Self::Common,
        }
    }
}

/// `filesystem`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesystemItem {
    /// The `name` of the claim whose device it is made on.
    pub claim: String,
    /// `ext4` or `xfs`.
    #[serde(rename = "type")]
    pub fstype: String,
}

/// `sbd_header`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SbdHeaderItem {
    /// The `name` of the claim whose device it is written on.
    pub claim: String,
    /// Watchdog timeout in seconds.
    pub watchdog_timeout_s: String,
    /// How long a message may take to arrive, in seconds.
    pub msgwait_timeout_s: String,
}

/// `volume`: everything else stands in the attribute `volumes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeItem {
    /// Its name below `volumes`.
    pub name: String,
    /// What replicates it.
    pub engine: Engine,
}

/// `program`: the running program, for what runs on the nodes by it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramItem {
    /// Absolute path on the node.
    pub path: String,
}
