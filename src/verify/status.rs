//! How the clusters are, from what their nodes report. Pure.
//!
//! In: the inventory and facts with the answers to [`status_queries`]. Out: a [`StatusReport`] for people and
//! programs. Never decides what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cib::{ClusterStatus, parse_crm_mon};
use crate::corosync::{LinkStatus, PeerLink, QuorumStatus, parse_link_status, parse_quorum_status};
use crate::drbd::Observed;
use crate::facts::{ClusterQuery, FleetFacts, NodeOutcome, Observation, Query};
use crate::inventory::{Cluster, Node};
use crate::names::{ClusterName, NodeName, RoleName};

/// Version of the report's format.
pub const STATUS_FORMAT: u32 = 1;
/// Most entries of the fencing history that are reported: the newest.
const MAX_FENCE_EVENTS: usize = 10;

/// How the clusters are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// [`STATUS_FORMAT`].
    pub format: u32,
    /// Every cluster, by name.
    pub clusters: Vec<ClusterReport>,
}

/// How one cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterReport {
    /// Its name.
    pub name: ClusterName,
    /// The node whose view this is; absent when Pacemaker runs nowhere.
    pub seen_by: Option<NodeName>,
    /// Pacemaker's version.
    pub pacemaker: Option<String>,
    /// The designated controller.
    pub controller: Option<String>,
    /// Whether nothing is managed.
    pub maintenance: bool,
    /// Quorum; absent when corosync runs nowhere.
    pub quorum: Option<QuorumReport>,
    /// The nodes, in the inventory's order; foreign ones after them.
    pub nodes: Vec<NodeReport>,
    /// Fencing.
    pub fencing: FencingReport,
    /// Resources, fence devices apart.
    pub resources: Vec<ResourceReport>,
    /// Replicated volumes, as each of their nodes sees them.
    pub volumes: Vec<VolumeReport>,
    /// What is not as it should be, in words.
    pub problems: Vec<String>,
}

/// The right to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuorumReport {
    /// Whether the partition has it.
    pub quorate: bool,
    /// Votes present.
    pub votes: Option<u32>,
    /// Votes expected.
    pub expected: Option<u32>,
    /// Votes needed.
    pub needed: Option<u32>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// A member that runs resources.
    Online,
    /// A member that runs nothing.
    Standby,
    /// A member whose resources are left alone.
    Maintenance,
    /// It joins.
    Pending,
    /// Not a member, and known to do nothing.
    Offline,
    /// It waits to be fenced.
    Unclean,
    /// Pacemaker has not told.
    Unknown,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// As Pacemaker sees it.
    pub state: NodeState,
    /// Roles in the inventory.
    pub roles: Vec<RoleName>,
    /// Resources that run on it.
    pub resources: u32,
    /// Its links, as it sees them; empty when corosync does not run there.
    pub links: Vec<LinkReport>,
    /// Why it could not be asked, if so.
    pub unreachable: Option<String>,
}

/// One link of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkReport {
    /// Its number.
    pub number: u8,
    /// The node's address on it.
    pub address: String,
    /// Peers that are not reached over it.
    pub lost: Vec<String>,
}

/// Fencing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FencingReport {
    /// Whether it is switched on.
    pub enabled: bool,
    /// The devices.
    pub devices: Vec<ResourceReport>,
    /// What was fenced, newest first.
    pub history: Vec<FencingEvent>,
}

/// One fencing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FencingEvent {
    /// `reboot`, `off`, `on`.
    pub action: String,
    /// Whom.
    pub target: String,
    /// `success`, `failed`, `pending`.
    pub result: String,
    /// When, as Pacemaker prints it.
    pub when: Option<String>,
    /// By which node.
    pub by: Option<String>,
}

/// One resource, or one instance of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceReport {
    /// Its id.
    pub id: String,
    /// Its agent.
    pub agent: String,
    /// What it is in, outermost first.
    pub parents: Vec<String>,
    /// Its role.
    pub role: String,
    /// Where it runs.
    pub nodes: Vec<String>,
    /// Whether it failed or waits for help.
    pub failed: bool,
    /// Whether Pacemaker manages it.
    pub managed: bool,
    /// The operation that is under way.
    pub pending: Option<String>,
}

/// One side of a replicated volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeReport {
    /// Its name; that of its device where none is known.
    pub name: String,
    /// The node whose view this is.
    pub node: NodeName,
    /// The node's role.
    pub role: String,
    /// How it is connected.
    pub connection: String,
    /// The node's disk.
    pub disk: String,
    /// The peer's disk.
    pub peer_disk: String,
    /// How much of a synchronisation is done, in tenths of a percent.
    pub done_permille: Option<u16>,
    /// What is between this and both sides being equal; absent when nothing is.
    pub problem: Option<String>,
}

/// What has to be asked of every node.
#[must_use]
pub fn status_queries() -> BTreeSet<Query> {
    let cluster = [ClusterQuery::Status, ClusterQuery::Quorum, ClusterQuery::Links].map(Query::Cluster);
    cluster.into_iter().chain([Query::Volumes]).collect()
}

