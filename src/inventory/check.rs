//! What is wrong between the parts of an inventory that are right in themselves.
//!
//! In: the decoded model and what its parts refer to. Out: mistakes. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::decode::{Reference, RefersTo};
use super::diagnostic::Diagnostic;
use super::model::{Cluster, Inventory, MAX_NODES_PER_CLUSTER, Node};
use super::resources::{PrimitiveSource, ResourceKind};
use super::spans::{Spans, child_pointer};
use super::suggest::{closest, listed};
use super::tree::Value;
use super::value::{Address, ResourceId};

/// Everything that can be judged without knowing what barclamps provide.
pub(super) fn check(inventory: &Inventory, references: &[Reference], spans: &Spans) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    node_names(inventory, spans, &mut problems);
    addresses(inventory, spans, &mut problems);
    for cluster in inventory.clusters.values() {
        links(cluster, spans, &mut problems);
        resources(cluster, spans, &mut problems);
    }
    node_references(references, spans, &mut problems);
    templates_in_constraints(inventory, references, &mut problems);
    problems
}

/// Pointer to a part of a cluster.
fn pointer(cluster: &str, path: &[&str]) -> String {
    path.iter().fold(child_pointer("/clusters", cluster), |pointer, token| child_pointer(&pointer, token))
}

/// A node is addressed by its name alone on the command line, in hosts files and in logs.
fn node_names(inventory: &Inventory, spans: &Spans, problems: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for cluster in inventory.clusters.values() {
        if cluster.nodes.len() > MAX_NODES_PER_CLUSTER {
            let message = format!("cluster `{}` has {} nodes", cluster.name, cluster.nodes.len());
            let help = format!("at most {MAX_NODES_PER_CLUSTER} are supported");
            let place = pointer(cluster.name.as_str(), &["nodes"]);
            problems.push(spans.diagnostic(&place, "too-large", message).help(help));
        }
        for name in cluster.nodes.keys() {
            let here = pointer(cluster.name.as_str(), &["nodes", name.as_str()]);
            if let Some(first) = seen.get(&name.as_str().to_ascii_lowercase()) {
                problems.push(
                    Diagnostic::new("duplicate-node", format!("there are two nodes called `{name}`"))
                        .at(spans.key(&here))
                        .also(spans.key(first), "the other one")
                        .help("a node's name is its host name: unique in the inventory, upper and lower case alike"),
                );
            } else {
                seen.insert(name.as_str().to_ascii_lowercase(), here);
            }
        }
    }
}

/// One use of an address: by whom, and where that is written.
struct Use<'a> {
    node: &'a Node,
    cluster: &'a Cluster,
    pointer: String,
    /// Which way SSH gets there: the same address behind another port or jump host is another machine.
    way: Option<String>,
}

fn addresses(inventory: &Inventory, spans: &Spans, problems: &mut Vec<Diagnostic>) {
    let mut uses: BTreeMap<Address, Vec<Use<'_>>> = BTreeMap::new();
    for cluster in inventory.clusters.values() {
        for node in cluster.nodes.values() {
            let at = |path: &[&str]| {
                let start = pointer(cluster.name.as_str(), &["nodes", node.name.as_str()]);
                path.iter().fold(start, |pointer, token| child_pointer(&pointer, token))
            };
            let jump = node.ssh.jump.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let way = format!("{} {jump}", node.ssh.port.unwrap_or(22));
            uses.entry(node.address.clone()).or_default().push(Use {
                node,
                cluster,
                pointer: at(&["address"]),
                way: Some(way),
            });
            for (index, ip) in node.links.iter().enumerate() {
                uses.entry(Address::Ip(*ip)).or_default().push(Use {
                    node,
                    cluster,
                    pointer: at(&["links", &index.to_string()]),
                    way: None,
                });
            }
        }
    }
    for (address, uses) in &uses {
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        for (index, later) in uses.iter().enumerate() {
            let clash = uses[..index].iter().find(|earlier| collide(earlier, later));
            if let Some(earlier) = clash
                && reported.insert(later.node.name.as_str())
            {
                problems.push(shared_address(address, earlier, later, spans));
            }
        }
    }
}

fn collide(a: &Use<'_>, b: &Use<'_>) -> bool {
    let same_node = std::ptr::eq(a.node, b.node);
    match (&a.way, &b.way) {
        (Some(a), Some(b)) => !same_node && a == b,
        (None, None) => true,
        _ => !same_node,
    }
}

fn shared_address(address: &Address, a: &Use<'_>, b: &Use<'_>, spans: &Spans) -> Diagnostic {
    let place = |used: &Use<'_>| spans.value(&used.pointer);
    let (earlier, later) = if place(a) <= place(b) { (a, b) } else { (b, a) };
    let name = |used: &Use<'_>| {
        if std::ptr::eq(earlier.cluster, later.cluster) {
            format!("`{}`", used.node.name)
        } else {
            format!("`{}` of cluster `{}`", used.node.name, used.cluster.name)
        }
    };
    let message = if std::ptr::eq(earlier.node, later.node) {
        format!("node {} has the address {address} on two links", name(later))
    } else {
        format!("nodes {} and {} have the same address {address}", name(earlier), name(later))
    };
    Diagnostic::new("duplicate-address", message)
        .at(spans.value(&later.pointer))
        .also(spans.value(&earlier.pointer), "first here")
        .help("every address belongs to one machine, and to one of its links")
}

