//! A plan for people: what changes where, line by line, what that disturbs, what is in the way.
//!
//! In: a [`Plan`] and which node belongs to which cluster. Out: text. Nodes whose changes are the same are shown
//! once, together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::diff::printable;
use super::{Theme, count, mark_of, styled_diff};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Action, Check, Guard, Plan, ResourceChange, Risk, Step};
use crate::resource::ResourceId;

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Detail {
    /// The summary and what is in the way.
    Quiet,
    /// Every change with its difference.
    #[default]
    Normal,
    /// Every step too, in order, with what must hold before it and what proves it.
    Verbose,
}

/// A plan with what is needed to show it.
#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Which cluster each node of the inventory belongs to.
    pub clusters: &'a BTreeMap<NodeName, ClusterName>,
    /// How much is shown.
    pub detail: Detail,
    /// The colours.
    pub theme: Theme,
}

/// Where a resource lives, as its id says after the last `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Node(&'a str),
    Cluster(&'a str),
}

/// `file:/etc/hosts@alpha` -> (`file:/etc/hosts`, node alpha).
fn placed(id: &ResourceId) -> (&str, Place<'_>) {
    let (name, place) = id.as_str().rsplit_once('@').unwrap_or((id.as_str(), ""));
    match place.strip_prefix("cluster/") {
        Some(cluster) => (name, Place::Cluster(cluster)),
        None => (name, Place::Node(place)),
    }
}

/// One change, as it looks without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<'a> {
    name: &'a str,
    place: Place<'a>,
    change: &'a ResourceChange,
    risks: Risks<'a>,
}

/// What the steps of one resource may do to others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Risks<'a> {
    /// Where something of the node's own is done (not to the cluster through it).
    nodes: BTreeSet<&'a str>,
    disturbs: Vec<&'a str>,
    destroys: Vec<&'a str>,
}

impl Entry<'_> {
    /// Whether two entries differ in their place only. `here` and `there` are their nodes.
    fn same_elsewhere(&self, here: &str, other: &Self, there: &str) -> bool {
        self.name == other.name
            && self.risks.destroys.is_empty()
            && other.risks.destroys.is_empty()
            && alike(&self.change.diff, here, &other.change.diff, there)
            && alike(&self.change.summary, here, &other.change.summary, there)
            && self.risks.disturbs.len() == other.risks.disturbs.len()
            && self.risks.disturbs.iter().zip(&other.risks.disturbs).all(|(a, b)| alike(a, here, b, there))
    }
}

/// Whether two texts are the same line by line, where each may have its own node's name in place of the other's.
fn alike(one: &str, here: &str, other: &str, there: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let neutral = |line: &str, name: &str| {
        let words = line.split_inclusive(|c| !word(c)).map(|part| match part.strip_prefix(name) {
            Some(rest) if !rest.starts_with(word) => format!("\0{rest}"),
            _ => part.to_owned(),
        });
        words.collect::<String>()
    };
    let same = |(a, b): (&str, &str)| a == b || neutral(a, here) == neutral(b, there);
    one == other || (one.lines().count() == other.lines().count() && one.lines().zip(other.lines()).all(same))
}

/// Nodes (or a cluster as a whole) with their changes.
struct Group<'a> {
    nodes: Vec<&'a str>,
    entries: Vec<Entry<'a>>,
}

impl<'a> PlanView<'a> {
    /// The whole text: [`Self::changes`], then [`Self::refusals`].
    #[must_use]
    pub fn text(&self) -> String {
        self.changes() + &self.refusals()
    }

    /// What would be done, summary last; nothing where there are only refusals.
    #[must_use]
    pub fn changes(&self) -> String {
        let mut out = String::new();
        if self.detail > Detail::Quiet {
            for (cluster, groups) in self.grouped() {
                self.write_cluster(&mut out, cluster, &groups);
            }
            self.write_notes(&mut out);
        }
        if self.detail >= Detail::Verbose && !self.plan.steps.is_empty() {
            self.write_steps(&mut out);
        }
        if self.plan.blocked.is_empty() || !self.plan.steps.is_empty() {
            let _ = writeln!(out, "{}", self.summary());
        }
        out
    }

    /// What stands in the way, each with what to do; empty where nothing does.
    #[must_use]
    pub fn refusals(&self) -> String {
        let mut out = String::new();
        self.write_blocked(&mut out);
        if let Some(obstacles) = self.obstacles() {
            let _ = writeln!(out, "{obstacles}");
        }
        out
    }