/// How these clusters are.
#[must_use]
pub fn status<'a>(clusters: impl Iterator<Item = &'a Cluster>, facts: &FleetFacts) -> StatusReport {
    StatusReport { format: STATUS_FORMAT, clusters: clusters.map(|cluster| report(cluster, facts)).collect() }
}

/// What the nodes of a cluster said, understood.
#[derive(Default)]
struct Views<'a> {
    pacemaker: BTreeMap<&'a NodeName, ClusterStatus>,
    quorum: BTreeMap<&'a NodeName, QuorumStatus>,
    links: BTreeMap<&'a NodeName, LinkStatus>,
    problems: Vec<String>,
}

fn report(cluster: &Cluster, facts: &FleetFacts) -> ClusterReport {
    let mut views = views(cluster, facts);
    let rank = |status: &ClusterStatus| {
        (status.quorate == Some(true), status.nodes.iter().filter(|node| node.online).count())
    };
    // The first of the best: a later one must be better to win.
    let mut best: Option<(&NodeName, &ClusterStatus)> = None;
    for (node, status) in &views.pacemaker {
        if best.is_none_or(|(_, known)| rank(status) > rank(known)) {
            best = Some((node, status));
        }
    }
    let seen_by = best.map(|(node, _)| node.clone());
    let view = best.map(|(_, status)| status.clone()).unwrap_or_default();
    let controllers: BTreeSet<&str> =
        views.pacemaker.values().filter_map(|view| view.dc.as_deref()).collect();
    let split = (controllers.len() > 1).then(|| {
        format!("the cluster is split: {} are controllers at once", list(controllers.iter().copied()))
    });
    let mut problems = std::mem::take(&mut views.problems);
    problems.extend(split);
    match &seen_by {
        Some(_) => problems.extend(view.problems()),
        None => problems.push("Pacemaker runs on no node that answers".to_owned()),
    }
    if seen_by.is_some() && !view.stonith_enabled {
        problems.push("fencing is switched off".to_owned());
    }
    let nodes = node_reports(cluster, facts, &view, &views);
    problems.extend(link_problems(&nodes));
    let volumes = volumes(cluster, facts, &mut problems);
    let quorum =
        seen_by.as_ref().and_then(|node| views.quorum.get(node)).or_else(|| views.quorum.values().next());
    let (devices, resources) = view.resources.iter().partition::<Vec<_>, _>(|resource| resource.is_fencing());
    ClusterReport {
        name: cluster.name.clone(),
        seen_by,
        pacemaker: view.version.clone(),
        controller: view.dc.clone(),
        maintenance: view.maintenance_mode,
        quorum: quorum.map(|quorum| QuorumReport {
            quorate: quorum.quorate,
            votes: quorum.total_votes,
            expected: quorum.expected_votes,
            needed: quorum.quorum,
        }),
        nodes,
        fencing: FencingReport {
            enabled: view.stonith_enabled,
            devices: devices.into_iter().map(resource_report).collect(),
            history: history(&view),
        },
        resources: resources.into_iter().map(resource_report).collect(),
        volumes,
        problems,
    }
}

/// Reads what every node of the cluster reported.
fn views<'a>(cluster: &'a Cluster, facts: &FleetFacts) -> Views<'a> {
    let mut views = Views::default();
    for name in cluster.nodes.keys() {
        let Some(node) = facts.node(name) else { continue };
        let mut understand = |query| match node.observation(&Query::Cluster(query)) {
            Observation::Text(text) => text,
            Observation::Unknown(why) => {
                views.problems.push(format!("{name}: {why}"));
                None
            }
            _ => None,
        };
        let (pacemaker, quorum, links) = (
            understand(ClusterQuery::Status),
            understand(ClusterQuery::Quorum),
            understand(ClusterQuery::Links),
        );
        let mut failed = |why: String| views.problems.push(format!("{name}: {why}"));
        match pacemaker.as_deref().map(parse_crm_mon) {
            Some(Ok(status)) => drop(views.pacemaker.insert(name, status)),
            Some(Err(error)) => failed(error.to_string()),
            None => {}
        }
        match quorum.as_deref().map(parse_quorum_status) {
            Some(Ok(status)) => drop(views.quorum.insert(name, status)),
            Some(Err(error)) => failed(error.to_string()),
            None => {}
        }
        match links.as_deref().map(parse_link_status) {
            Some(Ok(status)) => drop(views.links.insert(name, status)),
            Some(Err(error)) => failed(error.to_string()),
            None => {}
        }
    }
    views
}

