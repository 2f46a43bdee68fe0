//! A directory that lives on a replicated volume: copied there once, and a link to it on every node.
//!
//! The copy is made on the node where the volume is mounted; before the cluster has the volume, on the founder, which
//! mounts it for that in a namespace of its own. Then each node's own directory is set aside, never removed, and the link
//! takes its place. Only then is the cluster told, so that services begin with the link.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::cib::{Cib, Section};
use crate::facts::{ClusterQuery, Observation, Query, SeededQuery};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Risk, SeedSource, StepId, UnitVerb};

/// What is appended to the name of a node's own directory when the link takes its place.
pub const SET_ASIDE: &str = ".before-hactl";

/// A directory on a volume.
#[derive(Debug, Clone)]
pub struct SeededDirectory {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// The nodes that have the link.
    pub nodes: BTreeSet<NodeName>,
    /// The node whose copy counts.
    pub founder: NodeName,
    /// The directory, an absolute path.
    pub directory: Utf8PathBuf,
    /// Where the volume is mounted.
    pub mount: Utf8PathBuf,
    /// How the volume is mounted before the cluster does.
    pub source: SeedSource,
    /// The cluster's resource that mounts it.
    pub resource: String,
    /// Units that use the directory, and that only the cluster starts.
    pub units: BTreeSet<String>,
}

/// What a node has where the link belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Link(String),
    Directory,
    Absent,
    Other,
}

/// What was seen on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: Kind,
    aside: bool,
    mounted: bool,
    below: Vec<String>,
    entries: u64,
    listing: Option<String>,
    users: Vec<String>,
}

impl Seen {
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let first = lines.next()?;
        let kind = match first.split_once(' ') {
            Some(("link", target)) => Kind::Link(target.to_owned()),
            _ => match first {
                "directory" => Kind::Directory,
                "absent" => Kind::Absent,
                "other" => Kind::Other,
                _ => return None,
            },
        };
        let mut seen = Self {
            kind,
            aside: false,
            mounted: false,
            below: Vec::new(),
            entries: 0,
            listing: None,
            users: Vec::new(),
        };
        for line in lines {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("aside", _) => seen.aside = true,
                ("mounted", _) => seen.mounted = true,
                ("below", path) => seen.below.push(path.to_owned()),
                ("entries", number) => seen.entries = number.parse().ok()?,
                ("listing", digest) => seen.listing = Some(digest.to_owned()),
                ("user", who) => {
                    let (pid, name) = who.split_once(' ')?;
                    seen.users.push(format!("process {pid} ({name})"));
                }
                _ => {}
            }
        }
        Some(seen)
    }
}

impl SeededDirectory {
    /// Where the data is on the volume, by its path when that is mounted: the directory's own path below the mount.
    #[must_use]
    pub fn target(&self) -> Utf8PathBuf {
        self.mount.join(self.directory.as_str().trim_start_matches('/'))
    }

    fn query(&self) -> Query {
        Query::Seeded(SeededQuery { directory: self.directory.clone(), mount: self.mount.clone() })
    }

    fn blocked(&self, node: &NodeName, reason: impl Into<String>, advice: &str) -> Blocked {
        Blocked {
            resource: self.id.clone(),
            node: Some(node.clone()),
            reason: reason.into(),
            advice: advice.to_owned(),
        }
    }

    fn look(&self, context: &DiffContext<'_>) -> Result<BTreeMap<&NodeName, Seen>, Blocked> {
        let mut all = BTreeMap::new();
        for node in &self.nodes {
            let seen = match context.observed(node, &self.query()) {
                Observation::Text(Some(text)) => Seen::read(&text),
                Observation::Unknown(why) => {
                    let reason = format!("{} could not be looked at: {why}", self.directory);
                    return Err(self.blocked(node, reason, "see why and run again"));
                }
                _ => None,
            };
            let unread = || {
                self.blocked(
                    node,
                    format!("{} was not looked at", self.directory),
                    "this is a defect of hactl",
                )
            };
            all.insert(node, seen.ok_or_else(unread)?);
        }
        Ok(all)
    }

    fn is_linked(&self, seen: &Seen) -> bool {
        matches!(&seen.kind, Kind::Link(target) if Utf8Path::new(target) == self.target())
    }

