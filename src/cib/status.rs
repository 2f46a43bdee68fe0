//! What `crm_mon --output-as=xml -1` says of the cluster.
//!
//! In: its standard output, of Pacemaker 2.0 to 3.x. Out: a [`ClusterStatus`]. Lenient: elements and attributes that are
//! missing in a version count as "no", unknown ones are passed over. Bounded. Never decides what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node};

/// Largest output read, in bytes. A cluster of 16 nodes and 1,000 resources prints about 2 MiB.
pub(super) const MAX_OUTPUT_BYTES: usize = 64 * 1024 * 1024;
/// Deepest nesting of resources that is followed (bundle, replica, clone, group, resource: 5).
const MAX_RESOURCE_DEPTH: usize = 16;

/// Why an output cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Larger than what is read.
    #[error("the output of {command} has {bytes} bytes, more than the {MAX_OUTPUT_BYTES} that are read")]
    TooLarge {
        /// The command.
        command: &'static str,
        /// The output's size in bytes.
        bytes: usize,
    },
    /// Not XML, or not of the command.
    #[error("the output of {command} cannot be read: {why}")]
    Malformed {
        /// The command.
        command: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The command itself reports an error.
    #[error("{command} failed with {code}: {message}")]
    Failed {
        /// The command.
        command: &'static str,
        /// Its exit status (102: the cluster is not running).
        code: i32,
        /// What it says.
        message: String,
    },
}

/// Exit status of Pacemaker's tools when the cluster is not running on the node (`CRM_EX_DISCONNECT`).
pub const EXIT_NOT_RUNNING: i32 = 102;

/// A node, as Pacemaker sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its id: corosync's number, or the name of a remote node.
    pub id: String,
    /// `member` or `remote`.
    pub kind: String,
    /// Whether it is in the cluster.
    pub online: bool,
    /// Whether it is told to run nothing.
    pub standby: bool,
    /// Whether a failure put it into standby.
    pub standby_onfail: bool,
    /// Whether its resources are not managed.
    pub maintenance: bool,
    /// Whether it is in the membership but has not joined yet.
    pub pending: bool,
    /// Whether it is to be fenced.
    pub unclean: bool,
    /// Whether it is shutting down.
    pub shutdown: bool,
    /// Whether it is the designated controller.
    pub is_dc: bool,
    /// Resources running on it.
    pub resources_running: u32,
}

/// A resource, or one instance of a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceStatus {
    /// Its id; instances of an anonymous clone share it.
    pub id: String,
    /// What it is in, outermost first: groups, clones, bundles.
    pub parents: Vec<String>,
    /// Whether it is one of several instances, in a clone or a bundle.
    pub is_instance: bool,
    /// `ocf:heartbeat:IPaddr2`.
    pub agent: String,
    /// `Started`, `Stopped`, `Promoted`, `Unpromoted`, `Starting` … (`Master` and `Slave` before 2.1).
    pub role: String,
    /// The role that is configured, if one is.
    pub target_role: Option<String>,
    /// Whether it runs anywhere.
    pub active: bool,
    /// Whether it is no longer configured.
    pub orphaned: bool,
    /// Whether Pacemaker cannot do anything with it until somebody helps.
    pub blocked: bool,
    /// Whether Pacemaker manages it.
    pub managed: bool,
    /// Whether its last operation failed.
    pub failed: bool,
    /// The operation that is under way, if one is.
    pub pending: Option<String>,
    /// The nodes it runs on. More than one, for something that is no clone, means trouble.
    pub nodes: Vec<String>,
}

impl ResourceStatus {
    /// Whether it is running in the role Promoted.
    #[must_use]
    pub fn is_promoted(&self) -> bool {
        self.active && matches!(self.role.as_str(), "Promoted" | "Master")
    }
}

/// An operation that failed and was not cleaned up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `vip_monitor_10000`, or the resource's id in old versions.
    pub operation: String,
    /// Where.
    pub node: String,
    /// `error`, `not running` …
    pub exit_status: String,
    /// The agent's own words.
    pub exit_reason: String,
    /// The agent's exit code.
    pub exit_code: Option<i32>,
    /// `complete`, `Timed Out` …
    pub status: String,
    /// When, as printed.
    pub at: String,
}

