//! A condition on a node or a cluster that can be looked at: proof of a step, goal of a wait.

use std::collections::BTreeSet;
use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::cib::{ClusterStatus, parse_crm_mon};
use crate::corosync::parse_quorum_status;
use crate::drbd::Observed;
use crate::engine::VolumeId;
use crate::facts::{ClusterQuery, Digest, Observation, Query, VolumeQuery};
use crate::names::NodeName;
use crate::plan::VolumeGoal;

/// A condition, evaluated on the step's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Check {
    /// The action's own exit status is proof enough.
    Done,
    /// A file has this content.
    File {
        /// Absolute path.
        path: Utf8PathBuf,
        /// Its digest; absent means that the file must not exist.
        digest: Option<Digest>,
    },
    /// Packages are installed and configured.
    Packages {
        /// Their names.
        names: Vec<String>,
    },
    /// A unit is active (or not).
    UnitActive {
        /// Its name with suffix.
        unit: String,
        /// Active or not.
        active: bool,
    },
    /// Corosync sees exactly these members and the partition is quorate.
    Membership {
        /// Their names.
        nodes: Vec<NodeName>,
    },
    /// Pacemaker sees these nodes online and clean, with a controller elected.
    Online {
        /// Their names.
        nodes: Vec<NodeName>,
    },
    /// Pacemaker has nothing left to do.
    Settled,
    /// No resource runs, fence devices apart.
    AllStopped,
    /// Pacemaker leaves resources alone (or manages them).
    Maintenance {
        /// On or off.
        on: bool,
    },
    /// A replicated volume is this far.
    Volume {
        /// The volume.
        #[serde(flatten)]
        volume: VolumeId,
        /// How far.
        goal: VolumeGoal,
    },
    /// These resources run, managed and without failure.
    Running {
        /// Their ids.
        resources: Vec<String>,
    },
}

impl Check {
    /// What must be observed on the step's node to judge it.
    #[must_use]
    pub fn queries(&self) -> BTreeSet<Query> {
        match self {
            Self::Done => BTreeSet::new(),
            Self::File { path, .. } => BTreeSet::from([Query::File { path: path.clone(), text: false }]),
            Self::Packages { names } => {
                names.iter().map(|name| Query::Package { name: name.clone() }).collect()
            }
            Self::UnitActive { unit, .. } => BTreeSet::from([Query::Unit { name: unit.clone() }]),
            Self::Membership { .. } => BTreeSet::from([Query::Cluster(ClusterQuery::Quorum)]),
            Self::Settled => BTreeSet::from([Query::Cluster(ClusterQuery::Idle)]),
            Self::Volume { volume, .. } => {
                BTreeSet::from([Query::Volume(VolumeQuery { volume: volume.clone(), device: None })])
            }
            Self::Online { .. } | Self::AllStopped | Self::Maintenance { .. } | Self::Running { .. } => {
                BTreeSet::from([Query::Cluster(ClusterQuery::Status)])
            }
        }
    }

    /// Whether it holds, judged by the answers to [`Check::queries`].
    ///
    /// # Errors
    /// What is still missing, in words.
    pub fn judge(&self, observe: &dyn Fn(&Query) -> Observation) -> Result<(), String> {
        self.queries().iter().try_for_each(|query| match observe(query) {
            Observation::Unknown(why) => Err(format!("it could not be looked at: {why}")),
            seen => self.judge_one(query, &seen),
        })
    }

    fn judge_one(&self, query: &Query, seen: &Observation) -> Result<(), String> {
        match (self, seen) {
            (Self::File { digest, .. }, Observation::File(state)) => {
                let found = state.as_ref().map(|state| &state.digest);
                ensure(found == digest.as_ref(), || match found {
                    Some(found) => format!("it has digest {}", found.short()),
                    None => "it does not exist".to_owned(),
                })
            }
            (Self::Packages { .. }, Observation::Package(state)) => {
                let name = if let Query::Package { name } = query { name.as_str() } else { "?" };
                ensure(state.as_ref().is_some_and(|state| state.configured), || {
                    format!("{name} is not installed")
                })
            }
            (Self::UnitActive { active, .. }, Observation::Unit(state)) => {
                let running = matches!(state.active_state.as_str(), "active" | "reloading");
                ensure(running == *active, || format!("it is {}", state.active_state))
            }
            (Self::Membership { nodes }, Observation::Text(text)) => judge_membership(nodes, text.as_deref()),
            (Self::Settled, Observation::Text(text)) => match text.as_deref().map(str::trim) {
                None => Err("Pacemaker does not run".to_owned()),
                Some("idle") => Ok(()),
                Some(pending) => Err(pending_actions(pending)),
            },
            (Self::Volume { volume, goal }, Observation::Text(text)) => {
                judge_volume(volume, *goal, text.as_deref().unwrap_or_default())
            }
            (_, Observation::Text(text)) => self.judge_status(text.as_deref()),
            _ => Err("it was not looked at as what it is".to_owned()),
        }
    }

