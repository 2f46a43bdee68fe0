//! A resource of DRBD as typed values: hosts, volumes, connections, options.

use std::collections::BTreeMap;
use std::fmt;

use super::options::{Options, Sections};
use super::tree::Entry;
use super::word::WordError;

/// Why a tree is no resource, or a resource cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A value that is not what must stand there.
    #[error("resource {resource:?}: {found:?} is no {wanted}")]
    Value {
        /// The resource's name; empty outside of one.
        resource: String,
        /// What should stand there.
        wanted: &'static str,
        /// What stands there.
        found: String,
    },
    /// Something is said twice.
    #[error("resource {resource:?}: {what} is said twice")]
    Twice {
        /// The resource's name.
        resource: String,
        /// What.
        what: String,
    },
    /// A value that cannot be written.
    #[error(transparent)]
    Word(#[from] WordError),
}

/// The kind of address of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Sockets Direct Protocol.
    Sdp,
    /// Dolphin's super sockets.
    Ssocks,
    /// An old name of `ssocks`.
    Sci,
}

impl Family {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Ipv4, Self::Ipv6, Self::Sdp, Self::Ssocks, Self::Sci];

    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Sdp => "sdp",
            Self::Ssocks => "ssocks",
            Self::Sci => "sci",
        }
    }
}

/// Where a host listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The kind.
    pub family: Family,
    /// The IP address, without brackets.
    pub ip: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    /// `10.0.0.1:7788`, `[fd00::1]:7788`; without the family.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ip.contains(':') {
            write!(f, "[{}]:{}", self.ip, self.port)
        } else {
            write!(f, "{}:{}", self.ip, self.port)
        }
    }
}

/// The replicated device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// `/dev/drbd1` or a name below `/dev/drbd_`; by default made from the minor.
    pub path: Option<String>,
    /// The minor, where it does not follow from the path.
    pub minor: Option<u32>,
}

/// Where metadata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaDisk {
    /// At the end of the backing device.
    Internal,
    /// On a device of its own, all of it.
    External(String),
    /// On a device that holds several, at this place.
    Indexed(String, u32),
}

/// A volume of a resource, or what differs of it on one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// The replicated device.
    pub device: Option<Device>,
    /// The backing device; `none` for a host without one.
    pub disk: Option<String>,
    /// Where metadata is.
    pub meta_disk: Option<MetaDisk>,
    /// `disk { … }` in the volume.
    pub disk_options: Options,
}

impl Volume {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a host is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKind {
    /// `on NAME …`: by its name (`uname -n`), one of several.
    On(Vec<String>),
    /// `floating`: by its address.
    Floating,
    /// `stacked-on-top-of RESOURCE`: where that resource is Primary.
    Stacked(String),
}

/// A host of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// How it is found.
    pub kind: HostKind,
    /// The node id (DRBD 9).
    pub node_id: Option<u8>,
    /// Where it listens.
    pub address: Option<Address>,
    /// What is said of volumes for this host.
    pub volumes: BTreeMap<u16, Volume>,
    /// Options for this host.
    pub sections: Sections,
    /// What has no place here (proxy), as it is.
    pub other: Vec<Entry>,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: String,
    /// Where it listens for this connection.
    pub address: Option<Address>,
    /// The port, where the address is that of the host.
    pub port: Option<u16>,
}

/// A connection between two hosts (DRBD 9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Its name; without one, that of the peer.
    pub name: Option<String>,
    /// Its two ends, where it has one path.
    pub endpoints: Vec<Endpoint>,
    /// Its paths, where it has several.
    pub paths: Vec<Vec<Endpoint>>,
    /// Options of the connection, and of its volumes (`disk`).
    pub sections: Sections,
    /// Options of single volumes over this connection.
    pub volumes: BTreeMap<u16, Options>,
    /// What has no place here (proxy), as it is.
    pub other: Vec<Entry>,
}

/// Connections of every host with every other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mesh {
    /// The hosts.
    pub hosts: Vec<String>,
    /// Options of the connections.
    pub sections: Sections,
}

/// A resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Volumes, as far as they are the same on all hosts. What stands outside of `volume` is volume 0.
    pub volumes: BTreeMap<u16, Volume>,
    /// Its hosts, in file order.
    pub hosts: Vec<Host>,
    /// Its connections, in file order.
    pub connections: Vec<Connection>,
    /// Its meshes, in file order.
    pub meshes: Vec<Mesh>,
    /// Options.
    pub sections: Sections,
    /// What has no place here (proxy), as it is.
    pub other: Vec<Entry>,
}