/// One entry of the fencing history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceEvent {
    /// `success`, `failed`, `pending`.
    pub status: String,
    /// `reboot`, `off`, `on`.
    pub action: String,
    /// Who was fenced.
    pub target: String,
    /// Who did it.
    pub delegate: Option<String>,
    /// Who asked for it.
    pub client: String,
    /// When it was done, as printed.
    pub completed: Option<String>,
    /// Why it failed.
    pub exit_reason: Option<String>,
}

/// The state of a cluster as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The designated controller, if there is one.
    pub dc: Option<String>,
    /// Pacemaker's version on the DC.
    pub version: Option<String>,
    /// Whether the partition has quorum; `None` without a DC.
    pub quorate: Option<bool>,
    /// Whether fencing is switched on.
    pub stonith_enabled: bool,
    /// Whether nothing is managed.
    pub maintenance_mode: bool,
    /// The nodes.
    pub nodes: Vec<NodeStatus>,
    /// The resources, instances of clones one by one.
    pub resources: Vec<ResourceStatus>,
    /// Values of node attributes by node and name.
    pub attributes: BTreeMap<String, BTreeMap<String, String>>,
    /// Failed operations.
    pub failures: Vec<Failure>,
    /// First looks at a resource on a node that told that it cannot run there (`not installed`, `not configured` …).
    /// Pacemaker does not count them as failures.
    pub unusable: Vec<Failure>,
    /// The fencing history, newest first.
    pub fence_history: Vec<FenceEvent>,
    /// Location constraints with a score of -INFINITY on a node: constraint, resource, node.
    pub bans: Vec<(String, String, String)>,
}

impl ClusterStatus {
    /// The node with the given name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeStatus> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// A resource's instances: those with the id, or inside what has the id.
    pub fn instances<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a ResourceStatus> {
        self.resources.iter().filter(move |resource| {
            // Instances of a globally unique clone are `id:0`, `id:1` …
            let base = resource.id.split_once(':').map_or(resource.id.as_str(), |(base, _)| base);
            resource.id == id || base == id || resource.parents.iter().any(|parent| parent == id)
        })
    }

    /// The nodes on which a resource (or anything inside it) runs, sorted.
    #[must_use]
    pub fn running_on<'a>(&'a self, id: &'a str) -> BTreeSet<&'a str> {
        self.instances(id)
            .filter(|rsc| rsc.active)
            .flat_map(|rsc| rsc.nodes.iter().map(String::as_str))
            .collect()
    }

    /// What is not as it should be in a healthy cluster, in words, one line each. Resources that are configured to be
    /// stopped, and nodes that are told to stand by, are as they should be.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.dc.is_none() {
            found.push("there is no designated controller".to_owned());
        }
        if self.quorate == Some(false) {
            found.push("the partition has no quorum".to_owned());
        }
        for node in &self.nodes {
            let name = &node.name;
            if node.unclean {
                found.push(format!("node {name} is unclean: it waits to be fenced"));
            } else if node.pending {
                found.push(format!("node {name} has not joined yet"));
            } else if !node.online && node.kind == "member" {
                found.push(format!("node {name} is offline"));
            }
            if node.standby_onfail {
                found.push(format!("node {name} was put into standby by a failure"));
            }
        }
        for resource in &self.resources {
            let id = &resource.id;
            if resource.blocked {
                found.push(format!("resource {id} is blocked"));
            } else if resource.failed {
                found.push(format!("resource {id} has failed"));
            } else if resource.orphaned {
                found.push(format!("resource {id} runs but is not configured"));
            }
            let in_clone = resource.is_instance;
            if resource.nodes.len() > 1 && !in_clone {
                found.push(format!("resource {id} runs on several nodes: {}", resource.nodes.join(", ")));
            }
            let wanted = !matches!(resource.target_role.as_deref(), Some(role) if role.eq_ignore_ascii_case("stopped"));
            // Instances of clones beyond the nodes that can run them are stopped by nature.
            if wanted && resource.managed && !resource.active && !in_clone {
                found.push(format!("resource {id} is stopped"));
            }
        }
        for failure in &self.failures {
            found.push(format!("{} on {} failed: {}", failure.operation, failure.node, failure.exit_status));
        }
        found
    }

    /// Whether something is under way: a node joining or leaving, an operation, a fencing.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.nodes.iter().any(|node| node.pending || (node.shutdown && node.online))
            || self.resources.iter().any(|resource| resource.pending.is_some())
            || self.fence_history.iter().any(|event| event.status == "pending")
    }
}

