//! What is compared: the raw disk, and everything that makes a volume of two of them. Another engine is another side.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::engine;
use crate::pair::{PEER, Pair, WRITER};

/// How often it is looked whether the volume is whole, and for how many seconds.
pub(crate) const SYNC_LIMIT_S: u32 = 120;

/// How the engine's links are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Authenticated and encrypted, the default.
    Encrypted,
    /// Neither.
    Open,
}

/// How the engine hands a volume to its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Export {
    /// As a block device, to be mounted.
    Device,
    /// By NBD on a unix socket.
    Nbd,
}

/// A device to write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A disk of the writer, as it is.
    Raw,
    /// The kernel's DRBD, protocol C, over a disk of each node and the second network.
    Drbd,
    /// The engine of this program, protocol C, likewise. A volume for each kind of link; both exports are of that volume.
    Engine(Link, Export),
}

/// All sides; the first one is what the others are compared with.
pub(crate) const SIDES: [Side; 6] = [
    Side::Raw,
    Side::Drbd,
    Side::Engine(Link::Encrypted, Export::Device),
    Side::Engine(Link::Open, Export::Device),
    Side::Engine(Link::Encrypted, Export::Nbd),
    Side::Engine(Link::Open, Export::Nbd),
];

impl Side {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Drbd => "DRBD",
            Self::Engine(Link::Encrypted, Export::Device) => "engine, device, encrypted",
            Self::Engine(Link::Open, Export::Device) => "engine, device, open",
            Self::Engine(Link::Encrypted, Export::Nbd) => "engine, NBD, encrypted",
            Self::Engine(Link::Open, Export::Nbd) => "engine, NBD, open",
        }
    }

    /// fio's words for where it writes on the writer, past the page cache.
    pub(crate) fn target(self) -> String {
        let device = |path: &str| format!("--ioengine=libaio --direct=1 --filename={path}");
        match self {
            Self::Raw => device("/dev/disk/by-id/virtio-alpha-raw"),
            Self::Drbd => device("/dev/drbd0"),
            Self::Engine(link, Export::Device) => device(&engine::device(link)),
            Self::Engine(link, Export::Nbd) => format!("--ioengine=nbd --uri='{}'", engine::uri(link)),
        }
    }

    /// The disks below it: node and name.
    pub(crate) fn disks(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Raw => vec![(WRITER, "raw")],
            Self::Drbd => vec![(WRITER, "data"), (PEER, "data")],
            // Two sides write to them, and they are slowed down once.
            Self::Engine(link, Export::Device) => {
                vec![(WRITER, engine::volume(link)), (PEER, engine::volume(link))]
            }
            Self::Engine(_, Export::Nbd) => vec![],
        }
    }

    /// Makes the device.
    pub(crate) fn set_up(self, pair: &Pair) -> Result<()> {
        match self {
            // NBD is another way to the volume that is already there.
            Self::Raw | Self::Engine(_, Export::Nbd) => Ok(()),
            Self::Drbd => drbd(pair),
            Self::Engine(link, Export::Device) => engine::set_up(pair, link),
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
