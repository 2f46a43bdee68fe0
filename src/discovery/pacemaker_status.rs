//! What Pacemaker says of its nodes and resources: the XML of crm_mon(8).
//!
//! In: the text that [`crate::facts::ClusterQuery::Status`] brought. Out: [`PacemakerStatus`]. Pure. Attributes that
//! a version does not write count as what that version meant (schema `crm_mon.rng` of Pacemaker 2.0 to 3.0).

use roxmltree::{Document, Node};
use serde::Serialize;

/// A report that is not one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PacemakerStatusError {
    /// Not XML.
    #[error("crm_mon's report is not XML: {0}")]
    Xml(#[from] roxmltree::Error),
    /// Something that must be there is not.
    #[error("crm_mon's report has no {0}")]
    Missing(&'static str),
}

/// The cluster as Pacemaker sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PacemakerStatus {
    /// Pacemaker's version on the designated controller; absent while there is none.
    pub version: Option<String>,
    /// The designated controller, once one is elected.
    pub dc: Option<String>,
    /// Whether the partition has quorum.
    pub quorate: bool,
    /// Whether `stonith-enabled` is set.
    pub stonith_enabled: bool,
    /// Whether `maintenance-mode` is set for the whole cluster.
    pub maintenance_mode: bool,
    /// The nodes, in Pacemaker's order.
    pub nodes: Vec<ClusterNode>,
    /// Primitives, the instances of clones included.
    pub resources: Vec<ResourceInstance>,
    /// Actions that failed and were not cleaned up.
    pub failures: Vec<FailedAction>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// What state it is in.
    pub state: NodeState,
    /// `member`, `remote` or `guest`.
    pub kind: String,
}

/// The state of a node, the gravest thing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It must be fenced before anything else.
    Unclean,
    /// It is not there.
    Offline,
    /// It is joining.
    Pending,
    /// Its resources are left alone.
    Maintenance,
    /// It runs no resources.
    Standby,
    /// It takes part.
    Online,
}

impl NodeState {
    /// The state in Pacemaker's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unclean => "UNCLEAN",
            Self::Offline => "offline",
            Self::Pending => "pending",
            Self::Maintenance => "maintenance",
            Self::Standby => "standby",
            Self::Online => "online",
        }
    }
}

/// A primitive, or one instance of a cloned one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceInstance {
    /// Its id, with the number of the instance where there is one (`ip`, `db:1`).
    pub id: String,
    /// `ocf:heartbeat:IPaddr2`.
    pub agent: String,
    /// `Started`, `Stopped`, `Promoted`, `Unpromoted` (older: `Master`, `Slave`), `Starting`, …
    pub role: String,
    /// Whether it runs anywhere.
    pub active: bool,
    /// Whether it failed.
    pub failed: bool,
    /// Whether Pacemaker can do nothing about it.
    pub blocked: bool,
    /// Whether Pacemaker manages it.
    pub managed: bool,
    /// Whether it is no longer configured.
    pub orphaned: bool,
    /// The nodes that it runs on.
    pub nodes: Vec<String>,
}

/// An action that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedAction {
    /// `ip_monitor_10000`.
    pub action: String,
    /// Where.
    pub node: String,
    /// `not running`, `timed out`, …
    pub result: String,
    /// What the agent said.
    pub reason: String,
}

impl PacemakerStatus {
    /// Reads a report.
    ///
    /// # Errors
    /// It is not XML, or not such a report.
    pub fn parse(text: &str) -> Result<Self, PacemakerStatusError> {
        let document = Document::parse(text)?;
        let root = document.root_element();
        let summary = child(root, "summary").ok_or(PacemakerStatusError::Missing("summary"))?;
        let dc = child(summary, "current_dc").filter(|dc| flag(*dc, "present"));
        let options = child(summary, "cluster_options");
        let option = |name| options.is_some_and(|options| flag(options, name));
        Ok(Self {
            version: dc.and_then(|dc| dc.attribute("version")).map(str::to_owned),
            dc: dc.and_then(|dc| dc.attribute("name")).map(str::to_owned),
            quorate: dc.is_some_and(|dc| flag(dc, "with_quorum")),
            stonith_enabled: option("stonith-enabled"),
            maintenance_mode: option("maintenance-mode"),
            nodes: children(root, "nodes")
                .filter(|node| node.has_tag_name("node"))
                .map(cluster_node)
                .collect(),
            resources: child(root, "resources").map(resources).unwrap_or_default(),
            failures: children(root, "failures")
                .filter(|it| it.has_tag_name("failure"))
                .map(failure)
                .collect(),
        })
    }
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The children of the child of this name.
fn children<'a>(node: Node<'a, 'a>, name: &str) -> impl Iterator<Item = Node<'a, 'a>> {
    child(node, name).into_iter().flat_map(|child| child.children())
}