/// Reads the output of `crm_mon --output-as=xml -1`.
///
/// # Errors
/// When it is too large, not such an output, or reports an error, as when the cluster is not running.
pub fn parse_crm_mon(text: &str) -> Result<ClusterStatus, OutputError> {
    const COMMAND: &str = "crm_mon";
    let document = document(COMMAND, text)?;
    let root = document.root_element();
    if child(root, "nodes").is_none() && child(root, "summary").is_none() {
        let why = format!("<{}> has neither a summary nor nodes", root.tag_name().name());
        return Err(OutputError::Malformed { command: COMMAND, why });
    }
    let mut status = state(root);
    if let Some(summary) = child(root, "summary") {
        let dc = child(summary, "current_dc").filter(|dc| flag(*dc, "present"));
        status.dc = dc.and_then(|dc| text_of(dc, "name"));
        status.version = dc.and_then(|dc| text_of(dc, "version"));
        status.quorate = dc.map(|dc| flag(dc, "with_quorum"));
        if let Some(options) = child(summary, "cluster_options") {
            status.stonith_enabled = flag(options, "stonith-enabled");
            status.maintenance_mode = flag(options, "maintenance-mode");
        }
    }
    Ok(status)
}

/// A document of one of Pacemaker's tools, unless it reports an error.
pub(super) fn document<'a>(command: &'static str, text: &'a str) -> Result<Document<'a>, OutputError> {
    if text.len() > MAX_OUTPUT_BYTES {
        return Err(OutputError::TooLarge { command, bytes: text.len() });
    }
    let document =
        Document::parse(text).map_err(|error| OutputError::Malformed { command, why: error.to_string() })?;
    if let Some(status) = child(document.root_element(), "status") {
        let code = status.attribute("code").and_then(|code| code.parse().ok()).unwrap_or(0);
        if code != 0 {
            let reasons = status.descendants().filter(|node| node.has_tag_name("error"));
            let reasons = reasons.filter_map(|node| node.text()).map(str::trim);
            let mut message = vec![status.attribute("message").unwrap_or("unknown error")];
            message.extend(reasons);
            return Err(OutputError::Failed { command, code, message: message.join("; ") });
        }
    }
    Ok(document)
}

/// Nodes, resources and what went wrong, as `crm_mon` and `crm_simulate` both show them.
pub(super) fn state(root: Node<'_, '_>) -> ClusterStatus {
    let list = |name: &str| child(root, name).into_iter().flat_map(|list| elements(list));
    let mut status = ClusterStatus {
        nodes: list("nodes").filter(|node| node.has_tag_name("node")).map(node_status).collect(),
        failures: list("failures").map(failure).collect(),
        unusable: list("node_history").flat_map(unusable).collect(),
        fence_history: list("fence_history").map(fence_event).collect(),
        bans: list("bans").filter(|ban| ban.attribute("weight") == Some("-1000000")).map(ban).collect(),
        ..ClusterStatus::default()
    };
    for resource in list("resources") {
        resources(resource, &mut Vec::new(), false, &mut status.resources);
    }
    for node in list("node_attributes") {
        let values =
            elements(node).filter_map(|attr| Some((text_of(attr, "name")?, text_of(attr, "value")?)));
        status.attributes.insert(text_of(node, "name").unwrap_or_default(), values.collect());
    }
    status
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    elements(node).find(|child| child.has_tag_name(name))
}

pub(super) fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

pub(super) fn text_of(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(str::to_owned)
}

pub(super) fn flag(node: Node<'_, '_>, name: &str) -> bool {
    node.attribute(name) == Some("true")
}

fn node_status(node: Node<'_, '_>) -> NodeStatus {
    NodeStatus {
        name: text_of(node, "name").unwrap_or_default(),
        id: text_of(node, "id").unwrap_or_default(),
        kind: text_of(node, "type").unwrap_or_else(|| "member".to_owned()),
        online: flag(node, "online"),
        standby: flag(node, "standby"),
        standby_onfail: flag(node, "standby_onfail"),
        maintenance: flag(node, "maintenance"),
        pending: flag(node, "pending"),
        unclean: flag(node, "unclean"),
        shutdown: flag(node, "shutdown"),
        is_dc: flag(node, "is_dc"),
        resources_running: node.attribute("resources_running").and_then(|n| n.parse().ok()).unwrap_or(0),
    }
}

