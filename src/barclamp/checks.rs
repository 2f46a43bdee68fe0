//! `checks.yml`: what `hactl verify` asserts of a cluster that uses a barclamp.
//!
//! In: the file. Out: typed checks whose texts are still templates; then, for one cluster, rendered ones. Who looks
//! is `verify`'s matter.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::BarclampError;
use super::folder::Folder;
use super::item::On;
use super::templates::{condition, is_template};
use crate::engine::VolumeId;
use crate::names::{BarclampName, NodeName};

/// The file of checks.
pub(super) const CHECKS_FILE: &str = "checks.yml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChecksFile {
    #[serde(default)]
    checks: Vec<CheckFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckFile {
    id: Spanned<String>,
    summary: String,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    quorum: Option<Empty>,
    #[serde(default)]
    nodes_online: Option<Empty>,
    #[serde(default)]
    fencing: Option<Empty>,
    #[serde(default)]
    running: Option<RunningCheck>,
    #[serde(default)]
    unit: Option<UnitCheck>,
    #[serde(default)]
    http: Option<HttpCheck>,
    #[serde(default)]
    tcp: Option<TcpCheck>,
    #[serde(default)]
    replication: Option<Empty>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunningCheck {
    #[serde(default)]
    resources: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitCheck {
    name: String,
    active: bool,
    #[serde(default)]
    on: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpCheck {
    url: String,
    status: u16,
    #[serde(default)]
    contains: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TcpCheck {
    address: String,
    port: String,
}

/// A check of a barclamp, its texts still templates.
#[derive(Debug, Clone)]
pub struct CheckItem {
    /// Its name inside the barclamp.
    pub id: String,
    /// The line it stands on.
    pub line: u64,
    /// Whether it stands in the family's folder.
    pub inherited: bool,
    /// What it asserts, in a line.
    pub summary: String,
    /// An expression that must be true for it to be made.
    pub when: Option<String>,
    /// Which nodes it is for, if it is for single ones.
    pub on: On,
    /// What is looked at.
    pub expect: Expect,
}

/// What a check looks at. A closed set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The cluster is quorate.
    Quorum,
    /// Every node is online, clean and not in standby.
    NodesOnline,
    /// Fencing is enabled, every node has a device, and every device runs.
    Fencing,
    /// These volumes are connected and up to date on both sides.
    Replication {
        /// Those that the node has a disk for.
        volumes: BTreeSet<VolumeId>,
    },
    /// These resources run, without failures; all of the inventory's when there are none.
    Running {
        /// Their ids.
        resources: Vec<String>,
    },
    /// A unit is active, or is not.
    Unit {
        /// Its name with suffix.
        name: String,
        /// Whether it is.
        active: bool,
    },
    /// An HTTP request is answered.
    Http {
        /// The address.
        url: String,
        /// The status that is expected.
        status: u16,
        /// What the answer's body must hold.
        contains: Option<String>,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// Host.
        address: String,
        /// Port.
        port: String,
    },
}

/// A check for one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredCheck {
    /// Whose it is.
    pub barclamp: BarclampName,
    /// Its name inside the barclamp.
    pub id: String,
    /// What it asserts, in a line.
    pub summary: String,
    /// The node it is made on; `None` when it is the cluster's.
    pub node: Option<NodeName>,
    /// What is looked at.
    pub expect: Expect,
}

impl Expect {
    /// Its texts that may be templates.
    fn texts(&self) -> Vec<&String> {
        match self {
            Self::Quorum | Self::NodesOnline | Self::Fencing | Self::Replication { .. } => Vec::new(),
            Self::Running { resources } => resources.iter().collect(),
            Self::Unit { name, .. } => vec![name],
            Self::Http { url, contains, .. } => std::iter::once(url).chain(contains).collect(),
            Self::Tcp { address, port } => vec![address, port],
        }
    }

    /// The same with every text replaced.
    pub(super) fn map<E>(&self, mut text: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Running { resources } => {
                Self::Running { resources: resources.iter().map(|id| text(id)).collect::<Result<_, E>>()? }
            }
            Self::Unit { name, active } => Self::Unit { name: text(name)?, active: *active },
            Self::Http { url, status, contains } => Self::Http {
                url: text(url)?,
                status: *status,
                contains: contains.as_deref().map(text).transpose()?,
            },
            Self::Tcp { address, port } => Self::Tcp { address: text(address)?, port: text(port)? },
            plain @ (Self::Quorum | Self::NodesOnline | Self::Fencing | Self::Replication { .. }) => {
                plain.clone()
            }
        })
    }
}

impl CheckItem {
    /// The texts of it that are templates.
    pub(super) fn templates(&self) -> Vec<String> {
        let texts = self.expect.texts().into_iter().filter(|text| is_template(text)).cloned();
        texts.chain(self.when.as_deref().map(condition)).collect()
    }
}

/// Reads the checks of a folder.
///
/// # Errors
/// Every one that is wrong.
pub(super) fn load_checks(folder: &Folder) -> Result<Vec<CheckItem>, Vec<BarclampError>> {
    let file: ChecksFile = folder.yaml_if_any(CHECKS_FILE).map_err(|error| vec![error])?;
    let mut checks: Vec<CheckItem> = Vec::new();
    let mut errors = Vec::new();
    for written in file.checks {
        let line = written.id.referenced.line();
        match read_check(written) {
            Ok(check) if checks.iter().any(|other| other.id == check.id) => {
                errors.push(folder.error(
                    CHECKS_FILE,
                    Some(line),
                    format!("there are two checks `{}`", check.id),
                ));
            }
            Ok(check) => checks.push(check),
            Err(message) => errors.push(folder.error(CHECKS_FILE, Some(line), message)),
        }
    }
    if errors.is_empty() { Ok(checks) } else { Err(errors) }
}

fn read_check(written: CheckFile) -> Result<CheckItem, String> {
    let line = written.id.referenced.line();
    let on = written
        .unit
        .as_ref()
        .and_then(|unit| unit.on.as_deref())
        .map_or(Ok(On::All), super::item::parse_on)?;
    let expected: Vec<Expect> = [
        written.quorum.map(|Empty {}| Expect::Quorum),
        written.nodes_online.map(|Empty {}| Expect::NodesOnline),
        written.fencing.map(|Empty {}| Expect::Fencing),
        written.running.map(|it| Expect::Running { resources: it.resources }),
        written.unit.map(|it| Expect::Unit { name: it.name, active: it.active }),
        written.http.map(|it| Expect::Http { url: it.url, status: it.status, contains: it.contains }),
        written.replication.map(|Empty {}| Expect::Replication { volumes: BTreeSet::new() }),
        written.tcp.map(|it| Expect::Tcp { address: it.address, port: it.port }),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut expected = expected.into_iter();
    let (Some(expect), None) = (expected.next(), expected.next()) else {
        return Err(format!("check `{}` must look at exactly one thing", written.id.value));
    };
    let inherited = false;
    Ok(CheckItem {
        id: written.id.value,
        line,
        inherited,
        summary: written.summary,
        when: written.when,
        on,
        expect,
    })
}