fn flag(node: Node<'_, '_>, name: &str) -> bool {
    node.attribute(name) == Some("true")
}

fn text(node: Node<'_, '_>, name: &str) -> String {
    node.attribute(name).unwrap_or_default().to_owned()
}

fn cluster_node(node: Node<'_, '_>) -> ClusterNode {
    let state = if flag(node, "unclean") {
        NodeState::Unclean
    } else if flag(node, "pending") {
        NodeState::Pending
    } else if !flag(node, "online") {
        NodeState::Offline
    } else if flag(node, "maintenance") {
        NodeState::Maintenance
    } else if flag(node, "standby") || flag(node, "standby_onfail") {
        NodeState::Standby
    } else {
        NodeState::Online
    };
    ClusterNode { name: text(node, "name"), state, kind: text(node, "type") }
}

/// The primitives at any depth: groups, clones and bundles hold them.
fn resources(parent: Node<'_, '_>) -> Vec<ResourceInstance> {
    parent.descendants().filter(|node| node.has_tag_name("resource")).map(resource).collect()
}

fn resource(node: Node<'_, '_>) -> ResourceInstance {
    ResourceInstance {
        id: text(node, "id"),
        agent: text(node, "resource_agent"),
        role: text(node, "role"),
        active: flag(node, "active"),
        failed: flag(node, "failed"),
        blocked: flag(node, "blocked"),
        managed: flag(node, "managed"),
        orphaned: flag(node, "orphaned"),
        nodes: node.children().filter(|it| it.has_tag_name("node")).map(|it| text(it, "name")).collect(),
    }
}

fn failure(node: Node<'_, '_>) -> FailedAction {
    FailedAction {
        action: text(node, "op_key"),
        node: text(node, "node"),
        result: text(node, "exitstatus"),
        reason: text(node, "exitreason"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_in_trouble_is_told_in_full() {
        let status = PacemakerStatus::parse(
            r#"<pacemaker-result api-version="2.25" request="crm_mon -1 --output-as=xml">
              <summary><current_dc present="true" version="2.1.5-a3f" name="n2" with_quorum="true"/>
                <cluster_options stonith-enabled="true" maintenance-mode="false"/></summary>
              <nodes>
                <node name="n1" online="false" unclean="true" pending="false" type="member"/>
                <node name="n2" online="true" unclean="false" pending="false" standby="true" type="member"/>
                <node name="n3" online="true" unclean="false" pending="false" type="member"/></nodes>
              <resources><clone id="c"><group id="g:0"><resource id="db:0" resource_agent="ocf:x:y" role="Promoted"
                active="true" managed="true" failed="true" blocked="false"><node name="n3"/></resource></group></clone>
                <resource id="ip" resource_agent="ocf:heartbeat:IPaddr2" role="Stopped" active="false"/></resources>
              <failures><failure op_key="db_monitor_1000" node="n3" exitstatus="not running" exitreason="gone"/></failures>
              <status code="0" message="OK"/></pacemaker-result>"#,
        )
        .expect("a report");
        let states: Vec<_> =
            status.nodes.iter().map(|node| (node.name.as_str(), node.state.as_str())).collect();
        assert_eq!(states, [("n1", "UNCLEAN"), ("n2", "standby"), ("n3", "online")]);
        assert_eq!((status.dc.as_deref(), status.quorate, status.stonith_enabled), (Some("n2"), true, true));
        assert_eq!(status.resources[0].nodes, ["n3"]);
        assert!(status.resources[0].failed && !status.resources[1].active);
        assert_eq!(status.failures[0].result, "not running");
    }

    #[test]
    fn a_cluster_without_a_controller_has_neither_version_nor_quorum() {
        let status = PacemakerStatus::parse(
            r#"<pacemaker-result><summary><stack type="corosync"/><current_dc present="false"/></summary></pacemaker-result>"#,
        )
        .expect("a report");
        assert_eq!((status.dc, status.version, status.quorate), (None, None, false));
        assert!(PacemakerStatus::parse("<pacemaker-result/>").is_err());
        assert!(PacemakerStatus::parse("Connection refused").is_err());
    }
}
