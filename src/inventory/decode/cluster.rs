//! The inventory, its clusters and their nodes.
//!
//! In: the merged tree. Out: the model, as far as it could be understood. Cross checks are `check`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::decoder::{Decoder, Fields};
use super::fields;
use crate::inventory::diagnostic::Diagnostic;
use crate::inventory::model::{
    BarclampEntry, ClaimPolicy, Cluster, INVENTORY_VERSION, Inventory, MAX_LINKS, Node as ModelNode,
    SshSettings,
};
use crate::inventory::spans::child_pointer;
use crate::inventory::tree::{Entry, Node, Value};
use crate::names::{BarclampName, ClusterName, NodeName, RoleName};

/// Keys of the inventory that begin so hold anchors and the like, and are not looked at.
const EXTENSION_PREFIX: &str = "x-";

impl Decoder<'_> {
    /// The whole inventory.
    pub(crate) fn inventory(&mut self, root: &Node) -> Inventory {
        let mut inventory = Inventory { version: INVENTORY_VERSION, clusters: BTreeMap::new() };
        let Some(entries) = self.entries(root, "the inventory") else { return inventory };
        let known = fields::INVENTORY.iter().map(|field| field.name);
        for entry in entries.iter().filter(|entry| !entry.key.starts_with(EXTENSION_PREFIX)) {
            match entry.key.as_str() {
                "version" => self.version(&entry.value),
                "variables" => {}
                "clusters" => inventory.clusters = self.clusters(&entry.value),
                key if fields::CLUSTER.iter().any(|field| field.name == key) => {
                    let message = format!("`{key}` belongs to a cluster");
                    let help = "write it below `clusters:`, indented below the name of the cluster";
                    self.report(Diagnostic::new("unknown-key", message).at(entry.key_span).help(help));
                }
                _ => self.unknown_key(entry, "the inventory", known.clone()),
            }
        }
        if root.get("clusters").is_none_or(|entry| entry.value.is_null()) {
            self.report(
                Diagnostic::new("missing-key", "the inventory has no `clusters`")
                    .at(root.get("clusters").and_then(|entry| entry.key_span))
                    .help("write `clusters:`, below it the name of a cluster, below that its `nodes:`"),
            );
        }
        inventory
    }

    fn version(&mut self, node: &Node) {
        let newest = i64::from(INVENTORY_VERSION);
        if let Some(version) = self.integer(node, "`version`", 0, i64::from(u32::MAX))
            && version != newest
        {
            self.report(
                Diagnostic::new(
                    "version",
                    format!("inventory format {version} is not known to this program"),
                )
                .at(node.blame())
                .help(format!("it reads format {newest}; a newer format needs a newer hactl")),
            );
        }
    }

    fn clusters(&mut self, node: &Node) -> BTreeMap<ClusterName, Cluster> {
        let mut clusters = BTreeMap::new();
        for entry in self.entries(node, "`clusters`").unwrap_or_default() {
            let name = match ClusterName::new(entry.key.clone()) {
                Ok(name) => name,
                Err(error) => {
                    self.bad_name(entry, &error);
                    continue;
                }
            };
            self.cluster = entry.key.clone();
            clusters.extend(self.one_cluster(&name, entry).map(|cluster| (name, cluster)));
        }
        clusters
    }

    fn bad_name(&mut self, entry: &Entry, error: &crate::names::NameError) {
        self.report(Diagnostic::new("bad-name", error.to_string()).at(entry.key_span));
    }

    fn one_cluster(&mut self, name: &ClusterName, entry: &Entry) -> Option<Cluster> {
        let keys = self.fields(&entry.value, &format!("cluster `{name}`"), &[fields::CLUSTER])?;
        let ssh = keys
            .get("ssh")
            .map_or_else(SshSettings::default, |node| self.ssh(node, "`ssh`", SshSettings::default()));
        let settings = |decoder: &mut Self, key: &str, known: &[&str]| {
            keys.get(key).map(|node| decoder.settings(node, &format!("`{key}`"), known)).unwrap_or_default()
        };
        let pointer = child_pointer("/clusters", &entry.key);
        let mut cluster = Cluster {
            name: name.clone(),
            nodes: keys.get("nodes").map(|node| self.nodes(node, &ssh)).unwrap_or_default(),
            claims: keys.get("claims").map(|node| self.claims(node)).unwrap_or_default(),
            claim_policy: keys
                .get("claim_policy")
                .map_or_else(ClaimPolicy::default, |node| self.claim_policy(node)),
            barclamps: keys.get("barclamps").map(|node| self.barclamps(node, &pointer)).unwrap_or_default(),
            resources: keys.get("resources").map(|node| self.resources(node)).unwrap_or_default(),
            constraints: Vec::new(),
            resource_defaults: settings(self, "resource_defaults", fields::KNOWN_META),
            operation_defaults: settings(self, "operation_defaults", OPERATION_DEFAULTS),
        };
        if let Some(node) = keys.get("constraints") {
            cluster.constraints = self.constraints(node, &cluster.resources);
        }
        self.require_nodes(name, entry, keys);
        Some(cluster)
    }

    fn require_nodes(&mut self, name: &ClusterName, cluster: &Entry, keys: Fields<'_>) {
        let is_empty =
            |node: &Node| node.is_null() || matches!(&node.value, Value::Mapping(nodes) if nodes.is_empty());
        if keys.get("nodes").is_none_or(is_empty) {
            self.report(
                Diagnostic::new("missing-key", format!("cluster `{name}` has no nodes"))
                    .at(cluster.key_span)
                    .help("write them below `nodes:`; if they are in another file, name it with another -i"),
            );
        }
    }

    fn nodes(&mut self, node: &Node, ssh: &SshSettings) -> BTreeMap<NodeName, ModelNode> {
        let mut nodes = BTreeMap::new();
        for entry in self.entries(node, "`nodes`").unwrap_or_default() {
            match NodeName::new(entry.key.clone()) {
                Ok(name) => nodes.extend(self.node(&name, entry, ssh).map(|node| (name, node))),
                Err(error) => self.bad_name(entry, &error),
            }
        }
        nodes
    }

    /// A node; `None` when its addresses could not be understood.
    fn node(&mut self, name: &NodeName, entry: &Entry, ssh: &SshSettings) -> Option<ModelNode> {
        let what = format!("node `{name}`");
        if let Value::Scalar { text, .. } = &entry.value.value
            && !entry.value.is_null()
        {
            let help = format!("write `{name}: {{ address: {text} }}`");
            self.wrong_type(&entry.value, &what, "a mapping", &help);
            return None;
        }
        let keys = self.fields(&entry.value, &what, &[fields::NODE])?;
        let mut ssh =
            keys.get("ssh").map_or_else(|| ssh.clone(), |node| self.ssh(node, "`ssh`", ssh.clone()));
        if let Some(node) = keys.get("port") {
            if let Some(again) = keys.get("ssh").and_then(|ssh| ssh.get("port")) {
                let problem = Diagnostic::new("duplicate-key", format!("{what} has two ports")).at(node.span);
                self.report(problem.also(again.key_span, "the other one").help("keep one of them"));
            }
            ssh.port = self.port(node).or(ssh.port);
        }
        let roles = self.roles(keys);
        let attributes = keys.get("attributes").map(|node| self.settings(node, "`attributes`", &[]));
        let utilization = keys.get("utilization").map(|node| self.utilization(node, "`utilization`"));
        if keys.get("address").is_none() {
            let help = "write the IP address or host name that SSH connects to: `address: 192.0.2.11`";
            self.missing(&entry.value, &what, "address", help);
        }
        let address = keys.get("address").and_then(|node| self.parse(node, "`address`"));
        let links = keys.get("links").map(|node| self.links(node, name));
        let address: crate::inventory::value::Address = address?;
        let links = match (links, address.ip()) {
            (Some(links), _) => links?,
            (None, Some(ip)) => vec![ip],
            (None, None) => {
                let help = "corosync wants IP addresses: write `links: [10.0.0.1]`";
                self.missing(&entry.value, &format!("{what} is addressed by name and"), "links", help);
                return None;
            }
        };
        Some(ModelNode {
            name: name.clone(),
            address,
            links,
            roles,
            attributes: attributes.unwrap_or_default(),
            utilization: utilization.unwrap_or_default(),
            ssh,
        })
    }

    fn roles(&mut self, keys: Fields<'_>) -> BTreeSet<RoleName> {
        let items = keys.get("roles").and_then(|node| self.items(node, "`roles`")).unwrap_or_default();
        let mut roles = BTreeSet::new();
        for item in items {
            let Some(role) = self.parse::<RoleName>(item, "a role") else { continue };
            if !roles.insert(role) {
                self.report(Diagnostic::new("duplicate", "this role is here twice").at(item.span));
            }
        }
        roles
    }

    fn links(&mut self, node: &Node, name: &NodeName) -> Option<Vec<IpAddr>> {
        let items = self.items(node, "`links`")?;
        if items.is_empty() || items.len() > MAX_LINKS {
            let message = format!("node `{name}` has {} links", items.len());
            let help = format!(
                "corosync takes 1 to {MAX_LINKS}; without `links` the node's address is the only one"
            );
            self.report(Diagnostic::new("links", message).at(node.blame()).help(help));
            return None;
        }
        let links: Vec<Option<IpAddr>> =
            items.iter().map(|item| self.parse_with(item, "a link", link)).collect();
        links.into_iter().collect()
    }

    fn barclamps(&mut self, node: &Node, cluster: &str) -> BTreeMap<BarclampName, BarclampEntry> {
        let mut barclamps = BTreeMap::new();
        for entry in self.entries(node, "`barclamps`").unwrap_or_default() {
            let name = match BarclampName::new(entry.key.clone()) {
                Ok(name) => name,
                Err(error) => {
                    self.bad_name(entry, &error);
                    continue;
                }
            };
            let pointer = child_pointer(&child_pointer(cluster, "barclamps"), &entry.key);
            let what = format!("barclamp `{name}`");
            if self.entries(&entry.value, &what).is_none() {
                continue;
            }
            let attributes = if entry.value.is_null() {
                Some(serde_json::Value::Object(serde_json::Map::new()))
            } else {
                self.json(&entry.value, &what)
            };
            barclamps.extend(attributes.map(|attributes| (name, BarclampEntry { attributes, pointer })));
        }
        barclamps
    }
}

/// Properties of operations that Pacemaker knows as defaults; near misses of these are refused.
const OPERATION_DEFAULTS: &[&str] =
    &["interval", "timeout", "on-fail", "role", "start-delay", "enabled", "record-pending"];

/// An address that corosync can use: an IP address of one machine.
fn link(text: &str) -> Result<IpAddr, String> {
    let help = "links are IP addresses of the node, for example 10.0.0.1";
    let ip: IpAddr = text.parse().map_err(|_| match text.split_once('/') {
        Some((ip, _)) if ip.parse::<IpAddr>().is_ok() => {
            format!("`{text}`: write it without the prefix length: {ip}")
        }
        _ => format!("`{text}` is not an IP address; {help}"),
    })?;
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
        return Err(format!("`{text}` is not the address of one machine; {help}"));
    }
    Ok(ip)
}