    /// One line: how much, where, and what it disturbs.
    #[must_use]
    pub fn summary(&self) -> String {
        let plan = self.plan;
        if plan.is_empty() {
            let nodes = match self.clusters.len() {
                0 => "everything is".to_owned(),
                1 => "1 node is".to_owned(),
                number => format!("{number} nodes are"),
            };
            return self.theme.good(format!("Nothing to do: {nodes} as the inventory says.")).to_string();
        }
        let nodes: BTreeSet<&NodeName> = plan.steps.iter().map(|step| &step.node).collect();
        let mut line = format!(
            "{} in {} on {}",
            count(plan.changes.len(), "change"),
            count(plan.steps.len(), "step"),
            count(nodes.len(), "node")
        );
        let disruptions = plan.disruptions();
        if disruptions.is_empty() {
            line.push_str("; nothing that runs is disturbed");
        } else {
            let _ = write!(line, "; stops, restarts or moves {}", printable(&disruptions.join(", ")));
        }
        line.push('.');
        self.theme.heading(line).to_string()
    }

    /// One line on what is in the way, if anything is.
    fn obstacles(&self) -> Option<String> {
        let sentence = match self.plan.blocked.len() {
            0 => return None,
            1 => "Blocked by the problem above: nothing is done until it is solved.".to_owned(),
            number => {
                format!("Blocked by the {number} problems above: nothing is done until they are solved.")
            }
        };
        Some(self.theme.alarm(sentence).to_string())
    }

    /// The changes by cluster; in each, nodes with the same changes together, then the cluster as a whole.
    fn grouped(&self) -> BTreeMap<&'a str, Vec<Group<'a>>> {
        let risks = self.risks();
        let mut places: BTreeMap<Place<'a>, Vec<Entry<'a>>> = BTreeMap::new();
        for change in &self.plan.changes {
            let (name, place) = placed(&change.resource);
            let risks = risks.get(&change.resource).cloned().unwrap_or_default();
            places.entry(place).or_default().push(Entry { name, place, change, risks });
        }
        let mut clusters: BTreeMap<&'a str, Vec<Group<'a>>> = BTreeMap::new();
        for (place, entries) in places {
            let (cluster, node) = match place {
                Place::Cluster(cluster) => (cluster, None),
                Place::Node(node) => (self.clusters.get(node).map_or("", ClusterName::as_str), Some(node)),
            };
            let groups = clusters.entry(cluster).or_default();
            let alike = node.and_then(|node| groups.iter_mut().find(|group| group.alike(&entries, node)));
            match (alike, node) {
                (Some(group), Some(node)) => group.nodes.push(node),
                (_, node) => groups.push(Group { nodes: node.into_iter().collect(), entries }),
            }
        }
        clusters
    }

    /// What the steps of each resource disturb, and what they destroy.
    fn risks(&self) -> BTreeMap<&'a ResourceId, Risks<'a>> {
        let mut all: BTreeMap<&'a ResourceId, Risks<'a>> = BTreeMap::new();
        for step in &self.plan.steps {
            let risks = all.entry(&step.resource).or_default();
            if !concerns_all(&step.action) {
                risks.nodes.insert(step.node.as_str());
            }
            match &step.risk {
                Risk::Safe => {}
                Risk::Destroys(device) => risks.destroys.push(device),
                Risk::Disruptive(what) => {
                    for what in what {
                        if !risks.disturbs.contains(&what.as_str()) {
                            risks.disturbs.push(what);
                        }
                    }
                }
            }
        }
        all
    }

