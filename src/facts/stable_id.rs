//! What a device is called for ever.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An identity that survives a reboot and a change of the order in which devices are found. In order of preference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum StableId {
    /// World wide name, or the EUI or NGUID of an NVMe namespace.
    Wwn {
        /// As the kernel says, lower case: `0x5000c500a1b2c3d4`, `eui.0025388b710116a1`.
        wwn: String,
    },
    /// Model and serial number.
    Serial {
        /// The model; empty where the device has none (virtio).
        model: String,
        /// The serial number.
        serial: String,
    },
    /// Where it is plugged in.
    Path {
        /// The link below `/dev/disk/by-path`, or of a map below `/dev/mapper`.
        link: String,
    },
    /// A bare device node, accepted in the inventory although its name may move.
    Unstable {
        /// The device node.
        path: String,
    },
}

impl fmt::Display for StableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wwn { wwn } => write!(f, "wwn {wwn}"),
            Self::Serial { model, serial } if model.is_empty() => write!(f, "serial {serial}"),
            Self::Serial { model, serial } => write!(f, "{model} serial {serial}"),
            Self::Path { link } => f.write_str(link),
            Self::Unstable { path } => write!(f, "{path} (unstable)"),
        }
    }
}
