//! The status of clusters on one screen.

use std::fmt::Write as _;

use super::diff::printable;
use super::table::{Columns, Tone, cell};
use super::{Theme, count};
use crate::verify::{
    ClusterReport, FencingEvent, LinkReport, NodeReport, NodeState, ResourceReport, StatusReport,
    VolumeReport,
};

/// Entries of the fencing history that are shown.
const SHOWN_FENCE_EVENTS: usize = 3;
/// Columns by which the parts of a cluster are indented.
const INDENT: usize = 2;

/// The text.
#[must_use]
pub fn status_text(report: &StatusReport, theme: Theme) -> String {
    report.clusters.iter().map(|cluster| cluster_text(cluster, theme)).collect::<Vec<_>>().join("\n")
}

fn cluster_text(cluster: &ClusterReport, theme: Theme) -> String {
    let mut out = format!("{}\n", headline(cluster, theme));
    let mut nodes = Columns::new(&["node", "state", "resources", "links", "roles"], theme);
    for node in &cluster.nodes {
        node_row(&mut nodes, node, cluster);
    }
    out.push_str(&nodes.text(INDENT));
    if !cluster.resources.is_empty() {
        let mut resources = Columns::new(&["resource", "state", "where", "agent"], theme);
        for resource in &cluster.resources {
            resource_row(&mut resources, resource);
        }
        let _ = write!(out, "\n{}", resources.text(INDENT));
    }
    if !cluster.volumes.is_empty() {
        let mut volumes = Columns::new(&["volume", "on", "role", "state"], theme);
        for volume in &cluster.volumes {
            volume_row(&mut volumes, volume);
        }
        let _ = write!(out, "\n{}", volumes.text(INDENT));
    }
    out.push_str(&fencing_text(cluster, theme));
    if cluster.problems.is_empty() {
        let _ = writeln!(out, "\n  {}", theme.good("no problems"));
    } else {
        let _ = writeln!(out, "\n  {}", theme.alarm(count(cluster.problems.len(), "problem")));
    }
    for problem in &cluster.problems {
        let _ = writeln!(out, "    {}", printable(&problem.lines().collect::<Vec<_>>().join("; ")));
    }
    out
}

fn headline(cluster: &ClusterReport, theme: Theme) -> String {
    let online = cluster.nodes.iter().filter(|node| node.state == NodeState::Online).count();
    let mut parts = vec![format!("{online} of {} online", count(cluster.nodes.len(), "node"))];
    parts.push(match &cluster.quorum {
        None => theme.bad("corosync runs nowhere").to_string(),
        Some(quorum) => {
            let word = if quorum.quorate {
                theme.good("quorate").to_string()
            } else {
                theme.alarm("NO QUORUM").to_string()
            };
            match (quorum.votes, quorum.expected, quorum.needed) {
                (Some(votes), Some(expected), Some(needed)) => {
                    format!("{word} ({votes} of {expected} votes, {needed} needed)")
                }
                _ => word,
            }
        }
    });
    parts.extend(cluster.controller.as_ref().map(|name| format!("controller {}", printable(name))));
    parts.extend(cluster.pacemaker.as_ref().map(|version| format!("Pacemaker {}", printable(version))));
    if cluster.maintenance {
        parts.push(theme.warning("maintenance mode").to_string());
    }
    format!("{}: {}", theme.heading(format!("cluster {}", cluster.name)), parts.join(", "))
}

fn node_row(table: &mut Columns, node: &NodeReport, cluster: &ClusterReport) {
    let (word, tone) = match node.state {
        NodeState::Online => ("online", Tone::Good),
        NodeState::Standby => ("standby", Tone::Warning),
        NodeState::Maintenance => ("maintenance", Tone::Warning),
        NodeState::Pending => ("joining", Tone::Warning),
        NodeState::Offline => ("OFFLINE", Tone::Bad),
        NodeState::Unclean => ("UNCLEAN", Tone::Bad),
        NodeState::Unknown => ("unknown", Tone::Warning),
    };
    let controller = if cluster.controller.as_deref() == Some(&node.name) { " *" } else { "" };
    let (links, links_tone) = match &node.unreachable {
        Some(_) => ("cannot be asked".to_owned(), Tone::Bad),
        None => links(&node.links),
    };
    let roles: Vec<&str> = node.roles.iter().map(AsRef::as_ref).collect();
    table.row(vec![
        cell(format!("{}{controller}", node.name), Tone::Plain),
        cell(word, tone),
        cell(node.resources.to_string(), Tone::Plain),
        cell(links, links_tone),
        cell(roles.join(" "), Tone::Plain),
    ]);
}