    /// What cannot be mended without a person.
    fn refuse(&self, node: &NodeName, seen: &Seen, stops: bool) -> Result<(), Blocked> {
        let dir = &self.directory;
        match &seen.kind {
            Kind::Link(target) => {
                let reason = format!("{dir} is a link to {target}, not to {}", self.target());
                return Err(self.blocked(node, reason, "remove the link, or name what it leads to"));
            }
            Kind::Other => {
                return Err(self.blocked(
                    node,
                    format!("{dir} is no directory"),
                    "see what it is and move it away",
                ));
            }
            Kind::Directory if seen.aside => {
                let reason =
                    format!("there is a directory {dir} although {dir}{SET_ASIDE} was set aside already");
                let advice = "see which of the two counts, and remove or rename the other";
                return Err(self.blocked(node, reason, advice));
            }
            Kind::Directory | Kind::Absent => {}
        }
        if let Some(path) = seen.below.first() {
            let reason = format!("something is mounted at {path}");
            return Err(self.blocked(
                node,
                reason,
                "unmount it first: a mount does not move with a directory",
            ));
        }
        if !seen.users.is_empty() && !stops {
            let reason = format!("{dir} is in use by {}", seen.users.join(", "));
            let advice =
                "stop what uses it (a resource of the cluster: `crm_resource --disable`), then run again";
            return Err(self.blocked(node, reason, advice));
        }
        Ok(())
    }

    /// Whether the cluster has the resource that mounts the volume.
    fn is_managed(&self, context: &DiffContext<'_>) -> bool {
        self.nodes.iter().any(|node| match context.observed(node, &Query::Cluster(ClusterQuery::Cib)) {
            Observation::Text(Some(text)) => Cib::parse(&text).is_ok_and(|cib| {
                cib.section(Section::Resources).is_some_and(|resources| {
                    resources.walk().any(|element| element.id() == Some(self.resource.as_str()))
                })
            }),
            _ => false,
        })
    }

    /// The units that run on a node and use the directory.
    fn running(&self, node: &NodeName, context: &DiffContext<'_>) -> Vec<&String> {
        let runs = |unit: &&String| match context.observed(node, &Query::Unit { name: (*unit).clone() }) {
            Observation::Unit(state) => {
                matches!(state.active_state.as_str(), "active" | "reloading" | "activating")
            }
            _ => false,
        };
        self.units.iter().filter(runs).collect()
    }

    /// The node that copies, and how it comes to the volume.
    fn seeds_on(
        &self,
        all: &BTreeMap<&NodeName, Seen>,
        managed: bool,
    ) -> Result<(NodeName, Option<SeedSource>), Blocked> {
        if let Some((node, _)) = all.iter().find(|(_, seen)| seen.mounted) {
            return Ok(((*node).clone(), None));
        }
        if managed {
            let reason =
                format!("{} is mounted nowhere, so {} cannot be moved there", self.mount, self.directory);
            return Err(self.blocked(
                &self.founder,
                reason,
                "have the cluster start the volume's group, then run again",
            ));
        }
        Ok((self.founder.clone(), Some(self.source.clone())))
    }

    /// The other nodes' copies that hold something else: what is in them is set aside, not merged.
    fn differing<'s>(
        &self,
        all: &'s BTreeMap<&NodeName, Seen>,
        seeds: &NodeName,
    ) -> BTreeMap<&'s NodeName, u64> {
        let counts = all.get(seeds).and_then(|seen| seen.listing.as_ref());
        all.iter()
            .filter(|(node, seen)| **node != seeds && seen.entries > 0 && seen.listing.as_ref() != counts)
            .map(|(node, seen)| (*node, seen.entries))
            .collect()
    }
}