fn resources(node: Node<'_, '_>, parents: &mut Vec<String>, instance: bool, out: &mut Vec<ResourceStatus>) {
    if parents.len() >= MAX_RESOURCE_DEPTH {
        return;
    }
    if node.has_tag_name("resource") {
        out.push(ResourceStatus { is_instance: instance, ..resource(node, parents) });
        return;
    }
    // A replica's id is its number: not a name that anything else uses.
    let instance = instance || matches!(node.tag_name().name(), "clone" | "bundle");
    let named = matches!(node.tag_name().name(), "group" | "clone" | "bundle");
    if named {
        // An instance of a cloned group is `group:0`.
        let id = node.attribute("id").unwrap_or_default();
        parents.push(id.split_once(':').map_or(id, |(base, _)| base).to_owned());
    }
    for inner in elements(node) {
        resources(inner, parents, instance, out);
    }
    if named {
        parents.pop();
    }
}

fn resource(node: Node<'_, '_>, parents: &[String]) -> ResourceStatus {
    ResourceStatus {
        id: text_of(node, "id").unwrap_or_default(),
        parents: parents.to_vec(),
        is_instance: false,
        agent: text_of(node, "resource_agent").unwrap_or_default(),
        role: text_of(node, "role").unwrap_or_default(),
        target_role: text_of(node, "target_role"),
        active: flag(node, "active"),
        orphaned: flag(node, "orphaned"),
        blocked: flag(node, "blocked"),
        managed: node.attribute("managed").is_none() || flag(node, "managed"),
        failed: flag(node, "failed") && !flag(node, "failure_ignored"),
        pending: text_of(node, "pending"),
        nodes: elements(node)
            .filter(|inner| inner.has_tag_name("node"))
            .filter_map(|inner| text_of(inner, "name"))
            .collect(),
    }
}

/// The probes on a node that ended with one of OCF's errors of a resource's set-up (OCF resource agent API, 3.8): from 2
/// (arguments) to 6 (configuration).
fn unusable(node: Node<'_, '_>) -> Vec<Failure> {
    let mut found: Vec<Failure> = Vec::new();
    for resource in elements(node) {
        for operation in elements(resource).filter(|operation| operation.attribute("task") == Some("probe")) {
            let code = operation.attribute("rc").and_then(|code| code.parse().ok());
            if !code.is_some_and(|code: i32| (2..=6).contains(&code)) {
                continue;
            }
            let probe = Failure {
                operation: format!("{}_monitor_0", text_of(resource, "id").unwrap_or_default()),
                node: text_of(node, "name").unwrap_or_default(),
                exit_status: text_of(operation, "rc_text").unwrap_or_default(),
                exit_reason: String::new(),
                exit_code: code,
                status: "complete".to_owned(),
                at: text_of(operation, "last-rc-change").unwrap_or_default(),
            };
            if !found.contains(&probe) {
                found.push(probe);
            }
        }
    }
    found
}

fn failure(node: Node<'_, '_>) -> Failure {
    Failure {
        operation: text_of(node, "op_key").or_else(|| text_of(node, "id")).unwrap_or_default(),
        node: text_of(node, "node").unwrap_or_default(),
        exit_status: text_of(node, "exitstatus").unwrap_or_default(),
        exit_reason: text_of(node, "exitreason").unwrap_or_default(),
        exit_code: node.attribute("exitcode").and_then(|code| code.parse().ok()),
        status: text_of(node, "status").unwrap_or_default(),
        at: text_of(node, "last-rc-change").unwrap_or_default(),
    }
}

fn fence_event(node: Node<'_, '_>) -> FenceEvent {
    FenceEvent {
        status: text_of(node, "status").unwrap_or_default(),
        action: text_of(node, "action").unwrap_or_default(),
        target: text_of(node, "target").unwrap_or_default(),
        delegate: text_of(node, "delegate"),
        client: text_of(node, "client").unwrap_or_default(),
        completed: text_of(node, "completed"),
        exit_reason: text_of(node, "exit-reason"),
    }
}

fn ban(node: Node<'_, '_>) -> (String, String, String) {
    let attribute = |name| text_of(node, name).unwrap_or_default();
    (attribute("id"), attribute("resource"), attribute("node"))
}