    fn judge_status(&self, text: Option<&str>) -> Result<(), String> {
        let text = text.ok_or("Pacemaker does not answer yet")?;
        let status = parse_crm_mon(text).map_err(|error| error.to_string())?;
        match self {
            Self::Online { nodes } => judge_online(nodes, &status),
            Self::AllStopped => {
                let running: Vec<&str> = status
                    .resources
                    .iter()
                    .filter(|one| one.active && !one.is_fencing())
                    .map(|one| one.id.as_str())
                    .collect();
                ensure(running.is_empty(), || format!("{} still run", running.join(", ")))
            }
            Self::Maintenance { on } => {
                ensure(status.maintenance_mode == *on, || format!("it is {}", if *on { "off" } else { "on" }))
            }
            Self::Running { resources } => {
                let runs = |id: &String| {
                    status.resources.iter().any(|one| &one.id == id && one.active && !one.failed)
                };
                let missing: Vec<&str> =
                    resources.iter().filter(|id| !runs(id)).map(String::as_str).collect();
                ensure(missing.is_empty(), || format!("{} do not run", missing.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

fn judge_volume(volume: &VolumeId, goal: VolumeGoal, text: &str) -> Result<(), String> {
    let seen = Observed::parse(text);
    let status = seen.status(volume).ok_or("it is not up here")?;
    let reached = match goal {
        VolumeGoal::Connected => status.is_connected(),
        VolumeGoal::UpToDate => status.is_in_sync(),
    };
    ensure(reached, || match status.connection.as_str() {
        "WFConnection" | "Connecting" => format!(
            "{status}: its peer does not answer (is it up there, and does its TCP port pass on the replication link?)"
        ),
        "StandAlone" => {
            format!(
                "{status}: it gave up on its peer ({} on the node says why)",
                volume.engine.log(&volume.name)
            )
        }
        _ => status.to_string(),
    })
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// What `crm_resource --wait` lists as still to be done (`Action 5: vip_start_0 on alpha`), without its own complaint
/// that it did not wait for it.
fn pending_actions(report: &str) -> String {
    let actions: Vec<String> = report
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Action ")?.split_once(':'))
        .map(|(_, action)| action.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if actions.is_empty() {
        "Pacemaker is at work".to_owned()
    } else {
        format!("still to be done: {}", actions.join(", "))
    }
}

fn judge_membership(nodes: &[NodeName], text: Option<&str>) -> Result<(), String> {
    let text = text.ok_or("corosync does not answer yet")?;
    let status = parse_quorum_status(text).map_err(|error| error.to_string())?;
    let present = |node: &&NodeName| status.members.iter().any(|member| member.name == node.as_str());
    let missing: Vec<&str> = nodes.iter().filter(|node| !present(node)).map(NodeName::as_str).collect();
    ensure(missing.is_empty(), || format!("{} are not members yet", missing.join(", ")))?;
    ensure(status.quorate, || "there is no quorum".to_owned())
}

fn judge_online(nodes: &[NodeName], status: &ClusterStatus) -> Result<(), String> {
    let online = |node: &&NodeName| {
        status.nodes.iter().any(|one| one.name == node.as_str() && one.online && !one.unclean && !one.pending)
    };
    let missing: Vec<&str> = nodes.iter().filter(|node| !online(node)).map(NodeName::as_str).collect();
    ensure(missing.is_empty(), || format!("{} are not online yet", missing.join(", ")))?;
    ensure(status.dc.is_some(), || "no controller is elected yet".to_owned())
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::File { path, digest: Some(digest) } => write!(f, "{path} has digest {}", digest.short()),
            Self::File { path, digest: None } => write!(f, "{path} is gone"),
            Self::Packages { names } => write!(f, "{} installed", names.join(", ")),
            Self::UnitActive { unit, active: true } => write!(f, "{unit} is active"),
            Self::UnitActive { unit, active: false } => write!(f, "{unit} is stopped"),
            Self::Membership { nodes } => write!(f, "corosync is quorate with {}", names(nodes)),
            Self::Online { nodes } => write!(f, "Pacemaker has {} online", names(nodes)),
            Self::Settled => f.write_str("Pacemaker has nothing left to do"),
            Self::AllStopped => f.write_str("all resources are stopped"),
            Self::Volume { volume, goal, .. } => write!(f, "volume {volume} is {}", goal.words()),
            Self::Maintenance { on: true } => f.write_str("maintenance mode is on"),
            Self::Maintenance { on: false } => f.write_str("maintenance mode is off"),
            Self::Running { resources } => write!(f, "{} run", resources.join(", ")),
        }
    }
}