impl Resource for SeededDirectory {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        let of_node = |node: &NodeName| {
            let units = self.units.iter().map(|unit| Query::Unit { name: unit.clone() });
            let queries: Vec<Query> =
                [self.query(), Query::Cluster(ClusterQuery::Cib)].into_iter().chain(units).collect();
            queries.into_iter().map(|query| (node.clone(), query)).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of_node).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let all = self.look(context)?;
        let missing: Vec<&NodeName> =
            all.iter().filter(|(_, seen)| !self.is_linked(seen)).map(|(node, _)| *node).collect();
        if missing.is_empty() {
            return Ok(Change::None);
        }
        let managed = self.is_managed(context);
        let mut steps = Steps::of(&self.id);
        let mut stopped: Vec<StepId> = Vec::new();
        for node in &missing {
            // What the cluster runs is the cluster's to stop.
            let stops = if managed { Vec::new() } else { self.running(node, context) };
            self.refuse(node, &all[*node], !stops.is_empty())?;
            for unit in stops {
                let action = Action::Unit { unit: unit.clone(), verb: UnitVerb::Stop };
                stopped.push(steps.push(node, &format!("stop-{unit}"), action, &[]));
                steps.risk(Risk::Disruptive(vec![format!("{unit} on {node}")]));
            }
        }
        let mut after = stopped;
        let (mut summary, mut differing) =
            (format!("link {} to the volume", self.directory), BTreeMap::new());
        // A link that stands already was made after the copy: the volume's data counts.
        if missing.len() == all.len() {
            let (seeds, open) = self.seeds_on(&all, managed)?;
            if all[&seeds].kind == Kind::Absent
                && !self.requires.iter().any(|id| context.pending.contains(id))
            {
                let reason = format!("there is no directory {} to begin with", self.directory);
                return Err(self.blocked(
                    &seeds,
                    reason,
                    "install what brings it, or make it, then run again",
                ));
            }
            differing = self.differing(&all, &seeds);
            summary = format!("move {} of {seeds} to the volume at {}", self.directory, self.mount);
            let action =
                Action::SeedDirectory { directory: self.directory.clone(), mount: self.mount.clone(), open };
            after = vec![steps.push(&seeds, "seed", action, &after)];
        }
        for node in &missing {
            let action = Action::LinkDirectory { directory: self.directory.clone(), target: self.target() };
            steps.push(node, "link", action, &after);
            if let Some(entries) = differing.get(*node) {
                steps.risk(Risk::Disruptive(vec![format!(
                    "{node}'s own {} ({entries} entries, other ones): set aside as {0}{SET_ASIDE}",
                    self.directory
                )]));
            }
        }
        let nodes: String = missing
            .iter()
            .map(|node| format!("+{} -> {} on {node}\n", self.directory, self.target()))
            .collect();
        Ok(steps.change(summary, nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{FleetFacts, NodeFacts, NodeOutcome, UnitState};
    use crate::plan::FilesystemType;
    use crate::secrets::SecretStore;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn directory() -> SeededDirectory {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        SeededDirectory {
            id: ResourceId::of_cluster("directory", "/var/lib/app", &"pair".parse().unwrap()),
            requires: Vec::new(),
            nodes: [node("alpha"), node("beta")].into(),
            founder: node("alpha"),
            directory: "/var/lib/app".into(),
            mount: "/mnt/ctl".into(),
            source: SeedSource {
                device: "/dev/drbd0".to_owned(),
                fstype: FilesystemType::Ext4,
                open: words("drbdadm primary ctl"),
                close: words("drbdadm secondary ctl"),
            },
            resource: "ctl-fs".to_owned(),
            units: ["app.service".to_owned()].into(),
        }
    }

    /// What the nodes say: the directory, the unit's state, the resources of the CIB.
    fn judged(alpha: &str, beta: &str, unit: &str, cib: &str) -> Result<Change, Blocked> {
        let wanted = directory();
        let facts = |seen: &str| {
            let unit = UnitState {
                load_state: "loaded".to_owned(),
                active_state: unit.to_owned(),
                unit_file_state: "disabled".to_owned(),
                since_us: 0,
            };
            let cib = (!cib.is_empty()).then(|| {
                format!("<cib><configuration><resources><primitive id=\"{cib}\"/></resources></configuration></cib>")
            });
            let observed = [
                (wanted.query(), Observation::Text(Some(seen.to_owned()))),
                (Query::Unit { name: "app.service".to_owned() }, Observation::Unit(unit)),
                (Query::Cluster(ClusterQuery::Cib), Observation::Text(cib)),
            ];
            NodeOutcome::Answered(Box::new(NodeFacts {
                observed: observed.into(),
                ..NodeFacts::unknown("not asked")
            }))
        };
        let facts = FleetFacts {
            nodes: [(node("alpha"), facts(alpha)), (node("beta"), facts(beta))].into(),
            program: None,
        };
        let (secrets, pending) = (SecretStore::default(), BTreeSet::new());
        wanted.diff(&DiffContext { facts: &facts, secrets: &secrets, pending: &pending })
    }

    fn steps(change: &Change) -> Vec<String> {
        let Change::Steps { steps, .. } = change else { return Vec::new() };
        let told = |step: &crate::plan::Step| match &step.risk {
            Risk::Disruptive(what) => format!("{}: {} [{}]", step.node, step.action, what.join(", ")),
            _ => format!("{}: {}", step.node, step.action),
        };
        steps.iter().map(told).collect()
    }

    const LINKED: &str = "link /mnt/ctl/var/lib/app\naside\n";
    const FULL: &str = "directory\nentries 4\nlisting aaaa\n";

    #[test]
    fn fresh_nodes_copy_the_founders_and_set_aside_what_differs() {
        let change = judged(FULL, "directory\nentries 2\nlisting bbbb\n", "active", "").unwrap();
        assert_eq!(
            steps(&change),
            [
                "alpha: stop app.service [app.service on alpha]",
                "beta: stop app.service [app.service on beta]",
                "alpha: copy /var/lib/app to the volume at /mnt/ctl",
                "alpha: set /var/lib/app aside and link it to /mnt/ctl/var/lib/app",
                "beta: set /var/lib/app aside and link it to /mnt/ctl/var/lib/app [beta's own /var/lib/app (2 entries, \
                 other ones): set aside as /var/lib/app.before-hactl]",
            ]
        );
        let same = judged(FULL, FULL, "inactive", "").unwrap();
        assert_eq!(steps(&same).len(), 3);
        assert!(!steps(&same).join("\n").contains("entries"));
    }

    #[test]
    fn links_that_stand_are_left_and_one_that_is_missing_is_made_without_a_copy() {
        assert_eq!(judged(LINKED, LINKED, "active", "ctl-fs").unwrap(), Change::None);
        let change = judged(LINKED, "absent\naside\n", "inactive", "ctl-fs").unwrap();
        assert_eq!(steps(&change), ["beta: set /var/lib/app aside and link it to /mnt/ctl/var/lib/app"]);
    }

    #[test]
    fn with_the_cluster_it_is_copied_where_the_volume_is_mounted() {
        let mounted = "directory\nmounted\nentries 1\nlisting cccc\n";
        let change = judged(FULL, mounted, "inactive", "ctl-fs").unwrap();
        assert!(steps(&change)[0].starts_with("beta: copy /var/lib/app"), "{:?}", steps(&change));
        let nowhere = judged(FULL, FULL, "inactive", "ctl-fs").unwrap_err();
        assert!(nowhere.reason.contains("is mounted nowhere"), "{}", nowhere.reason);
    }

    #[test]
    fn what_a_person_must_see_to_is_refused() {
        let used = "directory\nentries 1\nlisting a\nuser 42 app daemon\n";
        for (alpha, unit, cib, words) in [
            ("link /elsewhere\n", "inactive", "", "is a link to /elsewhere"),
            ("other\n", "inactive", "", "is no directory"),
            ("directory\naside\nentries 0\nlisting a\n", "inactive", "", "was set aside already"),
            (
                "directory\nbelow /var/lib/app/x\nentries 0\nlisting a\n",
                "inactive",
                "",
                "mounted at /var/lib/app/x",
            ),
            (used, "inactive", "", "in use by process 42 (app daemon)"),
            // The cluster runs it: it is the cluster's to stop.
            (
                "directory\nmounted\nentries 1\nlisting a\nuser 42 app\n",
                "active",
                "ctl-fs",
                "in use by process 42",
            ),
            ("absent\n", "inactive", "", "there is no directory /var/lib/app"),
        ] {
            let refused = judged(alpha, FULL, unit, cib).unwrap_err();
            assert!(refused.reason.contains(words), "{words}: {}", refused.reason);
        }
        // hactl stops it first.
        assert!(judged(used, FULL, "active", "").is_ok());
    }
}