fn node_reports(
    cluster: &Cluster,
    facts: &FleetFacts,
    view: &ClusterStatus,
    views: &Views<'_>,
) -> Vec<NodeReport> {
    let ids: BTreeMap<&str, &str> =
        view.nodes.iter().map(|node| (node.id.as_str(), node.name.as_str())).collect();
    let mut reports: Vec<NodeReport> =
        cluster.nodes.values().map(|node| node_report(node, facts, view, views, &ids)).collect();
    let foreign = view.nodes.iter().filter(|node| !cluster.nodes.contains_key(node.name.as_str()));
    reports.extend(foreign.map(|node| NodeReport {
        name: node.name.clone(),
        state: state_of(view, &node.name),
        roles: Vec::new(),
        resources: node.resources_running,
        links: Vec::new(),
        unreachable: None,
    }));
    reports
}

fn node_report(
    node: &Node,
    facts: &FleetFacts,
    view: &ClusterStatus,
    views: &Views<'_>,
    ids: &BTreeMap<&str, &str>,
) -> NodeReport {
    let links = views.links.get(&node.name).map(|status| status.links.as_slice()).unwrap_or_default();
    let links = links.iter().map(|link| LinkReport {
        number: link.id,
        address: link.address.clone(),
        lost: link
            .peers
            .iter()
            .filter(|(_, state)| *state == PeerLink::Disconnected)
            .map(|(id, _)| {
                ids.get(id.to_string().as_str()).map_or_else(|| format!("node {id}"), |&name| name.to_owned())
            })
            .collect(),
    });
    NodeReport {
        name: node.name.to_string(),
        state: state_of(view, node.name.as_str()),
        roles: node.roles.iter().cloned().collect(),
        resources: view.node(node.name.as_str()).map_or(0, |seen| seen.resources_running),
        links: links.collect(),
        unreachable: match facts.nodes.get(&node.name) {
            Some(NodeOutcome::Answered(_)) => None,
            Some(NodeOutcome::Failed(error)) => Some(error.to_string()),
            None => Some("it was not asked".to_owned()),
        },
    }
}

fn state_of(view: &ClusterStatus, name: &str) -> NodeState {
    let Some(node) = view.node(name) else { return NodeState::Unknown };
    if node.unclean {
        NodeState::Unclean
    } else if node.pending {
        NodeState::Pending
    } else if !node.online {
        NodeState::Offline
    } else if node.standby {
        NodeState::Standby
    } else if node.maintenance {
        NodeState::Maintenance
    } else {
        NodeState::Online
    }
}

/// The volumes of all nodes; what is wrong with one is a problem of the cluster, told once where both sides say the same.
fn volumes(cluster: &Cluster, facts: &FleetFacts, problems: &mut Vec<String>) -> Vec<VolumeReport> {
    let mut volumes: Vec<VolumeReport> = Vec::new();
    for name in cluster.nodes.keys() {
        let seen = match facts.node(name).map(|node| node.observation(&Query::Volumes)) {
            Some(Observation::Text(Some(text))) => Observed::parse(&text),
            Some(Observation::Unknown(why)) => {
                problems.push(format!("{name}: {why}"));
                continue;
            }
            _ => continue,
        };
        for (volume, status) in seen.all() {
            let volume = VolumeReport {
                name: volume,
                node: name.clone(),
                role: status.role.clone(),
                connection: status.connection.clone(),
                disk: status.disk.clone(),
                peer_disk: status.peer_disk.clone(),
                done_permille: status.done_permille,
                problem: status.problem(),
            };
            problems.extend(
                volume.problem.as_ref().map(|problem| format!("volume {} on {name}: {problem}", volume.name)),
            );
            volumes.push(volume);
        }
    }
    volumes.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
    volumes
}

/// Links that are lost although both ends are members: a peer that is away is a problem of its own.
fn link_problems(nodes: &[NodeReport]) -> Vec<String> {
    let away: BTreeSet<&str> = nodes
        .iter()
        .filter(|node| !matches!(node.state, NodeState::Online | NodeState::Standby | NodeState::Maintenance))
        .map(|node| node.name.as_str())
        .collect();
    let mut problems = Vec::new();
    for node in nodes.iter().filter(|node| !away.contains(node.name.as_str())) {
        for link in &node.links {
            let lost: Vec<&str> =
                link.lost.iter().map(String::as_str).filter(|peer| !away.contains(peer)).collect();
            if !lost.is_empty() {
                let peers = list(lost.into_iter());
                problems.push(format!("{} does not reach {peers} over link {}", node.name, link.number));
            }
        }
    }
    problems
}

fn history(view: &ClusterStatus) -> Vec<FencingEvent> {
    let events = view.fence_history.iter().take(MAX_FENCE_EVENTS);
    events
        .map(|event| FencingEvent {
            action: event.action.clone(),
            target: event.target.clone(),
            result: event.status.clone(),
            when: event.completed.clone(),
            by: event.delegate.clone(),
        })
        .collect()
}

fn resource_report(resource: &crate::cib::ResourceStatus) -> ResourceReport {
    ResourceReport {
        id: resource.id.clone(),
        agent: resource.agent.clone(),
        parents: resource.parents.clone(),
        role: resource.role.clone(),
        nodes: resource.nodes.clone(),
        failed: resource.failed || resource.blocked,
        managed: resource.managed,
        pending: resource.pending.clone(),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