/// Corosync connects link N of every node with link N of every other.
fn links(cluster: &Cluster, spans: &Spans, problems: &mut Vec<Diagnostic>) {
    let mut nodes = cluster.nodes.values();
    let Some(first) = nodes.next() else { return };
    let at = |node: &Node, index: Option<usize>| {
        let start = pointer(cluster.name.as_str(), &["nodes", node.name.as_str(), "links"]);
        spans.value(&index.map_or_else(|| start.clone(), |index| child_pointer(&start, &index.to_string())))
    };
    for node in nodes {
        if node.links.len() != first.links.len() {
            let (count, expected) = (node.links.len(), first.links.len());
            problems.push(
                Diagnostic::new(
                    "links",
                    format!("node `{}` has {count} link(s), but `{}` has {expected}", node.name, first.name),
                )
                .at(at(node, None))
                .also(at(first, None), "the other node")
                .help("every node has an address on every link, in the same order"),
            );
            continue;
        }
        for (index, (ip, other)) in node.links.iter().zip(&first.links).enumerate() {
            if ip.is_ipv4() != other.is_ipv4() {
                problems.push(
                    Diagnostic::new(
                        "links",
                        format!("link {index} is {} here and {} there", family(ip), family(other)),
                    )
                    .at(at(node, Some(index)))
                    .also(at(first, Some(index)), "the other address")
                    .help("one link is IPv4 or IPv6 on all nodes; another link may be the other"),
                );
            }
        }
    }
    let loopback =
        |node: &Node| node.links.iter().position(IpAddr::is_loopback).map(|index| (node.name.clone(), index));
    if cluster.nodes.len() > 1 {
        for (name, index) in cluster.nodes.values().filter_map(loopback) {
            let node = &cluster.nodes[&name];
            let message =
                format!("link {index} of node `{name}` is a loopback address: no other node reaches it");
            let help = "give the node `links: [IP, ...]` on the networks that the nodes share";
            problems.push(Diagnostic::new("links", message).at(at(node, Some(index))).help(help));
        }
    }
}

