//! What Pacemaker would do next, according to `crm_simulate --simulate --xml-pipe --output-as=xml`.
//!
//! In: its standard output. Out: a [`Simulation`]: the actions that a person cares about, in Pacemaker's order, and the
//! state of the cluster afterwards. Text after the document (an old version prints some) is not accepted.
//!
//! The CIB that is simulated must have its secrets spelled out ([`super::Cib::render_revealed`]) and go in by standard
//! input: Pacemaker compares digests of parameters, and a marker in place of a password would look like a changed
//! parameter and predict a restart that will not happen.

use std::fmt;

use roxmltree::Node;

use super::status::{ClusterStatus, OutputError, document, elements, flag, state, text_of};

/// What happens to a resource or node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    /// A node is fenced; what is done to it is in [`SimulatedAction::detail`].
    Fence,
    /// A node's attribute or state changes otherwise (shutdown).
    Node,
    /// A resource starts.
    Start,
    /// A resource stops.
    Stop,
    /// A resource stops on one node and starts on another.
    Move,
    /// A resource moves without stopping.
    Migrate,
    /// A resource stops and starts where it is.
    Restart,
    /// A failed resource stops and starts, possibly elsewhere.
    Recover,
    /// A resource takes over new parameters without stopping.
    Reload,
    /// A resource is promoted (and started before, if it was stopped).
    Promote,
    /// A resource is demoted.
    Demote,
    /// Something this library does not know; the word is in [`SimulatedAction::detail`].
    Other,
}

impl ActionKind {
    /// Whether whoever uses the resource notices: it is away for a moment, or for good.
    #[must_use]
    pub const fn is_disruptive(self) -> bool {
        !matches!(self, Self::Start | Self::Promote | Self::Reload | Self::Migrate | Self::Node)
    }
}

/// One action that Pacemaker would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedAction {
    /// What happens.
    pub kind: ActionKind,
    /// The resource (with its instance, `store:1`, for clones); the node for [`ActionKind::Fence`].
    pub subject: String,
    /// Where it is now, if it is anywhere.
    pub from: Option<String>,
    /// Where it will be, if anywhere.
    pub to: Option<String>,
    /// The role now, where roles matter.
    pub role: Option<String>,
    /// The role afterwards, where roles matter.
    pub next_role: Option<String>,
    /// Pacemaker's reason.
    pub reason: Option<String>,
    /// Whether it is wanted but cannot be done at present.
    pub blocked: bool,
    /// Pacemaker's own word for it (`Fence (reboot)`, `re-promote` …).
    pub detail: String,
}

impl fmt::Display for SimulatedAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.detail, self.subject)?;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) if from == to => write!(f, " on {from}")?,
            (Some(from), Some(to)) => write!(f, " from {from} to {to}")?,
            (Some(node), None) | (None, Some(node)) => write!(f, " on {node}")?,
            (None, None) => {}
        }
        if let (Some(from), Some(to)) = (&self.role, &self.next_role)
            && from != to
        {
            write!(f, " ({from} -> {to})")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        if self.blocked {
            f.write_str(" (blocked)")?;
        }
        Ok(())
    }
}

/// What Pacemaker would do, and what would come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// The actions, in Pacemaker's order.
    pub actions: Vec<SimulatedAction>,
    /// Nodes and resources afterwards, if the simulation was carried out.
    pub after: Option<ClusterStatus>,
}

impl Simulation {
    /// The actions that users of resources notice.
    pub fn disruptive(&self) -> impl Iterator<Item = &SimulatedAction> {
        self.actions.iter().filter(|action| action.kind.is_disruptive() && !action.blocked)
    }
}

/// Reads the output of `crm_simulate --simulate --output-as=xml`.
///
/// # Errors
/// When it is too large, not such an output, or reports an error.
pub fn parse_crm_simulate(text: &str) -> Result<Simulation, OutputError> {
    const COMMAND: &str = "crm_simulate";
    let document = document(COMMAND, text)?;
    let root = document.root_element();
    let part = |name: &str| elements(root).find(|node| node.has_tag_name(name));
    // There also when there is nothing to do; without it, nothing is known.
    let Some(actions) = part("actions") else {
        let why = format!("<{}> has no list of actions", root.tag_name().name());
        return Err(OutputError::Malformed { command: COMMAND, why });
    };
    let actions = elements(actions).map(action).collect();
    Ok(Simulation { actions, after: part("revised_cluster_status").map(state) })
}

fn action(node: Node<'_, '_>) -> SimulatedAction {
    let attribute = |name| text_of(node, name);
    if node.has_tag_name("node_action") {
        let detail = attribute("task").unwrap_or_default();
        return SimulatedAction {
            kind: if detail.starts_with("Fence") { ActionKind::Fence } else { ActionKind::Node },
            subject: attribute("node").unwrap_or_default(),
            from: None,
            to: None,
            role: None,
            next_role: None,
            reason: attribute("reason"),
            blocked: flag(node, "blocked"),
            detail,
        };
    }
    let detail = attribute("action").unwrap_or_default();
    let kind = match detail.as_str() {
        "start" => ActionKind::Start,
        "stop" => ActionKind::Stop,
        "move" => ActionKind::Move,
        "migrate" => ActionKind::Migrate,
        "restart" => ActionKind::Restart,
        "recover" => ActionKind::Recover,
        "reload" => ActionKind::Reload,
        "promote" => ActionKind::Promote,
        "demote" => ActionKind::Demote,
        // Demoted and promoted again where it is.
        "re-promote" => ActionKind::Restart,
        _ => ActionKind::Other,
    };
    let (node_name, source, dest) = (attribute("node"), attribute("source"), attribute("dest"));
    let (from, to) = match kind {
        ActionKind::Start => (None, dest.or(node_name)),
        ActionKind::Stop => (source.or(node_name), None),
        _ => {
            let from = source.or_else(|| node_name.clone());
            let to = dest.or(node_name).or_else(|| from.clone());
            (from, to)
        }
    };
    SimulatedAction {
        kind,
        subject: attribute("resource").unwrap_or_default(),
        from,
        to,
        role: attribute("role"),
        next_role: attribute("next-role"),
        reason: attribute("reason"),
        blocked: flag(node, "blocked"),
        detail,
    }
}
