//! What is done to replicated volumes, and what is waited for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::FilesystemType;
use crate::engine::VolumeId;

/// A replicated volume on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeTarget {
    /// The volume.
    #[serde(flatten)]
    pub volume: VolumeId,
    /// The claimed device that it lies on there.
    pub path: String,
}

/// What is done to a volume by its engine's own tools. Each looks first whether the volume is still as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeVerb {
    /// Attach the disk and connect.
    Up,
    /// Take over changed options.
    Adjust,
    /// Neither side has data: this one's disk becomes the volume, and is copied to the peer.
    FirstSync,
    /// Neither side has data: both disks count as equal.
    SkipFirstSync,
    /// Promote.
    Primary,
    /// Demote.
    Secondary,
    /// Use what both disks have grown by.
    Resize,
    /// Give up the changes of this generation and take the peer's.
    DiscardMyData {
        /// The generation that may be lost, and no other.
        generation: String,
    },
    /// Connect again.
    Connect,
}

impl VolumeVerb {
    /// Its name in ids of steps.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Adjust => "adjust",
            Self::FirstSync => "first-sync",
            Self::SkipFirstSync => "skip-first-sync",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Resize => "resize",
            Self::DiscardMyData { .. } => "discard-my-data",
            Self::Connect => "connect",
        }
    }
}

impl fmt::Display for VolumeVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "bring up",
            Self::Adjust => "adjust",
            Self::FirstSync => "make this side the source of the first synchronisation of",
            Self::SkipFirstSync => "skip the first synchronisation of",
            Self::Primary => "promote",
            Self::Secondary => "demote",
            Self::Resize => "grow",
            Self::DiscardMyData { generation } => {
                return write!(f, "give up the changes of generation {generation} of");
            }
            Self::Connect => "connect",
        })
    }
}

/// How far a volume must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeGoal {
    /// The sides see each other.
    Connected,
    /// Both sides hold the same, newest data.
    UpToDate,
}

impl VolumeGoal {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::UpToDate => "up to date on both sides",
        }
    }
}

/// How a volume is mounted, for a moment and for one process only, before the cluster mounts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSource {
    /// The device.
    pub device: String,
    /// What is on it.
    pub fstype: FilesystemType,
    /// The command that makes it writable; none where it is.
    pub open: Vec<String>,
    /// The command that undoes that.
    pub close: Vec<String>,
}
