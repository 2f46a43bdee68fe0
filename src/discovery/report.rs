//! What `hactl discover` tells of each node beyond the base facts: software, units, the cluster that is or was there.
//!
//! In: facts with the answers to [`report_queries`]. Out: [`Report`], a document whose format carries a version. It
//! never holds the CIB nor the text of a file: passwords may be in them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cib::{ClusterStatus, NodeStatus, parse_crm_mon};
use crate::claims::JudgedDevice;
use crate::corosync::{CorosyncConf, parse_quorum_status};
use crate::facts::{
    ClusterQuery, Fact, FleetFacts, NodeFacts, NodeOutcome, Observation, PackageState, Query, UnitState,
};
use crate::names::NodeName;

/// Version of the document's format.
pub const REPORT_FORMAT: u32 = 1;

/// Packages that matter to a cluster.
const PACKAGES: [&str; 13] = [
    "corosync",
    "corosync-qdevice",
    "crmsh",
    "drbd-utils",
    "fence-agents",
    "fence-agents-base",
    "haproxy",
    "pacemaker",
    "pacemaker-cli-utils",
    "pcs",
    "resource-agents",
    "resource-agents-base",
    "sbd",
];
/// Units that matter to a cluster.
const UNITS: [&str; 8] = [
    "corosync-qdevice.service",
    "corosync.service",
    "drbd.service",
    "haproxy.service",
    "multipathd.service",
    "pacemaker.service",
    "pcsd.service",
    "sbd.service",
];
/// corosync's configuration.
const COROSYNC_CONF: &str = "/etc/corosync/corosync.conf";

/// What was found on all nodes.
#[derive(Debug, Clone, Serialize)]
pub struct Report<'a> {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// By node.
    pub nodes: BTreeMap<&'a NodeName, NodeReport<'a>>,
}

/// What was found on one node.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeReport<'a> {
    /// It answered.
    Answered(Box<Findings<'a>>),
    /// It could not be asked, and why.
    Failed(String),
}

/// The findings on a node that answered.
#[derive(Debug, Clone, Serialize)]
pub struct Findings<'a> {
    /// The base facts.
    pub facts: &'a NodeFacts,
    /// What may be done with each block device, with all evidence; empty where the devices are not known.
    pub devices: &'a [JudgedDevice],
    /// Packages that matter to a cluster; one that is not installed has no state.
    pub packages: BTreeMap<&'static str, Fact<Option<PackageState>>>,
    /// Units that matter to a cluster.
    pub units: BTreeMap<&'static str, Fact<UnitState>>,
    /// The cluster there.
    pub cluster: ClusterFindings,
}

/// The cluster that a node belongs to, or once did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterFindings {
    /// What `corosync.conf` calls it; absent without that file.
    pub configured: Fact<Option<Configured>>,
    /// Quorum; absent where corosync does not run.
    pub quorum: Fact<Option<Quorum>>,
    /// Pacemaker's nodes and resources; absent where it does not run.
    pub pacemaker: Fact<Option<Pacemaker>>,
    /// The CIB on disk, which outlives the cluster; absent when there is none.
    pub cib_file: Fact<Option<CibFile>>,
}

/// The cluster of a `corosync.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// `totem.cluster_name`.
    pub cluster_name: Option<String>,
    /// The names (or ids) of its nodes.
    pub nodes: Vec<String>,
}

/// Quorum as corosync sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// Whether there is quorum.
    pub quorate: bool,
    /// Votes that are present.
    pub total_votes: Option<u32>,
    /// Votes that are expected.
    pub expected_votes: Option<u32>,
}

/// The cluster as Pacemaker sees it, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pacemaker {
    /// Its version on the designated controller; absent while there is none.
    pub version: Option<String>,
    /// The designated controller, once one is elected.
    pub dc: Option<String>,
    /// Whether fencing is switched on.
    pub stonith_enabled: bool,
    /// Whether the whole cluster is in maintenance.
    pub maintenance_mode: bool,
    /// The state of each node in Pacemaker's word: `online`, `standby`, `maintenance`, `pending`, `offline`,
    /// `UNCLEAN`.
    pub nodes: BTreeMap<String, &'static str>,
    /// Resources, the instances of clones one by one.
    pub resources: usize,
    /// How many of them run.
    pub active: usize,
    /// What is not as it should be, in words.
    pub problems: Vec<String>,
}