fn links(links: &[LinkReport]) -> (String, Tone) {
    let tone = if links.iter().all(|link| link.lost.is_empty()) { Tone::Plain } else { Tone::Warning };
    let shown = links.iter().map(|link| {
        if link.lost.is_empty() {
            format!("{}: {}", link.number, link.address)
        } else {
            format!("{}: {} (without {})", link.number, link.address, link.lost.join(", "))
        }
    });
    (shown.collect::<Vec<_>>().join("  "), tone)
}

fn volume_row(table: &mut Columns, volume: &VolumeReport) {
    let (state, tone) = match &volume.problem {
        None => (format!("{} {}/{}", volume.connection, volume.disk, volume.peer_disk), Tone::Good),
        Some(problem) if volume.done_permille.is_some() => (problem.clone(), Tone::Warning),
        Some(problem) => (problem.clone(), Tone::Bad),
    };
    table.row(vec![
        cell(volume.name.clone(), Tone::Plain),
        cell(&volume.node, Tone::Plain),
        cell(volume.role.clone(), Tone::Plain),
        cell(state, tone),
    ]);
}

fn resource_row(table: &mut Columns, resource: &ResourceReport) {
    let mut path: Vec<&str> = resource.parents.iter().map(String::as_str).collect();
    path.push(&resource.id);
    let (state, tone) = state(resource);
    table.row(vec![
        cell(path.join("/"), Tone::Plain),
        cell(state, tone),
        cell(resource.nodes.join(", "), Tone::Plain),
        cell(&resource.agent, Tone::Plain),
    ]);
}

fn state(resource: &ResourceReport) -> (String, Tone) {
    let mut words = vec![resource.role.to_lowercase()];
    words.extend(resource.pending.as_ref().map(|pending| format!("({})", pending.to_lowercase())));
    if !resource.managed {
        words.push("(unmanaged)".to_owned());
    }
    let tone = if resource.failed {
        words.push("FAILED".to_owned());
        Tone::Bad
    } else if resource.nodes.is_empty() || !resource.managed || resource.pending.is_some() {
        Tone::Warning
    } else {
        Tone::Good
    };
    (words.join(" "), tone)
}

fn fencing_text(cluster: &ClusterReport, theme: Theme) -> String {
    let fencing = &cluster.fencing;
    if cluster.seen_by.is_none() {
        return String::new();
    }
    let switched =
        if fencing.enabled { theme.good("on").to_string() } else { theme.alarm("OFF").to_string() };
    let mut out = format!("\n  {}: {switched}", theme.heading("fencing"));
    let devices = fencing.devices.iter().map(|device| {
        let (state, _) = state(device);
        let place =
            if device.nodes.is_empty() { String::new() } else { format!(" on {}", device.nodes.join(", ")) };
        format!("{} {state}{place}", device.id)
    });
    let devices: Vec<String> = devices.collect();
    let devices = if devices.is_empty() { "no device".to_owned() } else { devices.join("; ") };
    let _ = writeln!(out, ", {}", printable(&devices));
    for event in fencing.history.iter().take(SHOWN_FENCE_EVENTS) {
        let _ = writeln!(out, "    {}", printable(&event_words(event)));
    }
    out
}