fn family(ip: &IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// The names that a section of a cluster defines, as written, whether or not they could be understood.
fn defined<'a>(spans: &'a Spans, cluster: &str, section: &str) -> Vec<&'a str> {
    let section = spans
        .root()
        .get("clusters")
        .and_then(|clusters| clusters.value.get(cluster))
        .and_then(|cluster| cluster.value.get(section));
    match section.map(|section| &section.value.value) {
        Some(Value::Mapping(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn node_references(references: &[Reference], spans: &Spans, problems: &mut Vec<Diagnostic>) {
    for reference in references.iter().filter(|reference| reference.to == RefersTo::Node) {
        let known = defined(spans, &reference.cluster, "nodes");
        if !known.contains(&reference.name.as_str()) {
            problems.push(unknown("unknown-node", "node", reference, &known));
        }
    }
}

/// Resources that are referred to and neither defined in the inventory nor among those that are provided.
pub(super) fn resource_references<'a>(
    references: impl Iterator<Item = &'a Reference>,
    spans: &Spans,
    provided: impl Fn(&str) -> Vec<ResourceId>,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for reference in references.filter(|reference| reference.to != RefersTo::Node) {
        let provided = provided(&reference.cluster);
        let mut known = defined(spans, &reference.cluster, "resources");
        known.extend(provided.iter().map(ResourceId::as_str));
        if !known.contains(&reference.name.as_str()) {
            problems.push(unknown("unknown-resource", "resource", reference, &known));
        }
    }
    problems
}

fn unknown(code: &'static str, what: &str, reference: &Reference, known: &[&str]) -> Diagnostic {
    let message = format!("{} names the {what} `{}`, which does not exist", reference.from, reference.name);
    let help = match closest(&reference.name, known.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None if known.is_empty() => format!("the cluster has no {what}s"),
        None => format!("cluster `{}` has {}", reference.cluster, listed(known.iter().copied())),
    };
    Diagnostic::new(code, message).at(reference.span).help(help)
}

/// One resource inside another: who holds it, and where that is written.
struct Holder<'a> {
    id: &'a ResourceId,
    pointer: String,
}

/// How resources are put together: what may be inside what, and only once.
fn resources(cluster: &Cluster, spans: &Spans, problems: &mut Vec<Diagnostic>) {
    let mut holders: BTreeMap<&ResourceId, Holder<'_>> = BTreeMap::new();
    for resource in cluster.resources.values() {
        let at = |key: &str, index: Option<usize>| {
            let start = pointer(cluster.name.as_str(), &["resources", resource.id.as_str(), key]);
            index.map_or_else(|| start.clone(), |index| child_pointer(&start, &index.to_string()))
        };
        let parts: Vec<(&ResourceId, String)> = match &resource.kind {
            ResourceKind::Group { members } => {
                members.iter().enumerate().map(|(index, member)| (member, at("group", Some(index)))).collect()
            }
            ResourceKind::Clone { resource, promotable } => {
                vec![(resource, at(if *promotable { "promotable" } else { "clone" }, None))]
            }
            ResourceKind::Primitive(primitive) => {
                if let PrimitiveSource::Template(template) = &primitive.source
                    && let Some(other) = cluster.resources.get(template)
                    && !matches!(other.kind, ResourceKind::Template(_))
                {
                    let message = format!("`{template}` is not a template");
                    let help = "write the agent itself, or make it `template: AGENT`";
                    problems
                        .push(spans.diagnostic(&at("primitive", None), "bad-reference", message).help(help));
                }
                Vec::new()
            }
            ResourceKind::Template(_) => Vec::new(),
        };
        for (part, place) in parts {
            held(cluster, &resource.id, part, &place, spans, problems);
            if let Some(first) = holders.get(part) {
                let message = format!("`{part}` is part of `{}` and of `{}`", first.id, resource.id);
                problems.push(
                    Diagnostic::new("held-twice", message)
                        .at(spans.value(&place))
                        .also(spans.value(&first.pointer), "first here")
                        .help(
                            "a resource belongs to one group or clone; use constraints to tie it to others",
                        ),
                );
            } else {
                holders.insert(part, Holder { id: &resource.id, pointer: place });
            }
        }
    }
}

/// Whether one resource may be inside another.
fn held(
    cluster: &Cluster,
    holder: &ResourceId,
    part: &ResourceId,
    place: &str,
    spans: &Spans,
    problems: &mut Vec<Diagnostic>,
) {
    // What a barclamp provides is not known here.
    let (Some(outer), Some(inner)) = (cluster.resources.get(holder), cluster.resources.get(part)) else {
        return;
    };
    if let Some(path) = cycle(cluster, holder, part) {
        // Told once, at the first of them.
        if path.iter().any(|other| *other < holder) {
            return;
        }
        let path: Vec<String> = path.iter().map(|id| format!("`{id}`")).collect();
        let message = format!("`{holder}` contains itself: `{holder}` holds {}", path.join(", which holds "));
        problems.push(spans.diagnostic(place, "cycle", message).help("remove one of them from the other"));
        return;
    }
    let (allowed, holds) = match outer.kind {
        ResourceKind::Group { .. } => {
            (matches!(inner.kind, ResourceKind::Primitive(_)), "a group holds primitives")
        }
        _ => (
            matches!(inner.kind, ResourceKind::Primitive(_) | ResourceKind::Group { .. }),
            "a clone holds a primitive or a group",
        ),
    };
    if !allowed {
        let kind = match inner.kind {
            ResourceKind::Primitive(_) => "a primitive",
            ResourceKind::Group { .. } => "a group",
            ResourceKind::Clone { .. } => "a clone",
            ResourceKind::Template(_) => "a template",
        };
        let message = format!("`{part}` is {kind}: it cannot be part of `{holder}`");
        problems.push(spans.diagnostic(place, "bad-reference", message).help(holds));
    }
}

/// The way from a part of a resource back to the resource, if there is one.
fn cycle<'a>(cluster: &'a Cluster, holder: &ResourceId, part: &'a ResourceId) -> Option<Vec<&'a ResourceId>> {
    let mut ways = vec![vec![part]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let last = *way.last()?;
        if last == holder {
            return Some(way);
        }
        if !seen.insert(last) {
            continue;
        }
        let inner = cluster.resources.get(last).map(|resource| match &resource.kind {
            ResourceKind::Group { members } => members.iter().collect(),
            ResourceKind::Clone { resource, .. } => vec![resource],
            ResourceKind::Primitive(_) | ResourceKind::Template(_) => Vec::new(),
        });
        for next in inner.unwrap_or_default() {
            ways.push(way.iter().copied().chain([next]).collect());
        }
    }
    None
}

fn templates_in_constraints(inventory: &Inventory, references: &[Reference], problems: &mut Vec<Diagnostic>) {
    for reference in references.iter().filter(|reference| reference.to == RefersTo::Constrained) {
        let cluster = inventory.clusters.get(reference.cluster.as_str());
        let resource = cluster.and_then(|cluster| cluster.resources.get(reference.name.as_str()));
        if resource.is_some_and(|resource| matches!(resource.kind, ResourceKind::Template(_))) {
            let message =
                format!("{} names the template `{}`, which runs nothing", reference.from, reference.name);
            let help = "name the primitives that are made from it";
            problems.push(Diagnostic::new("bad-reference", message).at(reference.span).help(help));
        }
    }
}