    fn write_cluster(&self, out: &mut String, cluster: &str, groups: &[Group<'a>]) {
        let heading =
            if cluster.is_empty() { "outside any cluster".to_owned() } else { format!("cluster {cluster}") };
        let _ = writeln!(out, "{}", self.theme.heading(heading));
        for group in groups {
            let place = match group.nodes.as_slice() {
                [] => "the cluster as a whole".to_owned(),
                [node] => format!("node {node}"),
                nodes => format!("nodes {} (the same on each, shown for {})", nodes.join(", "), nodes[0]),
            };
            let _ = writeln!(out, "  {}", self.theme.heading(place));
            for entry in &group.entries {
                self.write_entry(out, entry);
            }
            out.push('\n');
        }
    }

    fn write_entry(&self, out: &mut String, entry: &Entry<'_>) {
        let mark = mark_of(&entry.change.diff).styled(self.theme);
        let name = self.theme.faint(format!("[{}]", printable(entry.name)));
        let place = match entry.place {
            Place::Cluster(_) if !entry.risks.nodes.is_empty() => {
                format!(" on {}", entry.risks.nodes.iter().copied().collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        let _ = writeln!(out, "    {mark} {}{place} {name}", printable(&entry.change.summary));
        if !entry.risks.disturbs.is_empty() {
            let risk = format!("! stops, restarts or moves: {}", printable(&entry.risks.disturbs.join(", ")));
            let _ = writeln!(out, "      {}", self.theme.warning(risk));
        }
        for device in &entry.risks.destroys {
            let risk = format!("! DESTROYS everything on {}", printable(device));
            let _ = writeln!(out, "      {}", self.theme.alarm(risk));
        }
        out.push_str(&styled_diff(&entry.change.diff, 8, self.theme));
    }

    fn write_notes(&self, out: &mut String) {
        for note in &self.plan.notes {
            let mut lines = note.text.lines();
            let first = printable(lines.next().unwrap_or_default());
            let _ = writeln!(out, "{} {}: {first}", self.theme.place("note"), note.cluster);
            for line in lines {
                let _ = writeln!(out, "     {}", printable(line));
            }
        }
        if !self.plan.notes.is_empty() {
            out.push('\n');
        }
    }

    fn write_blocked(&self, out: &mut String) {
        for blocked in &self.plan.blocked {
            let (name, place) = placed(&blocked.resource);
            let place = match (&blocked.node, &place) {
                (Some(node), _) => format!("{node}"),
                (None, Place::Node(node)) => (*node).to_owned(),
                (None, Place::Cluster(cluster)) => format!("cluster {cluster}"),
            };
            let mut reasons = blocked.reason.lines().map(printable);
            let first = reasons.next().unwrap_or_default();
            let label = self.theme.alarm("blocked");
            // What is wrong with a node as a whole needs no other name than the node's.
            let about = if name == format!("node:{place}") {
                String::new()
            } else {
                format!("{}: ", printable(name))
            };
            let _ = writeln!(out, "{label} {place}: {about}{first}");
            for line in reasons {
                let _ = writeln!(out, "        {line}");
            }
            let mut advice = blocked.advice.lines().map(printable);
            let _ = writeln!(out, "  what to do: {}", advice.next().unwrap_or_default());
            for line in advice {
                let _ = writeln!(out, "    {line}");
            }
        }
    }

    fn write_steps(&self, out: &mut String) {
        let _ = writeln!(out, "{}", self.theme.heading("steps, in order"));
        let numbers: BTreeMap<&str, usize> =
            self.plan.steps.iter().enumerate().map(|(index, step)| (step.id.as_str(), index + 1)).collect();
        for (index, step) in self.plan.steps.iter().enumerate() {
            let _ =
                writeln!(out, "  {:>3}. {}: {}", index + 1, step.node, printable(&step.action.to_string()));
            for line in self.conditions(step, &numbers) {
                let _ = writeln!(out, "       {}", self.theme.faint(printable(&line)));
            }
        }
        out.push('\n');
    }

    fn conditions(&self, step: &Step, numbers: &BTreeMap<&str, usize>) -> Vec<String> {
        let mut lines = Vec::new();
        let after: Vec<String> =
            step.after.iter().filter_map(|id| numbers.get(id.as_str())).map(ToString::to_string).collect();
        if !after.is_empty() {
            lines.push(format!("after {}", after.join(", ")));
        }
        match &step.guard {
            Guard::Always => {}
            Guard::File { path, digest: None } => lines.push(format!("only if {path} does not exist")),
            Guard::File { path, digest: Some(digest) } => {
                lines.push(format!("only if {path} still has digest {}", digest.short()));
            }
            Guard::Device(device) => {
                let held: Vec<&str> = device.holds.iter().map(String::as_str).collect();
                let held = if held.is_empty() { "nothing".to_owned() } else { held.join(" and ") };
                lines.push(format!(
                    "only if {} is still {}, nobody uses it and it holds {held}",
                    device.path, device.identity
                ));
            }
            Guard::Cib { .. } => {
                lines.push("only if the CIB's configuration is still as it was seen".to_owned())
            }
        }
        if step.proof != Check::Done {
            lines.push(format!("proof: {}", step.proof));
        }
        lines
    }
}

/// Whether an action does something to the cluster as a whole, wherever it is executed.
fn concerns_all(action: &Action) -> bool {
    matches!(
        action,
        Action::PatchCib { .. }
            | Action::Wait { .. }
            | Action::ReloadCorosync
            | Action::Maintenance { .. }
            | Action::CheckLinks { .. }
            | Action::Standby { .. }
            | Action::StopAllResources
    )
}

impl Group<'_> {
    fn alike(&self, entries: &[Entry<'_>], node: &str) -> bool {
        let Some(first) = self.nodes.first() else { return false };
        self.entries.len() == entries.len()
            && self.entries.iter().zip(entries).all(|(mine, theirs)| mine.same_elsewhere(first, theirs, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Digest;
    use crate::plan::{Blocked, Note, PLAN_FORMAT, StepId, UnitVerb};

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn web() -> ClusterName {
        ClusterName::new("web").unwrap()
    }

    fn empty() -> Plan {
        Plan {
            format: PLAN_FORMAT,
            hactl: "0.1.0".to_owned(),
            inventory: Digest::of(b""),
            changes: Vec::new(),
            steps: Vec::new(),
            blocked: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn add(
        plan: &mut Plan,
        resource: ResourceId,
        on: &NodeName,
        summary: &str,
        diff: &str,
        action: Action,
        risk: Risk,
    ) {
        let after = plan.steps.last().map(|step| step.id.clone()).into_iter().collect();
        plan.changes.push(ResourceChange {
            resource: resource.clone(),
            summary: summary.to_owned(),
            diff: diff.to_owned(),
        });
        plan.steps.push(Step {
            id: StepId::new(&resource, "do", on),
            resource,
            node: on.clone(),
            action,
            guard: Guard::Always,
            risk,
            after,
            proof: Check::Done,
        });
    }

    fn install(plan: &mut Plan, on: &NodeName) {
        let id = ResourceId::on_node("packages", "cluster", on);
        let action =
            Action::InstallPackages { packages: vec!["corosync".to_owned()], keep_stopped: Vec::new() };
        add(plan, id, on, "install corosync", "+corosync\n", action, Risk::Safe);
    }

    fn restart(plan: &mut Plan, on: &NodeName) {
        let id = ResourceId::on_node("unit", "corosync.service", on);
        let action = Action::Unit { unit: "corosync.service".to_owned(), verb: UnitVerb::Restart };
        let risk = Risk::Disruptive(vec![format!("corosync.service on {on}")]);
        let diff = "-corosync.service is active\n+corosync.service: restart\n";
        add(plan, id, on, "restart corosync.service", diff, action, risk);
    }

    fn shown(plan: &Plan, detail: Detail) -> String {
        let clusters = ["alpha", "beta"].map(|name| (node(name), web())).into();
        PlanView { plan, clusters: &clusters, detail, theme: Theme::new(false) }.text()
    }

    #[test]
    fn nothing_to_do_is_said_in_one_line() {
        assert_eq!(shown(&empty(), Detail::Normal), "Nothing to do: 2 nodes are as the inventory says.\n");
    }

    #[test]
    fn nodes_with_the_same_changes_are_shown_once_and_the_cluster_after_them() {
        let mut plan = empty();
        install(&mut plan, &node("alpha"));
        install(&mut plan, &node("beta"));
        restart(&mut plan, &node("alpha"));
        restart(&mut plan, &node("beta"));
        let action = Action::PatchCib { desired: String::new(), changes: vec!["x".to_owned()] };
        let id = ResourceId::of_cluster("cib", "web", &web());
        add(
            &mut plan,
            id,
            &node("alpha"),
            "remove vip",
            "-primitive vip\n",
            action,
            Risk::Disruptive(vec!["vip".to_owned()]),
        );
        plan.notes.push(Note { cluster: web(), text: "Pacemaker would then\nstop vip on alpha".to_owned() });
        assert_eq!(
            shown(&plan, Detail::Normal),
            "cluster web
  nodes alpha, beta (the same on each, shown for alpha)
    + install corosync [packages:cluster]
        +corosync
    ~ restart corosync.service [unit:corosync.service]
      ! stops, restarts or moves: corosync.service on alpha
        -corosync.service is active
        +corosync.service: restart

  the cluster as a whole
    - remove vip [cib:web]
      ! stops, restarts or moves: vip
        -primitive vip

note web: Pacemaker would then
     stop vip on alpha

5 changes in 5 steps on 2 nodes; stops, restarts or moves corosync.service on alpha, corosync.service on beta, vip.
"
        );
    }

    #[test]
    fn a_node_s_own_name_makes_no_difference_and_another_s_does() {
        assert!(alike("127.0.1.1 alpha\n+alpha beta\n", "alpha", "127.0.1.1 beta\n+alpha beta\n", "beta"));
        assert!(!alike("name: alpha2", "alpha", "name: beta2", "beta"), "another name that begins alike");
        assert!(!alike("peer: beta", "alpha", "peer: gamma", "beta"));
        assert!(!alike("a\nb", "alpha", "a", "beta"));
    }

    #[test]
    fn different_changes_are_shown_apart() {
        let mut plan = empty();
        install(&mut plan, &node("alpha"));
        restart(&mut plan, &node("beta"));
        let text = shown(&plan, Detail::Normal);
        assert!(text.contains("  node alpha\n") && text.contains("  node beta\n"), "{text}");
    }

    #[test]
    fn a_safe_plan_says_that_nothing_is_disturbed() {
        let mut plan = empty();
        install(&mut plan, &node("alpha"));
        let summary = "1 change in 1 step on 1 node; nothing that runs is disturbed.\n";
        assert_eq!(shown(&plan, Detail::Quiet), summary);
    }

    #[test]
    fn obstacles_come_with_reason_and_advice_and_are_shown_even_when_quiet() {
        let mut plan = empty();
        plan.blocked.push(Blocked {
            resource: ResourceId::on_node("unit", "nginx.service", &node("beta")),
            node: Some(node("beta")),
            reason: "unit nginx.service is masked on the node".to_owned(),
            advice: "unmask it".to_owned(),
        });
        assert_eq!(
            shown(&plan, Detail::Quiet),
            "blocked beta: unit:nginx.service: unit nginx.service is masked on the node
  what to do: unmask it
Blocked by the problem above: nothing is done until it is solved.
"
        );
    }

    #[test]
    fn a_change_to_the_whole_cluster_names_the_nodes_that_are_touched_one_by_one() {
        let mut plan = empty();
        let id = ResourceId::of_cluster("corosync", "/etc/corosync/corosync.conf", &web());
        let action = Action::RemoveFile { path: "/etc/corosync/corosync.conf".into(), restore: None };
        add(&mut plan, id, &node("beta"), "write corosync.conf", "-x\n a\n", action, Risk::Safe);
        let text = shown(&plan, Detail::Normal);
        assert!(text.contains("~ write corosync.conf on beta [corosync:"), "{text}");
    }

    #[test]
    fn what_is_destroyed_cannot_be_overlooked() {
        let mut plan = empty();
        let id = ResourceId::on_node("filesystem", "srv", &node("alpha"));
        let risk = Risk::Destroys("/dev/disk/by-id/virtio-DATA01 (ext4)".to_owned());
        add(&mut plan, id, &node("alpha"), "make ext4", "+ext4\n", Action::ForgetLedger, risk);
        let text = shown(&plan, Detail::Normal);
        assert!(text.contains("! DESTROYS everything on /dev/disk/by-id/virtio-DATA01 (ext4)"), "{text}");
        assert!(text.contains("DATA01 (ext4).\n"), "the summary names the device too: {text}");
    }

    #[test]
    fn verbose_numbers_the_steps_and_says_what_each_waits_for_and_proves() {
        let mut plan = empty();
        install(&mut plan, &node("alpha"));
        restart(&mut plan, &node("alpha"));
        plan.steps[1].proof = Check::UnitActive { unit: "corosync.service".to_owned(), active: true };
        plan.steps[1].guard = Guard::File { path: "/etc/corosync/corosync.conf".into(), digest: None };
        let text = shown(&plan, Detail::Verbose);
        assert!(
            text.contains(
                "steps, in order
    1. alpha: install corosync
    2. alpha: restart corosync.service
       after 1
       only if /etc/corosync/corosync.conf does not exist
       proof: corosync.service is active
"
            ),
            "{text}"
        );
    }
}
