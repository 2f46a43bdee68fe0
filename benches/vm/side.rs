//! What is compared: the raw disk, and everything that makes a volume of two of them. Another engine is another side.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::pair::{PEER, Pair, WRITER};

/// How often it is looked whether the volume is whole, and for how many seconds.
const SYNC_LIMIT_S: u32 = 120;

/// A device to write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A disk of the writer, as it is.
    Raw,
    /// The kernel's DRBD, protocol C, over a disk of each node and the second network.
    Drbd,
}

/// All sides; the first one is what the others are compared with.
pub(crate) const SIDES: [Side; 2] = [Side::Raw, Side::Drbd];

impl Side {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Drbd => "DRBD (protocol C)",
        }
    }

    /// The device on the writer.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::Raw => "/dev/disk/by-id/virtio-alpha-raw",
            Self::Drbd => "/dev/drbd0",
        }
    }

    /// The disks below it: node and name.
    pub(crate) fn disks(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Raw => vec![(WRITER, "raw")],
            Self::Drbd => vec![(WRITER, "data"), (PEER, "data")],
        }
    }

    /// Makes the device.
    pub(crate) fn set_up(self, pair: &Pair) -> Result<()> {
        match self {
            Self::Raw => Ok(()),
            Self::Drbd => drbd(pair),
        }
    }
}

fn drbd(pair: &Pair) -> Result<()> {
    let mut resource = String::from("resource bench {\n  net { protocol C; }\n");
    for node in [WRITER, PEER] {
        let address = pair.second_address(node)?;
        writeln!(
            resource,
            "  on {node} {{ device /dev/drbd0; disk /dev/disk/by-id/virtio-{node}-data; address {address}:7788; \
             meta-disk internal; }}"
        )?;
    }
    resource.push_str("}\n");
    for node in [WRITER, PEER] {
        let up = format!(
            "printf '%s' '{resource}' >/etc/drbd.d/bench.res && modprobe drbd && \
             drbdadm create-md --force bench && drbdadm up bench"
        );
        pair.on(node, &up)?;
    }
    // Both disks are blank: they are called equal, not copied.
    let until = |state: &str| {
        format!(
            "for i in $(seq {SYNC_LIMIT_S}); do grep -q '{state}' /proc/drbd && exit 0; sleep 1; done; cat /proc/drbd; exit 1"
        )
    };
    pair.on(WRITER, &until("cs:Connected")).context("the two sides do not meet")?;
    pair.on(WRITER, "drbdadm -- --clear-bitmap new-current-uuid bench/0 && drbdadm primary bench")?;
    pair.on(WRITER, &until("ds:UpToDate/UpToDate")).context("the two sides do not agree")?;
    Ok(())
}