impl Pacemaker {
    fn of(status: &ClusterStatus) -> Self {
        Self {
            version: status.version.clone(),
            dc: status.dc.clone(),
            stonith_enabled: status.stonith_enabled,
            maintenance_mode: status.maintenance_mode,
            nodes: status.nodes.iter().map(|node| (node.name.clone(), state(node))).collect(),
            resources: status.resources.len(),
            active: status.resources.iter().filter(|resource| resource.active).count(),
            problems: status.problems(),
        }
    }
}

/// The state of a node, the gravest thing first.
fn state(node: &NodeStatus) -> &'static str {
    match node {
        NodeStatus { unclean: true, .. } => "UNCLEAN",
        NodeStatus { pending: true, .. } => "pending",
        NodeStatus { online: false, .. } => "offline",
        NodeStatus { maintenance: true, .. } => "maintenance",
        NodeStatus { standby: true, .. } | NodeStatus { standby_onfail: true, .. } => "standby",
        _ => "online",
    }
}

/// What the first line of the CIB on disk tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CibFile {
    /// `cluster-name`, where it is set.
    pub cluster_name: Option<String>,
    /// `cib-last-written`, as it stands there.
    pub last_written: Option<String>,
}

fn file(path: &str) -> Query {
    Query::File { path: path.into(), text: true }
}

/// What a report needs to have asked on every node.
#[must_use]
pub fn report_queries() -> BTreeSet<Query> {
    let packages = PACKAGES.map(|name| Query::Package { name: name.to_owned() });
    let units = UNITS.map(|name| Query::Unit { name: name.to_owned() });
    let reports = [ClusterQuery::Quorum, ClusterQuery::Status, ClusterQuery::LeftoverCib].map(Query::Cluster);
    packages.into_iter().chain(units).chain(reports).chain([file(COROSYNC_CONF)]).collect()
}

impl<'a> Report<'a> {
    /// The report on these facts, with the verdicts on the block devices.
    #[must_use]
    pub fn of(facts: &'a FleetFacts, judged: &'a BTreeMap<NodeName, Vec<JudgedDevice>>) -> Self {
        let node = |name: &NodeName, outcome: &'a NodeOutcome| match outcome {
            NodeOutcome::Answered(facts) => {
                let devices = judged.get(name).map_or(&[][..], Vec::as_slice);
                NodeReport::Answered(Box::new(Findings::of(facts, devices)))
            }
            NodeOutcome::Failed(error) => NodeReport::Failed(error.to_string()),
        };
        let nodes = facts.nodes.iter().map(|(name, outcome)| (name, node(name, outcome)));
        Self { format: REPORT_FORMAT, nodes: nodes.collect() }
    }
}

impl<'a> Findings<'a> {
    fn of(facts: &'a NodeFacts, devices: &'a [JudgedDevice]) -> Self {
        let package = |name: &'static str| match facts.observation(&Query::Package { name: name.to_owned() })
        {
            Observation::Package(state) => (name, Fact::Known(state)),
            other => (name, unknown(other)),
        };
        let unit = |name: &'static str| match facts.observation(&Query::Unit { name: name.to_owned() }) {
            Observation::Unit(state) => (name, Fact::Known(state)),
            other => (name, unknown(other)),
        };
        Self {
            facts,
            devices,
            packages: PACKAGES.into_iter().map(package).collect(),
            units: UNITS.into_iter().map(unit).collect(),
            cluster: ClusterFindings::of(facts),
        }
    }
}

impl ClusterFindings {
    fn of(facts: &NodeFacts) -> Self {
        Self {
            configured: configured(facts),
            quorum: report(facts, ClusterQuery::Quorum, |text| {
                let status = parse_quorum_status(text).map_err(|error| error.to_string())?;
                let (total_votes, expected_votes) = (status.total_votes, status.expected_votes);
                Ok(Quorum { quorate: status.quorate, total_votes, expected_votes })
            }),
            pacemaker: report(facts, ClusterQuery::Status, |text| {
                parse_crm_mon(text).map(|status| Pacemaker::of(&status)).map_err(|error| error.to_string())
            }),
            cib_file: report(facts, ClusterQuery::LeftoverCib, |text| Ok(cib_file(text))),
        }
    }
}