fn event_words(event: &FencingEvent) -> String {
    let when = event.when.as_ref().map(|when| format!("{when}: ")).unwrap_or_default();
    let by = event.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    format!("{when}{} of {}{by}: {}", event.action, event.target, event.result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ClusterName, NodeName};
    use crate::verify::{FencingReport, QuorumReport, STATUS_FORMAT};

    fn node(name: &str, state: NodeState) -> NodeReport {
        let link = |number, lost: &[&str]| LinkReport {
            number,
            address: format!("10.0.{number}.1"),
            lost: lost.iter().map(|&lost| lost.to_owned()).collect(),
        };
        NodeReport {
            name: name.to_owned(),
            state,
            roles: Vec::new(),
            resources: 1,
            links: vec![link(0, &[]), link(1, if name == "alpha" { &["gamma"] } else { &[] })],
            unreachable: (state == NodeState::Unclean).then(|| "timed out".to_owned()),
        }
    }

    fn resource(id: &str, agent: &str, parents: &[&str], nodes: &[&str]) -> ResourceReport {
        ResourceReport {
            id: id.to_owned(),
            agent: agent.to_owned(),
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
            role: if nodes.is_empty() { "Stopped".to_owned() } else { "Started".to_owned() },
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            failed: false,
            managed: true,
            pending: None,
        }
    }

    fn volume(node: &str, problem: Option<&str>) -> VolumeReport {
        VolumeReport {
            name: "srv".to_owned(),
            node: NodeName::new(node).unwrap(),
            role: "Primary".to_owned(),
            connection: "Connected".to_owned(),
            disk: "UpToDate".to_owned(),
            peer_disk: "UpToDate".to_owned(),
            done_permille: problem.map(|_| 425),
            problem: problem.map(str::to_owned),
        }
    }

    fn report() -> StatusReport {
        let event = FencingEvent {
            action: "reboot".to_owned(),
            target: "gamma".to_owned(),
            result: "success".to_owned(),
            when: Some("2026-11-22 06:00:00Z".to_owned()),
            by: Some("alpha".to_owned()),
        };
        let cluster = ClusterReport {
            name: ClusterName::new("lab").unwrap(),
            seen_by: Some(NodeName::new("alpha").unwrap()),
            pacemaker: Some("2.1.5".to_owned()),
            controller: Some("beta".to_owned()),
            maintenance: false,
            quorum: Some(QuorumReport { quorate: true, votes: Some(2), expected: Some(3), needed: Some(2) }),
            nodes: vec![
                node("alpha", NodeState::Online),
                node("beta", NodeState::Online),
                node("gamma", NodeState::Unclean),
            ],
            fencing: FencingReport {
                enabled: true,
                devices: vec![resource("power", "stonith:fence_lab", &[], &["beta"])],
                history: vec![event],
            },
            resources: vec![
                resource("vip", "ocf:heartbeat:IPaddr2", &["web"], &["alpha"]),
                resource("haproxy", "systemd:haproxy", &["web"], &[]),
            ],
            volumes: vec![
                volume("alpha", Some("SyncSource UpToDate/Inconsistent, 42.5 % done, 0:00:05 left")),
                volume("beta", None),
            ],
            problems: vec!["node gamma is unclean: it waits to be fenced".to_owned()],
        };
        StatusReport { format: STATUS_FORMAT, clusters: vec![cluster] }
    }

    #[test]
    fn one_screen_has_nodes_quorum_links_resources_fencing_and_problems() {
        assert_eq!(
            status_text(&report(), Theme::new(false)),
            "\
cluster lab: 2 of 3 nodes online, quorate (2 of 3 votes, 2 needed), controller beta, Pacemaker 2.1.5
  node    state    resources  links                                     roles
  alpha   online   1          0: 10.0.0.1  1: 10.0.1.1 (without gamma)
  beta *  online   1          0: 10.0.0.1  1: 10.0.1.1
  gamma   UNCLEAN  1          cannot be asked

  resource     state    where  agent
  web/vip      started  alpha  ocf:heartbeat:IPaddr2
  web/haproxy  stopped         systemd:haproxy

  volume  on     role     state
  srv     alpha  Primary  SyncSource UpToDate/Inconsistent, 42.5 % done, 0:00:05 left
  srv     beta   Primary  Connected UpToDate/UpToDate

  fencing: on, power started on beta
    2026-11-22 06:00:00Z: reboot of gamma by alpha: success

  1 problem
    node gamma is unclean: it waits to be fenced
"
        );
    }

    #[test]
    fn a_cluster_that_does_not_run_says_so() {
        let mut report = report();
        let cluster = &mut report.clusters[0];
        (cluster.seen_by, cluster.quorum, cluster.controller, cluster.pacemaker) = (None, None, None, None);
        cluster.resources.clear();
        let text = status_text(&report, Theme::new(false));
        assert!(text.starts_with("cluster lab: 2 of 3 nodes online, corosync runs nowhere\n"), "{text}");
        assert!(!text.contains("fencing"), "{text}");
    }
}