/// An observation that is not of the expected kind: unknown, with its reason.
fn unknown<T>(observation: Observation) -> Fact<T> {
    match observation {
        Observation::Unknown(why) => Fact::Unknown(why),
        _ => Fact::Unknown("it was answered with something else".to_owned()),
    }
}

fn report<T>(
    facts: &NodeFacts,
    query: ClusterQuery,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Fact<Option<T>> {
    match facts.observation(&Query::Cluster(query)) {
        Observation::Text(text) => text.as_deref().map(read).transpose().into(),
        other => unknown(other),
    }
}

fn configured(facts: &NodeFacts) -> Fact<Option<Configured>> {
    match facts.observation(&file(COROSYNC_CONF)) {
        Observation::File(None) => Fact::Known(None),
        Observation::File(Some(state)) => match state.text.as_deref().map(CorosyncConf::parse) {
            Some(Ok(conf)) => Fact::Known(Some(Configured {
                cluster_name: conf.cluster_name().map(str::to_owned),
                nodes: conf.nodes().iter().map(|node| node.label().to_owned()).collect(),
            })),
            Some(Err(error)) => Fact::Unknown(format!("{COROSYNC_CONF}: {error}")),
            None => Fact::Unknown(format!("{COROSYNC_CONF} is not a text")),
        },
        other => unknown(other),
    }
}

/// Reads the two tags that discovery keeps of the CIB on disk.
fn cib_file(text: &str) -> CibFile {
    let attribute = |tag: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(tag))?;
        let rest = line.split_once(&format!(" {name}=\""))?.1;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    CibFile {
        cluster_name: attribute("<nvpair ", "value"),
        last_written: attribute("<cib ", "cib-last-written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> String {
        let path = format!("{}/tests/fixtures/discovery/cluster/{name}.out", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("a fixture")
    }

    fn facts(observed: impl IntoIterator<Item = (Query, Observation)>) -> NodeFacts {
        NodeFacts { observed: observed.into_iter().collect(), ..NodeFacts::unknown("not asked") }
    }

    #[test]
    fn a_running_cluster_is_summed_up_without_its_cib() {
        let text = |name| Observation::Text(Some(fixture(name)));
        let facts = facts([
            (Query::Cluster(ClusterQuery::Quorum), text("quorum_one_node")),
            (Query::Cluster(ClusterQuery::Status), text("status_one_node")),
            (Query::Cluster(ClusterQuery::LeftoverCib), text("leftover_cib_one_node")),
            (Query::Cluster(ClusterQuery::Cib), text("cib_one_node")),
        ]);
        let findings = ClusterFindings::of(&facts);
        let quorum = Quorum { quorate: true, total_votes: Some(1), expected_votes: Some(1) };
        assert_eq!(findings.quorum, Fact::Known(Some(quorum)));
        let cib_file = findings.cib_file.known().cloned().flatten().expect("known");
        assert_eq!(cib_file.cluster_name.as_deref(), Some("alpha"));
        assert_eq!(cib_file.last_written.as_deref(), Some("Sun Nov 22 05:38:22 2026"));
        let pacemaker = findings.pacemaker.known().cloned().flatten().expect("known");
        assert_eq!(pacemaker.dc.as_deref(), Some("n1"));
        assert_eq!(findings.configured, Fact::Unknown("it was not asked".to_owned()));
        let document = serde_json::to_string(&Findings::of(&facts, &[])).expect("JSON");
        assert!(!document.contains("<cib") && !document.contains("configuration"), "{document}");
    }

    #[test]
    fn a_bare_node_has_no_cluster() {
        let absent = |query| (Query::Cluster(query), Observation::Text(None));
        let facts = facts([
            absent(ClusterQuery::Quorum),
            absent(ClusterQuery::Status),
            absent(ClusterQuery::LeftoverCib),
            (file(COROSYNC_CONF), Observation::File(None)),
        ]);
        let findings = ClusterFindings::of(&facts);
        assert_eq!(findings.configured, Fact::Known(None));
        assert_eq!(findings.quorum, Fact::Known(None));
        assert_eq!(findings.pacemaker, Fact::Known(None));
        assert_eq!(findings.cib_file, Fact::Known(None));
    }
}
